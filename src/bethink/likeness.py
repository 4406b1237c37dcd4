"""How alike two short texts are, 0 to 100: names with typing errors, words in another order, one inside the other. Pure.

Likeness is 2·LCS/(m+n), the normalised indel similarity, with the longest common subsequence found bit-parallel (Hyyrö 2004, "Bit-parallel
LCS-length computation revisited"). `weighted` combines whole, sorted, shared and partial likeness as RapidFuzz's WRatio does and gives the
same figures (tests compare them); that library is 12 MB of machine code for what is asked here once per command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

#: Words in another order count a little less than the same order.
_REORDERED = 0.95
_NOT_WORD = re.compile(r"[\W_]")


def ratio(one: str, other: str) -> float:
    """Likeness of two texts as they stand; both empty are the same."""
    return _share(_common(one, other), len(one) + len(other))


def sorted_ratio(one: str, other: str) -> float:
    """Likeness of the two texts' words, whatever their order."""
    return ratio(" ".join(sorted(one.split())), " ".join(sorted(other.split())))


def weighted(one: str, other: str) -> float:
    """The best of what the two have in common: as a whole, reordered, by shared words and, when one is much longer, in part."""
    if not one or not other:
        return 0.0
    longer = max(len(one), len(other)) / min(len(one), len(other))
    best = ratio(one, other)
    if longer < 1.5:
        return max(best, max(sorted_ratio(one, other), _shared_words(one, other)) * _REORDERED)
    scale = 0.9 if longer <= 8 else 0.6
    return max(best, _partial(one, other) * scale, _partial_words(one, other) * _REORDERED * scale)


def plain(text: str) -> str:
    """Lower case, everything but letters and digits a space."""
    return _NOT_WORD.sub(" ", text.lower()).strip()


def most_alike(
    query: str, names: Iterable[str], *, least: float, limit: int, measure: Callable[[str, str], float] = weighted
) -> list[tuple[float, int]]:
    """(likeness, index) of the `limit` names most like the query, at least `least`, in their plain form; the earlier of equals first."""
    wanted = plain(query)
    found = [(score, index) for index, name in enumerate(names) if (score := measure(wanted, plain(name))) >= least]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))[:limit]


def _share(common: int, total: int) -> float:
    return 200 * common / total if total else 100.0


def _common(one: str, other: str) -> int:
    """Length of the longest common subsequence."""
    return _common_with(_places(one), len(one), other)


def _places(text: str) -> dict[str, int]:
    """Each character's positions in a text, as bits."""
    places: dict[str, int] = {}
    for position, character in enumerate(text):
        places[character] = places.get(character, 0) | 1 << position
    return places


def _common_with(places: dict[str, int], length: int, other: str) -> int:
    every = (1 << length) - 1
    unmatched = every
    for character in other:
        matching = unmatched & places.get(character, 0)
        unmatched = ((unmatched + matching) | (unmatched - matching)) & every
    return length - unmatched.bit_count()


def _partial(one: str, other: str) -> float:
    """Likeness of the shorter text to the part of the longer one that is most like it."""
    if len(one) == len(other):
        return max(_inside(one, other), _inside(other, one))
    return _inside(*sorted((one, other), key=len))


def _inside(short: str, long: str) -> float:
    if not short:
        return 0.0 if long else 100.0
    places, size = _places(short), len(short)
    best = 0.0
    # Also what hangs over either end.
    for start in range(1 - size, len(long)):
        part = long[max(0, start) : start + size]
        # A part that begins and ends with something foreign is no better than the one beside it.
        if part[-1] in places or part[0] in places:
            best = max(best, _share(_common_with(places, size, part), size + len(part)))
    return best


def _words(one: str, other: str) -> tuple[set[str], str, str]:
    """The words both have, and of each the others, sorted."""
    first, second = set(one.split()), set(other.split())
    return first & second, " ".join(sorted(first - second)), " ".join(sorted(second - first))


def _shared_words(one: str, other: str) -> float:
    """Likeness when the words that both have weigh in full."""
    both, first, second = _words(one, other)
    if not one.split() or not other.split():
        return 0.0
    if both and not (first and second):
        return 100.0
    shared = len(" ".join(both))
    gap = bool(shared)
    sizes = shared + gap + len(first), shared + gap + len(second)
    distance = len(first) + len(second) - 2 * _common(first, second)
    best = 100 - 100 * distance / sum(sizes)
    if shared:
        best = max(best, *(100 - 100 * (gap + len(rest)) / (shared + size) for rest, size in zip((first, second), sizes, strict=True)))
    return best


def _partial_words(one: str, other: str) -> float:
    """Likeness in part of the two texts' words, whatever their order; a word that both have is enough."""
    both, first, second = _words(one, other)
    if both:
        return 100.0
    best = _partial(" ".join(sorted(one.split())), " ".join(sorted(other.split())))
    return max(best, _partial(first, second))
