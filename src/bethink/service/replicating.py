"""The server's side of replicas: their changes are made once each, and what is lost between two of them is kept."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from bethink import exchange, text
from bethink.errors import BethinkError, Forbidden, InvalidInput, NotFound, SealDenied, StoreError, VersionConflict
from bethink.model import CONFLICT, LINK_TYPES, SETTLING, TWIN, Memory, Revision, one_of
from bethink.service import conflicts
from bethink.service.core import Writer
from bethink.service.lending import OPS as LOANS
from bethink.service.loans import Loans, Unlent
from bethink.service.placing import Placing, Unprepared
from bethink.service.sealing import redacted
from bethink.service.sent import Sent, split
from bethink.service.writing import Writing
from bethink.stores.base import Transaction

#: What this server speaks; a replica that needs more says so.
PROTOCOL = 1
_UNSAID = {field.name: field for field in dataclasses.fields(Memory)}
#: The operation of a revision with which a memory takes in another that says the same.
MERGE = "merge"
#: Fields that make sense together only.
_TOGETHER = (frozenset(("status", "superseded_at")), frozenset(("content", "sealed")))
#: Times that a change is tried again when another one of the same memory was faster.
_TRIES = 5


_NO_KEY = "Give both sides the same MEMORY_ENCRYPTION_KEY or the same Vault."
_OPS = frozenset(("store", "edit", "purge", "link", "unlink", "secret")) | LOANS
#: Versions from … to, both included.
Spans = list[list[int]]


@dataclass(slots=True)
class _Outcome:
    """What became of a change."""

    result: str
    id: str
    lost: dict[str, Any] = field(default_factory=dict)
    #: Versions that this change and those it follows made.
    own: Spans = field(default_factory=list)
    #: Later changes of the chain know everything up to here.
    floor: int = 0
    #: The memory is not what the replica must think it is.
    differs: bool = True


class Replicating(Loans):
    """Applies what replicas send. Made for one request; its writer is whoever made the change."""

    #: Operation of the change that is being made, and what is known of the place of its secret.
    _seeking: tuple[str, Placing] | None = None

    @classmethod
    def of(cls, memories: Writing) -> Self:
        """The same memories with the replicas' side."""
        made = cls(
            memories.store,
            memories.access,
            embedder=None,
            seal=memories.seal,
            writer=memories.writer,
            limits=memories.limits,
            clock=memories.now,
        )
        made.people = getattr(memories, "people", None)
        return made

    def apply(self, changes: Iterable[Any]) -> list[dict[str, Any]]:
        """Makes each change, in order, unless it was made before; one answer for each.

        Raises:
            StoreError: the database is in trouble; what was not answered was not made.
        """
        answers = []
        for data in changes:
            operation = str(data.get("operation", "")) if isinstance(data, Mapping) else ""
            try:
                answers.append(self._applied(Sent.parsed(data)))
            except StoreError:
                raise
            except BethinkError as error:
                refusal = {"operation": operation, "result": "refused", "code": error.code, "message": error.message, "hint": error.hint}
                answers.append(refusal)
        return answers

    def _applied(self, change: Sent) -> dict[str, Any]:
        if change.owner not in self.access.writable:
            raise Forbidden(f"You may not write memories of {change.owner!r}.", hint="Ask an admin of the space for the role of a writer.")
        if change.op == "secret" and "plain" not in change.payload:
            # Before the transaction: the key may be in a Vault that is slow.
            change = replace(change, payload={"name": change.payload.get("name"), "plain": self.opened_from_wire(change)})
        try:
            return self._in_time(change)
        finally:
            if self._seeking is not None and self._seeking[0] == change.operation:
                self._seeking[1].tidy()
                self._seeking = None

    def _in_time(self, change: Sent) -> dict[str, Any]:
        for left in reversed(range(_TRIES)):
            try:
                return self._once(change)
            except VersionConflict:
                if not left:
                    raise
            except Unprepared as wanted:
                if not left:
                    raise VersionConflict() from None
                self._placing(change).prepare(wanted)
            except Unlent as loan:
                if not left:
                    raise VersionConflict() from None
                self.make_loan(change, loan.memory)
        raise AssertionError("unreachable")

    def _once(self, change: Sent) -> dict[str, Any]:
        with self.store.write(self.access) as tx:
            tx.lock_owner(change.owner)
            tx.prefer(change.owner)
            before = tx.answer_of(change.owner, change.operation)
            if before is not None:
                return self._told(tx, change, _Outcome(before["result"], before["id"]), again=True)
            chain = (tx.answer_of(change.owner, change.previous) if change.previous else None) or {}
            id = change.memory
            if change.op == "secret":
                # It belongs to the wording before it, also where other secrets of that stand between.
                change = replace(change, previous=chain.get("of") or change.previous)
            if change.op != "purge":
                # Who purges a memory that a twin took in does not speak of the twin: it was stored by somebody else.
                id = self._heir(tx, change.owner, str(chain.get("id") or id))
            outcome = self._make(
                tx, replace(change, memory=id, base=max(change.base, int(chain.get("floor", 0)))), list(chain.get("own", ()))
            )
            if outcome.result == "unknown":
                # Not an answer to keep: the replica sends the memory itself, and then this.
                older = {"version": outcome.floor} if outcome.floor else {}
                return {"operation": change.operation, "result": "unknown", "id": id, **older}
            kept = {"result": outcome.result, "id": outcome.id, "own": outcome.own, "floor": outcome.floor}
            if change.op == "secret":
                kept["of"] = change.previous
            # Without what was lost: that is kept once, where a seal or a purge finds it.
            tx.put_answer(change.owner, change.operation, kept)
            return self._told(tx, change, outcome)

    def _heir(self, tx: Transaction, owner: str, id: str) -> str:
        for _ in range(8):
            stone = tx.tombstone_of(owner, id)
            if stone is None or stone.twin is None:
                break
            id = stone.twin
        return id

    def _end(self, tx: Transaction, owner: str, id: str) -> str | None:
        """The memory at which an edge ends now, which may be another owner's, such as a space's; None when it was erased."""
        for each in dict.fromkeys((owner, *self.access.writable)):
            heir = self._heir(tx, each, id)
            if tx.tombstone_of(each, heir) is not None:
                return None
            if heir != id:
                return heir
        return id

    def _told(self, tx: Transaction, change: Sent, outcome: _Outcome, again: bool = False) -> dict[str, Any]:
        """The answer, with the memory as it is now unless the replica knows it already."""
        answer: dict[str, Any] = {"operation": change.operation, "result": outcome.result, "id": outcome.id}
        if outcome.lost:
            answer["lost"] = outcome.lost
        answer |= self.taken(change)
        now = tx.get(outcome.id)
        if now is None:
            return {**answer, "result": "gone"}
        answer |= {"version": now.version, "seq": now.seq}
        if again or outcome.differs:
            links = [exchange.link_out(link) for link in tx.links_of([now.id]) if link.source == now.id]
            answer |= {"memory": exchange.packed(now), "links": links}
        return answer

    def _make(self, tx: Transaction, change: Sent, own: Spans) -> _Outcome:
        if change.op not in _OPS:
            raise InvalidInput(f"No operation {change.op!r}.", hint="The server may be older than this replica: upgrade it.")
        self._write_as(change)
        memory = tx.get(change.memory)
        if memory is not None and memory.owner != change.owner:
            raise Forbidden(f"The id {change.memory} belongs to somebody else.")
        if change.op == "purge":
            return self._purge(tx, change, memory)
        if memory is None and tx.tombstone_of(change.owner, change.memory) is not None:
            return _Outcome("gone", change.memory)
        match change.op:
            case "store":
                return self._store(tx, change, own) if memory is None else self._store_again(tx, change, memory, own)
            case _ if memory is None:
                return _Outcome("unknown", change.memory)
            case "edit" if change.base > memory.version:
                # A backup was restored: what this change builds upon is lost here, and comes again with all of the memory.
                return _Outcome("unknown", memory.id, floor=memory.version)
            case "edit":
                return self._edit(tx, change, memory, own)
            case "link" | "unlink":
                return self._edge(tx, change, memory, own)
            case "share" | "unshare":
                self.must_be_lent(change, memory)
                # The memory is as it was: who changes it next knows what was known before.
                return _Outcome("applied", memory.id, own=own, floor=change.base)
            case _:
                return self._secret(tx, change, memory, own)

    def _write_as(self, change: Sent) -> None:
        said = change.payload.get("revision") or {}
        names = {name: str(said[name])[:500] if said.get(name) else None for name in ("client", "agent", "session")}
        self.writer = Writer(names["client"], names["agent"], names["session"], "sync")

    def _store(self, tx: Transaction, change: Sent, own: Spans) -> _Outcome:
        fields = change.payload.get("fields") or {}
        known, extra = split(fields)
        if "content" not in known:
            raise InvalidInput("A memory needs a content.")
        made = known.pop("created_at", None) or change.at
        memory = Memory(change.memory, change.owner, created_at=made, updated_at=self._moment(change, made), extra=extra, **known)
        memory = memory.with_(content_hash=text.content_hash(memory.content), version=1)
        sent = memory
        memory, secrets = self._sealed(memory, ())
        if change.owner != self.access.principal:
            memory, _ = self._screened(memory, by_hand=False)
        if twin := self._twin(tx, memory):
            return self._take_in(tx, change, twin, memory, own)
        tx.insert(memory)
        for name, one in secrets:
            tx.put_secret(memory.id, name, one.blob, {"tier": one.tier, **one.meta})
        tx.append_audit(self.now(), self._actor, "store", memory.id, {"source": memory.source, "status": memory.status})
        differs = memory != sent or memory.updated_at != change.at
        return _Outcome("applied", memory.id, own=[[1, 1]], differs=differs)

    def _take_in(self, tx: Transaction, change: Sent, twin: Memory, memory: Memory, own: Spans) -> _Outcome:
        """Makes a memory one with its twin. Whose it was, and what it said otherwise, stays in the history."""
        self.writer = Writer(memory.client, memory.agent, memory.session, "sync")
        at = self.now()
        merged = self._merge(tx, twin, memory, at, memory.id)
        if merged.version == twin.version:
            # Always a version of its own, by which a change is known that had not heard of it.
            merged = self._written(tx, twin, MERGE, at, memory.id, {}, {})
        also = exchange.stored_also(memory.id, memory.client, memory.created_at)
        tx.add_revision(self._revision(merged, {}, TWIN, at, also))
        self._keep(tx, change, merged, _not_taken(merged, memory), f"the same words, {also}")
        tx.renumber(merged.id)
        tx.put_tombstone(change.owner, change.memory, twin.id)
        return _Outcome("merged", merged.id, own=_versions(twin, merged, own), floor=merged.version)

    def _twin(self, tx: Transaction, memory: Memory) -> Memory | None:
        """The memory that says the same there. What holds secrets has no twin: placeholders look alike."""
        if memory.sealed or memory.deleted_at or memory.status not in ("active", "candidate") or memory.source == "transcript":
            return None
        found = tx.find_exact(memory.owner, memory.content_hash, memory.scope)
        return found if found is not None and not found.sealed and found.id != memory.id else None

    def _store_again(self, tx: Transaction, change: Sent, memory: Memory, own: Spans) -> _Outcome:
        """A memory that the server has: what differs is the server's, and what the replica says is kept beside it."""
        wanted = self._wanted(change)
        lost = {name: value for name, value in wanted.items() if getattr(memory, name, None) != value and name in exchange.FIELDS}
        lost.pop("created_at", None)
        self._keep(tx, change, memory, lost, "stored twice under one id")
        return _Outcome("conflict" if lost else "applied", memory.id, exchange.plain(lost), own)

    def _edit(self, tx: Transaction, change: Sent, memory: Memory, own: Spans) -> _Outcome:
        wanted = self._wanted(change)
        said = change.payload.get("revision") or {}
        if not wanted and said.get("op") in SETTLING:
            at = self._moment(change, memory.created_at)
            conflicts.settle(tx, memory, said["op"], str(said.get("note") or ""), at, self.access.principal, self.writer)
            return _Outcome("applied", memory.id, own=own)
        foreign = self._foreign(tx, change, memory, own)
        deletes = wanted.get("deleted_at") is not None
        if memory.deleted_at is not None and "deleted_at" in foreign and not deletes:
            lost = _different(memory, wanted)
            self._keep(tx, change, memory, lost, "deleted elsewhere")
            return _Outcome("conflict" if lost else "applied", memory.id, exchange.plain(lost), own)
        losing = {name for name in wanted if name in foreign and not (name == "deleted_at" and deletes and memory.deleted_at)}
        lost = _different(memory, {name: wanted[name] for name in losing})
        fields = {name: value for name, value in wanted.items() if name not in losing}
        after, secrets = self._with(tx, change, memory, fields)
        for name, one in secrets:
            tx.put_secret(memory.id, name, one.blob, {"tier": one.tier, **one.meta})
        if change.seals and (lost or after is not memory):
            # Found there, perhaps by rules that this server does not have.
            tx.scrub_revisions(memory.id)
        else:
            self._hush_before(tx, memory, after)
        if "deleted_at" in fields and deletes and memory.deleted_at is None and (displaced := foreign & _TEXT):
            # The delete stands; what somebody else wrote meanwhile is listed.
            self._keep(tx, change, after, {name: getattr(after, name) for name in displaced}, "edited elsewhere, deleted here")
        self._keep(tx, change, after, lost, "changed elsewhere")
        exact = not foreign and after.version == change.base + 1 and after.updated_at == change.at
        exact = exact and all(getattr(after, name) == value for name, value in fields.items() if name != "content_hash")
        result = "conflict" if lost else "merged" if foreign else "applied"
        return _Outcome(result, memory.id, exchange.plain(lost), _versions(memory, after, own), differs=not exact)

    def _with(self, tx: Transaction, change: Sent, memory: Memory, fields: Mapping[str, Any]) -> tuple[Memory, Any]:
        """The memory with these fields, written; and the secrets that were found in them."""
        known = {name: value for name, value in fields.items() if name in exchange.FIELDS}
        extra = {**memory.extra, **{name: value for name, value in fields.items() if name not in exchange.FIELDS}}
        after, secrets = self._sealed(memory.with_(**known), tx.secrets_of(memory.id))
        for name in ("content", "tags", "expanded_keywords", "origin", "sealed"):
            if getattr(after, name) != getattr(memory, name):
                known[name] = getattr(after, name)
        if "content" in known:
            known["content_hash"] = text.content_hash(after.content)
            if change.owner != self.access.principal:
                known["status"] = self._screened(after, by_hand=False)[0].status
        said = change.payload.get("revision") or {}
        op, note = str(said.get("op") or "revise")[:40], str(said.get("note") or "")
        op = "revise" if op == CONFLICT else op
        return self._change(tx, memory, op, self._moment(change, memory.updated_at), note, extra=extra, **known), secrets

    def _purge(self, tx: Transaction, change: Sent, memory: Memory | None) -> _Outcome:
        if memory is not None:
            self._erase_secrets(memory, tx.secrets_of(memory.id))
            receipt = tx.erase(memory.id)
            tx.append_audit(self.now(), self._actor, "purge", memory.id, receipt)
        elif tx.tombstone_of(change.owner, change.memory) is None:
            tx.put_tombstone(change.owner, change.memory)
        return _Outcome("gone", change.memory)

    def _edge(self, tx: Transaction, change: Sent, memory: Memory, own: Spans) -> _Outcome:
        target = self._end(tx, change.owner, str(change.payload.get("target") or ""))
        kind = one_of(str(change.payload.get("type") or ""), LINK_TYPES, "link type")
        outcome = _Outcome("applied", memory.id, own=own)
        if target is None or target == memory.id:
            return outcome
        if change.op == "unlink":
            tx.remove_link(memory.id, target, kind)
        elif tx.get(target) is None:
            raise NotFound(f"The memory {target} that this one is linked with is not on the server.", hint="It is sent again later.")
        else:
            link = exchange.link_in(memory.id, {**change.payload, "target": target})
            # A replica may be older, or find less.
            tx.add_link(replace(link, note=redacted(link.note, self.limits)))
        return outcome

    def _secret(self, tx: Transaction, change: Sent, memory: Memory, own: Spans) -> _Outcome:
        name = str(change.payload.get("name") or "")
        if not name or len(name) > 200 or self.seal is None:
            raise InvalidInput("A secret needs a name, and a server that can seal.")
        lost = any(told["operation"] == change.previous for one in tx.revisions_of(memory.id) if (told := conflicts.conflict_of(one)))
        # What stands may call another secret so, which comes later.
        free = self._placing(change).placed(tx, memory, skip=lost and f"[REDACTED:{name}]" in memory.content)
        tx.renumber(memory.id)
        return _Outcome("applied" if free == name else "merged", memory.id, own=own)

    def _placing(self, change: Sent) -> Placing:
        """What was found out about the place of this change's secret so far."""
        if self._seeking is None or self._seeking[0] != change.operation:
            chain = self._chain()
            self._seeking = change.operation, Placing(chain, str(change.payload["name"]), str(change.payload["plain"]))
        return self._seeking[1]

    def opened_from_wire(self, change: Sent) -> str:
        """A secret that travelled sealed with a key that both sides have.

        Raises:
            SealDenied: they have not the same key.
            SealUnavailable: the key cannot be had now.
        """
        sealed, name = change.payload.get("sealed"), str(change.payload.get("name") or "")
        by = str(sealed.get("by") or "aes") if isinstance(sealed, Mapping) else ""
        seal = self.seal.chain.shared.get(by) if self.seal is not None else None
        if seal is None or not isinstance(sealed, Mapping):
            raise SealDenied("The server has no key that the secret could be sealed with.", hint=_NO_KEY)
        try:
            blob = base64.b64decode(str(sealed["blob"]), validate=True)
        except (KeyError, ValueError):
            raise InvalidInput("Not a sealed secret.") from None
        return seal.open(change.owner, str(sealed.get("memory") or change.memory), name, blob, {"key": str(sealed.get("key"))})

    def _wanted(self, change: Sent) -> dict[str, Any]:
        known, extra = split(change.payload.get("fields") or {})
        return {**known, **extra}

    def _foreign(self, tx: Transaction, change: Sent, memory: Memory, own: Spans) -> set[str]:
        """Fields that somebody else changed since the version that the replica knew."""
        if memory.version <= change.base:
            return set()
        since = [
            revision
            for revision in tx.revisions_of(memory.id)
            if revision.version >= change.base and not _within(revision.version + 1, own) and revision.op != CONFLICT
        ]
        foreign = {name for revision in since for name in revision.before} - {"content_hash", "updated_at"}
        if any(one.op == MERGE and one.note and tx.tombstone_of(memory.owner, one.note) for one in since):
            # A memory that says the same was taken in meanwhile, and lives here alone: it must not leave recall unheard of.
            foreign |= {"status", "deleted_at"}
        for group in _TOGETHER:
            if foreign & group:
                foreign |= group
        return foreign

    def _keep(self, tx: Transaction, change: Sent, memory: Memory, lost: Mapping[str, Any], reason: str) -> None:
        """Keeps what a change wanted and did not get, as a revision; secrets in it are sealed."""
        if not lost:
            return
        texts = {name: value for name, value in lost.items() if name in ("content", "expanded_keywords", "tags", "origin")}
        if texts:
            clean, secrets = self._sealed(memory.with_(**texts), tx.secrets_of(memory.id))
            for name, one in secrets:
                tx.put_secret(memory.id, name, one.blob, {"tier": one.tier, **one.meta})
            lost = {**lost, **{name: getattr(clean, name) for name in texts}}
        note = json.dumps({"operation": change.operation, "reason": reason, "fields": exchange.plain(lost)}, ensure_ascii=False)
        writer = self.writer
        at = self._moment(change, memory.created_at)
        tx.add_revision(
            Revision(memory.id, memory.version, at, CONFLICT, {}, self.access.principal, writer.client, writer.agent, writer.session, note)
        )
        tx.renumber(memory.id)

    def _moment(self, change: Sent, least: datetime) -> datetime:
        """When a change was made, by a clock that may be wrong: never in the server's future, never before what it changes."""
        return max(least, min(change.at, self.now()))


_TEXT = frozenset(("content", "category", "tags", "expanded_keywords", "importance", "scope"))


def _not_taken(merged: Memory, memory: Memory) -> dict[str, Any]:
    """What somebody said of a memory and its twin does not; a value that stands there by itself was not said."""
    lost: dict[str, Any] = {
        name: value
        for name in ("category", "importance", "valid_from", "valid_until", "expires_at")
        if (value := getattr(memory, name)) not in (getattr(merged, name), _UNSAID[name].default)
    }
    if not set(memory.tags) <= set(merged.tags):
        lost["tags"] = memory.tags
    if not set(memory.expanded_keywords.split()) <= set(merged.expanded_keywords.split()):
        lost["expanded_keywords"] = memory.expanded_keywords
    return lost


def _different(memory: Memory, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name in exchange.FIELDS and getattr(memory, name) != value}


def _versions(before: Memory, after: Memory, own: Spans) -> Spans:
    """The versions of a chain, with what was just made."""
    if after.version == before.version:
        return own
    if own and own[-1][1] == before.version:
        return [*own[:-1], [own[-1][0], after.version]]
    return [*own[-63:], [before.version + 1, after.version]]


def _within(version: int, spans: Spans) -> bool:
    return any(first <= version <= last for first, last in spans)
