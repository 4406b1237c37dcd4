"""Which common words of a text are looked for together. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

#: From so many rare words on, common ones tell nothing apart; below, so many of these are looked for two and two together.
ENOUGH, PAIRED = 6, 6
#: A word that is in more than one of so many rows tells nothing, with whatever other word.
_TELLING = 10
#: Pairs that are worth more than the budget: words that exclude each other are expected together more often than they are.
_AT_LEAST, _OVER = 3, 4
#: Words that go together are in this many times more rows than the budget before the oldest of these are left out.
ASTRAY = 4


def pairs(words: Sequence[tuple[int, str]], budget: int, documents: int) -> list[tuple[str, str]]:
    """Two words each that are together in few rows, at most about `budget` in all.

    Args:
        words: in how many rows a word is, and the word; rarest first.
        budget: rows; one pair is named whatever it brings, and a few may bring more.
        documents: how many rows there are; how many hold both words is told from that as if words were independent.
    """
    telling = [word for word in words if word[0] * _TELLING <= documents] if len(words) > 2 else words
    some = (telling if len(telling) > 1 else words)[:PAIRED]
    expected = sorted((one[0] * other[0] / max(documents, 1), one[1], other[1]) for one, other in combinations(some, 2))
    chosen: list[tuple[str, str]] = []
    left = budget
    for rows, one, other in expected:
        left -= math.ceil(rows)
        if left < 0 and chosen and (len(chosen) >= _AT_LEAST or rows > _OVER * budget):
            break
        chosen.append((one, other))
    return chosen
