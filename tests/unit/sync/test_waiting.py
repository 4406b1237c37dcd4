"""What is not sent says why, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.peer import REFUSED, Json, Peer, RequestFailed, RequestRefused
from bethink.sync.session import Session
from bethink.sync.waiting import READ_ONLY
from kit.replicas import Machine, Server, access_of, crowd


class Line:
    """A peer at which some contents fail, and some are refused."""

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address, self.confidential = inner.address, inner.confidential
        #: By word, what is raised for a request that holds it.
        self.raised: dict[str, Exception] = {}

    def push(self, changes: Sequence[Json]) -> Json:
        for word, error in self.raised.items():
            if word in str(changes):
                raise error
        return self.inner.push(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def one(tmp_path: Path, server: Server) -> Machine:
    return Machine(tmp_path, "one", server, wrap=Line)


def reasons(machine: Machine) -> dict[str, str]:
    return {one["memory"]: one["message"] for one in machine.replica.waiting.outgoing()}


def test_a_change_over_which_the_server_fails_says_so(one: Machine) -> None:
    one.sync()
    bad, worse = one.say("this one is bad"), one.say("that one is worse")
    one.say("and this is good")
    one.peer.raised = {"bad": RequestFailed("The server answers 500."), "worse": RequestFailed("The server answers 501.")}
    report = one.sync()
    assert report.ok and report.sent == 1
    assert reasons(one) == {bad.id: "The server answers 500.", worse.id: "The server answers 501."}
    assert all(each["hint"] and each["code"] == "RequestFailed" for each in one.replica.waiting.outgoing())
    one.peer.raised = {}
    one.replica.try_all()
    assert one.sync().sent == 2 and reasons(one) == {}


def test_the_reason_that_a_store_from_before_has_is_still_told(one: Machine) -> None:
    one.sync()
    one.say("this one is bad")
    one.peer.raised = {"bad": RequestFailed("The server answers 500.")}
    one.sync()
    (change,) = one.store.log.pending(one.replica.waiting.outgoing()[0]["memory"])
    with one.store.write(one.replica.access) as tx:
        tx.log.put_fact("secrets_waiting", {"operations": [change.operation], "code": "Old", "message": "As it was.", "hint": "Wait."})
    assert one.replica.waiting.outgoing()[0].items() >= {"code": "Old", "message": "As it was.", "hint": "Wait."}.items()


def test_a_key_that_may_only_read_is_named_as_the_reason(tmp_path: Path, server: Server) -> None:
    may = {"writes": False}

    def access() -> Access:
        return Access("ann", ("ann",), ("ann",) if may["writes"] else ())

    one = Machine(tmp_path, "one", server, access=access)
    memory = one.say("written with a key that may only read")
    report = one.sync()
    assert report.ok and report.sent == 0
    (waits,) = one.replica.waiting.outgoing()
    assert (waits["memory"], waits["op"], waits["code"]) == (memory.id, "store", READ_ONLY)
    assert "key" in waits["message"] and "memory:write" in waits["hint"]
    may["writes"] = True
    assert one.sync().sent == 1 and one.replica.waiting.outgoing() == []


def test_what_waits_since_a_role_was_taken_is_named_and_holds_up_nothing(tmp_path: Path, server: Server) -> None:
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "bobs", server, principal="bob", access=access_of(people, "bob"))
    bob.sync()
    for number in range(600):
        bob.say(f"for the team, number {number}", owner="space:team")
    people.role("team", "bob", "reader", "ann")
    own = bob.say("for himself")
    report = bob.sync()
    assert report.ok and report.sent == 1
    assert server.memories("bob").get(own.id).content == "for himself"
    assert bob.store.log.summary()["pending"] == 600
    waits = bob.replica.waiting.outgoing()
    assert 0 < len(waits) <= 50 and {one["code"] for one in waits} == {READ_ONLY}
    assert "the space team." in waits[0]["message"] and "writer" in waits[0]["hint"]


@pytest.mark.parametrize("whole", [True, False], ids=["the request", "the change"])
def test_a_refused_change_says_what_to_do_and_nothing_untrue(one: Machine, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one.sync()
    one.say("what nobody wants")
    if whole:
        one.peer.raised = {"nobody": RequestRefused("Not that.", status=422, code="InvalidInput")}
    else:
        push = one.peer.inner.push
        refused = {"result": "refused", "code": "Forbidden", "message": "Not that."}
        monkeypatch.setattr(
            one.peer.inner,
            "push",
            lambda changes: {**push([]), "answers": [{"operation": each["operation"], **refused} for each in changes]},
        )
    one.sync()
    (change,) = one.store.log.refused()
    assert change.refused is not None and change.refused["hint"] == REFUSED
    assert "sent later" not in RequestRefused("x").hint and RequestRefused("x").hint


def test_what_a_restored_server_lost_is_sent_in_the_same_round(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    one.say("in the backup")
    one.sync()
    server.store.backup(tmp_path / "backup.db")
    lost = [one.say(f"after the backup {number}") for number in range(3)]
    one.sync()
    server.store.close()
    for name in ("server.db", "server.db-wal", "server.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "server.db")
    server.store = SQLiteStore(tmp_path / "server.db")
    report = one.sync()
    assert report.ok and report.sent == 3, report
    assert one.store.log.summary()["pending"] == 0
    assert [server.memories().get(memory.id).content for memory in lost] == [memory.content for memory in lost]


def test_a_first_round_knows_how_much_there_is(tmp_path: Path, server: Server) -> None:
    one, two = (Machine(tmp_path, name, server) for name in ("one", "two"))
    for number in range(1200):
        one.say(f"memory {number} of many")
    seen: dict[str, list[tuple[int, int | None]]] = {}
    for machine in (one, two):

        def told(what: str, done: int, total: int | None) -> None:
            seen.setdefault(what, []).append((done, total))

        assert Session(machine.replica, machine.peer, told=told).round().ok
    assert seen["sent"][-1] == (1200, 1200)
    assert seen["fetched"][-2:] == [(1000, 1200), (1200, 1200)]
    # Later pages and rounds tell none: nobody counts for nothing.
    assert "total" not in two.peer.changes(two.store.log.fact("cursor"), 10)
