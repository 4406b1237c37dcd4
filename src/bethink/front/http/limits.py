"""How much one principal may ask in a while, counted in this process or in Redis."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import limits
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from bethink.errors import ConfigError
from bethink.front.http import metrics
from bethink.front.http.errors import TooManyRequests

if TYPE_CHECKING:
    from bethink.front.http.auth import Caller

#: What is counted, in words.
_COUNTED = {"read": "reads", "write": "writes", "sync": "requests of replication"}
_NONE = frozenset({"", "0", "off", "none"})
_REDIS = ("redis://", "rediss://", "redis+unix://", "redis+sentinel://", "redis+cluster://")
#: Seconds that Redis has for an answer, and for which it is left alone after it gave none.
_SECONDS, _AWAY_SECONDS = 1.0, 5.0
_log = logging.getLogger("bethink.api")


class Limiter:
    """Counts reads, writes and requests of replication of each principal.

    Args:
        read: such as ``60/minute``, or ``0`` for no limit.
        write: likewise.
        sync: likewise.
        storage: ``redis://…``; counted in this process without one.

    Raises:
        ConfigError: a limit cannot be understood.
    """

    def __init__(self, read: str, write: str, storage: str | None = None, *, sync: str = "0") -> None:
        given = {"read": read, "write": write, "sync": sync}
        self._limits = {kind: _limit(f"RATE_LIMIT_{kind.upper()}", limit) for kind, limit in given.items()}
        #: Counting waits for the network.
        self.remote = storage is not None
        self._here = MovingWindowRateLimiter(MemoryStorage())
        self._counter = MovingWindowRateLimiter(_storage(storage)) if storage is not None else self._here
        self._away_until = 0.0

    def spend(self, caller: Caller, kind: str) -> None:
        """Counts one request.

        Raises:
            TooManyRequests: it is one too many.
        """
        limit = self._limits[kind]
        # The one user of a server on loopback is limited by nobody but himself.
        if limit is None or caller.local:
            return
        reset = self._counted(limit, kind, caller.name)
        if reset is None:
            return
        metrics.LIMITED.labels(kind).inc()
        raise TooManyRequests(f"{limit.amount} {_COUNTED[kind]} in {limit.multiples} {limit.GRANULARITY.name}", _seconds(reset))

    def _counted(self, limit: RateLimitItem, kind: str, name: str) -> float | None:
        """Counts one request; when the next is free (Unix time), if it is one too many."""
        if self.remote and time.monotonic() >= self._away_until:
            try:
                return _hit(self._counter, limit, kind, name)
            except StorageError as error:
                # Memories are answered without Redis; each process counts for itself meanwhile.
                self._away_until = time.monotonic() + _AWAY_SECONDS
                _log.warning("rate limits are counted by this process alone: %s", type(error.storage_error).__name__)
        return _hit(self._here, limit, kind, name)


def _hit(counter: MovingWindowRateLimiter, limit: RateLimitItem, kind: str, name: str) -> float | None:
    return None if counter.hit(limit, kind, name) else counter.get_window_stats(limit, kind, name).reset_time


def _storage(url: str) -> Any:
    hint = "Write redis://host:6379/0 and install bethink[redis]."
    if not url.startswith(_REDIS):
        raise ConfigError("REDIS_URL is no address of Redis.", hint=hint)
    patience = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
    try:
        return storage_from_string(url, wrap_exceptions=True, **patience)
    except (limits.errors.ConfigurationError, ValueError) as error:
        raise ConfigError(f"REDIS_URL: {error}", hint=hint) from error


def _limit(name: str, given: str) -> RateLimitItem | None:
    if given.strip().lower() in _NONE:
        return None
    try:
        return limits.parse(given)
    except ValueError:
        raise ConfigError(f"{name} is {given!r}.", hint="Write 30/minute, 1000/hour, or 0 for no limit.") from None


def _seconds(until: float) -> int:
    return max(1, math.ceil(until - time.time()))
