"""Users, keys, spaces and loans, on every store; and what a user's memories are with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bethink.errors import BethinkError, Conflict, Forbidden, InvalidInput, NotFound
from bethink.model import Changes, Draft, Filter, Grant, Query, Scope
from bethink.seal import chain
from bethink.service.memories import Memories
from bethink.service.people import SCOPES, SYSTEM, People, Principal, Refused
from bethink.service.persons import grant_value
from bethink.service.sealing import LazySeal
from bethink.service.spaces import MOST_GRANTS
from bethink.stores.base import Store
from kit.memories import NOW


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(store: Store, clock: Clock) -> People:
    made = People(store, known=["env"], clock=clock)
    for name in ("ann", "bob", "cid"):
        made.add_user(name)
    return made


@pytest.fixture
def of(store: Store, people: People, tmp_path: Path, clock: Clock) -> Callable[..., Memories]:
    """A user's memories, with whatever the user may see at that moment."""

    def memories(name: str, project: str | None = None) -> Memories:
        seal = LazySeal(lambda: chain.build(tmp_path))
        access = people.access(Principal(name, frozenset(SCOPES), project))
        made = Memories(store, access, seal=seal, here=Scope.of(project), clock=clock)
        made.people = people
        return made

    return memories


def refused(people: People, key: str) -> str:
    found = people.by_key(key)
    return found.reason if isinstance(found, Refused) else ""


def contents(memories: Memories) -> list[str]:
    listed = sorted(one.content for one in memories.list(Filter(), limit=100).memories)
    # A question brings nothing else; it may leave out what says the same.
    assert {hit.memory.content for hit in memories.recall(Query("apple", where=Filter())).hits} <= set(listed)
    return listed


class TestUsers:
    def test_a_key_is_known_until_it_ends_or_is_taken_back(self, people: People, clock: Clock) -> None:
        _, key = people.add_user("dora", scopes=["memory:read"], project="p", expires_at=NOW + timedelta(days=1), label="laptop")
        found = people.by_key(key)
        assert isinstance(found, Principal)
        assert (found.name, found.scopes, found.project) == ("dora", {"memory:read"}, "p")
        (known,) = people.keys("dora")
        assert (known.label, known.last_used_at, key in repr(people.keys())) == ("laptop", NOW, False)
        assert refused(people, key + "0") == refused(people, "bth__") == refused(people, "") == "unknown key"
        clock.now += timedelta(days=1)
        assert refused(people, key) == "expired key"

    def test_rotating_keeps_scopes_label_and_end(self, people: People, clock: Clock) -> None:
        end = NOW + timedelta(days=9)
        _, first = people.add_user("dora", scopes=["memory:read"], expires_at=end, label="laptop")
        second = people.rotate("dora")
        assert refused(people, first) == "revoked key"
        found = people.by_key(second)
        assert isinstance(found, Principal)
        assert (found.scopes, found.expires_at, people.keys("dora")[-1].label) == ({"memory:read"}, end, "laptop")
        clock.now = end
        third = people.by_key(people.rotate("dora", expires_at=end + timedelta(days=1)))
        assert isinstance(third, Principal) and third.scopes == {"memory:read"}

    def test_a_revoked_user_comes_back_only_when_it_is_said(self, people: People) -> None:
        _, key = people.add_user("dora")
        people.revoke("dora")
        people.revoke("dora")
        assert refused(people, key) == "revoked key" and people.user("dora").revoked_at == NOW
        for attempt in (lambda: people.rotate("dora"), lambda: people.add_user("dora"), lambda: people.add_key("dora")):
            with pytest.raises(Conflict):
                attempt()
        with pytest.raises(NotFound):
            people.share("ann", "tag", "x", "dora")
        _, again = people.add_user("dora", again=True)
        assert isinstance(people.by_key(again), Principal) and refused(people, key) == "revoked key"

    def test_one_key_alone(self, people: People) -> None:
        second = people.add_key("ann", label="phone")
        people.revoke_key(second.split("_")[1])
        assert refused(people, second) == "revoked key"
        for attempt in (lambda: people.revoke_key("nothing"), lambda: people.rotate("nobody"), lambda: people.revoke("nobody")):
            with pytest.raises(NotFound):
                attempt()

    @pytest.mark.parametrize("name", ["", "@people", "space:x", "a b", "-a", "a" * 64, "ä", "a/b", "a\x00", "a\n"])
    def test_what_is_no_name(self, people: People, name: str) -> None:
        with pytest.raises(InvalidInput):
            people.add_user(name)
        with pytest.raises(InvalidInput):
            people.add_space(name, "ann")

    def test_unknown_scopes_leave_nobody(self, people: People) -> None:
        with pytest.raises(InvalidInput):
            people.add_user("dora", scopes=["memory:everything"])
        with pytest.raises(NotFound):
            people.user("dora")

    def test_what_is_done_to_people_is_in_the_log(self, people: People, store: Store) -> None:
        people.rotate("ann")
        people.revoke("ann")
        done = [(entry.action, entry.subject) for entry in store.audit(people._access)]
        assert ("rotate-key", "ann") in done and ("revoke-user", "ann") in done
        assert store.verify_audit() is None
        assert all(entry.actor == SYSTEM for entry in store.audit(people._access))

    def test_a_use_does_not_bring_a_revoked_key_back(self, people: People) -> None:
        key = people.add_key("ann")
        (known,) = [one for one in people.keys("ann") if one.id == key.split("_")[1]]
        people.revoke_key(known.id)
        people._note_use(known)
        assert refused(people, key) == "revoked key"


