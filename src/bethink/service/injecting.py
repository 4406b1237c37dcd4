"""What is put before a model unasked: little, relevant, whole, never twice. On the hook path: no NumPy here."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bethink import rank, render, text
from bethink.model import Filter, Hit, Memory, Query, Scope
from bethink.service.reading import Reading

if TYPE_CHECKING:
    from bethink.render import Rendered
    from bethink.service.context import Brief, Briefing

#: Most items that one prompt is given; more raises the success of poisoned memories, not the use.
MOST_ITEMS = 5
#: Least confidence (`rank.order`) of a hit that is found by meaning, and of one that is found by words alone; see bench/injection.py.
FLOOR = rank.INJECT_FLOOR
FLOOR_OF_WORDS = 0.47
#: Words with which people steer an assistant; a prompt of nothing else is about the session, not about the world.
CHATTER = frozenset(
    """
    absolutely accept agree agreed alright amazing anyway approve approved awesome aye back bad better brilliant bye check clear clearer
    close confirm continue cool correct correctly detail details different do done double else enough everything exactly excellent expand
    explain fair fantastic faster fine first fix fixed forget former forward full further go going good got great ha haha hello help hey
    hi hm hmm hold hooray ignore indeed instead keep kind kinda last later latter left less lgtm list lol long longer look looking looks
    lovely make many maybe mean meant mind minute moment much nah need neither never next nice nope nothing now ok okay one ones oops option
    part pause perfect perhaps please point possible proceed quick quickly quite ready really redo repeat rest resume retry revert right
    run second see send ship short shorter show simpler simplify skip slower some something sorry sort sound sounds start still stop super
    sure thank thanks thing things think third three thx till tries try trying two undo understand understood use useful wait want well
    whatever wonderful work worked working works wow wrong yea yeah yep yes yet yup
    ja nein danke bitte weiter gut nochmal oui non merci continuez encore bien si gracias sigue vale bueno otra vez obrigado sim grazie
    """.split()
)
_LONGEST_CHATTER = 120
#: A long prompt asks with its beginning and its end.
_HEAD, _TAIL = 1500, 500
#: Hits after the best are only worth their tokens when they are nearly as good; words alone tell that less well.
_NEAR_BEST = 0.84
_NEAR_BEST_OF_WORDS = 0.72


def for_prompt(
    reading: Reading, prompt: str, *, project: str | None, seen: Set[str], budget_tokens: int, session: str = "", briefed: float = 0.0
) -> Rendered:
    """The memories that a prompt should be accompanied by, as text; empty when nothing is relevant enough.

    Args:
        seen: ids that this session was shown before.
        budget_tokens: most tokens of the whole text.
        session: the asker's; what it stored itself since `briefed` (seconds since 1970) is in its context.
    """
    hits = [
        hit
        for hit in candidates(reading, prompt, project=project, limit=MOST_ITEMS + min(len(seen), 50), floor=min(FLOOR, FLOOR_OF_WORDS))
        if hit.memory.id not in seen and _is_relevant(hit) and not _is_own(hit.memory, session, briefed)
    ]
    if not hits:
        return render.Rendered()
    least = hits[0].score * (_NEAR_BEST if _by_meaning(hits[0]) else _NEAR_BEST_OF_WORDS)
    kept = [hit for hit in hits if hit.score >= least][:MOST_ITEMS]
    return render.render(kept, now=reading.now(), budget_tokens=budget_tokens, purpose="prompt", reader=reading.access.principal)


def candidates(reading: Reading, prompt: str, *, project: str | None, limit: int = 10, floor: float = 0.0) -> Sequence[Hit]:
    """What a prompt finds where it is asked, relevant enough or not."""
    asked = asking(prompt)
    if not asked or is_chatter(asked):
        return ()
    where = Filter(reach=reading.reach(project), archive=False)
    return reading.recall(Query(asked, where=where, limit=limit, floor=floor, here=Scope.of(project))).hits


def is_chatter(prompt: str) -> bool:
    """Whether a prompt asks nothing of its own, such as "great, go on" or "option 2": any memory would do for it, and so none."""
    if len(prompt) > _LONGEST_CHATTER:
        return False
    return all(word in CHATTER or word in text.STOP_WORDS or (word.isdecimal() and len(word) == 1) for word in text.informative(prompt))


def _is_relevant(hit: Hit) -> bool:
    """Whether a hit is relevant enough to be put before somebody who did not ask."""
    confidence: float = hit.why["confidence"]
    return confidence >= (FLOOR if _by_meaning(hit) else FLOOR_OF_WORDS)


def _by_meaning(hit: Hit) -> bool:
    return "semantic" in hit.why


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
    return render.render(hits, now=briefing.now(), budget_tokens=budget_tokens, purpose="brief", reader=briefing.access.principal)
