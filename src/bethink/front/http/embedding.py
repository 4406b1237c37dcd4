"""One model for all requests: questions queue for it, what waits goes through it together, and a full queue costs vectors, not time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, TimeoutError
from typing import TYPE_CHECKING

from bethink.embed.base import Identity, ManyQuestions, Passage, QueryVectors
from bethink.errors import BethinkError, EmbedderUnavailable
from bethink.front.http import metrics

if TYPE_CHECKING:
    from bethink.embed.base import Embedder

#: Questions that may wait; whoever comes then is answered by keywords.
QUEUE = 64
#: Questions that are taken from the queue at once.
BATCH = 16
#: Seconds that a question waits for its vector at most.
PATIENCE = 3.0
_BUSY = "The server is embedding too many questions at once."
_Job = tuple[str, "Future[QueryVectors]"]


class QueuedEmbedder:
    """Implements `Embedder` by another one, whose questions come from one thread, those of several requests at once.

    The same question asked by several is embedded once.
    """

    def __init__(self, embedder: Embedder, *, size: int = QUEUE, patience: float = PATIENCE) -> None:
        self._embedder = embedder
        self._patience = patience
        self._jobs: queue.Queue[_Job | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._run, name="bethink-embedding", daemon=True)
        self._thread.start()

    @property
    def identity(self) -> Identity:
        return self._embedder.identity

    @property
    def ready(self) -> bool:
        return self._embedder.ready

    def load(self) -> None:
        """Loads the model now, if it is one that is loaded."""
        load = getattr(self._embedder, "load", None)
        if load is not None:
            load()

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        return self._embedder.passages(texts)

    def query(self, text: str) -> QueryVectors:
        future: Future[QueryVectors] = Future()
        try:
            self._jobs.put_nowait((text, future))
        except queue.Full:
            metrics.EMBEDDING_REFUSED.inc()
            raise EmbedderUnavailable(_BUSY) from None
        metrics.EMBEDDING_QUEUE.set(self._jobs.qsize())
        with metrics.timed("embed"):
            try:
                return future.result(self._patience)
            except TimeoutError:
                future.cancel()
                metrics.EMBEDDING_REFUSED.inc()
                raise EmbedderUnavailable(_BUSY) from None

    def close(self) -> None:
        """Ends the thread; what waits is answered with an error."""
        self._jobs.put(None)
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while (batch := self._taken()) is not None:
            metrics.EMBEDDING_QUEUE.set(self._jobs.qsize())
            wanted: dict[str, list[Future[QueryVectors]]] = {}
            for text, future in batch:
                if future.set_running_or_notify_cancel():
                    wanted.setdefault(text, []).append(future)
            if wanted:
                self._answer(wanted)

    def _answer(self, wanted: dict[str, list[Future[QueryVectors]]]) -> None:
        if len(wanted) > 1 and not isinstance(self._embedder, ManyQuestions):
            for text, futures in wanted.items():
                self._answer({text: futures})
            return
        everyone = [future for futures in wanted.values() for future in futures]
        try:
            made = self._embedder.queries(list(wanted)) if isinstance(self._embedder, ManyQuestions) else [self._embedder.query(*wanted)]
        except BethinkError as error:
            for future in everyone:
                future.set_exception(error)
        except Exception as error:
            # The thread must go on for the others.
            for future in everyone:
                future.set_exception(EmbedderUnavailable(f"The embedder failed: {type(error).__name__}."))
        else:
            for futures, vectors in zip(wanted.values(), made, strict=True):
                for future in futures:
                    future.set_result(vectors)

    def _taken(self) -> list[_Job] | None:
        """The next questions; None at the end."""
        first = self._jobs.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH:
            try:
                more = self._jobs.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._jobs.put(None)
                break
            batch.append(more)
        return batch
