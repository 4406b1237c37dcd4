"""LoCoMo questions asked of imported sessions: is the turn that answers them found, or what was distilled from it?

    .venv/bin/python bench/intake/questions.py --data ../shared/eval/locomo-dev.json [--mode hybrid]

The conversations are written as transcripts, imported with `bethink import`, and every question with evidence is asked within its
project, as `memory_recall` does. any: some turn of the evidence is among the first k; all: every one is.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from locomo_transcripts import write

from bethink import config, wire
from bethink.intake.importing import Importer, discovered
from bethink.model import Filter, Query
from bethink.service import indexing
from bethink.service.memories import Memories

CUTS = (1, 5, 10)


def ask(memories: Memories, samples: list[dict[str, Any]], mode: Any, every: int) -> dict[str, float]:
    """Shares of the questions whose evidence was found."""
    counts = {f"{kind}@{cut}": 0 for kind in ("any", "all") for cut in CUTS}
    asked = 0
    started = time.perf_counter()
    for sample in samples:
        name = sample["sample_id"]
        where = Filter(reach=memories.reach(f"/home/u/{name}"))
        for one in sample["qa"][::every]:
            wanted = {f"{name}-session-{each.split(':')[0][1:]}:{each}" for each in one["evidence"] if ":" in each}
            if not wanted:
                continue
            asked += 1
            hits = memories.recall(Query(one["question"], where=where, limit=max(CUTS), mode=mode)).hits
            found = [str((hit.memory.origin or {}).get("uuid")) for hit in hits]
            for cut in CUTS:
                counts[f"any@{cut}"] += bool(wanted & set(found[:cut]))
                counts[f"all@{cut}"] += wanted <= set(found[:cut])
    seconds = time.perf_counter() - started
    return {"questions": asked, "ms": round(1000 * seconds / asked, 1), **{name: round(100 * n / asked, 1) for name, n in counts.items()}}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path(os.environ.get("BETHINK_EVAL", "../shared/eval")) / "locomo-dev.json")
    options.add_argument("--mode", default="keyword", choices=("keyword", "hybrid"))
    options.add_argument("--every", type=int, default=1, help="ask every so manieth question")
    options.add_argument("--markdown", type=Path)
    given = options.parse_args()
    if not given.data.is_file():
        print(f"no {given.data}: BETHINK_EVAL names the folder of the evaluation data")
        return
    with tempfile.TemporaryDirectory() as folder:
        turns = write(given.data, Path(folder) / "projects")
        home = Path(folder) / "home"
        with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=given.mode == "hybrid") as memories:
            report = Importer(memories, home).run(discovered(["claude-code"], {"claude-code": Path(folder) / "projects"}))
            if memories.embedder is not None:
                indexing.reindex(memories.store, memories.embedder)
            answer = {"mode": given.mode, "turns": turns, "memories": report.memories}
            answer |= ask(memories, json.loads(given.data.read_text("utf-8")), given.mode, given.every)
    print(json.dumps(answer, indent=2))
    if given.markdown:
        head = " | ".join(answer)
        row = " | ".join(str(value) for value in answer.values())
        given.markdown.write_text(f"LoCoMo dev, imported as transcripts:\n\n| {head} |\n|{'---|' * len(answer)}\n| {row} |\n", "utf-8")


if __name__ == "__main__":
    main()
