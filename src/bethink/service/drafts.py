"""From what somebody asks to have remembered to a memory that can be stored."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import datetime

from bethink import text
from bethink.errors import InvalidInput
from bethink.model import STATUSES, TRUSTS, Draft, Memory, Scope, category_of, new_id, one_of
from bethink.service.core import Writer

MAX_TAGS = 64
MAX_TAG = 100
MAX_KEYWORDS = 4000
MAX_NAME = 500
#: Longest note of a link, in characters.
MAX_NOTE = 4000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}")
#: Sources that nobody asked to write: what they bring waits for a confirmation.
LEARNED = frozenset({"auto-learn", "distil", "signals", "behave", "hook"})
#: What a source's word is worth when the writer does not say.
_TRUST_OF_SOURCE = {
    "user": "user_stated",
    "cli": "user_stated",
    "import": "imported",
    "transcript": "imported",
    "file": "imported",
    "web": "external",
    "tool": "external",
    "external": "external",
    "email": "external",
    "document": "external",
}


def validated(draft: Draft) -> Draft:
    """The draft in normal form.

    Raises:
        InvalidInput: a field is not acceptable; the message says which and the hint what to do.
    """
    return replace(
        draft,
        content=text.checked_content(draft.content),
        category=category_of(draft.category),
        tags=checked_tags(draft.tags),
        expanded_keywords=checked_keywords(draft.expanded_keywords),
        importance=checked_importance(draft.importance),
        scope=checked_scope(draft.scope),
        id=checked_id(draft.id),
        source=_name(draft.source or "user", "source"),
        trust=one_of(draft.trust, TRUSTS, "trust") if draft.trust else None,
        status=one_of(draft.status, STATUSES, "status") if draft.status else None,
        client=_name(draft.client, "client") if draft.client else None,
        agent=_name(draft.agent, "agent") if draft.agent else None,
        session=_name(draft.session, "session") if draft.session else None,
    )


def memory_of(draft: Draft, owner: str, writer: Writer, now: datetime) -> Memory:
    """The memory that a validated draft becomes.

    Raises:
        InvalidInput: it ends before it begins.
    """
    created = draft.created_at or now
    if draft.valid_from and draft.valid_until and draft.valid_until < draft.valid_from:
        raise InvalidInput("valid_until is before valid_from.")
    trust = draft.trust or trust_of(draft.source)
    return Memory(
        id=draft.id or new_id(),
        owner=owner,
        content=draft.content,
        category=draft.category,
        tags=draft.tags,
        expanded_keywords=draft.expanded_keywords,
        importance=draft.importance,
        scope=draft.scope,
        source=draft.source,
        trust=trust,
        status=draft.status or ("candidate" if draft.source in LEARNED or trust == "external" else "active"),
        created_at=created,
        updated_at=max(created, now),
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
        expires_at=draft.expires_at,
        superseded_at=max(created, draft.superseded_at) if draft.superseded_at and draft.status == "superseded" else None,
        client=draft.client or writer.client,
        agent=draft.agent or writer.agent,
        session=draft.session or writer.session,
        origin=draft.origin,
        sensitive=draft.sensitive,
        content_hash=text.content_hash(draft.content),
    )


def trust_of(source: str) -> str:
    """What a source's word is worth unless the writer says otherwise."""
    return _TRUST_OF_SOURCE.get(source, "agent_inferred")


def checked_id(id: str | None) -> str | None:
    """An id that a client made: a UUID, or any other short name without blanks."""
    if id is None or id == "":
        return None
    if not _ID.fullmatch(id):
        raise InvalidInput(f"Not an id: {id[:80]!r}.", hint="Use a UUID, or up to 128 letters, digits and any of _ . : -")
    return id


def checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags without blanks around them, each once, in the given order."""
    clean = list(dict.fromkeys(tag for raw in tags if (tag := text.checked(raw, "tag"))))
    if len(clean) > MAX_TAGS:
        raise InvalidInput(f"{len(clean)} tags; a memory has at most {MAX_TAGS}.")
    for tag in clean:
        if len(tag) > MAX_TAG:
            raise InvalidInput(f"The tag {tag[:30]!r}… is longer than {MAX_TAG} characters.")
    return tuple(clean)


def checked_keywords(keywords: str) -> str:
    clean = " ".join(text.checked(keywords, "expanded_keywords").split())
    if len(clean) > MAX_KEYWORDS:
        raise InvalidInput(f"expanded_keywords has {len(clean)} characters; at most {MAX_KEYWORDS} help.")
    return clean


def checked_note(note: str) -> str:
    """A word about a link."""
    clean = text.checked(note, "note")
    if len(clean) > MAX_NOTE:
        raise InvalidInput(f"The note has {len(clean):,} characters; a link's note has at most {MAX_NOTE:,}.", hint="Store the rest.")
    return clean


def checked_importance(importance: float) -> float:
    if not isinstance(importance, (int, float)) or math.isnan(importance) or not 0 <= importance <= 1:
        raise InvalidInput(f"importance is {importance!r}.", hint="Give a number from 0 to 1; 0.5 is usual.")
    return float(importance)


def checked_scope(scope: Scope) -> Scope:
    project = _name(scope.project, "project") if scope.project else None
    task = _name(scope.task, "task") if scope.task else None
    if scope.kind == "project" and not project:
        raise InvalidInput("A memory of scope project needs a project.", hint="Give project, or run inside a git checkout.")
    if scope.kind == "task" and not task:
        raise InvalidInput("A memory of scope task needs a task.")
    if scope.kind == "global":
        return Scope()
    return Scope(scope.kind, project, task if scope.kind == "task" else None)


def _name(value: str, what: str) -> str:
    clean = text.checked(value, what)
    if not clean or len(clean) > MAX_NAME:
        raise InvalidInput(f"The {what} is {'empty' if not clean else 'too long'}.", hint=f"Give 1 to {MAX_NAME} characters.")
    return clean
