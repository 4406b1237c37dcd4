"""Writes src/bethink/hints.txt: for each rule of the poison scan and of the write guard, words without which it cannot match.

    python scripts/hints.py [--check]

Read off the rule's own syntax tree: what stands in it one after the other must all be in the text, of what stands side by side one. So
a text without such a word needs neither the rule nor the milliseconds of compiling it. A line holds a rule's checksum and groups of
words: the text must hold one of the words between bars, of every group between tabs. A test holds the words to the rules.
"""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]  # the syntax tree has no public door
from re import _parser as tree  # type: ignore[attr-defined]  # the parser has no public door either
from typing import Any

from bethink.guard.phrases import SUBSTITUTIONS
from bethink.pattern import Pattern, checksum
from bethink.scan.rules import RULES
from bethink.text import STOP_WORDS

TARGET = Path(__file__).parents[1] / "src" / "bethink" / "hints.txt"
#: Most words of a list, and lists of a rule: beyond that, asking costs more than it saves.
MOST, LISTS = 60, 3
Words = frozenset[str]


def needs(pattern: Pattern) -> list[Words]:
    """Sets of strings of which any match of a pattern holds at least one each; the most telling first."""
    parsed = _needs(tree.parse(pattern.source, re.MULTILINE))
    if pattern.flags & re.IGNORECASE:
        parsed = [frozenset(word.lower() for word in words) for words in parsed]
    found = {plain for one in parsed if (plain := _shortest(one))}
    telling = [one for one in found if len(one) <= MOST and not any(set("|\t\n") & set(word) for word in one)]
    return sorted(telling, key=lambda one: (_commonness(one), sorted(one)))[:LISTS]


def _commonness(words: Words) -> float:
    return sum(1.0 if word.strip() in STOP_WORDS else 0.3 ** len(word) for word in words)


def _shortest(words: Words) -> Words:
    """The same demand in fewer words: without spaces around them, and one that holds another is not needed."""
    words = frozenset(word.strip() for word in words)
    return frozenset() if "" in words else frozenset(word for word in words if not any(other != word and other in word for other in words))


def _needs(parsed: Any) -> list[Words]:
    """The demands of a sequence: those of its parts, and the strings its fixed stretches may be."""
    demands: list[Words] = []
    stretch: set[str] = {""}

    def end() -> None:
        nonlocal stretch
        if "" not in stretch:
            demands.append(frozenset(stretch))
        stretch = {""}

    for kind, value in parsed:
        exact = _exact(kind, value)
        if exact is not None and len(stretch) * len(exact) <= MOST:
            stretch = {before + after for before, after in product(stretch, exact)}
            continue
        end()
        if exact is not None:
            stretch = set(exact)
            continue
        demands += _inside(kind, value)
    end()
    return demands


def _inside(kind: Any, value: Any) -> list[Words]:
    """The demands of a part that is no fixed stretch."""
    if kind is op.SUBPATTERN:
        return _needs(value[3])
    if kind is op.ATOMIC_GROUP:
        return _needs(value)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT) and value[0] >= 1:
        return _needs(value[2])
    if kind is op.BRANCH:
        best = [min(filter(None, map(_shortest, _needs(branch))), key=_commonness, default=None) for branch in value[1]]
        if all(best):
            return [frozenset(word for one in best if one for word in one)]
    return []


def _exact(kind: Any, value: Any) -> set[str] | None:
    """All the strings that a part may match, if they are few."""
    if kind is op.LITERAL:
        return {chr(value)}
    if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return {""}
    if kind is op.IN:
        characters: set[str] = set()
        for what, which in value:
            if what is op.LITERAL:
                characters.add(chr(which))
            elif what is op.RANGE and which[1] - which[0] < 10:
                characters.update(map(chr, range(which[0], which[1] + 1)))
            else:
                return None
        return characters
    if kind is op.SUBPATTERN:
        return _all_of(value[3])
    if kind is op.ATOMIC_GROUP:
        return _all_of(value)
    if kind is op.BRANCH:
        branches = [_all_of(branch) for branch in value[1]]
        return None if None in branches else _few({word for words in branches if words for word in words})
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, part = value
        words = _all_of(part)
        if words is None or most > 3:
            return None
        return _few({"".join(some) for times in range(least, most + 1) for some in product(words, repeat=times)})
    return None


def _all_of(parsed: Any) -> set[str] | None:
    made = {""}
    for kind, value in parsed:
        exact = _exact(kind, value)
        if exact is None or len(made) * len(exact) > MOST:
            return None
        made = {before + after for before, after in product(made, exact)}
    return made


def _few(words: set[str]) -> set[str] | None:
    return words if len(words) <= MOST else None


def written() -> str:
    """The file's text."""
    patterns = [*(pattern for _, pattern in RULES), *(pattern for pattern, _ in SUBSTITUTIONS)]
    # The shortest group first: the one that says no soonest.
    groups = {checksum(one.source): ["|".join(sorted(words)) for words in sorted(needs(one), key=len)] for one in patterns}
    return "".join("\t".join((name, *words)) + "\n" for name, words in groups.items() if words)


def main() -> int:
    text = written()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text("utf-8") != text:
            print(f"{TARGET.name} is not what the rules say: run python scripts/hints.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
