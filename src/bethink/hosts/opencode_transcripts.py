"""Transcripts of opencode: the SQLite database ``~/.local/share/opencode/opencode.db`` (tables session, message, part).

It is opened read-only. Offsets are row numbers of `message`; the reading stops before an answer that is still being written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw

from bethink.hosts.base import text
from bethink.hosts.transcripts import (
    QUIET_SECONDS,
    Role,
    Skipped,
    ToolCall,
    TranscriptFile,
    Turn,
    answered,
    call,
    found,
    instant,
    oldest_first,
    said,
    without_ours,
)

HOST: Final = "opencode"
_BUSY_MS: Final = 2000

_MESSAGES: Final = """
SELECT m.rowid, m.id, m.session_id, m.time_created, m.data, s.directory, s.title, s.parent_id
FROM message AS m LEFT JOIN session AS s ON s.id = m.session_id
WHERE m.rowid > ? ORDER BY m.rowid LIMIT 200
"""
_PARTS: Final = "SELECT data FROM part WHERE message_id = ? ORDER BY id"


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The database under XDG_DATA_HOME or ``~/.local/share``."""
    base = Path(env.get("XDG_DATA_HOME") or (home or Path.home()) / ".local" / "share")
    return oldest_first(found(HOST, path) for path in [Path(env.get("OPENCODE_DB") or base / "opencode" / "opencode.db")])


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`; all sessions of the database, in the order they were written."""
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            database.set_busy_timeout(_BUSY_MS)
            yield from _rows(database, offset, settled)
    except apsw.Error as error:
        yield Skipped(f"broken database: {str(error)[:80]}", offset, offset, offset, broken=True)


def _rows(database: apsw.Connection, offset: int, settled: bool | None) -> Iterator[Turn | Skipped]:
    while rows := list(database.execute(_MESSAGES, (offset,))):
        for row in rows:
            number, data = row[0], _object(row[4])
            if data is None:
                yield Skipped("broken message", number, number, number, broken=True)
            elif _growing(data, row[3], settled):
                return
            else:
                parts = [_object(part) for (part,) in database.execute(_PARTS, (row[1],))]
                yield _turn(row, data, [part for part in parts if part is not None])
            offset = number


def _turn(row: tuple[Any, ...], data: dict[str, Any], parts: list[dict[str, Any]]) -> Turn | Skipped:
    number, name, session, created, _, directory, title, parent = row
    kind = text(data.get("role"))
    if kind not in ("user", "assistant"):
        return Skipped(f"role {kind[:40] or '?'}", number, number, number)
    role: Role = "user" if kind == "user" else "summary" if data.get("summary") is True else "assistant"
    spoken = [
        text(part.get("text")) for part in parts if part.get("type") == "text" and not part.get("synthetic") and not part.get("ignored")
    ]
    raw = "\n\n".join(word for word in spoken if word.strip())
    words = said(raw) if role == "user" else without_ours(raw)
    tools = tuple(_tool(part) for part in parts if part.get("type") == "tool")
    if not words and not tools:
        return Skipped("prompt noise" if raw else "empty", number, number, number)
    where = data.get("path")
    return Turn(
        host=HOST,
        session=text(session),
        uuid=text(name) or str(number),
        role=role,
        text=words,
        start=number,
        end=number,
        resume=number,
        at=instant(created),
        cwd=(text(where.get("cwd")) if isinstance(where, dict) else "") or text(directory),
        tools=tools,
        sidechain=bool(parent),
        agent_id=text(session) if parent else "",
        model=text(data.get("modelID")),
        title=text(title),
    )


def _tool(part: dict[str, Any]) -> ToolCall:
    given = part.get("state")
    state = given if isinstance(given, dict) else {}
    made = call(part.get("tool"), state.get("input"))
    failed = state.get("status") == "error"
    result = text(state.get("error")) if failed else text(state.get("output"))
    return answered(made, result, failed) if state.get("status") in ("completed", "error") else made


def _growing(data: dict[str, Any], created: Any, settled: bool | None) -> bool:
    """Is the answer still being written? One that was broken off long ago is as complete as it will be."""
    times = data.get("time")
    if data.get("role") != "assistant" or settled or (isinstance(times, dict) and times.get("completed")):
        return False
    at = instant(created)
    return settled is False or at is None or time.time() - at.timestamp() < QUIET_SECONDS


def _object(value: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
