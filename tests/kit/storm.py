"""Machines, a server and its database as real processes, and everything that breaks between them.

Machines store and edit numbered memories and say each number when it is acknowledged; at the end each must be everywhere, once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bethink.model import Access, Filter, Memory
from bethink.stores.postgres import PostgresStore
from bethink.stores.sqlite import SQLiteStore
from kit.chaos import Chaos
from kit.postgres import Cluster
from kit.replicas import START
from kit.serve import free_port

PERSON = "ann"
BETHINK = (sys.executable, "-c", "from bethink.front.cli import main; main()")

#: Stores numbers, marks the one before as edited, says what was acknowledged; replicates meanwhile. A full disk ends nothing.
_WRITER = """
import sys, time
from bethink import wire, config
from bethink.errors import BethinkError
from bethink.model import Changes, Draft
settings = config.load()
name, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + seconds
engine = wire.sync_engine(settings)
engine.start()
memories, last = None, None
while time.monotonic() < end:
    try:
        if memories is None:
            memories = wire.open_memories(settings=settings, with_embedder=False)
        stored = memories.remember(Draft(f"{name} wrote {number} " + "and so on " * 40, verbatim=True)).memory
        print("stored", number, flush=True)
        if last is not None:
            memories.revise(last[0], Changes(tags=("edited",)))
            print("edited", last[1], flush=True)
        last = stored.id, number
        number += 1
        engine.nudge()
    except BethinkError as error:
        print("failed", type(error).__name__, flush=True)
        time.sleep(0.2)
    time.sleep(0.05)
engine.stop()
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "API_", "DATABASE_"))}
    return {**base, "MEMORY_HOME": str(home), "MEMORY_EMBEDDER": "none", "NO_PROXY": "127.0.0.1", **more}


