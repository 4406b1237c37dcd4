"""Text as clauses whose words have parts: subject, verb, value, circumstance; and what the wording says of change. Pure.

A shallow reading, not a parse: good enough to tell "the *staging* port is 5432" from "the staging port is *5432*".
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bethink.guard import lexicon as lex
from bethink.guard.phrases import ALSO, CHANGED, CONTRAST, ENDED, FROM, NOT, RETIRED, TENTATIVE, TO, marked, unmarked
from bethink.guard.tokens import Raw, tokens

#: More of a text is not read clause by clause.
MAX_CLAUSES = 200
#: More words of a clause are not given parts.
MAX_WORDS = 80
#: A longer statement, in characters, is taken as bare words.
MAX_STATEMENT = 1000


@dataclass(frozen=True, slots=True)
class Token:
    """A word as it is compared (`key`), what it is (word, name, number, code), and its part in the clause."""

    key: str
    kind: str
    raw: str
    #: lead, subject, verb, object, place, circumstance or reason
    part: str = ""
    #: What a number measures, "" when it only counts.
    measure: str = ""
    #: How a preposition ties it to the verb: "where", "how", the preposition itself, or "" without one.
    link: str = ""

    @property
    def value(self) -> bool:
        """Whether it names or measures something."""
        return self.kind != "word"


@dataclass(frozen=True, slots=True)
class Clause:
    """One statement."""

    tokens: tuple[Token, ...]
    verb: str = ""
    negative: bool = False
    #: "is", or a passive: what follows is the value.
    copular: bool = False
    #: Something is said to be over.
    retired: bool = False
    #: … because the thing itself is gone.
    ended: bool = False
    changed: bool = False
    also: bool = False
    tentative: bool = False
    event: bool = False
    #: Keys of what is said to hold no longer ("not X", "instead of X", "from X").
    former: frozenset[str] = frozenset()
    #: Its subject is "the", "our" … one of its kind.
    definite: bool = False
    #: Who is meant by a subject that is not named: "user", "team" or "".
    who: str = ""
    keys: tuple[str, ...] = ()


_SENTENCE = re.compile(r"(?<!\b(?:Dr|Mr|Ms|St|No|vs)\.)(?<!\b(?:Mrs|e\.g|i\.e)\.)(?<=[.!?])\s+(?=\S)|[\n;。！？]+|\.\s*$")
_BLANK = " \t\r\n;*-•"
_DEFINITE = ("the", "our", "my", "their", "its", "your", "his", "her")
_CJK_NEGATIONS = frozenset("不没沒别別未勿非")


@functools.lru_cache(128)
def read(text: str) -> tuple[Clause, ...]:
    """The statements of a text, in order; kept, since who stores several things about one subject meets the same neighbours."""
    text = unmarked(unicodedata.normalize("NFKC", text))
    clauses: list[Clause] = []
    changed = False
    for at, piece in _sentences(text):
        if len(clauses) == MAX_CLAUSES:
            clauses.append(_bare(text[at:].split()))
            break
        if len(piece) > MAX_STATEMENT:
            clauses.append(_bare(piece.lower().split()))
            continue
        clause = _statement(piece)
        changed = changed or (clause.changed and not clause.tokens)
        if clause.tokens:
            clauses.append(replace(clause, changed=True) if changed else clause)
    return tuple(clauses)


def _statement(piece: str) -> Clause:
    asked = piece.rstrip().endswith(("?", "？"))
    return _clause(list(tokens(marked(piece))), asked=asked)


def _bare(words: Sequence[str]) -> Clause:
    tokens = tuple(Token(word, "number" if any(char.isdigit() for char in word) else "word", word, "object") for word in words)
    return Clause(tokens, keys=tuple(words))


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence or line begins, and its text."""
    at = 0
    for match in _SENTENCE.finditer(text):
        piece = text[at : match.end()].strip(_BLANK)
        if piece:
            yield at, piece
        at = match.end()
    if text[at:].strip(_BLANK):
        yield at, text[at:].strip(_BLANK)


