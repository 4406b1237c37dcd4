"""Rows of PostgreSQL as values, and back."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from bethink import text
from bethink.model import Link, Memory, Revision, Scope

NAMES = (
    "id",
    "owner",
    "content",
    "category",
    "tags",
    "expanded_keywords",
    "importance",
    "scope",
    "project",
    "task",
    "source",
    "trust",
    "status",
    "created_at",
    "updated_at",
    "valid_from",
    "valid_until",
    "expires_at",
    "deleted_at",
    "superseded_at",
    "client",
    "agent",
    "session",
    "origin",
    "sensitive",
    "sealed",
    "content_hash",
    "version",
    "seq",
    "needs_review",
    "extra",
)
SELECT = ", ".join(f"m.{name}" for name in NAMES)
#: Columns that exist for searching only.
SEARCHED = ("words", "keyword_words", "tag_words", "extra_words")


def folded(words: str) -> str:
    """A text as it is searched: lower case, without accents and vowel signs, everything but letters and digits a space."""
    plain = unicodedata.normalize("NFKD", words).lower()
    letters = "".join(each if each.isalnum() else " " for each in plain if not unicodedata.category(each).startswith("M"))
    return " ".join(unicodedata.normalize("NFC", letters).split())


def storable(value: str) -> bool:
    """Whether PostgreSQL can hold a text: neither NUL nor half of a surrogate pair."""
    if "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def memory_of(row: Sequence[Any]) -> Memory:
    """A memory from a row that was selected with `SELECT`."""
    value = dict(zip(NAMES, row, strict=True))
    scope = Scope(value.pop("scope"), value.pop("project"), value.pop("task"))
    value["tags"] = tuple(value["tags"])
    value["sealed"] = tuple(value["sealed"])
    value["content_hash"] = bytes(value["content_hash"]).hex()
    value["extra"] = value["extra"] or {}
    return Memory(scope=scope, **value)


def values_of(memory: Memory) -> dict[str, Any]:
    """A memory as named parameters for INSERT and UPDATE, with what is searched."""
    keywords = " ".join((memory.expanded_keywords, *memory.tags))
    return {
        **{name: getattr(memory, name) for name in NAMES if name not in ("scope", "project", "task")},
        "tags": list(memory.tags),
        "sealed": list(memory.sealed),
        "scope": memory.scope.kind,
        "project": memory.scope.project,
        "task": memory.scope.task,
        "origin": Jsonb(dict(memory.origin)) if memory.origin else None,
        "extra": Jsonb(dict(memory.extra)) if memory.extra else None,
        "content_hash": bytes.fromhex(memory.content_hash),
        "words": folded(memory.content),
        "keyword_words": folded(memory.expanded_keywords),
        "tag_words": folded(" ".join(memory.tags)),
        "extra_words": folded(text.extra_terms(memory.content, keywords, memory.valid_from or memory.created_at)),
    }


def revision_of(row: Sequence[Any]) -> Revision:
    """A revision from (memory, version, at, op, before, actor, client, agent, session, note)."""
    memory, version, at, op, before, actor, client, agent, session, note = row
    return Revision(memory, version, at, op, before, actor, client, agent, session, note)


def link_of(row: Sequence[Any]) -> Link:
    """A link from (source, target, type, created_at, note)."""
    return Link(*row)


def packed(value: Any) -> str:
    """A value as compact JSON with sorted keys, the form that digests are taken of."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_text)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
