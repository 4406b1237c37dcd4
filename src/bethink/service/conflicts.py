"""What is kept of a change that lost against another one, and whether somebody has dealt with it since."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bethink.model import CONFLICT, SETTLING, TWIN, Access, Memory, Revision
from bethink.service.core import Writer
from bethink.stores.base import Store, Transaction

#: Longest name of an operation.
_LONGEST = 128


def conflict_of(revision: Revision) -> dict[str, Any] | None:
    """What a revision of the kind `conflict` keeps: operation, reason, fields; with who and when."""
    if revision.op != CONFLICT or not revision.note:
        return None
    try:
        told = json.loads(revision.note)
    except ValueError:
        return None
    return {
        "memory": revision.memory,
        "operation": told.get("operation", ""),
        "reason": told.get("reason", ""),
        "fields": told.get("fields", {}),
        **_told_by(revision),
    }


def every_conflict(store: Store, access: Access, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The conflicts of some memories or of all, oldest first; one that was dealt with has `settled`: op, and who and when."""
    found = [told for one in store.revisions_named(access, CONFLICT, ids) if (told := conflict_of(one))]
    memories = list(dict.fromkeys(one["memory"] for one in found))
    settled: dict[tuple[str, str], Revision] = {}
    for op in SETTLING if memories else ():
        for revision in store.revisions_named(access, op, memories):
            settled.setdefault((revision.memory, revision.note), revision)
    for one in found:
        if (by := settled.get((one["memory"], one["operation"]))) is not None:
            one["settled"] = {"op": by.op, **_told_by(by)}
    return found


def open_conflicts(store: Store, access: Access, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Those that nobody has dealt with yet."""
    return [one for one in every_conflict(store, access, ids) if "settled" not in one]


def settle(tx: Transaction, memory: Memory, op: str, operation: str, at: datetime, actor: str, writer: Writer) -> None:
    """Takes a conflict off the list; nothing of the memory changes but its history, which goes to every replica."""
    operation = operation[:_LONGEST]
    if any((one.op, one.note) == (op, operation) for one in tx.revisions_of(memory.id)):
        return
    tx.add_revision(Revision(memory.id, memory.version, at, op, {}, actor, writer.client, writer.agent, writer.session, operation))
    tx.renumber(memory.id)


def in_words(revision: Revision) -> str | None:
    """What a revision of a conflict or a twin keeps, or says of one, for people; None for other revisions."""
    if revision.op == TWIN:
        return revision.note
    if revision.op in SETTLING:
        return f"the change {revision.note}" if revision.note else ""
    if revision.op != CONFLICT:
        return None
    told = conflict_of(revision)
    if told is None:
        return "what it was is not kept: the memory was sealed"
    lost = "\n".join(f"not taken: {name}: {value}" for name, value in told["fields"].items())
    return f"{told['reason']}\nthe change {told['operation']}\n{lost}".strip()


def _told_by(revision: Revision) -> dict[str, Any]:
    return {
        "at": revision.at.isoformat(),
        "actor": revision.actor,
        "client": revision.client,
        "agent": revision.agent,
        "session": revision.session,
    }
