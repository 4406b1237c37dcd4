"""The thread that keeps a replica equal with its server, in one process of a machine at a time."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bethink.errors import BethinkError
from bethink.sync import plan
from bethink.sync.peer import Peer, Unauthorized, Unreachable, WrongServer
from bethink.sync.replica import Replica
from bethink.sync.session import Report, Session
from bethink.sync.status import write_status
from bethink.warm.lock import FileLock

#: Seconds between two looks at the lock, at the store and at the network.
_LOOK = 0.5
_ROUTE = 5.0
#: Seconds between two comparisons of digests.
VERIFY = 600.0
#: Seconds after which what the server refused is tried once more.
_REFUSED_AGAIN = 3600.0
#: A pause that took this much longer than it should: the machine slept.
_SLEPT = 30.0


class Engine:
    """Replicates in the background. Nobody waits for it.

    Args:
        open: opens the replica; called in the engine's thread.
        connect: makes the peer; called in the engine's thread.
        lock: file that only one engine of a machine holds.
        status: file in which others read how things stand.
        interval: seconds between two rounds when nothing happens.
    """

    def __init__(
        self, open: Callable[[], Replica], connect: Callable[[], Peer], *, lock: Path, status: Path, interval: float = 60.0
    ) -> None:
        self._open = open
        self._connect = connect
        self._lock = FileLock(lock)
        self._folder = lock.parent
        self._status = status
        self._interval = max(1.0, interval)
        self._stopped = threading.Event()
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bethink-sync", daemon=True)
        self._failures = 0
        self._verified = 0.0
        self._tried_all = time.monotonic()
        #: Bytes sent and received that the status file counts already.
        self._counted = (0, 0)

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """Something was written: it is sent now."""
        self._nudged.set()

    def stop(self, patience: float = 2.0) -> None:
        """Ends the thread; a request that is under way is not waited for longer than `patience` seconds."""
        self._stopped.set()
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _run(self) -> None:
        replica: Replica | None = None
        peer: Peer | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while not self._lock.acquire():
                if self._stopped.wait(_LOOK * (1 + random.random())):
                    return
            while not self._stopped.is_set():
                pause = self._interval
                try:
                    if replica is None or peer is None:
                        replica, peer = self._open(), self._connect()
                    pause = self._turn(replica, peer)
                except Exception as error:
                    # Whatever it is: what was written waits in the log, and the next round may do better.
                    self._failures += 1
                    pause = self._pause(None)
                    self._tell(_told(error), pause, peer)
                self._wait(replica, peer, pause)
        except OSError:
            # A home that cannot be written: everything stays in the log.
            return
        finally:
            self._lock.release()
            if peer is not None:
                peer.close()
            if replica is not None:
                with suppress(BethinkError):
                    replica.store.close()

    def _turn(self, replica: Replica, peer: Peer) -> float:
        """One round; answers the pause until the next."""
        now = time.monotonic()
        if now - self._tried_all > _REFUSED_AGAIN:
            self._tried_all = now
            replica.try_all()
        verify = not self._verified or now - self._verified > VERIFY * (0.8 + 0.4 * random.random())
        self._nudged.clear()
        report = Session(replica, peer, stop=self._stopped.is_set).round(verify=verify)
        if verify and report.ok:
            self._verified = now
        error = next(iter(report.errors.values()), None)
        self._failures = self._failures + 1 if error else 0
        pause = self._pause(report)
        self._tell(error, pause, peer)
        return pause

    def _pause(self, report: Report | None) -> float:
        chance = random.random()
        errors = list(report.errors.values()) if report else []
        if any(isinstance(error, Unauthorized | WrongServer) for error in errors):
            return plan.LONGEST * (0.5 + chance)
        pause = plan.pause_of_round(self._failures, self._interval, chance)
        asked = [error.retry_after for error in errors if isinstance(error, Unreachable) and error.retry_after]
        return max([pause, *asked])

    def _wait(self, replica: Replica | None, peer: Peer | None, pause: float) -> None:
        """Waits for the next round, for something to send, for the network to come back, or for the end."""
        end = time.monotonic() + pause
        route = self._route(peer) if self._failures else None
        looked = time.monotonic()
        version = self._version(replica)
        while (now := time.monotonic()) < end and not self._stopped.is_set():
            before = time.time()
            if self._nudged.wait(min(_LOOK, end - now)) and not self._failures:
                return
            self._nudged.clear()
            if time.time() - before > _SLEPT:
                return
            if self._failures:
                if time.monotonic() - looked > _ROUTE:
                    looked = time.monotonic()
                    if (found := self._route(peer)) != route and found is not None:
                        return
                    route = found
                continue
            if (changed := self._version(replica)) != version:
                version = changed
                if replica is not None and self._has_work(replica):
                    return

    def _has_work(self, replica: Replica) -> bool:
        with suppress(BethinkError):
            return bool(replica.outgoing(1))
        return False

    def _version(self, replica: Replica | None) -> int:
        if replica is not None:
            with suppress(BethinkError):
                return replica.store.data_version()
        return 0

    def _route(self, peer: Peer | None) -> str | None:
        """The address that this machine would be seen with; sends nothing."""
        parts = urlsplit(peer.address if peer else "")
        if not parts.hostname:
            return None
        try:
            family, kind, _, _, address = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
        except OSError:
            return None

    def _tell(self, error: BethinkError | None, pause: float, peer: Peer | None) -> None:
        next_try = datetime.now(UTC) + timedelta(seconds=pause)
        sent, received = getattr(peer, "sent_bytes", 0), getattr(peer, "received_bytes", 0)
        moved = (sent - self._counted[0], received - self._counted[1])
        self._counted = (sent, received)
        write_status(self._status, error, next_try=next_try, failures=self._failures, moved=moved)


def _told(error: Exception) -> BethinkError:
    """An error for the status file; of an unforeseen one only the kind, as its text may hold a content."""
    if isinstance(error, BethinkError):
        return error
    return BethinkError(f"Unexpected {type(error).__name__} while replicating.", hint="`bethink sync` shows more; please report it.")
