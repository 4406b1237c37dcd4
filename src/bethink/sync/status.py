"""How a replica stands, for people and programs, without asking anybody."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bethink.errors import BethinkError
from bethink.sync.replica import Replica

#: Most refused changes that are named.
_NAMED = 50


def standing(replica: Replica, file: Path, *, is_on: bool, now: datetime) -> dict[str, Any]:
    """Mode, server, what waits and for how long, what was refused and why, the last error.

    Args:
        file: what `write_status` of the replicating process wrote.
        is_on: hybrid mode is configured.
    """
    log = replica.store.log
    bound = log.binding() or {}
    counts = log.summary()
    said = read_status(file)
    oldest = counts["oldest"]
    return {
        "mode": "hybrid" if is_on else "local",
        "server": bound.get("url"),
        "server_id": bound.get("server"),
        "principal": bound.get("principal"),
        "owners": bound.get("owners", []),
        "cursor": log.fact("cursor"),
        "pending": counts["pending"],
        "refused": counts["refused"],
        "lag_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        "last_ok": said.get("last_ok"),
        "last_error": said.get("last_error"),
        "next_try": said.get("next_try"),
        "refusals": [
            {"operation": one.operation, "memory": one.memory, "op": one.op, "code": "", "message": "", "hint": "", **(one.refused or {})}
            for one in log.refused()[:_NAMED]
        ],
    }


def write_status(
    file: Path, error: BethinkError | None, *, next_try: datetime | None = None, failures: int = 0, keep: bool = False
) -> None:
    """Writes down how the last round went; a file, so that an idle round writes nothing into the store.

    Args:
        keep: leave what is known of the next try.
    """
    now = datetime.now(UTC)
    before: Mapping[str, Any] = read_status(file)
    said = {
        "pid": os.getpid(),
        "at": now.isoformat(),
        "last_ok": before.get("last_ok") if error else now.isoformat(),
        "failures": failures,
        "next_try": before.get("next_try") if keep else next_try.isoformat() if next_try else None,
        "last_error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
    }
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(said), "utf-8")
        draft.replace(file)


def read_status(path: Path) -> dict[str, Any]:
    """What the replicating process of this machine last wrote down; empty when there never was one."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
