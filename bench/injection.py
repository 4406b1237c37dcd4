"""What a prompt hook puts before a model unasked: the right memory when there is one, nothing when there is none.

    python bench/injection.py [PATH] [--conversations N] [--choose] [--json FILE] [--markdown FILE]

PATH is LoCoMo's JSON (see bench/quality/locomo.py), by default `locomo-dev.json` in the folder that `BETHINK_EVAL` names. Each
conversation gets a store that holds its turns; its questions with evidence (categories 1 to 4) are the related prompts. A developer's
store (the notes of bench/quality/probes.py among 300 others) is asked with paraphrases and identifiers. Unrelated prompts
(bench/unrelated.py and those of the probes) are put to every store.

Warm is hybrid recall as in a server process, cold is keywords alone as in a hook without one. Every prompt is a session of its own.
`--choose` sweeps the floors: for each store left out, the lowest floor that keeps 97 % silence on the others, and what it does there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bethink import Draft, Memories, open_memories
from bethink.config import load
from bethink.service import injecting
from bethink.service.indexing import embed_pending
from bethink.text import tokens
from quality.locomo import questions_of, turns_of
from quality.probes import IDENTIFIERS, PARAPHRASES, UNRELATED, distractors
from unrelated import every

BUDGET = 600
#: Silence asked of the other stores when a floor is chosen; the bar for the one left out is 95 %.
WANTED = 0.97
BAR_SILENCE, BAR_TOKENS = 0.95, 300
WAYS = ("warm", "cold")


@dataclass
class Outcome:
    """What one prompt was answered with."""

    store: str
    #: Ids of memories that are right; none for an unrelated prompt.
    right: frozenset[str]
    style: str
    given: tuple[str, ...] = ()
    tokens: int = 0
    #: The highest confidence of any hit, and of a right one.
    best: float = 0.0
    best_right: float = 0.0
    text: str = ""
    #: (score, confidence, whether it is right, tokens of its content) of the first hits.
    hits: tuple[tuple[float, float, bool, int], ...] = ()


@dataclass
class Store:
    """A filled store and the prompts that it knows something about."""

    name: str
    memories: Memories
    related: list[tuple[str, str, frozenset[str]]] = field(default_factory=list)


def conversations(path: Path, count: int | None, folder: Path) -> Iterator[Store]:
    for sample in json.loads(path.read_text("utf-8"))[:count]:
        memories = opened(folder / f"{sample['sample_id']}.db")
        ids: dict[str, str] = {}
        for turn, session, at, text in turns_of(sample["conversation"]):
            ids[turn] = memories.remember(Draft(text, created_at=at, session=f"{sample['sample_id']}/{session}")).memory.id
        store = Store(sample["sample_id"], memories)
        for question in questions_of(sample, set(ids)):
            if question.category < 5:
                store.related.append((f"category {question.category}", question.text, frozenset(ids[turn] for turn in question.gold)))
        yield store


def developer(folder: Path) -> Store:
    memories = opened(folder / "developer.db")
    store = Store("developer", memories)
    for style, pairs in (("paraphrase", PARAPHRASES), ("identifier", IDENTIFIERS)):
        for content, asked in pairs:
            id = memories.remember(Draft(content)).memory.id
            store.related.append((style, asked, frozenset((id,))))
    for note in distractors(300):
        memories.remember(Draft(note))
    return store


def opened(path: Path) -> Memories:
    return open_memories(settings=load({"MEMORY_HOME": str(path.parent), "MEMORY_DB": str(path)}))


def index(memories: Memories) -> None:
    while memories.embedder is not None and embed_pending(memories.store, memories.embedder, limit=256):
        pass


def outcomes(store: Store, way: str) -> list[Outcome]:
    """Every prompt put to one store."""
    memories = store.memories
    embedder = memories.embedder
    if way == "cold":
        memories.embedder = None
    prompts = [*store.related, *((style, prompt, frozenset[str]()) for style, prompt in unrelated())]
    answer = []
    for style, prompt, right in prompts:
        hits = injecting.candidates(memories, prompt, project=None)
        given = injecting.for_prompt(memories, prompt, project=None, seen=frozenset(), budget_tokens=BUDGET)
        answer.append(
            Outcome(
                store.name,
                right,
                style,
                given.ids,
                given.tokens,
                max((hit.why["confidence"] for hit in hits), default=0.0),
                max((hit.why["confidence"] for hit in hits if hit.memory.id in right), default=0.0),
                prompt,
                tuple((hit.score, hit.why["confidence"], hit.memory.id in right, tokens(hit.memory.content)) for hit in hits),
            )
        )
    memories.embedder = embedder
    return answer


def unrelated() -> list[tuple[str, str]]:
    return [*every(), *(("of the probes", prompt) for prompt in UNRELATED)]


def row(some: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of a group of prompts."""
    related = [one for one in some if one.right]
    silent = [one for one in some if not one.right]
    told = [one.tokens for one in some if one.given]
    return {
        "related": len(related),
        "right_injected": statistics.fmean(bool(one.right & set(one.given)) for one in related) if related else None,
        "first_is_right": statistics.fmean(bool(one.given) and one.given[0] in one.right for one in related) if related else None,
        "related_silent": statistics.fmean(not one.given for one in related) if related else None,
        "unrelated": len(silent),
        "silence": statistics.fmean(not one.given for one in silent) if silent else None,
        "tokens_median": statistics.median(told) if told else 0,
        "tokens_p95": sorted(told)[int(0.95 * len(told))] if told else 0,
        "items_mean": statistics.fmean(len(one.given) for one in some if one.given) if told else 0,
    }


