"""The log of what was put before models: one line each, without contents. Appending is on the hook path."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Beyond this the log is turned over once; the older half of the record is then gone.
_MAX_BYTES = 8 * 1024 * 1024


def note(
    home: Path, *, event: str, session: str, project: str | None, ids: list[str], tokens: int, milliseconds: float, warm: bool
) -> None:
    """Appends one line; failing to is no error."""
    line = {
        "at": round(time.time(), 3),
        "event": event,
        "session": session,
        "project": project,
        "ids": ids,
        "tokens": tokens,
        "ms": round(milliseconds, 1),
        "warm": warm,
    }
    path = home / "logs" / "injections.jsonl"
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            path.replace(path.with_suffix(".1.jsonl"))
        # One write of one line: lines of several hooks at once do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        finally:
            os.close(descriptor)


def read(home: Path) -> Iterator[dict[str, Any]]:
    """Every line of the log, oldest first; broken ones are passed over."""
    for name in ("injections.1.jsonl", "injections.jsonl"):
        with suppress(FileNotFoundError), (home / "logs" / name).open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and "at" in entry:
                        yield entry


def of_memory(home: Path, id: str) -> list[dict[str, Any]]:
    """When and where one memory was put before a model."""
    return [entry for entry in read(home) if id in entry.get("ids", ())]


def by_day(home: Path) -> list[dict[str, Any]]:
    """Per day and project: prompts, share of them with nothing injected, tokens, median milliseconds, memories used."""
    from datetime import UTC, datetime
    from statistics import median

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in read(home):
        day = datetime.fromtimestamp(float(entry["at"]), UTC).date().isoformat()
        groups.setdefault((day, entry.get("project") or "(global)"), []).append(entry)
    answer = []
    for (day, project), entries in sorted(groups.items(), reverse=True):
        prompts = [entry for entry in entries if entry["event"] == "prompt"]
        silent = sum(1 for entry in prompts if not entry["ids"])
        uses: dict[str, int] = {}
        for entry in entries:
            for id in entry["ids"]:
                uses[id] = uses.get(id, 0) + 1
        answer.append(
            {
                "day": day,
                "project": project,
                "prompts": len(prompts),
                "silent_share": round(silent / len(prompts), 3) if prompts else None,
                "tokens": sum(int(entry["tokens"]) for entry in entries),
                "median_ms": round(median(float(entry["ms"]) for entry in entries), 1),
                "memories": dict(sorted(uses.items(), key=lambda pair: -pair[1])[:20]),
            }
        )
    return answer
