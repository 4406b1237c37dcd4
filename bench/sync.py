"""What replication costs: a snapshot, an idle round, one change on its way, one differing row; and a server that hangs.

    python bench/sync.py [--memories 100000] [--changes 60] [--starts 20] [--keep FILE] [--markdown FILE]

A real `bethink serve` over SQLite as a process of its own, replicas in this one, on this machine. Bytes are those of bodies as they
pass, compressed. A change is measured from the moment that one machine's store has acknowledged it: until the server has it (the
write nudges the sender), and until the other machine has it, which looks every second here and every MEMORY_SYNC_INTERVAL (60) seconds
by default. With a server that takes connections and never answers, `initialize` (a new process) and `memory_store` are compared
with local mode, in turns. `--keep` keeps the server's store for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from bethink.model import Access, Draft, Filter
from bethink.service.memories import Memories
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.engine import Engine
from bethink.sync.http import HttpPeer
from bethink.sync.replica import Replica
from bethink.sync.session import Session
from corpus import Corpus
from kit.mcp import Bare
from kit.replicas import START
from kit.serve import Serving

PERSON = "ann"
KEY = "-".join(("a", "key", "for", "measuring", "only"))
Row = tuple[object, ...]


class Machine:
    """A store that is a replica of the server."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        (folder / name).mkdir()
        self.folder, self.name, self.url = folder / name, name, url
        self.store = SQLiteStore(folder / name / "memory.db")
        self.replica = Replica(self.store, "local")
        self.peer = HttpPeer(url, KEY, client=name)
        self.memories = Memories(self.store, Access.local("local"))

    def round(self, what: str, *, verify: bool = False) -> Row:
        """One round and what it cost."""
        before = self.peer.sent_bytes, self.peer.received_bytes
        wall, cpu = time.perf_counter(), time.process_time()
        report = Session(self.replica, self.peer).round(verify=verify)
        assert report.ok, report.errors
        spent = time.perf_counter() - wall, time.process_time() - cpu
        sent, received = self.peer.sent_bytes - before[0], self.peer.received_bytes - before[1]
        return what, f"{spent[0] * 1000:,.0f}", f"{spent[1] * 1000:,.0f}", f"{sent:,}", f"{received:,}"

    def engine(self, interval: float) -> Engine:
        return Engine(
            lambda: Replica(SQLiteStore(self.folder / "memory.db"), "local"),
            lambda: HttpPeer(self.url, KEY, client=self.name),
            lock=self.folder / "lock",
            status=self.folder / "status",
            interval=interval,
        )


