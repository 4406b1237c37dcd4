"""A server that was restored from a backup: what it had taken comes again, and nothing is undone unheard of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bethink.model import Access, Changes
from bethink.service.replicating import PROTOCOL
from bethink.stores.sqlite import SQLiteStore
from bethink.sync import plan
from bethink.sync.replica import WITHHELD
from kit.replicas import Machine, Private, Server, Tapped, differences, everything

KEY = "11" * 32


def canary() -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"


def restored(server: Server, folder: Path) -> None:
    """The server is as it was at its backup."""
    server.store.close()
    for name in ("server.db-wal", "server.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(folder / "backup.db", folder / "server.db")
    server.store = SQLiteStore(folder / "server.db")


def assert_equal(server: Server, *machines: Machine) -> None:
    wanted = everything(server.store, Access.local("ann"), own="ann")
    for each in machines:
        assert differences(everything(each.store, each.replica.access, own="local"), wanted) == []


def edited_after_the_backup(folder: Path, *, heard: bool) -> tuple[Server, Machine, Machine, str]:
    """A server that lost an edit of one's, and two that edits the same memory before anybody compares.

    Args:
        heard: two had fetched the edit.
    """
    server = Server(folder)
    one, two = Machine(folder, "one", server), Machine(folder, "two", server)
    two.sync()
    memory = one.say("the port is 5432")
    one.sync()
    two.sync()
    server.store.backup(folder / "backup.db")
    for number in range(5):
        one.say(f"more {number}")
    one.sync()
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    one.sync()
    if heard:
        two.sync()
    two.memories.revise(memory.id, Changes(importance=0.9))
    restored(server, folder)
    return server, one, two, memory.id


@pytest.mark.parametrize("heard", [True, False])
def test_an_edit_of_another_machine_does_not_undo_what_a_restored_server_lost(tmp_path: Path, heard: bool) -> None:
    server, one, two, id = edited_after_the_backup(tmp_path, heard=heard)
    for each in (two, one, two, one, two):
        assert each.sync(verify=True).ok
    there = server.memories().get(id)
    assert (there.content, there.importance) == ("the port is 5433", 0.9)
    assert server.memories().count()["total"] == 6
    assert_equal(server, one, two)
    assert one.store.log.waiting() == two.store.log.waiting() == set()


def test_a_change_upon_what_a_restored_server_lost_is_answered_with_its_version(tmp_path: Path) -> None:
    server, _, two, id = edited_after_the_backup(tmp_path, heard=True)
    (change,) = two.replica.outgoing(10)
    wire = two.replica.wire(change, keys=(), confidential=False)
    answer = two.peer.push([wire])
    assert answer["protocol"] == PROTOCOL
    # A replica from before sends the memory itself, and then both states are kept.
    assert answer["answers"] == [{"operation": change.operation, "result": "unknown", "id": id, "version": 1}]
    assert server.memories().get(id).version == 1


def test_news_of_others_is_no_conflict_after_a_backup(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    memory = one.say("the port is 5432")
    one.sync()
    two.sync()
    server.store.backup(tmp_path / "backup.db")
    lost = two.say("lost")
    two.sync()
    restored(server, tmp_path)
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    one.sync()
    for each in (two, one, two):
        assert each.sync(verify=True).ok
    assert two.memories.get(memory.id).content == "the port is 5433" and one.memories.get(lost.id).content == "lost"
    assert server.store.revisions_named(Access.local("ann"), "conflict") == []
    assert_equal(server, one, two)


def test_a_memory_whose_secret_stays_here_is_sent_again(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Tapped)
    one.sync()
    server.store.backup(tmp_path / "backup.db")
    memory = one.say(f"the token {canary()}")
    one.memories.revise(memory.id, Changes(tags=("deploy",)))
    one.sync()
    assert [change.refused and change.refused["code"] for change in one.store.log.pending(memory.id)] == [WITHHELD]
    restored(server, tmp_path)
    for _ in range(3):
        assert one.sync(verify=True).ok
    assert server.memories().get(memory.id).tags == ("deploy",)
    assert_equal(server, one)
    # What is held back is held back once.
    assert [change.op for change in one.store.log.pending(memory.id)] == ["secret"]
    assert canary() not in "".join(one.peer.heard)


def test_an_edit_that_is_refused_does_not_keep_the_rest_from_a_restored_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    memory = one.say("the port is 5432")
    one.sync()
    server.store.backup(tmp_path / "backup.db")
    one.memories.revise(memory.id, Changes(tags=("database",)))
    one.sync()
    one.memories.revise(memory.id, Changes(importance=0.9))
    (refused,) = one.store.log.pending(memory.id)
    one.replica.refuse(refused, "InvalidInput", "too long", "Shorten it.")
    restored(server, tmp_path)
    for _ in range(3):
        assert one.sync(verify=True).ok
    assert server.memories().get(memory.id).tags == ("database",)
    assert_equal(server, one)


def test_a_secret_alone_that_a_restored_server_lost_is_sent_again(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Private)
    one.sync()
    one.peer.confidential = False
    memory = one.say(f"the token {canary()}")
    one.sync()
    server.store.backup(tmp_path / "backup.db")
    one.peer.confidential = True
    one.replica.try_all()
    one.sync()
    wanted = server.memories().secret(memory.id)["secrets"]
    assert list(wanted.values()) == [canary()]
    restored(server, tmp_path)
    for _ in range(3):
        assert one.sync(verify=True).ok
    assert server.memories().secret(memory.id)["secrets"] == wanted
    assert one.store.log.waiting() == set()
    assert_equal(server, one)


def test_what_a_comparison_finds_of_secrets_is_told_by_the_numbers() -> None:
    assert plan.repair({"memory": (2, 9)}, {"memory": (2, 7)}).secrets == ("memory",)
    assert plan.repair({"memory": (2, 9)}, {"memory": (2, 11)}).secrets == ()
    assert plan.repair({"memory": (2, 9)}, {"memory": (1, 7)}).secrets == ()
