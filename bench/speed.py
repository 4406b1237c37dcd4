"""How fast and how large a store is: made-up memories, measured through `Memories` as a front door uses it.

    python bench/speed.py [--sizes 1000,10000,100000] [--keep FOLDER] [--queries 60] [--stores 100] [--json FILE] [--markdown FILE]

Stores are filled through the store's port in large transactions. Up to 2,000 memories are embedded by the real model; above,
their vectors are those of 2,000 embedded memories, disturbed, with as many token vectors as the real ones have, so that size and
work are real and only the meaning is not. `--keep` keeps the stores for the next run.

The baseline, on the same rows in a file of its own, is what the systems before it do: FTS5 over content, category, tags and
keywords, a query of all words of the question joined with OR, ordered by 0.7 × BM25 + 0.3 × importance.

Times are of one process; "CPU" is that of the thread, where a model is asked that of all threads. "open" is a new process that
opens the store and recalls by keyword; RSS is that of a process with the model loaded after every question was asked once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

# As `bethink` itself does: its matrices are small, and threads that wait for each other cost more than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import apsw
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bethink import Access, Draft, Filter, Memories, Query
from bethink.embed.base import Identity, Passage, QueryVectors
from bethink.embed.onnx import OnnxEmbedder, to_int8
from bethink.stores.sqlite import SQLiteStore
from corpus import Corpus, Question, identifier

REAL_UP_TO = 2_000
BASES = 2_000
BATCH = 5_000
ACCESS = Access.local()


@dataclass
class Times:
    """Milliseconds of repeated calls."""

    wall: list[float]
    cpu: list[float]

    def row(self) -> dict[str, float]:
        return {
            "wall_p50": statistics.median(self.wall),
            "wall_p95": quantile(self.wall, 0.95),
            "cpu_p50": statistics.median(self.cpu),
            "cpu_p95": quantile(self.cpu, 0.95),
        }


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(calls: Sequence[Callable[[], object]], clock: Callable[[], float] = time.thread_time) -> Times:
    wall, cpu = [], []
    for call in calls:
        began, worked = time.perf_counter(), clock()
        call()
        wall.append((time.perf_counter() - began) * 1000)
        cpu.append((clock() - worked) * 1000)
    return Times(wall, cpu)


class Remembered:
    """An embedder that knows the questions already: what is left is the store's part of a recall."""

    ready = True

    def __init__(self, real: OnnxEmbedder, questions: Sequence[Question]) -> None:
        self.identity: Identity = real.identity
        self._known = {asked(question): real.query(asked(question)) for question in questions}
        self.passages = real.passages

    def query(self, text: str) -> QueryVectors:
        return self._known[text]


def asked(question: Question) -> str:
    return f"{question.text} {question.expanded}"


def fill(path: Path, count: int, corpus: Corpus, embedder: OnnxEmbedder, say: Callable[[str], None]) -> float:
    """Makes the store; answers how many seconds the rows took."""
    store = SQLiteStore(path)
    there = store.page(ACCESS, Filter(), datetime.now(UTC), limit=0, offset=0).total
    began = time.perf_counter()
    for first in range(there, count, BATCH):
        with store.write(ACCESS) as tx:
            for memory in corpus.memories(min(BATCH, count - first), first):
                tx.insert(memory)
        say(f"{min(first + BATCH, count):,} rows")
    took = time.perf_counter() - began
    made = vectors_of(count, corpus, embedder)
    done = 0
    while waiting := store.pending_vectors(2_000):
        done += store.put_vectors(embedder.identity, [(key, content, next(made)) for key, content in waiting])
        say(f"{done:,} vectors")
    store.close()
    return took


def vectors_of(count: int, corpus: Corpus, embedder: OnnxEmbedder) -> Iterator[list[Passage]]:
    """The windows of the newest memory, the one before it …"""
    if count <= REAL_UP_TO:
        contents = [memory.content for memory in corpus.memories(count)]
        for last in range(count, 0, -64):
            yield from reversed(embedder.passages(contents[max(last - 64, 0) : last]))
        return
    bases = [windows[0] for windows in embedder.passages([memory.content for memory in corpus.memories(BASES)])]
    chance = np.random.default_rng(7)
    while True:
        for base in bases:
            vector = base.vector + chance.standard_normal(base.vector.shape[0], np.float32) * 0.02
            tokens = base.tokens.astype(np.float32) + chance.standard_normal(base.tokens.shape, np.float32) * 8
            tokens /= np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-9)
            yield [Passage(vector / np.linalg.norm(vector), to_int8(tokens))]


