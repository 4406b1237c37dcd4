"""This side of the wire: what is to be sent, and what becomes of the answers. All of it in the store's transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bethink import exchange
from bethink.errors import BethinkError, InvalidInput, PeerError
from bethink.model import Access, Filter, Memory
from bethink.service.core import Limits, utc_now
from bethink.stores.base import Change, ReplicaStore, ReplicaTransaction
from bethink.sync import conflicts, merge
from bethink.sync.histories import Histories
from bethink.sync.peer import Json, WrongServer
from bethink.sync.plan import Edge, Repair
from bethink.sync.secrets import Kept, Secrets
from bethink.sync.twins import Carried, carried, put
from bethink.sync.waiting import Waiting

if TYPE_CHECKING:
    from bethink.seal.base import Sealed
    from bethink.service.sealing import LazySeal

#: What stands in the log as the reason when a secret cannot be sent safely.
WITHHELD = "SecretWithheld"


class Replica:
    """A local store as one of the replicas of a server.

    Args:
        store: the local store.
        user: the local name of whoever the key belongs to.
        seal: opens and seals secrets here.
        limits: what counts as a secret.
    """

    def __init__(
        self,
        store: ReplicaStore,
        user: str,
        *,
        seal: LazySeal | None = None,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.user = user
        self.secrets = Secrets(seal)
        self.waiting = Waiting(store.log, clock)
        self.histories = Histories(limits or Limits(), clock)
        self.now = clock

    @property
    def binding(self) -> Json | None:
        return self.store.log.binding()

    @property
    def access(self) -> Access:
        owners = tuple((self.binding or {}).get("owners", (self.user,)))
        return Access(self.user, owners, owners)

    def bind(self, hello: Mapping[str, Any], address: str, *, again: bool = False) -> bool:
        """Ties the store to a server and a principal, once; True when it was tied now.

        Args:
            again: the person agreed to tie it to another one: everything is uploaded there.

        Raises:
            WrongServer: it is tied to another one.
        """
        server, principal = str(hello["server"]), str(hello["principal"])
        bound = self.binding
        tied = bound is not None and (bound["server"], bound["principal"], bound["user"]) == (server, principal, self.user)
        if bound is not None and not tied and not again:
            raise WrongServer(
                f"This store is a replica for {bound['principal']!r} at {bound['url']}; the settings now name {principal!r} at {address}."
            )
        if tied and bound is not None and not again:
            self._note_owners(hello.get("owners", ()), address)
            return False
        local = [self._local(str(owner["name"]), principal) for owner in hello["owners"]]
        binding = {"server": server, "principal": principal, "user": self.user, "url": address, "owners": local}
        with self.store.write(Access.local(self.user)) as tx:
            tx.log.bind({**binding, "readonly": self._readonly(hello["owners"], principal)})
            tx.log.unknow(None)
            tx.log.put_fact("cursor", None)
            if again:
                for id in sorted(tx.log.waiting()):
                    tx.log.drop(id)
            tx.log.unknown_rows(local)
        return True

    def meet(self, keys: Collection[str]) -> None:
        """Notes which keys for secrets the server may have in common with this side; with a new one, missing secrets are asked for."""
        self.secrets.forgive()
        common, before = [by for by in self.secrets.names if by in keys], self.store.log.fact("secrets_keys") or []
        if common == before:
            return
        ids: list[str] = []
        if set(common) - set(before) and self.store.log.fact("cursor") is not None:
            every = (memory for memory in self.store.walk(self.access, Filter(statuses=()), self.now()) if memory.sealed)
            ids = [memory.id for memory in every if not self.store.secrets_of(self.access, memory.id)]
        with self.store.write(self.access) as tx:
            tx.log.put_fact("secrets_keys", common or None)
            self.waiting.want(tx.log, (), ids)

    def found_secrets(self, asked: Sequence[str], page: Json, chance: float) -> bool:
        """Whether asking again for these memories brought any of what was missing; if not, the rest is asked for later."""
        told = {str(item["memory"]["id"]) for item in page["items"]}
        with self.store.write(self.access) as tx:
            # What the server does not tell of any more is not waited for.
            self.waiting.want(tx.log, [id for id in asked if id not in told], ())
            found = not set(asked) <= set(self.waiting.missing(tx.log))
            if not found:
                self.waiting.postpone(tx.log, chance)
        return found

    def outgoing(self, limit: int) -> list[Change]:
        """What can be sent now, in order."""
        return self.store.log.due(self.now(), limit, without=(self.binding or {}).get("readonly", ()))

    def wire(self, change: Change, *, keys: Collection[str], confidential: bool) -> Json | None:
        """A change as it is sent; None when there is nothing left to send.

        Args:
            keys: names of the keys for secrets that the server may have, too.
            confidential: nobody on the way can read what is sent.

        Raises:
            Withheld: it is a secret and would travel in the clear.
            Waits: it is a secret that cannot be had, or not sealed for the way, now.
        """
        at = change.at.isoformat()
        # Also of a space that was left: what was not sent before stays, and is refused by the server, not forgotten here.
        access = Access(self.user, (change.owner,), (change.owner,))
        payload: Json = dict(change.payload or {})
        if change.op == "store" and change.payload is None:
            memory = self.store.get(access, [change.memory]).get(change.memory)
            if memory is None:
                return None
            payload = {"fields": exchange.fields_of(memory), "at": memory.updated_at.isoformat()}
        at = payload.pop("at", at)
        if change.op == "secret":
            name = str(payload.get("name"))
            row = next(((blob, meta) for each, blob, meta in self.store.secrets_of(access, change.memory) if each == name), None)
            if row is None:
                return None
            payload = self.secrets.closed(change, self.remote(change.owner), name, row, keys=keys, tls=confidential)
        return {
            "operation": change.operation,
            "memory": change.memory,
            "owner": self.remote(change.owner),
            "op": change.op,
            "base": change.base,
            "previous": self._before(change),
            "payload": payload,
            "at": at,
        }

    def settle(self, sent: Sequence[Change], answers: Iterable[Any]) -> int:
        """Takes in the answers to what was sent; how many changes the server has now."""
        told = {str(answer.get("operation")): answer for answer in answers if isinstance(answer, Mapping)}
        purged = {one.memory for one in sent if one.op != "purge" and told.get(one.operation, {}).get("result") == "gone"}
        moved = {one.memory: str(to) for one in sent if (to := told.get(one.operation, {}).get("id", one.memory)) != one.memory}
        found = self._carried(moved, {str(answer["memory"]["id"]) for answer in told.values() if answer.get("memory")})
        left = self._kept_of({*purged, *moved} - found.stuck)
        done = 0
        with self.store.write(self.access) as tx:
            tx.unlogged()
            for change in sent:
                # None when somebody purged the memory meanwhile; another memory's when it was moved into its twin.
                current = tx.log.get(change.operation)
                answer = told.get(change.operation)
                if current is not None and answer is not None and current.memory not in found.stuck:
                    done += self._settled(tx, current, answer)
            self.waiting.want(tx.log, (), put(tx, found))
        self.secrets.erase(left)
        return done

    def refuse(self, change: Change, code: str, message: str, hint: str) -> None:
        """Keeps a change that the server does not take."""
        with self.store.write(self.access) as tx:
            tx.log.refuse(change.operation, {"code": code, "message": message, "hint": hint})

    def delay(self, change: Change, until: datetime, why: BethinkError | None = None) -> None:
        """Tries a change later.

        Args:
            why: what a secret waits for, to be shown.
        """
        with self.store.write(self.access) as tx:
            tx.log.delay(change.operation, until)
            if why is not None:
                self.waiting.note(tx.log, change.operation, why)

    def try_all(self) -> None:
        """Nothing is refused or delayed any more: everything is tried again."""
        self.secrets.forgive(denied=True)
        with self.store.write(self.access) as tx:
            tx.log.retry_all()
            self.waiting.retry(tx.log)

    def drop(self, change: Change) -> None:
        """There is nothing left to send."""
        with self.store.write(self.access) as tx:
            tx.log.settle(change.operation)

    def absorb(self, page: Json, *, move_cursor: bool = True) -> int:
        """Takes in a page of what changed on the server; how many memories it told of.

        Raises:
            PeerError: it is no such page.
        """
        try:
            items, gone = list(page["items"]), list(page.get("gone", ()))
            if "owners" in page:
                self._note_owners(page["owners"], None)
            if not items and not gone and (not move_cursor or self.store.log.fact("cursor") == page["cursor"]):
                return 0
            taken = self.secrets.taken((self._addressed(item) for item in items), lambda id: self._kept_of([id]))
            moved = {str(stone["id"]): str(stone["twin"]) for stone in gone if stone.get("twin")}
            found = self._carried(moved, {str(item["memory"]["id"]) for item in items})
            gone = [stone for stone in gone if str(stone["id"]) not in found.stuck]
            left = self._kept_of(str(stone["id"]) for stone in gone)
            replaced = list(taken.rows)
            try:
                with self.store.write(self.access) as tx:
                    tx.unlogged()
                    # Read under the lock: what somebody sealed here since the page came is among them.
                    replaced += self._kept_of(taken.sealed)
                    for stone in gone:
                        self._gone(tx, str(stone["id"]), stone.get("twin"))
                    missing = set(taken.missing)
                    for item in items:
                        id = str(item["memory"]["id"])
                        if not self._take(tx, {**item, "secrets": taken.sealed.get(id, ())}):
                            missing.add(id)
                    missing |= put(tx, found)
                    self.waiting.want(tx.log, [str(item["memory"]["id"]) for item in items], missing)
                    if move_cursor:
                        tx.log.put_fact("cursor", str(page["cursor"]))
            finally:
                self.secrets.erase(replaced, but=self._kept_of(taken.sealed))
            self.secrets.erase(left)
        except (KeyError, TypeError, AttributeError, InvalidInput) as error:
            raise PeerError(f"The server's answer cannot be read: {error}.") from error
        return len(items) + len(gone)

    def mend(self, found: Repair) -> None:
        """Logs again what the server should have and has not."""
        with self.store.write(self.access) as tx:
            tx.unlogged()
            for id in found.store:
                memory = tx.get(id)
                if memory is not None and not tx.log.pending(id):
                    tx.log.unknow(id)
                    tx.log.add(id, memory.owner, "store", None)
                    self._log_belongings(tx, memory)
            for id, version in found.again:
                memory = tx.get(id)
                if memory is not None and not tx.log.pending(id):
                    fields = exchange.fields_of(memory)
                    fields.pop("created_at", None)
                    payload = {"fields": fields, "at": memory.updated_at.isoformat()}
                    tx.log.add(id, memory.owner, "edit", payload, version)
                    self._log_belongings(tx, memory)
            for link in tx.links_of([source for source, _, _ in found.links]):
                memory = tx.get(link.source)
                if memory is not None and (link.source, link.target, link.type) in found.links:
                    tx.log.add(memory.id, memory.owner, "link", exchange.link_out(link))

    def rewind(self) -> None:
        """The server's order of changes begins anew."""
        with self.store.write(self.access) as tx:
            tx.log.rewind()
            tx.log.put_fact("cursor", None)

    @property
    def to_compare(self) -> bool:
        """Whether pulling may have left something out."""
        return bool(self.store.log.fact("compare"))

    def compared(self) -> None:
        """What pulling may have left out was found."""
        if self.to_compare:
            with self.store.write(self.access) as tx:
                tx.log.put_fact("compare", None)

    def unsettled(self, edges: Collection[Edge]) -> set[Edge]:
        """Those of some edges that the server has to hear of: made, cut or erased here with one of their ends."""
        log = self.store.log
        busy = {end for source, target, _ in edges for end in (source, target)} & log.waiting()
        erased = busy - self.store.get(self.access, list(busy)).keys()
        said = [change for id in busy for change in log.pending(id) if change.op in ("link", "unlink")]
        told = {(one.memory, str((one.payload or {}).get("target")), str((one.payload or {}).get("type"))) for one in said}
        return {edge for edge in edges if edge in told or edge[1] in erased}

    def upload_unknown(self) -> int:
        """Logs what neither the server nor the log knows."""
        with self.store.write(self.access) as tx:
            return tx.log.unknown_rows(self.access.readable)

    def _settled(self, tx: ReplicaTransaction, change: Change, answer: Mapping[str, Any]) -> int:
        match answer.get("result"):
            case "applied" | "merged" | "conflict":
                return self._adopt(tx, change, answer)
            case "gone":
                tx.log.settle(change.operation)
                if change.op != "purge":
                    self._gone(tx, change.memory, None)
                return 1
            case "unknown":
                self._send_whole(tx, change)
                return 0
            case "refused":
                if change.op == "secret" and self.secrets.answered(change, str(answer.get("code"))):
                    return 0
                reason = {name: str(answer.get(name, "")) for name in ("code", "message", "hint")}
                tx.log.refuse(change.operation, reason)
        return 0

    def _adopt(self, tx: ReplicaTransaction, change: Change, answer: Mapping[str, Any]) -> int:
        id, version, seq = str(answer["id"]), int(answer["version"]), int(answer["seq"])
        known = tx.log.known(id)
        whole = answer.get("memory")
        if known is not None and known[1] > seq:
            # Old news: what came by pulling is newer. It is asked again.
            return 0
        if whole is None and not merge.follows(known, version, seq):
            return 0
        tx.log.settle(change.operation)
        if id != change.memory:
            self.histories.move(tx, change.memory, id)
            if tx.get(change.memory) is not None:
                tx.erase(change.memory)
            tx.log.unknow(change.memory)
        if whole is not None:
            self._take(tx, {"memory": whole, "links": answer.get("links", ())}, also_same=True)
        else:
            tx.log.know(id, version, seq)
            tx.log.stamp(id, version + merge.edits_among(tx.log.pending(id)), seq)
        return 1

    def _take(self, tx: ReplicaTransaction, item: Mapping[str, Any], *, also_same: bool = False) -> bool:
        """Makes a memory here what the server says, with what is still to be sent on top; False when not all its secrets were taken."""
        told = exchange.unpacked(item["memory"])
        seq = told.seq or 0
        server = told.with_(owner=self._local(told.owner, str((self.binding or {}).get("principal"))))
        known = tx.log.known(server.id)
        here = tx.get(server.id)
        if known is not None and (known[1] > seq or (known[1] == seq and not also_same)):
            if here is not None and known[1] == seq:
                # The memory came with the answer to a change; what belongs to it comes only now.
                self._take_links(tx, here, item)
                if here.sensitive or here.sealed:
                    conflicts.drop(tx, here.id, item.get("conflicts", ()))
                conflicts.take(tx, here.id, item.get("conflicts", ()))
                return self._take_secrets(tx, here, item.get("secrets", ()))
            return True
        waiting = tx.log.pending(server.id)
        merged = merge.overlaid(server, waiting, here)
        tx.log.know(server.id, server.version, seq)
        if merged is None:
            return True
        if here is None:
            tx.insert(merged)
            self.histories.came(tx, merged)
        elif merged != here:
            tx.update(merged, here)
            self.histories.add(tx, here, merged, str((self.binding or {}).get("server", "server")), answered=also_same)
        self._take_links(tx, server, item)
        if (merged.sensitive or merged.sealed) and not also_same:
            conflicts.drop(tx, server.id, item.get("conflicts", ()))
        conflicts.take(tx, server.id, item.get("conflicts", ()))
        return self._take_secrets(tx, merged, item.get("secrets", ()))

    def _take_links(self, tx: ReplicaTransaction, memory: Memory, item: Mapping[str, Any]) -> None:
        links = [exchange.link_in(memory.id, link) for link in item.get("links", ())]
        tx.log.set_links(memory.id, memory.owner, merge.edges(memory.id, links, tx.log.pending(memory.id)))

    def _take_secrets(self, tx: ReplicaTransaction, memory: Memory, told: Sequence[tuple[str, Sealed]]) -> bool:
        """Keeps secrets that came; what was sealed here and was not sent yet stays, and False says that the server's is to be asked for."""
        unsent = [change for change in tx.log.pending(memory.id) if change.op == "secret"] if told else []
        # Of what a twin took in only the change is left here, not the secret.
        mine = {str((change.payload or {}).get("name")) for change in unsent} & {name for name, _, _ in tx.secrets_of(memory.id)}
        for name, sealed in told:
            if name not in mine:
                tx.put_secret(memory.id, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})
        return mine.isdisjoint(name for name, _ in told)

    def _addressed(self, item: Mapping[str, Any]) -> tuple[str, str, str, Mapping[str, Any]]:
        remote = str(item["memory"]["owner"])
        return str(item["memory"]["id"]), remote, self._local(remote, str((self.binding or {}).get("principal"))), item

    def _carried(self, twins: Mapping[str, str], coming: Collection[str]) -> Carried:
        """Secrets that would be lost with memories that leave into their twins."""
        if not twins:
            return Carried({}, frozenset())

        def here(id: str) -> bool:
            return id in coming or bool(self.store.get(self.access, [id]))

        return carried(self.secrets, self.store.log, lambda id: self._kept_of([id]), twins, here)

    def _kept_of(self, ids: Iterable[str]) -> list[Kept]:
        """Secrets of some memories."""
        found: list[Kept] = []
        for id in ids:
            if rows := self.store.secrets_of(self.access, id):
                owner = self.store.get(self.access, [id])[id].owner
                found += [(owner, id, *row) for row in rows]
        return found

    def _before(self, change: Change) -> str | None:
        """The change of the same memory that the server may judge this one by: what is held back here, it never hears of."""
        if change.previous is None:
            return None
        waiting = {each.operation: each for each in self.store.log.pending(change.memory)}
        operation: str | None = change.previous
        while operation is not None and (one := waiting.get(operation)) is not None and (one.op == "secret" or one.refused is not None):
            operation = one.previous
        return operation

    def _gone(self, tx: ReplicaTransaction, id: str, twin: str | None) -> None:
        """A memory was erased for good, or lives on in another one."""
        if twin is not None:
            self.histories.move(tx, id, twin)
        if tx.get(id) is not None:
            tx.erase(id)
        tx.log.drop(id)
        tx.log.unknow(id)

    def _send_whole(self, tx: ReplicaTransaction, change: Change) -> None:
        """The server does not have the memory that a change is about: the memory comes first."""
        if any(one.op == "store" for one in tx.log.pending(change.memory)):
            # It failed on its way and is sent again as it was; what was changed since follows it.
            return
        tx.log.settle(change.operation)
        memory = tx.get(change.memory)
        if memory is None:
            return
        tx.log.unknow(memory.id)
        tx.log.add(memory.id, memory.owner, "store", None)
        if change.op == "unlink":
            tx.log.add(memory.id, memory.owner, change.op, change.payload)
        self._log_belongings(tx, memory)

    def _log_belongings(self, tx: ReplicaTransaction, memory: Memory) -> None:
        """Logs the edges and secrets of a memory. A secret that the server has after all is not kept there twice."""
        for link in tx.links_of([memory.id]):
            if link.source == memory.id:
                tx.log.add(memory.id, memory.owner, "link", exchange.link_out(link))
        for _, id, name, _, _ in self._kept_of([memory.id]):
            tx.log.add(id, memory.owner, "secret", {"name": name})

    def _note_owners(self, told: Iterable[Any], address: str | None) -> None:
        """Whose memories this replica may hold; what it may hold no longer goes, unless something of it was never sent."""
        bound = self.binding
        if bound is None:
            return
        told = list(told)
        owners = [self._local(str(owner["name"]), bound["principal"]) for owner in told]
        readonly = self._readonly(told, bound["principal"])
        after = {**bound, "owners": owners, "readonly": readonly, "url": address or bound["url"]}
        if after == bound:
            return
        left = [owner for owner in bound["owners"] if owner not in owners]
        rows = self._kept_of(id for owner in left for id in self.store.log.ids_of(owner))
        kept = set()
        with self.store.write(self.access) as tx:
            tx.unlogged()
            for owner in left:
                for id in tx.log.ids_of(owner):
                    if tx.log.pending(id):
                        kept.add(id)
                        continue
                    tx.erase(id)
                    tx.log.unknow(id)
            tx.log.bind(after)
            if set(owners) - set(bound["owners"]):
                # Edges of what was here before that end at theirs are told now; and the cursor may be from before they were left.
                tx.log.put_fact("compare", True)
        self.secrets.erase(row for row in rows if row[1] not in kept)

    def _readonly(self, owners: Iterable[Any], principal: str) -> list[str]:
        return [self._local(str(owner["name"]), principal) for owner in owners if not owner.get("write", True)]

    def _local(self, remote: str, principal: str) -> str:
        return self.user if remote == principal else remote

    def remote(self, local: str) -> str:
        """What the server calls an owner."""
        return str((self.binding or {}).get("principal", local)) if local == self.user else local