class TestSpaces:
    def test_from_invitation_to_leaving(self, people: People, of: Callable[..., Memories]) -> None:
        of("ann").create_space("team")
        of("ann").invite("team", "bob", "reader")
        of("ann").remember(Draft("an apple for all", owner="space:team"))
        of("ann").remember(Draft("an apple of my own"))
        assert contents(of("bob")) == [] and [one.accepted for one in of("bob").spaces()] == [False]
        of("bob").join_space("team")
        assert contents(of("bob")) == ["an apple for all"]
        with pytest.raises(Forbidden):
            of("bob").remember(Draft("an apple of a reader", owner="space:team"))
        of("ann").change_role("team", "bob", "writer")
        of("bob").remember(Draft("pears grow in the garden of bob", owner="space:team"))
        assert contents(of("ann")) == ["an apple for all", "an apple of my own", "pears grow in the garden of bob"]
        of("ann").leave_space("team", "bob")
        assert contents(of("bob")) == [] and of("bob").spaces() == []
        with pytest.raises(Forbidden):
            of("bob").remember(Draft("one more", owner="space:team"))

    def test_strangers_learn_nothing(self, of: Callable[..., Memories]) -> None:
        of("ann").create_space("team")
        stranger = of("bob")
        for attempt in (
            lambda: stranger.space_members("team"),
            lambda: stranger.invite("team", "bob", "admin"),
            lambda: stranger.join_space("team"),
            lambda: stranger.leave_space("team", "ann"),
            lambda: stranger.change_role("team", "ann", "reader"),
            lambda: stranger.share("space:team", tag="x"),
        ):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(Conflict):
            stranger.create_space("team")

    def test_only_admins_decide_and_one_stays(self, of: Callable[..., Memories]) -> None:
        of("ann").create_space("team")
        of("ann").invite("team", "bob", "writer")
        of("bob").join_space("team")
        for attempt in (lambda: of("bob").invite("team", "cid"), lambda: of("bob").leave_space("team", "ann")):
            with pytest.raises(Forbidden):
                attempt()
        for last in (lambda: of("ann").leave_space("team"), lambda: of("ann").change_role("team", "ann", "reader")):
            with pytest.raises(Conflict):
                last()
        of("ann").invite("team", "env", "admin")
        with pytest.raises(Conflict):
            of("ann").leave_space("team")
        of("env").join_space("team")
        of("ann").leave_space("team")
        assert [one.user for one in of("env").space_members("team")] == ["bob", "env"]

    def test_two_admins_who_leave_at_once_leave_one(self, people: People) -> None:
        for round in range(5):
            space = f"team{round}"
            people.add_space(space, "ann")
            people.invite(space, "bob", "admin", "ann")
            people.accept(space, "bob")
            failed: list[BethinkError] = []

            def leave(user: str, space: str = space, failed: list[BethinkError] = failed) -> None:
                try:
                    people.leave(space, user)
                except BethinkError as refused:
                    failed.append(refused)

            threads = [threading.Thread(target=leave, args=(user,)) for user in ("ann", "bob")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [type(error) for error in failed] == [Conflict]
            left = [one for name in ("ann", "bob") for one in people.spaces(name) if one.space == space]
            assert [one.role for one in left] == ["admin"]


class TestLoans:
    def test_a_memory_a_tag_and_a_project(self, of: Callable[..., Memories]) -> None:
        one = of("ann").remember(Draft("one apple")).memory
        of("ann").remember(Draft("a tagged apple", tags=("fruit",)))
        of("ann").remember(Draft("an apple of a project", scope=Scope.of("example.org/a/shop")))
        of("ann").remember(Draft("a private apple"))
        assert contents(of("bob")) == []
        of("ann").share("bob", id=one.id[:13])
        assert contents(of("bob")) == ["one apple"] and contents(of("cid")) == []
        of("ann").share("bob", tag="fruit")
        of("ann").share("bob", project="shop")
        assert contents(of("bob")) == ["a tagged apple", "an apple of a project", "one apple"]
        assert contents(of("bob", "example.org/a/shop")) == ["an apple of a project"]
        found = of("bob").shared()
        assert found.given == () and {(grant.kind, grant.value) for grant in found.received} == {
            ("memory", one.id), ("tag", "fruit"), ("project", "example.org/a/shop"),
        }  # fmt: skip
        assert of("ann").unshare("bob", tag="fruit") == [Grant("ann", "tag", "fruit", "bob")]
        of("ann").unshare(id=one.id)
        assert contents(of("bob")) == ["an apple of a project"]
        with pytest.raises(NotFound):
            of("ann").unshare(id=one.id)

    def test_with_a_space(self, of: Callable[..., Memories]) -> None:
        of("ann").create_space("team")
        of("ann").invite("team", "bob")
        of("ann").remember(Draft("a tagged apple", tags=("fruit",)))
        of("ann").share("space:team", tag="fruit")
        assert contents(of("bob")) == [] and of("bob").shared().received == ()
        of("bob").join_space("team")
        assert contents(of("bob")) == ["a tagged apple"] and len(of("bob").shared().received) == 1
        of("ann").leave_space("team", "bob")
        assert contents(of("bob")) == []

    def test_a_borrower_reads_and_does_not_write_unless_it_was_said(self, of: Callable[..., Memories]) -> None:
        one = of("ann").remember(Draft("one apple")).memory
        of("ann").share("bob", id=one.id)
        for attempt in (lambda: of("bob").forget(one.id), lambda: of("bob").share("cid", id=one.id)):
            with pytest.raises(Forbidden):
                attempt()
        of("ann").share("bob", id=one.id, permission="write")
        of("bob").forget(one.id)
        assert of("ann").get(one.id).deleted_at is not None
        with pytest.raises(Forbidden):
            of("bob").share("cid", id=one.id)

    def test_secrets_and_what_was_said_before_are_not_lent(self, of: Callable[..., Memories]) -> None:
        before = of("ann").remember(Draft("an apple that rots")).memory
        of("ann").revise(before.id, Changes(content="an apple that keeps"))
        of("ann").share("bob", id=before.id)
        assert "rots" not in str(of("bob").history(before.id)) and "rots" in str(of("ann").history(before.id))
        secret = "ghp_" + "x7Qm2Lk9Rw4Tz8Vb1Nc6Yd3Hf5Jg0Ps1Ae2U"
        one = of("ann").remember(Draft(f"the apple token is {secret}")).memory
        assert one.sealed
        of("ann").share("bob", id=one.id, permission="write")
        assert secret not in of("bob").get(one.id).content
        with pytest.raises(NotFound):
            of("bob").secret(one.id)
        assert secret in str(of("ann").secret(one.id))

    def test_what_makes_no_sense(self, of: Callable[..., Memories]) -> None:
        mine = of("ann")
        theirs = of("bob").remember(Draft("an apple of bob")).memory
        for wrong in ({}, {"id": "x", "tag": "y"}, {"tag": ""}, {"tag": "x", "permission": "own"}):
            with pytest.raises(InvalidInput):
                mine.share("bob", **wrong)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(InvalidInput):
            mine.share("ann", tag="x")
        for to, what in (("nobody", {"tag": "x"}), ("bob", {"id": theirs.id}), ("space:none", {"tag": "x"}), ("@people", {"tag": "x"})):
            with pytest.raises(NotFound):
                mine.share(to, **what)

    def test_as_many_loans_as_can_be(self, of: Callable[..., Memories], people: People) -> None:
        one = of("ann").remember(Draft("one apple", tags=("t1",))).memory
        with people._store.write(people._access) as tx:
            for n in range(MOST_GRANTS - 1):
                kind, value = (("tag", f"t{n}"), ("memory", f"m{n}"))[n % 2]
                tx.state_put("grant", f"ann\n{kind}\n{value}\nbob", grant_value(Grant("ann", kind, value, "bob")))
        of("ann").share("bob", id=one.id)
        of("ann").share("bob", id=one.id, permission="write")
        with pytest.raises(Conflict):
            of("ann").share("bob", tag="one too many")
        of("cid").share("bob", tag="of another")
        assert contents(of("bob")) == ["one apple"]
        of("bob").revise(one.id, Changes(importance=0.9))

    @pytest.mark.parametrize("odd", ["\x00", "a\x00b", "\udc80", "\U0010ffff", "' OR 1=1 --", "%", "x" * 5000, "\n", "🦄"])
    def test_odd_names_are_nobodys(self, of: Callable[..., Memories], people: People, odd: str) -> None:
        mine = of("ann")
        mine.create_space("team")
        attempts = (
            lambda: mine.share(odd, tag="x"),
            lambda: mine.share("space:" + odd, tag="x"),
            lambda: mine.share("bob", id=odd),
            lambda: mine.unshare(odd, tag="x"),
            lambda: mine.unshare(tag=odd),
            lambda: mine.create_space(odd),
            lambda: mine.invite(odd, "bob"),
            lambda: mine.invite("team", odd),
            lambda: mine.change_role("team", odd, "reader"),
            lambda: mine.join_space(odd),
            lambda: mine.leave_space("team", odd),
            lambda: mine.space_members(odd),
            lambda: people.revoke(odd),
            lambda: people.rotate(odd),
            lambda: people.revoke_key(odd),
            lambda: people.user(odd),
        )
        for attempt in attempts:
            with pytest.raises((InvalidInput, NotFound)):
                attempt()
        assert refused(people, odd) == refused(people, f"bth_{odd}_x") == "unknown key"

    def test_a_service_account_of_a_project_shares_nothing(self, of: Callable[..., Memories]) -> None:
        caged = of("ann", "cage")
        for attempt in (lambda: caged.share("bob", tag="x"), lambda: caged.create_space("s"), lambda: caged.unshare(tag="x")):
            with pytest.raises(Forbidden):
                attempt()
