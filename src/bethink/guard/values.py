"""The same sentence with another value in one place: where a difference is a correction and where it is another subject. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

from bethink.guard import lexicon as lex
from bethink.guard import names
from bethink.guard.reading import Clause, Token

Kind = Literal["same", "changed", "other"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How a new statement stands to an old one, and how sure that is, 0..1."""

    kind: Kind
    strength: float = 0.0
    reason: str = ""


def fills_otherwise(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The same sentence with another value in one place."""
    if new.negative != old.negative:
        return None
    difference = _difference(new, old)
    pairs, added, lost = difference.pairs, difference.added, difference.lost
    if not pairs or len(pairs) > 2 or (not difference.shared and new.verb != old.verb):
        return None
    if any(token.part in ("subject", "lead") or token.key in lex.DISTINGUISHING for token in (*added, *lost)):
        return None
    if any(
        not _says_when(token) and not (new.changed and difference.shared)
        for token in (*added, *lost)
        if token.part in ("circumstance", "place")
    ):
        return None
    if len(added) > 3 or len(lost) > max(2, len(old.tokens) // 2):
        return None
    strength = min(_value_changed(mine, theirs, new, old, difference.shared) for mine, theirs in pairs)
    timed = all(token.kind == "number" or token.key in names.KIND_OF for pair in pairs for side in pair for token in side)
    if strength <= 0 or (len(pairs) == 2 and not timed and not new.changed):
        return None
    mine, theirs = pairs[-1]
    strength += (0.15 if new.changed else 0.0) - 0.03 * len(added) - 0.05 * len(lost)
    return Finding("changed", min(strength, 0.97), f"It says {said(mine)} where {said(theirs)} was known.")


@dataclass(slots=True)
class _Difference:
    """Runs of words that stand for one another, what only one side has, and how many telling words both share beside the verb."""

    pairs: list[tuple[list[Token], list[Token]]] = field(default_factory=list)
    added: list[Token] = field(default_factory=list)
    lost: list[Token] = field(default_factory=list)
    shared: int = 0


def _difference(new: Clause, old: Clause) -> _Difference:
    found = _Difference()
    matcher = SequenceMatcher(None, new.keys, old.keys, autojunk=False)
    for op, a, b, c, d in matcher.get_opcodes():
        mine, theirs = list(new.tokens[a:b]), list(old.tokens[c:d])
        if op == "equal":
            found.shared += sum(1 for token in mine if token.part != "verb" and token.key not in lex.LIGHT and token.kind != "number")
            continue
        if not (_heavy(mine) and _heavy(theirs)) and _settled(mine) and _settled(theirs):
            found.pairs.append((_settled(mine), _settled(theirs)))
            continue
        mine, theirs = _heavy(mine), _heavy(theirs)
        common = {token.part for token in mine} & {token.part for token in theirs}
        # What hangs on behind the value on one side is a detail, not a part of it.
        kept = [[token for token in side if not common or token.part in common] for side in (mine, theirs)]
        if mine and theirs:
            found.pairs.append((kept[0], kept[1]))
            mine = [token for token in mine if token not in kept[0]]
            theirs = [token for token in theirs if token not in kept[1]]
        found.added += [token for token in mine if token.part != "reason"]
        found.lost += [token for token in theirs if token.part != "reason"]
    return found


def _heavy(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if token.value or not _light(token)]


def _light(token: Token) -> bool:
    if token.part in ("subject", "lead"):
        return token.key in lex.VAGUE
    if token.part == "verb":
        return token.key in lex.LIGHT or token.key in lex.WEAK
    return token.key not in lex.DISTINGUISHING and (token.key in lex.LIGHT or token.key in lex.WEAK)


def _settled(tokens: Sequence[Token]) -> list[Token]:
    """Those that stand where a value does, be the words ever so light."""
    return [token for token in tokens if token.part in ("object", "place")]


def _says_when(token: Token) -> bool:
    return token.kind == "number" or bool(kinds_of([token]) & names.TIMELY)


def _value_changed(mine: list[Token], theirs: list[Token], new: Clause, old: Clause, shared: int) -> float:
    """How sure it is that two runs of words fill one place of one statement; 0 when they are two things."""
    parts = {token.part for token in (*mine, *theirs)}
    if old.event or (new.event and not new.changed) or parts & {"lead", "reason"}:
        return 0.0
    if "subject" in parts:
        return _subject_is_value(mine, theirs, new, old)
    numbers = [[token for token in side if token.kind == "number"] for side in (mine, theirs)]
    if len(numbers[0]) == len(mine) and len(numbers[1]) == len(theirs):
        return _number_changed(mine, theirs, new, parts) if shared or new.verb == old.verb else 0.0
    # To rule one thing out is not to let another one in.
    if new.negative or parts == {"verb"} or ({"object", "place"} <= parts and not new.changed):
        return 0.0
    return _words_changed(mine, theirs, new, old, shared, parts)


def _words_changed(mine: list[Token], theirs: list[Token], new: Clause, old: Clause, shared: int, parts: set[str]) -> float:
    single = len(mine) == len(theirs) == 1
    if single and frozenset((mine[0].key, theirs[0].key)) in lex.OPPOSITES:
        return 0.9 if parts != {"circumstance"} or mine[0].key in lex.TELLING_KEYS else 0.0
    kinds = kinds_of(mine), kinds_of(theirs)
    alike = bool(kinds[0] & kinds[1]) and (bool(shared) or single)
    if alike and kinds[0] & kinds[1] & names.TIMELY and not all(_says_when(token) for token in (*mine, *theirs)):
        return 0.0
    apart = all(any(token.key in lex.DISTINGUISHING for token in side) for side in (mine, theirs))
    if "circumstance" in parts:
        told = new.changed and single and mine[0].value and theirs[0].value and shared
        settled = alike and kinds[0] & kinds[1] & (names.TIMELY | {"human language"}) and new.verb not in lex.OPEN and not apart
        return 0.7 if told else 0.8 if settled else 0.0
    slot = new.copular and old.copular and functional(new) and functional(old)
    if apart and not slot:
        return 0.0
    if not alike and not slot and not _compatible(mine, theirs, new):
        return 0.0
    if new.verb != old.verb and (not shared or not {new.verb, old.verb} <= lex.LIGHT | lex.COPULA):
        return 0.0
    if not shared and new.who and old.who and new.who != old.who:
        return 0.0
    if not shared and not alike and not _bare(mine, theirs, new):
        return 0.0
    exact = all(token.kind == "code" for token in (*mine, *theirs))
    # One tool at a time for one job.
    named = single or (len(mine) <= 2 >= len(theirs) and all(token.kind != "word" for token in (*mine, *theirs)))
    how = named and bool(shared) and mine[0].link == theirs[0].link == "how" and new.verb not in lex.COMPANY
    if new.copular and _passive_agent(new, old, mine, theirs):
        return 0.85
    tied = any(token.link for token in mine)
    if tied and not new.changed and new.verb not in lex.COPULA and _which_one(mine, new) and _which_one(theirs, old):
        return 0.0
    if not new.changed and new.verb in lex.COMPANY and mine[0].link == theirs[0].link == "how":
        return 0.0
    return _by_verb(new, old, parts, alike=alike, exact=exact, told=new.changed, tied=tied, how=how)


def _compatible(mine: list[Token], theirs: list[Token], new: Clause) -> bool:
    """Whether two runs of words can be values of one place: both numbers or neither, not of kinds that exclude each other, tied alike."""
    if any(token.kind == "number" for token in mine) != any(token.kind == "number" for token in theirs):
        return False
    if kinds_of(mine) and kinds_of(theirs) and not (new.verb in lex.PLACING and new.verb not in lex.BY_KIND):
        return False
    if any(_says_when(token) for token in mine) != any(_says_when(token) for token in theirs):
        return False
    if {token.link for token in mine} != {token.link for token in theirs} and not new.changed:
        return False
    exact = all(token.kind == "code" for token in (*mine, *theirs))
    return exact or new.copular or new.changed or new.verb in lex.PLACING or len(mine) == len(theirs) == 1


def _bare(mine: list[Token], theirs: list[Token], new: Clause) -> bool:
    """Whether two values of a verb without anything else said still exclude each other: "lives in Teltow", "works at Initech"."""
    both = len(mine) == len(theirs) == 1 and mine[0].kind == theirs[0].kind
    return both and (new.changed or mine[0].value) and new.verb in lex.EXCLUSIVE and all(token.link for token in (*mine, *theirs))


def _which_one(tokens: list[Token], clause: Clause) -> bool:
    """Whether plain words tell which of several is meant: "to the orders topic", "in the billing service"."""
    after = clause.tokens.index(tokens[-1]) + 1
    if after >= len(clause.tokens) or any(token.kind != "word" for token in tokens):
        return False
    head = clause.tokens[after]
    return head.kind == "word" and head.part == tokens[-1].part and head.link == tokens[-1].link


def _passive_agent(new: Clause, old: Clause, mine: list[Token], theirs: list[Token]) -> bool:
    """Whether only the names behind the verb differ: "is orchestrated by Airflow"; many may use or read a thing, so not there."""
    told = new.verb == old.verb and new.verb not in lex.COPULA and new.verb not in lex.OPEN | lex.ANYWHERE
    return told and len(mine) == len(theirs) == 1 and mine[0].kind == theirs[0].kind == "name"


def _by_verb(new: Clause, old: Clause, parts: set[str], *, alike: bool, exact: bool, told: bool, tied: bool, how: bool) -> float:
    verb = new.verb
    if new.copular or verb in lex.COPULA or verb == "=":
        if keys_of(new, "subject") & lex.PLURAL_KIN and not told:
            return 0.0
        if verb in lex.ANYWHERE and tied and not told and not exact:
            return 0.0
        if verb in lex.PLACING or verb in lex.EXCLUSIVE or functional(new) or alike or exact or told:
            return 0.9
        # "is done in Bugsnag": what is done somewhere is done there.
        return 0.8 if tied and verb not in lex.OPEN | lex.COPULA | lex.ANYWHERE else 0.0
    if how and alike:
        return 0.85
    if verb in lex.OPEN:
        return 0.75 if told and alike else 0.0
    if how and ("place" in parts or verb == "go"):
        return 0.85
    if "place" in parts:
        return 0.88 if alike or exact or told or verb in lex.PLACING else 0.0
    where = {t.key for t in new.tokens if t.link == "where"} & {t.key for t in old.tokens if t.link == "where"}
    # Another thing in the same place is another thing.
    if verb in lex.PLACING and not tied and where and not alike and not told:
        return 0.0
    if verb in lex.EXCLUSIVE:
        return 0.9
    purpose = keys_of(new, "circumstance")
    if verb in lex.BY_KIND or not verb:
        if alike or (exact and verb != "use"):
            return 0.88
        return 0.8 if told else 0.85 if purpose and purpose == keys_of(old, "circumstance") and verb == "use" else 0.0
    return 0.8 if alike or exact or told else 0.0


def _number_changed(mine: list[Token], theirs: list[Token], new: Clause, parts: set[str]) -> float:
    if len(mine) != len(theirs):
        return 0.0
    for one, other in zip(mine, theirs, strict=True):
        if one.measure != other.measure and {one.measure, other.measure} - {"", "version", "time", "clock"}:
            return 0.0
        noun = before(new, one)
        if noun in names.NUMBERED or (noun in names.NUMBERED_PLACE and (parts & {"circumstance", "place"} or not new.verb)):
            return 0.8 if new.changed else 0.0
        if one.measure == "date" and not (new.copular or new.changed or new.verb in lex.EXCLUSIVE):
            return 0.0
        if one.measure == "version" and new.verb in lex.OPEN and not new.changed:
            return 0.0
    return 0.95


def before(clause: Clause, token: Token) -> str:
    """The word before a token, "" at the beginning."""
    at = clause.tokens.index(token)
    return clause.tokens[at - 1].raw if at and clause.tokens[at - 1].part != "verb" else ""


def _subject_is_value(mine: list[Token], theirs: list[Token], new: Clause, old: Clause) -> float:
    """ "Bob is the tech lead" after "Alice is the tech lead": the place is named behind the verb."""
    if any(token.part != "subject" for token in (*mine, *theirs)) or new.verb != old.verb:
        return 0.0
    if any(token.key in lex.DISTINGUISHING for token in (*mine, *theirs)) and not kinds_of(mine) & kinds_of(theirs):
        return 0.0
    objects = keys_of(new, "object", "place")
    numbers = all(token.kind == "number" for token in (*mine, *theirs)) and len(mine) == len(theirs)
    if numbers and len(mine) == 1 and mine[0].measure == theirs[0].measure and _counts(mine[0], new) and _counts(theirs[0], old):
        return 0.85
    if numbers and new.copular and (objects & (lex.ROLES | lex.BOUNDS) or new.verb in lex.IN_FORCE):
        return 0.85
    if new.negative:
        return 0.0
    whole = [[token for token in clause.tokens if token.part == "subject"] for clause in (new, old)]
    if len(whole[0]) != len(mine) or len(whole[1]) != len(theirs) or objects - keys_of(old, "object", "place"):
        return 0.0
    if new.copular and objects & lex.ROLES:
        return 0.85
    return 0.8 if new.changed and (new.verb in lex.SOLE or objects & lex.ROLES) else 0.0


def _counts(number: Token, clause: Clause) -> bool:
    """Whether a number measures or counts, rather than naming which one is meant: "two reviewers", not "room 2"."""
    if clause.event or number.measure in ("date", "version"):
        return False
    return bool(number.measure) or clause.tokens[0] is number


def kinds_of(tokens: Sequence[Token]) -> frozenset[str]:
    """Which kinds of thing the names among the tokens are."""
    called = [token.raw if token.raw in names.COMMON else token.key for token in tokens]
    kinds = [names.KIND_OF[name] for name in called if name in names.KIND_OF]
    return frozenset().union(*kinds) if kinds else frozenset()


def functional(clause: Clause) -> bool:
    """Whether a clause is about something of which there is one: by its head, or "the engineer on duty is Priya"."""
    if keys_of(clause, "subject") & (lex.FUNCTIONAL | lex.ROLES):
        return True
    said_to_be = [token for token in clause.tokens if token.part == "object"]
    return clause.definite and clause.verb in lex.COPULA and bool(said_to_be) and all(token.kind == "name" for token in said_to_be)


def keys_of(clause: Clause, *parts: str) -> frozenset[str]:
    """The keys of the tokens in some parts of a clause."""
    return frozenset(token.key for token in clause.tokens if token.part in parts)


def _has(clause: Clause, *parts: str) -> bool:
    return any(token.part in parts for token in clause.tokens)


def said(tokens: Sequence[Token]) -> str:
    """Tokens as they were written, in quotation marks."""
    words = " ".join(token.raw for token in tokens)
    return f"“{words if len(words) <= 60 else words[:59] + '…'}”"
