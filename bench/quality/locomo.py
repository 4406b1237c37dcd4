"""Retrieval on LoCoMo conversations, through `Memories.recall` alone.

    python bench/quality/locomo.py [PATH] [--mode hybrid] [--bare] [--limit 100] [--conversations N] [--ablate] [--json FILE]

PATH is LoCoMo's JSON (CC BY-NC 4.0, not part of this repository; https://github.com/snap-research/locomo), by default
`locomo-dev.json` in the folder that `BETHINK_EVAL` names. Each conversation gets its own store. Each turn is one memory
"Speaker: text [image: caption]", created when its session took place, with the session's name; `--bare` leaves the name out.

Turn level: gold are the evidence turns; questions of categories 1 to 4. Session level: sessions ranked by their best
turn; all questions with evidence. hit@1 and any@k: at least one gold item among the first k; fractional: their share;
all: every one. NDCG@10 is divided by that of an ideal ranking of all gold items. A gold turn that was not stored (merged,
quarantined, superseded) counts as missed. The tables are also written to `bench/results/`, from where `make docs` takes them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bethink import Draft, Memories, Query, maxsim, open_memories, rank
from bethink.config import load
from bethink.service.indexing import embed_pending
from bethink.text import tokens

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "inference", 4: "single-hop", 5: "adversarial"}
METRICS = ("hit@1", "any@5", "frac@5", "all@5", "any@10", "frac@10", "all@10", "ndcg@10", "mrr")
RESULTS = Path(__file__).resolve().parent.parent / "results"
#: The hits whose tokens are counted: what an assistant would be given.
SHOWN = 10


@dataclass
class Question:
    """One question, its gold turns, and what came of it."""

    conversation: str
    category: int
    text: str
    gold: tuple[str, ...]
    turn: dict[str, float] = field(default_factory=dict)
    session: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    took_ms: float = 0.0


def turns_of(conversation: dict[str, Any]) -> Iterator[tuple[str, str, datetime, str]]:
    """(turn's id, session, when, text) in the order they were said."""
    names = sorted((name for name in conversation if re.fullmatch(r"session_\d+", name)), key=lambda name: int(name[8:]))
    for name in names:
        at = datetime.strptime(conversation[f"{name}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for turn in conversation[name]:
            caption = f" [image: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            yield turn["dia_id"], name, at, f"{turn['speaker']}: {turn['text']}{caption}"


def questions_of(sample: dict[str, Any], known: set[str]) -> list[Question]:
    """The questions that have evidence among the turns."""
    questions = []
    for entry in sample["qa"]:
        named = dict.fromkeys(re.findall(r"D\d+:\d+", " ".join(entry.get("evidence") or [])))
        gold = tuple(each for each in named if each in known)
        if gold:
            questions.append(Question(sample["sample_id"], entry["category"], entry["question"], gold))
    return questions


def scores(ranked: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """All metrics of one ranking without repetitions."""
    places = sorted(ranked.index(each) if each in ranked else sys.maxsize for each in gold)
    answer = {"hit@1": float(places[0] == 0), "mrr": 1 / (1 + places[0]) if places[0] < sys.maxsize else 0.0}
    for k in (5, 10):
        found = sum(place < k for place in places)
        answer |= {f"any@{k}": float(found > 0), f"frac@{k}": found / len(places), f"all@{k}": float(found == len(places))}
    ideal = sum(1 / math.log2(2 + place) for place in range(min(10, len(places))))
    answer["ndcg@10"] = sum(1 / math.log2(2 + place) for place in places if place < 10) / ideal
    return answer


@dataclass
class Stored:
    """A conversation in a store of its own."""

    memories: Memories
    turn_of: dict[str, str]
    session_of: dict[str, str]
    counts: dict[str, int]


def store(sample: dict[str, Any], folder: Path, *, bare: bool, with_embedder: bool) -> Stored:
    """Stores the turns as memories and makes their vectors."""
    name = sample["sample_id"]
    memories = open_memories(settings=load({"MEMORY_DB": str(folder / f"{name}.db")}), with_embedder=with_embedder)
    stored = Stored(memories, {}, {}, defaultdict(int))
    for turn, session, at, text in turns_of(sample["conversation"]):
        answer = memories.remember(Draft(text, created_at=at, session=None if bare else f"{name}/{session}"))
        stored.counts[answer.action] += 1
        stored.counts["replaced"] += len(answer.superseded)
        stored.turn_of.setdefault(answer.memory.id, turn)
        stored.session_of[turn] = session
    index_all(memories)
    return stored


def ask(stored: Stored, sample: dict[str, Any], *, mode: Any, limit: int) -> list[Question]:
    """Asks every question and scores the answers."""
    questions = questions_of(sample, set(stored.session_of))
    for question in questions:
        started = time.process_time()
        hits = stored.memories.recall(Query(question.text, mode=mode, limit=limit)).hits
        question.took_ms = 1000 * (time.process_time() - started)
        ranked = [stored.turn_of[hit.memory.id] for hit in hits]
        sessions = list(dict.fromkeys(stored.session_of[turn] for turn in ranked))
        question.turn = scores(ranked, question.gold)
        question.session = scores(sessions, list(dict.fromkeys(stored.session_of[turn] for turn in question.gold)))
        question.tokens = sum(tokens(hit.memory.content) for hit in hits[:SHOWN])
    return questions


@contextmanager
def without(*parts: str) -> Iterator[None]:
    """Recall with parts of the ranking switched off: "late", "context" (the turns before a turn), "company" (its conversation)."""
    off = {
        "late": patch.object(maxsim, "late_scores", lambda *_: {}),
        "context": patch.object(rank, "CONTEXT", ()),
        "company": patch.object(rank, "_COMPANY", 0.0),
    }
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(off[part])
        yield


#: What each part of the ranking brings: (name, mode, parts switched off).
ABLATIONS = (
    ("keywords alone (BM25)", "keyword", ("late", "context", "company")),
    ("meaning alone (cosine)", "semantic", ("late", "context", "company")),
    ("equal-weight rank fusion of the two", "rrf", ("late", "context", "company")),
    ("score fusion of the two", "hybrid", ("late", "context", "company")),
    ("+ late interaction", "hybrid", ("context", "company")),
    ("+ read with the turns before", "hybrid", ("company",)),
    ("+ the rest of the conversation (all)", "hybrid", ()),
)


def index_all(memories: Memories) -> None:
    """Makes every missing vector."""
    while memories.embedder is not None and embed_pending(memories.store, memories.embedder, limit=256):
        pass


def mean(questions: Sequence[Question], level: str) -> dict[str, float]:
    """Means over questions of one level's metrics."""
    rows = [getattr(question, level) for question in questions]
    return {metric: statistics.fmean(row[metric] for row in rows) for metric in METRICS} if rows else {}


def summary(questions: Sequence[Question]) -> dict[str, Any]:
    """The whole report as plain data."""
    answerable = [question for question in questions if question.category < 5]
    conversations = sorted({question.conversation for question in questions})
    answer: dict[str, Any] = {
        "questions": len(questions),
        "turn": {"questions": len(answerable), "all": mean(answerable, "turn")},
        "session": {"questions": len(questions), "all": mean(questions, "session")},
        "tokens_of_10": {
            "mean": statistics.fmean(q.tokens for q in questions),
            "p95": sorted(q.tokens for q in questions)[int(0.95 * len(questions))],
        },
        "cpu_ms": {
            "p50": statistics.median(q.took_ms for q in questions),
            "p95": sorted(q.took_ms for q in questions)[int(0.95 * len(questions))],
        },
    }
    for level, counted in (("turn", answerable), ("session", list(questions))):
        answer[level]["by_category"] = {
            name: {"questions": len(some), **mean(some, level)}
            for number, name in CATEGORIES.items()
            if (some := [question for question in questions if question.category == number])
        }
        answer[level]["by_conversation"] = {name: mean([q for q in counted if q.conversation == name], level) for name in conversations}
    return answer


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    lines = []
    for level in ("turn", "session"):
        part = report[level]
        spread = part["by_conversation"].values()
        lines += [
            f"**{level.capitalize()} level** ({part['questions']} questions)",
            "",
            "| | n | " + " | ".join(METRICS) + " |",
            "|---" * (len(METRICS) + 2) + "|",
        ]
        lines.append(f"| **all** | {part['questions']} | " + " | ".join(f"**{part['all'][metric]:.3f}**" for metric in METRICS) + " |")
        lines.append(
            "| least to most of a conversation | | "
            + " | ".join(f"{min(r[m] for r in spread):.2f}–{max(r[m] for r in spread):.2f}" for m in METRICS)
            + " |"
        )
        lines += [
            f"| {name} | {row['questions']} | " + " | ".join(f"{row[m]:.3f}" for m in METRICS) + " |"
            for name, row in part["by_category"].items()
        ]
        lines.append("")
    lines.append(
        f"Tokens of ten hits: {report['tokens_of_10']['mean']:.0f} on average, 95 % of answers at most {report['tokens_of_10']['p95']}."
    )
    return "\n".join(lines) + "\n"


def ablation_table(rows: dict[str, list[Question]]) -> str:
    """What each part brings, with the least and the most of a conversation."""
    shown = (("turn", "frac@5"), ("turn", "frac@10"), ("turn", "mrr"), ("session", "any@5"), ("session", "all@5"), ("session", "hit@1"))
    lines = ["| ranking | " + " | ".join(f"{level} {metric}" for level, metric in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for name, questions in rows.items():
        cells = []
        for level, metric in shown:
            counted = [q for q in questions if level == "session" or q.category < 5]
            each = [
                mean([q for q in counted if q.conversation == c], level)[metric] for c in dict.fromkeys(q.conversation for q in counted)
            ]
            cells.append(f"{mean(counted, level)[metric]:.3f} ({min(each):.2f}–{max(each):.2f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measures and prints; 0 also when there is no data, which is said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--mode", choices=("hybrid", "keyword", "semantic", "rrf"), default="hybrid")
    parser.add_argument("--bare", action="store_true", help="store turns without the session's name")
    parser.add_argument("--limit", type=int, default=100, help="hits asked for; sessions are ranked by them")
    parser.add_argument("--conversations", type=int, default=None, help="only the first N")
    parser.add_argument("--ablate", action="store_true", help="also measure what each part of the ranking brings (minutes)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    path = arguments.path or Path(os.environ.get("BETHINK_EVAL", "../shared/eval")) / "locomo-dev.json"
    if not path.exists():
        print(f"skipped: there is no {path.name} at the path given or in the folder that BETHINK_EVAL names")
        return 0
    questions: list[Question] = []
    ablated: dict[str, list[Question]] = {name: [] for name, _, _ in ABLATIONS} if arguments.ablate else {}
    counts: dict[str, int] = defaultdict(int)
    for sample in json.loads(path.read_text("utf-8"))[: arguments.conversations]:
        with tempfile.TemporaryDirectory() as folder:
            stored = store(sample, Path(folder), bare=arguments.bare, with_embedder=arguments.ablate or arguments.mode != "keyword")
            some = ask(stored, sample, mode=arguments.mode, limit=arguments.limit)
            for name, mode, off in ABLATIONS if arguments.ablate else ():
                with without(*off):
                    ablated[name] += ask(stored, sample, mode=mode, limit=arguments.limit)
            stored.memories.close()
        questions += some
        for name, value in stored.counts.items():
            counts[name] += value
        turn = mean([q for q in some if q.category < 5], "turn")
        print(sample["sample_id"], dict(stored.counts), {name: round(value, 3) for name, value in turn.items()}, file=sys.stderr)
    report = {"mode": arguments.mode, "bare": arguments.bare, "stored": dict(counts), **summary(questions)}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(markdown(report))
    print(f"CPU per recall: p50 {report['cpu_ms']['p50']:.1f} ms, p95 {report['cpu_ms']['p95']:.1f} ms")
    if ablated:
        print(ablation_table(ablated))
    if arguments.mode == "hybrid" and arguments.conversations is None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "locomo.md").write_text(markdown(report), "utf-8")
        if ablated:
            (RESULTS / "locomo-ablation.md").write_text(ablation_table(ablated), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
