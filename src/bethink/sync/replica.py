"""This side of the wire: what is to be sent, and what becomes of the answers. All of it in the store's transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bethink import exchange
from bethink.errors import BethinkError, InvalidInput, PeerError
from bethink.model import Access, Memory
from bethink.service.core import Limits, utc_now
from bethink.service.lending import OPS
from bethink.stores.base import ReplicaStore, ReplicaTransaction
from bethink.stores.log import Change
from bethink.sync import conflicts, mending, merge, ties, twins
from bethink.sync.histories import Histories
from bethink.sync.peer import REFUSED, Json
from bethink.sync.plan import SLOW, Repair
from bethink.sync.secrets import Kept, Secrets, holders
from bethink.sync.waiting import Waiting

if TYPE_CHECKING:
    from bethink.seal.base import Sealed
    from bethink.service.sealing import LazySeal

#: What stands in the log as the reason when a secret cannot be sent safely.
WITHHELD = "SecretWithheld"
#: Results of changes that the server made.
_TAKEN = ("applied", "merged", "conflict")


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
        """Ties the store to a server and a principal, as `ties.bind` says; True when it was tied now."""
        return ties.bind(self, hello, address, again=again)

    def meet(self, keys: Collection[str]) -> None:
        """Notes which keys for secrets the server may have in common with this side; with a new one, missing secrets are asked for."""
        self.secrets.forgive()
        common, before = [self.secrets.mark(by) for by in self.secrets.names if by in keys], self.store.log.fact("secrets_keys") or []
        if common == before:
            return
        ids: list[str] = []
        if set(common) - set(before) and self.store.log.fact("cursor") is not None:
            ids = holders(self.store, self.access, self.now())
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
        return self.store.log.due(self.now(), limit, but=(self.binding or {}).get("readonly", ()))

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
        taken = {one.memory: told[one.operation] for one in sent if told.get(one.operation, {}).get("result") in _TAKEN}
        moved = {id: str(answer["id"]) for id, answer in taken.items() if answer["id"] != id}
        found = self._carried(moved, twins.coming((answer for answer in taken.values() if answer.get("memory")), (), moved.values()))
        left = self.kept_of({*purged, *moved})
        done = 0
        with self.store.write(self.access) as tx:
            tx.unlogged()
            twins.late(tx, found)
            twins.rename(tx, found)
            for change in sent:
                # None when somebody purged the memory meanwhile; another memory's when it was moved into its twin.
                current = tx.log.get(change.operation)
                answer = told.get(change.operation)
                if current is None or answer is None:
                    continue
                if current.memory in found.stuck:
                    self._hold(tx, current, found.stuck[current.memory])
                else:
                    done += self._settled(tx, current, answer)
            twins.put(tx, found)
        # What is here still was no news, or cannot leave yet.
        self.secrets.erase(left, but=self.kept_of(row[1] for row in left))
        return done

    def refuse(self, change: Change, code: str, message: str, hint: str) -> None:
        """Keeps a change that the server does not take."""
        with self.store.write(self.access) as tx:
            tx.log.refuse(change.operation, {"code": code, "message": message, "hint": hint})

    def delay(self, change: Change, until: datetime, why: BethinkError | None = None) -> None:
        """Tries a change later.

        Args:
            why: what it waits for, to be shown.
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
                ties.note_owners(self, page["owners"], None)
            if not items and not gone and (not move_cursor or self.store.log.fact("cursor") == page["cursor"]):
                return 0
            taken = self.secrets.taken((self._addressed(item) for item in items), lambda id: self.kept_of([id]))
            moved = {str(stone["id"]): str(stone["twin"]) for stone in gone if stone.get("twin")}
            found = self._carried(moved, twins.coming(items, taken.rows, moved.values()))
            left = self.kept_of(str(stone["id"]) for stone in gone)
            replaced = list(taken.rows)
            try:
                with self.store.write(self.access) as tx:
                    tx.unlogged()
                    # Read under the lock: what somebody sealed here since the page came is among them.
                    replaced += self.kept_of(taken.sealed)
                    twins.late(tx, found)
                    twins.rename(tx, found)
                    for stone in gone:
                        if str(stone["id"]) not in found.stuck:
                            self._gone(tx, str(stone["id"]), stone.get("twin"))
                    missing = set(taken.missing)
                    for item in items:
                        id = str(item["memory"]["id"])
                        if not self._take(tx, {**item, "secrets": taken.sealed.get(id, ())}):
                            missing.add(id)
                    twins.put(tx, found)
                    self.waiting.want(tx.log, [str(item["memory"]["id"]) for item in items], missing)
                    if move_cursor:
                        tx.log.put_fact("cursor", str(page["cursor"]))
            finally:
                self.secrets.erase(replaced, but=self.kept_of(taken.sealed))
            self.secrets.erase(left, but=self.kept_of(row[1] for row in left))
        except (KeyError, TypeError, AttributeError, InvalidInput) as error:
            raise PeerError(f"The server's answer cannot be read: {error}.") from error
        return len(items) + len(gone)

    def mend(self, found: Repair) -> None:
        """Logs again what the server should have and has not."""
        with self.store.write(self.access) as tx:
            tx.unlogged()
            mending.mend(tx, found)

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

    def upload_unknown(self) -> int:
        """Logs what neither the server nor the log knows."""
        with self.store.write(self.access) as tx:
            return tx.log.unknown_rows(self.access.readable)

    def _settled(self, tx: ReplicaTransaction, change: Change, answer: Mapping[str, Any]) -> int:
        match answer.get("result"):
            case result if result in _TAKEN:
                return self._adopt(tx, change, answer)
            case "gone":
                tx.log.settle(change.operation)
                if change.op != "purge":
                    self._gone(tx, change.memory, None)
                return 1
            case "unknown":
                older = answer.get("version")
                self._send_whole(tx, change, int(older) if older is not None else None)
                return 0
            case "refused":
                if change.op == "secret" and self.secrets.answered(change, str(answer.get("code"))):
                    return 0
                reason = {name: str(answer.get(name, "")) for name in ("code", "message", "hint")}
                tx.log.refuse(change.operation, {**reason, "hint": reason["hint"] or REFUSED})
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
        server = told.with_(owner=self.local(told.owner, str((self.binding or {}).get("principal"))))
        known = tx.log.known(server.id)
        here = tx.get(server.id)
        # What is known of a row that is not here is no reason to go without it.
        if known is not None and here is not None and (known[1] > seq or (known[1] == seq and not also_same)):
            if known[1] == seq:
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
        return str(item["memory"]["id"]), remote, self.local(remote, str((self.binding or {}).get("principal"))), item

    def _carried(self, moved: Mapping[str, str], coming: Mapping[str, Mapping[str, Kept | None]]) -> twins.Carried:
        """Secrets that would be lost with memories that leave into their twins."""

        def here(id: str) -> bool:
            return bool(self.store.get(self.access, [id]))

        return twins.carried(self.secrets, self.store.log, lambda id: self.kept_of([id]), moved, coming, here)

    def _hold(self, tx: ReplicaTransaction, change: Change, why: BethinkError | None) -> None:
        """A change of a memory that cannot leave yet is tried later, where a reason is known; else when what it waits for has come."""
        if why is not None:
            tx.log.delay(change.operation, self.now() + timedelta(seconds=SLOW))
            self.waiting.note(tx.log, change.operation, why)

    def kept_of(self, ids: Iterable[str]) -> list[Kept]:
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

    def _send_whole(self, tx: ReplicaTransaction, change: Change, older: int | None = None) -> None:
        """The server does not have the memory that a change is about: the memory comes first.

        Args:
            older: the server's version, when it has an older state of the memory than it once had.
        """
        if any(one.op == "store" for one in tx.log.pending(change.memory)):
            # It failed on its way and is sent again as it was; what was changed since follows it.
            return
        # A loan is nowhere but in the log.
        if (memory := tx.get(change.memory)) is None or change.op not in OPS:
            tx.log.settle(change.operation)
        if memory is None:
            return
        if older is not None:
            mending.edit_whole(tx, memory, older)
            tx.log.know(memory.id, older, 0)
            tx.log.put_fact("compare", True)
            return
        mending.whole_again(tx, memory)
        if change.op == "unlink":
            tx.log.add(memory.id, memory.owner, change.op, change.payload)

    def local(self, remote: str, principal: str) -> str:
        """What an owner of the server's is called here."""
        return self.user if remote == principal else remote

    def remote(self, local: str) -> str:
        """What the server calls an owner."""
        return str((self.binding or {}).get("principal", local)) if local == self.user else local
