"""Secrets on the wire, shared spaces, another server, a server that was restored from a backup."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import NotFound
from bethink.model import Access, Changes, Draft, Filter
from bethink.seal.vault import VaultSettings
from bethink.service.people import People
from bethink.stores.base import Store
from bethink.stores.sqlite import SQLiteStore
from bethink.sync import session
from bethink.sync.peer import Json, RequestFailed, Unreachable, WrongServer
from kit.replicas import START, Machine, Private, Server, Tapped, access_of, crowd, differences, everything, seal_in


def canary() -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"


KEY = "11" * 32


def test_secrets_travel_sealed_where_both_sides_have_the_key(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY, wrap=Tapped) for name in ("one", "two"))
    memory = one.say(f"the deploy token is {canary()}")
    assert one.sync().ok and two.sync().ok
    assert canary() not in "".join(one.peer.heard + two.peer.heard)
    assert canary() in server.memories().secret(memory.id)["secrets"].values()
    assert canary() in two.memories.secret(memory.id)["secrets"].values()
    for file in (one.path, two.path, tmp_path / "server.db"):
        assert canary().encode() not in file.read_bytes()


def test_without_a_shared_key_a_secret_travels_inside_tls_only(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Tapped)
    memory = one.say(f"the deploy token is {canary()}")
    one.sync()
    assert canary() not in "".join(one.peer.heard)
    (withheld,) = one.store.log.refused()
    assert withheld.op == "secret" and withheld.refused is not None and withheld.refused["code"] == "SecretWithheld"
    with pytest.raises(NotFound):
        server.memories().secret(memory.id)
    one.peer = Private(one.peer.inner)
    with one.store.write(one.replica.access) as tx:
        tx.log.retry_all()
    assert one.sync().ok and one.store.log.refused() == []
    assert canary() in server.memories().secret(memory.id)["secrets"].values()
    # The server never tells it in the clear.
    two = Machine(tmp_path, "two", server, wrap=Private)
    two.sync()
    assert canary() not in "".join(two.peer.heard)
    two_memories = two.memories
    two_memories.elsewhere = lambda id: server.memories().secret(id)
    assert canary() in two_memories.secret(memory.id)["secrets"].values()


def test_keys_that_differ_fall_back_to_tls(tmp_path: Path) -> None:
    server = Server(tmp_path, key="22" * 32)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Private)
    memory = one.say(f"the deploy token is {canary()}")
    one.sync()
    one.sync()
    assert one.store.log.refused() == [] and one.store.log.summary()["pending"] == 0
    assert canary() in server.memories().secret(memory.id)["secrets"].values()


def test_own_edits_around_a_secret_that_stays_do_not_displace_each_other(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Tapped)
    memory = one.say("the port is 5432")
    assert one.sync().ok
    for content in ("the port is 5433", f"the port is 5434, the token {canary()}", "the port is 5435"):
        one.memories.revise(memory.id, Changes(content=content))
    assert one.sync().ok and len(one.store.log.refused()) == 1
    assert server.memories().get(memory.id).content == one.memories.get(memory.id).content == "the port is 5435"
    assert one.store.revisions_named(one.replica.access, "conflict") == []


def test_secrets_that_stay_make_room_for_what_is_behind_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_CHANGES", 2)
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Tapped)
    assert one.sync().ok
    for number in range(9):
        one.say(f"the deploy token of machine {number} is {canary()[:-1]}{number}")
    last = one.say("nothing secret")
    assert one.sync().ok
    assert server.memories().get(last.id) and len(one.store.log.refused()) == 9


def test_what_two_machines_sealed_under_one_name_is_kept_twice(tmp_path: Path, kept_in: Store | None) -> None:
    server = Server(tmp_path, store=kept_in, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY, wrap=wrap) for name, wrap in (("one", Tapped), ("two", Deaf)))
    memory = one.say("the first wording", sensitive=True)
    for each in (one, two):
        assert each.sync().ok
    one.memories.revise(memory.id, Changes(content="the second wording"))
    two.memories.revise(memory.id, Changes(content="the third wording"))
    assert one.sync().ok
    two.peer.deaf = True
    assert not two.sync().ok
    # What it fetched meanwhile does not displace what it could not send yet.
    assert "the third wording" in two.memories.secret(memory.id)["secrets"].values()
    two.peer.deaf = False
    for each in (two, one, two):
        each.clock.at += timedelta(days=1)
        assert each.sync().ok
    everywhere = [place.memories.secret(memory.id)["secrets"] for place in (one, two)] + [server.memories().secret(memory.id)["secrets"]]
    assert sorted(everywhere[0].values()) == ["the first wording", "the second wording", "the third wording"]
    assert everywhere[0] == everywhere[1] == everywhere[2]


def test_the_server_looks_for_secrets_itself(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    one.sync()
    memory = one.say("harmless")
    with one.store.write(one.replica.access) as tx:
        (change,) = tx.log.pending(memory.id)
    wire = one.replica.wire(change, keys=(), confidential=True)
    assert wire is not None
    wire["payload"]["fields"]["content"] = f"the deploy token is {canary()}"
    (answer,) = one.peer.push([wire])["answers"]
    assert canary() not in json.dumps(answer)
    assert canary() not in server.memories().get(memory.id).content


def test_a_space_reaches_its_members_and_leaves_with_them(tmp_path: Path) -> None:
    server = Server(tmp_path)
    people = People(server.store, clock=server.clock)
    principals = {}
    for name in ("ann", "bob"):
        _, key = people.add_user(name)
        principals[name] = people.by_key(key)
    people.add_space("team", "ann")
    people.invite("team", "bob", "writer", "ann")
    people.accept("team", "bob")

    def access(name: str) -> Any:
        return lambda: people.access(principals[name])

    ann = Machine(tmp_path, "one", server, principal="ann", access=access("ann"))
    bob = Machine(tmp_path, "two", server, principal="bob", access=access("bob"))
    for each in (ann, bob):
        assert each.sync().ok
    shared = ann.say("we deploy on Fridays", owner="space:team")
    private = ann.say("ann's own")
    assert ann.sync().ok and bob.sync().ok
    assert bob.memories.get(shared.id).owner == "space:team"
    with pytest.raises(NotFound):
        bob.memories.get(private.id)
    bob.memories.revise(shared.id, Changes(content="we deploy on Mondays"))
    assert bob.sync().ok and ann.sync().ok
    assert ann.memories.get(shared.id).content == "we deploy on Mondays"
    people.leave("team", "bob")
    bob.sync()
    with pytest.raises(NotFound):
        bob.memories.get(shared.id)
    assert bob.store.log.ids_of("space:team") == []
    assert ann.memories.get(shared.id)


def test_who_comes_back_into_a_space_finds_all_of_it(tmp_path: Path) -> None:
    server = Server(tmp_path)
    people = People(server.store, known=("ann", "bob"), clock=server.clock)
    people.add_space("team", "ann")
    bob = Machine(tmp_path, "two", server, principal="bob", access=access_of(people, "bob"))
    team = Access("ann", ("space:team",), ("space:team",))
    kept = server.memories(access=team).remember(Draft("we deploy on Fridays", owner="space:team", verbatim=True)).memory
    for _ in range(2):
        people.invite("team", "bob", "writer", "ann")
        people.accept("team", "bob")
        assert bob.sync().ok and bob.memories.get(kept.id)
        people.leave("team", "bob")
        assert bob.sync().ok and bob.store.log.ids_of("space:team") == []


def test_an_edge_between_two_owners_tells_neither_of_the_other(tmp_path: Path) -> None:
    server = Server(tmp_path)
    people = People(server.store, known=("ann", "bob"), clock=server.clock)
    people.add_space("team", "ann")
    people.invite("team", "bob", "writer", "ann")
    people.accept("team", "bob")
    ann, bob = (Machine(tmp_path, name, server, principal=name, access=access_of(people, name)) for name in ("ann", "bob"))
    for each in (ann, bob):
        assert each.sync().ok
    private, shared, doomed = (
        ann.say("the salary is a lot"),
        ann.say("we hire", owner="space:team"),
        ann.say("gone soon", owner="space:team"),
    )
    ann.memories.link(shared.id, private.id, "derived_from")
    for each in (ann, bob):
        assert each.sync().ok
    ann.memories.forget(private.id)
    bob.memories.forget(doomed.id)
    bob.memories.purge(doomed.id)
    other = ann.say("ann's own note")
    ann.memories.link(other.id, doomed.id, "see_also")
    for each in (bob, ann, bob):
        assert each.sync(verify=True).ok
    assert ann.memories.get(shared.id).needs_review == bob.memories.get(shared.id).needs_review == f"{private.id} was forgotten"
    assert "salary" not in json.dumps(everything(bob.store, bob.replica.access, own="local"))
    # An edge to what another owner's memory was, and is no more, is settled as well.
    assert ann.store.log.refused() == [] and ann.store.log.summary()["pending"] == 0


def test_a_secret_that_was_not_sent_before_its_space_was_left_is_kept_and_sent_later(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "two", server, principal="bob", key=KEY, access=access_of(people, "bob"))
    assert bob.sync().ok
    memory = bob.say(f"the deploy token is {canary()}", owner="space:team")
    people.leave("team", "bob")
    for _ in range(2):
        bob.replica.try_all()
        assert bob.sync().ok
    assert {one.op for one in bob.store.log.refused()} >= {"store"} and len(bob.store.log.pending(memory.id)) == 2
    let_in()
    bob.replica.try_all()
    assert bob.sync().ok and bob.store.log.pending(memory.id) == []
    assert canary() in server.memories(access=Access("ann", ("space:team",), ("space:team",))).secret(memory.id)["secrets"].values()


def test_what_was_said_before_and_after_a_space_was_left_is_both_sent(tmp_path: Path) -> None:
    """An edit takes the place of what the server could never take, not of what one was not allowed to say at the time."""
    server = Server(tmp_path)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "two", server, principal="bob", access=access_of(people, "bob"))
    assert bob.sync().ok
    memory = bob.say("the first wording", owner="space:team")
    people.leave("team", "bob")
    assert bob.sync().ok and len(bob.store.log.refused()) == 1
    let_in()
    bob.replica.try_all()
    people.leave("team", "bob")
    assert bob.sync().ok and len(bob.store.log.refused()) == 1
    let_in()
    assert bob.sync().ok
    bob.memories.revise(memory.id, Changes(content="the second wording"))
    assert bob.sync().ok and bob.store.log.pending(memory.id) == []
    team = server.memories(access=Access("ann", ("space:team",), ("space:team",)))
    assert team.get(memory.id).content == "the second wording"
    assert any("the first wording" in str(one.before) for one in team.history(memory.id))


def test_a_seal_whose_settings_are_wrong_holds_up_nothing_but_secrets(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Tapped)
    secret, other = one.say(f"the deploy token is {canary()}"), one.say("nothing secret")
    # VAULT_ADDR without a token.
    one.seal = seal_in(tmp_path / "one", KEY, VaultSettings("http://127.0.0.1:9"))
    one.open()
    assert one.sync().ok and server.memories().get(other.id)
    (withheld,) = one.store.log.refused()
    assert (
        withheld.memory == secret.id
        and withheld.refused is not None
        and "VAULT_TOKEN" in withheld.refused["hint"] + withheld.refused["message"]
    )
    assert one.sync().ok and canary() not in "".join(one.peer.heard)


def test_another_server_or_user_is_never_mixed_in(tmp_path: Path) -> None:
    first, second = Server(tmp_path / "1"), Server(tmp_path / "2")
    one = Machine(tmp_path, "one", first)
    one.say("mine")
    assert one.sync().ok
    elsewhere = Machine(tmp_path, "one", second)
    report = elsewhere.sync()
    assert isinstance(report.errors["hello"], WrongServer)
    somebody = Machine(tmp_path, "one", first, principal="bob")
    assert isinstance(somebody.sync().errors["hello"], WrongServer)
    assert second.memories().count()["total"] == 0
    elsewhere.session().connect(again=True)
    assert elsewhere.sync().ok
    assert second.memories().count()["total"] == first.memories().count()["total"] == 1


def test_what_a_restored_server_lost_is_sent_again(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    old = one.say("in the backup")
    before = [one.say(f"in the backup as well {number}") for number in range(3)]
    one.memories.link(before[0].id, before[1].id, "supports")
    one.sync()
    two.sync()
    server.store.backup(tmp_path / "backup.db")
    # Of these the server has the memories, and what joins them not.
    one.memories.link(before[1].id, before[2].id, "supports", "said later")
    new = one.say("after the backup")
    other = one.say("linked")
    one.memories.link(new.id, other.id, "supports")
    one.memories.revise(old.id, Changes(content="changed after the backup"))
    one.sync()
    two.sync()
    server.store.close()
    for name in ("server.db", "server.db-wal", "server.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "server.db")
    server.store = SQLiteStore(tmp_path / "server.db")
    for each in (two, one, two, one, two):
        report = each.sync(verify=True)
        assert report.ok, report.errors
    there = server.memories()
    assert there.get(new.id).content == "after the backup"
    assert there.get(old.id).content == "changed after the backup"
    told = server.store.links_of(Access.local("ann"), [each.id for each in before])
    assert sorted((link.source, link.note) for link in told) == [(before[0].id, ""), (before[1].id, "said later")]
    expected = everything(server.store, Access.local("ann"), own="ann")
    for each in (one, two):
        assert differences(everything(each.store, each.replica.access, own="local"), expected) == []


def test_the_same_stored_twice_becomes_one_with_both_histories(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    for each in (one, two):
        each.sync()
    first = one.say("the port is 5432", tags=("a",))
    second = two.say("the port is 5432", tags=("b",))
    two.memories.revise(second.id, Changes(importance=0.9))
    other = two.say("because of the database")
    two.memories.link(other.id, second.id, "supports")
    for each in (one, two, one):
        assert each.sync().ok
    (left,) = [m for m in server.store.walk(Access.local("ann"), Filter(), START) if m.content == "the port is 5432"]
    assert left.id == first.id and set(left.tags) == {"a", "b"} and left.importance == 0.9
    assert [(link.source, link.target) for link in one.memories.links(first.id)] == [(other.id, first.id)]
    assert any(revision.op == "revise" for revision in two.memories.history(first.id))
    expected = everything(server.store, Access.local("ann"), own="ann")
    for each in (one, two):
        assert differences(everything(each.store, each.replica.access, own="local"), expected) == []


def test_an_edit_against_a_delete_is_kept_and_listed(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    memory = one.say("the port is 5432")
    for each in (one, two):
        each.sync()
    one.memories.forget(memory.id)
    two.memories.revise(memory.id, Changes(content="the port is 5433"))
    for each in (one, two, one):
        assert each.sync().ok
    assert one.memories.get(memory.id).deleted_at is not None
    assert two.memories.get(memory.id).deleted_at is not None
    for each in (one, two):
        (kept,) = each.store.revisions_named(each.replica.access, "conflict")
        assert "5433" in kept.note


def test_fields_of_a_newer_server_are_kept(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    memory = one.say("the port is 5432")
    one.sync()
    there = server.memories()
    with server.store.write(there.access) as tx:
        before = tx.get(memory.id)
        assert before is not None
        tx.update(replace(before, version=2, extra={"mood": "calm"}), before)
    one.sync()
    one.memories.revise(memory.id, Changes(content="the port is 5433"))
    one.sync()
    assert server.memories().get(memory.id).extra == {"mood": "calm"}
    assert one.memories.get(memory.id).extra == {"mood": "calm"}


def test_broken_changes_are_refused_one_by_one(tmp_path: Path) -> None:
    server = Server(tmp_path)
    serving = server.serving()()
    good = {
        "operation": "o1", "memory": "m1", "owner": "ann", "op": "store", "base": 0, "previous": None,
        "at": "2026-01-01T00:00:00+00:00", "payload": {"fields": {"content": "fine"}},
    }  # fmt: skip
    bad: list[Any] = [
        None, [], "x", {}, {**good, "operation": "o2", "owner": "bob"}, {**good, "operation": "o3", "memory": "../x"},
        {**good, "operation": "o4", "payload": {"fields": {"content": "a\x00b"}}}, {**good, "operation": "o5", "op": "explode"},
        {**good, "operation": "o6", "memory": "m6", "payload": {"fields": {"content": "x" * 10_000_000}}},
        {**good, "operation": "o7", "memory": "m7", "payload": {"fields": {"content": "x", "tags": [1]}}},
        {**good, "operation": "o8", "memory": "m8", "payload": {"fields": {"content": "x", "created_at": "yesterday"}}},
        {**good, "operation": "o9", "memory": "m9", "payload": {"fields": []}},
    ]  # fmt: skip
    answers = serving.push({"changes": [*bad, good]})["answers"]
    assert [answer["result"] for answer in answers] == ["refused"] * len(bad) + ["applied"]
    assert server.memories().get("m1").content == "fine"
    again = serving.push({"changes": [good]})["answers"][0]
    assert (again["result"], again["version"]) == ("applied", 1)


def test_nothing_is_written_in_a_round_without_news(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    one.memories.remember(Draft("x", verbatim=True))
    one.sync()
    one.sync()
    watcher = SQLiteStore(one.path)
    before = watcher.data_version()
    one.sync(verify=True)
    assert watcher.data_version() == before
    watcher.close()


def test_a_link_made_elsewhere_is_not_missed_by_whoever_edits_meanwhile(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two = Machine(tmp_path, "one", server), Machine(tmp_path, "two", server)
    source, target = one.say("the port is 5432"), one.say("because of the database")
    for each in (one, two):
        each.sync()
    one.memories.link(source.id, target.id, "supports")
    two.memories.revise(source.id, Changes(importance=0.9))
    for each in (one, two):
        assert each.sync().ok
    assert [(link.source, link.target) for link in two.memories.links(source.id)] == [(source.id, target.id)]


def test_an_edit_is_not_lost_when_the_memory_itself_fails_on_its_way(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Stumbling)
    one.sync()
    memory = one.say("the port is 5432")
    one.memories.forget(memory.id)
    one.sync()
    one.clock.at += timedelta(days=1)
    for _ in range(2):
        assert one.sync(verify=True).ok
    assert server.memories().get(memory.id).deleted_at == one.memories.get(memory.id).deleted_at is not None


class Stumbling(Tapped):
    """The first three requests that hold a new memory fail; the changes of it do not."""

    failed = 0

    def push(self, changes: Sequence[Json]) -> Json:
        if any(change["op"] == "store" for change in changes) and self.failed < 3:
            self.failed += 1
            raise RequestFailed("500")
        return self.inner.push(changes)


class Deaf(Tapped):
    """A server that answers, and takes nothing while it is `deaf`."""

    deaf = False

    def push(self, changes: Sequence[Json]) -> Json:
        if self.deaf:
            raise Unreachable("lost on the way")
        return self.inner.push(changes)
