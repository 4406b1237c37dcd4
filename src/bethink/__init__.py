"""Bethink: lasting memory for AI assistants.

For example::

    from bethink import Draft, Query, open_memories

    memories = open_memories()
    memories.remember(Draft("the harbour is closed in May"))
    memories.recall(Query("when is the port shut?")).hits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        Forgotten,
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
    "Forgotten",
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

#: Where a name comes from. Nothing is imported before it is asked for: a hook pays for every module that it does not use.
_ELSEWHERE = {"Memories": "bethink.service.memories", "open_memories": "bethink.wire"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    places = [_ELSEWHERE[name]] if name in _ELSEWHERE else ["bethink.errors", "bethink.model"]
    modules = [importlib.import_module(place) for place in places]
    value = next(getattr(module, name) for module in modules if hasattr(module, name))
    globals()[name] = value
    return value
