"""Secret detection on a labelled set made at run time: recall per class, false positives on harmless developer notes.

    python bench/detection.py [--json] [--seed N] [--variants N] [--shallow] [--show]

No secret is written in this file: each is drawn from a seeded generator in the issuer's format. A case counts as found
when nothing of its secret is left in the redacted text; a harmless note counts as a false positive when anything in it
is redacted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bethink.seal.detect import Policy, redact, scan, warm
from detection_cases import harmless, positives


def measure(seed: int = 7, variants: int = 40, *, deep: bool = True, policy: Policy | None = None) -> dict[str, object]:
    """Recall per class and the share of harmless notes that were touched, with what was missed."""
    policy = policy or Policy()
    recall: dict[str, float] = {}
    missed: list[tuple[str, str, str]] = []
    spent, count = 0.0, 0
    found_of: dict[str, list[bool]] = {}
    for case in positives(seed, variants):
        started = time.thread_time()
        left, _ = redact(case.text, scan(case.text, policy, deep=deep))
        spent += time.thread_time() - started
        count += 1
        found = all(secret not in left for secret in case.secrets)
        found_of.setdefault(case.kind, []).append(found)
        if not found:
            missed.append((case.kind, case.text, left))
    for kind, results in found_of.items():
        recall[kind] = sum(results) / len(results)
    wrong: list[tuple[str, str]] = []
    notes = list(harmless(seed))
    for case in notes:
        started = time.thread_time()
        findings = scan(case.text, policy, deep=deep)
        spent += time.thread_time() - started
        if findings:
            wrong.append((case.text, ", ".join(f.rule for f in findings)))
    return {
        "seed": seed,
        "classes": len(recall),
        "cases": count,
        "harmless": len(notes),
        "recall": recall,
        "least_recall": min(recall.values()),
        "false_positive_rate": len(wrong) / len(notes),
        "cpu_ms_per_text": 1000 * spent / (count + len(notes)),
        "missed": missed,
        "false_positives": wrong,
    }


def main(argv: list[str] | None = None) -> int:
    """Prints the table; exit code 1 when a class is below .97 or more than 1 % of the notes are touched."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--variants", type=int, default=40, help="texts per class")
    parser.add_argument("--shallow", action="store_true", help="own rules only, without betterleaks")
    parser.add_argument("--show", action="store_true", help="print what was missed and what was flagged wrongly (all of it made up)")
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args(argv)
    engine = warm()
    result = measure(args.seed, args.variants, deep=not args.shallow)
    result["betterleaks"] = engine and not args.shallow
    shown: dict[str, object] = result if args.show else {k: v for k, v in result.items() if k not in ("missed", "false_positives")}
    recall = result["recall"]
    assert isinstance(recall, dict)
    if args.markdown:
        rows = [f"| {kind} | {share:.3f} |" for kind, share in sorted(recall.items())]
        wrong = f"{result['false_positive_rate']:.4f} of {result['harmless']} harmless notes taken for secrets."
        args.markdown.write_text("\n".join(["| class | found |", "|---|---|", *rows, "", wrong, ""]), encoding="utf-8")
    if args.json:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        engines = "with betterleaks" if result["betterleaks"] else "own rules only"
        print(f"{'class':<24} {'recall':>7}   ({args.variants} texts each, seed {args.seed}, {engines})")
        for kind, share in sorted(recall.items()):
            print(f"{kind:<24} {share:7.3f}")
        print(f"\nleast recall {result['least_recall']:.3f} over {result['classes']} classes, {result['cases']} texts")
        print(f"false positives {result['false_positive_rate']:.4f} of {result['harmless']} harmless notes")
        print(f"CPU {result['cpu_ms_per_text']:.3f} ms a text")
        if args.show:
            for item in (*result["missed"], *result["false_positives"]):
                print(" |", *item, sep="  ")
    return 0 if result["least_recall"] >= 0.97 and result["false_positive_rate"] <= 0.01 else 1  # type: ignore[operator]  # floats by construction


if __name__ == "__main__":
    sys.exit(main())
