"""The archive: what was said in past sessions, verbatim, many turns at a time, and how far reading has come."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bethink.errors import Conflict
from bethink.model import EVERYWHERE, Draft, Filter, Memory, Scope
from bethink.service import drafts
from bethink.service.writing import Writing

#: The source that marks the archive.
SOURCE = "transcript"
_SPACE = uuid.UUID("5e8b0d6a-2f0a-4e0d-9a57-6c1f7a1c2b11")
_ERASED_AT_ONCE = 200
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+")
_EVERY_STATUS = ("active", "candidate", "quarantined", "superseded", "completed", "parked")
State = dict[str, Any]


def derived_id(owner: str, *names: str) -> str:
    """The same id for the same names on every machine (UUID version 5, RFC 9562)."""
    return str(uuid.uuid5(_SPACE, "\x1f".join((owner, *names)).encode("utf-8", "replace").decode()))


@dataclass(frozen=True, slots=True)
class Archived:
    """What became of a batch: memories written, known before, sealed; `raced` says that nothing was, another was faster."""

    written: int = 0
    known: int = 0
    sealed: int = 0
    quarantined: int = 0
    bytes: int = 0
    raced: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning the archive erased, or would."""

    memories: int
    bytes: int
    done: bool


@dataclass(frozen=True, slots=True)
class Guarded:
    """A namespace's entry that must still be what it was when a batch was begun, and what it becomes with the batch."""

    namespace: str
    key: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    #: Entries that are merged into what is there: (namespace, key, merge).
    merges: Sequence[tuple[str, str, Callable[[State | None], State]]] = field(default=())


