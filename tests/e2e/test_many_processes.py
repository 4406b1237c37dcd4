"""Many processes on one store: no memory is lost, none is there twice, no call fails."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from bethink.model import Filter
from bethink.stores.sqlite import SQLiteStore
from kit.memories import ANN, NOW
from kit.writers import remember_and_recall, store_and_recall

PROCESSES = 8
COUNTS = [20, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_eight_stores(tmp_path: Path, count: int) -> None:
    path = tmp_path / "memory.db"
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        writing = [pool.submit(store_and_recall, str(path), f"process{number}", count) for number in range(PROCESSES)]
        acknowledged = [id for each in writing for id in each.result()]
    store = SQLiteStore(path)
    there = list(store.walk(ANN, Filter(), NOW))
    assert sorted(acknowledged) == sorted(each.id for each in there)
    assert len({each.content for each in there}) == PROCESSES * count
    assert store.check() == [] and len(store.pending_vectors(100_000)) == len(there)
    store._db.execute("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
    store.close()


@pytest.mark.parametrize("count", COUNTS)
def test_eight_services_that_say_some_things_alike(tmp_path: Path, count: int) -> None:
    """With guard, sealing and recalls; what all of them say is stored once."""
    path = tmp_path / "memory.db"
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        writing = [pool.submit(remember_and_recall, str(path), f"process{number}", count) for number in range(PROCESSES)]
        acknowledged = [id for each in writing for id in each.result()]
    store = SQLiteStore(path)
    there = list(store.walk(ANN, Filter(statuses=()), NOW))
    assert set(acknowledged) == {each.id for each in there}
    own = [each for each in there if "shared" not in each.content]
    shared = [each for each in there if "shared" in each.content]
    assert len(own) == PROCESSES * count == len({each.content for each in own})
    assert len(shared) == len({each.content for each in shared}) == -(-count // 10)
    assert store.check() == []
    assert store.verify_audit() is None
    store.close()