class Served:
    """`bethink serve` over PostgreSQL, which both may be killed; over SQLite without a cluster."""

    def __init__(self, home: Path, key: str, cluster: Cluster | None = None, *, host: str = "127.0.0.1") -> None:
        self.home, self.host, self.port = home, host, free_port()
        self.cluster = cluster
        self.url = cluster.migrated() if cluster else None
        unlimited = dict.fromkeys(("RATE_LIMIT_READ", "RATE_LIMIT_WRITE", "RATE_LIMIT_SYNC"), "0")
        settings = {"API_KEYS": json.dumps({PERSON: key}), **unlimited, "ALLOWED_HOSTS": host}
        self.environment = environment(home, **settings, **({"DATABASE_URL": self.url} if self.url else {}))
        self.peak = 0
        self.start()

    def start(self) -> None:
        command = [*BETHINK, "serve", "--host", self.host, "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}:{self.port}/health", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def revive(self) -> None:
        """As a supervisor would: a server whose database is away at its start ends."""
        if self.process.poll() is not None:
            self.start()

    def kill(self) -> None:
        self.peak = max(self.peak, peak_of(self.process.pid))
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def memories(self) -> list[Memory]:
        store: Any = PostgresStore(self.url) if self.url else SQLiteStore(self.home / "memory.db")
        with closing(store):
            return list(store.walk(Access.local(PERSON), Filter(), START))


class Writer:
    """A machine whose process may be killed at any time."""

    def __init__(self, home: Path, name: str, url: str, key: str) -> None:
        self.home, self.name, self.next = home, name, 0
        self.environment = environment(home, MEMORY_API_URL=url, MEMORY_API_KEY=key, MEMORY_SYNC_INTERVAL="1")
        self.stored: set[int] = set()
        self.edited: set[int] = set()
        self.failed: Counter[str] = Counter()
        self.peak = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self, seconds: float, *before: str) -> None:
        command = [*before, sys.executable, "-c", _WRITER, self.name, str(self.next), str(seconds)]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end(self, *, kill: bool) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.peak = max(self.peak, peak_of(self.process.pid))
        if kill:
            self.process.send_signal(signal.SIGKILL)
        for line in self.process.stdout.read().splitlines():
            what, _, which = line.partition(" ")
            if what == "failed":
                self.failed[which] += 1
            elif which.isdecimal():
                (self.stored if what == "stored" else self.edited).add(int(which))
        self.process.wait()
        self.process.stdout.close()
        # A number whose acknowledgement was cut off by the kill is not used again.
        self.next = max([self.next, *(number + 2 for number in self.stored)])

    def bethink(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [*BETHINK, *arguments]
        return subprocess.run(command, env={**self.environment, **more}, capture_output=True, text=True, timeout=300, check=False)

    def memories(self) -> list[Memory]:
        with closing(SQLiteStore(self.home / "memory.db")) as store:
            return list(store.walk(Access.local("local"), Filter(), START))


@dataclass
class Outcome:
    """What a storm did and what was left of it."""

    seconds: float = 0.0
    acknowledged: int = 0
    edited: int = 0
    memories: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    refused_by_disk: int = 0
    #: Seconds from the end of the storm until all were equal.
    convergence: float = 0.0
    #: Largest resident sizes, in bytes.
    server_peak: int = 0
    client_peak: int = 0

    def shape(self) -> dict[str, Any]:
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


def storm(folder: Path, key: str, seconds: float, *, seed: int = 1, database: bool = True) -> Outcome:
    """Lets three machines write for some seconds while everything breaks, heals it, and compares.

    Args:
        database: the server is over PostgreSQL, which is killed as well; else over SQLite.
    """
    chance = random.Random(seed)
    outcome = Outcome()
    cluster = Cluster(durable=True) if database else None
    served = Served(folder / "server", key, cluster)
    chaos = Chaos(served.port, rate=0.5, seed=seed)
    try:
        writers = [Writer(folder / name, name, chaos.url, key) for name in ("one", "two", "three")]
        with disk(writers[2].home) as room:
            _blow(served, writers, room, outcome, chance, time.monotonic() + seconds)
            outcome.seconds = seconds
            outcome.faults.update(chaos.counts)
            chaos.rate = 0.0
            _settle(served, writers, outcome)
            _judge(served, writers, outcome)
    finally:
        chaos.close()
        served.kill()
        if cluster is not None:
            cluster.close()
    outcome.server_peak, outcome.client_peak = served.peak, max(writer.peak for writer in writers)
    return outcome


def _blow(served: Served, writers: list[Writer], room: Path | None, outcome: Outcome, chance: random.Random, until: float) -> None:
    ballast = room / "ballast" if room else None
    turn = 0
    while time.monotonic() < until:
        turn += 1
        served.revive()
        for writer in writers:
            writer.start(4)
        time.sleep(2 + chance.random())
        match turn % 4:
            case 1:
                outcome.kills["server"] += 1
                served.kill()
                served.start()
            case 2 if served.cluster is not None:
                outcome.kills["database"] += 1
                served.cluster.kill()
                time.sleep(chance.random())
                served.cluster.start()
            case 3 if ballast is not None:
                _fill(ballast)
        for place, writer in enumerate(writers):
            kill = place == turn % 3
            outcome.kills["client"] += kill
            writer.end(kill=kill)
        if ballast is not None and turn % 4 == 0:
            ballast.unlink(missing_ok=True)
    if ballast is not None:
        ballast.unlink(missing_ok=True)


def _settle(served: Served, writers: list[Writer], outcome: Outcome) -> None:
    """Everything is well again: how long until all is sent and fetched."""
    started = time.monotonic()
    while time.monotonic() - started < 120:
        served.revive()
        codes = [writer.bethink("sync", "--verify", "--json").returncode for _ in range(2) for writer in writers]
        if not any(codes):
            break
    outcome.convergence = round(time.monotonic() - started, 1)


def _judge(served: Served, writers: list[Writer], outcome: Outcome) -> None:
    there = served.memories()
    contents = Counter(" ".join(one.content.split()[:3]) for one in there)
    edited = {" ".join(one.content.split()[:3]) for one in there if "edited" in one.tags}
    outcome.memories = len(there)
    outcome.doubled = [content for content, count in contents.items() if count > 1]
    marks = sorted((one.id, one.content, one.tags, one.version, one.seq) for one in there)
    for writer in writers:
        outcome.acknowledged += len(writer.stored)
        outcome.edited += len(writer.edited)
        outcome.refused_by_disk += writer.failed["StoreFull"]
        outcome.lost += [f"{writer.name} wrote {number}" for number in writer.stored if f"{writer.name} wrote {number}" not in contents]
        outcome.lost += [f"edit of {writer.name} {number}" for number in writer.edited if f"{writer.name} wrote {number}" not in edited]
        if sorted((one.id, one.content, one.tags, one.version, one.seq) for one in writer.memories()) != marks:
            outcome.differing.append(writer.name)


@contextmanager
def disk(folder: Path) -> Iterator[Path | None]:
    """A small file system for a machine's store, where one can be mounted; else None."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _fill(ballast: Path) -> None:
    """Takes all room that is left."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            return


def peak_of(pid: int) -> int:
    """The largest resident size of a process so far, in bytes; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
