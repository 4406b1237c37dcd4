"""Late interaction: how well a memory's token vectors answer each word of a question, rare words counting most.

The sum over the question's tokens of the best cosine among the memory's tokens (MaxSim: Khattab and Zaharia 2020,
ColBERT), weighted by the word's inverse document frequency in the asker's own store, over the sum of the weights.
A turn of a conversation is read together with the two turns before it, theirs counting a little less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bethink.rank import Found, before_it, word_weight

if TYPE_CHECKING:
    from bethink.embed.base import QueryVectors

#: Token vectors multiplied at once, so that a few very long memories do not need much memory.
_SLAB = 65_536


def late_scores(question: QueryVectors, found: Found) -> dict[str, float]:
    """Id → weighted MaxSim, about -0.2 to 1, of every candidate that has token vectors; empty when the question has none."""
    with_tokens = [candidate for candidate in found.candidates if candidate.tokens is not None and len(candidate.tokens)]
    weights = token_weights(question.words, found)
    if not with_tokens or not len(question.tokens) or not weights.any():
        return {}
    counted = weights > 0
    best = best_matches(question.tokens[counted], [candidate.tokens for candidate in with_tokens if candidate.tokens is not None])
    own = best.copy()
    for index, earlier in enumerate(before_it(with_tokens)):
        for other, discount in earlier:
            np.maximum(best[:, index], discount * own[:, other], out=best[:, index])
    scores = weights[counted] @ best / weights.sum()
    return {candidate.memory.id: float(score) for candidate, score in zip(with_tokens, scores, strict=True)}


def token_weights(words: Sequence[str], found: Found) -> npt.NDArray[np.float32]:
    """The weight of each of the question's tokens, from the word it belongs to."""
    return np.array([word_weight(word, found) for word in words], np.float32)


def best_matches(question: npt.NDArray[np.float32], texts: Sequence[npt.NDArray[np.int8]]) -> npt.NDArray[np.float32]:
    """For each token of the question and each text the best cosine, shape (question's tokens, texts). No text may be empty."""
    answer = np.empty((len(question), len(texts)), np.float32)
    first = 0
    while first < len(texts):
        last, size = first + 1, len(texts[first])
        while last < len(texts) and size + len(texts[last]) <= _SLAB:
            size += len(texts[last])
            last += 1
        group = texts[first:last]
        starts = np.cumsum([0, *(len(text) for text in group[:-1])])
        tokens = np.concatenate(group).astype(np.float32)
        answer[:, first:last] = np.maximum.reduceat(question @ tokens.T, starts, axis=1)
        first = last
    answer /= 127
    return answer
