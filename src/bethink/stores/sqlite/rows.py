"""Rows of SQLite as values, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bethink.model import Link, Memory, Revision, Scope

COLUMNS = (
    "id, owner, content, category, tags, expanded_keywords, importance, scope, project, task, source, trust, status, "
    "created_at, updated_at, valid_from, valid_until, expires_at, deleted_at, superseded_at, client, agent, session, "
    "origin, sensitive, sealed, content_hash, version, seq, needs_review, extra"
)
NAMES = tuple(COLUMNS.replace(" ", "").split(","))
SELECT = ", ".join(f"m.{name}" for name in NAMES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def stamp(at: datetime | None) -> int | None:
    """A moment as microseconds since 1970."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def moment(stamp: int | None) -> datetime | None:
    """Microseconds since 1970 as a moment in UTC."""
    return None if stamp is None else _EPOCH + timedelta(microseconds=stamp)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def memory_of(row: tuple[Any, ...]) -> Memory:
    """A memory from a row that was selected with `SELECT`."""
    (
        id,
        owner,
        content,
        category,
        tags,
        keywords,
        importance,
        scope,
        project,
        task,
        source,
        trust,
        status,
        created_at,
        updated_at,
        valid_from,
        valid_until,
        expires_at,
        deleted_at,
        superseded_at,
        client,
        agent,
        session,
        origin,
        sensitive,
        sealed,
        content_hash,
        version,
        seq,
        needs_review,
        extra,
    ) = row
    return Memory(
        id=id,
        owner=owner,
        content=content,
        category=category,
        tags=tuple(json.loads(tags)) if tags != "[]" else (),
        expanded_keywords=keywords,
        importance=importance,
        scope=Scope(scope, project, task),
        source=source,
        trust=trust,
        status=status,
        created_at=_EPOCH + timedelta(microseconds=created_at),
        updated_at=_EPOCH + timedelta(microseconds=updated_at),
        valid_from=moment(valid_from),
        valid_until=moment(valid_until),
        expires_at=moment(expires_at),
        deleted_at=moment(deleted_at),
        superseded_at=moment(superseded_at),
        client=client,
        agent=agent,
        session=session,
        origin=json.loads(origin) if origin else None,
        sensitive=bool(sensitive),
        sealed=tuple(json.loads(sealed)) if sealed != "[]" else (),
        content_hash=content_hash.hex(),
        version=version,
        seq=seq,
        needs_review=needs_review,
        extra=json.loads(extra) if extra else {},
    )


def values_of(memory: Memory) -> dict[str, Any]:
    """A memory as named parameters for INSERT and UPDATE."""
    return {
        "id": memory.id,
        "owner": memory.owner,
        "content": memory.content,
        "category": memory.category,
        "tags": _json(memory.tags),
        "expanded_keywords": memory.expanded_keywords,
        "importance": memory.importance,
        "scope": memory.scope.kind,
        "project": memory.scope.project,
        "task": memory.scope.task,
        "source": memory.source,
        "trust": memory.trust,
        "status": memory.status,
        "created_at": stamp(memory.created_at),
        "updated_at": stamp(memory.updated_at),
        "valid_from": stamp(memory.valid_from),
        "valid_until": stamp(memory.valid_until),
        "expires_at": stamp(memory.expires_at),
        "deleted_at": stamp(memory.deleted_at),
        "superseded_at": stamp(memory.superseded_at),
        "client": memory.client,
        "agent": memory.agent,
        "session": memory.session,
        "origin": _json(memory.origin) if memory.origin else None,
        "sensitive": int(memory.sensitive),
        "sealed": _json(memory.sealed),
        "content_hash": bytes.fromhex(memory.content_hash),
        "version": memory.version,
        "seq": memory.seq,
        "needs_review": memory.needs_review,
        "extra": _json(memory.extra) if memory.extra else None,
    }


def revision_of(row: tuple[Any, ...]) -> Revision:
    """A revision from (memory, version, at, op, before, actor, client, agent, session, note)."""
    memory, version, at, op, before, actor, client, agent, session, note = row
    return Revision(memory, version, moment(at) or _EPOCH, op, json.loads(before), actor, client, agent, session, note)


def link_of(row: tuple[Any, ...]) -> Link:
    """A link from (source, target, type, created_at, note)."""
    source, target, type, created_at, note = row
    return Link(source, target, type, moment(created_at) or _EPOCH, note)


def packed(value: Mapping[str, Any]) -> str:
    """A mapping as compact JSON with sorted keys, the form that digests are taken of."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
