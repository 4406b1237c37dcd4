"""Ten ways in which an earlier system lost or doubled memories, each as it was reproduced there."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access, Changes, Draft, Filter
from bethink.stores.postgres import PostgresStore
from bethink.sync.engine import Engine
from bethink.sync.peer import Json, Peer, RequestRefused, Unreachable
from bethink.sync.session import Session
from kit import postgres
from kit.replicas import START, Machine, Server


class Line:
    """A peer whose pushes can be made to fail, and that counts what it fetched."""

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address, self.confidential = inner.address, inner.confidential
        self.down = False
        #: Contents that are refused with 422, whatever request holds them.
        self.refused: tuple[str, ...] = ()
        self.items = 0

    def push(self, changes: Sequence[Json]) -> Json:
        if self.down:
            raise Unreachable("503")
        if any(word in str(changes) for word in self.refused):
            raise RequestRefused("too long", status=422, code="InvalidInput")
        return self.inner.push(changes)

    def changes(self, cursor: str | None, limit: int) -> Json:
        page = self.inner.changes(cursor, limit)
        self.items += len(page["items"])
        return page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def machine(folder: Path, server: Server, name: str = "one") -> Machine:
    return Machine(folder, name, server, wrap=Line)


def contents(server: Server) -> list[str]:
    return sorted(memory.content for memory in server.store.walk(Access.local("ann"), Filter(), START))


def test_1_what_the_server_does_not_take_is_never_deleted(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    for content in ("first", "a content that is refused", "third"):
        one.say(content)
    one.peer.down = True
    assert "push" in one.sync(verify=True).errors
    assert one.memories.count()["total"] == 3
    one.peer.down, one.peer.refused = False, ("that is refused",)
    one.sync(verify=True)
    # Only what is refused is left behind, and it says so.
    assert contents(server) == ["first", "third"]
    assert one.memories.stats()["sync"] == {"pending": 0, "refused": 1}
    assert [change.refused and change.refused["code"] for change in one.store.log.refused()] == ["InvalidInput"]
    assert one.memories.count()["total"] == 3


def test_1_a_refused_memory_that_is_mended_is_sent(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    memory = one.say("a content that is refused")
    one.peer.refused = ("that is refused",)
    one.sync()
    one.memories.revise(memory.id, Changes(content="shorter"))
    assert one.sync().ok
    assert contents(server) == ["shorter"]
    assert one.memories.stats()["sync"] == {"pending": 0, "refused": 0}


def test_1_an_edit_behind_a_refused_memory_does_not_displace_a_newer_one(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.peer.refused = ("about the deploy",)
    memory = one.say("about the deploy")
    one.sync()
    one.peer.refused = ()
    one.replica.refuse(one.store.log.pending(memory.id)[0], "SealUnavailable", "Vault is away.", "")
    # As it was logged while the memory was on its way.
    with one.store.write(one.replica.access) as tx:
        tx.log.add(memory.id, "local", "edit", {"fields": {"tags": ["old"], "importance": 0.1}, "at": memory.updated_at.isoformat()})
    one.memories.revise(memory.id, Changes(tags=("new",), importance=0.9))
    one.sync()
    for place in (one.memories, server.memories()):
        assert (place.get(memory.id).tags, place.get(memory.id).importance) == (("new",), 0.9)
    assert one.store.log.waiting() == set()


def test_2_an_outage_of_any_length_loses_nothing(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    one.say("written in the outage")
    one.peer.down = True
    for _ in range(30):
        one.sync(verify=True)
        one.clock.at += timedelta(minutes=10)
    one.peer.down = False
    assert one.sync().ok
    assert contents(server) == ["written in the outage"]


def test_3_offline_and_a_restart_make_one_copy(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.say("before anything")
    one.peer.down = True
    one.sync()
    one.say("offline")
    one.reopen()
    one.peer.down = False
    one.sync(verify=True)
    one.reopen()
    one.sync(verify=True)
    assert contents(server) == ["before anything", "offline"]


def test_4_two_processes_that_send_one_log_make_one_copy(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    for number in range(40):
        one.say(f"memory {number}")
    both = [Session(one.replica, one.peer) for _ in range(2)]
    threads = [threading.Thread(target=session.round) for session in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.sync().ok
    assert contents(server) == sorted(f"memory {number}" for number in range(40))


def test_5_stored_and_deleted_offline_does_not_come_back(tmp_path: Path, server: Server) -> None:
    one, two = machine(tmp_path, server), machine(tmp_path, server, "two")
    one.sync()
    one.peer.down = True
    memory = one.say("a slip")
    one.memories.forget(memory.id)
    one.sync()
    one.peer.down = False
    for each in (one, two, one):
        assert each.sync(verify=True).ok
    assert contents(server) == []
    assert one.memories.count()["total"] == two.memories.count()["total"] == 0


def test_5_stored_and_purged_offline_never_was(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    memory = one.say("a slip")
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    assert one.sync(verify=True).ok
    assert server.store.get(Access.local("ann"), [memory.id]) == {}
    assert b"a slip" not in one.path.read_bytes()


def test_6_sensitive_stays_sensitive(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    memory = one.say("the alarm code is nine", sensitive=True)
    assert one.sync().ok
    there = server.memories().get(memory.id)
    assert there.sensitive and "nine" not in there.content
    assert server.memories().secret(memory.id)["content"] == "the alarm code is nine"


def test_7_an_id_means_the_same_memory_everywhere(tmp_path: Path, server: Server) -> None:
    one, two = machine(tmp_path, server), machine(tmp_path, server, "two")
    for number in range(6):
        one.say(f"of one, {number}")
        two.say(f"of two, {number}")
    for each in (one, two, one):
        assert each.sync().ok
    for memory in server.store.walk(Access.local("ann"), Filter(), START):
        assert one.memories.get(memory.id).content == two.memories.get(memory.id).content == memory.content


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_8_a_transaction_that_is_open_during_a_pull_is_not_passed_over(tmp_path: Path, hours: int) -> None:
    with postgres.database() as url:
        server = Server(tmp_path, store=PostgresStore(url))
        server.clock.wrong = timedelta(hours=hours)
        one, two = machine(tmp_path, server), machine(tmp_path, server, "two")
        one.sync()
        two.sync()
        inserted, may_commit = threading.Event(), threading.Event()
        memories = server.memories()

        def slow() -> None:
            with memories.store.write(memories.access) as tx:
                memory = one.memories.remember(Draft("slow", verbatim=True)).memory
                tx.insert(memory.with_(id="slow-one", owner="ann", seq=None))
                inserted.set()
                may_commit.wait(20)

        def quick() -> None:
            server.memories().remember(Draft("quick", verbatim=True))

        threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
        threads[0].start()
        assert inserted.wait(20)
        threads[1].start()
        two.sync()
        may_commit.set()
        for thread in threads:
            thread.join()
        two.sync()
        assert sorted(memory.content for memory in two.store.walk(two.replica.access, Filter(), START)) == ["quick", "slow"]
        server.close()


def test_9_nobody_waits_for_a_server_that_hangs(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    asked, answer = threading.Event(), threading.Event()

    class Hanging(Line):
        def hello(self) -> Json:
            asked.set()
            answer.wait(20)
            raise Unreachable("hung")

    engine = Engine(
        lambda: Machine(tmp_path, "one", server).replica,
        lambda: Hanging(one.peer.inner),
        lock=tmp_path / "lock",
        status=tmp_path / "status",
    )
    engine.start()
    assert asked.wait(20)
    # The request hangs; this would not return if it waited for it.
    memory = one.say("written meanwhile")
    engine.nudge()
    assert not answer.is_set() and one.memories.get(memory.id).content == "written meanwhile"
    answer.set()
    engine.stop()


def test_10_an_idle_round_fetches_nothing_and_no_edit_is_lost_silently(tmp_path: Path, server: Server) -> None:
    one, two = machine(tmp_path, server), machine(tmp_path, server, "two")
    one.sync()
    memory = one.say("the port is 1")
    for number in range(50):
        one.say(f"memory {number}")
    for each in (one, two):
        each.sync(verify=True)
    one.sync()
    fetched = one.peer.items
    for _ in range(5):
        one.sync(verify=True)
    assert one.peer.items == fetched
    one.memories.revise(memory.id, Changes(content="the port is 2"))
    two.memories.revise(memory.id, Changes(content="the port is 3"))
    for each in (one, two, one):
        each.sync()
    (kept,) = one.store.revisions_named(one.replica.access, "conflict")
    assert "the port is 3" in kept.note and one.memories.get(memory.id).content == "the port is 2"


def test_the_engine_goes_on_after_an_error_that_nobody_foresaw(tmp_path: Path, server: Server) -> None:
    one = machine(tmp_path, server)
    one.sync()
    failed = threading.Event()

    class Broken(Line):
        def hello(self) -> Json:
            if not failed.is_set():
                failed.set()
                raise RuntimeError("a bug, and a content in its text")
            return dict(self.inner.hello())

    engine = Engine(
        lambda: Machine(tmp_path, "one", server).replica,
        lambda: Broken(one.peer.inner),
        lock=tmp_path / "lock",
        status=tmp_path / "status",
    )
    one.say("written meanwhile")
    engine.start()
    end = time.monotonic() + 60
    while not contents(server) and time.monotonic() < end:
        if failed.is_set() and (tmp_path / "status").exists():
            assert "a content" not in (tmp_path / "status").read_text()
        time.sleep(0.05)
    engine.stop()
    assert contents(server) == ["written meanwhile"]
