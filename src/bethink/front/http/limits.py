"""How much one principal may ask in a while, counted in this process or in Redis."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import limits
from limits import RateLimitItem
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from bethink.errors import ConfigError
from bethink.front.http import metrics
from bethink.front.http.errors import TooManyRequests

if TYPE_CHECKING:
    from bethink.front.http.auth import Caller

_NONE = frozenset({"", "0", "off", "none"})


class Limiter:
    """Counts reads and writes of each principal.

    Args:
        read: such as ``60/minute``, or ``0`` for no limit.
        write: likewise.
        storage: ``memory://`` or ``redis://…``

    Raises:
        ConfigError: a limit cannot be understood.
    """

    def __init__(self, read: str, write: str, storage: str = "memory://") -> None:
        self._limits = {"read": _limit("RATE_LIMIT_READ", read), "write": _limit("RATE_LIMIT_WRITE", write)}
        #: Counting waits for the network.
        self.remote = not storage.startswith("memory")
        try:
            self._counter = MovingWindowRateLimiter(storage_from_string(storage))
        except (limits.errors.ConfigurationError, ValueError) as error:
            raise ConfigError(f"REDIS_URL: {error}", hint="Write redis://host:6379/0 and install bethink[server].") from error

    def spend(self, caller: Caller, kind: str) -> None:
        """Counts one request.

        Raises:
            TooManyRequests: it is one too many.
        """
        limit = self._limits[kind]
        # The one user of a server on loopback is limited by nobody but himself.
        if limit is None or caller.local or self._counter.hit(limit, kind, caller.name):
            return
        metrics.LIMITED.labels(kind).inc()
        reset = self._counter.get_window_stats(limit, kind, caller.name).reset_time
        raise TooManyRequests(f"{limit.amount} {kind}s in {limit.multiples} {limit.GRANULARITY.name}", _seconds(reset))


def _limit(name: str, given: str) -> RateLimitItem | None:
    if given.strip().lower() in _NONE:
        return None
    try:
        return limits.parse(given)
    except ValueError:
        raise ConfigError(f"{name} is {given!r}.", hint="Write 30/minute, 1000/hour, or 0 for no limit.") from None


def _seconds(until: float) -> int:
    return max(1, math.ceil(until - time.time()))
