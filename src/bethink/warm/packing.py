"""Vectors as JSON can hold them: base64 of the numbers, with their shape."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bethink.embed.base import Passage, QueryVectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def question(vectors: QueryVectors) -> dict[str, Any]:
    return {"vector": _packed(vectors.vector), "tokens": _packed(vectors.tokens), "words": list(vectors.words)}


def unpacked_question(answer: dict[str, Any]) -> QueryVectors:
    """Raises ValueError, KeyError or TypeError for what is no packed question."""
    import numpy as np

    return QueryVectors(_array(answer["vector"], np.float32), _array(answer["tokens"], np.float32), tuple(map(str, answer["words"])))


def passages(many: Sequence[Sequence[Passage]]) -> dict[str, Any]:
    return {"texts": [[[_packed(passage.vector), _packed(passage.tokens)] for passage in windows] for windows in many]}


def unpacked_passages(answer: dict[str, Any]) -> list[list[Passage]]:
    """Raises ValueError, KeyError or TypeError for what are no packed passages."""
    import numpy as np

    return [[Passage(_array(vector, np.float32), _array(tokens, np.int8)) for vector, tokens in windows] for windows in answer["texts"]]


def _packed(array: npt.NDArray[Any]) -> list[Any]:
    return [list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _array(packed: list[Any], kind: type[np.generic]) -> npt.NDArray[Any]:
    import numpy as np

    shape, data = packed
    return np.frombuffer(base64.b64decode(data), dtype=kind).reshape([int(size) for size in shape])
