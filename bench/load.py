"""How much a team's server bears: PostgreSQL and `bethink serve` on this machine, keep-alive clients, reads and writes.

    python bench/load.py [--size 100000] [--clients 50] [--seconds 60] [--reads 0.8] [--embedder none|onnx] [--markdown FILE]

Memories are made up (corpus.py) and belong to one user; their vectors are directions around 300 centres, so that an index has
something to find. Reads are recalls; writes are stores, with the secret scan and the write guard. Without an embedder recalls are by
keyword, as a server answers whose queue for the model is full: what is measured is the server and the database. Beside it, in the same
run and on the same rows: a bare FastAPI route that runs one `ts_rank` query, which is what a server cannot do less than.

Then the index: how many of the exact ten nearest the store finds, over all memories and in a project that holds one in a hundred.
Clients, server and database share the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bethink.embed.base import Identity
from bethink.model import EVERYWHERE, Access, Filter, Reach
from bethink.stores.postgres import PostgresStore
from bethink.stores.postgres.rows import NAMES, SEARCHED, values_of
from corpus import Corpus, Question
from kit.postgres import Cluster
from kit.serve import Serving, free_port

OWNER, PROJECTS, DIMS, CENTRES = "team", 100, 384, 300
_BARE = """
import sys
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
import uvicorn

pool = ConnectionPool(sys.argv[1], min_size=1, max_size=10, kwargs={"autocommit": True}, open=True)
app = FastAPI()

