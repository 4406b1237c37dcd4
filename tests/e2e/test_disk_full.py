"""A full disk gives a clear error and loses nothing; when there is space again, writing goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bethink.errors import StoreError, StoreFull
from bethink.model import Filter
from bethink.stores.base import Plan
from bethink.stores.sqlite import SQLiteStore
from kit.memories import ANN, IDENTITY, NOW, WordsEmbedder, memory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here (needs root); the limit on a file's size is tested all the same")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(store: SQLiteStore, most: int = 20_000) -> tuple[list[str], StoreError]:
    """Stores until that fails; answers what was acknowledged and the error."""
    done = []
    for number in range(most):
        one = memory(f"number{number} {'long words ' * 60}")
        try:
            with store.write(ANN) as tx:
                tx.insert(one)
        except StoreError as error:
            return done, error
        done.append(one.id)
    raise AssertionError("it never became full")


def stored_and_sound(store: SQLiteStore, acknowledged: list[str]) -> None:
    assert store.check() == []
    assert {each.id for each in store.walk(ANN, Filter(), NOW)} == set(acknowledged)
    found = store.search(ANN, Plan("number0", "", Filter(), NOW)).candidates
    assert [one.memory.id for one in found] == acknowledged[:1]


def test_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "memory.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    store = SQLiteStore(path)
    acknowledged, error = fill(store)
    assert isinstance(error, StoreFull) and "full" in error.message and "Free some space" in error.hint
    assert len(acknowledged) > 20
    # Reading goes on; every write says the same until there is space.
    stored_and_sound(store, acknowledged)
    with pytest.raises(StoreFull), store.write(ANN) as tx:
        for number in range(500):
            tx.insert(memory(f"more{number} {'x y z ' * 300}"))
    with pytest.raises(StoreFull):
        for _ in range(50):
            waiting = store.pending_vectors(50)
            store.put_vectors(IDENTITY, [(key, text, WordsEmbedder().passages([text])[0]) for key, text in waiting])
    stored_and_sound(store, acknowledged)
    ballast.unlink()
    with store.write(ANN) as tx:
        tx.insert(late := memory("stored afterwards"))
    stored_and_sound(store, [*acknowledged, late.id])
    store.close()
    again = SQLiteStore(path)
    stored_and_sound(again, [*acknowledged, late.id])
    again.close()


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(65536))
            file.flush()
    with pytest.raises(StoreFull) as caught:
        store = SQLiteStore(small_disk / "memory.db")
        with store.write(ANN) as tx:
            tx.insert(memory("one"))
    assert caught.value.hint
    (small_disk / "ballast").unlink()
    store = SQLiteStore(small_disk / "memory.db")
    with store.write(ANN) as tx:
        tx.insert(one := memory("number0"))
    stored_and_sound(store, [one.id])
    store.close()


def in_a_child(ask: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ask()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
def test_a_limit_on_a_files_size(tmp_path: Path) -> None:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
        store = SQLiteStore(tmp_path / "memory.db")
        acknowledged, error = fill(store)
        assert error.hint and len(acknowledged) > 20, error
        assert isinstance(error, StoreFull), repr(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with store.write(ANN) as tx:
            tx.insert(late := memory("stored afterwards"))
        stored_and_sound(store, [*acknowledged, late.id])
        store.close()

    assert in_a_child(limited) == 0