def filled(path: Path, count: int) -> None:
    """The server's store, before it starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    access = Access.local(PERSON)
    with closing(SQLiteStore(path)) as store:
        batch = []
        for memory in Corpus(owner=PERSON).memories(count):
            batch.append(memory)
            if len(batch) == 1000:
                _insert(store, access, batch)
                batch = []
        _insert(store, access, batch)


def _insert(store: SQLiteStore, access: Access, batch: Sequence[object]) -> None:
    with store.write(access) as tx:
        for memory in batch:
            tx.insert(memory)  # type: ignore[arg-type]  # a Memory; the corpus yields nothing else


def replication(folder: Path, count: int, changes: int, keep: Path | None) -> tuple[list[Row], list[Row]]:
    """Rows of rounds, and rows of changes on their way."""
    ours = folder / "server" / "memory" / "memory.db"
    ours.parent.mkdir(parents=True)
    if keep is None or not keep.exists():
        filled(keep or ours, count)
    if keep is not None:
        shutil.copy(keep, ours)
    with Serving(folder / "server", API_KEYS=json.dumps({PERSON: KEY})) as serving:
        one, two = (Machine(folder, name, serving.url) for name in ("one", "two"))
        rounds = [one.round(f"first snapshot of {count:,} memories")]
        two.round("")
        one.round("")
        rounds.append(one.round("idle round"))
        rounds.append(one.round("idle round that compares", verify=True))
        (victim,) = list(one.store.walk(Access.local("local"), Filter(), START))[:1]
        with one.store.write(one.replica.access) as tx:
            tx.unlogged()
            tx.erase(victim.id)
        rounds.append(one.round("repair of one row", verify=True))
        assert one.store.get(Access.local("local"), [victim.id])
        ways = on_their_way(one, two, serving, changes)
        for machine in (one, two):
            machine.store.close()
            machine.peer.close()
    return rounds, ways


def on_their_way(one: Machine, two: Machine, serving: Serving, changes: int) -> list[Row]:
    """Milliseconds from an acknowledged write to where it shall be."""
    engines = [one.engine(60), two.engine(1)]
    for engine in engines:
        engine.start()
    time.sleep(5)
    there: list[float] = []
    arrived: list[float] = []
    for number in range(changes):
        stored = one.memories.remember(Draft(f"a change on its way, number {number}", verbatim=True)).memory
        started = time.perf_counter()
        engines[0].nudge()
        while serving.ask("GET", f"/api/memories/{stored.id}", key=KEY)[0] != 200:
            time.sleep(0.005)
        there.append(time.perf_counter() - started)
        while not two.store.get(two.replica.access, [stored.id]):
            time.sleep(0.005)
        arrived.append(time.perf_counter() - started)
    for engine in engines:
        engine.stop()
    return [("on the server", *_spread(there)), ("on the other machine, which looks every second", *_spread(arrived))]


def _spread(seconds: Sequence[float]) -> Row:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1000:,.0f}", f"{ordered[int(0.95 * (len(ordered) - 1))] * 1000:,.0f}"


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()


def starts(folder: Path, count: int) -> list[Row]:
    """`initialize` and `memory_store`, locally and with a server that hangs, in turns."""
    (folder / "starts").mkdir()
    times: dict[str, dict[str, list[float]]] = {mode: {"initialize": [], "memory_store": []} for mode in ("local", "hanging")}
    with hanging() as url:
        settings = {"local": {}, "hanging": {"MEMORY_API_URL": url, "MEMORY_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}}
        for number in range(count + 1):
            for mode in ("local", "hanging") if number % 2 else ("hanging", "local"):
                started = time.perf_counter()
                with Bare(folder / "starts" / mode, env={"MEMORY_EMBEDDER": "none", **settings[mode]}) as server:
                    server.shake()
                    begun = time.perf_counter() - started
                    server.ask("tools/list")
                    server.tool("memory_store", content=f"the first of run {number}")
                    # The engine waits for its answer by now.
                    time.sleep(2)
                    stores = []
                    for each in range(8):
                        asked = time.perf_counter()
                        server.tool("memory_store", content=f"the {each}th thing that run {number} has to say", category="notes")
                        stores.append(time.perf_counter() - asked)
                if number:
                    # The first of each makes the store.
                    times[mode]["initialize"].append(begun)
                    times[mode]["memory_store"] += stores
    rows: list[Row] = []
    for what in ("initialize", "memory_store"):
        local, hung = (statistics.median(times[mode][what]) * 1000 for mode in ("local", "hanging"))
        rows.append((what, f"{local:,.1f}", f"{hung:,.1f}", f"{(hung / local - 1) * 100:+.1f} %"))
    return rows


def table(head: Sequence[str], rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    parts = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if options.memories:
            rounds, ways = replication(folder, options.memories, options.changes, options.keep)
            parts.append(table(("round", "ms", "CPU ms here", "bytes sent", "bytes received"), rounds))
            parts.append(table(("one change until it is", "p50 ms", "p95 ms"), ways))
        if options.starts:
            rows = starts(folder, options.starts)
            parts.append(table((f"median of {options.starts} runs", "local ms", "server hangs ms", "difference"), rows))
    parts.append(f"{os.cpu_count()} cores shared by server and machines; no embedder; Python {platform.python_version()}.")
    report = "\n\n".join(parts) + "\n"
    print(report)
    if options.markdown:
        options.markdown.write_text(report, "utf-8")


if __name__ == "__main__":
    main()
