"""The port to embedding models: text in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Identity:
    """Which embedder made a vector. Vectors of different identities are never compared."""

    name: str
    #: Digest or revision of the weights, so that a silently changed model is noticed.
    revision: str
    dims: int
    #: Width of a token vector; 0 when the embedder gives none.
    token_dims: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.revision[:12]}/{self.dims}+{self.token_dims}"


@dataclass(frozen=True, slots=True)
class Passage:
    """One embedded window of a text."""

    #: Unit vector, float32, shape (dims,).
    vector: npt.NDArray[np.float32]
    #: Unit token vectors scaled to int8, shape (tokens, token_dims); shape (0, token_dims) when there are none.
    tokens: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """An embedded question."""

    vector: npt.NDArray[np.float32]
    #: Float token vectors, shape (tokens, token_dims).
    tokens: npt.NDArray[np.float32]
    #: The word of the question that each token belongs to, lower case, for its weight.
    words: tuple[str, ...]


class Embedder(Protocol):
    """Turns text into vectors. Implementations are safe to call from several threads."""

    @property
    def identity(self) -> Identity: ...

    @property
    def ready(self) -> bool:
        """Whether a call would answer without loading a model first."""
        ...

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        """For each text its windows in order (one for a short text, at most `MAX_WINDOWS`).

        Raises:
            EmbedderUnavailable: the model or the endpoint cannot be used now.
        """
        ...

    def query(self, text: str) -> QueryVectors:
        """Embeds a question.

        Raises:
            EmbedderUnavailable: the model or the endpoint cannot be used now.
        """
        ...


@runtime_checkable
class ManyQuestions(Protocol):
    """What an embedder can do besides, if several questions cost it less than each alone."""

    def queries(self, texts: Sequence[str]) -> list[QueryVectors]:
        """As `Embedder.query` for each text, in order.

        Raises:
            EmbedderUnavailable: the model or the endpoint cannot be used now.
        """
        ...


#: A text is embedded in at most this many windows.
MAX_WINDOWS = 64
