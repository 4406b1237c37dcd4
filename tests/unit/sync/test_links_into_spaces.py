"""Edges between what is somebody's own and what is a space's: they are seen by who may read both ends, as long as they may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access, Changes, Link, Memory
from bethink.service.people import People
from bethink.stores.base import Store
from bethink.sync import plan
from bethink.sync.peer import Json, Unreachable
from kit.replicas import Machine, Server, Tapped, access_of, crowd, differences, everything

TEAM = Access("ann", ("space:team",), ("space:team",))


@dataclass
class Scene:
    """Ann has a space; Bob, with two machines, links a memory of his own with one of the space, or the other way round."""

    folder: Path
    server: Server
    people: People
    let_in: Callable[[], None]
    ann: Machine
    one: Machine
    two: Machine
    own: Memory
    shared: Memory
    #: The memories at which the edge starts and ends.
    ends: tuple[Memory, Memory]

    def machine(self, name: str, wrap: Callable[[Any], Any] = lambda peer: peer) -> Machine:
        """Another one of Bob's."""
        return Machine(self.folder, name, self.server, principal="bob", access=access_of(self.people, "bob"), wrap=wrap)

    def leave(self) -> None:
        self.people.leave("team", "bob")

    def seen(self, machine: Machine) -> list[tuple[str, str]]:
        """The edges that a machine shows."""
        edges = machine.store.links_of(machine.replica.access, [self.own.id, self.shared.id])
        return [(link.source, link.target) for link in edges]

    @property
    def edge(self) -> tuple[str, str]:
        return self.ends[0].id, self.ends[1].id

    def wrong(self, machine: Machine) -> list[tuple[str, str, Any, Any]]:
        """In what a machine of Bob's is not as the server."""
        wanted = everything(self.server.store, access_of(self.people, "bob")().without_loans(), own="bob")
        return differences(everything(machine.store, machine.replica.access, own="local"), wanted)


