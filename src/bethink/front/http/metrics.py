"""What the server counts, as Prometheus reads it. No label holds a user's name, an id or a content."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from bethink.errors import BethinkError
from bethink.front.http import tracing

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
#: Seconds for which counts over all memories are kept: they cost a scan.
_KEPT_SECONDS = 60.0

REQUESTS = Counter("bethink_requests_total", "Requests by route and status.", ("method", "route", "status"))
SECONDS = Histogram("bethink_request_seconds", "Time to answer, by route.", ("route",), buckets=_BUCKETS)
RECALL = Histogram("bethink_recall_seconds", "Time of a recall, by stage.", ("stage",), buckets=_BUCKETS)
TOOLS = Counter("bethink_tool_calls_total", "Calls of MCP tools.", ("tool", "outcome"))
AUTH_FAILURES = Counter("bethink_auth_failures_total", "Requests without acceptable credentials.", ("reason",))
LIMITED = Counter("bethink_rate_limited_total", "Requests beyond a rate limit.", ("kind",))
SEAL_ERRORS = Counter("bethink_seal_errors_total", "Secrets that could not be sealed or opened.")
RUNNING = Gauge("bethink_requests_running", "Requests that are being answered.")
EMBEDDING_QUEUE = Gauge("bethink_embedding_queue", "Questions that wait for their vectors.")
EMBEDDING_REFUSED = Counter("bethink_embedding_refused_total", "Questions answered by keywords only, because the queue was full.")
SYNC_CHANGES = Counter("bethink_sync_changes_total", "Changes that replicas sent, by what became of them.", ("result",))
SYNC_ITEMS = Counter("bethink_sync_items_total", "Memories and tombstones sent to replicas.")
SYNC_BYTES = Counter("bethink_sync_bytes_total", "Bytes of replication as they pass, by direction.", ("direction",))
SYNC_RESETS = Counter("bethink_sync_resets_total", "Cursors from a future that this server has lost, as after a restored backup.")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Measures one stage of a recall, and shows it in the request's trace."""
    started = time.perf_counter()
    try:
        with tracing.stage(f"recall {stage}"):
            yield
    finally:
        RECALL.labels(stage).observe(time.perf_counter() - started)


def text(counts: Counts) -> bytes:
    """Everything counted, and what the store says of itself."""
    return generate_latest(REGISTRY) + b"".join(_shown(family) for family in counts.families())


class Kept:
    """A value that is computed again only after a while."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute
        self._until = 0.0
        self._value: Any = None

    def get(self) -> Any:
        if time.monotonic() > self._until:
            with suppress(BethinkError):
                self._value = self._compute()
            self._until = time.monotonic() + _KEPT_SECONDS
        return self._value


class Counts:
    """Counts over all owners of one store.

    Args:
        store: with `totals` and `waiting`; with `pool` where there is one.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._totals, self._waiting = Kept(store.totals), Kept(store.waiting)

    def families(self) -> Iterator[GaugeMetricFamily]:
        memories = GaugeMetricFamily("bethink_memories", "Memories that hold, by category.", labels=["category"])
        for category, count in (self._totals.get() or {}).items():
            memories.add_metric([category], count)
        yield memories
        yield GaugeMetricFamily("bethink_pending_vectors", "Memories that wait for a vector.", value=self._waiting.get() or 0)
        if hasattr(self._store, "pool"):
            pool = GaugeMetricFamily("bethink_database_pool", "Counters of the connection pool.", labels=["name"])
            for name, value in self._store.pool().items():
                pool.add_metric([name], value)
            yield pool


def _shown(family: GaugeMetricFamily) -> bytes:
    lines = [f"# HELP {family.name} {family.documentation}", f"# TYPE {family.name} gauge"]
    for sample in family.samples:
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
        lines.append(f"{sample.name}{{{labels}}} {float(sample.value)}" if labels else f"{sample.name} {float(sample.value)}")
    return ("\n".join(lines) + "\n").encode()
