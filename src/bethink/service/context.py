"""The brief: what somebody who starts to work in a project should know, within a budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

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
            chosen, cost = _chosen(self._ranked(categories, where), min(allowance, budget - spent), most, seen)
            spent += cost
            if chosen:
                sections.append((name, chosen))
        return Brief(Scope.of(project or self.here.project, task), tuple(sections), spent)

    def _ranked(self, categories: Iterable[str], where: Filter) -> list[Memory]:
        """Newest and most important first, what is nearer to the asker before what is global."""
        now = self.now()
        found: list[Memory] = []
        for category in categories:
            page = self.store.page(self.access, _in(where, category), now, limit=_LOOKED_AT, offset=0, with_total=False)
            found.extend(page.memories)

        def weight(memory: Memory) -> float:
            days = max((now - memory.created_at).days, 0)
            return memory.importance + 0.3 * (memory.scope.kind != "global") + 0.5 / (1 + days / 14)

        return sorted(found, key=weight, reverse=True)


def _in(where: Filter, category: str) -> Filter:
    from dataclasses import replace

    return replace(where, category=category)


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