@pytest.fixture(params=["into", "out of"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, kept_in: Store | None) -> Scene:
    server = Server(tmp_path, store=kept_in)
    people, let_in = crowd(server)
    let_in()
    ann, one, two = (
        Machine(tmp_path, name, server, principal=whose, access=access_of(people, whose))
        for name, whose in (("ann", "ann"), ("one", "bob"), ("two", "bob"))
    )
    for each in (ann, one):
        assert each.sync().ok
    own, shared = one.say("bob likes Mondays"), ann.say("we deploy on Fridays", owner="space:team")
    ends = (own, shared) if request.param == "into" else (shared, own)
    made = Scene(tmp_path, server, people, let_in, ann, one, two, own, shared, ends)
    assert ann.sync().ok and one.sync().ok
    one.memories.link(*made.edge, "see_also")
    for each in (one, ann, two):
        assert each.sync().ok
    assert made.seen(one) == made.seen(two) == [made.edge] and made.seen(ann) == []
    return made


def test_a_link_comes_back_with_who_left_the_space(scene: Scene) -> None:
    for _ in range(2):
        scene.leave()
        for each in (scene.one, scene.two):
            assert each.sync().ok and scene.seen(each) == []
        scene.let_in()
        for each in (scene.one, scene.two):
            assert each.sync().ok
            assert scene.seen(each) == [scene.edge] and scene.wrong(each) == []


def test_a_link_is_seen_by_a_machine_that_was_set_up_while_its_user_was_out_of_the_space(scene: Scene) -> None:
    scene.leave()
    late = scene.machine("late")
    assert late.sync().ok and scene.seen(late) == []
    # What it hears again meanwhile says nothing of the edge either.
    scene.one.memories.link(scene.own.id, scene.one.say("bob likes Tuesdays").id, "supports")
    for each in (scene.one, late, scene.two):
        assert each.sync().ok
    scene.let_in()
    for each in (late, scene.one, scene.two):
        assert each.sync().ok
        assert scene.edge in scene.seen(each) and scene.wrong(each) == []


def test_a_round_that_is_cut_short_after_who_left_came_back_is_made_good_by_the_next(scene: Scene) -> None:
    scene.leave()
    cut = scene.machine("cut", Halting)
    assert cut.sync().ok
    scene.let_in()
    for asked in ("changes", "digest", "marks", "fetch"):
        cut.peer.halts = asked
        cut.sync()
    cut.peer.halts = ""
    assert cut.sync().ok and scene.seen(cut) == [scene.edge] and scene.wrong(cut) == []


def test_who_left_and_came_back_between_two_pulls_misses_nothing_of_the_space(scene: Scene) -> None:
    cut = scene.machine("cut", Halting)
    assert cut.sync().ok
    scene.leave()
    cut.peer.halts = "changes"
    assert not cut.sync().ok and cut.store.log.ids_of("space:team") == []
    scene.let_in()
    cut.peer.halts = ""
    assert cut.sync().ok and scene.seen(cut) == [scene.edge] and scene.wrong(cut) == []


def test_who_joins_while_a_round_compares_sees_the_link_after_the_next(scene: Scene) -> None:
    scene.leave()
    busy = scene.machine("busy", Halting)
    other = busy.say("bob likes Tuesdays")
    assert busy.sync().ok
    busy.memories.link(scene.own.id, other.id, "supports")
    assert busy.sync().ok
    with busy.store.write(busy.replica.access) as tx:
        tx.log.set_links(scene.own.id, "local", [])
    busy.peer.then = scene.let_in
    assert busy.sync(verify=True).repaired == 1 and TEAM.readable[0] in busy.replica.access.readable
    assert busy.sync().ok and scene.edge in scene.seen(busy) and scene.wrong(busy) == []


def test_a_link_that_a_machine_does_not_have_is_found_by_digests(scene: Scene) -> None:
    source = scene.ends[0]
    for each in (scene.one, scene.two):
        with each.store.write(each.replica.access) as tx:
            tx.log.set_links(source.id, each.store.get(each.replica.access, [source.id])[source.id].owner, [])
    assert scene.one.sync().ok and scene.seen(scene.one) == []
    for each in (scene.one, scene.two):
        report = each.sync(verify=True)
        assert report.ok and report.repaired == 1 and scene.seen(each) == [scene.edge] and scene.wrong(each) == []
        assert each.sync(verify=True).repaired == 0


def test_a_link_that_the_server_does_not_have_is_found_by_digests(scene: Scene) -> None:
    source, target = (scene.shared, scene.own) if scene.ends[0] is scene.own else (scene.own, scene.shared)
    for each in (scene.one, scene.two):
        owner = each.store.get(each.replica.access, [source.id])[source.id].owner
        with each.store.write(each.replica.access) as tx:
            tx.log.set_links(source.id, owner, [Link(source.id, target.id, "see_also", source.created_at, "")])
        assert scene.wrong(each) != []
        report = each.sync(verify=True)
        assert report.ok and report.repaired == 1 and scene.wrong(each) == []
        assert each.sync(verify=True).repaired == 0


def test_a_link_that_waits_to_be_sent_is_not_taken_for_one_that_differs(scene: Scene) -> None:
    deaf = scene.machine("deaf", Halting)
    assert deaf.sync().ok
    deaf.peer.halts = "push"
    deaf.memories.unlink(*scene.edge, "see_also")
    deaf.memories.link(scene.edge[0], deaf.say("bob likes Tuesdays").id, "supports")
    assert not deaf.sync().ok and deaf.session().verify() == 0 and scene.edge not in scene.seen(deaf)
    deaf.peer.halts = ""
    assert deaf.sync().ok
    for each in (deaf, scene.one):
        assert each.sync(verify=True).ok and scene.edge not in scene.seen(each) and scene.wrong(each) == []


@pytest.mark.parametrize("becomes", ["cut", "source forgotten", "target forgotten", "source purged", "target purged", "linked again"])
def test_what_became_of_a_link_while_its_maker_was_out_of_the_space(scene: Scene, becomes: str) -> None:
    scene.leave()
    assert scene.one.sync().ok
    source, target = scene.ends
    everybody = Access("ann", ("bob", "space:team"), ("bob", "space:team"))
    there = scene.server.memories(access=everybody)
    end = source if "source" in becomes else target
    if becomes in ("cut", "linked again"):
        there.unlink(source.id, target.id, "see_also")
    else:
        # By whom it belongs to: the other may not even know of the edge.
        scene.server.memories(access=TEAM if end is scene.shared else Access.local("bob")).forget(end.id)
    if becomes == "linked again":
        there.link(source.id, target.id, "supports")
    if "purged" in becomes:
        scene.server.memories(access=TEAM if end is scene.shared else Access.local("bob")).purge(end.id)
    if becomes == "source purged":
        assert scene.two.sync().ok
    scene.let_in()
    for each in (scene.one, scene.two):
        assert each.sync().ok and scene.wrong(each) == []
        assert len(scene.seen(each)) == ("forgotten" in becomes or becomes == "linked again")
        assert each.sync(verify=True).repaired == 0


def test_of_a_link_whose_other_end_may_not_be_read_nothing_is_told(scene: Scene) -> None:
    private = scene.ann.say("the salary is a lot")
    source = scene.ann.say("we hire", owner="space:team")
    scene.ann.memories.link(source.id, private.id, "derived_from")
    assert scene.ann.sync().ok
    tapped = scene.machine("tapped", Tapped)
    assert tapped.sync(verify=True).ok and tapped.sync(verify=True).repaired == 0
    serving = scene.server.serving("bob", access_of(scene.people, "bob"))
    every = list(range(256))
    told = [edge for owner in ("bob", "space:team") for edge in serving().marks(owner, every)["edges"]]
    assert [tuple(edge) for edge in told] == [(*scene.edge, "see_also")]
    scene.leave()
    assert serving().marks("bob", every)["edges"] == [] and not any(serving().digest("bob")["edges"])
    for each in (tapped, scene.one, scene.two):
        assert each.sync(verify=True).ok and scene.seen(each) == [] and scene.wrong(each) == []
        assert each.store.links_of(each.replica.access, each.store.log.ids_of("local")) == []
    assert private.id not in "".join(tapped.peer.heard)


def test_a_link_to_what_is_only_lent_is_none_that_a_machine_misses(scene: Scene) -> None:
    """Replicas hold nothing that is lent, so that the server does not count such an edge either."""
    lent = scene.ann.say("the code of the door")
    assert scene.ann.sync().ok
    scene.people.share("ann", "memory", lent.id, "bob")
    scene.server.memories(access=access_of(scene.people, "bob")()).link(scene.own.id, lent.id, "see_also")
    for each in (scene.one, scene.two):
        assert each.sync().ok and each.sync(verify=True).repaired == 0
        assert scene.seen(each) == [scene.edge] and scene.wrong(each) == []


def test_an_end_whose_erasure_is_not_settled_makes_no_link_differ(scene: Scene) -> None:
    """Who may only read in the space erased a memory of it on this machine: the server still has it, and its edges."""
    scene.people.role("team", "bob", "reader", "ann")
    with scene.one.store.write(scene.one.replica.access) as tx:
        tx.erase(scene.shared.id)
    for _ in range(2):
        assert scene.one.sync().ok and scene.one.sync(verify=True).repaired == 0
    assert scene.seen(scene.one) == []


def test_a_link_comes_back_though_a_change_of_its_other_end_is_refused(scene: Scene) -> None:
    """Who left forgot a memory of the space, and comes back as one who may only read there."""
    scene.leave()
    scene.one.memories.forget(scene.shared.id)
    scene.one.memories.revise(scene.own.id, Changes(importance=0.9))
    assert scene.one.sync().ok and {change.memory for change in scene.one.store.log.refused()} == {scene.shared.id}
    scene.people.invite("team", "bob", "reader", "ann")
    scene.people.accept("team", "bob")
    for _ in range(2):
        scene.one.replica.try_all()
        assert scene.one.sync().ok and scene.seen(scene.one) == [scene.edge]
        assert {each[0] for each in scene.wrong(scene.one)} == {scene.shared.id}
        assert scene.one.sync(verify=True).repaired == 0
        with scene.one.store.write(scene.one.replica.access) as tx:
            tx.log.set_links(scene.ends[0].id, "local" if scene.ends[0] is scene.own else "space:team", [])
        assert scene.one.sync(verify=True).repaired == 1 and scene.seen(scene.one) == [scene.edge]
        assert scene.one.store.get(scene.one.replica.access, [scene.shared.id])[scene.shared.id].deleted_at is not None


def test_a_server_from_before_tells_nothing_of_edges(scene: Scene) -> None:
    old = scene.machine("old", Silent)
    for _ in range(2):
        report = old.sync(verify=True)
        assert report.ok and report.repaired == 0
    assert scene.wrong(old) == []


def test_what_a_server_lost_is_not_fetched_for_its_edges() -> None:
    edge = ("memory", "other", "supports")
    for side in ("here", "there"):
        assert plan.repair({"memory": (2, 9)}, {"memory": (2, 9)}, **{side: [edge]}).pull == ("memory",)
        lost = plan.repair({"memory": (2, 9)}, {"memory": (1, 5)}, **{side: [edge]})
        assert (lost.pull, lost.again, lost.links) == ((), (("memory", 1),), (edge,) if side == "here" else ())
        # It was purged there since, or is on its way.
        assert not plan.repair({}, {}, **{side: [edge]})
        assert not plan.repair({}, {"memory": (2, 9)}, ["memory"], **{side: [edge]})


class Halting(Tapped):
    """A server that does not answer the kind of request that `halts` names; and something that happens once it has told a memory again."""

    halts = ""
    then: Callable[[], None] | None = None

    def push(self, changes: Sequence[Json]) -> Json:
        return self._answered("push", changes)

    def changes(self, cursor: str | None, limit: int) -> Json:
        return self._answered("changes", cursor, limit)

    def digest(self, owner: str) -> Json:
        return self._answered("digest", owner)

    def marks(self, owner: str, buckets: Sequence[int]) -> Json:
        return self._answered("marks", owner, buckets)

    def fetch(self, ids: Sequence[str]) -> Json:
        told = self._answered("fetch", ids)
        if self.then is not None:
            self.then()
            self.then = None
        return told

    def _answered(self, name: str, *given: Any) -> Json:
        if self.halts == name:
            raise Unreachable("lost on the way")
        return dict(getattr(self.inner, name)(*given))


class Silent(Tapped):
    """A server that does not know of digests of edges."""

    def digest(self, owner: str) -> Json:
        return {name: value for name, value in self.inner.digest(owner).items() if name != "edges"}

    def marks(self, owner: str, buckets: Sequence[int]) -> Json:
        return {name: value for name, value in self.inner.marks(owner, buckets).items() if name != "edges"}
