"""The port to databases that keep memories.

A store knows nothing of rules: it writes what it is told in one transaction and finds what matches. Every
method that reads or writes memories takes an `Access`; the store ANDs its predicate into every query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bethink.model import Access, Filter, Link, Memory, Page, Revision, Scope
from bethink.rank import Found

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage


#: What the work is done for, such as a request's id; a database that can notes it beside its statements.
REQUEST: ContextVar[str] = ContextVar("bethink_request", default="")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do; tests and the service branch on this, never on a backend's name."""

    vectors: bool
    #: Several processes may write at once.
    shared: bool
    #: The database itself enforces who may read.
    row_security: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What recall asks of a store in one round trip."""

    #: The question's words and the expansion's, as typed; the store tokenises them its own way.
    text: str
    expanded: str
    where: Filter
    now: datetime
    #: How many candidates each signal may bring.
    k: int = 100
    use_keywords: bool = True
    #: Unit vector of the question; None asks for keywords only.
    vector: npt.NDArray[np.float32] | None = None
    #: Also fetch vectors and token vectors of the candidates, for reranking.
    with_vectors: bool = False


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the hash-chained audit log. Holds no content."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    previous: str
    digest: str


class Transaction(Protocol):
    """One write transaction: all of it or nothing. Rows that `access` may not write raise Forbidden."""

    def insert(self, memory: Memory) -> None:
        """Adds a memory, findable by keyword at once, and queues its vector."""
        ...

    def update(self, memory: Memory, before: Memory) -> None:
        """Writes the changed memory over `before` (same id); text changes are re-indexed and re-queued.

        Raises:
            VersionConflict: the row no longer has `before.version`.
        """
        ...

    def erase(self, id: str) -> dict[str, int]:
        """Removes a memory from rows, index, vectors, revisions, links, queues; answers what was removed, by kind."""
        ...

    def get(self, id: str) -> Memory | None: ...

    def find_exact(self, owner: str, content_hash: str, scope: Scope) -> Memory | None:
        """The live memory with exactly this content there, if any."""
        ...

    def add_revision(self, revision: Revision) -> None: ...

    def add_link(self, link: Link) -> bool:
        """Adds an edge; False when it was there already."""
        ...

    def remove_link(self, source: str, target: str, type: str) -> bool: ...

    def links_of(self, ids: Sequence[str]) -> list[Link]:
        """Every edge that starts or ends at one of `ids`."""
        ...

    def append_audit(self, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Appends to the chain."""
        ...

    def archived(self, owner: str, content_hash: str, session: str | None, at: datetime) -> bool:
        """Whether the archive holds exactly this, said in the same session or (copied into another) at the same moment."""
        ...

    def state_get(self, namespace: str, key: str) -> dict[str, Any] | None:
        """What `state_put` put there last."""
        ...

    def state_put(self, namespace: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Keeps a JSON object under a name of the writing owner; None removes it."""
        ...

    def put_secret(self, memory: str, name: str, sealed: bytes, meta: Mapping[str, Any]) -> None:
        """Keeps a sealed secret (or a reference to where it is kept) for a memory."""
        ...

    def scrub_revisions(self, id: str) -> None:
        """Takes the texts out of a memory's revisions; that and when something changed stays."""
        ...

    def record_change(self, operation: str, memory: str, op: str, base_version: int, payload: Mapping[str, Any]) -> None:
        """Adds one entry to the change log that sync sends (a no-op where the store is not a replica)."""
        ...


class Store(Protocol):
    """Where memories are kept."""

    @property
    def capabilities(self) -> Capabilities: ...

    def close(self) -> None: ...

    def write(self, access: Access) -> AbstractContextManager[Transaction]:
        """Opens a write transaction; committed on leaving, rolled back on an error.

        Raises:
            StoreBusy, StoreFull, StoreCorrupt
        """
        ...

    def get(self, access: Access, ids: Sequence[str]) -> dict[str, Memory]: ...

    def resolve(self, access: Access, prefix: str, limit: int = 3) -> list[str]:
        """Ids that start with `prefix`."""
        ...

    def page(
        self, access: Access, where: Filter, now: datetime, *, limit: int, offset: int, order: str = "recency", with_total: bool = True
    ) -> Page:
        """order: recency | importance | oldest. `total` is -1 unless asked for: counting costs more than a page."""
        ...

    def walk(self, access: Access, where: Filter, now: datetime) -> Iterator[Memory]:
        """Everything that matches, oldest first, without holding it in memory or a lock."""
        ...

    def search(self, access: Access, plan: Plan) -> Found:
        """Candidates for a question. No text may raise."""
        ...

    def similar(
        self, access: Access, vector: npt.NDArray[np.float32], where: Filter, now: datetime, *, k: int
    ) -> list[tuple[Memory, float]]:
        """The nearest memories by cosine, best first."""
        ...

    def revisions(self, access: Access, id: str) -> list[Revision]: ...

    def links_of(self, access: Access, ids: Sequence[str]) -> list[Link]: ...

    def secrets_of(self, access: Access, id: str) -> list[tuple[str, bytes, dict[str, Any]]]: ...

    def walk_secrets(self, access: Access) -> Iterator[tuple[str, str, str, bytes, dict[str, Any]]]:
        """Every sealed secret: (owner, memory, name, sealed, meta)."""
        ...

    def counts(self, access: Access, now: datetime) -> dict[str, Any]:
        """total, by_category, by_project, by_source, by_status, deleted, pending_vectors, db_bytes …"""
        ...

    def projects(self, access: Access) -> list[str]:
        """Ids of the projects that have memories, in order of name; cheap, as every recall may ask."""
        ...

    def tags(self, access: Access, where: Filter, now: datetime) -> dict[str, int]: ...

    def state(self, access: Access, namespace: str) -> dict[str, dict[str, Any]]:
        """Every object that `state_put` keeps in a namespace for the writing owner, by key."""
        ...

    def touch(self, access: Access, ids: Sequence[str], at: datetime) -> None:
        """Notes that memories were used (reinforcement); may be dropped under contention, never waits long."""
        ...

    def audit(self, access: Access, *, after: int = 0) -> Iterator[AuditEntry]: ...

    def verify_audit(self) -> int | None:
        """The number of the first audit entry that was tampered with, None when the chain is whole."""
        ...

    # vectors

    def vectors_of(self, access: Access, ids: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Id → unit vector of a memory's first window, for those that have one."""
        ...

    def embedder(self) -> Identity | None:
        """Whose vectors the store holds; None when it holds none."""
        ...

    def pending_vectors(self, limit: int) -> list[tuple[int, str]]:
        """(key, text to embed) of memories that wait for a vector, newest first."""
        ...

    def put_vectors(self, identity: Identity, vectors: Iterable[tuple[int, str, Sequence[Passage]]]) -> int:
        """Stores vectors of (key, text that was embedded, windows); a memory whose text changed meanwhile stays queued.

        Raises:
            EmbedderMismatch: the store holds another embedder's vectors.
        """
        ...

    def drop_vectors(self) -> None:
        """Forgets all vectors and queues every memory again (before re-embedding with another embedder)."""
        ...


@runtime_checkable
class FileStore(Store, Protocol):
    """A store that is one file on this machine."""

    path: Path

    def check(self) -> list[str]:
        """What the database finds wrong with the file; an empty list when it is sound."""
        ...

    def backup(self, target: Path) -> None:
        """Copies the live store to a new file, consistently."""
        ...
