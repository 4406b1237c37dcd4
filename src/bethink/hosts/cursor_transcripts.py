"""Transcripts of Cursor: ``~/.cursor/projects/<slug>/agent-transcripts/<id>/<id>.jsonl``.

They hold roles and texts, no times and no tool results; the full record is in a database whose layout Cursor does not document.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import payload, text
from bethink.hosts.transcripts import (
    Role,
    Skipped,
    TranscriptFile,
    Turn,
    blocks_text,
    call,
    found,
    lines,
    oldest_first,
    said,
    without_ours,
)

HOST: Final = "cursor"
#: What Cursor writes around a prompt; too plain as names to be noise elsewhere.
_NOISE: Final = frozenset(
    (
        "open_and_recently_viewed_files",
        "system_reminder",
        "attached_files",
        "cursor_commands",
        "user_info",
        "git_status",
        "project_layout",
        "rules",
        "additional_data",
        "current_file",
        "timestamp",
    )
)


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The transcripts under CURSOR_DATA_DIR or ``~/.cursor``."""
    root = Path(env.get("CURSOR_DATA_DIR") or (home or Path.home()) / ".cursor") / "projects"
    return oldest_first(found(HOST, path) for path in root.glob("*/agent-transcripts/**/*.jsonl"))


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`; every line is complete in itself."""
    with path.open("rb") as file:
        for start, end, line in lines(file, offset):
            entry = payload(line) if line is not None else None
            if entry is None:
                yield Skipped("line too long" if line is None else "broken line", start, end, end, broken=True)
            else:
                yield _turn(entry, path, start, end)


def _turn(entry: dict[str, Any], path: Path, start: int, end: int) -> Turn | Skipped:
    kind = text(entry.get("role"))
    message = entry.get("message")
    if kind not in ("user", "assistant") or not isinstance(message, dict):
        return Skipped(f"type {(kind or text(entry.get('type')))[:40] or '?'}", start, end, end)
    role: Role = "user" if kind == "user" else "assistant"
    content = message.get("content")
    raw = blocks_text(content)
    words = said(raw, _NOISE) if role == "user" else without_ours(raw)
    blocks = content if isinstance(content, list) else []
    tools = tuple(
        call(block.get("name"), block.get("input")) for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"
    )
    if not words and not tools:
        return Skipped("prompt noise" if raw.strip() else "empty", start, end, end)
    side = "subagents" in path.parts
    return Turn(
        HOST,
        path.stem,
        f"{path.stem}:{start}",
        role,
        words,
        start,
        end,
        end,
        tools=tools,
        sidechain=side,
        agent_id=path.stem if side else "",
    )
