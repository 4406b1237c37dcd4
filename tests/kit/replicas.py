"""A server and its replicas in one process: real files, no network."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bethink.exchange import packed
from bethink.model import Access, Draft, Filter, Memory
from bethink.seal import chain
from bethink.seal.vault import VaultSettings
from bethink.service.conflicts import open_conflicts
from bethink.service.core import Writer
from bethink.service.feeding import Feeding
from bethink.service.lending import Fate
from bethink.service.memories import Memories
from bethink.service.people import SCOPES, People, Principal
from bethink.service.sealing import LazySeal
from bethink.stores.base import Store
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.direct import DirectPeer
from bethink.sync.peer import Json, Peer
from bethink.sync.replica import Replica
from bethink.sync.session import Report, Session

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that moves a little at every look, and may be wrong."""

    def __init__(self) -> None:
        self.at = START
        self.wrong = timedelta(0)
        self._ticks = itertools.count()

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at + self.wrong


def seal_in(folder: Path, key: str | None = None, vault: VaultSettings | None = None) -> LazySeal:
    return LazySeal(lambda: chain.build(folder, encryption_key=key, vault=vault, use_keyring=False))


class Server:
    """The memories of one server."""

    def __init__(self, folder: Path, *, store: Store | None = None, key: str | None = None, vault: VaultSettings | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()
        self.store = store or SQLiteStore(folder / "server.db")
        self.seal = seal_in(folder, key, vault)
        self.people: People | None = None

    def memories(self, user: str = "ann", access: Access | None = None) -> Memories:
        made = Memories(self.store, access or Access.local(user), seal=self.seal, clock=self.clock, writer=Writer("server"))
        made.people = self.people
        return made

    def serving(self, user: str = "ann", access: Callable[[], Access] | None = None) -> Callable[[], Feeding]:
        return lambda: Feeding.of(self.memories(user, access() if access else None))

    def close(self) -> None:
        self.store.close()


def crowd(server: Server) -> tuple[People, Callable[[], None]]:
    """Ann, Bob and a space of Ann's; and what lets Bob in."""
    people = server.people = People(server.store, known=("ann", "bob"), clock=server.clock)
    people.add_space("team", "ann")

    def let_in() -> None:
        people.invite("team", "bob", "writer", "ann")
        people.accept("team", "bob")

    return people, let_in


def access_of(people: People, name: str) -> Callable[[], Access]:
    return lambda: people.access(Principal(name, frozenset(SCOPES)))


class Machine:
    """One machine with a store of its own, and its way to the server."""

    def __init__(
        self,
        folder: Path,
        name: str,
        server: Server,
        *,
        user: str = "local",
        principal: str = "ann",
        key: str | None = None,
        vault: VaultSettings | None = None,
        access: Callable[[], Access] | None = None,
        wrap: Callable[[Peer], Peer] = lambda peer: peer,
        readable: tuple[str, ...] | None = None,
    ) -> None:
        (folder / name).mkdir(parents=True, exist_ok=True)
        self.name = name
        self.path = folder / name / "memory.db"
        self.user = user
        self.principal = principal
        self.clock = Clock()
        self.seal = seal_in(folder / name, key, vault)
        self.peer = wrap(DirectPeer(server.serving(principal, access), "direct:server"))
        self._readable = readable
        self.open()

    def open(self) -> None:
        self.store = SQLiteStore(self.path)
        self.replica = Replica(self.store, self.user, seal=self.seal, clock=self.clock)

    def reopen(self) -> None:
        """As after a crash: nothing is left but the file."""
        self.store.close()
        self.open()

    @property
    def memories(self) -> Memories:
        access, readonly = self.replica.access, (self.replica.binding or {}).get("readonly", ())
        access = replace(access, writable=tuple(owner for owner in access.writable if owner not in readonly))
        made = Memories(self.store, access, seal=self.seal, clock=self.clock, writer=Writer(self.name))
        made.carry = self.carry
        return made

    def carry(self, operation: str) -> Fate:
        """What is lent waits for the next round."""
        return Fate({}, "the next round")

    def say(self, content: str, **fields: Any) -> Memory:
        return self.memories.remember(Draft(content, verbatim=True, **fields)).memory

    def sync(self, *, verify: bool = False) -> Report:
        return self.session().round(verify=verify)

    def session(self) -> Session:
        return Session(self.replica, self.peer, chance=lambda: 0.5)


class Tapped:
    """A peer on a line that others can read; every word is written down."""

    confidential = False

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address = inner.address
        self.heard: list[str] = []

    def push(self, changes: Sequence[Json]) -> Json:
        self.heard.append(json.dumps(list(changes)))
        return self._said(self.inner.push(changes))

    def changes(self, cursor: str | None, limit: int) -> Json:
        return self._said(self.inner.changes(cursor, limit))

    def fetch(self, ids: Sequence[str]) -> Json:
        return self._said(self.inner.fetch(ids))

    def _said(self, answer: Json) -> Json:
        self.heard.append(json.dumps(answer))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Private(Tapped):
    """The same inside TLS: only the two ends read it."""

    confidential = True


def everything(store: Store, access: Access, *, own: str) -> dict[str, dict[str, Any]]:
    """All that replicas must agree on, by id."""
    every = Filter(statuses=())
    found: dict[str, dict[str, Any]] = {}
    for where in (every, Filter(statuses=(), deleted=True), Filter(statuses=(), expired=True)):
        for memory in store.walk(access, where, START):
            shape = packed(memory)
            shape["owner"] = "own" if memory.owner == own else memory.owner
            found[memory.id] = shape
    for id, shape in found.items():
        shape["links"] = sorted((link.target, link.type) for link in store.links_of(access, [id]) if link.source == id)
        # Sealing empties what was kept before it.
        shape["open"] = sorted(one["operation"] for one in open_conflicts(store, access, [id]))
        shape["conflicts"] = sorted(one.note for one in store.revisions_named(access, "conflict", [id]) if one.note)
    return found


def opened(place: Server | Machine, access: Access, id: str) -> dict[str, str]:
    """The secrets of a memory, also of one that is forgotten."""
    owner = place.store.get(access, [id])[id].owner
    return {name: place.seal.chain.open(owner, id, name, blob, meta) for name, blob, meta in place.store.secrets_of(access, id)}


def differences(found: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """(id, field, found, wanted) of everything in which two of `everything`'s answers differ."""
    return [
        (id, name, found.get(id, {}).get(name), wanted.get(id, {}).get(name))
        for id in sorted({*found, *wanted})
        for name in sorted({*found.get(id, {}), *wanted.get(id, {})})
        if found.get(id, {}).get(name) != wanted.get(id, {}).get(name)
    ]
