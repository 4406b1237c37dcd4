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
from bethink.service.conflicts import open_conflicts
from bethink.stores.log import Change
from bethink.sync.replica import Replica

#: Most refused changes that are named.
_NAMED = 50


def standing(replica: Replica, file: Path, *, is_on: bool, now: datetime, address: str | None = None) -> dict[str, Any]:
    """Mode, server, what waits and for how long, which secrets wait for what, what was refused and why, the last error.

    Args:
        file: what `write_status` of the replicating process wrote.
        is_on: hybrid mode is configured.
        address: of the server that the settings name, told as long as it was never met.
    """
    log = replica.store.log
    bound = log.binding() or {}
    counts = log.summary()
    said = read_status(file)
    oldest = counts["oldest"]
    # Before the first contact nothing is logged, and everything waits.
    pending = counts["pending"] if bound or not is_on else len(log.ids_of(replica.user))
    return {
        "mode": "hybrid" if is_on else "local",
        "server": bound.get("url") or (address if is_on else None),
        "server_id": bound.get("server"),
        "principal": bound.get("principal"),
        "owners": bound.get("owners", []),
        "cursor": log.fact("cursor"),
        "pending": pending,
        "refused": counts["refused"],
        "conflicts": len(open_conflicts(replica.store, replica.access)),
        "lag_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        "last_ok": said.get("last_ok"),
        "last_error": said.get("last_error"),
        "next_try": said.get("next_try"),
        "failures": said.get("failures", 0),
        "bytes_sent": said.get("bytes_sent", 0),
        "bytes_received": said.get("bytes_received", 0),
        "waiting": replica.waiting.outgoing(),
        "secrets_missing": len(replica.waiting.missing()),
        "refusals": [_refusal(one) for one in log.refused()[:_NAMED]],
    }


def _refusal(change: Change) -> dict[str, str]:
    """A change that the server refused, and why; what can never be sent can be given up."""
    reason = {name: str((change.refused or {}).get(name) or "") for name in ("code", "message", "hint")}
    reason["hint"] = f"{reason['hint']} Or give it up: `bethink sync --give-up {change.memory}`.".strip()
    return {"operation": change.operation, "memory": change.memory, "op": change.op, **reason}


def standing_elsewhere(address: str | None, mode: str = "http-only") -> dict[str, Any]:
    """The same shape where nothing is kept on this machine, or nothing that replicates."""
    nothing = dict.fromkeys(("server_id", "principal", "cursor", "last_ok", "last_error", "next_try"))
    none = ("pending", "refused", "conflicts", "secrets_missing", "failures", "bytes_sent", "bytes_received")
    counts = {"lag_seconds": 0.0, **dict.fromkeys(none, 0)}
    return {"mode": mode, "server": address, "owners": [], **nothing, **counts, "waiting": [], "refusals": []}


#: Metric → (help, kind), by the name of its value in `standing`.
_METRICS = {
    "pending": ("Changes that wait to be sent.", "gauge"),
    "refused": ("Changes that the server refused.", "gauge"),
    "conflicts": ("Changes that lost against another machine's.", "gauge"),
    "lag_seconds": ("Age of the oldest change that waits.", "gauge"),
    "failures": ("Rounds that failed since the last good one.", "gauge"),
    "bytes_sent": ("Bytes sent to the server.", "counter"),
    "bytes_received": ("Bytes received from the server.", "counter"),
}


def prometheus(standing: Mapping[str, Any]) -> str:
    """How a replica stands, in Prometheus' text format."""
    lines = []
    values = {name: float(standing[name]) for name in _METRICS}
    for name, (told, kind) in _METRICS.items():
        metric = f"bethink_sync_{name}" + ("_total" if kind == "counter" else "")
        lines += [f"# HELP {metric} {told}", f"# TYPE {metric} {kind}", f"{metric} {values[name]:.0f}"]
    if standing["last_ok"]:
        metric = "bethink_sync_last_success_timestamp_seconds"
        at = datetime.fromisoformat(standing["last_ok"]).timestamp()
        lines += [f"# HELP {metric} When the last good round ended.", f"# TYPE {metric} gauge", f"{metric} {at:.0f}"]
    return "\n".join(lines) + "\n"


def write_status(
    file: Path,
    error: BethinkError | None,
    *,
    next_try: datetime | None = None,
    failures: int = 0,
    keep: bool = False,
    moved: tuple[int, int] = (0, 0),
) -> None:
    """Writes down how the last round went; a file, so that an idle round writes nothing into the store.

    Args:
        keep: leave what is known of the next try.
        moved: bytes sent and received since the last time.
    """
    now = datetime.now(UTC)
    before: Mapping[str, Any] = read_status(file)
    said = {
        "pid": os.getpid(),
        "at": now.isoformat(),
        "last_ok": before.get("last_ok") if error else now.isoformat(),
        "failures": failures,
        "bytes_sent": before.get("bytes_sent", 0) + moved[0],
        "bytes_received": before.get("bytes_received", 0) + moved[1],
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
