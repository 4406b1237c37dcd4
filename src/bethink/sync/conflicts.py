"""Changes that lost against another machine's: kept as they come, listed with what stands now, made again or dismissed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bethink import exchange
from bethink.errors import Conflict, InvalidInput, NotFound
from bethink.model import CONFLICT, SETTLING, Changes, Memory, Revision
from bethink.service.conflicts import conflict_of, open_conflicts, settle
from bethink.service.memories import Memories
from bethink.stores.base import ReplicaTransaction

#: What a person can say again; the rest (who, when, seals) is the store's own.
_AGAIN = ("content", "category", "tags", "expanded_keywords", "importance", "status", "scope", "valid_from", "valid_until", "expires_at")
#: The shortest beginning of an id that names something.
_SHORTEST = 4
#: Most operations that are named when one has to be chosen.
_NAMED = 5


def listed(memories: Memories, memory: str | None = None) -> list[dict[str, Any]]:
    """Every change that lost and was neither made again nor dismissed, oldest first: `memory`, `operation`, `reason`, `fields` that it
    wanted, `now` (the same fields as they stand; `deleted_at` alone when the memory is deleted), `at`, `actor`, `client`, `agent`,
    `session`.

    Args:
        memory: an id; only the conflicts of this memory.
    """
    every = open_conflicts(memories.store, memories.access, [memory] if memory else None)
    known = memories.store.get(memories.access, list(dict.fromkeys(one["memory"] for one in every)))
    for one in every:
        found = known.get(one["memory"])
        one["now"] = exchange.plain(_standing(found, one["fields"])) if found else None
    return every


def reapply(memories: Memories, id: str) -> Memory:
    """Makes a change that lost after all, and takes it off the list; a memory that was deleted meanwhile comes back for it.

    Args:
        id: the change's operation, or the id of a memory with one conflict, or the beginning of either.

    Raises:
        InvalidInput: that names none, or several.
        NotFound: there is no such conflict.
        Conflict: nothing of it can be made again.
    """
    one = _named(memories, id)
    fields = exchange.checked(one["fields"])
    wanted = {name: fields[name] for name in _AGAIN if name in fields}
    if not wanted:
        dismissing = f"`bethink conflicts --dismiss {one['operation']}` takes it off the list."
        raise Conflict("Nothing of it can be made again by hand.", hint=dismissing)
    memory = memories.get(one["memory"])
    if memory.deleted_at is not None:
        memories.restore(memory.id)
    revised = memories.revise(memory.id, Changes(**wanted))
    _settle(memories, one, "reapply")
    return memories.store.get(memories.access, [memory.id]).get(memory.id, revised)


def dismiss(memories: Memories, id: str) -> dict[str, Any]:
    """Takes a change that lost off the list, everywhere; the memory's history keeps it. Answers what it was.

    Args:
        id: as in `reapply`.

    Raises:
        InvalidInput, NotFound: as in `reapply`.
    """
    one = _named(memories, id)
    _settle(memories, one, "dismiss")
    return one


def dismiss_all(memories: Memories) -> list[dict[str, Any]]:
    """Takes every change that lost off the list; answers them."""
    every = [one for one in listed(memories) if _may_settle(memories, one)]
    for one in every:
        _settle(memories, one, "dismiss")
    return every


def _standing(memory: Memory, names: Mapping[str, Any]) -> dict[str, Any]:
    if memory.deleted_at is not None:
        return {"deleted_at": memory.deleted_at}
    return {name: getattr(memory, name, None) for name in names}


def _named(memories: Memories, id: str) -> dict[str, Any]:
    """The one conflict that an id means."""
    wanted = id.strip().lower()
    every = listed(memories)
    exact = [one for one in every if wanted in (one["operation"].lower(), one["memory"].lower())]
    begun = [one for one in every if one["operation"].lower().startswith(wanted) or one["memory"].lower().startswith(wanted)]
    # Of several with one operation, which are parts of one change, the last stands for all.
    found = {one["operation"]: one for one in exact or begun}
    if found and not exact and len(wanted) < _SHORTEST:
        raise InvalidInput(f"{id!r} is too short to name a conflict.", hint=_which(found))
    if len(found) > 1:
        raise InvalidInput(f"{id!r} names several conflicts.", hint=_which(found))
    if not found:
        raise NotFound(f"No conflict {id!r}.", hint="`bethink conflicts` lists them.")
    return next(iter(found.values()))


def _which(found: Mapping[str, Any]) -> str:
    more = f" … ({len(found)} in all)" if len(found) > _NAMED else ""
    return f"Give the operation: {', '.join(list(found)[:_NAMED])}{more}; `bethink conflicts` shows what each is."


def _may_settle(memories: Memories, one: Mapping[str, Any]) -> bool:
    found = memories.store.get(memories.access, [one["memory"]]).get(one["memory"])
    return found is not None and found.owner in memories.access.writable


def _settle(memories: Memories, one: Mapping[str, Any], op: str) -> None:
    at = memories.now()
    with memories.store.write(memories.access) as tx:
        memory = tx.get(one["memory"])
        if memory is None:
            raise NotFound(f"The memory {one['memory']} was erased meanwhile.", hint="There is nothing left to decide.")
        settle(tx, memory, op, one["operation"], at, memories.access.principal, memories.writer)
        tx.append_audit(at, memories.writer.agent or memories.writer.source, op, memory.id, {"operation": one["operation"]})


def take(tx: ReplicaTransaction, id: str, told: Sequence[Mapping[str, Any]]) -> None:
    """Keeps the conflicts that the server tells of a memory, each once."""
    if not told:
        return
    here = {revision.note for revision in tx.revisions_of(id) if revision.op == CONFLICT}
    for one in told:
        note = json.dumps({name: one[name] for name in ("operation", "reason", "fields")}, ensure_ascii=False)
        if note not in here:
            at = datetime.fromisoformat(one["at"])
            memory = tx.get(id)
            version = memory.version if memory else 0
            told_by = (one.get("actor") or "", one.get("client"), one.get("agent"), one.get("session"))
            tx.add_revision(Revision(id, version, at, CONFLICT, {}, *told_by, note))
    _take_settled(tx, id, told)


def _take_settled(tx: ReplicaTransaction, id: str, told: Sequence[Mapping[str, Any]]) -> None:
    here = {(revision.op, revision.note) for revision in tx.revisions_of(id) if revision.op in SETTLING}
    for one in told:
        by = one.get("settled")
        if by is None or by["op"] not in SETTLING or (by["op"], one["operation"]) in here:
            continue
        here.add((by["op"], one["operation"]))
        told_by = (by.get("actor") or "", by.get("client"), by.get("agent"), by.get("session"))
        memory = tx.get(id)
        at = datetime.fromisoformat(by["at"])
        tx.add_revision(Revision(id, memory.version if memory else 0, at, by["op"], {}, *told_by, one["operation"]))


def drop(tx: ReplicaTransaction, id: str, told: Sequence[Mapping[str, Any]]) -> None:
    """What the server emptied when the memory was sealed must not stay readable here."""
    named = {str(one["operation"]) for one in told}
    here = {str(kept["operation"]) for one in tx.revisions_of(id) if (kept := conflict_of(one)) is not None}
    if here - named:
        tx.scrub_revisions(id)
