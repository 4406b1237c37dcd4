"""The server that a served store is itself kept equal with, where it is a replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bethink import wire
from bethink.front.http.metrics import Kept
from bethink.service.core import utc_now
from bethink.sync.replica import Replica
from bethink.sync.status import prometheus, read_status, standing

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.stores.base import ReplicaStore, Store
    from bethink.sync.engine import Engine


class Upstream:
    """Replicates beside the requests, as any process that works on the store does; one of them at a time is active.

    Args:
        store: the one that is served.

    Raises:
        ConfigError: the settings name no server that could be reached.
    """

    def __init__(self, settings: Settings, store: Store, engine: Engine) -> None:
        peer = wire.peer_of(settings)
        #: Where it is, without credentials.
        self.address = peer.address
        peer.close()
        self._engine = engine
        self._file = wire.sync_status_file(settings)
        self._replica = Replica(cast("ReplicaStore", store), settings["MEMORY_USER"])
        self._metrics = Kept(self._told)

    @classmethod
    def of(cls, settings: Settings, store: Store) -> Upstream | None:
        """None where the served store is no replica."""
        engine = wire.sync_engine(settings)
        return None if engine is None else cls(settings, store, engine)

    def start(self) -> None:
        self._engine.start()

    def nudge(self) -> None:
        """Something was written: it is sent now."""
        self._engine.nudge()

    def stop(self) -> None:
        self._engine.stop()

    def health(self) -> dict[str, Any]:
        """How the replica stands, as strangers may know it: no address, no name.

        Raises:
            StoreError
        """
        said = read_status(self._file)
        error = said.get("last_error") or {}
        counts = self._replica.store.log.summary()
        return {
            "mode": "hybrid",
            "pending": counts["pending"],
            "refused": counts["refused"],
            "last_ok": said.get("last_ok"),
            "failures": said.get("failures", 0),
            "error": error.get("code"),
        }

    def metrics(self) -> bytes:
        """As `bethink sync --metrics`."""
        return (self._metrics.get() or "").encode()

    def _told(self) -> str:
        return prometheus(standing(self._replica, self._file, is_on=True, now=utc_now()))
