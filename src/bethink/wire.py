"""The composition root: from settings to a service. Only here are backends named, and imported when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bethink.config import Settings, load
from bethink.errors import ConfigError
from bethink.model import Access, Scope
from bethink.project import project_of

if TYPE_CHECKING:
    from bethink.embed.base import Embedder
    from bethink.seal.chain import Chain
    from bethink.service.context import Briefing
    from bethink.service.core import Limits, Writer
    from bethink.service.lending import Fate
    from bethink.service.memories import Memories
    from bethink.service.reading import Reading
    from bethink.service.sealing import LazySeal
    from bethink.stores.base import Store
    from bethink.sync.engine import Engine
    from bethink.sync.http import HttpPeer
    from bethink.sync.peer import Unreachable
    from bethink.sync.replica import Replica
    from bethink.warm.server import WarmServer
    from bethink.warm.spot import Spot

#: What a replica's store calls itself beside others that use the same Vault.
_MACHINE = "machine"


def open_memories(
    path: str | Path | None = None,
    *,
    settings: Settings | None = None,
    project: str | None = None,
    writer: Writer | None = None,
    with_embedder: bool = True,
    embedder: Embedder | None = None,
) -> Memories:
    """The memories that the settings describe.

    Args:
        path: the SQLite file, instead of the one from the settings.
        settings: instead of what flags, environment and files say.
        project: where the caller stands; None means nowhere in particular, so that what is stored is global.
        writer: who writes.
        with_embedder: False for keywords only.
        embedder: one that this process has already, instead of the one that the settings name.

    Raises:
        ConfigError: a setting is wrong.
        StoreError: the store cannot be opened.
    """
    from bethink.service.core import Writer
    from bethink.service.memories import Memories

    settings = settings or load({"MEMORY_DB": str(path)} if path else None)
    if writer is None:
        writer = Writer(client=settings.client)
    if with_embedder and embedder is None:
        embedder = embedder_of(settings)
    store = store_of(settings)
    memories = Memories(
        store,
        access_of(store, settings) if settings["MEMORY_API_KEY"] else alone_of(store, settings),
        embedder=embedder if with_embedder else None,
        seal=seal_of(settings, store),
        writer=writer,
        here=Scope.of(project),
        limits=limits_of(settings),
    )
    if is_replica(settings):
        memories.elsewhere = lambda id: peer_of(settings).secret(id)
        memories.carry = lambda operation: _carried(settings, operation)
    return memories


def open_reading(settings: Settings) -> Reading | None:
    """A service for hooks: answers by keywords, never writes, never waits for a lock. None when there is no store yet.

    Raises:
        StoreError: the store cannot be read now.
    """
    from bethink.service.reading import Reading

    store = _quick_store(settings)
    return Reading(store, access_of(store, settings)) if store else None


def open_briefing(settings: Settings) -> Briefing | None:
    """As `open_reading`, for briefs."""
    from bethink.service.context import Briefing

    store = _quick_store(settings)
    return Briefing(store, access_of(store, settings)) if store else None


def _quick_store(settings: Settings) -> Store | None:
    from bethink.stores.sqlite import SQLiteStore

    return SQLiteStore(settings.database, busy_ms=0, read_only=True) if settings.database.exists() else None


def store_of(settings: Settings) -> Store:
    """The store that the settings name: PostgreSQL where DATABASE_URL is set, else the SQLite file.

    Raises:
        ConfigError: DATABASE_URL is no PostgreSQL address, or the driver is not installed.
        StoreError: the store cannot be opened or migrated.
    """
    if url := settings["DATABASE_URL"]:
        return _postgres(url, settings["DATABASE_POOL"])
    from bethink.stores.sqlite import SQLiteStore

    return SQLiteStore(settings.database)


def access_of(store: Store, settings: Settings) -> Access:
    """The local user; with what a server said of the spaces that its replica may hold."""
    user = settings["MEMORY_USER"]
    log = getattr(store, "log", None)
    binding = log.binding() if log is not None else None
    if not binding or binding["user"] != user:
        return Access.local(user)
    owners = tuple(dict.fromkeys((user, *binding["owners"])))
    return Access(user, owners, tuple(owner for owner in owners if owner not in binding.get("readonly", ())))


def member_of(store: Store, settings: Settings) -> Access:
    """The local user of a store that no server rules over; with the spaces that are kept in it, and what others lend there."""
    from bethink.service.people import SCOPES, People, Principal

    return People(store).access(Principal(settings["MEMORY_USER"], frozenset(SCOPES)))


def alone_of(store: Store, settings: Settings) -> Access:
    """As `member_of`; what a server's replica held before its key was taken away stays, too."""
    here, there = member_of(store, settings), access_of(store, settings)
    readonly = set(there.readable) - set(there.writable)
    readable = tuple(dict.fromkeys((*here.readable, *there.readable)))
    writable = tuple(owner for owner in dict.fromkeys((*here.writable, *there.writable)) if owner not in readonly)
    return replace(here, readable=readable, writable=writable)


