"""A server and its replicas: what is written anywhere is everywhere, once."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from bethink.errors import NotFound
from bethink.model import Access, Changes
from kit.replicas import Machine, Server, everything


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def one(tmp_path: Path, server: Server) -> Machine:
    return Machine(tmp_path, "one", server)


@pytest.fixture
def two(tmp_path: Path, server: Server) -> Machine:
    return Machine(tmp_path, "two", server)


def state(machine: Machine) -> dict[str, dict[str, object]]:
    return everything(machine.store, machine.replica.access, own=machine.user)


def on_server(server: Server) -> dict[str, dict[str, object]]:
    return everything(server.store, Access.local("ann"), own="ann")


def test_what_one_stores_the_other_has(server: Server, one: Machine, two: Machine) -> None:
    one.sync()
    memory = one.say("the port is 5432", tags=("db",))
    assert one.sync().ok
    assert two.sync().ok
    assert two.memories.get(memory.id).content == "the port is 5432"
    assert state(one) == state(two) == on_server(server)


def test_edits_of_different_fields_merge(server: Server, one: Machine, two: Machine) -> None:
    one.sync()
    memory = one.say("the port is 5432")
    one.sync()
    two.sync()
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    two.memories.revise(memory.id, Changes(tags=("db",), importance=0.9))
    for machine in (one, two, one):
        assert machine.sync().ok
    merged = one.memories.get(memory.id)
    assert (merged.content, merged.tags, merged.importance) == ("the port is 5433", ("db",), 0.9)
    assert state(one) == state(two) == on_server(server)


def test_the_same_field_is_the_servers_and_the_loser_is_kept(server: Server, one: Machine, two: Machine) -> None:
    one.sync()
    memory = one.say("the port is 5432")
    one.sync()
    two.sync()
    one.memories.revise(memory.id, Changes(content="the port is 1"))
    two.memories.revise(memory.id, Changes(content="the port is 2"))
    two.memories.revise(memory.id, Changes(content="the port is 3"))
    for machine in (one, two, one):
        assert machine.sync().ok
    assert two.memories.get(memory.id).content == "the port is 1"
    kept = [r.note for r in one.store.revisions_named(one.replica.access, "conflict")]
    assert any("the port is 2" in note for note in kept) and any("the port is 3" in note for note in kept)
    assert state(one) == state(two) == on_server(server)


def test_a_chain_of_own_edits_is_no_conflict(server: Server, one: Machine) -> None:
    one.sync()
    memory = one.say("v0")
    for n in range(100):
        one.memories.revise(memory.id, Changes(content=f"v{n + 1}"))
    assert one.sync().ok
    assert one.store.revisions_named(one.replica.access, "conflict") == []
    assert server.memories().get(memory.id).content == "v100"
    assert state(one) == on_server(server)


def both(one: Machine, two: Machine) -> None:
    for machine in (one, two, one, two):
        assert machine.sync().ok


def test_a_row_that_was_lost_here_comes_back(server: Server, one: Machine) -> None:
    one.sync()
    memory = one.say("the port is 5432", tags=("db",))
    one.sync()
    one.store.close()
    db = apsw.Connection(str(one.path))
    db.execute("DELETE FROM memories WHERE id = ?", (memory.id,))
    db.close()
    one.open()
    assert one.sync(verify=True).repaired == 1
    assert one.memories.get(memory.id).content == "the port is 5432"
    assert one.sync(verify=True).repaired == 0
    assert state(one) == on_server(server)


def test_a_purge_that_waits_brings_no_row_back(server: Server, one: Machine, two: Machine) -> None:
    one.sync()
    memory = one.say("the port is 5432")
    both(one, two)
    one.memories.forget(memory.id)
    both(one, two)
    one.memories.purge(memory.id)
    two.memories.restore(memory.id)
    two.sync()
    for _ in range(2):
        # Told of twice while the purge was not sent: also when its number is known.
        one.replica.absorb(one.peer.fetch([memory.id]) | {"gone": [], "cursor": ""}, move_cursor=False)
        with pytest.raises(NotFound):
            one.memories.get(memory.id)
    both(one, two)
    assert state(one) == state(two) == on_server(server)
