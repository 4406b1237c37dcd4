"""Single memories that are lent from a machine: changes of its log, each made once by the server, in the memory's own order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import Forbidden, Forgotten, InvalidInput, NotFound, PeerError
from bethink.model import Access, Changes, Grant
from bethink.stores.base import Store
from bethink.sync.errand import carried
from bethink.sync.peer import Json, Peer, Unreachable
from kit.replicas import Machine, Server, access_of, crowd


class Line:
    """A peer that can be cut, loses answers, says things twice, or speaks with a server from before."""

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address, self.confidential = inner.address, inner.confidential
        self.down = self.deaf = self.doubles = self.old = False
        self.pushed: list[list[Json]] = []

    def hello(self) -> Json:
        if self.down:
            raise Unreachable("The server cannot be reached.")
        return self.inner.hello()

    def push(self, changes: Sequence[Json]) -> Json:
        self.pushed.append(list(changes))
        if self.down:
            raise Unreachable("The server cannot be reached.")
        sent = [{**one, "op": f"{one['op']} of tomorrow"} if self.old and "share" in one["op"] else one for one in changes]
        answer = self.inner.push(sent)
        if self.doubles:
            answer = self.inner.push(sent)
        if self.deaf:
            raise Unreachable("The answer was lost.")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Scene:
    """A server that knows Ann, Bob and their space; and a machine of Ann's."""

    def __init__(self, folder: Path, store: Store | None) -> None:
        self.folder = folder
        self.server = Server(folder, store=store)
        self.people, let_in = crowd(self.server)
        let_in()
        self.one = self.machine("one")
        assert self.one.sync().ok

    def machine(self, name: str, whose: str = "ann") -> Machine:
        return Machine(self.folder, name, self.server, principal=whose, access=access_of(self.people, whose), wrap=Line)

    def lent(self) -> list[tuple[str, str, str]]:
        return sorted((one.value, one.grantee, one.permission) for one in self.people.grants(owner="ann"))

    def seen(self, id: str) -> bool:
        """Whether Bob may read it."""
        return bool(self.server.store.get(access_of(self.people, "bob")(), [id]))


@pytest.fixture
def scene(tmp_path: Path, kept_in: Store | None) -> Scene:
    return Scene(tmp_path, kept_in)


def at_once(machine: Machine) -> None:
    """From now on a loan is sent when it is made."""
    machine.carry = partial(carried, machine.replica, machine.peer)  # type: ignore[method-assign]  # what a machine does here, this test does otherwise


def ops(machine: Machine, id: str) -> list[str]:
    return [change.op for change in machine.store.log.pending(id)]


def refusals(machine: Machine) -> list[tuple[str, str]]:
    return [(change.op, str((change.refused or {}).get("code"))) for change in machine.store.log.refused()]


def test_what_is_lent_offline_arrives_later(scene: Scene) -> None:
    one = scene.one
    memory = one.say("the port is 5432")
    assert one.sync().ok
    at_once(one)
    one.peer.down = True
    loan = one.memories.share("bob", id=memory.id[:13], permission="write")
    assert (loan.owner, loan.grantee, loan.waits) == ("ann", "bob", "The server cannot be reached.")
    assert ops(one, memory.id) == ["share"] and scene.lent() == []
    one.reopen()
    one.peer.down = False
    assert one.sync().ok
    assert scene.lent() == [(memory.id, "bob", "write")] and scene.seen(memory.id)
    assert one.store.log.summary()["pending"] == 0
    assert one.memories.get(memory.id).version == scene.server.memories().get(memory.id).version == 1


def test_what_was_not_sent_yet_is_lent_after_it_was_stored(scene: Scene) -> None:
    one = scene.one
    memory = one.say("the port is 5432")
    one.memories.share("space:team", id=memory.id)
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    assert ops(one, memory.id) == ["store", "share", "edit"]
    assert one.sync().ok and one.store.log.summary()["pending"] == 0
    assert scene.lent() == [(memory.id, "space:team", "read")]
    # The loan between two edits of one machine makes them no strangers to each other.
    assert scene.server.memories().get(memory.id).content == "the port is 5433"
    assert one.store.revisions_named(one.replica.access, "conflict") == []


@pytest.mark.parametrize("fault", ["deaf", "doubles"])
def test_a_loan_is_made_once_with_answers_that_are_lost_or_doubled(scene: Scene, fault: str) -> None:
    one = scene.one
    memory = one.say("the port is 5432")
    one.memories.share("bob", id=memory.id)
    setattr(one.peer, fault, True)
    one.sync()
    assert scene.lent() == [(memory.id, "bob", "read")]
    # Taken back at the server meanwhile: what comes again does not lend it again.
    assert scene.people.unshare("ann", "memory", memory.id, "bob")
    setattr(one.peer, fault, False)
    for pushed in list(one.peer.pushed):
        one.peer.inner.push(pushed)
    assert one.sync().ok and one.store.log.summary()["pending"] == 0
    assert scene.lent() == []


