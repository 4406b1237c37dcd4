"""From candidates to an ordered answer: fuse, rerank, weigh, collapse, cut. Pure; standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from bethink.model import Memory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(slots=True)
class Candidate:
    """A memory that at least one signal brought."""

    memory: Memory
    #: BM25-like, higher is better, 0 when no term matched.
    keyword: float = 0.0
    #: Cosine of the best window with the question, None when the memory has no vector.
    cosine: float | None = None
    #: Token vectors of all windows, int8 (tokens, token_dims), None when not asked for or missing.
    tokens: npt.NDArray[np.int8] | None = None
    uses: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates, unordered, and what the store knows of the question's words."""

    candidates: tuple[Candidate, ...]
    #: Word of the question (lower case) → how many memories of the store hold it (its stem).
    document_frequency: Mapping[str, int] = field(default_factory=dict)
    documents: int = 0
