"""No quote, no memory: what was learned must stand in what was said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bethink import text
from bethink.intake.dates import undated
from bethink.model import EPOCH, Memory, Scope

#: What a model may find → (category, tag, importance).
KINDS: Final = {
    "decision": ("decisions", "", 0.6),
    "fact": ("facts", "", 0.5),
    "root_cause": ("facts", "root-cause", 0.6),
    "workaround": ("facts", "workaround", 0.6),
    "preference": ("preferences", "", 0.6),
    "task": ("projects", "task", 0.5),
    "behavior": ("behaviors", "", 0.4),
}
_SHORTEST_QUOTE, _QUOTE_WORDS = 12, 3
_SHORTEST, _LONGEST = 20, 400
_FEWEST_WORDS, _MOST_SENTENCES = 3, 1
#: What was wrong, why, and what mended it take a sentence each.
_EXPLAINING: Final = ("root_cause", "workaround")
_SENTENCE_END = re.compile(r"[.!?;](?=\s)")
#: Share of a content's words that must be in what was said, and in the quote itself.
_GROUNDED, _SUPPORTED = 0.6, 0.25
#: About the talk instead of about the matter.
_ABOUT_TALK = re.compile(
    r"\b(?:user|human|assistant|model|speaker|conversation|session|transcript|chat)\b.{0,40}"
    r"\b(?:ask(?:s|ed|ing)?|request(?:s|ed)?|greet\w*|thank\w*|discuss\w*|want(?:s|ed)? to know|inquir\w*|respond\w*|repl(?:y|ies|ied)|"
    r"mention(?:s|ed)?|provid(?:es|ed)|start(?:s|ed)|continu(?:es|ed)|read(?:s|ing)?)\b",
    re.IGNORECASE,
)
#: Begins by pointing at something that the sentence does not name.
DANGLING = re.compile(
    r"^(?:it|this|that|these|those|they|he|she|here|there|then|das|dies\w*|es|er|sie|cela|ça|ce|esto|eso)\b(?!\s+turn(?:s|ed) out)",
    re.IGNORECASE,
)
_FOLDED = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " ", "\u2013": "-", "\u2014": "-"})


@dataclass(frozen=True, slots=True)
class Row:
    """One turn as it is read for learning."""

    id: str
    role: str
    text: str
    at: datetime = EPOCH
    session: str = ""
    scope: Scope = field(default_factory=Scope)
    origin: dict[str, object] = field(default_factory=dict)
    trust: str = "imported"

    @classmethod
    def of(cls, memory: Memory) -> Row:
        """A turn of the archive."""
        origin = dict(memory.origin or {})
        role = str(origin.get("role", "assistant"))
        return cls(memory.id, role, memory.content, memory.created_at, memory.session or "", memory.scope, origin, memory.trust)


@dataclass(frozen=True, slots=True)
class Item:
    """Something to remember, with the words that say so."""

    kind: str
    content: str
    quote: str
    tags: tuple[str, ...] = ()
    keywords: str = ""


@dataclass(frozen=True, slots=True)
class Proved:
    """An item whose quote was found: in this turn, from `start` to `end`."""

    item: Item
    row: Row
    start: int
    end: int


def proved(item: Item, rows: Sequence[Row]) -> Proved | str:
    """The item with its place, or the reason why it is not believed."""
    if not _SHORTEST <= len(item.content) <= _LONGEST or item.content.rstrip().endswith("?"):
        return "no statement"
    if item.kind not in KINDS:
        return "unknown kind"
    if len(text.informative(item.content)) < _FEWEST_WORDS or DANGLING.match(item.content):
        return "not clear on its own"
    most = _MOST_SENTENCES + (item.kind in _EXPLAINING)
    if len(_SENTENCE_END.findall(item.content)) > most or ("!" in item.content and item.kind != "preference"):
        return "talk, not a statement"
    if _ABOUT_TALK.search(item.content):
        return "about the talk"
    if len(item.quote.strip()) < _SHORTEST_QUOTE or len(text.words(item.quote)) < _QUOTE_WORDS:
        return "quote too short"
    for row in rows:
        span = located(item.quote, row.text)
        if span is None:
            continue
        if item.kind in ("preference", "behavior") and row.role != "user":
            continue
        said = " ".join(each.text for each in _around(row, rows))
        content = undated(item.content, said, row.at)
        if share(content, said) < _GROUNDED or not values(content) <= values(said):
            return "not in what was said"
        if share(content, item.quote) < _SUPPORTED:
            return "the quote is about another thing"
        return Proved(item, row, *span)
    return "quote not found"


def located(quote: str, said: str) -> tuple[int, int] | None:
    """Where `quote` stands in `said`, up to blank space, case and the kind of quotation marks."""
    wanted = " ".join(quote.translate(_FOLDED).lower().split()).strip(" \"'`.…")
    if not wanted:
        return None
    pattern = r"\s+".join(re.escape(word) for word in wanted.split(" "))
    found = re.search(pattern, _lower(said.translate(_FOLDED)))
    return found.span() if found else None


def _lower(said: str) -> str:
    """Lower case of the same length, so that places stay."""
    low = said.lower()
    return low if len(low) == len(said) else "".join(each.lower() if len(each.lower()) == 1 else each for each in said)


def _around(row: Row, rows: Sequence[Row]) -> Sequence[Row]:
    place = next(number for number, each in enumerate(rows) if each is row)
    return rows[max(0, place - 3) : place + 4]


def share(content: str, said: str) -> float:
    """The share of a content's informative words that are in `said`, endings aside."""
    # Who is spoken of need not be named in what that person says.
    words = [_stem(word) for word in text.informative(content) if len(word) > 2 and word not in ("user", "users")]
    known = {_stem(word) for word in text.words(said)}
    return sum(word in known for word in words) / len(words) if words else 0.0


def values(content: str) -> set[str]:
    """Numbers, versions and ports in a text: what must never be made up."""
    return {found.strip(".") for found in re.findall(r"\d+(?:[.:]\d+)*", content)}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e", "d"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
