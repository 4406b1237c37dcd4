"""LoCoMo questions asked of imported sessions: is the turn that answers them found, or what was distilled from it?

    python bench/intake/questions.py [--data PATH] [--mode hybrid] [--markdown FILE]

The conversations are written as transcripts of Claude Code, imported into one store and looked through without a model (`bethink import`,
`distil`, `signals`); every question with evidence is asked within its project, as `memory_recall` does. What was distilled from a turn
counts as that turn. The tables are those of bench/quality/locomo.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bethink import config, wire
from bethink.intake import distil, signals
from bethink.intake.importing import Importer, discovered
from bethink.intake.models import Budget
from bethink.model import Filter, Memory, Query
from bethink.service import indexing
from bethink.service.memories import Memories
from bethink.text import tokens
from intake.locomo_transcripts import write
from quality.locomo import SHOWN, Question, markdown, questions_of, scores, summary, turns_of

LIMIT = 100


def said(memories: Memories, memory: Memory) -> Iterator[str]:
    """The turns that a memory is, or was distilled from, as their transcripts call them."""
    uuid = (memory.origin or {}).get("uuid")
    if uuid:
        yield str(uuid)
        return
    links = memories.store.links_of(memories.access, [memory.id])
    sources = [link.target for link in links if link.type == "derived_from" and link.source == memory.id]
    for source in memories.store.get(memories.access, sources).values():
        yield str((source.origin or {}).get("uuid"))


def ask(memories: Memories, sample: dict[str, Any], mode: Any) -> list[Question]:
    """Asks every question of a conversation and scores the answers."""
    name = sample["sample_id"]
    session_of = {turn: session for turn, session, _, _ in turns_of(sample["conversation"])}
    where = Filter(reach=memories.reach(f"/home/u/{name}"))
    questions = questions_of(sample, set(session_of))
    for question in questions:
        started = time.process_time()
        hits = memories.recall(Query(question.text, where=where, limit=LIMIT, mode=mode)).hits
        question.took_ms = 1000 * (time.process_time() - started)
        uuids = dict.fromkeys(uuid for hit in hits for uuid in said(memories, hit.memory))
        ranked = [turn for uuid in uuids if (turn := uuid.partition(":")[2]) in session_of and uuid.startswith(f"{name}-session-")]
        question.turn = scores(ranked, question.gold)
        sessions = list(dict.fromkeys(session_of[turn] for turn in ranked))
        question.session = scores(sessions, list(dict.fromkeys(session_of[turn] for turn in question.gold)))
        question.tokens = sum(tokens(hit.memory.content) for hit in hits[:SHOWN])
    return questions


def main() -> int:
    """Measures and prints; 0 also when there is no data, which is said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BETHINK_EVAL", "../shared/eval")) / "locomo-dev.json")
    parser.add_argument("--mode", default="hybrid", choices=("keyword", "hybrid"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    if not given.data.is_file():
        print(f"skipped: there is no {given.data.name}; BETHINK_EVAL names the folder of the evaluation data")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        turns = write(given.data, Path(folder) / "projects")
        home = Path(folder) / "home"
        with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=given.mode == "hybrid") as memories:
            report = Importer(memories, home).run(discovered(["claude-code"], {"claude-code": Path(folder) / "projects"}))
            found = distil.run(memories, [], distil.Plan(), Budget(memories))
            corrected = signals.run(memories)
            if memories.embedder is not None:
                indexing.reindex(memories.store, memories.embedder)
            questions = [question for sample in json.loads(given.data.read_text("utf-8")) for question in ask(memories, sample, given.mode)]
    made = markdown(summary(questions)) + (
        f"\n{turns:,} turns of {len(report.session_ids)} sessions gave {report.memories:,} memories of the archive; "
        f"{found.stored} memories were distilled from them by patterns, {corrected.stored} by signals; asked by {given.mode} recall.\n"
    )
    if given.json:
        given.json.write_text(json.dumps(summary(questions), indent=1) + "\n", "utf-8")
    if given.markdown:
        given.markdown.write_text(made, "utf-8")
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
