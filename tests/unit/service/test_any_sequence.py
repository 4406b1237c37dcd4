"""Any sequence of operations leaves what a plain model in Python says it leaves."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from bethink.errors import Conflict, Forgotten, NotForgotten, NotFound
from bethink.model import Changes, Draft, Filter, Query
from bethink.service.memories import Memories
from bethink.stores.sqlite import SQLiteStore
from kit.memories import ANN, NOW, WordsEmbedder
from kit.writers import words

TAGS = st.lists(st.sampled_from(["red", "green", "blue"]), max_size=2, unique=True).map(tuple)
IMPORTANCE = st.sampled_from([0.1, 0.5, 0.9])


@dataclass(frozen=True)
class Expected:
    """A memory as the model knows it."""

    content: str
    tags: tuple[str, ...]
    importance: float
    status: str = "active"
    deleted: bool = False

    @property
    def live(self) -> bool:
        return self.status == "active" and not self.deleted


@dataclass
class Life:
    """A memory's states, each with the moment it began."""

    states: list[tuple[datetime, Expected]] = field(default_factory=list)
    superseded_by: str | None = None

    @property
    def now(self) -> Expected:
        return self.states[-1][1]


class AnySequence(RuleBasedStateMachine):
    ids = Bundle("ids")

    @initialize(with_model=st.booleans())
    def begin(self, with_model: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = NOW
        self.lives: dict[str, Life] = {}
        self.number = 0
        store = SQLiteStore(Path(self.folder.name) / "memory.db")
        self.memories = Memories(store, ANN, clock=lambda: self.clock, embedder=WordsEmbedder() if with_model else None)

    def teardown(self) -> None:
        if hasattr(self, "memories"):
            self.memories.close()
            self.folder.cleanup()

    def turn(self) -> None:
        self.clock += timedelta(minutes=1)

    def fresh(self) -> str:
        self.number += 1
        return words(self.number)

    def become(self, id: str, **changes: Any) -> None:
        life = self.lives.setdefault(id, Life())
        before = life.now if life.states else Expected("", (), 0.5)
        life.states.append((self.clock, replace(before, **changes)))

    @rule(target=ids, tags=TAGS, importance=IMPORTANCE)
    def remember(self, tags: tuple[str, ...], importance: float) -> str:
        self.turn()
        content = self.fresh()
        stored = self.memories.remember(Draft(content, tags=tags, importance=importance))
        assert stored.action == "added" and stored.superseded == ()
        self.become(stored.memory.id, content=content, tags=tags, importance=importance)
        return stored.memory.id

    @rule(target=ids, id=ids, tags=TAGS, importance=IMPORTANCE)
    def say_again(self, id: str, tags: tuple[str, ...], importance: float) -> Any:
        self.turn()
        old = self.lives[id].now
        stored = self.memories.remember(Draft(old.content, tags=tags, importance=importance))
        twins = [key for key, life in self.lives.items() if life.now.content == old.content and life.now.live]
        if twins:
            assert stored.action == "merged" and stored.memory.id in twins
            kept = self.lives[stored.memory.id].now
            self.become(stored.memory.id, tags=tuple(dict.fromkeys((*kept.tags, *tags))), importance=max(kept.importance, importance))
            return multiple()
        assert stored.action == "added"
        self.become(stored.memory.id, content=old.content, tags=tags, importance=importance)
        return stored.memory.id

    @rule(target=ids, id=ids)
    def correct(self, id: str) -> Any:
        self.turn()
        content = self.fresh()
        old = self.lives[id].now
        draft = Draft(content, supersedes=id)
        if old.status == "superseded":
            with pytest.raises(Conflict):
                self.memories.remember(draft)
            return multiple()
        stored = self.memories.remember(draft)
        assert stored.superseded == (id,)
        self.become(id, status="superseded")
        self.lives[id].superseded_by = stored.memory.id
        self.become(stored.memory.id, content=content, tags=(), importance=0.5)
        return stored.memory.id

    @rule(id=ids)
    def undo(self, id: str) -> None:
        self.turn()
        # A memory takes back what it superseded; one that superseded nothing, its own supersession.
        mine = [key for key, life in self.lives.items() if life.superseded_by == id]
        back = mine or ([id] if self.lives[id].superseded_by else [])
        if not back:
            with pytest.raises(Conflict):
                self.memories.undo(id)
            return
        assert {each.id for each in self.memories.undo(id)} == set(back)
        for key in back:
            self.lives[key].superseded_by = None
            self.become(key, status="active")

    @rule(id=ids, tags=TAGS, importance=IMPORTANCE, reword=st.booleans())
    def revise(self, id: str, tags: tuple[str, ...], importance: float, reword: bool) -> None:
        self.turn()
        content = self.fresh() if reword else self.lives[id].now.content
        if self.lives[id].now.deleted:
            with pytest.raises(Forgotten):
                self.memories.revise(id, Changes(tags=tags))
            return
        self.memories.revise(id, Changes(content=content if reword else None, tags=tags, importance=importance))
        self.become(id, content=content, tags=tags, importance=importance)

    @rule(id=ids)
    def forget(self, id: str) -> None:
        self.turn()
        self.memories.forget(id)
        if not self.lives[id].now.deleted:
            self.become(id, deleted=True)

    @rule(id=ids)
    def restore(self, id: str) -> None:
        self.turn()
        now = self.lives[id].now
        twin = any(life.now.content == now.content and life.now.live for key, life in self.lives.items() if key != id)
        if not now.deleted or twin:
            with pytest.raises(Conflict):
                self.memories.restore(id)
            return
        self.memories.restore(id)
        self.become(id, deleted=False)

    @rule(id=consumes(ids))
    def purge(self, id: str) -> None:
        self.turn()
        if not self.lives[id].now.deleted:
            with pytest.raises(NotForgotten):
                self.memories.purge(id)
            self.memories.forget(id)
        receipt = self.memories.purge(id)
        assert receipt["rows"] == receipt["index"] == 1
        del self.lives[id]
        for life in self.lives.values():
            if life.superseded_by == id:
                life.superseded_by = None
        with pytest.raises(NotFound):
            self.memories.get(id)

    @invariant()
    def lists_and_counts_agree(self) -> None:
        if not hasattr(self, "lives"):
            return
        live = {id for id, life in self.lives.items() if life.now.live}
        page = self.memories.list(Filter(), limit=1000)
        assert {each.id for each in page.memories} == live and page.total == len(live) == self.memories.count()["total"]
        assert self.memories.stats()["deleted"] == sum(life.now.deleted for life in self.lives.values())
        tags = [tag for id in live for tag in self.lives[id].now.tags]
        assert self.memories.tags() == {tag: tags.count(tag) for tag in tags}

    @invariant()
    def every_memory_is_as_it_should_be(self) -> None:
        for id, life in getattr(self, "lives", {}).items():
            found = self.memories.get(id)
            now = life.now
            assert (found.content, found.tags, found.importance, found.status, found.deleted_at is not None) == (
                now.content, now.tags, now.importance, now.status, now.deleted,
            )  # fmt: skip

    @invariant()
    def history_tells_every_state(self) -> None:
        for id, life in getattr(self, "lives", {}).items():
            for at, state in life.states:
                then = self.memories.as_of(id, at)
                assert (then.content, then.tags, then.importance, then.status, then.deleted_at is not None) == (
                    state.content, state.tags, state.importance, state.status, state.deleted,
                )  # fmt: skip

    @rule(id=ids)
    def ask(self, id: str) -> None:
        now = self.lives[id].now
        hits = self.memories.recall(Query(now.content, mode="keyword", limit=50)).hits
        expected = {key for key, life in self.lives.items() if life.now.live and life.now.content == now.content}
        # What says the same is shown once, with the others named.
        shown = {each for hit in hits for each in (hit.memory.id, *hit.why.get("collapsed", ()))}
        assert expected <= shown and all(self.lives[key].now.live for key in shown)

    @rule()
    def reopen(self) -> None:
        embedder = self.memories.embedder
        self.memories.close()
        store = SQLiteStore(Path(self.folder.name) / "memory.db")
        assert store.check() == []
        store._db.execute("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
        self.memories = Memories(store, ANN, clock=lambda: self.clock, embedder=embedder)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
