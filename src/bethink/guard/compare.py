"""Two statements side by side: the same, one correcting the other, or neither. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from bethink.guard import lexicon as lex
from bethink.guard import names
from bethink.guard.reading import Clause, Token

Kind = Literal["same", "changed", "other"]
#: Content words of a clause beyond which it is only compared as a whole.
MAX_ALIGNED = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """How a new statement stands to an old one, and how sure that is, 0..1."""

    kind: Kind
    strength: float = 0.0
    reason: str = ""


OTHER = Finding("other")


def compare(new: Clause, old: Clause, cosine: float | None) -> Finding:
    """What the new statement does to the old one; `cosine` is that of the whole texts, None without a model."""
    if not new.tokens or not old.tokens:
        return OTHER
    same = _restates(new, old)
    if same is not None:
        return same
    if new.tentative or old.tentative or new.also:
        return OTHER
    if len(new.tokens) > MAX_ALIGNED or len(old.tokens) > MAX_ALIGNED:
        return _long(new, old)
    for rule in (_replaces, _retires, _contradicts, _fills_otherwise, _reworded, _nearly_restates):
        found = rule(new, old, cosine)
        if found is not None:
            return found
    return OTHER


def _content(clause: Clause) -> list[str]:
    return [key for key in clause.keys if key not in lex.LIGHT]


def _restates(new: Clause, old: Clause) -> Finding | None:
    if new.keys == old.keys:
        if new.tentative != old.tentative:
            return OTHER
        return Finding("same", 1.0, "It says the same.") if new.negative == old.negative else None
    if not _comparable(new, old):
        return None
    mine, theirs = Counter(_content(new)), Counter(_content(old))
    if mine and set(mine) == set(theirs):
        return Finding("same", 0.97, "It says the same in another order.") if _order_kept(new, old) else None
    added, lost = mine - theirs, theirs - mine
    if _tells_apart(new, old, {*added, *lost}) or not _order_kept(new, old):
        return None
    if sum((mine & theirs).values()) >= 2 and all(key in lex.WEAK for key in (*added, *lost)):
        return Finding("same", 0.95, "It says the same in other words.")
    return None


def _nearly_restates(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """A word more or less, or one for another: here the model's word counts."""
    if cosine is None or not _comparable(new, old):
        return None
    mine, theirs = Counter(_content(new)), Counter(_content(old))
    added, lost = mine - theirs, theirs - mine
    shared = sum((mine & theirs).values())
    if (
        shared < 2
        or max(sum(added.values()), sum(lost.values())) > 2
        or _tells_apart(new, old, {*added, *lost})
        or not _order_kept(new, old)
    ):
        return None
    if not added or not lost:
        return Finding("same", cosine, "It says nearly the same.")
    replaced = [token for token in (*new.tokens, *old.tokens) if token.key in added or token.key in lost]
    if any(token.part in ("subject", "object", "place") for token in replaced):
        return Finding("same", cosine - 0.04, "It says nearly the same.")
    return Finding("same", cosine - 0.02, "It says nearly the same.")


def _comparable(new: Clause, old: Clause) -> bool:
    return (new.negative, new.tentative, new.event) == (old.negative, old.tentative, old.event) and new.former == old.former


def _tells_apart(new: Clause, old: Clause, changed: set[str]) -> bool:
    """Whether any of the words that only one statement has could be what it is about."""
    if any(
        token.value or token.part == "lead" or token.key in lex.DISTINGUISHING or token.key in lex.TELLING_KEYS
        for token in (*new.tokens, *old.tokens)
        if token.key in changed
    ):
        return True
    return any(frozenset((one, other)) in lex.OPPOSITES for one in changed for other in changed)


