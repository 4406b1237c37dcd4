"""Assistants: one module per assistant's hook dialect, beside it its transcript reader and its configuration writer.

The dialects are on the hook path: they import the standard library alone. Readers and writers live in modules
of their own (`*_transcripts`, `configure*`) that a hook never imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from bethink.hosts.base import Dialect

#: Assistants whose hooks we speak; also the argument of `bethink hook`.
HOSTS = ("claude", "codex", "gemini", "cursor", "opencode")


def dialect(host: str) -> Dialect:
    """The hook dialect of `host`; only that one module is imported.

    Raises:
        KeyError: no such host.
    """
    if host not in HOSTS:
        raise KeyError(host)
    return cast("Dialect", import_module(f"bethink.hosts.{host}"))
