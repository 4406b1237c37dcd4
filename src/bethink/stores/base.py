"""The port to databases that keep memories.

A store knows nothing of rules: it writes what it is told in one transaction and finds what matches. Every
method that reads or writes memories takes an `Access`; the store ANDs its predicate into every query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bethink.model import Access, Filter, Link, Memory, Page, Revision, Scope
from bethink.rank import Found
from bethink.stores.log import Log

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage


#: What the work is done for, such as a request's id; a database that can notes it beside its statements.
REQUEST: ContextVar[str] = ContextVar("bethink_request", default="")
#: What to do where an id is another row's, which the writer may not even see.
TAKEN = "It may be somebody else's. What comes from another user's export is stored with `bethink import --new-ids`."


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
    #: Wanted is what shares most of the words, be they common ones: what a new memory may repeat or correct.
    nearly: bool = False
    #: Unit vector of the question; None asks for keywords only.
    vector: npt.NDArray[np.float32] | None = None
    #: Waits for the vector, which is made while keywords are looked for; None when it cannot be made. Is given what words found, if
    #: that is known by then, to look at meanwhile.
    vector_to_come: Callable[[Sequence[Memory]], npt.NDArray[np.float32] | None] | None = None
    #: Also fetch vectors and token vectors of the candidates, for reranking.
    with_vectors: bool = False

    def settled(self, found: Sequence[Memory] = ()) -> Plan:
        """The plan with its vector, waited for if it must be."""
        return self if self.vector_to_come is None else replace(self, vector=self.vector_to_come(found), vector_to_come=None)


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


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A memory that was erased for good; `twin` is the one that took it in, if one did."""

    owner: str
    id: str
    seq: int
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """Part of what changed since a place in the order of changes, in that order."""

    memories: tuple[Memory, ...]
    gone: tuple[Tombstone, ...]
    #: The place up to which this tells everything, by owner.
    reached: Mapping[str, int]
    has_more: bool


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

    def search(self, plan: Plan) -> Found:
        """As `Store.search`, by words alone; what this transaction wrote is found as well."""
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

    def states(self, namespace: str) -> dict[str, dict[str, Any]]:
        """Every object that `state_put` keeps in a namespace, by key."""
        ...

    def state_put(self, namespace: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Keeps a JSON object under a name of the writing owner; None removes it."""
        ...

    def put_secret(self, memory: str, name: str, sealed: bytes, meta: Mapping[str, Any]) -> None:
        """Keeps a sealed secret (or a reference to where it is kept) for a memory."""
        ...

    def secrets_of(self, id: str) -> list[tuple[str, bytes, dict[str, Any]]]:
        """The sealed secrets of a memory that may be written: (name, sealed, meta)."""
        ...

    def scrub_revisions(self, id: str) -> None:
        """Takes the texts out of a memory's revisions; that and when something changed stays."""
        ...

    def record_change(self, operation: str, memory: str, op: str, base_version: int, payload: Mapping[str, Any]) -> None:
        """Says that something changed. Stores that are replicas log every write by themselves, so that none is missed."""
        ...

    # what a server of replicas needs

    def lock_owner(self, owner: str) -> None:
        """Others who lock the same owner wait until this transaction ends."""
        ...

    def prefer(self, owner: str) -> None:
        """Where rows of two owners have one id, this owner's is meant from now on; until then the principal's own."""
        ...

    def answer_of(self, owner: str, operation: str) -> dict[str, Any] | None:
        """What was answered to a change that was made already."""
        ...

    def put_answer(self, owner: str, operation: str, answer: Mapping[str, Any]) -> None: ...

    def tombstone_of(self, owner: str, id: str) -> Tombstone | None: ...

    def put_tombstone(self, owner: str, id: str, twin: str | None = None) -> None:
        """Notes that an id is gone for good, also where there was no such memory."""
        ...

    def revisions_of(self, id: str) -> list[Revision]:
        """Every revision of a memory, oldest first."""
        ...

    def renumber(self, id: str) -> None:
        """Gives a memory the next place in the order of changes: something that belongs to it has changed."""
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

    def revisions_named(self, access: Access, op: str, ids: Sequence[str] | None = None) -> list[Revision]:
        """The revisions of one kind, of some memories or of all, oldest first."""
        ...

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

    def changes(self, access: Access, since: Mapping[str, int], limit: int) -> Feed:
        """What changed behind a place in the order of changes, for every owner whom `access` may read."""
        ...

    def counters(self, access: Access) -> dict[str, int]:
        """The last place in the order of changes, by owner."""
        ...

    def marks(self, access: Access, owner: str) -> Iterator[tuple[str, int, int]]:
        """(id, version, seq) of every memory of an owner, forgotten ones too."""
        ...

    def edges(self, access: Access, owner: str) -> Iterator[tuple[str, str, str]]:
        """(source, target, type) of every edge from a memory of an owner to one that `access` may read as well."""
        ...

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


class ReplicaTransaction(Transaction, Protocol):
    """A transaction on a store that can be a replica."""

    @property
    def log(self) -> Log: ...

    def unlogged(self) -> None:
        """From now on this transaction's writes are the server's: they do not enter the log."""
        ...


@runtime_checkable
class ReplicaStore(FileStore, Protocol):
    """A file that can be one of several replicas of a server."""

    @property
    def log(self) -> Log: ...

    def write(self, access: Access) -> AbstractContextManager[ReplicaTransaction]: ...

    def data_version(self) -> int:
        """Changes whenever another connection has written."""
        ...
