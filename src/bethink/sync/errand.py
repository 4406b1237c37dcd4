"""A change of the log that somebody waits for: it is sent at once, with what waits before it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bethink.errors import PeerError
from bethink.service.lending import Fate
from bethink.sync.peer import Json, Peer
from bethink.sync.replica import Replica
from bethink.sync.session import Session

#: Seconds after which the rest is left to the next round.
PATIENCE = 20.0


class Hearing:
    """A peer whose answer to one change is noted as it passes."""

    def __init__(self, inner: Peer, operation: str) -> None:
        self._inner = inner
        self._operation = operation
        self.answer: Json | None = None

    def push(self, changes: Sequence[Json]) -> Json:
        told = self._inner.push(changes)
        answers = told.get("answers")
        for each in answers if isinstance(answers, list) else ():
            # What the server does not have is sent whole, and then this again.
            if isinstance(each, dict) and each.get("operation") == self._operation and each.get("result") != "unknown":
                self.answer = each
        return told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def carried(replica: Replica, peer: Peer, operation: str, patience: float = PATIENCE) -> Fate:
    """Sends what waits up to this change; what became of it. It stays in the log until the server has it."""
    heard: Any = Hearing(peer, operation)
    end = time.monotonic() + patience
    why = "It follows what waits already."
    try:
        session = Session(replica, heard, stop=lambda: heard.answer is not None or time.monotonic() > end)
        session.connect()
        session.push()
    except PeerError as error:
        why = error.message
    change = replica.store.log.get(operation)
    answer = heard.answer or {}
    if change is None:
        return Fate(answer)
    return Fate(answer, "" if change.refused else why, change.refused)
