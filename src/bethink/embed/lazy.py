"""The default embedder, imported at the first call only: who just stores something does not wait for NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bethink.embed.base import Identity, Passage, QueryVectors

if TYPE_CHECKING:
    from bethink.embed.onnx import OnnxEmbedder


class LazyEmbedder:
    """Implements `Embedder` by `OnnxEmbedder`.

    Args:
        keep_tokens: False leaves token vectors out, for less disk and coarser ranking.
    """

    def __init__(self, keep_tokens: bool = True) -> None:
        self._keep_tokens = keep_tokens
        self._embedder: OnnxEmbedder | None = None

    @property
    def ready(self) -> bool:
        return self._embedder is not None and self._embedder.ready

    @property
    def identity(self) -> Identity:
        identity = self._real().identity
        return identity if self._keep_tokens else replace(identity, token_dims=0)

    def load(self) -> None:
        """Loads the model now.

        Raises:
            EmbedderUnavailable: it cannot be had.
        """
        self._real().load()

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        made = self._real().passages(texts)
        if self._keep_tokens:
            return made
        return [[Passage(passage.vector, passage.tokens[:0]) for passage in windows] for windows in made]

    def query(self, text: str) -> QueryVectors:
        return self._real().query(text)

    def queries(self, texts: Sequence[str]) -> list[QueryVectors]:
        return self._real().queries(texts)

    def _real(self) -> OnnxEmbedder:
        if self._embedder is None:
            from bethink.embed.onnx import OnnxEmbedder

            self._embedder = OnnxEmbedder()
        return self._embedder
