"""Paraphrases, exact identifiers and silence: hand-written developer notes among at least 500 others, through `Memories.recall` alone.

    python bench/quality/paraphrase.py [--distractors 520] [--mode hybrid] [--json FILE] [--show]

- Paraphrases: 24 notes, each asked for in other words (no search terms were added when they were stored); hit@1, hit@5, MRR.
- Identifiers: names, paths, versions and codes typed as they are; the note must come first.
- Silence: prompts that concern nothing stored; the share for which nothing reaches the floor that guards what is put before
  a model unasked (`rank.INJECT_FLOOR`), and the share of paraphrases and identifiers whose note does reach it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from probes import IDENTIFIERS, PARAPHRASES, UNRELATED, distractors

from bethink import Draft, Memories, Query, open_memories, rank
from bethink.config import load
from bethink.service.indexing import embed_pending

RESULTS = Path(__file__).resolve().parent.parent / "results"


def filled(folder: Path, count: int, *, with_embedder: bool = True) -> tuple[Memories, dict[str, str]]:
    """A store that holds probes and distractors in mixed order, and the id of each content."""
    notes = [note for note, _ in (*PARAPHRASES, *IDENTIFIERS)] + list(distractors(count))
    random.Random(5).shuffle(notes)
    memories = open_memories(settings=load({"MEMORY_DB": str(folder / "probe.db")}), with_embedder=with_embedder)
    # Written as a program writes them: what the guard would call a restatement of another is not at stake here.
    ids = {note: memories.remember(Draft(note)).memory.id for note in notes}
    while memories.embedder is not None and embed_pending(memories.store, memories.embedder, limit=256):
        pass
    return memories, ids


def place_of(memories: Memories, question: str, wanted: str, mode: Any, floor: float = 0.0) -> int | None:
    """Where the wanted memory stands among ten hits, from 0; None when it does not."""
    hits = memories.recall(Query(question, mode=mode, limit=10, floor=floor)).hits
    return next((place for place, hit in enumerate(hits) if hit.memory.id == wanted), None)


def measure(memories: Memories, ids: dict[str, str], mode: str) -> dict[str, Any]:
    """The report as plain data."""
    paraphrases = [place_of(memories, question, ids[note], mode) for note, question in PARAPHRASES]
    identifiers = [place_of(memories, name, ids[note], mode) for note, name in IDENTIFIERS]
    passed = [place_of(memories, question, ids[note], mode, rank.INJECT_FLOOR) for note, question in (*PARAPHRASES, *IDENTIFIERS)]
    loud = [prompt for prompt in UNRELATED if memories.recall(Query(prompt, mode=mode, limit=3, floor=rank.INJECT_FLOOR)).hits]
    return {
        "mode": mode,
        "memories": len(ids),
        "paraphrases": len(paraphrases),
        "hit@1": sum(place == 0 for place in paraphrases),
        "hit@5": sum(place is not None and place < 5 for place in paraphrases),
        "mrr": sum(1 / (1 + place) for place in paraphrases if place is not None) / len(paraphrases),
        "identifiers": len(identifiers),
        "identifiers_first": sum(place == 0 for place in identifiers),
        "silent": 1 - len(loud) / len(UNRELATED),
        "reach_floor": {
            "paraphrases": sum(place is not None for place in passed[: len(PARAPHRASES)]),
            "identifiers": sum(place is not None for place in passed[len(PARAPHRASES) :]),
        },
        "missed": [PARAPHRASES[i][1] for i, place in enumerate(paraphrases) if place is None or place >= 5]
        + [IDENTIFIERS[i][1] for i, place in enumerate(identifiers) if place != 0],
        "loud": loud,
    }


def table(report: dict[str, Any]) -> str:
    """The report for the reference."""
    reach = report["reach_floor"]
    rows = (
        (f"paraphrases found first, among {report['memories']} notes", f"{report['hit@1']} of {report['paraphrases']}"),
        ("paraphrases among the first five", f"{report['hit@5']} of {report['paraphrases']}"),
        ("exact identifiers found first", f"{report['identifiers_first']} of {report['identifiers']}"),
        ("unrelated prompts that nothing is injected for", f"{report['silent']:.0%} of {len(UNRELATED)}"),
        ("paraphrases whose note would be injected unasked", f"{reach['paraphrases']} of {report['paraphrases']}"),
        ("identifiers whose note would be injected unasked", f"{reach['identifiers']} of {report['identifiers']}"),
    )
    return "\n".join(["| probe | result |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]) + "\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distractors", type=int, default=520)
    parser.add_argument("--mode", choices=("hybrid", "keyword", "semantic", "rrf"), default="hybrid")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", action="store_true", help="also what was missed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memories, ids = filled(Path(folder), arguments.distractors, with_embedder=arguments.mode != "keyword")
        report = measure(memories, ids, arguments.mode)
        memories.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"{report['memories']} memories, mode {report['mode']}")
    print(f"paraphrases: hit@1 {report['hit@1']}, hit@5 {report['hit@5']} of {report['paraphrases']}, MRR {report['mrr']:.3f}")
    print(f"identifiers: first {report['identifiers_first']} of {report['identifiers']}")
    reach = report["reach_floor"]
    print(
        f"floor {rank.INJECT_FLOOR}: silent on {report['silent']:.0%} of {len(UNRELATED)} unrelated prompts; "
        f"passes {reach['paraphrases']} of {report['paraphrases']} paraphrases, {reach['identifiers']} of {report['identifiers']} names"
    )
    if arguments.mode == "hybrid":
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "probes.md").write_text(table(report), "utf-8")
    if arguments.show:
        print("missed:", *report["missed"], sep="\n  ")
        print("not silent:", *report["loud"], sep="\n  ")


if __name__ == "__main__":
    main()