def is_replica(settings: Settings) -> bool:
    """Whether this machine's store is kept equal with a server."""
    return settings.mode == "hybrid"


def replica_of(settings: Settings) -> Replica:
    """The local store as a replica, on connections of its own.

    Raises:
        StoreError: the store cannot be opened.
    """
    from bethink.stores.sqlite import SQLiteStore
    from bethink.sync.replica import Replica

    store = SQLiteStore(settings.database)
    return Replica(store, settings["MEMORY_USER"], seal=seal_of(settings, store), limits=limits_of(settings))


def peer_of(settings: Settings, *, wait: Callable[[Unreachable, float], None] | None = None) -> HttpPeer:
    """The server that the settings name.

    Args:
        wait: waits as long as the server asks for; without it that is an error at once.

    Raises:
        ConfigError: MEMORY_API_KEY is not set, or the address is none.
    """
    if not settings["MEMORY_API_KEY"]:
        raise ConfigError("There is no server to replicate with.", hint="Set MEMORY_API_URL and MEMORY_API_KEY.")
    from bethink.sync.http import HttpPeer

    return HttpPeer(settings["MEMORY_API_URL"], settings["MEMORY_API_KEY"], client=settings.client, wait=wait)


def _carried(settings: Settings, operation: str) -> Fate:
    """Sends one change of the log now, and what waits before it; what became of it."""
    from contextlib import closing

    from bethink.sync.errand import carried

    replica = replica_of(settings)
    with closing(replica.store), closing(peer_of(settings)) as peer:
        return carried(replica, peer, operation)


def sync_status_file(settings: Settings) -> Path:
    """Where the replicating process of this store writes down how things stand."""
    return _sync_file(settings, "json")


def sync_engine(settings: Settings) -> Engine | None:
    """What replicates in the background; None where nothing is replicated."""
    if not is_replica(settings):
        return None
    from bethink.sync.engine import Engine

    return Engine(
        lambda: replica_of(settings),
        lambda: peer_of(settings),
        lock=_sync_file(settings, "lock"),
        status=sync_status_file(settings),
        interval=settings["MEMORY_SYNC_INTERVAL"],
    )


def _sync_file(settings: Settings, kind: str) -> Path:
    import os
    from binascii import crc32

    usual = settings.database == settings.home / "memory.db"
    name = "sync" if usual else f"sync-{crc32(os.fsencode(settings.database)):08x}"
    return settings.home / "run" / f"{name}.{kind}"


def _postgres(url: str, pool_size: int) -> Store:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError("DATABASE_URL is not a PostgreSQL address.", hint="Write postgresql://host:5432/database, with a user if needed.")
    try:
        from bethink.stores.postgres import PostgresStore
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs {error.name}.", hint="Install bethink[postgres].") from error
    return PostgresStore(url, pool_size=pool_size)