def _clause(raws: list[Raw], *, asked: bool) -> Clause:
    marks = {each.raw for each in raws if each.kind == "mark"}
    raws, former = _former(raws)
    negations = sum(each.raw in lex.NEGATIONS or each.raw == NOT or each.raw in _CJK_NEGATIONS for each in raws)
    # "ne … pas" and the like deny once.
    if {"ne", "pas"} <= {each.raw for each in raws}:
        negations -= 1
    over = RETIRED in marks or ENDED in marks
    raws = [each for each in raws if each.kind != "mark" or each.raw == ENDED]
    start = _lead_end(raws)
    verb_at, verb_end, copular = _verb(raws, start)
    verb = raws[verb_end].key if 0 <= verb_end < len(raws) and raws[verb_end].kind == "word" else ""
    parts = _parts(raws, start, verb_at, verb_end, copular)
    tokens: list[Token] = []
    for each, part, link in zip(raws, parts, _links(raws, verb_end), strict=True):
        if each.kind in ("sep", "mark") or each.raw in lex.NEGATIONS or each.raw in _CJK_NEGATIONS or each.raw == NOT:
            continue
        if each.kind == "word" and _empty(each):
            continue
        key = each.key
        if (
            each.kind == "word"
            and key in lex.DENIALS
            and part not in ("subject", "lead", "circumstance", "reason")
            and key != lex.DENIALS[key]
        ):
            key = lex.DENIALS[key]
            negations += 1
        tokens.append(Token(key, each.kind, each.raw, part, each.measure, link))
    event = _event(raws, start, verb_at, verb_end, copular)
    definite = start < len(raws) and raws[start].raw in _DEFINITE
    if copular and verb in lex.COPULA and _names_first(raws, start, verb_at, verb_end):
        tokens, definite = _turned(tokens), True
    return Clause(
        tuple(tokens),
        lex.DENIALS.get(verb, verb),
        negative=(negations + over) % 2 == 1,
        copular=copular,
        retired=over,
        ended=ENDED in marks,
        changed=CHANGED in marks,
        also=ALSO in marks,
        tentative=TENTATIVE in marks or asked,
        event=event,
        former=former,
        definite=definite,
        who=next(
            (lex.SELF[each.raw] for each, part in zip(raws, parts, strict=True) if part in ("subject", "lead") and each.raw in lex.SELF), ""
        ),
        keys=tuple(token.key for token in tokens),
    )


def _names_first(raws: Sequence[Raw], start: int, verb_at: int, verb_end: int) -> bool:
    """Whether a name is said to be the one of its kind: "Alice is the tech lead", which says what "The tech lead is Alice" says."""
    called = raws[start:verb_at]
    if not 0 < len(called) <= 2 or any(each.kind not in ("word", "name", "code") or _empty(each) for each in called):
        return False
    if any(each.key in lex.FUNCTIONAL | lex.ROLES for each in called):
        return False
    after = verb_end + 1
    while after < len(raws) and raws[after].raw in ("now", "currently", "still", "not"):
        after += 1
    if after >= len(raws) or raws[after].raw not in _DEFINITE:
        return False
    return not any(each.key in lex.PLURAL_KIN for each in raws[after + 1 :])


