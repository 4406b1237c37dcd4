"""An embedder that borrows the warm process's model, and loads its own only when nobody lends one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bethink.embed.base import Identity, Passage, QueryVectors
from bethink.warm import packing
from bethink.warm.client import ask
from bethink.warm.spot import Spot

if TYPE_CHECKING:
    from bethink.embed.lazy import LazyEmbedder

#: Seconds to wait for a borrowed question, and for borrowed passages, before loading a model of our own.
_QUESTION, _PASSAGES = 2.0, 30.0
#: Seconds after which a lender that did not answer is asked again.
_SHY = 60.0
#: What an answer that is not ours can raise.
_STRANGE = (ValueError, KeyError, TypeError)


class BorrowedEmbedder:
    """Implements `Embedder` by the model of the process that holds the lock at `spot`, else by one of its own.

    Args:
        make: makes this process's own embedder, without loading a model.
    """

    def __init__(self, spot: Spot, make: Callable[[], LazyEmbedder]) -> None:
        self._spot = spot
        self._make = make
        self._own = make()
        self._lends = False
        self._shy_until = 0.0

    @property
    def identity(self) -> Identity:
        return self._own.identity

    @property
    def ready(self) -> bool:
        return self._own.ready or self._asks

    @property
    def loaded(self) -> bool:
        """Whether this process has a model in memory."""
        return self._own.ready

    def lend(self) -> None:
        """From now on this process is the one that lends: it has a model of its own and asks nobody.

        Raises:
            EmbedderUnavailable: the model cannot be had.
        """
        self._lends = True
        self._own.load()

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        answer = self._borrowed({"op": "passages", "texts": list(texts)}, _PASSAGES)
        if answer is not None:
            try:
                made = packing.unpacked_passages(answer)
                if len(made) == len(texts):
                    return made
            except _STRANGE:
                pass
        return self._own.passages(texts)

    def query(self, text: str) -> QueryVectors:
        answer = self._borrowed({"op": "query", "text": text}, _QUESTION)
        if answer is not None:
            try:
                return packing.unpacked_question(answer)
            except _STRANGE:
                pass
        return self._own.query(text)

    @property
    def _asks(self) -> bool:
        return not self._lends and time.monotonic() >= self._shy_until and self._spot.taken

    def _borrowed(self, request: dict[str, Any], patience: float) -> dict[str, Any] | None:
        if not self._asks:
            return None
        answer = ask(self._spot, {**request, "identity": str(self.identity)}, patience)
        if answer is None:
            self._shy_until = time.monotonic() + _SHY
        elif self._own.ready:
            # Somebody lends again: one model in memory is enough.
            self._own = self._make()
        return answer