def test_a_loan_that_was_made_but_not_noted_is_not_made_again(scene: Scene) -> None:
    """The server ends between its two transactions: who sees what, and the answer."""
    one = scene.one
    memory = one.say("the port is 5432")
    assert one.sync().ok
    one.memories.share("bob", id=memory.id)
    (change,) = one.store.log.pending(memory.id)
    (wire,) = [one.replica.wire(change, keys=(), confidential=True)]
    assert scene.people.once(f"ann/{change.operation}", Grant("ann", "memory", memory.id, "bob"))
    assert scene.people.unshare("ann", "memory", memory.id, "bob")
    assert wire is not None and one.peer.push([wire])["answers"][0]["result"] == "applied"
    assert scene.lent() == []


def test_what_is_taken_back_after_it_was_lent_is_not_lent(scene: Scene) -> None:
    one = scene.one
    memory, other = one.say("the port is 5432"), one.say("the port is 5433")
    one.memories.share("bob", id=memory.id)
    one.memories.share("space:team", id=memory.id)
    one.memories.share("bob", id=other.id)
    one.memories.share("space:team", id=other.id)
    one.memories.unshare("bob", id=memory.id)
    assert ops(one, memory.id) == ["store", "share", "share", "unshare"]
    one.memories.unshare(id=other.id)
    assert one.sync().ok and one.store.log.summary()["pending"] == 0
    assert scene.lent() == [(memory.id, "space:team", "read")]
    # What is not lent any more, by whomever it was taken back, is no trouble.
    one.memories.unshare("bob", id=memory.id)
    assert one.sync().ok and one.store.log.summary() == {"pending": 0, "refused": 0, "oldest": None, "next_try": None}


def test_a_purge_drops_the_loan(scene: Scene) -> None:
    one = scene.one
    unsent, sent = one.say("the port is 5432"), one.say("the port is 5433")
    for memory in (unsent, sent):
        one.memories.share("bob", id=memory.id)
        if memory is unsent:
            one.memories.forget(memory.id)
            one.memories.purge(memory.id)
    assert "share" not in ops(one, unsent.id)
    one.peer.deaf = True
    one.sync()
    one.memories.forget(sent.id)
    one.memories.purge(sent.id)
    assert ops(one, sent.id) == ["purge"]
    one.peer.deaf = False
    assert one.sync().ok and one.store.log.summary()["pending"] == 0
    assert not scene.seen(sent.id) and not scene.seen(unsent.id) and refusals(one) == []


def test_a_twin_that_takes_a_memory_in_is_lent_instead(scene: Scene) -> None:
    one, two = scene.one, scene.machine("two")
    first = one.say("the port is 5432")
    assert two.sync().ok
    second = two.say("the port is 5432")
    two.memories.share("bob", id=second.id)
    assert one.sync().ok and two.sync().ok
    assert two.store.log.ids_of("local") == [first.id] and two.store.log.summary()["pending"] == 0
    assert scene.lent() == [(first.id, "bob", "read")] and scene.seen(first.id)


def test_a_loan_that_waits_goes_over_to_the_twin(scene: Scene) -> None:
    one, two = scene.one, scene.machine("two")
    first = one.say("the port is 5432")
    assert two.sync().ok and one.sync().ok
    second = two.say("the port is 5432")
    two.memories.share("bob", id=second.id)
    _, loan = two.store.log.pending(second.id)
    two.replica.delay(loan, two.clock() + timedelta(days=1))
    assert two.sync().ok and two.store.log.ids_of("local") == [first.id] and scene.lent() == []
    assert ops(two, first.id) == ["share"]
    two.replica.try_all()
    assert two.sync().ok and two.store.log.summary()["pending"] == 0
    assert scene.lent() == [(first.id, "bob", "read")]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda scene, memory: None, "NotFound"),
        (lambda scene, memory: scene.server.memories().forget(memory), "Forgotten"),
    ],
    ids=["nobody", "forgotten"],
)
def test_a_loan_that_is_refused_is_kept_and_shown(scene: Scene, spoil: Callable[[Scene, str], Any], code: str) -> None:
    one = scene.one
    memory, other = one.say("the port is 5432"), one.say("another")
    assert one.sync().ok
    one.memories.share("bbo" if code == "NotFound" else "bob", id=memory.id)
    spoil(scene, memory.id)
    one.memories.revise(memory.id, Changes(importance=0.9))
    one.memories.share("bob", id=other.id)
    assert one.sync().ok
    (change,) = one.store.log.refused()
    assert (change.op, change.refused["code"]) == ("share", code)
    assert change.refused["message"] and change.refused["hint"]
    # It blocks nothing.
    assert scene.lent() == [(other.id, "bob", "read")] and ops(one, memory.id) == ["share"]
    one.memories.unshare("bbo" if code == "NotFound" else "bob", id=memory.id)
    assert one.sync().ok and one.store.log.summary() == {"pending": 0, "refused": 0, "oldest": None, "next_try": None}


