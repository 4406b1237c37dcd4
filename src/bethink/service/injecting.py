"""What is put before a model unasked: little, relevant, whole, never twice. On the hook path: no NumPy here."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from bethink import rank, render
from bethink.model import Filter, Hit, Query, Scope
from bethink.service.reading import Reading

if TYPE_CHECKING:
    from bethink.render import Rendered
    from bethink.service.context import Brief, Briefing

#: Most items that one prompt is given; more raises the success of poisoned memories, not the use.
MOST_ITEMS = 5
#: A long prompt asks with its beginning and its end.
_HEAD, _TAIL = 1500, 500
#: Hits after the best are only worth their tokens when they are nearly as good.
_NEAR_BEST = 0.72


def for_prompt(reading: Reading, prompt: str, *, project: str | None, seen: Set[str], budget_tokens: int) -> Rendered:
    """The memories that a prompt should be accompanied by, as text; empty when nothing is relevant enough.

    Args:
        seen: ids that this session was shown before.
        budget_tokens: most tokens of the whole text.
    """
    asked = asking(prompt)
    if not asked:
        return render.Rendered()
    where = Filter(reach=reading.reach(project), archive=False)
    query = Query(asked, where=where, limit=MOST_ITEMS + min(len(seen), 50), floor=rank.INJECT_FLOOR, here=Scope.of(project))
    hits = [hit for hit in reading.recall(query).hits if hit.memory.id not in seen]
    if not hits:
        return render.Rendered()
    best = hits[0].score
    kept = [hit for hit in hits if hit.score >= _NEAR_BEST * best][:MOST_ITEMS]
    return render.render(kept, now=reading.now(), budget_tokens=budget_tokens, purpose="prompt")


def asking(prompt: str) -> str:
    """The part of a prompt that asks: without what we injected, the middle of a long one left out."""
    plain = render.strip_injected(prompt).strip()
    if len(plain) > _HEAD + _TAIL:
        return f"{plain[:_HEAD]} {plain[-_TAIL:]}"
    return plain


def for_start(briefing: Briefing, *, project: str | None, budget_tokens: int, seen: Set[str] = frozenset()) -> Rendered:
    """The brief of a project as text; empty when nothing is known."""
    brief: Brief = briefing.context(project, budget_tokens=budget_tokens)
    hits = [Hit(memory, 1.0) for memory in brief.memories if memory.id not in seen]
    if not hits:
        return render.Rendered()
    return render.render(hits, now=briefing.now(), budget_tokens=budget_tokens, purpose="brief")
