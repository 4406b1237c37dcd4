"""What all requests share: the store, the model, the keys; and the memories as one caller sees them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from bethink import wire
from bethink.errors import BethinkError, ConfigError
from bethink.front.http import auth, metrics
from bethink.front.http.embedding import QueuedEmbedder
from bethink.front.http.limits import Limiter
from bethink.front.http.upstream import Upstream
from bethink.model import Access, Recalled, Scope
from bethink.service.core import Writer, utc_now
from bethink.service.indexing import Indexer
from bethink.service.memories import Memories
from bethink.service.people import People

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.front.http.oidc import Provider
    from bethink.model import Query
    from bethink.rank import Found
    from bethink.stores.base import Plan, Store

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
#: Seconds between two times that uses are written down.
_FLUSH_SECONDS = 15.0


class Server:
    """The shared parts of one server process.

    Args:
        settings: the values in force.
        host: the address that is listened on.

    Raises:
        ConfigError: a setting is wrong, or others could reach the server without credentials.
        StoreError: the store cannot be opened or migrated.
    """

    def __init__(self, settings: Settings, host: str = "127.0.0.1") -> None:
        self.settings = settings
        self.host = host
        keys = auth.keys_of(settings["API_KEY"], settings["API_KEYS"], settings["MEMORY_USER"])
        self.tokens = _provider(settings)
        self.limiter = Limiter(
            settings["RATE_LIMIT_READ"], settings["RATE_LIMIT_WRITE"], settings["REDIS_URL"] or None, sync=settings["RATE_LIMIT_SYNC"]
        )
        self.store = cast("Store", _Measured(wire.store_of(settings)))
        own = frozenset({settings["MEMORY_USER"], *(key.user for key in keys)})
        self.counts = metrics.Counts(self.store)
        #: Where the store is itself a replica.
        self.upstream = Upstream.of(settings, self.store)
        self.people = People(self.store, known=own)
        everybody = self.people.users()
        self.needs_credentials = bool(keys or self.tokens or everybody)
        if host not in LOOPBACK and not self.needs_credentials:
            self.store.close()
            raise ConfigError(
                f"Everybody who reaches {host} could read the memories.",
                hint="Set API_KEY, API_KEYS or OIDC_ISSUER, add a user by `bethink users add NAME`, or listen on 127.0.0.1.",
            )
        _refuse_twins(own, {user.name for user in everybody if user.issuer})
        local = None if self.needs_credentials else settings["MEMORY_USER"]
        self.authenticator = auth.Authenticator(keys, self.people, self.tokens, local, own, utc_now)
        self.seal = wire.seal_of(settings, self.store)
        self._limits = replace(wire.limits_of(settings), embed_first=0)
        embedder = wire.embedder_of(settings)
        self.embedder = QueuedEmbedder(embedder) if embedder is not None else None
        self._indexer = Indexer(self.store, self.embedder) if self.embedder is not None else None
        self._uses: dict[Access, set[str]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._flusher = threading.Thread(target=self._flush_now_and_then, name="bethink-uses", daemon=True)

    def start(self) -> None:
        """Begins what goes on beside the requests."""
        self._flusher.start()
        if self.upstream is not None:
            self.upstream.start()
        if self._indexer is not None:
            self._indexer.start()
            # The first question shall not wait for the model.
            threading.Thread(target=self._load, name="bethink-load", daemon=True).start()

    def close(self) -> None:
        """Writes down what was only kept in mind and closes the store."""
        self._stopped.set()
        if self.upstream is not None:
            self.upstream.stop()
        if self._indexer is not None:
            self._indexer.stop()
        if self.embedder is not None:
            self.embedder.close()
        self.flush_uses()
        self.store.close()

    def memories(self, caller: auth.Caller, writer: Writer, project: str | None = None) -> Memories:
        """The service as one caller sees it."""
        made = _Shared(
            self.store,
            caller.access,
            embedder=self.embedder,
            seal=self.seal,
            writer=writer,
            here=Scope.of(caller.access.project or project),
            limits=self._limits,
        )
        made.server, made.caller, made.people = self, caller, self.people
        return made

    def wrote(self) -> None:
        """Something was stored: its vector can be made, and a replica can send it."""
        if self._indexer is not None:
            self._indexer.wake()
        if self.upstream is not None:
            self.upstream.nudge()

    def used(self, access: Access, ids: Sequence[str]) -> None:
        """Memories were shown; written down later, for many requests at once."""
        with self._lock:
            self._uses.setdefault(access, set()).update(ids)

    def flush_uses(self) -> None:
        with self._lock:
            uses, self._uses = self._uses, {}
        for access, ids in uses.items():
            with suppress(BethinkError):
                self.store.touch(access, sorted(ids), utc_now())

    def check(self) -> None:
        """Asks the database for a sign of life, and for its schema.

        Raises:
            StoreError: there is none, or the schema is another.
        """
        if hasattr(self.store, "ping"):
            self.store.ping()
        else:
            self.store.projects(Access("", (), ()))

    def _load(self) -> None:
        with suppress(BethinkError):
            if self.embedder is not None:
                self.embedder.load()

    def _flush_now_and_then(self) -> None:
        while not self._stopped.wait(_FLUSH_SECONDS):
            self.flush_uses()


class _Shared(Memories):
    """Memories of one request, made from what all requests share."""

    server: Server
    caller: auth.Caller

    def secret(self, id: str) -> dict[str, Any]:
        self.caller.must(auth.SECRETS)
        return super().secret(id)

    def recall(self, query: Query) -> Recalled:
        with metrics.timed("total"):
            answer = super().recall(query)
        self.server.used(self.access, [hit.memory.id for hit in answer.hits[:3]])
        return answer

    def close(self) -> None:
        """The store stays open for the others."""


class _Measured:
    """A store whose searches are timed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def search(self, access: Access, plan: Plan) -> Found:
        with metrics.timed("search"):
            return self._store.search(access, plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _provider(settings: Settings) -> Provider | None:
    issuer, audience = settings["OIDC_ISSUER"], settings["OIDC_AUDIENCE"]
    if not issuer and not audience:
        return None
    if not issuer or not audience:
        missing = "OIDC_AUDIENCE" if issuer else "OIDC_ISSUER"
        raise ConfigError(f"{missing} is not set.", hint="Tokens are accepted from OIDC_ISSUER for OIDC_AUDIENCE; set both or none.")
    from bethink.front.http.oidc import Provider

    return Provider(issuer, tuple(part.strip() for part in audience.split(",") if part.strip()))


def _refuse_twins(own: frozenset[str], met: set[str]) -> None:
    if both := sorted(own & met):
        raise ConfigError(
            f"{', '.join(both)}: a user of the OpenID provider has this name already.",
            hint="Choose another name in API_KEYS or MEMORY_USER.",
        )
