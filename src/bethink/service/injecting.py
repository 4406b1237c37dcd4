"""What is put before a model unasked: little, relevant, whole, never twice. On the hook path: no NumPy here."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bethink import render
from bethink.model import Filter, Hit, Memory, Query, Scope
from bethink.service.reading import Reading

if TYPE_CHECKING:
    from bethink.render import Rendered
    from bethink.service.context import Brief, Briefing

#: Most items that one prompt is given; more raises the success of poisoned memories, not the use.
MOST_ITEMS = 5
#: Least confidence (`rank.order`) of a hit that is found by meaning, and of one that is found by words alone; see bench/injection.py.
FLOOR = 0.5
FLOOR_OF_WORDS = 0.5
#: A long prompt asks with its beginning and its end.
_HEAD, _TAIL = 1500, 500
#: Hits after the best are only worth their tokens when they are nearly as good.
_NEAR_BEST = 0.72


def for_prompt(
    reading: Reading, prompt: str, *, project: str | None, seen: Set[str], budget_tokens: int, session: str = "", briefed: float = 0.0
) -> Rendered:
    """The memories that a prompt should be accompanied by, as text; empty when nothing is relevant enough.

    Args:
        seen: ids that this session was shown before.
        budget_tokens: most tokens of the whole text.
        session: the asker's; what it stored itself since `briefed` (seconds since 1970) is in its context.
    """
    asked = asking(prompt)
    if not asked:
        return render.Rendered()
    where = Filter(reach=reading.reach(project), archive=False)
    query = Query(asked, where=where, limit=MOST_ITEMS + min(len(seen), 50), floor=min(FLOOR, FLOOR_OF_WORDS), here=Scope.of(project))
    hits = [
        hit
        for hit in reading.recall(query).hits
        if hit.memory.id not in seen and _is_relevant(hit) and not _is_own(hit.memory, session, briefed)
    ]
    if not hits:
        return render.Rendered()
    best = hits[0].score
    kept = [hit for hit in hits if hit.score >= _NEAR_BEST * best][:MOST_ITEMS]
    return render.render(kept, now=reading.now(), budget_tokens=budget_tokens, purpose="prompt")


def _is_relevant(hit: Hit) -> bool:
    """Whether a hit is relevant enough to be put before somebody who did not ask."""
    confidence: float = hit.why["confidence"]
    return confidence >= (FLOOR if "semantic" in hit.why else FLOOR_OF_WORDS)


def _is_own(memory: Memory, session: str, briefed: float) -> bool:
    return bool(session) and memory.session == session and memory.created_at.timestamp() >= briefed


def asking(prompt: str) -> str:
    """The part of a prompt that asks: without what we injected, the middle of a long one left out."""
    plain = render.strip_injected(prompt).strip()
    if len(plain) > _HEAD + _TAIL:
        return f"{plain[:_HEAD]} {plain[-_TAIL:]}"
    return plain


def for_start(
    briefing: Briefing, *, project: str | None, budget_tokens: int, seen: Set[str] = frozenset(), since: float | None = None
) -> Rendered:
    """The brief of a project as text; empty when nothing is known.

    Args:
        seen: ids that this session was shown before.
        since: seconds since 1970; only what was stored later.
    """
    after = None if since is None else datetime.fromtimestamp(since, UTC)
    brief: Brief = briefing.context(project, budget_tokens=budget_tokens, since=after)
    hits = [Hit(memory, 1.0) for memory in brief.memories if memory.id not in seen]
    if not hits:
        return render.Rendered()
    return render.render(hits, now=briefing.now(), budget_tokens=budget_tokens, purpose="brief")
