"""The same said on two machines: it is one memory, and stays recallable whatever either did to an older one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bethink.model import Access, Changes, Filter
from bethink.stores.base import Store
from kit.replicas import START, Machine, Server, differences, everything


@pytest.mark.parametrize("how", ["supersedes", "forgets"])
@pytest.mark.parametrize("first", ["one", "two"])
def test_a_correction_made_on_two_machines_stays_recallable(tmp_path: Path, kept_in: Store | None, how: str, first: str) -> None:
    server = Server(tmp_path, store=kept_in)
    one, two = machines = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    for each in machines:
        each.sync()
    old = one.say("the port is 5432")
    one.sync()
    two.sync()
    two.memories.revise(old.id, Changes(content="the port is 5433"))
    if how == "supersedes":
        one.say("the port is 5433", supersedes=old.id)
    else:
        one.say("the port is 5433")
        one.memories.forget(old.id)
    for each in (*(machines if first == "one" else reversed(machines)), one, two, one):
        assert each.sync().ok
    for memories in (server.memories(), one.memories, two.memories):
        assert [memory.content for memory in memories.list(Filter()).memories] == ["the port is 5433"]
    wanted = everything(server.store, Access.local("ann"), own="ann")
    for each in machines:
        assert differences(everything(each.store, each.replica.access, own="local"), wanted) == []
        assert each.store.log.waiting() == set()
    if first == "two":
        # What one did to the older memory would have been done to its own: it did not win, and is listed.
        (kept,) = one.store.revisions_named(one.replica.access, "conflict")
        assert ("superseded" if how == "supersedes" else "deleted_at") in kept.note


def test_who_forgets_what_a_twin_took_in_and_knows_of_it_is_heard(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    for each in (one, two):
        each.sync()
    one.say("the port is 5433")
    mine = two.say("the port is 5433")
    two.memories.forget(two.say("something else").id)
    for each in (one, two):
        assert each.sync().ok
    assert two.store.get(two.replica.access, [mine.id]) == {}
    (left,) = two.memories.list(Filter()).memories
    two.memories.forget(left.id)
    for each in (two, one):
        assert each.sync().ok
    assert one.memories.get(left.id).deleted_at is not None
    assert two.store.revisions_named(two.replica.access, "conflict") == []


def test_what_one_says_for_good_the_other_neither_lets_expire_nor_puts_away(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    for each in (one, two):
        each.sync()
    two.say("for an hour", expires_at=START + timedelta(hours=1))
    for status in ("parked", "completed"):
        two.memories.revise(two.say(status).id, Changes(status=status))
    for content in ("for an hour", "parked", "completed"):
        one.say(content)
    for each in (two, one, two):
        assert each.sync().ok
        each.clock.at += timedelta(days=1)
    for memories in (server.memories(), one.memories, two.memories):
        found = memories.list(Filter()).memories
        assert {(memory.content, memory.status, memory.expires_at) for memory in found} == {
            (content, "active", None) for content in ("for an hour", "parked", "completed")
        }


def test_a_delete_stands_against_a_restatement_that_is_an_edit(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    memory = one.say("the port is 5433")
    for each in (one, two):
        each.sync()
    two.say("the port is 5433", tags=("database",))
    one.memories.forget(memory.id)
    for each in (two, one, two):
        assert each.sync().ok
    for each in (one, two):
        assert each.memories.get(memory.id).deleted_at is not None
        (kept,) = each.store.revisions_named(each.replica.access, "conflict")
        assert "database" in kept.note
