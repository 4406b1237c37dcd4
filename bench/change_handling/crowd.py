"""Change handling in a crowded store, where every word of a case is in hundreds of other memories.

    python bench/change_handling/crowd.py [--memories 20000] [--kept 0.15] [--no-model] [--markdown FILE]

The other memories are sentences of the cases in which most words were replaced by words of other cases; a few of them say by chance what
a case says, so that not all can be right. Counted is whether `Memories.check` names the right memory and what to do; false corrections are
none of the crowd's business, `run.py` counts these.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bethink import Access, Draft, Memories
from bethink.embed.onnx import OnnxEmbedder
from bethink.service import drafts
from bethink.service.indexing import embed_pending
from bethink.stores.sqlite import SQLiteStore

sys.path.insert(0, str(Path(__file__).resolve().parent))

from run import Case, cases

BATCH = 2_000


def crowd(known: list[Case], kept: float) -> Iterator[str]:
    """Sentences of which each word is kept with a probability."""
    chance = random.Random(5)
    texts = [text for case in known for text in (*case.known, case.said)]
    words = [word for text in texts for word in text.split()]
    while True:
        yield " ".join(word if chance.random() < kept else chance.choice(words) for word in chance.choice(texts).split())


def stored(memories: Memories, texts: list[str]) -> list[str]:
    """Stores without asking the guard; answers the ids."""
    made = [drafts.memory_of(drafts.validated(Draft(text)), "local", memories.writer, memories.now()) for text in texts]
    with memories.store.write(memories.access) as tx:
        for one in made:
            tx.insert(one)
    return [one.id for one in made]


def measured(memories: Memories, known: list[Case]) -> tuple[float, list[float]]:
    """The share right, and milliseconds of each check."""
    right, took = 0, []
    for case in known:
        ids = stored(memories, list(case.known))
        if memories.embedder is not None:
            embed_pending(memories.store, memories.embedder, limit=100)
        began = time.perf_counter()
        verdict = memories.check(case.said)
        took.append((time.perf_counter() - began) * 1000)
        target = verdict.target.id if verdict.target else None
        right += verdict.action == case.wanted and (verdict.action == "ADD" or target == ids[0])
        for id in ids:
            memories.forget(id)
            memories.purge(id)
    return right / len(known), took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=20_000)
    parser.add_argument("--kept", type=float, default=0.15, help="share of the words that stay where they are")
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    known = [case for case in cases("all") if case.kind != "other project"]
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "crowd.db")
        memories = Memories(store, Access.local(), embedder=None if asked.no_model else OnnxEmbedder())
        others = crowd(known, asked.kept)
        for first in range(0, asked.memories, BATCH):
            stored(memories, [next(others) for _ in range(min(BATCH, asked.memories - first))])
        if memories.embedder is not None:
            while embed_pending(store, memories.embedder, limit=BATCH):
                pass
        share, took = measured(memories, known)
        memories.close()
    text = (
        "| memories | model | cases | right | check p50 ms | p95 ms |\n|---|---|---|---|---|---|\n"
        f"| {asked.memories:,} | {'none' if asked.no_model else 'MiniLM'} | {len(known)} | {share:.3f} "
        f"| {statistics.median(took):.1f} | {statistics.quantiles(took, n=20)[-1]:.1f} |\n"
    )
    print(text)
    if asked.markdown:
        asked.markdown.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
