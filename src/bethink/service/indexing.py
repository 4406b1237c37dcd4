"""Vectors that are still missing: made a few at a time, by whichever process has the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bethink.errors import BethinkError, EmbedderError, StoreError

if TYPE_CHECKING:
    from bethink.embed.base import Embedder
    from bethink.stores.base import Store

BATCH = 32
#: Memories that are embedded at a time beside somebody who asks: more take longer each, and he waits for all of them.
_BESIDE = 2


def embed_pending(store: Store, embedder: Embedder, *, limit: int, seconds: float = 60.0) -> int:
    """Embeds memories that wait for a vector, newest first; answers how many.

    Raises:
        EmbedderError: the model cannot be used, or the store holds another embedder's vectors.
    """
    done = 0
    end = time.monotonic() + seconds
    while done < limit and time.monotonic() < end:
        waiting = store.pending_vectors(min(BATCH, limit - done))
        if not waiting:
            break
        passages = embedder.passages([content for _, content in waiting])
        stored = store.put_vectors(
            embedder.identity, [(key, content, each) for (key, content), each in zip(waiting, passages, strict=True)]
        )
        if not stored:
            break
        done += stored
    return done


def reindex(store: Store, embedder: Embedder, *, progress: Callable[[int], None] = lambda done: None) -> int:
    """Embeds everything with this embedder; may be interrupted at any time and is resumed by the next call.

    Raises:
        EmbedderError: the model cannot be used; nothing was dropped.
    """
    embedder.query("warm up before anything is dropped")
    if store.embedder() not in (None, embedder.identity):
        store.drop_vectors()
    total = 0
    while done := embed_pending(store, embedder, limit=BATCH):
        total += done
        progress(total)
    return total


class Indexer:
    """A thread of a server process that makes missing vectors soon after they are missed.

    Args:
        pause: seconds between two looks when nobody says that something was written.
        give_way: called before each few; returns when nobody waits for an answer.
    """

    def __init__(self, store: Store, embedder: Embedder, *, pause: float = 5.0, give_way: Callable[[], object] = lambda: None) -> None:
        self._store = store
        self._embedder = embedder
        self._pause = pause
        self._give_way = give_way
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="bethink-indexer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Says that something was written."""
        self._woken.set()

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped:
            try:
                # Few at a time: whoever asks meanwhile waits for no more than that.
                while not self._stopped and embed_pending(self._store, self._embedder, limit=_BESIDE):
                    time.sleep(0.002)
                    self._give_way()
            except EmbedderError:
                # An endpoint may come back, and `bethink reindex` ends a mismatch.
                self._woken.wait(60)
            except (StoreError, BethinkError):
                time.sleep(1)
            self._woken.wait(self._pause)
            self._woken.clear()