def _turned(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with what stands before the verb behind it, and the reverse."""
    before = [replace(token, part="object") for token in tokens if token.part == "subject"]
    turned = [token.part == "object" or (token.part in ("place", "circumstance") and token.kind != "number") for token in tokens]
    after = [replace(token, part="subject") for token, turn in zip(tokens, turned, strict=True) if turn]
    rest = [token for token, turn in zip(tokens, turned, strict=True) if not turn and token.part not in ("subject", "lead", "verb")]
    return [
        *(token for token in tokens if token.part == "lead"),
        *after,
        *(token for token in tokens if token.part == "verb"),
        *before,
        *rest,
    ]


def _empty(each: Raw) -> bool:
    if each.raw in lex.TELLING:
        return False
    return each.raw in lex.FILLER or each.raw in lex.PREPOSITIONS or each.raw in lex.COPULA or each.raw in lex.AUXILIARY


def _former(raws: list[Raw]) -> tuple[list[Raw], frozenset[str]]:
    """The tokens without those that are said to hold no longer, and the keys of those."""
    kept: list[Raw] = []
    former: list[str] = []
    taking = False
    for each in raws:
        if each.kind == "mark" and each.raw in (CONTRAST, FROM):
            taking = True
        elif taking and (
            each.raw == TO
            or (each.kind == "sep" and each.raw in ",()")
            or (each.kind == "mark" and each.raw != NOT)
            or (each.raw in lex.QUALIFYING and each.raw != "as")
        ):
            taking = False
            if each.raw != TO:
                kept.append(each)
        elif taking:
            if not _empty(each) and each.raw not in lex.NEGATIONS:
                former.append(each.key)
        else:
            kept.append(each)
    return kept, frozenset(former) - lex.LIGHT


def _lead_end(raws: Sequence[Raw]) -> int:
    """Where the main part begins: after "In Go projects," or "On 3 May we"."""
    first = next((at for at, each in enumerate(raws) if each.kind not in ("sep", "mark")), len(raws))
    if first >= len(raws):
        return len(raws)
    opens = (
        raws[first].raw in lex.PREPOSITIONS or raws[first].measure == "date" or raws[first].raw in ("yesterday", "today", "last", "this")
    )
    if not opens:
        return first
    for at in range(first, min(len(raws), first + 14)):
        if raws[at].kind == "sep" and raws[at].raw in ",:":
            return at + 1
    for at in range(first + 1, min(len(raws), first + 10)):
        if raws[at].raw in ("we", "i", "user", "users", "they"):
            return at
    return first


def _verb(raws: Sequence[Raw], start: int) -> tuple[int, int, bool]:
    """(where the verb group begins, its main verb, whether what follows is a complement)."""
    limit = min(len(raws), start + 24)
    for at in range(start, limit):
        each = raws[at]
        if each.raw in lex.COPULA or each.raw == "=" or each.raw == ENDED:
            if each.raw in (":", "=") and any(other.raw in lex.COPULA and other.kind == "word" for other in raws[at + 1 : at + 3]):
                continue
            return _copula(raws, at)
        if each.kind != "word":
            continue
        if each.raw in lex.AUXILIARY:
            return _auxiliary(raws, at)
        if each.key in lex.VERBS and _is_verb(raws, start, at):
            return at, at, False
    return -1, -1, False


def _copula(raws: Sequence[Raw], at: int) -> tuple[int, int, bool]:
    if raws[at].raw in lex.COPULA and raws[at].kind == "word":
        for later in range(at + 1, min(len(raws), at + 4)):
            each = raws[later]
            if each.kind == "word" and _participle(each):
                return at, later, not each.raw.endswith("ing")
            if (
                each.kind != "word"
                or not (each.raw in lex.FILLER or each.raw in lex.NEGATIONS or each.raw.endswith("ly"))
                or each.raw in ("the", "a", "an", "our", "my")
            ):
                break
    return at, at, True


def _participle(each: Raw) -> bool:
    if each.raw in ("read", "led", "fed", "met", "cut", "set", "put", "hit", "shut", "split", "spread", "run", "let"):
        return True
    if each.key in lex.VERBS:
        return each.raw.endswith(("ed", "en", "ing", "t", "n", "pt", "ld", "de", "un", "ut"))
    return len(each.raw) > 5 and each.raw.endswith("ed")


def _auxiliary(raws: Sequence[Raw], at: int) -> tuple[int, int, bool]:
    has = raws[at].raw in ("has", "have", "had", "do", "does", "did", "need", "needs")
    for later in range(at + 1, min(len(raws), at + 5)):
        each = raws[later]
        if each.raw in lex.COPULA and each.kind == "word":
            return at, *_copula(raws, later)[1:]
        if (
            each.raw in lex.AUXILIARY
            or each.raw in lex.NEGATIONS
            or each.raw == "to"
            or (each.kind == "word" and (each.raw.endswith("ly") or each.raw in ("always", "just", "already", "also")))
        ):
            continue
        if (
            each.kind == "word"
            and each.key in lex.VERBS
            and (not has or each.raw.endswith(("ed", "en")) or raws[later - 1].raw in ("to", "not", "do", "does"))
        ):
            return at, later, False
        if each.kind == "word" and not has and each.raw not in lex.FILLER:
            return at, later, False
        break
    return at, at, False


def _is_verb(raws: Sequence[Raw], start: int, at: int) -> bool:
    before = next((raws[back] for back in range(at - 1, start - 1, -1) if raws[back].kind != "mark"), None)
    after = next(
        (
            each
            for each in raws[at + 1 : at + 4]
            if each.kind not in ("mark",) and not each.raw.endswith("ly") and each.raw not in lex.NEGATIONS
        ),
        None,
    )
    if before is not None and (
        before.raw
        in (
            "the",
            "a",
            "an",
            "our",
            "my",
            "your",
            "their",
            "his",
            "her",
            "its",
            "this",
            "these",
            "that",
            "every",
            "each",
            "all",
            "no",
            "any",
            "to",
        )
        or (before.raw in lex.PREPOSITIONS and before.raw not in ("so",))
    ):
        return False
    if before is not None and before.raw in ("we", "i", "they", "you", "he", "she", "users", "who"):
        return True
    finite_later = any(
        each.kind == "word"
        and (
            each.raw in lex.COPULA
            or (each.raw in lex.AUXILIARY and each.raw not in ("need", "do"))
            or (each.key in lex.VERBS and each.key not in lex.NOUNLIKE and each.raw.endswith("s"))
        )
        for each in _main_clause(raws, at + 1)
    )
    first = before is None or before.kind == "sep"
    finite_next = after is not None and (after.raw in lex.COPULA or after.raw in lex.AUXILIARY)
    if first and not finite_next and raws[at].key not in lex.NOUNLIKE and not raws[at].raw.endswith(("s", "ing", "ed")):
        return True
    if first and (finite_later or raws[at].raw.endswith("ing")):
        return not finite_later
    if (
        after is not None
        and after.kind == "word"
        and (
            after.raw in lex.COPULA
            or after.raw in lex.AUXILIARY
            or (after.key in lex.VERBS and not after.raw.endswith("ed") and (raws[at].key in lex.NOUNLIKE or first))
        )
    ):
        return False
    return not (raws[at].key in lex.NOUNLIKE and finite_later)


def _main_clause(raws: Sequence[Raw], at: int) -> Iterator[Raw]:
    for each in raws[at : at + 10]:
        if (
            each.kind == "sep"
            or each.raw in lex.QUALIFYING
            or each.raw in ("that", "which", "who", "and", "or", "before", "after", "until")
        ):
            return
        yield each


def _parts(raws: Sequence[Raw], start: int, verb_at: int, verb_end: int, copular: bool) -> list[str]:
    parts = ["lead"] * min(start, len(raws))
    verb = raws[verb_end].key if 0 <= verb_end < len(raws) else ""
    part = "subject" if verb_at >= start else "object"
    taken = False
    for at in range(start, len(raws)):
        each = raws[at]
        if at >= MAX_WORDS:
            parts.append("circumstance")
            continue
        if verb_at >= 0 and verb_at <= at <= verb_end:
            parts.append("verb")
            part = "object"
            continue
        if part != "subject" and verb_at >= 0 and at > verb_end:
            part, taken = _next_part(each, part, taken, verb, copular)
        parts.append(part)
    return parts


def _links(raws: Sequence[Raw], verb_end: int) -> Iterator[str]:
    link = ""
    for at, each in enumerate(raws):
        if at > verb_end and each.raw in lex.PREPOSITIONS:
            link = lex.LINKS.get(each.raw, each.raw)
        yield link


def _next_part(each: Raw, part: str, taken: bool, verb: str, copular: bool) -> tuple[str, bool]:
    """The part of a token after the verb, and whether the verb has its value."""
    word = each.raw
    if word in ("because", "since", "weil", "porque", "car", "given"):
        return "reason", taken
    if part == "reason":
        return part, taken
    if word == "as" and copular and not taken:
        return "object", taken
    if word in lex.QUALIFYING or (word in ("before", "after", "until", "without") and taken):
        return "circumstance", taken
    if word in lex.PREPOSITIONS:
        if part == "circumstance":
            return part, taken
        if not taken and part == "object":
            return "object", taken
        placed = (
            word in ("with", "via", "using", "through")
            or (copular and verb not in lex.COPULA)
            or verb in lex.PLACING
            or (word in ("to", "at", "under", "into") and verb in lex.EXCLUSIVE)
        )
        return ("place" if placed else "circumstance"), taken
    if part == "object" and each.kind not in ("sep", "mark") and not _empty(each) and word not in lex.NEGATIONS:
        return part, True
    return part, taken


def _event(raws: Sequence[Raw], start: int, verb_at: int, verb_end: int, copular: bool) -> bool:
    """Whether the clause tells what happened once rather than how things are."""
    if any(each.raw in ("yesterday", "today", "ago", "tonight") for each in raws[:MAX_WORDS]):
        return True
    if start > 0 and any(each.measure == "date" for each in raws[:start]) and not copular:
        return True
    if any(
        each.raw == "last"
        and (at == 0 or raws[at - 1].raw not in ("the", "a", "every", "each"))
        and raws[at + 1].raw in ("week", "month", "night", "year", "sprint", "monday", "friday")
        for at, each in enumerate(raws[:-1][:MAX_WORDS])
    ):
        return True
    return 0 <= verb_end < len(raws) and not copular and raws[verb_end].raw in lex.EVENTS
