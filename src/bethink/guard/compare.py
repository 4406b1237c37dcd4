"""Two statements side by side: the same, one correcting the other, or neither. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher

from bethink.guard import lexicon as lex
from bethink.guard import names
from bethink.guard.reading import Clause, Token
from bethink.guard.values import Finding, before, fills_otherwise, functional, keys_of, kinds_of, said

#: Content words of a clause beyond which it is only compared as a whole.
MAX_ALIGNED = 80


_Rule = Callable[[Clause, Clause, float | None], Finding | None]
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
    # Who names what is replaced means nothing else.
    rules = (
        (_replaces,)
        if new.former and not _raised(new, old)
        else (_replaces, _retires, _contradicts, fills_otherwise, _reworded, _settled_anew, _nearly_restates)
    )
    for rule in rules:
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
    enough = sum((mine & theirs).values()) >= 2 or (mine & theirs and len(set(new.keys) & set(old.keys)) >= 3)
    if enough and all(key in lex.WEAK for key in (*added, *lost)):
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
        one, other = keys_of(new, "subject"), keys_of(old, "subject")
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


def _raised(new: Clause, old: Clause) -> bool:
    """Whether a number of the same thing was changed: what it was before may have been known otherwise."""
    numbers = any(token.kind == "number" for token in new.tokens) and all(any(char.isdigit() for char in key) for key in new.former)
    return numbers and len(keys_of(new, "subject") & set(old.keys)) >= 2


def _replaces(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """The new statement names what it takes the place of: "not X", "instead of X", "from X to Y"."""
    if not new.former or old.negative or not new.former <= set(old.keys):
        return None
    gone = [token for token in old.tokens if token.key in new.former]
    context_new = {token.key for token in new.tokens} - lex.LIGHT
    context_old = {token.key for token in old.tokens} - lex.LIGHT - new.former
    if context_new and context_new <= context_old and not old.copular:
        return None
    if _of_different_things(new, old, ignore=new.former | keys_of(new, "object", "place")):
        return None
    shared = context_new & context_old
    stated = old.verb in lex.COPULA and not any(token.kind in ("number", "code") for token in old.tokens if token.part == "object")
    doer = all(token.part == "subject" for token in gone)
    held = doer and (old.verb in lex.SOLE or (old.copular and old.verb == "use") or (len(shared) >= 2 and new.verb == old.verb))
    valued = {token.key for token in gone if token.part in ("object", "place", "verb")} == new.former
    asserted = valued or stated or held or new.verb == "name"
    if not asserted or (old.verb in lex.HAVING and not shared):
        return None
    if shared or len(context_old) <= 4 or new.verb == "name":
        return Finding("changed", 0.95, f"It replaces {said(gone)}.")
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
            return Finding("changed", 0.88, f"It says that {said(covered)} is over.")
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
        return Finding("changed", 0.9, f"It says that {said(covered)} no longer holds.")
    subject = [token for token in old.tokens if token.part == "subject" and token.key not in lex.LIGHT]
    if new.retired and new.verb and new.verb == old.verb and subject and all(token.key in topic for token in subject):
        return Finding("changed", 0.88, f"It says that {said(covered)} no longer holds.")
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
    apart = [t for t in (*new.tokens, *old.tokens) if t not in (one, other) and t.key not in shared and t.key not in lex.VAGUE]
    if any(t.part == "subject" and t.key not in lex.LIGHT for t in apart):
        return None
    if {new.verb, old.verb} & lex.OPEN or ({new.verb, old.verb} & lex.ANYWHERE - {"use"} and not new.changed):
        return None
    if len(rest_new) > len(shared) + (1 if new.changed else 0) or len(rest_old) > len(shared) + (1 if new.changed else 0):
        return None
    if cosine is None and len(shared) < 2 and not new.changed:
        return None
    return Finding("changed", 0.9 if new.changed else 0.8, f"It says {said([one])} where {said([other])} was known.")


def _settled_anew(new: Clause, old: Clause, cosine: float | None) -> Finding | None:
    """ "The design tool is Sketch", and then "Design switched to Figma": what there is one of is said to have become another."""
    if not new.changed or new.negative or old.negative or old.event or not old.copular or old.verb not in lex.COPULA or not functional(old):
        return None
    topic = keys_of(old, "subject") - lex.LIGHT - lex.VAGUE - lex.GENERIC
    mine = [
        t for t in new.tokens if t.key not in old.keys and t.part not in ("reason", "lead", "verb") and t.key not in lex.LIGHT | lex.WEAK
    ]
    theirs = [t for t in old.tokens if t.part == "object"]
    if not topic or not topic <= set(new.keys) or not 0 < len(mine) <= 2 or not 0 < len(theirs) <= 2:
        return None
    if any(t.part == "subject" or t.key in lex.DISTINGUISHING for t in mine) or any(t.key in new.keys for t in theirs):
        return None
    if any(t.kind == "number" for t in mine) != any(t.kind == "number" for t in theirs):
        return None
    return Finding("changed", 0.85, f"It says {said(mine)} where {said(theirs)} was known.")


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
        or (one.kind != "number" and kinds_of([one]) & kinds_of([other]))
    ]
    return found[0] if len(found) == 1 else None


def _same_head(new: Clause, one: Token, old: Clause, other: Token) -> bool:
    """Whether two numbers stand beside the same word, or count the same."""
    near_new, near_old = _near(new, one), _near(old, other)
    if before(new, one) in names.NUMBERED or before(old, other) in names.NUMBERED:
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
    one, other = keys_of(new, "circumstance") - set(old.keys), keys_of(old, "circumstance") - set(new.keys)
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
        return Finding("changed", 0.85, f"It says {said(mine)} where {said(theirs)} was known.")
    return OTHER
