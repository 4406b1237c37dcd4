"""Bethink: lasting memory for AI assistants.

from bethink import Draft, Query, open_memories

memories = open_memories()
memories.remember(Draft("the harbour is closed in May"))
memories.recall(Query("when is the port shut?")).hits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bethink.errors import (
    BadTime,
    BethinkError,
    ConfigError,
    Conflict,
    ContentTooLong,
    EmbedderError,
    EmbedderMismatch,
    EmbedderUnavailable,
    Forbidden,
    InvalidInput,
    NotForgotten,
    NotFound,
    PeerError,
    SealDenied,
    SealError,
    SealUnavailable,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
    UnknownCategory,
    VersionConflict,
)
from bethink.model import (
    CATEGORIES,
    EVERYWHERE,
    LINK_TYPES,
    STATUSES,
    TRUSTS,
    Access,
    Changes,
    Draft,
    Filter,
    Hit,
    Link,
    Memory,
    Page,
    Query,
    Reach,
    Recalled,
    Revision,
    Scope,
    Stored,
    Verdict,
)

if TYPE_CHECKING:
    from bethink.service.memories import Memories
    from bethink.wire import open_memories

__all__ = [
    "CATEGORIES",
    "EVERYWHERE",
    "LINK_TYPES",
    "STATUSES",
    "TRUSTS",
    "Access",
    "BadTime",
    "BethinkError",
    "Changes",
    "ConfigError",
    "Conflict",
    "ContentTooLong",
    "Draft",
    "EmbedderError",
    "EmbedderMismatch",
    "EmbedderUnavailable",
    "Filter",
    "Forbidden",
    "Hit",
    "InvalidInput",
    "Link",
    "Memories",
    "Memory",
    "NotForgotten",
    "NotFound",
    "Page",
    "PeerError",
    "Query",
    "Reach",
    "Recalled",
    "Revision",
    "Scope",
    "SealDenied",
    "SealError",
    "SealUnavailable",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreTooNew",
    "Stored",
    "UnknownCategory",
    "Verdict",
    "VersionConflict",
    "open_memories",
]

#: Imported when first asked for, so that nothing pays for what it does not use.
_LATE = {"Memories": "bethink.service.memories", "open_memories": "bethink.wire"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LATE[name]), name)
    globals()[name] = value
    return value
