"""Four users do whatever comes: no way of reading brings anybody what is not theirs, their spaces' or lent to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bethink.errors import BethinkError
from bethink.model import Changes, Draft, Filter, Memory, Query, Scope
from bethink.service.feeding import Feeding
from bethink.service.memories import Memories
from bethink.service.people import SCOPES, SPACE, People, Principal
from bethink.stores.base import Store
from kit.memories import NOW, WordsEmbedder

EMBEDDER = WordsEmbedder()
EVERY = Filter(statuses=())
_rounds = itertools.count()
Step = tuple[str, int, int, int]


@dataclass
class Team:
    """The users of one round and, beside the store, what each should see."""

    store: Store
    people: People
    names: list[str]
    spaces: list[str]
    #: Every memory that was ever stored, by id.
    made: dict[str, Memory] = field(default_factory=dict)

    def memories(self, user: str) -> Memories:
        access = self.people.access(Principal(user, frozenset(SCOPES)))
        made = Memories(self.store, access, embedder=EMBEDDER, clock=lambda: NOW)
        made.people = self.people
        return made

    def visible(self, user: str) -> set[str]:
        """Said again in the plainest way, from what people decided."""
        inside = {SPACE + one.space for one in self.people.spaces(user) if one.accepted}
        grants = [one for one in self.people.grants() if one.grantee in {user, *inside}]
        seen = set()
        for id, memory in self.made.items():
            lent = any(
                one.owner == memory.owner
                and one.value in {"memory": {id}, "tag": set(memory.tags), "project": {memory.scope.project}}[one.kind]
                for one in grants
            )
            if memory.owner in {user, *inside} or lent:
                seen.add(id)
        return seen

    def act(self, step: Step) -> None:
        what, who, other, thing = step
        user, friend = self.names[who], self.names[other]
        mine, space = self.memories(user), self.spaces[thing % len(self.spaces)]
        ids = list(self.made)
        id = ids[thing % len(ids)] if ids else "none"
        tag, project = f"tag{thing % 2}", f"project{thing % 2}"
        steps: dict[str, Callable[[], Any]] = {
            "store": lambda: self.keep(mine, Draft(f"{user} walrus {len(ids)}", tags=(tag,), scope=Scope.of(project))),
            "store-in-space": lambda: self.keep(mine, Draft(f"{space} walrus {len(ids)}", owner=SPACE + space)),
            "steal": lambda: self.keep(mine, Draft(f"{user} steals walrus {len(ids)}", owner=friend)),
            "create": lambda: mine.create_space(space),
            "invite": lambda: mine.invite(space, friend, ("reader", "writer", "admin")[thing % 3]),
            "join": lambda: mine.join_space(space),
            "leave": lambda: mine.leave_space(space, friend),
            "share": lambda: mine.share(friend, id=id, permission=("read", "write")[thing % 2]),
            "share-tag": lambda: mine.share(friend, tag=tag),
            "share-project": lambda: mine.share(friend, project=project),
            "share-with-space": lambda: mine.share(SPACE + space, tag=tag),
            "unshare": lambda: mine.unshare(friend, id=id),
            "unshare-tag": lambda: mine.unshare(tag=tag),
            "revise": lambda: mine.revise(id, Changes(tags=(tag,))),
            "forget": lambda: mine.forget(id),
            "link": lambda: mine.link(id, ids[-1] if ids else "none", "see_also"),
        }
        # Being refused is part of it.
        with suppress(BethinkError):
            steps[what]()
        self.made.update({one.id: one for name in self.names for one in self.all_of(name)})

    def keep(self, memories: Memories, draft: Draft) -> None:
        stored = memories.remember(draft).memory
        self.made[stored.id] = stored

    def all_of(self, owner: str) -> Iterable[Memory]:
        """The memories as they stand, of a user and of all spaces, by an access that no user has."""
        from bethink.model import Access

        owners = (owner, *(SPACE + space for space in self.spaces))
        return [one for ids in (list(self.made),) for one in self.store.get(Access("test", owners, ()), ids).values()]


def read(memories: Memories, ids: list[str]) -> dict[str, set[str]]:
    """Way of reading → the ids that it brings."""

    def of(many: Iterable[Memory]) -> set[str]:
        return {one.id for one in many}

    def one(ask: Callable[[str], Iterable[str]]) -> set[str]:
        found: set[str] = set()
        for id in ids:
            with suppress(BethinkError):
                found |= set(ask(id))
        return found

    questions = [Query("walrus", where=EVERY, mode=mode, limit=100, follow_links=True) for mode in ("hybrid", "keyword", "semantic")]
    return {
        "list": of(memories.list(EVERY, limit=1000).memories),
        "recall": {hit.memory.id for question in questions for hit in memories.recall(question).hits},
        "export": of(memories.export(EVERY)),
        "get": one(lambda id: [memories.get(id).id]),
        "by prefix": one(lambda id: [memories.get(id[:-1]).id]),
        "history": one(lambda id: [each.memory for each in memories.history(id)]),
        "links": one(lambda id: [end for link in memories.links(id) for end in (link.source, link.target)]),
        "similar": one(lambda id: [hit.memory.id for hit in memories.similar(id, 50)]),
        "why": one(lambda id: [each.id for each in (memories.why(id).memory, *memories.why(id).lineage)]),
        "context": of(memories.context("project0", budget_tokens=4000).memories),
        "duplicates": {each.id for cluster in memories.find_duplicates(0.5) for each in cluster.memories},
        "check": {target.id for content in ("walrus 1", "walrus 2") if (target := memories.check(content).target)},
        "sync": {str(item["memory"]["id"]) for item in Feeding.of(memories).changes(None, 500)["items"]},
    }


STEPS = ("store", "store", "store-in-space", "steal", "create", "invite", "join", "leave", "share", "share-tag", "share-project")
MORE = ("share-with-space", "unshare", "unshare-tag", "revise", "forget", "link")
USER = st.integers(0, 3)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.tuples(st.sampled_from(STEPS + MORE), USER, USER, st.integers(0, 30)), min_size=8, max_size=25))
def test_nobody_reads_what_is_not_theirs(store: Store, steps: list[Step]) -> None:
    number = next(_rounds)
    people = People(store, clock=lambda: NOW)
    team = Team(store, people, [f"u{number}-{n}" for n in range(4)], [f"s{number}-{n}" for n in range(2)])
    for name in team.names:
        people.add_user(name)
    # Without these most rounds would share nothing.
    for step in [("create", 0, 0, 0), ("invite", 0, 1, 0), ("join", 1, 1, 0), ("store-in-space", 0, 0, 0), ("store", 2, 2, 1), *steps]:
        team.act(step)
    while waiting := store.pending_vectors(100):
        store.put_vectors(EMBEDDER.identity, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
    for name in team.names:
        expected = team.visible(name)
        memories = team.memories(name)
        found = read(memories, list(team.made))
        assert {way: ids - expected for way, ids in found.items() if ids - expected} == {}, name
        # And nothing of it is kept from them.
        assert found["get"] == expected
        alive = {id for id in expected if team.made[id].deleted_at is None}
        assert found["list"] == alive and found["export"] == alive
        assert memories.stats()["total"] == len({id for id in alive if team.made[id].status == "active"})
