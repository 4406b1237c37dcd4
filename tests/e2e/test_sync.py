"""Real processes: a server, machines that write, and a network that breaks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access, Filter
from bethink.stores.postgres import PostgresStore
from bethink.stores.sqlite import SQLiteStore
from kit import postgres
from kit.chaos import Chaos
from kit.replicas import START

PEOPLE = "ann"
BETHINK = (sys.executable, "-c", "from bethink.front.cli import main; main()")


def environment(home: Path, **more: str) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "API_", "DATABASE_"))}
    return {**base, "MEMORY_HOME": str(home), "MEMORY_EMBEDDER": "none", "NO_PROXY": "127.0.0.1", **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """`bethink serve` as a process."""

    def __init__(self, home: Path, key: str, **more: str) -> None:
        self.home, self.port = home, free_port()
        limits = {"RATE_LIMIT_READ": "0", "RATE_LIMIT_WRITE": "0"}
        self.environment = environment(home, API_KEYS=json.dumps({PEOPLE: key}), **limits, **more)
        self.start()

    def start(self) -> None:
        command = [*BETHINK, "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the server does not answer")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


#: A machine: stores numbered memories, says each number when it is stored, and replicates meanwhile.
_WRITER = """
import sys, time
from bethink import wire, config
from bethink.model import Draft
settings = config.load()
engine = wire.sync_engine(settings)
engine.start()
memories = wire.open_memories(settings=settings, with_embedder=False)
name, first, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + seconds
number = first
while time.monotonic() < end:
    memories.remember(Draft(f"{name} wrote {number}", verbatim=True))
    engine.nudge()
    print(number, flush=True)
    number += 1
    time.sleep(0.05)
