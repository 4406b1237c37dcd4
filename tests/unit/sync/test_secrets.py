"""Secrets of replicas when something goes wrong: a server from a backup, wrong settings, many at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import SealUnavailable
from bethink.model import Access, Changes, Filter, Link, Memory
from bethink.seal.vault import VaultSettings
from bethink.stores.postgres import PostgresStore
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.conflicts import listed
from kit import postgres
from kit.faulty import Unheard, sealed_after_its_twin_took_it_in
from kit.replicas import Machine, Private, Server, Tapped, seal_in

KEY = "11" * 32


def canary() -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"


def test_a_restored_server_gets_the_secrets_again(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Tapped)
    old = one.say("in the backup")
    assert one.sync().ok
    server.store.backup(tmp_path / "backup.db")
    new = one.say(f"the deploy token is {canary()}")
    one.memories.revise(old.id, Changes(content=f"now with {canary()[::-1]}", sensitive=True))
    assert one.sync().ok
    wanted = [server.memories().secret(memory.id)["secrets"] for memory in (new, old)]
    assert all(wanted)
    server.store.close()
    for name in ("server.db-wal", "server.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "server.db")
    server.store = SQLiteStore(tmp_path / "server.db")
    for _ in range(3):
        assert one.sync(verify=True).ok
    assert one.store.log.summary()["pending"] == 0 and one.store.log.refused() == []
    assert [server.memories().secret(memory.id)["secrets"] for memory in (new, old)] == wanted
    # A change of a memory that the server does not know brings the whole of it.
    server.memories().forget(new.id)
    with server.store.write(Access.local("ann")) as tx:
        tx.erase(new.id)
    server.store._db.execute("DELETE FROM tombstones")
    one.memories.revise(new.id, Changes(importance=0.9))
    assert one.sync().ok and server.memories().secret(new.id)["secrets"] == wanted[0]


def files(place: Machine) -> bytes:
    return b"".join(file.read_bytes() for file in place.path.parent.iterdir() if file.is_file())


@pytest.mark.parametrize("key", [KEY, None])
def test_what_is_sealed_before_it_was_sent_leaves_in_the_clear_in_no_change(tmp_path: Path, key: str | None) -> None:
    """Nor does the log keep what it said before."""
    server = Server(tmp_path, key=key)
    one, two = (Machine(tmp_path, name, server, key=key, wrap=Unheard) for name in ("one", "two"))
    edited = one.say("what everybody may know")
    for each in (one, two):
        assert each.sync().ok
    two.say("the first wording")
    assert two.sync().ok
    new = one.say("the first wording", tags=("a-tag",))
    one.memories.revise(new.id, Changes(importance=0.7))
    one.memories.revise(edited.id, Changes(content="the second wording", tags=("another-tag",)))
    for memory in (new, edited):
        one.memories.revise(memory.id, Changes(sensitive=True))
    assert b"the second wording" not in files(one)
    for each in (one, two, one):
        each.clock.at += timedelta(days=1)
        assert each.sync(verify=True).ok
    assert [word for word in one.peer.heard if "the second wording" in word] == []
    for id, words in ((new.id, "the first wording"), (edited.id, "the second wording")):
        for each in (server.memories(), one.memories, two.memories) if key else (one.memories,):
            assert each.secret(id)["content"] == words
    told = server.memories().get(new.id)
    assert (told.importance, told.tags, told.sensitive) == (0.7, ("a-tag",), True)
    # What another machine says in the open is another memory.
    assert sorted(memory.content for memory in server.memories().list(Filter()).memories) == [
        "[REDACTED:content]",
        "[REDACTED:content]",
        "the first wording",
    ]
    assert one.store.log.summary() == {**one.store.log.summary(), "pending": 0, "refused": 0 if key else 2}


def test_what_did_not_win_is_erased_with_its_memory(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = (Machine(tmp_path, name, server) for name in ("one", "two"))
    memory = one.say("the quokka says one")
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content="the axolotl says two"))
    two.memories.revise(memory.id, Changes(content="the narwhal says three"))
    for each in (one, two, one):
        assert each.sync().ok
    assert [told["fields"]["content"] for told in listed(one.memories)] == ["the narwhal says three"]
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    for each in (one, two):
        assert each.sync().ok
    found = files(one) + files(two) + b"".join(file.read_bytes() for file in tmp_path.glob("server.db*"))
    assert [word for word in (b"quokka", b"axolotl", b"narwhal") if word in found] == []


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("key", [KEY, None])
def test_what_was_sealed_here_is_here_still_when_a_twin_took_it_in(tmp_path: Path, key: str | None, lost: bool) -> None:
    server = Server(tmp_path, key=key)
    one, two = (Machine(tmp_path, name, server, key=key, wrap=Unheard) for name in ("one", "two"))
    mine = sealed_after_its_twin_took_it_in(one, two)
    one.peer.lost = lost
    one.sync()
    for each in (one, two, one):
        each.clock.at += timedelta(days=1)
        assert each.sync(verify=True).ok
    [told] = server.memories().list(Filter()).memories
    assert told.sensitive and told.id != mine.id
    # Without a key in common it stays where it was sealed.
    for each in (server.memories(), one.memories, two.memories) if key else (one.memories,):
        assert each.secret(told.id)["secrets"] == {"content": "the same on both"}
    assert [change.op for change in one.store.log.refused()] == ([] if key else ["secret"])


@pytest.mark.parametrize("lost", [True, False])
def test_what_cannot_be_opened_now_leaves_into_its_twin_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY, wrap=Unheard) for name in ("one", "two"))
    mine = sealed_after_its_twin_took_it_in(one, two)

    def away(*_: Any) -> None:
        raise SealUnavailable("Vault is away.")

    with monkeypatch.context() as patched:
        for name in ("again", "same"):
            patched.setattr(one.replica.secrets, name, away)
        one.peer.lost = lost
        one.sync()
        assert one.memories.secret(mine.id)["secrets"] == {"content": "the same on both"}
        # It is not asked about over and over.
        pushes = len(one.peer.heard)
        assert not one.store.log.due(one.clock(), 9) or lost
        if not lost:
            assert one.sync().ok and len(one.peer.heard) == pushes + 1
    for each in (one, two, one):
        each.clock.at += timedelta(days=1)
        assert each.sync(verify=True).ok
    [told] = server.memories().list(Filter()).memories
    for each in (server.memories(), one.memories, two.memories):
        assert [memory.id for memory in each.list(Filter()).memories] == [told.id] != [mine.id]
        assert each.secret(told.id)["secrets"] == {"content": "the same on both"}
    assert one.store.log.summary()["pending"] == 0


def test_what_the_server_sealed_under_the_same_name_comes_once_the_own_was_sent(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY, wrap=Unheard) for name in ("one", "two"))
    memory = one.say("the first words")
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content="the second words"))
    assert one.sync().ok
    # Sealed where the second words are not known yet.
    two.memories.revise(memory.id, Changes(sensitive=True))
    two.peer.lost = True
    two.sync()
    for each in (one, two, one, two):
        each.clock.at += timedelta(days=1)
        assert each.sync(verify=True).ok
    wanted = server.memories().secret(memory.id)
    assert sorted(wanted["secrets"].values()) == ["the first words", "the second words"]
    for each in (one, two):
        told = each.memories.secret(memory.id)
        assert (told["secrets"], told["content"]) == (wanted["secrets"], wanted["content"])


def test_a_purge_is_taken_in_where_the_seal_has_wrong_settings(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY) for name in ("one", "two"))
    memory = one.say(f"the deploy token is {canary()}")
    for each in (one, two):
        assert each.sync().ok
    assert two.memories.secret(memory.id)
    # VAULT_ADDR without a token.
    two.seal = seal_in(tmp_path / "two", KEY, VaultSettings("http://127.0.0.1:9"))
    two.open()
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    for each in (one, two):
        report = each.sync()
        assert report.ok, report.errors
    assert two.store.get(two.replica.access, [memory.id]) == {}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres.database() as made:
        yield made


def test_as_many_pushes_as_connections_do_not_wait_for_each_other(url: str, tmp_path: Path) -> None:
    """Each looks at the secrets of its memory on the connection that it has."""
    store = PostgresStore(url, pool_size=3)
    try:
        server = Server(tmp_path, store=store, key=KEY)
        owners = [f"owner{number}" for number in range(9)]
        machines = [Machine(tmp_path, owner, server, key=KEY, principal=owner) for owner in owners]
        for machine in machines:
            assert machine.sync().ok
            for number in range(4):
                machine.say(f"the deploy token {number} is {canary()[:-1]}{number}")
        with ThreadPoolExecutor(len(machines)) as pool:
            reports = list(pool.map(lambda machine: machine.sync(), machines))
        assert [report.errors for report in reports] == [{}] * len(machines)
        for machine in machines:
            assert machine.store.log.summary()["pending"] == 0 and machine.store.log.refused() == []
            assert server.memories(machine.principal).secrets()["total"] == 4
    finally:
        store.close()


def test_a_place_for_a_secret_is_sought_outside_of_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY) for name in ("one", "two"))
    memory = one.say("the first wording", sensitive=True)
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content="the second wording"))
    two.memories.revise(memory.id, Changes(content="the third wording"))
    assert one.sync().ok
    chain, inside = server.seal.chain, []

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **named: Any) -> Any:
            inside.append(server.store._db.in_transaction)  # type: ignore[attr-defined]  # the connection is SQLiteStore's, not the port's
            return work(*args, **named)

        return asked

    for name in ("seal", "open"):
        monkeypatch.setattr(chain, name, watched(getattr(chain, name)))
    for each in (two, one, two):
        assert each.sync().ok
    assert inside and not any(inside)
    kept = server.memories().secret(memory.id)["secrets"]
    assert sorted(kept.values()) == ["the first wording", "the second wording", "the third wording"]
    assert two.memories.secret(memory.id)["secrets"] == kept


def test_the_note_of_an_edge_is_looked_through_where_it_comes_in(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Tapped)
    first, second, third = (one.say(f"memory {number}") for number in range(3))
    assert one.memories.link(first.id, second.id, "supports", f"as {canary()} shows").note == "as [REDACTED:github_pat] shows"
    # As an earlier version kept and sent it.
    with one.store.write(one.replica.access) as tx:
        tx.add_link(Link(first.id, third.id, "see_also", one.clock(), f"once {canary()}"))
    assert one.sync().ok
    there = server.store.links_of(Access.local("ann"), [first.id])
    assert sorted(link.note for link in there) == ["as [REDACTED:github_pat] shows", "once [REDACTED:github_pat]"]
    # What was kept before is found by `bethink secrets scan`.
    assert one.memories.seal_missed() == 1 and one.memories.seal_missed() == 0
    assert canary() not in str(one.store.links_of(one.replica.access, [first.id]))
    assert one.sync(verify=True).ok and one.store.log.summary()["pending"] == 0
    assert len(server.store.links_of(Access.local("ann"), [first.id])) == 2


def token(which: str) -> str:
    return canary()[:-1] + which


def lost_with_a_secret(folder: Path, key: str | None, wrap: type[Tapped]) -> tuple[Server, Machine, Machine, Memory]:
    """An edit that brought a secret lost against another one; nothing shows that the memory has one."""
    server = Server(folder, key=KEY)
    one, two = Machine(folder, "one", server, key=KEY, wrap=Private), Machine(folder, "two", server, key=key, wrap=wrap)
    memory = one.say("the words")
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content="other words"))
    assert one.sync().ok
    two.memories.revise(memory.id, Changes(content=f"the token is {token('B')}"))
    assert two.sync().ok
    return server, one, two, memory


def test_the_secret_of_a_wording_that_lost_reaches_every_machine(tmp_path: Path) -> None:
    server, one, two, memory = lost_with_a_secret(tmp_path, KEY, Private)
    three = Machine(tmp_path, "three", server, key=KEY, wrap=Private)
    for each in (one, two, three):
        assert each.sync().ok
        assert each.memories.secret(memory.id)["secrets"] == {"github_pat": token("B")}


@pytest.mark.parametrize("where", ["server", "machine", "machine without a key"])
def test_the_secret_of_a_wording_that_lost_is_displaced_by_no_other(tmp_path: Path, where: str) -> None:
    server, one, two, memory = lost_with_a_secret(tmp_path, *((None, Tapped) if "without" in where else (KEY, Private)))
    (server.memories() if where == "server" else two.memories).revise(memory.id, Changes(content=f"now {token('C')}"))
    two.peer.confidential = True
    two.replica.try_all()
    for each in (two, one):
        assert each.sync().ok
    assert two.store.log.summary()["pending"] == 0
    for place in (server.memories(), one.memories, two.memories):
        found = place.secret(memory.id)
        assert found["secrets"] == {"github_pat": token("B"), "github_pat_2": token("C")}
        assert found["content"] == "now [REDACTED:github_pat_2]"


def test_secrets_come_when_the_right_key_does(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=key, wrap=Private) for name, key in (("one", "22" * 32), ("two", KEY)))
    for each in (one, two):
        assert each.sync().ok
    mine = one.say(f"the token is {token('A')}")
    for each in (one, two):
        assert each.sync().ok
    two.memories.revise(mine.id, Changes(content=f"{two.memories.get(mine.id).content} and {token('B')}"))
    gone = two.say(f"another token is {token('C')}")
    two.memories.forget(gone.id)
    for each in (two, one):
        assert each.sync().ok
    one.seal = seal_in(tmp_path / "one", KEY)
    one.open()
    assert one.sync().ok
    assert sorted(one.memories.secret(mine.id)["secrets"].values()) == [token("A"), token("B")]
    assert [name for name, _, _ in one.store.secrets_of(one.replica.access, gone.id)] == ["github_pat"]


def test_the_wording_that_stands_shows_its_own_secret(tmp_path: Path) -> None:
    """Also when the one of a wording that lost came first."""
    server = Server(tmp_path, key=KEY)
    one, two = Machine(tmp_path, "one", server, wrap=Tapped), Machine(tmp_path, "two", server, wrap=Private)
    memory = one.say("tokens")
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content=f"the first token is {token('A')}"))
    two.memories.revise(memory.id, Changes(content=f"the second token is {token('B')}", tags=(f"also {token('C')}",)))
    for each in (one, two):
        assert each.sync().ok
    one.peer = Private(one.peer.inner)
    one.replica.try_all()
    assert one.sync().ok
    found = server.memories().secret(memory.id)
    assert found["content"] == "the first token is [REDACTED:github_pat]"
    assert found["secrets"]["github_pat"] == token("A")
    assert sorted(found["secrets"].values()) == [token("A"), token("B"), token("C")]
