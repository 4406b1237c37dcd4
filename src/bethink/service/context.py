"""The brief: what somebody who starts to work in a project should know, within a budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bethink import text
from bethink.model import Filter, Memory, Scope
from bethink.service.core import Core

#: Section → (categories, share of the budget, most items)
SECTIONS: tuple[tuple[str, tuple[str, ...], float, int], ...] = (
    ("Preferences", ("preferences", "behaviors"), 0.30, 8),
    ("Decisions", ("decisions",), 0.25, 8),
    ("Open tasks", ("projects",), 0.15, 6),
    ("Patterns", ("patterns",), 0.10, 4),
    ("Recent", ("facts", "observations", "summaries", "notes", "people", "relations", "entities"), 0.20, 8),
)
#: What an item costs beside its own words.
_FRAME = 8
_LOOKED_AT = 60
#: Marks of what is still to be done, in any category.
_TASK_TAGS = ("task", "todo")
_OPEN_FOR = timedelta(days=90)
#: What the person said weighs more than what was found out about the person.
_STATED = 0.25


@dataclass(frozen=True, slots=True)
class Brief:
    """Memories by section, in the order they should be read."""

    scope: Scope
    sections: tuple[tuple[str, tuple[Memory, ...]], ...]
    tokens: int

    @property
    def memories(self) -> tuple[Memory, ...]:
        return tuple(memory for _, memories in self.sections for memory in memories)


class Briefing(Core):
    """The part of `Memories` that writes briefs."""

    def context(
        self,
        project: str | None = None,
        *,
        task: str | None = None,
        budget_tokens: int | None = None,
        only_global: bool = False,
        since: datetime | None = None,
    ) -> Brief:
        """Preferences, decisions, open tasks, patterns and recent work that hold here; whole items within the budget.

        `since` leaves out what was stored before.
        """
        budget = budget_tokens if budget_tokens is not None else self.limits.context_tokens
        where = Filter(reach=self.reach(project, task=task, only_global=only_global), archive=False, since=since)
        sections = []
        spent = 0
        seen: set[str] = set()
        for name, categories, share, most in SECTIONS:
            allowance = int(budget * share) + max(0, int(budget * _share_until(name)) - spent)
            tags = _TASK_TAGS if name == "Open tasks" else ()
            chosen, cost = _chosen(self._ranked(categories, where, tags), min(allowance, budget - spent), most, seen)
            spent += cost
            if chosen:
                sections.append((name, chosen))
        return Brief(Scope.of(project or self.here.project, task), tuple(sections), spent)

    def _ranked(self, categories: Iterable[str], where: Filter, tags: Iterable[str] = ()) -> list[Memory]:
        """Newest and most important first, what was stated before what was inferred, what is nearer before what is global.

        Memories of any category that carry one of `tags` come before the others.
        """
        now = self.now()
        # Tags are looked for row by row: what was still open long ago is not worth that.
        lately = max(where.since or now - _OPEN_FOR, now - _OPEN_FOR)
        tagged = {memory.id: memory for tag in tags for memory in self._page(replace(where, tags=(tag,), since=lately), now)}
        found = {memory.id: memory for category in categories for memory in self._page(replace(where, category=category), now)}

        def weight(memory: Memory) -> float:
            days = max((now - memory.created_at).days, 0)
            near = 0.3 * (memory.scope.kind != "global")
            return memory.importance + near + _STATED * (memory.trust == "user_stated") + 0.5 / (1 + days / 14) + (memory.id in tagged)

        return sorted({**found, **tagged}.values(), key=weight, reverse=True)

    def _page(self, where: Filter, now: datetime) -> tuple[Memory, ...]:
        return self.store.page(self.access, where, now, limit=_LOOKED_AT, offset=0, with_total=False).memories


def _share_until(name: str) -> float:
    total = 0.0
    for section, _, share, _ in SECTIONS:
        if section == name:
            break
        total += share
    return total


def _chosen(memories: Iterable[Memory], budget: int, most: int, seen: set[str]) -> tuple[tuple[Memory, ...], int]:
    chosen: list[Memory] = []
    spent = 0
    for memory in memories:
        cost = text.tokens(memory.content) + _FRAME
        if memory.content_hash not in seen and spent + cost <= budget and len(chosen) < most:
            chosen.append(memory)
            seen.add(memory.content_hash)
            spent += cost
    return tuple(chosen), spent
