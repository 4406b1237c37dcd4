"""Which old memories are worth reading beside a new content: those with a sentence that shares words with one of its sentences. Pure.

Reading a text as statements takes about a millisecond, looking at its words a fiftieth of that, and of a dozen neighbours hardly one
says something of the same thing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from bethink.text import STOP_WORDS

Words = frozenset[str]

_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"[.!?]\s+|[\n;]+")
#: Scripts without spaces have no words that could be told apart here.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002fa1f]")
#: Two words that begin alike may be forms of one.
_ROOT = 4
#: A sentence of so few words is always worth reading if one word is shared.
_SHORT = 8
#: Of longer ones so much of the shorter must be shared; no correction or restatement of the benchmark shares less than .4.
_SHARE = 0.34
#: So much is shared by two that may say the same in a word more or less.
_MOST = 0.6


@functools.lru_cache(512)
def sentences(text: str) -> tuple[Words, ...]:
    """The telling words of each sentence, by their beginnings; empty where words cannot be told apart."""
    if _UNSPACED.search(text):
        return ()
    found = (_words(piece) for piece in _SENTENCE.split(text))
    return tuple(words for words in found if words)


def related(new: Sequence[Words], old: Sequence[Words]) -> bool:
    """Whether any two sentences may be about the same thing; true when that cannot be told."""
    return not new or not old or any(_may_meet(one, other) for one in new for other in old)


def alike(new: Sequence[Words], old: Sequence[Words]) -> bool:
    """Whether one of two longer texts may repeat the other; true when that cannot be told."""
    return overlap(new, old) >= _MOST


def overlap(new: Sequence[Words], old: Sequence[Words]) -> float:
    """The share of the telling words of the one with fewer that the other has as well; 1 when that cannot be told."""
    mine, others = frozenset().union(*new), frozenset().union(*old)
    return len(mine & others) / min(len(mine), len(others)) if mine and others else 1.0


def _words(piece: str) -> Words:
    return frozenset(word[:_ROOT] for word in _WORD.findall(piece.lower()) if word not in STOP_WORDS)


def _may_meet(one: Words, other: Words) -> bool:
    shorter = min(len(one), len(other))
    shared = len(one & other)
    return shared > 0 if shorter <= _SHORT else shared >= _SHARE * shorter
