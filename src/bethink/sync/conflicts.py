"""Changes that lost against another machine's: kept as they come, listed with what stands now, and made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bethink import exchange
from bethink.errors import Conflict, NotFound
from bethink.model import Changes, Memory, Revision
from bethink.service.memories import Memories
from bethink.service.replicating import CONFLICT, conflict_of
from bethink.stores.base import ReplicaTransaction

#: What a person can say again; the rest (who, when, seals) is the store's own.
_AGAIN = ("content", "category", "tags", "expanded_keywords", "importance", "status", "scope", "valid_from", "valid_until", "expires_at")


def listed(memories: Memories, memory: str | None = None) -> list[dict[str, Any]]:
    """Every change that lost, oldest first: `memory`, `operation`, `reason`, `fields` that it wanted, `now` (the same fields as they
    stand, None when the memory is gone), `at`, `actor`, `client`, `agent`, `session`.

    Args:
        memory: an id; only the conflicts of this memory.
    """
    ids = [memory] if memory else None
    every = [told for one in memories.store.revisions_named(memories.access, CONFLICT, ids) if (told := conflict_of(one))]
    known = memories.store.get(memories.access, list(dict.fromkeys(one["memory"] for one in every)))
    for one in every:
        found = known.get(one["memory"])
        one["now"] = exchange.plain({name: getattr(found, name, None) for name in one["fields"]}) if found else None
    return every


def reapply(memories: Memories, id: str) -> Memory:
    """Makes the last change that lost on a memory after all; a memory that was deleted meanwhile comes back for it.

    Args:
        id: the change's operation, or the memory's id or the beginning of it.

    Raises:
        NotFound: there is no such conflict.
        Conflict: nothing of it can be made again.
    """
    matching = [one for one in listed(memories) if one["operation"] == id or one["memory"].startswith(id)]
    if not matching:
        raise NotFound(f"No conflict {id!r}.", hint="`bethink conflicts` lists them.")
    fields = exchange.checked(matching[-1]["fields"])
    wanted = {name: fields[name] for name in _AGAIN if name in fields}
    if not wanted:
        raise Conflict("Nothing of it can be made again by hand.", hint="`bethink history ID` shows what was changed.")
    memory = memories.get(matching[-1]["memory"])
    if memory.deleted_at is not None:
        memories.restore(memory.id)
    return memories.revise(memory.id, Changes(**wanted))


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


def drop(tx: ReplicaTransaction, id: str, told: Sequence[Mapping[str, Any]]) -> None:
    """What the server emptied when the memory was sealed must not stay readable here."""
    named = {str(one["operation"]) for one in told}
    here = {str(kept["operation"]) for one in tx.revisions_of(id) if (kept := conflict_of(one)) is not None}
    if here - named:
        tx.scrub_revisions(id)
