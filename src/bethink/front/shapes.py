"""What programs are answered: the nouns as plain JSON values, the same from every front door.

Times are ISO 8601 with offset, in UTC. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bethink.errors import BethinkError
from bethink.model import Grant, Hit, Link, Memory, Page, Recalled, Revision, Stored, Verdict
from bethink.service.core import plain

if TYPE_CHECKING:
    from bethink.service.context import Brief
    from bethink.service.entities import Entity
    from bethink.service.hygiene import BulkDeleted, Cluster, Proposal
    from bethink.service.people import Key, Member, User
    from bethink.service.review import ReviewItem
    from bethink.service.truth import RolledBack, Why
    from bethink.stores.base import AuditEntry

Json = dict[str, Any]


def memory(one: Memory) -> Json:
    """Every field of a memory; `scope` is its kind, with `project` and `task` beside it."""
    every = {each.name: getattr(one, each.name) for each in fields(one) if each.name != "extra"}
    shape = plain(every)
    shape.update(scope=one.scope.kind, project=one.scope.project, task=one.scope.task)
    return {**one.extra, **shape}


def memories(many: Iterable[Memory]) -> list[Json]:
    return [memory(one) for one in many]


def brief_memory(one: Memory) -> Json:
    """What tells a memory from others: for previews."""
    return {
        "id": one.id,
        "content": one.content,
        "category": one.category,
        "project": one.scope.project,
        "created_at": _time(one.created_at),
    }


def hit(one: Hit) -> Json:
    """A hit: the memory's most telling fields, its score 0..1 and why."""
    found = one.memory
    return {
        "id": found.id,
        "content": found.content,
        "category": found.category,
        "tags": list(found.tags),
        "importance": found.importance,
        "scope": found.scope.kind,
        "project": found.scope.project,
        "task": found.scope.task,
        "created_at": _time(found.created_at),
        "updated_at": _time(found.updated_at),
        "source": found.source,
        "trust": found.trust,
        "status": found.status,
        "client": found.client,
        "owner": found.owner,
        "score": round(one.score, 4),
        "why": _rounded(one.why),
        **({"sealed": list(found.sealed)} if found.sealed else {}),
        **({"needs_review": found.needs_review} if found.needs_review else {}),
    }


def recalled(answer: Recalled) -> Json:
    """``{"hits", "took_ms"}``, and `notes` when the answer is less than it could be."""
    shape: Json = {"hits": [hit(one) for one in answer.hits], "took_ms": answer.took_ms}
    if answer.notes:
        shape["notes"] = list(answer.notes)
    return shape


def stored(answer: Stored) -> Json:
    """``{"id", "action"}`` and what else became of a write."""
    kept = answer.memory
    shape: Json = {
        "id": kept.id,
        "action": answer.action,
        "category": kept.category,
        "scope": kept.scope.kind,
        "project": kept.scope.project,
        "status": kept.status,
        "superseded": list(answer.superseded),
        "sealed": list(answer.sealed),
    }
    if answer.notes:
        shape["notes"] = list(answer.notes)
    return shape


def page(part: Page) -> Json:
    return {"memories": memories(part.memories), "total": part.total, "limit": part.limit, "offset": part.offset}


def context(brief: Brief) -> Json:
    """A brief, by section."""
    return {
        "scope": brief.scope.kind,
        "project": brief.scope.project,
        "task": brief.scope.task,
        "tokens": brief.tokens,
        "sections": [{"title": title, "memories": memories(many)} for title, many in brief.sections],
    }


def verdict(answer: Verdict) -> Json:
    """What storing a content would do, with the nearest memory."""
    target = answer.target
    return {
        "action": answer.action,
        "similarity": round(answer.similarity, 4),
        "reason": answer.reason,
        "target_id": target.id if target else None,
        "target": brief_memory(target) if target else None,
    }


def link(edge: Link) -> Json:
    return {"source": edge.source, "target": edge.target, "type": edge.type, "created_at": _time(edge.created_at), "note": edge.note}


def revision(one: Revision) -> Json:
    """One change; `before` holds what the changed fields were."""
    return {
        "version": one.version,
        "at": _time(one.at),
        "op": one.op,
        "before": plain(one.before),
        "actor": one.actor,
        "client": one.client,
        "agent": one.agent,
        "session": one.session,
        "note": one.note,
    }


def audit_entry(one: AuditEntry) -> Json:
    return {
        "number": one.number,
        "at": _time(one.at),
        "actor": one.actor,
        "action": one.action,
        "subject": one.subject,
        "detail": dict(one.detail),
        "digest": one.digest,
    }


def why(answer: Why) -> Json:
    """Where a memory comes from and what became of it."""
    return {
        "memory": memory(answer.memory),
        "lineage": memories(answer.lineage),
        "forgotten": list(answer.forgotten),
        "links": [link(one) for one in answer.links],
        "history": [revision(one) for one in answer.revisions],
        "events": [audit_entry(one) for one in answer.events],
    }


def rolled_back(answer: RolledBack) -> Json:
    """`batch` is what `undo` takes the rollback back by; None for a dry run."""
    return {
        "done": answer.done,
        "batch": answer.batch if answer.done else None,
        "total": len(answer.memories),
        "memories": [brief_memory(one) for one in answer.memories],
    }


def review_item(item: ReviewItem) -> Json:
    return {**memory(item.memory), "reason": item.reason}


def cluster(one: Cluster) -> Json:
    return {"similarity": round(one.similarity, 4), "memories": memories(one.memories)}


def bulk_deleted(answer: BulkDeleted) -> Json:
    return {
        "action": "deleted" if answer.done else "dry_run",
        "total": answer.total,
        "preview": [brief_memory(one) for one in answer.preview],
    }


def proposal(one: Proposal) -> Json:
    return {"id": one.id, "action": one.action, "reason": one.reason, "memories": [brief_memory(each) for each in one.memories]}


def entity(one: Entity) -> Json:
    return {
        "id": one.memory.id,
        "name": one.name,
        "description": one.description,
        "aliases": list(one.aliases),
        "children": [entity(child) for child in one.children],
    }


def user(one: User, keys: Iterable[Key] = ()) -> Json:
    """A user with what is known of their keys, never a key."""
    return {
        "name": one.name,
        "created_at": _time(one.created_at),
        "revoked_at": _time(one.revoked_at),
        "project": one.project,
        "issuer": one.issuer,
        "keys": [key(each) for each in keys],
    }


def key(one: Key) -> Json:
    return {
        "id": one.id,
        "label": one.label,
        "scopes": sorted(one.scopes),
        "created_at": _time(one.created_at),
        "expires_at": _time(one.expires_at),
        "last_used_at": _time(one.last_used_at),
        "revoked_at": _time(one.revoked_at),
    }


def member(one: Member) -> Json:
    return {"space": one.space, "user": one.user, "role": one.role, "accepted": one.accepted}


def grant(one: Grant) -> Json:
    shape: Json = {"owner": one.owner, "kind": one.kind, "value": one.value, "to": one.grantee, "permission": one.permission}
    # A machine that keeps a copy may not reach its server now.
    waits = getattr(one, "waits", "")
    return {**shape, "waits": waits} if waits else shape


def error(problem: BethinkError) -> Json:
    """What went wrong, what to do about it, and the error's stable name."""
    return {"error": problem.message, "hint": problem.hint, "code": problem.code}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _rounded(value: Any) -> Any:
    """Numbers as people can read them; everything else as JSON can hold it."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return round(value, 4)
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): _rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return str(value) if not hasattr(value, "item") else _rounded(value.item())
