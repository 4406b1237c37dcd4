"""What was acknowledged is there after the writer was killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bethink.model import Filter
from bethink.stores.base import Plan
from bethink.stores.sqlite import SQLiteStore
from kit import writers
from kit.memories import ANN, IDENTITY, NOW, WordsEmbedder, memory

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Writer:
    """A process that stores and writes down, in a file, the id of each memory once it is acknowledged."""

    def __init__(self, path: Path) -> None:
        self._log = path.parent / f"{path.name}.{random.getrandbits(64):x}.ids"
        tests = Path(writers.__file__).parents[1]
        with self._log.open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(tests)}
            self._process = subprocess.Popen([sys.executable, writers.__file__, str(path)], stdout=log, env=environment)

    def has_begun(self) -> None:
        """Waits for the first acknowledgement: from then on any moment is as good as another."""
        until = time.monotonic() + 60
        while not self._log.stat().st_size:
            assert time.monotonic() < until and self._process.poll() is None
            time.sleep(0.002)

    def kill(self) -> list[str]:
        """Kills it; answers the ids of which it had written a whole line."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=30)
        lines = self._log.read_text().split("\n")[:-1]
        self._log.unlink()
        return lines


def examine(path: Path, acknowledged: set[str]) -> None:
    store = SQLiteStore(path)
    assert store.check() == []
    store._db.execute("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
    there = {each.id: each for each in store.walk(ANN, Filter(), NOW)}
    assert acknowledged <= there.keys()
    names = [each.content.rsplit(" ", 1) for each in there.values()]
    # A transaction of two is there as a whole or not at all.
    assert {name for name, which in names if which == "second"} <= {name for name, which in names if which in ("first", "changed")}
    assert store.verify_audit() is None
    with_vector = store.vectors_of(ANN, list(there))
    waiting = {content for _, content in store.pending_vectors(100_000)}
    assert len(with_vector) + len(waiting) == len(there), "every memory has a vector or waits for one"
    assert waiting == {each.content for id, each in there.items() if id not in with_vector}
    for each in list(there.values())[-3:]:
        assert each.content in {one.memory.content for one in store.search(ANN, Plan(each.content, "", Filter(), NOW)).candidates}
    store.close()


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_at_any_moment(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "memory.db"
    acknowledged: set[str] = set()
    chance = random.Random(rounds)
    for number in range(rounds):
        writing = [Writer(path) for _ in range(1 + number % 2)]
        for writer in writing:
            writer.has_begun()
        time.sleep(chance.random() * 0.15)
        for writer in writing:
            acknowledged.update(writer.kill())
        examine(path, acknowledged)
    assert len(acknowledged) > rounds


def test_killed_while_the_store_is_made(tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(6):
        path = tmp_path / f"{number}.db"
        writer = Writer(path)
        until = time.monotonic() + 10
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.01)
        acknowledged = set(writer.kill())
        if path.exists():
            examine(path, acknowledged)


def test_the_log_that_a_killed_process_left_is_read(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    writer = Writer(path)
    writer.has_begun()
    first = writer.kill()[0]
    assert (tmp_path / "memory.db-wal").stat().st_size > 0
    reader = SQLiteStore(path, read_only=True)
    assert first in reader.get(ANN, [first])
    reader.close()
    store = SQLiteStore(path)
    with store.write(ANN) as tx:
        tx.insert(memory("stored afterwards"))
    while waiting := store.pending_vectors(50):
        store.put_vectors(IDENTITY, [(key, text, WordsEmbedder().passages([text])[0]) for key, text in waiting])
    store.close()
    examine(path, {first})
