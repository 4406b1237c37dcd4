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
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Self

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

    def __init__(self, folder: Path, name: str, serving: Serving) -> None:
        (folder / name).mkdir()
        self.folder, self.name, self.url, self.serving = folder / name, name, serving.url, serving
        self.store = SQLiteStore(folder / name / "memory.db")
        self.replica = Replica(self.store, "local")
        self.peer = HttpPeer(serving.url, KEY, client=name)
        self.memories = Memories(self.store, Access.local("local"))

    def round(self, what: str, *, verify: bool = False) -> Row:
        """One round and what it cost."""
        before = self.peer.sent_bytes, self.peer.received_bytes
        wall, cpu, there = time.perf_counter(), time.process_time(), self.serving_cpu()
        report = Session(self.replica, self.peer).round(verify=verify)
        assert report.ok, report.errors
        spent = time.perf_counter() - wall, time.process_time() - cpu
        sent, received = self.peer.sent_bytes - before[0], self.peer.received_bytes - before[1]
        server = self.serving_cpu() - there
        return what, f"{spent[0] * 1000:,.0f}", f"{spent[1] * 1000:,.0f}", f"{server * 1000:,.0f}", f"{sent:,}", f"{received:,}"

    def serving_cpu(self) -> float:
        assert self.serving.process is not None
        return cpu_of(self.serving.process.pid)

    def engine(self, interval: float) -> Engine:
        return Engine(
            lambda: Replica(SQLiteStore(self.folder / "memory.db"), "local"),
            lambda: HttpPeer(self.url, KEY, client=self.name),
            lock=self.folder / "lock",
            status=self.folder / "status",
            interval=interval,
        )


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


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
        one, two = (Machine(folder, name, serving) for name in ("one", "two"))
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


class Hanging:
    """A server that takes connections and never answers; used as a context manager."""

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.held: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self.held:
            each.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                self.held.append(self._listening.accept()[0])


def starts(folder: Path, count: int) -> list[Row]:
    """`initialize` and `memory_store`, locally and with a server that hangs, in turns."""
    (folder / "starts").mkdir()
    begun: dict[str, list[float]] = {"local": [], "hanging": []}
    stored: dict[str, list[float]] = {"local": [], "hanging": []}
    spent: dict[str, float] = {"local": 0.0, "hanging": 0.0}
    with Hanging() as away:
        settings = {"local": {}, "hanging": {"MEMORY_API_URL": away.url, "MEMORY_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}}
        for number in range(count + 1):
            modes = ("local", "hanging") if number % 2 else ("hanging", "local")
            with ExitStack() as stack:
                servers = {}
                for mode in modes:
                    started = time.perf_counter()
                    home = folder / "starts" / mode
                    servers[mode] = stack.enter_context(Bare(home, env={"MEMORY_EMBEDDER": "none", **settings[mode]}))
                    servers[mode].shake()
                    if number:
                        # The first run makes the stores.
                        begun[mode].append(time.perf_counter() - started)
                for server in servers.values():
                    server.ask("tools/list")
                    server.tool("memory_store", content=f"the first of run {number}")
                while len(away.held) <= number:
                    time.sleep(0.05)
                time.sleep(1)
                for mode, server in servers.items():
                    spent[mode] -= cpu_of(server.process.pid)
                for each in range(10):
                    for mode in modes if each % 2 else reversed(modes):
                        asked = time.perf_counter()
                        servers[mode].tool("memory_store", content=f"the {each}th thing that run {number} has to say", category="notes")
                        stored[mode].append(time.perf_counter() - asked)
                for mode, server in servers.items():
                    spent[mode] += cpu_of(server.process.pid)
    rows: list[Row] = []
    for what, times in (("initialize, a new process", begun), ("memory_store, while the request hangs", stored)):
        local, hung = (statistics.median(times[mode]) * 1000 for mode in ("local", "hanging"))
        rows.append((what, f"{local:,.1f}", f"{hung:,.1f}", f"{(hung / local - 1) * 100:+.1f} %"))
    local, hung = (spent[mode] * 1000 / len(stored[mode]) for mode in ("local", "hanging"))
    rows.append(("the same in CPU time, mean", f"{local:,.1f}", f"{hung:,.1f}", f"{(hung / local - 1) * 100:+.1f} %"))
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
            parts.append(table(("round", "ms", "CPU ms here", "CPU ms of the server", "bytes sent", "bytes received"), rounds))
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
