"""What a server tells its replicas: what changed, digests to compare, and single memories again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bethink import exchange
from bethink.errors import BethinkError, Conflict, Forbidden, InvalidInput, SealUnavailable
from bethink.model import Access, Memory, new_id
from bethink.service.conflicts import every_conflict
from bethink.service.replicating import PROTOCOL, Replicating
from bethink.stores.base import Store

if TYPE_CHECKING:
    from bethink.seal.aesgcm import AesGcmSeal

#: Owner of what the server knows of itself. Its name is none that a user can have.
_SERVER = Access.local("@server")
#: Most memories in one answer.
MAX_PAGE = 1000
#: About as many characters of contents are in one answer.
_MAX_CONTENT = 4 << 20
#: Seconds for the secrets of one answer, of which each may be a question to Vault; replicas ask again for the rest.
_PATIENCE = 10.0
#: Most changes in one request.
MAX_CHANGES = 500


class Feeding(Replicating):
    """The whole of a server that replicas speak with; answers are plain JSON."""

    def hello(self) -> dict[str, Any]:
        """Who this is, and whom it takes the asker for.

        Raises:
            Conflict: this store is itself a replica.
        """
        log = getattr(self.store, "log", None)
        if log is not None and log.binding() is not None:
            raise Conflict("This store is itself a replica of a server.", hint="Let replicas speak with that server.")
        return {
            "server": server_id(self.store),
            "protocol": PROTOCOL,
            "principal": self.access.principal,
            "owners": self._owners(),
            "project": self.access.project,
            "seals": "aes" in self._shared(),
            "seals_by": list(self._shared()),
            "limits": {"changes": MAX_CHANGES, "page": MAX_PAGE},
            "server_time": self.now().isoformat(),
        }

    def push(self, request: Any) -> dict[str, Any]:
        """Makes the changes of a request.

        Raises:
            InvalidInput: it is no such request, or it holds too much.
            StoreError: nothing is lost; to be sent again.
        """
        changes = request.get("changes") if isinstance(request, Mapping) else None
        if not isinstance(changes, list):
            raise InvalidInput("The request holds no changes.")
        if len(changes) > MAX_CHANGES:
            raise InvalidInput(f"{len(changes)} changes; at most {MAX_CHANGES} at once.")
        return {"protocol": PROTOCOL, "answers": self.apply(changes), "server_time": self.now().isoformat()}

    def changes(self, cursor: str | None, limit: int = 200) -> dict[str, Any]:
        """What changed since a cursor that an earlier answer gave, in the order of changes; from the beginning without one.

        `reset` says that the cursor is from a future that this server has lost, such as after a backup was restored. At the beginning
        `total` says how many memories there are, for those who watch.
        """
        server = server_id(self.store)
        since, reset = self._place(cursor, server)
        limit = max(1, min(limit, MAX_PAGE))
        feed = self.store.changes(self.access, since, limit)
        while limit > 1 and sum(len(memory.content) for memory in feed.memories) > _MAX_CONTENT:
            limit //= 4
            feed = self.store.changes(self.access, since, max(1, limit))
        return {
            "protocol": PROTOCOL,
            "server": server,
            "principal": self.access.principal,
            "owners": self._owners(),
            "items": self._items(feed.memories),
            "gone": [{"owner": stone.owner, "id": stone.id, "twin": stone.twin} for stone in feed.gone],
            "cursor": _cursor(server, feed.reached),
            "has_more": feed.has_more,
            "reset": reset,
            "server_time": self.now().isoformat(),
            **({} if cursor else {"total": sum(1 for owner in self.access.readable for _ in self.store.marks(self.access, owner))}),
        }

    def digest(self, owner: str) -> dict[str, Any]:
        """Digests of the parts of an owner's memories, and of the edges that start there."""
        marks = self.store.marks(self.access, self._readable(owner))
        return {"owner": owner, "buckets": exchange.digest(marks), "edges": exchange.digest(self._edges(owner))}

    def marks(self, owner: str, buckets: Sequence[int]) -> dict[str, Any]:
        """(id, version, seq) of every memory in some parts of an owner's memories, and (source, target, type) of their edges."""
        wanted = set(buckets)
        marks = [mark for mark in self.store.marks(self.access, self._readable(owner)) if exchange.bucket_of(mark[0]) in wanted]
        edges = [edge for edge in self._edges(owner) if exchange.bucket_of(edge[0]) in wanted]
        return {"owner": owner, "marks": sorted(marks), "edges": sorted(edges)}

    def fetch(self, ids: Sequence[str]) -> dict[str, Any]:
        """Single memories, whole; those that are not here are left out."""
        found = self.store.get(self.access, list(ids)[:MAX_PAGE])
        return {"items": self._items([memory for memory in found.values() if memory.owner in self.access.readable])}

    def _edges(self, owner: str) -> Iterator[tuple[str, str, str]]:
        """The edges that a replica shows when nothing is missing: what is lent is none of its memories."""
        return self.store.edges(self.access.without_loans(), owner)

    def _owners(self) -> list[dict[str, Any]]:
        return [{"name": owner, "write": owner in self.access.writable} for owner in self.access.readable]

    def _readable(self, owner: str) -> str:
        if owner not in self.access.readable:
            raise Forbidden(f"You may not read memories of {owner!r}.")
        return owner

    def _place(self, cursor: str | None, server: str) -> tuple[dict[str, int], bool]:
        """The place in the order of changes that a cursor names; the beginning, when this server never was there."""
        if not cursor:
            return {}, False
        try:
            said = json.loads(base64.urlsafe_b64decode(cursor))
            place = {str(owner): int(seq) for owner, seq in said["o"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput("Not a cursor.", hint="Leave it out to begin at the beginning.") from None
        last = self.store.counters(self.access)
        if said.get("s") != server or any(seq > last.get(owner, 0) for owner, seq in place.items() if owner in last):
            return {}, True
        return place, False

    def _items(self, memories: Sequence[Memory]) -> list[dict[str, Any]]:
        ids = [memory.id for memory in memories]
        edges: dict[str, list[dict[str, Any]]] = {}
        for link in self.store.links_of(self.access, ids) if ids else ():
            edges.setdefault(link.source, []).append(exchange.link_out(link))
        conflicts: dict[str, list[dict[str, Any]]] = {}
        for told in every_conflict(self.store, self.access, ids) if ids else ():
            conflicts.setdefault(told["memory"], []).append(told)
        # A wording that lost may have left secrets that the memory does not show.
        sealed = {*conflicts, *(memory.id for memory in memories if memory.sealed)}
        items = []
        until = time.monotonic() + _PATIENCE
        for memory in memories:
            item: dict[str, Any] = {"memory": exchange.packed(memory), "links": edges.get(memory.id, [])}
            if told_of := conflicts.get(memory.id):
                item["conflicts"] = told_of
            secrets, waiting = self._secrets_out(memory, until) if memory.id in sealed else ([], [])
            if secrets:
                item["secrets"] = secrets
            if waiting:
                item["secrets_wait"] = waiting
            items.append(item)
        return items

    def _shared(self) -> Mapping[str, AesGcmSeal]:
        """What seals with a key that a replica may have as well, by name."""
        try:
            return self.seal.chain.shared if self.seal is not None else {}
        except BethinkError:
            return {}

    def _secrets_out(self, memory: Memory, until: float) -> tuple[list[dict[str, Any]], list[str]]:
        """A memory's secrets, sealed with each key that both sides may have; and the names of those that cannot be told now."""
        shared = self._shared()
        told: list[dict[str, Any]] = []
        waiting: list[str] = []
        if self.seal is None or not shared:
            return told, waiting
        for name, blob, meta in self.store.secrets_of(self.access, memory.id):
            try:
                if time.monotonic() > until:
                    raise SealUnavailable
                secret = self.seal.chain.open(memory.owner, memory.id, name, blob, meta)
            except SealUnavailable:
                waiting.append(name)
                continue
            except BethinkError:
                continue
            for by, seal in shared.items():
                try:
                    sealed = seal.seal(memory.owner, memory.id, name, secret)
                except SealUnavailable:
                    waiting.append(name)
                    continue
                except BethinkError:
                    continue
                one = {"name": name, "blob": base64.b64encode(sealed.blob).decode(), "key": str(sealed.meta.get("key", ""))}
                told.append({**one, "by": by} if by != "aes" else one)
        return told, waiting


def server_id(store: Store) -> str:
    """The name by which replicas know this store; made when it is first asked for."""
    found = store.state(_SERVER, "sync").get("server")
    if found is None:
        with store.write(_SERVER) as tx:
            found = tx.state_get("sync", "server")
            if found is None:
                found = {"id": new_id()}
                tx.state_put("sync", "server", found)
    return str(found["id"])


def _cursor(server: str, reached: Mapping[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps({"s": server, "o": dict(reached)}, sort_keys=True).encode()).decode()


def buckets_of(given: Iterable[Any]) -> list[int]:
    """Numbers of parts.

    Raises:
        InvalidInput: they are none.
    """
    try:
        found = [int(each) for each in given]
    except (TypeError, ValueError):
        raise InvalidInput("Not numbers of parts.") from None
    if any(not 0 <= each < exchange.BUCKETS for each in found):
        raise InvalidInput(f"Parts have numbers from 0 to {exchange.BUCKETS - 1}.")
    return found