def fill_baseline(path: Path, store: SQLiteStore) -> apsw.Connection:
    """The same rows as the systems before it keep them."""
    db = apsw.Connection(str(path))
    if db.execute("SELECT 1 FROM sqlite_schema").get is None:
        db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        db.execute(
            "CREATE TABLE memories (id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT, category TEXT, tags TEXT, expanded_keywords TEXT, "
            "importance REAL, created_at TEXT);"
            "CREATE VIRTUAL TABLE memories_fts USING fts5 "
            "(content, category, tags, expanded_keywords, content = 'memories', content_rowid = 'id')"
        )
        with db:
            rows = (
                (m.content, m.category, ",".join(m.tags), m.expanded_keywords, m.importance, m.created_at.isoformat())
                for m in store.walk(ACCESS, Filter(), Memories(store, ACCESS).now())
            )
            db.executemany(
                "INSERT INTO memories (content, category, tags, expanded_keywords, importance, created_at) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            db.execute("INSERT INTO memories_fts (memories_fts) VALUES ('rebuild')")
    return db


def baseline_recall(db: apsw.Connection, question: Question) -> list[tuple[Any, ...]]:
    words = [word.replace('"', "") for word in asked(question).split()]
    sql = (
        "SELECT m.id, m.content, m.category, m.tags, m.importance, m.created_at FROM memories_fts f JOIN memories m ON m.id = f.rowid "
        "WHERE memories_fts MATCH ? ORDER BY (-bm25(memories_fts) * 0.7 + m.importance * 0.3) DESC LIMIT 10"
    )
    return db.execute(sql, (" OR ".join(f'"{word}"' for word in words),)).fetchall()


def measure(size: int, folder: Path, embedder: OnnxEmbedder, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    path = folder / f"{size}.db"
    corpus = Corpus()
    result: dict[str, Any] = {"memories": size}
    if not path.exists() or SQLiteStore(path).pending_vectors(1):
        result["fill_rows_per_second"] = size / fill(path, size, corpus, embedder, say)
    questions = corpus.questions(options.queries)
    store = SQLiteStore(path)
    result["bytes"] = sum(part.stat().st_size for part in folder.glob(f"{size}.db*"))
    result["bytes_per_memory"] = result["bytes"] / size
    result["parts"] = parts(path, size)
    known = Remembered(embedder, questions)
    plain, hybrid, whole = Memories(store, ACCESS), Memories(store, ACCESS, embedder=known), Memories(store, ACCESS, embedder=embedder)

    def recalls(memories: Memories, mode: str) -> Times:
        queries = [Query(each.text, expanded=each.expanded, mode=mode) for each in questions]  # type: ignore[arg-type]  # a mode's name
        for query in queries[:5]:
            memories.recall(query)
        clock = time.process_time if mode == "hybrid" else time.thread_time
        return timed([partial(memories.recall, query) for query in queries], clock)

    say("recall")
    result["keyword"] = recalls(plain, "keyword").row()
    result["hybrid_without_embedding"] = recalls(hybrid, "hybrid").row()
    result["hybrid"] = recalls(whole, "hybrid").row()
    probes = range(0, size, max(size // 50, 1))
    found = [plain.recall(Query(f"what did we decide about {identifier(n)}", mode="keyword", limit=3)).hits for n in probes]
    result["identifiers_found"] = statistics.mean(
        any(identifier(n) in hit.memory.content.lower() for hit in hits) for n, hits in zip(probes, found, strict=True)
    )
    say("check")
    statements = [each.text.replace("how did we configure", "We always configure") + "." for each in questions]
    result["check_short"] = timed([partial(whole.check, text) for text in statements], time.process_time).row()
    others = [memory.content for memory in Corpus(12).memories(options.queries, 20_000_000)]
    result["check_long"] = timed([partial(whole.check, text) for text in others], time.process_time).row()
    say("list, count")
    result["list_20"] = timed([lambda: plain.list(Filter()) for _ in range(5)]).row()
    result["stats"] = timed([plain.stats for _ in range(3)]).row()
    say("baseline")
    old = fill_baseline(folder / f"{size}.baseline.db", store)
    sample = questions[: max(10, options.queries // 3)] if size > 100_000 else questions
    result["baseline"] = timed([partial(baseline_recall, old, each) for each in sample]).row()
    old.close()
    result["keyword_cpu_ratio"] = result["baseline"]["cpu_p50"] / result["keyword"]["cpu_p50"]
    store.close()
    result |= in_new_process(path, questions)
    say("store")
    result["store"] = stores(path, folder, size, corpus, options.stores)
    return result


def parts(path: Path, size: int) -> dict[str, float]:
    """Bytes per memory of the tables and indexes, the largest first."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = db.execute("SELECT name, sum(pgsize) FROM dbstat WHERE aggregate = TRUE GROUP BY 1 ORDER BY 2 DESC").fetchall()
    except apsw.SQLError:
        return {}  # this SQLite was built without dbstat
    return {name: used / size for name, used in rows}


def stores(path: Path, folder: Path, size: int, corpus: Corpus, count: int) -> dict[str, float]:
    """Acknowledged writes of memories that are new, one by one, with what guards them, on a copy."""
    copy = folder / f"{size}.copy.db"
    shutil.copyfile(path, copy)
    from bethink import open_memories

    os.environ["MEMORY_HOME"] = str(folder / "home")
    memories = open_memories(copy)
    drafts = [Draft(m.content, m.category, m.tags, m.expanded_keywords, m.importance) for m in Corpus(11).memories(count + 5, 10_000_000)]
    for draft in drafts[:5]:
        memories.remember(draft)
    times = timed([partial(memories.remember, draft) for draft in drafts[5:]])
    memories.close()
    for part in folder.glob(f"{size}.copy.db*"):
        part.unlink()
    return times.row()


CHILD = """
import json, sys, time
began = time.perf_counter()
from bethink.stores.sqlite import SQLiteStore
from bethink import Access, Memories, Query
imported = time.perf_counter()
path, questions = sys.argv[1], json.loads(sys.argv[2])
memories = Memories(SQLiteStore(__import__("pathlib").Path(path)), Access.local())
opened = time.perf_counter()
memories.recall(Query(questions[0], mode="keyword"))
first = time.perf_counter()
from bethink.embed.onnx import OnnxEmbedder
memories.embedder = OnnxEmbedder()
for question in questions:
    memories.recall(Query(question))
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line) if sys.platform == "linux" else {}
size = lambda name: int(status[name].split()[0]) / 1024 if name in status else None
print(json.dumps({"import_ms": (imported - began) * 1000, "open_ms": (opened - imported) * 1000, "first_recall_ms": (first - opened) * 1000,
                  "rss_mb": size("VmRSS"), "rss_own_mb": size("RssAnon")}))
"""


def in_new_process(path: Path, questions: Sequence[Question]) -> dict[str, Any]:
    asking = json.dumps([asked(question) for question in questions])
    done = subprocess.run([sys.executable, "-c", CHILD, str(path), asking], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def markdown(results: Sequence[dict[str, Any]]) -> str:
    def times(row: dict[str, float], kind: str) -> str:
        return f"{row[f'{kind}_p50']:.1f} / {row[f'{kind}_p95']:.1f}"

    def recall(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda r: f"{times(r[name], 'wall')} [{times(r[name], 'cpu')}]"

    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("store, acknowledged and synced", recall("store")),
        ("recall by keyword", recall("keyword")),
        ("recall, hybrid, question embedded before", recall("hybrid_without_embedding")),
        ("recall, hybrid", recall("hybrid")),
        ("baseline: FTS5 OR query", recall("baseline")),
        ("baseline ÷ keyword, CPU p50", lambda r: f"{r['keyword_cpu_ratio']:.1f}×"),
        ("check of a short statement", recall("check_short")),
        ("check of a content as long as a memory", recall("check_long")),
        ("list of 20", recall("list_20")),
        ("stats", recall("stats")),
        ("new process: open; first keyword recall", lambda r: f"{r['open_ms']:.0f}; {r['first_recall_ms']:.0f}"),
        ("identifiers found", lambda r: f"{r['identifiers_found']:.0%}"),
        ("bytes on disk per memory", lambda r: f"{r['bytes_per_memory']:,.0f}"),
        ("of these token vectors (`MEMORY_TOKEN_VECTORS=0` leaves them out)", lambda r: f"{r['parts'].get('token_vectors', 0):,.0f}"),
        ("RSS with the model (own pages), MB", lambda r: f"{r['rss_mb'] or 0:.0f} ({r['rss_own_mb'] or 0:.0f})"),
    ]
    head = ["ms: wall p50 / p95 [CPU p50 / p95]", *(f"{r['memories']:,}" for r in results)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join([name, *(show(result) for result in results)]) + " |" for name, show in rows]
    where = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}"
    return "\n".join([*lines, "", f"`python bench/speed.py`, {where}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000", help="memories, comma-separated")
    parser.add_argument("--keep", type=Path, help="folder for the stores, which stay there")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--stores", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    embedder = OnnxEmbedder()
    results = []
    with tempfile.TemporaryDirectory(prefix="bethink-speed-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for size in (int(part) for part in options.sizes.split(",")):

            def say(what: str, size: int = size) -> None:
                print(f"\r\x1b[K{size:,}: {what}", end="", file=sys.stderr, flush=True)

            results.append(measure(size, folder, embedder, options, say))
    print(file=sys.stderr)
    text = markdown(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