class Archiving(Writing):
    """The part of `Memories` that keeps what was said."""

    def archive(self, turns: Sequence[Draft], guarded: Guarded | None = None) -> Archived:
        """Stores turns in one transaction: sealed and screened, but never merged and never judged.

        A turn that is known is passed over: by its id, by its words in the same session, by words and moment in
        another. `guarded` is written in the same transaction; when its entry is no longer what it was, nothing is
        written at all.

        Raises:
            InvalidInput: a turn is not acceptable; mend texts first (`text.mended`).
            SealError, StoreError: nothing was stored.
        """
        now = self.now()
        owner = self._owner
        made = [drafts.memory_of(drafts.validated(replace(turn, source=SOURCE)), owner, self.writer, now) for turn in turns]
        present = self.store.get(self.access, [memory.id for memory in made])
        ready = []
        for memory in made:
            if memory.id not in present:
                clean, secrets = self._sealed(memory if _telling(memory.origin) else memory.with_(origin=None), ())
                clean = clean if clean.origin else clean.with_(origin=memory.origin)
                ready.append((self._screened(clean, by_hand=False)[0], secrets))
        written = sealed = quarantined = size = 0
        with self.store.write(self.access) as tx:
            if guarded is not None and tx.state_get(guarded.namespace, guarded.key) != guarded.before:
                return Archived(raced=True)
            for memory, secrets in ready:
                if tx.get(memory.id) or tx.archived(owner, memory.content_hash, memory.session, memory.created_at):
                    continue
                tx.insert(memory)
                tx.record_change(f"{memory.id}:1", memory.id, "store", 0, {})
                for name, one in secrets:
                    tx.put_secret(memory.id, name, one.blob, {"tier": one.tier, **one.meta})
                written += 1
                sealed += bool(secrets)
                quarantined += memory.status == "quarantined"
                size += len(memory.content.encode())
            if written:
                sessions = sorted({memory.session or "" for memory, _ in ready})
                tx.append_audit(now, self._actor, "archive", sessions[0] if len(sessions) == 1 else "", {"memories": written})
            if guarded is not None:
                tx.state_put(guarded.namespace, guarded.key, guarded.after)
                for namespace, key, merge in guarded.merges:
                    tx.state_put(namespace, key, merge(tx.state_get(namespace, key)))
        return Archived(written, len(made) - written, sealed, quarantined, size)

    def turns(self, session: str, *, since: datetime | None = None) -> Iterator[Memory]:
        """The archive of one session, oldest first; from a moment on when `since` is given."""
        where = Filter(reach=EVERYWHERE, session=session, source=SOURCE, since=since, statuses=_EVERY_STATUS)
        return self.store.walk(self.access, where, self.now())

    def prune_archive(self, *, before: datetime | None = None, project: str | None = None, do_it: bool = False) -> Pruned:
        """Erases the archive for good, or the part of it that is older or of one project; only counts unless `do_it`.

        What was distilled from it stays.
        """
        reach = replace(self.reach(project), include_global=False) if project else EVERYWHERE
        where = Filter(reach=reach, source=SOURCE, before=before, statuses=_EVERY_STATUS)
        count = size = 0
        batch: list[Memory] = []
        doomed: list[str] = []
        for every in (where, replace(where, deleted=True)):
            for memory in self.store.walk(self.access, every, self.now()):
                count += 1
                size += len(memory.content.encode())
                doomed.append(memory.id)
                if memory.sealed and do_it:
                    batch.append(memory)
        if do_it:
            for memory in batch:
                self._erase_secrets(memory)
            for start in range(0, len(doomed), _ERASED_AT_ONCE):
                self._erase_archived(doomed[start : start + _ERASED_AT_ONCE])
            self.change_state("archive", "pruned", lambda was: _horizon(was, before, project))
        return Pruned(count, size, do_it)

    def _erase_archived(self, ids: Sequence[str]) -> None:
        with self.store.write(self.access) as tx:
            for id in ids:
                memory = tx.get(id)
                if memory is not None and memory.source == SOURCE:
                    tx.erase(id)
                    tx.record_change(f"{id}:purge", id, "purge", memory.version, {})
            tx.append_audit(self.now(), self._actor, "prune", "", {"memories": len(ids)})

    # What intake must know from one run to the next.

    def states(self, namespace: str) -> dict[str, State]:
        """Every entry of a namespace, by key."""
        return self.store.state(self.access, namespace)

    def change_state(self, namespace: str, key: str, change: Callable[[State | None], State | None]) -> State | None:
        """Replaces an entry by what `change` makes of it, without another process in between; None removes it."""
        with self.store.write(self.access) as tx:
            after = change(tx.state_get(namespace, key))
            tx.state_put(namespace, key, after)
        return after

    # What intake learns has ids of its own making, so that learning it again changes nothing.

    def keep_current(self, draft: Draft, *names: str) -> Memory | None:
        """Stores a memory under an id derived from `names`, or brings it up to date; None when a person forgot it.

        Raises:
            InvalidInput: a field is not acceptable.
        """
        from bethink.model import Changes

        id = derived_id(self._owner, *names)
        known = self.store.get(self.access, [id]).get(id)
        if known is None:
            try:
                return self.remember(replace(draft, id=id, verbatim=True)).memory
            except Conflict:
                # Another process was faster.
                known = self.get(id)
        if known.deleted_at is not None or known.status not in ("active", "candidate"):
            return None
        if known.content == draft.content and known.tags == draft.tags:
            return known
        return self.revise(id, Changes(content=draft.content, tags=draft.tags, expanded_keywords=draft.expanded_keywords))

    def place_of(self, project: str | None) -> Scope:
        """The scope of a project; global without one."""
        return Scope.of(project)


def _telling(origin: Mapping[str, Any] | None) -> bool:
    """Whether a place could hold a secret; ids and the same few names on every turn are not looked through again and again."""
    return any(_suspicious(str(value)) for value in (origin or {}).values() if not _UUID.fullmatch(str(value)))


@functools.lru_cache(maxsize=4096)
def _suspicious(value: str) -> bool:
    from bethink.seal import detect

    return bool(detect.scan(value))


def _horizon(was: State | None, before: datetime | None, project: str | None) -> State:
    """What was pruned is not imported again: per project ("" for all) the moment before which nothing is wanted."""
    pruned: State = dict(was or {})
    name = project or ""
    if before is not None:
        pruned[name] = max(before.isoformat(), pruned.get(name, ""))
    return pruned
