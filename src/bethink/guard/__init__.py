"""The write guard: is a new content new, a correction of something known, or the same again? Deterministic, no model of language.

What differs decides, not how near vectors are: with MiniLM "port 5432" and "port 5433" have a cosine of .97, "likes tea" of Alice and
of Bob .67, a correction in other words .48. So both texts are read as statements (`reading`), compared word by word (`compare`), and a
difference is a correction only where it fills the same place of the same statement: a number, a path, a name of one kind, a sign.
Cosine, or without a model the share of equal words, only has a say where wording differs. The thresholds bound how sure a finding must be.

Measured in English (`bench/change_handling`); numbers, identifiers and the commonest negations also work in German, French, Spanish and
Chinese, which is tested with single sentences only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bethink.guard.compare import OTHER, compare
from bethink.guard.labels import labelled_apart
from bethink.guard.lexicon import COPULA, LIGHT
from bethink.guard.reading import Clause, read
from bethink.guard.sieve import Words, alike, overlap, related, sentences
from bethink.guard.values import Finding
from bethink.model import Memory, Verdict
from bethink.text import content_hash

__all__ = ["NOOP", "UPDATE", "Neighbour", "alike", "judge", "prepare", "sentences"]

#: From this sureness on, what only differs in wording is the same again.
NOOP = 0.92
#: From this sureness on, what differs in a value is a correction.
UPDATE = 0.75
#: Categories that tell what happened or what things are called: nothing takes their place but the same again.
_LASTING = frozenset({"summaries", "entities", "relations"})
#: Statements of one text that are compared with each of another's; the rest only when they are equal.
_COMPARED = 8
#: Of how many memories the statements are read.
_READ = 4
#: What having all the words in common counts for beside a cosine; and how much of either there must be (corrections have .36 and more).
_BY_WORDS = 0.9
_LEAST = 0.33
#: How sure a correction of one statement of many must be: among many, two that are alike by chance are found more often.
_PLAIN = 0.8


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An old memory that is near a new content."""

    memory: Memory
    #: Cosine of the embeddings; None without a model.
    similarity: float | None = None
    #: The store's keyword score, higher is nearer.
    keyword: float = 0.0


@dataclass(frozen=True, slots=True)
class _Judged:
    neighbour: Neighbour
    finding: Finding
    similarity: float
    #: The part of the old memory that is corrected is not the most of it.
    partly: bool = False


def judge(new: str, neighbours: Sequence[Neighbour], *, noop: float = NOOP, update: float = UPDATE) -> Verdict:
    """What storing `new` beside `neighbours` (same scope, nearest first) would do.

    Args:
        noop: least sureness, 0..1, to call it the same again; above 1 nothing but equal text is.
        update: least sureness, 0..1, to call it a correction; above 1 nothing is.

    Returns:
        NOOP with the memory that says it already, UPDATE with the one that it corrects, else ADD; ADD with a target means that it
        corrects a small part of that memory, which should be looked at. `similarity` is the cosine, or the share of equal words.
    """
    wanted = content_hash(new)
    for neighbour in neighbours:
        if content_hash(neighbour.memory.content) == wanted:
            return Verdict("NOOP", 1.0, neighbour.memory, "It says the same.")
    words = sentences(new)
    near = _nearest(words, neighbours)
    statements = read(new) if near else ()
    judged = [_against(new, statements, neighbour) for neighbour in near]
    same = [one for one in judged if one.finding.kind == "same" and one.finding.strength >= noop]
    changed = [one for one in judged if one.finding.kind == "changed" and one.finding.strength >= update]
    whole = [one for one in changed if not one.partly]
    best_same = max(same, key=_order, default=None)
    best_changed = max(whole, key=_order, default=None)
    if best_same and (best_changed is None or best_same.finding.strength >= best_changed.finding.strength):
        return Verdict("NOOP", best_same.similarity, best_same.neighbour.memory, best_same.finding.reason)
    if best_changed:
        return Verdict("UPDATE", best_changed.similarity, best_changed.neighbour.memory, best_changed.finding.reason)
    if changed:
        part = max(changed, key=_order)
        return Verdict("ADD", part.similarity, part.neighbour.memory, f"It corrects a part of what is known: {part.finding.reason}")
    nearest = max((*(one.similarity for one in judged), *(one.similarity or 0.0 for one in neighbours)), default=0.0)
    return Verdict("ADD", nearest, reason="Nothing known says the same or is corrected by it.")


def prepare(new: str, known: str) -> None:
    """Reads what `judge` will want to have read, while there is time: the new text, and an old one that has words in common with it."""
    words, theirs = sentences(new), sentences(known)
    read(new)
    if related(words, theirs) and _BY_WORDS * overlap(words, theirs) >= _LEAST:
        read(known)


