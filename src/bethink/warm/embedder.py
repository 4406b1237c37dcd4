"""An embedder that borrows the warm process's model, and loads its own only when nobody lends one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bethink.embed.base import Identity, Passage, QueryVectors
from bethink.warm.client import ask

if TYPE_CHECKING:
    from bethink.embed.lazy import LazyEmbedder

#: Seconds to wait for a borrowed vector before loading a model of our own.
_PATIENCE = 5.0


class BorrowedEmbedder:
    """Implements `Embedder` over `warm.client`, with a fallback of its own."""

    def __init__(self, home: Path, own: LazyEmbedder) -> None:
        self._home = home
        self.own = own

    @property
    def identity(self) -> Identity:
        return self.own.identity

    @property
    def ready(self) -> bool:
        return self.own.ready or (self._home / "run" / "warm.sock").exists() or (self._home / "run" / "warm.json").exists()

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        return self.own.passages(texts)

    def query(self, text: str) -> QueryVectors:
        answer = None if self.own.ready else ask(self._home, {"op": "query", "text": text, "identity": str(self.identity)}, _PATIENCE)
        return _unpacked(answer) if answer else self.own.query(text)


def packed(vectors: QueryVectors) -> dict[str, Any]:
    """Query vectors as JSON can hold them."""
    return {
        "vector": base64.b64encode(vectors.vector.tobytes()).decode(),
        "tokens": base64.b64encode(vectors.tokens.tobytes()).decode(),
        "count": len(vectors.tokens),
        "words": list(vectors.words),
    }


def _unpacked(answer: dict[str, Any]) -> QueryVectors:
    import numpy as np

    tokens = np.frombuffer(base64.b64decode(answer["tokens"]), dtype=np.float32)
    count = int(answer["count"])
    return QueryVectors(
        np.frombuffer(base64.b64decode(answer["vector"]), dtype=np.float32),
        tokens.reshape(count, -1 if count else 0),
        tuple(answer["words"]),
    )
