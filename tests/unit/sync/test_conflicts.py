"""What lost against another machine's change: listed until it is made again or dismissed, on every machine alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bethink.errors import InvalidInput, NotFound
from bethink.model import Access, Changes, Filter, Memory
from bethink.service.conflicts import in_words
from bethink.stores.base import Store
from bethink.sync import conflicts
from bethink.sync.status import standing
from kit.replicas import Machine, Server, everything


@pytest.fixture
def server(tmp_path: Path, kept_in: Store | None) -> Server:
    return Server(tmp_path, store=kept_in)


@pytest.fixture
def one(tmp_path: Path, server: Server) -> Machine:
    return Machine(tmp_path, "one", server)


@pytest.fixture
def two(tmp_path: Path, server: Server) -> Machine:
    return Machine(tmp_path, "two", server)


def rounds(*machines: Machine) -> None:
    for machine in (*machines, *machines):
        assert machine.sync().ok


def lost(one: Machine, two: Machine, *words: str) -> Memory:
    """A memory of which two said something, each word in a change of its own, and one was faster."""
    rounds(one)
    memory = one.say("the port is 5432")
    rounds(one, two)
    one.memories.revise(memory.id, Changes(content="the port is 1"))
    for word in words or ("the port is 2",):
        two.memories.revise(memory.id, Changes(content=word))
    rounds(one, two)
    return memory


def agree(server: Server, *machines: Machine) -> None:
    wanted = everything(server.store, Access.local("ann"), own="ann")
    assert [everything(each.store, each.replica.access, own=each.user) for each in machines] == [wanted] * len(machines)


def counted(machine: Machine) -> int:
    return int(standing(machine.replica, machine.path.with_suffix(".json"), is_on=True, now=machine.clock())["conflicts"])


@pytest.mark.parametrize("deal", [conflicts.reapply, conflicts.dismiss])
def test_what_was_dealt_with_is_listed_nowhere_any_more(server: Server, one: Machine, two: Machine, deal: Callable[..., object]) -> None:
    memory = lost(one, two)
    assert counted(one) == counted(two) == 1
    deal(two.memories, memory.id)
    assert conflicts.listed(two.memories) == [] and counted(two) == 0
    rounds(two, one)
    assert conflicts.listed(one.memories) == []
    assert conflicts.listed(server.memories()) == []
    assert one.memories.get(memory.id).content == ("the port is 2" if deal is conflicts.reapply else "the port is 1")
    assert any("the port is 2" in (in_words(each) or "") for each in one.memories.history(memory.id))
    assert two.replica.outgoing(10) == [] and not two.sync(verify=True).repaired
    agree(server, one, two)


def test_the_server_deals_with_one_for_all(server: Server, one: Machine, two: Machine) -> None:
    memory = lost(one, two)
    conflicts.dismiss(server.memories(), memory.id)
    rounds(one, two)
    assert counted(one) == counted(two) == 0
    agree(server, one, two)


def test_a_dismissal_waits_while_the_same_memory_changes_on_both_sides(server: Server, one: Machine, two: Machine) -> None:
    memory = lost(one, two)
    conflicts.dismiss(two.memories, memory.id)
    two.memories.revise(memory.id, Changes(importance=0.9))
    one.memories.revise(memory.id, Changes(tags=("db",)))
    rounds(one, two, one)
    found = two.memories.get(memory.id)
    assert (found.importance, found.tags, counted(one)) == (0.9, ("db",), 0)
    agree(server, one, two)


@pytest.mark.parametrize("id", ["", " ", "0", "01"])
def test_what_names_no_conflict_changes_nothing(server: Server, one: Machine, two: Machine, id: str) -> None:
    memory = lost(one, two)
    two.memories.forget(memory.id)
    for deal in (conflicts.reapply, conflicts.dismiss):
        with pytest.raises((InvalidInput, NotFound)) as refused:
            deal(two.memories, id)
        assert "bethink conflicts" in refused.value.hint
    assert two.memories.get(memory.id).deleted_at is not None
    assert counted(two) == 1


def test_of_several_the_operation_tells_which(server: Server, one: Machine, two: Machine) -> None:
    memory = lost(one, two, "the port is 2", "the port is 3")
    first, second = conflicts.listed(two.memories)
    for id in (memory.id, memory.id[:13]):
        with pytest.raises(InvalidInput) as refused:
            conflicts.reapply(two.memories, id)
        assert first["operation"] in refused.value.hint and second["operation"] in refused.value.hint
    assert conflicts.reapply(two.memories, first["operation"]).content == "the port is 2"
    assert [each["operation"] for each in conflicts.listed(two.memories)] == [second["operation"]]
    assert [each["operation"] for each in conflicts.dismiss_all(two.memories)] == [second["operation"]]
    assert conflicts.listed(two.memories) == []


def test_of_a_deleted_memory_it_is_said_that_it_is(server: Server, one: Machine, two: Machine) -> None:
    rounds(one)
    memory = one.say("the port is 5432")
    rounds(one, two)
    one.memories.revise(memory.id, Changes(content="the port is 1"))
    two.memories.forget(memory.id)
    rounds(one, two)
    (kept,) = conflicts.listed(two.memories)
    assert kept["reason"] == "edited elsewhere, deleted here" and kept["fields"] == {"content": "the port is 1"}
    assert kept["now"].keys() == {"deleted_at"} and kept["now"]["deleted_at"]
    # It says already what it shall say: being back is all that changes.
    assert conflicts.reapply(two.memories, kept["operation"]).content == "the port is 1"
    assert two.memories.get(memory.id).deleted_at is None and conflicts.listed(two.memories) == []


def test_what_a_twin_said_otherwise_is_kept_on_every_machine(server: Server, one: Machine, two: Machine) -> None:
    rounds(one, two)
    one.say("the port is 5432", tags=("ax",))
    mine = two.say("the port is 5432", tags=("by",), category="decisions", importance=0.3)
    rounds(one, two)
    for machine in (one, two):
        (memory,) = machine.memories.store.walk(machine.replica.access, Filter(statuses=()), machine.clock())
        (kept,) = conflicts.listed(machine.memories)
        assert set(memory.tags) == {"ax", "by"} and memory.category == "facts"
        assert kept["fields"] == {"category": "decisions", "importance": 0.3} and kept["client"] == "two"
        assert "the same words" in kept["reason"] and mine.id in kept["reason"] and "on two" in kept["reason"]
        assert mine.created_at.isoformat(timespec="seconds") in kept["reason"]
    assert conflicts.reapply(one.memories, kept["operation"]).category == "decisions"
    rounds(one, two)
    agree(server, one, two)


def test_twins_that_say_the_same_are_no_conflict_and_the_history_names_both(server: Server, one: Machine, two: Machine) -> None:
    rounds(one, two)
    kept = one.say("the port is 5432")
    mine = two.say("the port is 5432")
    rounds(one, two)
    assert counted(one) == counted(two) == 0
    for memories in (server.memories(), two.memories):
        notes = [each.note for each in memories.history(kept.id) if each.op == "twin"]
        assert len(notes) == 1 and mine.id in notes[0] and "on two" in notes[0]
    agree(server, one, two)