@app.get("/search")
def search(q: str):
    sql = (
        "SELECT id, content, ts_rank(search, query) AS rank FROM memories, websearch_to_tsquery('english', %s) AS query "
        "WHERE owner = 'team' AND search @@ query ORDER BY rank DESC LIMIT 10"
    )
    with pool.connection() as connection:
        rows = connection.execute(sql, (q,)).fetchall()
    return [{"id": id, "content": content, "rank": rank} for id, content, rank in rows]

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
"""


@dataclass(frozen=True)
class Outcome:
    """What the clients saw."""

    name: str
    done: int
    seconds: float
    errors: int
    milliseconds: list[float]

    def row(self) -> str:
        p50, p95, p99 = (float(np.percentile(self.milliseconds, each)) for each in (50, 95, 99))
        return f"| {self.name} | {self.done / self.seconds:.0f} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {self.errors} |"


def fill(url: str, size: int) -> np.ndarray[Any, Any]:
    """Stores the memories and their vectors in bulk; answers the vectors."""
    columns = (*NAMES, *SEARCHED)
    chance = np.random.default_rng(7)
    centres = chance.standard_normal((CENTRES, DIMS)).astype(np.float32)
    vectors = centres[chance.integers(0, CENTRES, size)] + 0.7 * chance.standard_normal((size, DIMS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with psycopg.connect(url, autocommit=True) as db:
        with db.cursor().copy(f"COPY memories ({', '.join(columns)}) FROM STDIN") as copy:
            ids = []
            for memory in Corpus(owner=OWNER, projects=PROJECTS).memories(size):
                values = values_of(memory)
                ids.append(memory.id)
                copy.write_row([values[name] for name in columns])
        with db.cursor().copy("COPY windows (owner, id, place, vector, tokens) FROM STDIN") as copy:
            for id, vector in zip(ids, vectors, strict=True):
                copy.write_row((OWNER, id, 0, "[" + ",".join(f"{part:.4g}" for part in vector.tolist()) + "]", b""))
        db.execute("SET maintenance_work_mem = '512MB'")
        db.execute(f"CREATE INDEX windows_vector ON windows USING hnsw ((vector::halfvec({DIMS})) halfvec_cosine_ops)")
        db.execute("VACUUM ANALYZE")
    return vectors


def load(port: int, clients: int, seconds: float, ask: Callable[[HTTPConnection, random.Random], tuple[str, int]]) -> Iterator[Outcome]:
    """Keep-alive clients that ask again as soon as they are answered; one outcome for each kind of request."""
    times: dict[str, list[float]] = {}
    errors: Counter[str] = Counter()
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        chance = random.Random(number)
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        mine: list[tuple[str, float, bool]] = []
        while time.monotonic() < end:
            started = time.perf_counter()
            try:
                kind, status = ask(connection, chance)
            except (OSError, HTTPException):
                connection.close()
                kind, status = "broken", 0
            mine.append((kind, (time.perf_counter() - started) * 1000, 200 <= status < 300))
        connection.close()
        with lock:
            for kind, took, good in mine:
                times.setdefault(kind, []).append(took)
                errors[kind] += not good

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    for kind, each in sorted(times.items()):
        yield Outcome(kind, len(each), took, errors[kind], each)


def of_server(questions: list[Question], reads: float, key: str) -> Callable[[HTTPConnection, random.Random], tuple[str, int]]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    fresh = Corpus(seed=11)
    written = fresh.memories(1_000_000)
    lock = threading.Lock()

    def ask(connection: HTTPConnection, chance: random.Random) -> tuple[str, int]:
        if chance.random() < reads:
            question = chance.choice(questions)
            body = {"query": question.text, "expanded_query": question.expanded, "scope": "all"}
            return "bethink, recall", sent(connection, "POST", "/api/recall", dumps(body), headers)
        with lock:
            memory = next(written)
        body = {"content": memory.content, "category": memory.category, "tags": list(memory.tags)}
        return "bethink, store", sent(connection, "POST", "/api/memories", dumps(body), headers)

    return ask


def of_bare(questions: list[Question]) -> Callable[[HTTPConnection, random.Random], tuple[str, int]]:
    from urllib.parse import quote

    def ask(connection: HTTPConnection, chance: random.Random) -> tuple[str, int]:
        question = chance.choice(questions)
        words = " or ".join(f"{question.text} {question.expanded}".split())
        return "bare route, one ts_rank query", sent(connection, "GET", f"/search?q={quote(words)}", None, {})

    return ask


def sent(connection: HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]) -> int:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def of_index(url: str, vectors: np.ndarray[Any, Any], queries: int = 100) -> list[str]:
    """Share of the exact ten nearest that the store finds."""
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO facts (name, value) VALUES ('embedder', %s) ON CONFLICT DO NOTHING", (dumps(_identity()),))
    store = PostgresStore(url, migrating=False)
    chance = np.random.default_rng(3)
    asked = (
        vectors[chance.integers(0, len(vectors), queries)] + 0.5 * chance.standard_normal((queries, DIMS)).astype(np.float32) / DIMS**0.5
    )
    access, now = Access.local(OWNER), datetime.now(UTC)
    lines = []
    filters = {
        "no filter": Filter(reach=EVERYWHERE),
        "project of 1 %": Filter(reach=Reach(("example.org/team/service-7",), include_global=False)),
    }
    for name, where in filters.items():
        condition = "" if where.reach.projects is None else "AND m.project = 'example.org/team/service-7'"
        found = right = 0
        took = []
        with psycopg.connect(url) as db:
            db.execute("SET enable_indexscan = off")
            for vector in asked:
                literal = "[" + ",".join(f"{part:.6g}" for part in vector.tolist()) + "]"
                exact = {
                    row[0]
                    for row in db.execute(
                        "SELECT w.id FROM windows w JOIN memories m ON m.owner = w.owner AND m.id = w.id "
                        f"WHERE m.owner = 'team' {condition} "
                        f"ORDER BY w.vector::halfvec({DIMS}) <=> %s::halfvec({DIMS}) LIMIT 10",
                        (literal,),
                    )
                }
                started = time.perf_counter()
                nearest = store.similar(access, vector, where, now, k=10)
                took.append((time.perf_counter() - started) * 1000)
                found += len(exact & {memory.id for memory, _ in nearest})
                right += len(exact)
        lines.append(f"| {name} | {found / right:.3f} | {np.percentile(took, 50):.0f} | {np.percentile(took, 95):.0f} |")
    store.close()
    return lines


def _identity() -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(Identity("made-up", "1", DIMS, 0))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--size", type=int, default=100_000)
    asked.add_argument("--clients", type=int, default=50)
    asked.add_argument("--seconds", type=float, default=60)
    asked.add_argument("--reads", type=float, default=0.8)
    asked.add_argument("--embedder", default="none")
    asked.add_argument("--markdown", type=Path)
    given = asked.parse_args()
    cluster = Cluster(durable=True, options=["-c", "shared_buffers=512MB"])
    try:
        text = measured(cluster, given)
    finally:
        cluster.close()
    print(text)
    if given.markdown:
        given.markdown.write_text(text + "\n", "utf-8")


def measured(cluster: Cluster, given: argparse.Namespace) -> str:
    url = cluster.migrated()
    vectors = fill(url, given.size)
    questions = Corpus(owner=OWNER).questions(400)
    lines = ["| requests | per second | p50 ms | p95 ms | p99 ms | errors |", "|---|---|---|---|---|---|"]
    port = free_port()
    bare = subprocess.Popen([sys.executable, "-c", _BARE, url, str(port)])
    try:
        _until_open(port)
        lines += [each.row() for each in load(port, given.clients, given.seconds, of_bare(questions))]
    finally:
        bare.kill()
        bare.wait()
    key = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"DATABASE_URL": url, "API_KEY": key, "MEMORY_USER": OWNER, "MEMORY_EMBEDDER": given.embedder}
        with Serving(Path(folder), **settings) as server:
            outcomes = list(load(server.port, given.clients, given.seconds, of_server(questions, given.reads, key)))
    lines += [each.row() for each in outcomes]
    index = ["", "| nearest ten | share found | p50 ms | p95 ms |", "|---|---|---|---|", *of_index(url, vectors)]
    about = (
        f"{given.size:,} memories, {given.clients} clients, {given.seconds:.0f} s each, {given.reads:.0%} reads, "
        f"embedder {given.embedder}; "
        f"{os.cpu_count()} cores shared by clients, server and PostgreSQL 18; Python {platform.python_version()}."
    )
    return "\n".join([*lines, *index, "", about])


def _until_open(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.connect()
            connection.close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
