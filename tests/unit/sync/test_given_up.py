"""Changes that are given up: of a space that was left, of a memory that the server has, and what cannot be given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bethink.errors import Conflict, InvalidInput, NotFound
from bethink.model import Access, Changes, Memory
from bethink.sync.given_up import GivenUp, give_up, planned
from bethink.sync.peer import Peer
from kit.replicas import Machine, Server, access_of, crowd


def offline() -> Peer:
    raise AssertionError("nobody is to be asked")


def gave_up(one: Machine, id: str, *, online: bool = True) -> GivenUp:
    def connected() -> Peer:
        session = one.session()
        session.connect()
        return session.peer

    asked = connected if online else offline
    what = planned(one.replica, id, asked)
    give_up(one.replica, what, asked)
    return what


def left_behind(tmp_path: Path) -> tuple[Machine, Memory, Memory]:
    """Bob's machine with a memory of a space that he was taken out of before it was sent, and an edit of another."""
    server = Server(tmp_path)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "bob", server, principal="bob", access=access_of(people, "bob"))
    assert bob.sync().ok
    known = bob.say("the team's", owner="space:team")
    assert bob.sync().ok
    bob.memories.revise(known.id, Changes(content="the team's, edited"))
    unsent = bob.say("the team's, not sent", owner="space:team")
    people.leave("team", "bob", "ann")
    assert bob.sync().ok and len(bob.store.log.refused()) == 2
    return bob, known, unsent


def test_what_was_never_sent_of_a_space_that_was_left_is_given_up_offline(tmp_path: Path) -> None:
    bob, known, unsent = left_behind(tmp_path)
    what = gave_up(bob, unsent.id, online=False)
    assert what.memory is not None and (what.memory.content, what.then) == ("the team's, not sent", "erased")
    assert [one["op"] for one in what.told()] == ["store"]
    edit = gave_up(bob, bob.store.log.pending(known.id)[0].operation, online=False)
    assert edit.told()[0]["payload"]["fields"]["content"] == "the team's, edited"
    assert bob.store.log.ids_of("space:team") == [] and bob.store.log.waiting() == set()
    assert bob.sync(verify=True).ok and bob.store.log.summary()["refused"] == 0
    assert b"the team's" not in bob.path.read_bytes()


def test_a_change_that_is_given_up_leaves_what_the_server_says(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    memory = one.say("as the server has it")
    assert one.sync().ok
    one.memories.revise(memory.id, Changes(content="as it is here"))
    one.memories.revise(memory.id, Changes(importance=0.9))
    (edit, other) = one.store.log.pending(memory.id)
    assert gave_up(one, edit.operation).then == "fetched"
    now = one.memories.get(memory.id)
    assert (now.content, now.importance) == ("as the server has it", 0.9)
    assert [change.operation for change in one.store.log.pending(memory.id)] == [other.operation]
    assert one.sync(verify=True).ok and server.memories().get(memory.id).importance == 0.9
    assert server.memories().get(memory.id).content == "as the server has it"


def test_a_purge_that_is_given_up_brings_the_memory_back(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    memory = one.say("purged by mistake")
    assert one.sync().ok
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    assert gave_up(one, memory.id).memory is None
    assert one.memories.get(memory.id).content == "purged by mistake"
    assert one.sync(verify=True).ok and server.memories().get(memory.id)


def test_what_may_be_sent_and_never_was_is_not_given_up(tmp_path: Path) -> None:
    one = Machine(tmp_path, "one", Server(tmp_path))
    assert one.sync().ok
    memory = one.say("mine alone")
    with pytest.raises(Conflict) as refused:
        gave_up(one, memory.id)
    assert f"bethink edit {memory.id}" in refused.value.hint
    assert one.store.log.pending(memory.id) and one.memories.get(memory.id)


def test_what_is_unsent_of_a_space_that_may_only_be_read_is_given_up(tmp_path: Path) -> None:
    server = Server(tmp_path)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "bob", server, principal="bob", access=access_of(people, "bob"))
    assert bob.sync().ok
    unsent = bob.say("not sent", owner="space:team")
    people.role("team", "bob", "reader", "ann")
    assert bob.sync().ok and bob.store.log.pending(unsent.id)
    assert gave_up(bob, unsent.id).then == "erased"
    assert bob.store.log.waiting() == set() and bob.store.log.ids_of("space:team") == []


def test_only_one_thing_is_given_up_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    bob, known, unsent = left_behind(tmp_path)
    with pytest.raises(InvalidInput):
        planned(bob.replica, known.id[:4], offline)
    with pytest.raises(NotFound):
        planned(bob.replica, "nothing", offline)
    assert planned(bob.replica, unsent.id[:-1], offline).id == unsent.id


def test_the_secrets_of_what_is_given_up_are_named_and_erased(tmp_path: Path) -> None:
    secret = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    server = Server(tmp_path)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "bob", server, principal="bob", access=access_of(people, "bob"))
    assert bob.sync().ok
    memory = bob.say(f"the deploy token is {secret}", owner="space:team")
    people.leave("team", "bob", "ann")
    bob.sync()
    what = gave_up(bob, memory.id, online=False)
    assert len(what.secrets) == 1
    assert bob.store.secrets_of(Access("local", ("space:team",), ("space:team",)), memory.id) == []
