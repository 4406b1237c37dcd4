"""The key for what two machines send each other, kept in a Vault that both can read."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from bethink.errors import SealDenied, SealUnavailable
from bethink.seal.keys import Key, named

#: Seconds after which the key is looked up again: somebody may have replaced it.
_FRESH = 600.0
#: Seconds for which a refusal stands, and between two looks for keys that messages name and that are not here.
_REST = 60.0
_LOOK = 5.0


class Place(Protocol):
    """Where the key is kept."""

    def wire_key(self, *, make: bool) -> bytes | None:
        """The key's 32 bytes; made when there is none and `make` says so.

        Raises:
            SealUnavailable: the place cannot be reached now.
            SealDenied: it may not be read or made.
        """
        ...


class SharedKeys:
    """Implements `Keys` on a place that both sides share. Nothing is asked for before a secret crosses the wire."""

    def __init__(self, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._now = clock
        self._lock = threading.Lock()
        self._key: Key | None = None
        self._asked = self._missed = float("-inf")
        self._denied: SealDenied | None = None
        self._denied_until = float("-inf")

    def current(self) -> Key:
        """The key for sealing; made at the first need.

        Raises:
            SealUnavailable, SealDenied
        """
        with self._lock:
            if self._key is None or self._now() - self._asked > _FRESH:
                self._look(make=True)
            if self._key is None:
                raise SealUnavailable("There is no key for secrets on the wire yet.")
            return self._key

    def find(self, id: bytes, salt: bytes, cost: tuple[int, int, int]) -> Key | None:
        """The key that a message names; looked up again when it is another one than this side knew."""
        if salt:
            return None
        with self._lock:
            if not self._is(id) and self._now() - self._missed > _LOOK:
                self._look(make=False, must=True)
                if not self._is(id):
                    self._missed = self._now()
            return self._key if self._is(id) else None

    def forget(self) -> None:
        """The other side does not have this key: the next need looks it up again."""
        with self._lock:
            self._key = None

    def describe(self) -> dict[str, Any]:
        return {"source": "Vault", "kind": "shared, for the wire"}

    def _is(self, id: bytes) -> bool:
        return self._key is not None and hmac.compare_digest(self._key.id, id)

    def _look(self, *, make: bool, must: bool = False) -> None:
        if self._denied is not None and self._now() < self._denied_until:
            raise self._denied
        try:
            found = self._place.wire_key(make=make)
        except SealUnavailable:
            # What was read before is still the key of both sides, as far as anybody knows.
            if self._key is None or must:
                raise
            self._asked = self._now() - _FRESH + _REST
            return
        except SealDenied as error:
            self._denied, self._denied_until = error, self._now() + _REST
            raise
        self._denied = None
        self._asked = self._now()
        self._key = None if found is None else named(found)