def embedder_of(settings: Settings) -> Embedder | None:
    """The embedder that the settings name; made without loading a model.

    Raises:
        ConfigError: there is no such embedder.
    """
    name = settings["MEMORY_EMBEDDER"]
    if name == "none":
        return None
    if name == "onnx":
        from bethink.embed.lazy import LazyEmbedder
        from bethink.warm.embedder import BorrowedEmbedder

        return BorrowedEmbedder(spot_of(settings), lambda: LazyEmbedder(settings["MEMORY_TOKEN_VECTORS"]))
    if name in ("openai", "ollama", "tei"):
        from bethink.embed.remote import RemoteEmbedder

        return RemoteEmbedder(name, settings["MEMORY_EMBEDDER_URL"], settings["MEMORY_EMBEDDER_MODEL"], settings["MEMORY_EMBEDDER_KEY"])
    raise ConfigError(f"MEMORY_EMBEDDER is {name!r}.", hint="Use onnx, openai, ollama, tei or none.")


def spot_of(settings: Settings) -> Spot:
    """Where the processes of this store share one loaded model."""
    from bethink.warm.spot import Spot

    return Spot(settings.home, settings.database, settings["MEMORY_USER"])


def warm_server(settings: Settings, embedder: Embedder | None, on_turn: Callable[[Memories], None] | None = None) -> WarmServer:
    """A server process's part in keeping one model warm; it opens the store for itself, standing in no project."""
    from bethink.warm.server import WarmServer

    def open_for_all() -> Memories:
        return open_memories(settings=settings, embedder=embedder, with_embedder=embedder is not None)

    return WarmServer(spot_of(settings), open_for_all, embedder, on_turn)


def seal_of(settings: Settings, store: Store) -> LazySeal:
    """What the store's secrets are sealed with; keys are read or made when the first secret comes."""
    machine: str | None = None
    if settings["VAULT_ADDR"] and is_replica(settings):
        # Now, as the first secret may come inside a transaction.
        machine = _machine_of(store, settings)

    from bethink.service.sealing import LazySeal

    def build() -> Chain:
        from bethink.seal import chain
        from bethink.seal.vault import VaultSettings

        vault = None
        if settings["VAULT_ADDR"]:
            vault = VaultSettings(
                addr=settings["VAULT_ADDR"],
                token=settings["VAULT_TOKEN"],
                role=settings["VAULT_ROLE"],
                mount=settings["VAULT_MOUNT"],
                prefix=settings["VAULT_PREFIX"],
                replica=machine,
            )
        return chain.build(settings.home, encryption_key=settings["MEMORY_ENCRYPTION_KEY"], vault=vault)

    return LazySeal(build)


def _machine_of(store: Store, settings: Settings) -> str:
    """A name for this store among others that use the same Vault. Made once and kept in it: a machine's own name may change."""
    import secrets

    from bethink.model import Access
    from bethink.stores.base import ReplicaStore

    if not isinstance(store, ReplicaStore):
        raise ConfigError("A replica's store is a SQLite file.", hint="Unset DATABASE_URL or MEMORY_API_KEY.")
    if (found := store.log.fact(_MACHINE)) is None:
        with store.write(Access.local(settings["MEMORY_USER"])) as tx:
            found = tx.log.fact(_MACHINE) or secrets.token_hex(8)
            tx.log.put_fact(_MACHINE, found)
    return str(found)


def limits_of(settings: Settings) -> Limits:
    from bethink.service.core import Limits

    allow = settings["MEMORY_SECRET_ALLOW"]
    return Limits(
        noop=settings["GUARD_NOOP_THRESHOLD"],
        update=settings["GUARD_UPDATE_THRESHOLD"],
        secret_threshold=settings["MEMORY_SECRET_THRESHOLD"],
        secret_allow=tuple(part.strip() for part in allow.split(",") if part.strip()) if allow else (),
        context_tokens=settings["MEMORY_CONTEXT_TOKENS"],
    )


def here(settings: Settings, folder: Path | None = None) -> str | None:
    """The project of a folder (the current one), unless the settings name another."""
    return settings["MEMORY_PROJECT"] or project_of(folder or Path.cwd())