def chosen(some: Sequence[Outcome]) -> dict[str, Any]:
    """For each store left out: the floor that the others ask for, and what it does there."""
    answer = {}
    for left_out in sorted({one.store for one in some}):
        best = sorted(one.best for one in some if one.store != left_out and not one.right)
        floor = best[min(int(WANTED * len(best)), len(best) - 1)] + 0.001
        there = [one for one in some if one.store == left_out]
        answer[left_out] = {
            "floor": round(floor, 3),
            "silence": statistics.fmean(one.best < floor for one in there if not one.right),
            "right_above": statistics.fmean(one.best_right >= floor for one in there if one.right),
        }
    return answer


def measure(path: Path, count: int | None, folder: Path) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {way: [] for way in WAYS}
    stores = [developer(folder)]
    for store in (*stores, *(conversations(path, count, folder) if path.exists() else ())):
        index(store.memories)
        for way in WAYS:
            some = outcomes(store, way)
            found[way] += some
            print(
                store.name, way, {name: value if value is None else round(value, 3) for name, value in row(some).items()}, file=sys.stderr
            )
        store.memories.close()
    return found


def markdown(found: dict[str, list[Outcome]]) -> str:
    lines = [
        "| store | | prompts | right injected | first is right | silent though related | silent on unrelated | median tokens | p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(one.store for one in found["warm"]))
    groups = [("developer", ["developer"]), ("conversations", [name for name in names if name != "developer"])]
    for title, members in groups:
        for way in WAYS:
            some = [one for one in found[way] if one.store in members]
            if some:
                it = row(some)
                lines.append(
                    f"| {title} | {way} | {it['related']} + {it['unrelated']} | {it['right_injected']:.3f} | {it['first_is_right']:.3f} | "
                    f"{it['related_silent']:.3f} | **{it['silence']:.3f}** | {it['tokens_median']:.0f} | {it['tokens_p95']} |"
                )
    lines += ["", "Silence on unrelated prompts by style, all stores:", "", "| style | warm | cold |", "|---|---|---|"]
    for style in dict.fromkeys(style for style, _ in unrelated()):
        cells = [statistics.fmean(not one.given for one in found[way] if one.style == style and not one.right) for way in WAYS]
        lines.append(f"| {style} | {cells[0]:.3f} | {cells[1]:.3f} |")
    return "\n".join(lines) + f"\n\nBars: silence at least {BAR_SILENCE}, median at most {BAR_TOKENS} tokens.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--conversations", type=int, default=None, help="only the first N")
    parser.add_argument("--choose", action="store_true", help="sweep the floors, leaving one store out at a time")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    path = arguments.path or Path(os.environ.get("BETHINK_EVAL", "../shared/eval")) / "locomo-dev.json"
    if not path.exists():
        print(f"conversations are left out: there is no {path.name} at the path given or in the folder that BETHINK_EVAL names")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(path, arguments.conversations, Path(folder))
    made = markdown(found)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({way: [{**vars(one), "right": sorted(one.right)} for one in some] for way, some in found.items()}, indent=1), "utf-8"
        )
    if arguments.markdown:
        arguments.markdown.write_text(made, "utf-8")
    print(made)
    if arguments.choose:
        for way in WAYS:
            print(way, json.dumps(chosen(found[way]), indent=1))
    rows = [
        row([one for one in found[way] if (one.store == "developer") == is_developer]) for way in WAYS for is_developer in (True, False)
    ]
    kept = all(it["silence"] is None or (it["silence"] >= BAR_SILENCE and it["tokens_median"] <= BAR_TOKENS) for it in rows)
    print("The bars are kept." if kept else "A bar is MISSED.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
