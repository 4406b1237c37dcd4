"""Ten minutes of everything that breaks: three machines, a server over PostgreSQL, a bad network, processes that are killed, a full disk.

    python bench/chaos.py [--seconds 600] [--seed 1] [--markdown FILE]

Ends with 1 when a memory that was acknowledged is lost, doubled, or differs between machines. `tests/kit/storm.py` says what happens.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.storm import Outcome, storm

KEY = "-".join(("a", "key", "for", "storms", "only"))


def table(outcome: Outcome) -> str:
    rows = (
        ("minutes of storm", f"{outcome.seconds / 60:g}"),
        ("memories acknowledged, edits acknowledged", f"{outcome.acknowledged:,}, {outcome.edited:,}"),
        ("lost, doubled, machines that differ", f"{len(outcome.lost)}, {len(outcome.doubled)}, {len(outcome.differing)}"),
        ("`kill -9`", ", ".join(f"{count} × {what}" for what, count in sorted(outcome.kills.items()))),
        ("faults of the network", ", ".join(f"{count} × {what}" for what, count in sorted(outcome.faults.items()) if what != "none")),
        ("writes that a full disk refused", f"{outcome.refused_by_disk:,}"),
        ("seconds from the end of the storm until all are equal", f"{outcome.convergence:g}"),
        ("largest process: server, machine", f"{outcome.server_peak >> 20} MB, {outcome.client_peak >> 20} MB"),
    )
    return "\n".join(["| what | how much |", "|---|---|", *(f"| {what} | {much} |" for what, much in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcome = storm(Path(folder), KEY, options.seconds, seed=options.seed)
    print(json.dumps(outcome.shape(), indent=1))
    report = f"{table(outcome)}\n\nSeed {options.seed}; Python {platform.python_version()}, {sys.platform}.\n"
    print(report)
    if options.markdown:
        options.markdown.write_text(report, "utf-8")
    return 1 if outcome.lost or outcome.doubled or outcome.differing else 0


if __name__ == "__main__":
    sys.exit(main())