def _order_kept(new: Clause, old: Clause) -> bool:
    """Whether what is named comes in one order in both, or there is too little of it to tell things apart."""
    if new.verb == old.verb and new.verb not in lex.LIGHT and new.copular == old.copular:
        one, other = _keys(new, "subject"), _keys(old, "subject")
        if one and other and not one & other:
            return False
    mine = [token.key for token in new.tokens if token.value]
    theirs = [token.key for token in old.tokens if token.value]
    if len(mine) < 2 and len(theirs) < 2:
        return True
    plain = all(clause.verb in lex.LIGHT or clause.verb in lex.COPULA for clause in (new, old))
    if plain and sorted(mine) == sorted(theirs) and len(mine) <= 3 and sum(token.kind == "number" for token in new.tokens) < 2:
        return True
    both = set(mine) & set(theirs)
    if [key for key in mine if key in both] != [key for key in theirs if key in both]:
        return False
    shared = set(new.keys) & set(old.keys)
    kept = [[key for key in clause.keys if key in shared] for clause in (new, old)]
    return len(both) < 2 or SequenceMatcher(None, kept[0], kept[1], autojunk=False).ratio() >= 0.6


def _replaces(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The new statement names what it takes the place of: "not X", "instead of X", "from X to Y"."""
    if not new.former or old.negative or not new.former <= set(old.keys):
        return None
    gone = [token for token in old.tokens if token.key in new.former]
    context_new = {token.key for token in new.tokens} - lex.LIGHT
    context_old = {token.key for token in old.tokens} - lex.LIGHT - new.former
    if context_new and context_new <= context_old and not old.copular:
        return None
    if _of_different_things(new, old, ignore=new.former | _keys(new, "object", "place")):
        return None
    shared = context_new & context_old
    asserted = any(token.part in ("object", "place", "verb") for token in gone) or old.copular or new.verb == "name"
    if shared or (asserted and len(context_old) <= 4) or new.verb == "name":
        return Finding("changed", 0.95, f"It replaces {_said(gone)}.")
    return None


def _retires(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The new statement says that the old one is over, or was never so."""
    if new.negative == old.negative or not new.negative:
        return None
    topic = {token.key for token in new.tokens if token.part not in ("reason", "lead")} - lex.LIGHT
    have = set(old.keys)
    if not topic or not topic <= have:
        return None
    rest = [token for token in old.tokens if token.key not in topic and token.key not in lex.LIGHT]
    if old.event and not new.ended:
        return None
    covered = [token for token in old.tokens if token.key in topic]
    if new.ended or not new.verb or new.copular:
        subject = [token for token in old.tokens if token.part == "subject" and token.key not in lex.LIGHT]
        if new.ended and subject and all(token.key in topic for token in subject):
            return Finding("changed", 0.88, f"It says that {_said(covered)} is over.")
        loose = ("circumstance", "verb", "subject") if new.retired and not new.verb else ("circumstance", "verb")
        if not new.ended and [token for token in rest if token.part not in loose]:
            return None
    if any(token.part in ("object", "place", "verb") or (token.value and token.part != "subject") for token in covered) or (
        old.copular and covered
    ):
        if not new.retired and any(token.value and token.part in ("subject", "lead") for token in rest):
            return None
        if new.retired and not _asserts_use(old, topic):
            return None
        return Finding("changed", 0.9, f"It says that {_said(covered)} no longer holds.")
    subject = [token for token in old.tokens if token.part == "subject" and token.key not in lex.LIGHT]
    if new.retired and new.verb and new.verb == old.verb and subject and all(token.key in topic for token in subject):
        return Finding("changed", 0.88, f"It says that {_said(covered)} no longer holds.")
    return None


def _asserts_use(old: Clause, topic: set[str]) -> bool:
    """Whether the old statement says that its topic is in use, not something else about it."""
    if old.copular and all(token.part == "subject" for token in old.tokens if token.key in topic):
        return not any(token.kind in ("number", "code") for token in old.tokens if token.part in ("object", "place"))
    return True


def _contradicts(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The same statement with the other sign."""
    if new.negative == old.negative:
        return None
    mine, theirs = set(_content(new)), set(_content(old))
    if not mine:
        mine, theirs = set(new.keys), set(old.keys)
    added = [token for token in new.tokens if token.key in mine - theirs and token.part != "reason" and token.key not in lex.WEAK]
    lost = [token for token in old.tokens if token.key in theirs - mine and token.part != "reason" and token.key not in lex.WEAK]
    if not added and not lost and mine & theirs:
        return Finding("changed", 0.96, "It says the opposite.") if _order_kept(new, old) else None
    return None


def _fills_otherwise(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The same sentence with another value in one place."""
    if new.negative != old.negative:
        return None
    pairs: list[tuple[list[Token], list[Token]]] = []
    added: list[Token] = []
    lost: list[Token] = []
    equal = 0
    matcher = SequenceMatcher(None, new.keys, old.keys, autojunk=False)
    for op, a, b, c, d in matcher.get_opcodes():
        mine, theirs = list(new.tokens[a:b]), list(old.tokens[c:d])
        if op == "equal":
            equal += sum(1 for token in mine if token.key not in lex.LIGHT)
            continue
        if _heavy(mine) and _heavy(theirs):
            one, other = _heavy(mine), _heavy(theirs)
            common = {token.part for token in one} & {token.part for token in other}
            # What hangs on behind the value on one side is a detail, not a part of it.
            kept = [[t for t in side if t.part in common] if common else side for side in (one, other)]
            pairs.append((kept[0], kept[1]))
            added += [t for t in one if t not in kept[0]]
            lost += [t for t in other if t not in kept[1]]
            continue
        if _settled(mine) and _settled(theirs):
            pairs.append((_settled(mine), _settled(theirs)))
            continue
        added += _heavy(mine)
        lost += _heavy(theirs)
    if not pairs or (not equal and not _verbs_agree(new, old)):
        return None
    if any(token.key in lex.DISTINGUISHING or (token.value and token.part in ("subject", "lead")) for token in (*added, *lost)):
        return None
    if len([t for t in added if t.part != "reason"]) > 3 or len(lost) > max(2, len(old.tokens) // 2):
        return None
    strengths = [_value_changed(mine, theirs, new, old, cosine) for mine, theirs in pairs]
    if min(strengths) <= 0:
        return None
    numeric = all(token.kind == "number" or token.key in names.KIND_OF for pair in pairs for side in pair for token in side)
    if len(pairs) > 2 or (len(pairs) == 2 and not numeric and not new.changed):
        return None
    mine, theirs = pairs[-1]
    strength = min(strengths) - 0.03 * len([t for t in added if t.part != "reason"]) - 0.05 * len(lost) + (0.15 if new.changed else 0.0)
    return Finding("changed", min(strength, 0.97), f"It says {_said(mine)} where {_said(theirs)} was known.")


def _verbs_agree(new: Clause, old: Clause) -> bool:
    return bool(new.verb) and (new.verb == old.verb or {new.verb, old.verb} <= lex.LIGHT)


def _heavy(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if token.value or (token.key not in lex.LIGHT and token.key not in lex.WEAK)]


def _settled(tokens: Sequence[Token]) -> list[Token]:
    """Those that stand where a value does, be the words ever so light."""
    return [token for token in tokens if token.part in ("object", "place")]


def _value_changed(mine: list[Token], theirs: list[Token], new: Clause, old: Clause, cosine: float | None) -> float:
    """How sure it is that two runs of words fill one place of one statement; 0 when they are two things."""
    told = new.changed
    if (new.event or old.event) and not told:
        return 0.0
    parts = {token.part for token in (*mine, *theirs)}
    numbers_mine, numbers_theirs = [t for t in mine if t.kind == "number"], [t for t in theirs if t.kind == "number"]
    words_mine, words_theirs = [t for t in mine if t.kind != "number"], [t for t in theirs if t.kind != "number"]
    if "lead" in parts or "reason" in parts:
        return 0.0
    if "subject" in parts:
        return _subject_is_value(mine, theirs, new, old)
    if numbers_mine and numbers_theirs and not words_mine and not words_theirs:
        return _number_changed(numbers_mine, numbers_theirs, new, old, parts)
    if new.negative and not told:
        return 0.0
    if len(mine) == 1 and len(theirs) == 1 and frozenset((mine[0].key, theirs[0].key)) in lex.OPPOSITES:
        return 0.9 if parts != {"circumstance"} or mine[0].key in lex.TELLING_KEYS else 0.0
    apart = any(t.key in lex.DISTINGUISHING for t in mine) and any(t.key in lex.DISTINGUISHING for t in theirs)
    if parts == {"circumstance"} and told and len(mine) == len(theirs) == 1 and mine[0].value and theirs[0].value:
        return 0.7
    if parts & {"circumstance"}:
        return 0.8 if _kinds(mine) & _kinds(theirs) & names.TIMELY and not apart else 0.0
    if parts == {"verb"}:
        return 0.0
    if new.verb != old.verb and not ({new.verb, old.verb} <= lex.LIGHT | lex.WEAK) and not told:
        return 0.0
    if apart and not (new.copular and _functional(new)):
        return 0.0
    if bool(numbers_mine) != bool(numbers_theirs) and not (new.copular and _functional(new)):
        return 0.0
    if {"object", "place"} <= parts and not told:
        return 0.0
    alike = bool(_kinds(mine) & _kinds(theirs))
    if not alike and not told and max(len(mine), len(theirs)) > 3:
        return 0.0
    exact = all(t.kind == "code" for t in (*mine, *theirs))
    if not alike and not exact and not told and not new.copular and new.verb not in lex.PLACING and (len(mine) > 1 or len(theirs) > 1):
        return 0.0
    if new.copular and not new.event and _passive_agent(new, old, mine, theirs):
        return 0.85
    return _by_verb(new, old, parts, alike=alike, exact=exact, told=told, cosine=cosine)


def _passive_agent(new: Clause, old: Clause, mine: list[Token], theirs: list[Token]) -> bool:
    """Whether only the names behind the verb differ: "is orchestrated by Airflow"; many may use or read a thing, so not there."""
    told = new.verb == old.verb and new.verb not in lex.COPULA and new.verb not in lex.OPEN and new.verb != "use"
    return told and len(mine) == len(theirs) == 1 and mine[0].kind == theirs[0].kind == "name"


def _by_verb(new: Clause, old: Clause, parts: set[str], *, alike: bool, exact: bool, told: bool, cosine: float | None) -> float:
    verb = new.verb
    if new.copular or verb in ("is", ":", "="):
        subject = {t.key for t in new.tokens if t.part == "subject"}
        if subject & lex.PLURAL_KIN and not told:
            return 0.0
        if verb in lex.PLACING or verb in lex.EXCLUSIVE or _functional(new) or alike or exact or told:
            return 0.9
        return 0.0
    if verb in lex.OPEN:
        return 0.75 if told and alike else 0.0
    if "place" in parts:
        return 0.88 if alike or exact or told or verb in lex.PLACING else 0.0
    if verb in lex.EXCLUSIVE:
        return 0.9 if alike or exact or told or verb not in lex.PLACING or not _has(new, "place", "circumstance") else 0.82
    same_purpose = _keys(new, "circumstance") and _keys(new, "circumstance") == _keys(old, "circumstance")
    if verb in lex.BY_KIND or not verb:
        if alike or (exact and verb != "use"):
            return 0.88
        if told:
            return 0.8
        return 0.85 if same_purpose and verb == "use" else 0.0
    return 0.8 if alike or exact or told else 0.0


def _number_changed(mine: list[Token], theirs: list[Token], new: Clause, old: Clause, parts: set[str]) -> float:
    if len(mine) != len(theirs):
        return 0.0
    for one, other in zip(mine, theirs, strict=True):
        if one.measure != other.measure and {one.measure, other.measure} - {"", "version", "time", "clock"}:
            return 0.0
        before = _before(new, one)
        if before in names.NUMBERED or (before in names.NUMBERED_PLACE and (parts & {"circumstance", "place"} or not new.verb)):
            return 0.8 if new.changed else 0.0
        if one.measure == "date" and not (new.copular or new.changed or new.verb in lex.EXCLUSIVE):
            return 0.0
        if one.measure == "version" and new.verb in lex.OPEN and not new.changed:
            return 0.0
    return 0.95


def _before(clause: Clause, token: Token) -> str:
    at = clause.tokens.index(token)
    return clause.tokens[at - 1].raw if at else ""


def _subject_is_value(mine: list[Token], theirs: list[Token], new: Clause, old: Clause) -> float:
    """ "Bob is the tech lead" after "Alice is the tech lead": the place is named behind the verb."""
    if any(token.part != "subject" for token in (*mine, *theirs)):
        return 0.0
    subjects_new = [t for t in new.tokens if t.part == "subject"]
    subjects_old = [t for t in old.tokens if t.part == "subject"]
    if new.negative:
        return 0.0
    if any(t.key in lex.DISTINGUISHING for t in (*mine, *theirs)) and not _kinds(mine) & _kinds(theirs):
        return 0.0
    objects = {t.key for t in new.tokens if t.part in ("object", "place")}
    numbers = [t for t in mine if t.kind == "number"], [t for t in theirs if t.kind == "number"]
    single = len(mine) == len(theirs) == len(numbers[0]) == len(numbers[1]) == 1
    if single and mine[0].measure == theirs[0].measure and _counts(mine[0], new) and _counts(theirs[0], old):
        return 0.85
    if (
        new.copular
        and len(mine) == len(theirs) == len(numbers[0]) == len(numbers[1])
        and (objects & (lex.ROLES | lex.BOUNDS) or new.verb in lex.IN_FORCE)
    ):
        return 0.85
    if len(subjects_new) != len(mine) or len(subjects_old) != len(theirs):
        return 0.0
    if (new.copular or new.verb == "is") and (objects & lex.ROLES):
        return 0.85
    if new.changed and (new.verb in lex.SOLE or objects & lex.ROLES):
        return 0.8
    return 0.0


def _counts(number: Token, clause: Clause) -> bool:
    """Whether a number measures or counts, rather than naming which one is meant: "two reviewers", not "room 2"."""
    if clause.event or number.measure in ("date", "version"):
        return False
    return bool(number.measure) or clause.tokens[0] is number


def _reworded(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """One value of a kind differs, whatever the sentences are built like, and everything else that names something agrees."""
    if new.negative != old.negative or ((new.event or old.event) and not new.changed):
        return None
    floor = 0.5 if new.changed else 0.72
    shared = (set(new.keys) & set(old.keys)) - lex.LIGHT
    if not shared or (cosine is not None and cosine < floor):
        return None
    mine = [t for t in new.tokens if t.key not in shared and t.value and t.part not in ("lead", "reason")]
    theirs = [t for t in old.tokens if t.key not in shared and t.value and t.part not in ("lead", "reason")]
    match = _one_conflict(mine, theirs, new, old)
    if match is None:
        return None
    one, other = match
    if any(t is not one for t in mine) and any(t is not other for t in theirs):
        return None
    rest_new = {t.key for t in new.tokens if t is not one and t.key not in shared} - lex.LIGHT - lex.WEAK
    rest_old = {t.key for t in old.tokens if t is not other and t.key not in shared} - lex.LIGHT - lex.WEAK
    nouns_new = {t.key for t in new.tokens if t.key in rest_new and t.part != "verb"}
    nouns_old = {t.key for t in old.tokens if t.key in rest_old and t.part != "verb"}
    if (rest_new | rest_old) & lex.DISTINGUISHING or (nouns_new and nouns_old):
        return None
    if new.verb in lex.OPEN or old.verb in lex.OPEN:
        return None
    if len(rest_new) > len(shared) + (1 if new.changed else 0) or len(rest_old) > len(shared) + (1 if new.changed else 0):
        return None
    if cosine is None and len(shared) < 2 and not new.changed:
        return None
    return Finding("changed", 0.9 if new.changed else 0.8, f"It says {_said([one])} where {_said([other])} was known.")


def _one_conflict(mine: list[Token], theirs: list[Token], new: Clause, old: Clause) -> tuple[Token, Token] | None:
    found = [
        (one, other)
        for one in mine
        for other in theirs
        if one.part != "subject" or other.part != "subject"
        if one.kind == "number" or "circumstance" not in (one.part, other.part)
        if (
            one.kind == other.kind == "number"
            and one.measure == other.measure
            and one.measure != "date"
            and _same_head(new, one, old, other)
        )
        or (one.kind != "number" and _kinds([one]) & _kinds([other]))
    ]
    return found[0] if len(found) == 1 else None


def _same_head(new: Clause, one: Token, old: Clause, other: Token) -> bool:
    """Whether two numbers stand beside the same word, or count the same."""
    near_new, near_old = _near(new, one), _near(old, other)
    if _before(new, one) in names.NUMBERED or _before(old, other) in names.NUMBERED:
        return False
    return bool(near_new & near_old) or bool(one.measure)


def _near(clause: Clause, token: Token) -> set[str]:
    at = clause.tokens.index(token)
    return {each.key for each in clause.tokens[max(0, at - 1) : at + 2] if each is not token}


def _of_different_things(new: Clause, old: Clause, ignore: frozenset[str]) -> bool:
    """Whether both statements name something that the other one lacks."""
    mine = {t.key for t in new.tokens if t.value or t.key in lex.DISTINGUISHING} - set(old.keys) - ignore
    theirs = {t.key for t in old.tokens if t.value or t.key in lex.DISTINGUISHING} - set(new.keys) - ignore
    if mine and theirs:
        return True
    # Purposes that differ: "for unit tests" against "for browser tests".
    one, other = _keys(new, "circumstance") - set(old.keys), _keys(old, "circumstance") - set(new.keys)
    return bool(one and other)


def _long(new: Clause, old: Clause) -> Finding:
    """Very long statements: only a value in the middle of otherwise equal words is a correction."""
    start = 0
    while start < min(len(new.keys), len(old.keys)) and new.keys[start] == old.keys[start]:
        start += 1
    end = 0
    while end < min(len(new.keys), len(old.keys)) - start and new.keys[-1 - end] == old.keys[-1 - end]:
        end += 1
    mine, theirs = new.tokens[start : len(new.tokens) - end], old.tokens[start : len(old.tokens) - end]
    if new.negative != old.negative and not mine and not theirs:
        return Finding("changed", 0.9, "It says the opposite.")
    if 0 < len(mine) <= 3 and 0 < len(theirs) <= 3 and start and all(t.value for t in (*mine, *theirs)):
        return Finding("changed", 0.85, f"It says {_said(mine)} where {_said(theirs)} was known.")
    return OTHER


def _kinds(tokens: Sequence[Token]) -> frozenset[str]:
    called = [token.raw if token.raw in names.COMMON else token.key for token in tokens]
    kinds = [names.KIND_OF[name] for name in called if name in names.KIND_OF]
    return frozenset().union(*kinds) if kinds else frozenset()


def _functional(clause: Clause) -> bool:
    subject = [token.key for token in clause.tokens if token.part == "subject"]
    return bool(set(subject) & lex.FUNCTIONAL)


def _keys(clause: Clause, *parts: str) -> frozenset[str]:
    return frozenset(token.key for token in clause.tokens if token.part in parts)


def _has(clause: Clause, *parts: str) -> bool:
    return any(token.part in parts for token in clause.tokens)


def _said(tokens: Sequence[Token]) -> str:
    words = " ".join(token.raw for token in tokens)
    return f"“{words if len(words) <= 60 else words[:59] + '…'}”"
