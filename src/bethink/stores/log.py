"""The port to a replica's log: what waits to be sent, and what the server last said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bethink.model import Link


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log that a replica sends: what was done to a memory, and on top of which version.

    `op` is store, edit, purge, link, unlink, secret, share or unshare. A `payload` of None means the memory as it is when it is sent.
    """

    number: int
    operation: str
    memory: str
    owner: str
    op: str
    base: int
    previous: str | None
    payload: Mapping[str, Any] | None
    at: datetime
    tries: int = 0
    #: Why the server does not take it: code, message, hint.
    refused: Mapping[str, Any] | None = None


class Log(Protocol):
    """What a replica knows of its server, and what it still has to send. Inside a transaction it is part of it."""

    def binding(self) -> dict[str, Any] | None:
        """The server and the principal there that this store is a replica of."""
        ...

    def bind(self, binding: Mapping[str, Any] | None) -> None: ...

    def fact(self, name: str) -> Any:
        """A small JSON value under a name; None when there is none."""
        ...

    def put_fact(self, name: str, value: Any) -> None: ...

    def due(self, now: datetime, limit: int, but: Sequence[str] = ()) -> list[Change]:
        """What can be sent now, in order; what waits behind a change that waits is left out.

        Args:
            but: owners whose changes cannot be sent.
        """
        ...

    def waiting_of(self, owners: Sequence[str], limit: int) -> list[Change]:
        """What waits of some owners' memories, in order; without what was refused."""
        ...

    def get(self, operation: str) -> Change | None: ...

    def pending(self, memory: str) -> list[Change]: ...

    def refused(self) -> list[Change]: ...

    def summary(self) -> dict[str, Any]:
        """pending, refused, oldest (moment of the oldest waiting change), next_try (of those that are delayed)."""
        ...

    def add(self, memory: str, owner: str, op: str, payload: Mapping[str, Any] | None, base: int | None = None) -> None:
        """Adds a change to the log."""
        ...

    def settle(self, operation: str) -> None:
        """The server has it."""
        ...

    def withdraw(self, operation: str) -> None:
        """It is not to be made; what follows it follows what was before it."""
        ...

    def refuse(self, operation: str, reason: Mapping[str, Any]) -> None: ...

    def delay(self, operation: str, until: datetime) -> None:
        """Counts a failed try."""
        ...

    def retry_all(self) -> None:
        """Nothing is refused or delayed any more: everything is tried again."""
        ...

    def known(self, memory: str) -> tuple[int, int] | None:
        """(version, seq) that the server last told."""
        ...

    def know(self, memory: str, version: int, seq: int) -> None: ...

    def unknow(self, memory: str | None) -> None:
        """Forgets what the server told of a memory, or (None) of all."""
        ...

    def stamp(self, memory: str, version: int, seq: int) -> None:
        """Sets a row's numbers and nothing else."""
        ...

    def rename(self, memory: str, names: Mapping[str, str]) -> None:
        """Secrets of a memory are called otherwise in what waits to be sent of it, placeholders included."""
        ...

    def move(self, memory: str, into: str) -> None:
        """Makes another memory the heir of one's revisions, links and waiting changes."""
        ...

    def drop(self, memory: str) -> None:
        """Removes a memory's waiting changes."""
        ...

    def set_links(self, source: str, owner: str, links: Sequence[Link]) -> None:
        """Makes these the edges that start at a memory."""
        ...

    def unknown_rows(self, owners: Sequence[str]) -> int:
        """Logs a `store` for every memory of these owners that neither the server nor the log knows; answers how many."""
        ...

    def marks(self, owner: str) -> Iterator[tuple[str, int, int]]:
        """(id, version, seq) as the server last told, of every memory of an owner that is here."""
        ...

    def waiting(self) -> set[str]:
        """Ids of the memories that have something to send."""
        ...

    def busy(self) -> set[str]:
        """Those of them about which the server is about to hear; what was refused, and secrets that wait, do not count."""
        ...

    def rewind(self) -> None:
        """The server's order of changes begins anew: whatever it tells next is news."""
        ...

    def ids_of(self, owner: str) -> list[str]: ...
