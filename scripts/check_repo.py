"""Fails on what must not be in the repository: registry hosts, paths of one machine, unfinished marks, secrets, big files."""

from __future__ import annotations

import re
import sys

import betterleaks

from files import name_of, project_files

LARGEST = 700_000
#: Written in pieces, so that this file does not find itself.
EVERYWHERE = {
    "a registry's host": re.compile("py" + r"pi\.org|files\.python" + r"hosted|registry\.npm" + r"js|deb\.deb" + "ian"),
    "a path of one machine": re.compile(r"(?<![\w.~*>})-])/(?:wo" + r"rk|ro" + r"ot)/(?=\w|\.)"),
}
IN_CODE = {
    "an unfinished mark": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
}
#: Measuring data that may not be redistributed.
FOREIGN = re.compile(r"locomo.*\.json$|conversations\.json$", re.IGNORECASE)
#: What the scanner takes for a secret and is none: the published digest of a file.
DIGEST = re.compile(r"sha256", re.IGNORECASE)
#: Files where a scanner for secrets only finds noise, with the reason.
NOT_SCANNED = {
    "requirements.lock": "hashes",
    "src/bethink/embed/minilm-tokenizer.json": "a vocabulary",
    "bench/detection_cases.py": "measures the scanner: texts that look like secrets and are none; the others are made at run time",
    "bench/detection_notes.py": "likewise, the harmless ones",
    "tests/unit/seal/test_detect.py": "tests the scanner, likewise",
}
#: (file, rule of the scanner) that somebody looked at: names of rules and fields, not values.
LOOKED_AT = {("src/bethink/seal/engine.py", "generic-password")}


def main() -> int:
    wrong: list[str] = []
    paths = project_files()
    for path in paths:
        name = name_of(path)
        data = path.read_bytes()
        if len(data) > LARGEST:
            wrong.append(f"{name}: {len(data)} bytes, the limit is {LARGEST}")
        if FOREIGN.search(name) and not name.startswith("tests/golden/"):
            wrong.append(f"{name}: looks like evaluation data")
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        rules = EVERYWHERE | (IN_CODE if name.startswith("src/") and path.suffix == ".py" else {})
        for number, line in enumerate(text.splitlines(), 1):
            wrong += [f"{name}:{number}: {what}: {line.strip()[:120]}" for what, rule in rules.items() if rule.search(line)]
        if name not in NOT_SCANNED:
            found = (finding for finding in betterleaks.scan_string(text) if not DIGEST.search(finding.match.full))
            wrong += [
                f"{name}:{finding.location.start_line}: looks like a secret ({finding.rule_id})"
                for finding in found
                if (name, finding.rule_id) not in LOOKED_AT
            ]
    print("\n".join(wrong) or f"repository: {len(paths)} files are clean")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
