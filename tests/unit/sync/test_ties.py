"""Another server, another user: what leaves a store, what is uploaded, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bethink.errors import Conflict
from bethink.model import Access, Changes, Draft, Filter
from bethink.service.importing import Entry, Joined, Taken, take_in
from bethink.service.people import People
from bethink.stores.postgres import PostgresStore
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.peer import WrongServer
from bethink.sync.replica import Replica
from kit import postgres
from kit.replicas import Machine, Server, access_of, crowd


def shared(tmp_path: Path) -> tuple[Server, Server, Machine]:
    """Two servers with a space `team` each; a machine of Ann's that holds what is in the first one's."""
    first, second = Server(tmp_path / "1"), Server(tmp_path / "2")
    people, _ = crowd(first)
    crowd(second)
    one = Machine(tmp_path, "one", first, access=access_of(people, "ann"))
    assert one.sync().ok
    one.say("mine")
    one.say("the team's", owner="space:team")
    assert one.sync().ok
    return first, second, one


def elsewhere(tmp_path: Path, server: Server, principal: str = "ann", user: str = "local") -> Machine:
    return Machine(tmp_path, "one", server, user=user, principal=principal, access=access_of(crowd_of(server), principal))


def crowd_of(server: Server) -> People:
    """The people who are there already."""
    return People(server.store, known=("ann", "bob"), clock=server.clock)


def contents(server: Server, owner: str) -> list[str]:
    access = Access(owner, (owner,), (owner,))
    return sorted(memory.content for memory in server.store.walk(access, Filter(statuses=()), server.clock()))


def test_what_is_in_a_servers_spaces_is_not_published_on_another_server(tmp_path: Path) -> None:
    first, second, one = shared(tmp_path)
    one.store.close()
    moved = elsewhere(tmp_path, second)
    moved.session().connect(again=True)
    assert moved.sync(verify=True).ok
    assert (contents(second, "ann"), contents(second, "space:team")) == (["mine"], [])
    assert contents(first, "space:team") == ["the team's"]
    assert moved.store.log.ids_of("space:team") == []
    assert b"the team's" not in moved.path.read_bytes()


def test_what_was_never_sent_of_a_space_holds_a_rebinding_up(tmp_path: Path) -> None:
    _, second, one = shared(tmp_path)
    unsent = one.say("the team's, not sent", owner="space:team")
    one.store.close()
    moved = elsewhere(tmp_path, second)
    with pytest.raises(Conflict) as refused:
        moved.session().connect(again=True)
    assert unsent.id in refused.value.message and "--give-up" in refused.value.hint
    assert len(moved.store.log.ids_of("space:team")) == 2 and moved.store.log.pending(unsent.id)
    assert contents(second, "ann") == contents(second, "space:team") == []


def test_a_store_cannot_change_to_another_user_of_its_server(tmp_path: Path) -> None:
    first, _, one = shared(tmp_path)
    one.store.close()
    somebody = elsewhere(tmp_path, first, principal="bob")
    with pytest.raises(WrongServer) as refused:
        somebody.session().connect(again=True)
    assert "'bob'" in refused.value.message and "--new-ids" in refused.value.hint and "--rebind" not in refused.value.hint
    assert contents(first, "bob") == [] and (somebody.replica.binding or {})["principal"] == "ann"


def test_memories_come_to_another_user_of_the_same_server_under_new_ids(tmp_path: Path) -> None:
    server = Server(tmp_path)
    ann, bob = Machine(tmp_path, "ann", server), Machine(tmp_path, "bob", server, principal="bob")
    first, second = ann.say("the first"), ann.say("the second")
    assert ann.sync().ok and bob.sync().ok
    entries = [
        Entry(Draft("the first", id=first.id, verbatim=True), [(second.id, "supports", "")]),
        Entry(Draft("the second", id=second.id)),
    ]
    made = list(take_in(bob.memories, entries, new_ids=True))
    ids = {one.answer.memory.id for one in made if isinstance(one, Taken) and not isinstance(one.answer, Exception)}
    assert len(ids) == 2 and not ids & {first.id, second.id}
    assert [one.made for one in made if isinstance(one, Joined)] == [1]
    assert bob.sync(verify=True).ok and bob.store.log.refused() == []
    assert contents(server, "bob") == contents(server, "ann") == ["the first", "the second"]


def test_rebinding_to_where_it_belongs_drops_nothing_that_waits(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server)
    kept, purged = one.say("as it was"), one.say("to be purged")
    assert one.sync().ok
    one.memories.revise(kept.id, Changes(content="as it is now"))
    one.memories.forget(purged.id)
    one.memories.purge(purged.id)
    one.session().connect(again=True)
    assert one.sync(verify=True).ok
    assert contents(server, "ann") == ["as it is now"]
    assert one.replica.store.revisions_named(one.replica.access, "conflict") == []


def test_another_local_user_takes_a_store_over_with_everything_in_it(tmp_path: Path) -> None:
    first, _, one = shared(tmp_path)
    one.store.close()
    renamed = elsewhere(tmp_path, first, user="somebody")
    assert "MEMORY_USER" in renamed.sync().errors["hello"].message
    renamed.session().connect(again=True)
    assert renamed.sync(verify=True).ok
    assert sorted(len(renamed.store.log.ids_of(owner)) for owner in ("somebody", "space:team", "local")) == [0, 1, 1]
    assert contents(first, "ann") == ["mine"]


def test_a_wrong_server_says_what_differs(tmp_path: Path) -> None:
    first, second, one = shared(tmp_path)
    one.store.close()
    there = elsewhere(tmp_path, second)
    assert "another database answers there" in there.sync().errors["hello"].message
    there.peer.address = "direct:elsewhere"  # type: ignore[attr-defined]  # a peer of these tests
    assert "another server, direct:elsewhere" in there.sync().errors["hello"].message
    user = Machine(tmp_path, "one", first, user="other")
    told = user.sync().errors["hello"]
    assert "MEMORY_USER 'local'; MEMORY_USER is now 'other'" in told.message and "MEMORY_USER back to 'local'" in told.hint


def test_secrets_of_spaces_leave_with_them(tmp_path: Path) -> None:
    secret = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    first, second = Server(tmp_path / "1", key="11" * 32), Server(tmp_path / "2", key="11" * 32)
    people, _ = crowd(first)
    one = Machine(tmp_path, "one", first, key="11" * 32, access=access_of(people, "ann"))
    assert one.sync().ok
    memory = one.say(f"the deploy token is {secret}", owner="space:team")
    assert one.sync().ok and one.store.log.pending(memory.id) == []
    replica = Replica(SQLiteStore(one.path), "local", seal=one.seal, clock=one.clock)
    replica.bind(Machine(tmp_path, "other", second).peer.hello(), "direct:second", again=True)
    assert not list(replica.store.walk_secrets(one.replica.access))


def test_a_change_is_made_to_its_owners_row_where_two_owners_have_one_id(tmp_path: Path) -> None:
    with postgres.database() as url:
        server = Server(tmp_path, store=PostgresStore(url, pool_size=3))
        people = crowd_of(server)
        ann = Machine(tmp_path, "ann", server)
        bob = Machine(tmp_path, "bob", server, principal="bob", access=access_of(people, "bob"))
        lent = ann.say("Ann's")
        bob.memories.remember(Draft("Bob's", verbatim=True, id=lent.id))
        assert ann.sync().ok and bob.sync().ok
        people.share("ann", "memory", lent.id, "bob", "write")
        bob.memories.revise(lent.id, Changes(content="Bob's, edited"))
        assert bob.sync(verify=True).ok
        assert bob.store.log.refused() == [] and bob.memories.get(lent.id).content == "Bob's, edited"
        on_server = server.memories("bob", access_of(people, "bob")())
        assert on_server.get(lent.id).owner == on_server.get(lent.id[:-1]).owner == "bob"
        assert on_server.revise(lent.id, Changes(importance=0.9)).owner == "bob"
        kept = server.memories("ann").get(lent.id)
        assert (kept.content, kept.version) == ("Ann's", 1)
        bob.store.close()
        server.close()