def test_who_waits_for_the_answer_is_told_at_once(scene: Scene) -> None:
    one = scene.one
    at_once(one)
    memory = one.say("the port is 5432")
    loan = one.memories.share("bob", id=memory.id)
    assert (loan.waits, scene.lent()) == ("", [(memory.id, "bob", "read")])
    with pytest.raises(NotFound, match="No user 'bbo'"):
        one.memories.share("bbo", id=memory.id)
    with pytest.raises(InvalidInput, match="yours already"):
        one.memories.share("ann", id=memory.id)
    # Said and heard: nobody who takes that name later is shown it.
    assert ops(one, memory.id) == []
    one.memories.share("space:team", id=memory.id)
    assert sorted(each.grantee for each in one.memories.unshare(id=memory.id)) == ["bob", "space:team"]
    with pytest.raises(NotFound, match="not shared with bob"):
        one.memories.unshare("bob", id=memory.id)
    one.memories.forget(memory.id)
    with pytest.raises(Forgotten):
        one.memories.share("bob", id=memory.id)
    assert one.store.log.summary()["refused"] == 0


def test_only_ones_own_is_lent(scene: Scene) -> None:
    bob = scene.machine("bobs", "bob")
    assert bob.sync().ok
    shared = bob.say("we deploy on Fridays", owner="space:team")
    with pytest.raises(Forbidden, match="only its owner"):
        bob.memories.share("ann", id=shared.id)
    mine = scene.one.say("the port is 5432")
    assert bob.sync().ok and scene.one.sync().ok
    for id, owner in ((shared.id, "space:team"), (mine.id, "ann"), (mine.id, "bob")):
        change = {"operation": f"op-{owner}", "memory": id, "owner": owner, "op": "share", "at": "2026-01-01T00:00:00+00:00"}
        (answer,) = bob.peer.push([{**change, "base": 1, "previous": None, "payload": {"to": "space:team"}}])["answers"]
        assert (answer["result"], answer.get("code")) in (("refused", "Forbidden"), ("unknown", None))
    assert scene.people.grants() == []


def test_a_server_from_before_refuses_it_and_it_is_made_after_the_upgrade(scene: Scene) -> None:
    one = scene.one
    at_once(one)
    memory = one.say("the port is 5432")
    one.peer.old = True
    with pytest.raises(InvalidInput) as caught:
        one.memories.share("bob", id=memory.id)
    assert "upgrade" in caught.value.hint and "kept" in caught.value.hint
    assert refusals(one) == [("share", "InvalidInput")]
    one.peer.old = False
    one.replica.try_all()
    assert one.sync().ok and refusals(one) == [] and scene.lent() == [(memory.id, "bob", "read")]


def test_a_server_that_lost_the_memory_gets_it_back_and_the_loan(scene: Scene) -> None:
    one = scene.one
    lost = one.say("lost with a backup")
    with one.store.write(one.replica.access) as tx:
        # The machine takes a memory for sent that the server has not.
        for change in tx.log.pending(lost.id):
            tx.log.settle(change.operation)
        tx.log.know(lost.id, 1, 1)
    one.memories.share("bob", id=lost.id)
    assert one.sync().ok and one.store.log.summary()["pending"] == 0
    assert scene.lent() == [(lost.id, "bob", "read")] and scene.seen(lost.id)


def test_before_the_first_contact_a_loan_is_kept(tmp_path: Path, kept_in: Store | None) -> None:
    scene = Scene(tmp_path, kept_in)
    late = scene.machine("late")
    at_once(late)
    late.peer.down = True
    memory, other = late.say("the port is 5432"), late.say("because of the database")
    late.memories.link(memory.id, other.id, "supports")
    assert late.memories.share("bob", id=memory.id).waits
    late.peer.down = False
    assert late.sync().ok and late.store.log.summary()["pending"] == 0
    assert scene.lent() == [(memory.id, "bob", "read")]
    links = scene.server.store.links_of(Access.local("ann"), [memory.id])
    assert [(link.source, link.target) for link in links] == [(memory.id, other.id)]


def test_what_is_not_lent_because_the_way_fails_stays_in_the_log(scene: Scene) -> None:
    one = scene.one
    memory = one.say("the port is 5432")

    def fails(operation: str) -> Any:
        raise PeerError("away")

    one.carry = fails  # type: ignore[method-assign]  # what a machine does here, this test does otherwise
    with pytest.raises(PeerError):
        one.memories.share("bob", id=memory.id)
    assert ops(one, memory.id) == ["store", "share"]
    assert one.sync().ok and scene.lent() == [(memory.id, "bob", "read")]


def test_what_follows_a_loan_that_is_withdrawn_follows_what_was_before_it(scene: Scene) -> None:
    one = scene.one
    memory = one.say("the port is 5432")
    one.memories.share("bbo", id=memory.id)
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    store, loan, edit = one.store.log.pending(memory.id)
    one.replica.refuse(loan, "NotFound", "No user 'bbo'.", "")
    one.memories.share("bbo", id=memory.id)
    left = one.store.log.pending(memory.id)
    assert [change.op for change in left] == ["store", "edit", "share"]
    assert [change.previous for change in left] == [None, store.operation, edit.operation]
