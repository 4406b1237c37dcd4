"""One process keeps the model for all: asking it, being refused by it, taking over from it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from bethink import Draft, wire
from bethink.config import Settings, load
from bethink.embed.base import QueryVectors
from bethink.embed.onnx import OnnxEmbedder
from bethink.warm import packing
from bethink.warm.client import ask
from bethink.warm.embedder import BorrowedEmbedder
from bethink.warm.server import WarmServer
from bethink.warm.spot import Spot

#: A home whose sockets would have a longer address than systems take: the loopback is used, as on Windows.
DEEP = "/".join(["a-rather-long-name-for-a-folder"] * 4)

HOLDER = """
import time
from bethink import wire
from bethink.config import load
settings = load()
server = wire.warm_server(settings, wire.embedder_of(settings))
server.start()
time.sleep(600)
"""


def settings_of(home: Path, **more: str) -> Settings:
    return load(environment={"MEMORY_HOME": str(home), **more})


def until(what: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def serving(settings: Settings) -> Iterator[WarmServer]:
    server = wire.warm_server(settings, wire.embedder_of(settings))
    server.start()
    until(lambda: ask(wire.spot_of(settings), {"op": "ping"}, 1))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["unix", "loopback"])
def warm(request: pytest.FixtureRequest, home: Path) -> Iterator[Settings]:
    """Settings of a home where a process keeps the model warm."""
    settings = settings_of(home if request.param == "unix" else home / DEEP)
    if request.param == "unix" and not wire.spot_of(settings).uses_unix:
        pytest.skip("no Unix sockets here")
    with wire.open_memories(settings=settings, with_embedder=False) as memories:
        memories.remember(Draft("The staging database listens on port 5433."))
    with serving(settings):
        yield settings


def test_vectors_are_the_model_s_own(warm: Settings) -> None:
    borrowed = wire.embedder_of(warm)
    assert isinstance(borrowed, BorrowedEmbedder)
    own = OnnxEmbedder()
    asked, expected = borrowed.query("Which port?"), own.query("Which port?")
    assert (asked.vector == expected.vector).all()
    assert (asked.tokens == expected.tokens).all()
    assert asked.words == expected.words
    texts = ["short", "a longer text with more words " * 200, "漢字 and 🙂"]
    for mine, theirs in zip(borrowed.passages(texts), own.passages(texts), strict=True):
        assert [list(one.vector) for one in mine] == [list(one.vector) for one in theirs]
        assert [one.tokens.tolist() for one in mine] == [one.tokens.tolist() for one in theirs]
    assert not borrowed.loaded


def test_a_prompt_is_answered_once_and_never_twice(warm: Settings) -> None:
    request = {"op": "prompt", "prompt": "which port does the staging database use?", "project": None, "seen": [], "budget": 600}
    until(lambda: (ask(wire.spot_of(warm), request, 5) or {}).get("ids"))
    found = ask(wire.spot_of(warm), request, 5)
    assert found is not None
    assert "port 5433" in found["text"]
    again = ask(wire.spot_of(warm), {**request, "seen": found["ids"]}, 5)
    assert again is not None
    assert again["ids"] == []


def test_a_prompt_waits_for_no_writer_though_vectors_are_missing(warm: Settings) -> None:
    request = {"op": "prompt", "prompt": "which port does the staging database use?", "project": None, "seen": [], "budget": 600}
    until(lambda: (ask(wire.spot_of(warm), request, 5) or {}).get("ids"))
    with wire.open_memories(settings=warm, with_embedder=False) as memories:
        memories.remember(Draft("The printer in the hall is called Bertha."))
    writer = apsw.Connection(str(warm.database))
    writer.execute("BEGIN IMMEDIATE; INSERT INTO pending_vectors (key) SELECT key FROM memories WHERE true ON CONFLICT DO NOTHING")
    try:
        # Less than the store waits for a lock.
        assert ask(wire.spot_of(warm), request, 2) is not None
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def test_nobody_is_answered_from_another_store_or_by_another_embedder(warm: Settings) -> None:
    spot = wire.spot_of(warm)
    other = wire.spot_of(settings_of(warm.home))
    other.store = "local@/somewhere/else.db"
    assert ask(other, {"op": "ping"}, 1) is None
    assert ask(spot, {"op": "query", "text": "x", "identity": "another"}, 1) is None
    assert ask(spot, {"op": "no such"}, 1) is None


@pytest.mark.parametrize("line", [b"", b"\n", b"garbage\n", b"[]\n", b'{"op": "prompt"}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_garbage_is_refused_and_the_next_is_answered(warm: Settings, line: bytes) -> None:
    spot = wire.spot_of(warm)
    if spot.uses_unix:
        connection, address = socket.socket(socket.AF_UNIX), str(spot.socket)
        connection.connect(address)
    else:
        connection = socket.create_connection(("127.0.0.1", json.loads(spot.address.read_text())["port"]))
    with connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert b"error" in connection.makefile("rb").read()
    assert ask(spot, {"op": "ping"}, 2)


def test_only_the_user_reaches_it(warm: Settings) -> None:
    spot = wire.spot_of(warm)
    mode = lambda path: stat.S_IMODE(path.stat().st_mode)  # noqa: E731 - said once, used twice
    if spot.uses_unix:
        assert mode(spot.socket) == 0o600
        return
    assert mode(spot.address) == 0o600
    where = json.loads(spot.address.read_text())
    for token in ("", "wrong", "ü"):
        with socket.create_connection(("127.0.0.1", where["port"])) as connection:
            connection.sendall(json.dumps({"op": "ping", "store": spot.store, "token": token}).encode() + b"\n")
            assert json.loads(connection.makefile("rb").read()) == {"error": "not allowed"}


def test_many_at_once_are_all_answered(warm: Settings) -> None:
    answers: list[object] = []
    request = {"op": "prompt", "prompt": "database port", "seen": [], "budget": 300}
    threads = [threading.Thread(target=lambda: answers.append(ask(wire.spot_of(warm), request, 20))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 24
    assert all(answers)


def test_one_holds_the_lock_and_the_next_takes_over(home: Path) -> None:
    settings = settings_of(home, MEMORY_EMBEDDER="none")
    spot = wire.spot_of(settings)
    first, second = (wire.warm_server(settings, None) for _ in range(2))
    first.start()
    until(lambda: first.holds_lock)
    second.start()
    time.sleep(0.2)
    assert not second.holds_lock
    first.stop()
    until(lambda: second.holds_lock)
    until(lambda: ask(spot, {"op": "ping"}, 1))
    second.stop()
    assert not second.holds_lock
    assert not spot.taken
    assert ask(spot, {"op": "ping"}, 1) is None


@pytest.mark.parametrize("folder", [".", DEEP], ids=["unix", "loopback"])
def test_a_killed_holder_is_replaced_together_with_what_it_left(home: Path, folder: str) -> None:
    settings = settings_of(home / folder)
    spot = wire.spot_of(settings)
    environment = {**os.environ, "MEMORY_HOME": str(settings.home)}
    holders = [subprocess.Popen([sys.executable, "-c", HOLDER], env=environment) for _ in range(2)]
    try:
        until(lambda: ask(spot, {"op": "ping"}, 1))
        pid = (ask(spot, {"op": "ping"}, 1) or {})["pid"]
        assert pid in {holder.pid for holder in holders}
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        until(lambda: (ask(spot, {"op": "ping"}, 1) or {}).get("pid") not in (None, pid))
        assert (ask(spot, {"op": "query", "text": "x", "identity": str(OnnxEmbedder().identity)}, 10) or {})["words"] == ["x"]
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
    # What the last one left behind does not hold anybody up, and a borrower helps itself.
    assert ask(spot, {"op": "ping"}, 1) is None
    alone = wire.embedder_of(settings)
    assert isinstance(alone, BorrowedEmbedder)
    assert isinstance(alone.query("still there"), QueryVectors)
    assert alone.loaded


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")
def test_a_stopped_holder_is_waited_for_only_as_long_as_said(home: Path) -> None:
    settings = settings_of(home)
    spot = wire.spot_of(settings)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], env={**os.environ, "MEMORY_HOME": str(home)})
    try:
        until(lambda: ask(spot, {"op": "ping"}, 1))
        holder.send_signal(signal.SIGSTOP)
        os.waitpid(holder.pid, os.WUNTRACED)
        assert ask(spot, {"op": "ping"}, 0.1) is None
        borrower = BorrowedEmbedder(spot, wire.embedder_of(settings)._make)  # type: ignore[union-attr]  # what wire makes
        assert borrower.ready
        assert len(borrower.query("somebody else's model").words)
        assert borrower.loaded
        # It was asked once in vain; for a while nobody waits for it again.
        assert not borrower._asks
        holder.send_signal(signal.SIGCONT)
        borrower._shy_until = 0.0
        borrower.query("now it is back")
        assert not borrower.loaded
    finally:
        holder.kill()
        holder.wait()


def test_a_home_that_cannot_be_written_still_gets_its_vectors(home: Path, tmp_path: Path) -> None:
    home.write_text("this is a file")
    settings = settings_of(home, MEMORY_DB=str(tmp_path / "memory.db"))
    with wire.open_memories(settings=settings, with_embedder=False) as memories:
        memories.remember(Draft("A memory that waits for its vector."))
        server = wire.warm_server(settings, wire.embedder_of(settings))
        server.start()
        until(lambda: not memories.store.pending_vectors(1))
        server.stop()


def test_what_others_store_gets_its_vector_at_once(warm: Settings) -> None:
    with wire.open_memories(settings=warm, with_embedder=False) as memories:
        memories.remember(Draft("Another process stored this one."))
        WarmServer(wire.spot_of(warm), lambda: memories).wrote()
        until(lambda: not memories.store.pending_vectors(1))


def test_the_work_for_all_is_done_by_the_holder_alone(home: Path) -> None:
    settings = settings_of(home, MEMORY_EMBEDDER="none")
    done: list[str] = []
    first = wire.warm_server(settings, None, lambda _: done.append("first"))
    second = wire.warm_server(settings, None, lambda _: done.append("second"))
    first.start()
    until(lambda: "first" in done)
    second.start()
    time.sleep(0.3)
    assert "second" not in done
    for server in (first, second):
        server.stop()


def test_work_for_all_steps_back_while_somebody_is_answered(home: Path) -> None:
    server = wire.warm_server(settings_of(home, MEMORY_EMBEDDER="none"), None)
    passed = threading.Event()

    def work() -> None:
        server.give_way()
        passed.set()

    server._answering.append(True)
    worker = threading.Thread(target=work)
    worker.start()
    assert not passed.wait(0.2)
    server._answering.pop()
    assert passed.wait(30)
    worker.join()


def test_spots_of_different_stores_differ(tmp_path: Path) -> None:
    usual = Spot(tmp_path, tmp_path / "memory.db")
    assert usual.socket.name == "warm.sock"
    others = [Spot(tmp_path, tmp_path / "other.db"), Spot(tmp_path, tmp_path / "memory.db", "ann"), Spot(tmp_path / "x", tmp_path / "y.db")]
    assert len({spot.lock for spot in (usual, *others)}) == 4


def test_packed_vectors_come_back_as_they_were() -> None:
    import numpy as np

    nothing = QueryVectors(np.zeros(3, np.float32), np.zeros((0, 4), np.float32), ())
    back = packing.unpacked_question(json.loads(json.dumps(packing.question(nothing))))
    assert back.tokens.shape == (0, 4)
