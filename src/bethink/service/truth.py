"""Truth that changes: links, history, and the ways back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bethink.errors import Conflict, InvalidInput, NotFound
from bethink.model import LINK_TYPES, Filter, Link, Memory, Revision, one_of
from bethink.service.core import Core, restored
from bethink.service.drafts import checked_note
from bethink.service.sealing import redacted
from bethink.stores.base import AuditEntry, Transaction


@dataclass(frozen=True, slots=True)
class Why:
    """Where a memory comes from and what became of it."""

    memory: Memory
    links: tuple[Link, ...]
    lineage: tuple[Memory, ...]
    revisions: tuple[Revision, ...]
    events: tuple[AuditEntry, ...]
    #: Ids of what is forgotten in the lineage; its trust counts all the same.
    forgotten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback invalidated, or would."""

    batch: str
    memories: tuple[Memory, ...]
    done: bool


class Truth(Core):
    """The part of `Memories` that knows how things came to be as they are."""

    def link(self, source: str, target: str, type: str, note: str = "") -> Link:
        """Joins two memories by a typed edge; joining them twice is no error. Placeholders stand in the note for secrets.

        Raises:
            NotFound: an end does not exist or is not yours.
            InvalidInput: no such type, an edge to itself, a circle of supersedes, or a note that is too long.
        """
        kind = one_of(type.strip().lower().replace("-", "_"), LINK_TYPES, "link type")
        one, other = self.live(source), self.live(target)
        if one.id == other.id:
            raise InvalidInput("A memory cannot be linked with itself.")
        now = self.now()
        edge = Link(one.id, other.id, kind, now, redacted(checked_note(note), self.limits))
        with self.store.write(self.access) as tx:
            if kind == "supersedes":
                if self._reaches(tx, other.id, one.id):
                    raise InvalidInput(f"{other.id} supersedes {one.id} already.", hint="A circle of supersedes has no end.")
                if other.status != "superseded":
                    gone = self._change(
                        tx, other, "supersede", now, note=one.id, status="superseded", superseded_at=max(now, one.created_at)
                    )
                    self._cascade(tx, gone, f"was superseded by {one.id}", now)
            if tx.add_link(edge):
                tx.record_change(f"{one.id}:{kind}:{other.id}", one.id, "link", one.version, {"target": other.id, "type": kind})
                tx.append_audit(now, self._actor, "link", one.id, {"type": kind, "target": other.id})
        return edge

    def unlink(self, source: str, target: str, type: str) -> bool:
        """Removes an edge; False when there was none. What a supersedes edge hid stays hidden (see `undo`)."""
        one, other = self.get(source).id, self.get(target).id
        with self.store.write(self.access) as tx:
            removed = tx.remove_link(one, other, type.strip().lower().replace("-", "_"))
            if removed:
                tx.append_audit(self.now(), self._actor, "unlink", one, {"type": type, "target": other})
        return removed

    def links(self, id: str, at: datetime | None = None) -> list[Link]:
        """Every edge of a memory, oldest first; with `at` those that were made by then and are still there.

        Raises:
            Forgotten: it is forgotten, and `at` names no moment.
        """
        memory = self.live(id) if at is None else self.get(id)
        return [link for link in self.store.links_of(self.access, [memory.id]) if at is None or link.created_at <= at]

    def ends(self, edges: Iterable[Link]) -> list[Memory]:
        """The memories that edges join, as any door may show them: of what is forgotten the edge's id has to do."""
        ids = list(dict.fromkeys(end for edge in edges for end in (edge.source, edge.target)))
        return [memory for memory in self.store.get(self.access, ids).values() if memory.deleted_at is None]

    def history(self, id: str) -> list[Revision]:
        """Every change of a memory, oldest first, beginning with its making."""
        memory = self.get(id)
        revisions = self.store.revisions(self.access, memory.id)
        made = Revision(memory.id, 0, memory.created_at, "create", {}, memory.owner, memory.client, memory.agent, memory.session)
        return [made, *revisions]

    def as_of(self, id: str, at: datetime) -> Memory:
        """A memory as it was known at a moment.

        Raises:
            NotFound: it was not known yet.
        """
        memory = self.get(id)
        if memory.created_at > at:
            raise NotFound(f"The memory {memory.id} was not known then.", hint=f"It was stored at {memory.created_at.isoformat()}.")
        for revision in reversed(self.store.revisions(self.access, memory.id)):
            if revision.at <= at:
                break
            memory = memory.with_(version=revision.version, **{name: restored(name, value) for name, value in revision.before.items()})
        return memory

    def undo(self, id: str) -> list[Memory]:
        """Takes back the supersession that a memory made or suffered; all of them are in recall again.

        Raises:
            Conflict: there is none to take back.
        """
        memory = self.get(id)
        now = self.now()
        with self.store.write(self.access) as tx:
            edges = [link for link in tx.links_of([memory.id]) if link.type == "supersedes"]
            mine = [link for link in edges if link.source == memory.id] or edges
            back = [old for link in mine if (old := self._back(tx, link, now)) is not None]
        if not back:
            raise Conflict(
                f"Nothing was superseded by {memory.id}.", hint="`bethink history ID` shows what happened; `restore` undoes a delete."
            )
        return back

    def why(self, id: str) -> Why:
        """Source, lineage, links, changes, and where a memory was shown; of what is forgotten in its lineage only the id."""
        memory = self.get(id)
        links = self.store.links_of(self.access, [memory.id])
        events = tuple(entry for entry in self.store.audit(self.access) if entry.subject == memory.id)
        lineage = self._lineage(memory)
        shown = tuple(one for one in lineage if one.deleted_at is None)
        forgotten = tuple(one.id for one in lineage if one.deleted_at is not None)
        return Why(memory, tuple(links), shown, tuple(self.history(memory.id)), events, forgotten)

    def trust_of(self, memory: Memory) -> str:
        """The least trust in a memory's lineage."""
        from bethink.model import TRUSTS

        return max((one.trust for one in (memory, *self._lineage(memory))), key=TRUSTS.index)

    def audit(self, after: int = 0) -> list[AuditEntry]:
        """The audit log from a number on."""
        return list(self.store.audit(self.access, after=after))

    def verify_audit(self) -> int | None:
        """The number of the first audit entry that was tampered with, None when the log is whole."""
        return self.store.verify_audit()

    def rollback(
        self, *, session: str | None = None, source: str | None = None, since: datetime | None = None, do_it: bool = False
    ) -> RolledBack:
        """Takes everything that one origin wrote out of recall; a dry run unless `do_it`.

        Raises:
            InvalidInput: nothing says what to roll back.
        """
        if session is None and source is None and since is None:
            raise InvalidInput("Roll back what?", hint="Give --session, --source or --since.")
        every = ("active", "candidate", "quarantined", "completed", "parked")
        where = Filter(session=session, source=source, since=since, statuses=every)
        found = tuple(self.store.walk(self.access, where, self.now()))
        from bethink.model import new_id

        batch = new_id()
        if not do_it:
            return RolledBack(batch, found, False)
        now = self.now()
        with self.store.write(self.access) as tx:
            for seen in found:
                memory = tx.get(seen.id)
                if memory is not None and memory.deleted_at is None:
                    gone = self._change(tx, memory, "rollback", now, note=batch, deleted_at=now)
                    self._cascade(tx, gone, "was rolled back", now)
                    for link in tx.links_of([memory.id]):
                        if link.type == "supersedes" and link.source == memory.id:
                            self._back(tx, link, now)
            tx.append_audit(now, self._actor, "rollback", batch, {"memories": len(found)})
        return RolledBack(batch, found, True)

    def undo_rollback(self, batch: str) -> int:
        """Brings back what one rollback took out; answers how many memories."""
        now = self.now()
        back = 0
        with self.store.write(self.access) as tx:
            for seen in self.store.walk(self.access, Filter(deleted=True), now):
                revisions = self.store.revisions(self.access, seen.id)
                if revisions and revisions[-1].op == "rollback" and revisions[-1].note == batch:
                    self._change(tx, seen, "restore", now, note=batch, deleted_at=None)
                    back += 1
            if not back:
                raise NotFound(f"No rollback {batch!r}.")
            tx.append_audit(now, self._actor, "undo-rollback", batch, {"memories": back})
        return back

    def _back(self, tx: Transaction, link: Link, now: datetime) -> Memory | None:
        old = tx.get(link.target)
        if old is None or old.status != "superseded":
            return None
        tx.remove_link(link.source, link.target, "supersedes")
        tx.add_link(Link(link.source, link.target, "see_also", now))
        return self._change(tx, old, "undo", now, note=link.source, status="active", superseded_at=None)

    def _reaches(self, tx: Transaction, start: str, goal: str) -> bool:
        """Whether `goal` is superseded, directly or not, by `start`."""
        seen = {start}
        wave = [start]
        while wave:
            if goal in wave:
                return True
            wave = [
                link.target for link in tx.links_of(wave) if link.type == "supersedes" and link.source in wave and link.target not in seen
            ]
            seen.update(wave)
        return False

    def _lineage(self, memory: Memory) -> list[Memory]:
        """What a memory was made from, nearest first, be it forgotten."""
        seen = {memory.id}
        wave = [memory.id]
        found: list[Memory] = []
        while wave:
            links = self.store.links_of(self.access, wave)
            parents = [link.target for link in links if link.type == "derived_from" and link.source in wave and link.target not in seen]
            wave = list(dict.fromkeys(parents))
            seen.update(wave)
            found.extend(self.store.get(self.access, wave).values())
        return found
