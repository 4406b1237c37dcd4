"""Memories for tests of stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bethink.embed.base import Identity, Passage, QueryVectors
from bethink.model import Access, Memory, Scope, new_id
from bethink.text import content_hash

NOW = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)
ANN = Access.local("ann")
BOB = Access.local("bob")
IDENTITY = Identity("words", "1", 128, 16)


def memory(content: str, access: Access = ANN, **fields: Any) -> Memory:
    """A memory as the service would complete it, written an hour before `NOW` unless said otherwise."""
    at = fields.pop("created_at", NOW - timedelta(hours=1))
    if isinstance(fields.get("scope"), str):
        fields["scope"] = Scope.of(fields["scope"])
    return Memory(
        **{"id": new_id(), "owner": access.principal, "content": content, "created_at": at, "updated_at": at, **fields},
        content_hash=content_hash(content),
    )


class WordsEmbedder:
    """A stand-in for a model: texts with more words in common are nearer; every word is a token."""

    identity = IDENTITY
    ready = True

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        return [[Passage(self.vector(text), self._tokens(text))] for text in texts]

    def query(self, text: str) -> QueryVectors:
        words = tuple(text.lower().split())
        return QueryVectors(self.vector(text), self._tokens(text).astype(np.float32) / 127, words)

    def vector(self, text: str) -> np.ndarray:
        parts = [self._word(word, IDENTITY.dims) for word in text.lower().split()] or [np.ones(IDENTITY.dims, np.float32)]
        total = np.sum(parts, axis=0)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)

    def _tokens(self, text: str) -> np.ndarray:
        words = text.lower().split()
        if not words:
            return np.empty((0, IDENTITY.token_dims), np.int8)
        return np.rint(np.stack([self._word(word, IDENTITY.token_dims) for word in words]) * 127).astype(np.int8)

    def _word(self, word: str, dims: int) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(dims).astype(np.float32)
        return vector / np.linalg.norm(vector)