engine.stop()
"""


class Writer:
    """A machine whose process may be killed at any time."""

    def __init__(self, home: Path, name: str, url: str, key: str) -> None:
        self.home, self.name, self.said = home, name, 0
        self.environment = environment(home, MEMORY_API_URL=url, MEMORY_API_KEY=key, MEMORY_SYNC_INTERVAL="1")
        self.process: subprocess.Popen[str] | None = None

    def start(self, seconds: float) -> None:
        command = [sys.executable, "-c", _WRITER, self.name, str(self.said), str(seconds)]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end(self, *, kill: bool) -> None:
        assert self.process is not None and self.process.stdout is not None
        if kill:
            self.process.send_signal(signal.SIGKILL)
        numbers = [int(line) for line in self.process.stdout.read().split()]
        self.process.wait()
        self.process.stdout.close()
        self.said = max([self.said, *(number + 1 for number in numbers)])

    def bethink(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [*BETHINK, *arguments]
        return subprocess.run(command, env={**self.environment, **more}, capture_output=True, text=True, timeout=120, check=False)

    def contents(self) -> list[str]:
        store = SQLiteStore(self.home / "memory.db")
        try:
            return sorted(memory.content for memory in store.walk(Access.local("local"), Filter(), START))
        finally:
            store.close()


@pytest.fixture
def key() -> str:
    return "-".join(("a", "key", "for", "tests", "only", "0123456789"))


@pytest.fixture(params=["sqlite", "postgres"])
def serving(request: pytest.FixtureRequest, tmp_path: Path, key: str) -> Iterator[Serving]:
    if request.param == "sqlite":
        made = Serving(tmp_path / "server", key)
        yield made
        made.kill()
        return
    with postgres.database() as url:
        made = Serving(tmp_path / "server", key, DATABASE_URL=url)
        yield made
        made.kill()


def on_server(serving: Serving) -> list[str]:
    url = serving.environment.get("DATABASE_URL")
    store: Any = PostgresStore(url) if url else SQLiteStore(serving.home / "memory.db")
    try:
        return sorted(memory.content for memory in store.walk(Access.local(PEOPLE), Filter(), START))
    finally:
        store.close()


def _storm(serving: Serving, tmp_path: Path, key: str, seconds: float) -> None:
    chaos = Chaos(serving.port, rate=0.5)
    writers = [Writer(tmp_path / name, name, chaos.url, key) for name in ("one", "two", "three")]
    try:
        until = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < until:
            for writer in writers:
                writer.start(4)
            time.sleep(2.5)
            turn += 1
            if turn % 2 == 0:
                serving.kill()
                serving.start()
            for place, writer in enumerate(writers):
                writer.end(kill=place == turn % 3)
        assert chaos.counts.keys() - {"none"}
        chaos.rate = 0.0
        for _ in range(2):
            for writer in writers:
                done = writer.bethink("sync", "--verify", "--json")
                assert done.returncode == 0, done.stdout + done.stderr
        there = on_server(serving)
        assert len(there) == len(set(there)), "doubled"
        for writer in writers:
            said = {f"{writer.name} wrote {number}" for number in range(writer.said)}
            assert said <= set(there), "lost"
            assert writer.contents() == there
        assert sum(writer.said for writer in writers) > 10
    finally:
        chaos.close()


def test_nothing_is_lost_or_doubled_when_everything_breaks(serving: Serving, tmp_path: Path, key: str) -> None:
    _storm(serving, tmp_path, key, 8)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_in_a_minute_of_it(serving: Serving, tmp_path: Path, key: str) -> None:
    _storm(serving, tmp_path, key, 60)


def test_a_wrong_key_is_said_and_forgiven(tmp_path: Path, key: str) -> None:
    serving = Serving(tmp_path / "server", key)
    try:
        writer = Writer(tmp_path / "one", "one", f"http://127.0.0.1:{serving.port}", "-".join(("not", key)))
        assert writer.bethink("add", "kept meanwhile", "--global").returncode == 0
        told = writer.bethink("sync", "--json")
        assert told.returncode == 3
        shape = json.loads(told.stdout)
        assert shape["errors"]["hello"]["code"] == "Unauthorized" and "MEMORY_API_KEY" in told.stdout
        right = writer.bethink("sync", "--json", MEMORY_API_KEY=key)
        assert right.returncode == 0, right.stdout + right.stderr
        assert on_server(serving) == ["kept meanwhile"]
        status = json.loads(writer.bethink("sync", "--status", "--json").stdout)
        assert {"mode", "server", "cursor", "lag_seconds", "pending", "refused", "last_error", "next_try"} <= status.keys()
        assert (status["mode"], status["pending"], status["refused"]) == ("hybrid", 0, 0)
    finally:
        serving.kill()


def test_no_secret_is_seen_on_a_plain_wire(tmp_path: Path, key: str) -> None:
    serving = Serving(tmp_path / "server", key)
    chaos = Chaos(serving.port, rate=0.0)
    canary = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    try:
        writer = Writer(tmp_path / "one", "one", chaos.url, key)
        assert writer.bethink("add", f"the deploy token is {canary}", "--global").returncode == 0
        assert writer.bethink("sync").returncode == 1
        assert b"/api/sync/push" in chaos.heard and canary.encode() not in chaos.heard
        status = json.loads(writer.bethink("sync", "--status", "--json").stdout)
        assert [one["code"] for one in status["refusals"]] == ["SecretWithheld"]
    finally:
        chaos.close()
        serving.kill()


def test_a_login_page_is_no_data(tmp_path: Path, key: str) -> None:
    chaos = Chaos(free_port(), rate=1.0, faults=("html",))
    try:
        writer = Writer(tmp_path / "one", "one", chaos.url, key)
        assert writer.bethink("add", "kept", "--global").returncode == 0
        told = json.loads(writer.bethink("sync", "--json").stdout)
        assert told["errors"]["hello"]["code"] == "NotTheServer" and told["refused"] == 0
        assert writer.contents() == ["kept"]
    finally:
        chaos.close()