def _nearest(words: Sequence[Words], neighbours: Sequence[Neighbour]) -> list[Neighbour]:
    """Those that may be about the same, at most `_READ`: reading one takes longer than finding it."""
    known = [(neighbour, sentences(neighbour.memory.content)) for neighbour in neighbours]
    near = [
        (max(neighbour.similarity or 0.0, _BY_WORDS * overlap(words, theirs)), neighbour)
        for neighbour, theirs in known
        if related(words, theirs)
    ]
    best = sorted(near, key=lambda pair: -pair[0])[:_READ]
    return [neighbour for nearness, neighbour in best if neighbour.similarity is None or nearness >= _LEAST]


def _order(one: _Judged) -> tuple[float, float, float]:
    return one.finding.strength, one.similarity, one.neighbour.keyword


def _against(text: str, new: tuple[Clause, ...], neighbour: Neighbour) -> _Judged:
    old = read(neighbour.memory.content)
    similarity = neighbour.similarity if neighbour.similarity is not None else _shared(new, old)
    finding, partly = _weighed(new, old, neighbour.similarity)
    if finding.kind == "changed" and (neighbour.memory.category in _LASTING or labelled_apart(text, neighbour.memory.content)):
        finding = OTHER
    return _Judged(neighbour, finding, similarity, partly)


def _weighed(new: tuple[Clause, ...], old: tuple[Clause, ...], cosine: float | None) -> tuple[Finding, bool]:
    """The finding on a whole text, and whether it touches less than half of the old one."""
    if len(new) == 1 and len(old) == 1:
        return compare(new[0], old[0], cosine), False
    equal_new, equal_old = _equal_statements(new, old)
    left_new = [clause for at, clause in enumerate(new) if at not in equal_new]
    left_old = [clause for at, clause in enumerate(old) if at not in equal_old]
    if not left_new:
        return (Finding("same", 1.0, "It says the same.") if new else OTHER), False
    corrected: list[tuple[Clause, Finding]] = []
    again: list[Finding] = []
    # The cosine of whole texts says little of one statement of many.
    trusted = cosine if len(new) == len(old) == 1 else None
    for clause in left_new[:_COMPARED]:
        findings = [(one, compare(clause, one, trusted)) for one in left_old[:_COMPARED]]
        best = max(findings, key=lambda each: each[1].strength, default=None)
        if best and best[1].kind == "changed" and not (_stands_alone(clause) and _stands_alone(best[0]) and best[1].strength >= _PLAIN):
            continue
        if best and best[1].kind == "changed":
            corrected.append((best[0], best[1]))
        elif best and best[1].kind == "same":
            again.append(best[1])
    if corrected:
        touched = sum(len(clause.tokens) for clause, _ in corrected)
        kept = sum(len(clause.tokens) for at, clause in enumerate(old) if at in equal_old)
        total = sum(len(clause.tokens) for clause in old)
        return max((finding for _, finding in corrected), key=lambda each: each.strength), 2 * (touched + kept) < total
    if len(again) == len(left_new):
        return min(again, key=lambda each: each.strength), False
    if not left_old and len(old) >= 3:
        return Finding("changed", 0.9, "It says all of it and more."), False
    return OTHER, False


def _stands_alone(clause: Clause) -> bool:
    """Whether one statement of many says on its own what it is about: "it was great" and "thanks, Ben" do not."""
    if clause.ended or clause.former:
        return True
    telling = [token for token in clause.tokens if token.key not in LIGHT and token.part not in ("lead", "reason")]
    named = any(token.part == "subject" for token in telling) or (clause.who and clause.verb not in COPULA)
    return bool(clause.verb) and len(telling) >= (2 if named else 3)


def _equal_statements(new: tuple[Clause, ...], old: tuple[Clause, ...]) -> tuple[set[int], set[int]]:
    where: dict[object, int] = {(clause.keys, clause.negative, clause.tentative): at for at, clause in enumerate(old)}
    pairs = [(at, where[key]) for at, clause in enumerate(new) if (key := (clause.keys, clause.negative, clause.tentative)) in where]
    return {one for one, _ in pairs}, {other for _, other in pairs}


def _shared(new: tuple[Clause, ...], old: tuple[Clause, ...]) -> float:
    """Twice the equal words over all words (Dice 1945)."""
    mine = {key for clause in new for key in clause.keys}
    theirs = {key for clause in old for key in clause.keys}
    return 2 * len(mine & theirs) / (len(mine) + len(theirs)) if mine or theirs else 0.0
