"""Transcripts of Gemini CLI: ``~/.gemini/tmp/<project>/chats/session-*.jsonl``, before that one ``.json`` each.

A line with the id of an earlier one replaces it, and ``$rewindTo`` takes back a message and all after it (as
`loadConversationRecord` of `chatRecordingService.ts` reads them), so a first pass learns which lines stand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import payload, text
from bethink.hosts.documents import items
from bethink.hosts.transcripts import (
    Role,
    Skipped,
    ToolCall,
    TranscriptFile,
    Turn,
    answered,
    at_rest,
    call,
    found,
    instant,
    lines,
    oldest_first,
    said,
    without_ours,
)

HOST: Final = "gemini"


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The sessions under GEMINI_CLI_HOME or ``~``."""
    root = Path(env.get("GEMINI_CLI_HOME") or home or Path.home()) / ".gemini" / "tmp"
    return oldest_first(found(HOST, path) for path in root.glob("*/chats/**/session-*") if path.suffix in (".json", ".jsonl"))


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`. Offsets of an old ``.json`` file count messages."""
    if path.suffix == ".json":
        yield from _read_document(path, offset)
        return
    header, stands, last = _survey(path)
    held_back = not at_rest(path, settled)
    with path.open("rb") as file:
        for start, end, line in lines(file, offset):
            entry = payload(line) if line is not None else None
            if entry is None:
                reason = "line too long" if line is None else "broken line"
                yield Skipped(reason, start, end, end, broken=True)
            elif "$set" in entry or "$rewindTo" in entry or "id" not in entry:
                yield Skipped("type header", start, end, end)
            elif stands.get(text(entry["id"])) != start:
                yield Skipped("replaced or rewound", start, end, end)
            elif start == last and held_back and entry.get("type") == "gemini":
                # The last answer is written again as its tools end.
                return
            else:
                yield _turn(entry, header, path, start, end)


def _survey(path: Path) -> tuple[dict[str, Any], dict[str, int], int]:
    """The header, where each message that stands was last written, and where the last of them is."""
    header: dict[str, Any] = {}
    stands: dict[str, int] = {}
    with path.open("rb") as file:
        for start, _, line in lines(file, 0):
            entry = payload(line) if line is not None else None
            if entry is None:
                continue
            if "$rewindTo" in entry:
                target = text(entry["$rewindTo"])
                # An unknown target takes everything back, as in the program itself.
                kept = list(stands).index(target) if target in stands else 0
                stands = dict(list(stands.items())[:kept])
            elif isinstance(entry.get("$set"), dict):
                header.update({key: value for key, value in entry["$set"].items() if key != "messages"})
            elif "sessionId" in entry and "projectHash" in entry:
                header.update({key: value for key, value in entry.items() if key != "messages"})
            elif text(entry.get("id")):
                stands[entry["id"]] = start
    return header, stands, max(stands.values(), default=-1)


def _read_document(path: Path, offset: int) -> Iterator[Turn | Skipped]:
    header = next((value for value in items(path, "sessionId") if isinstance(value, str)), path.stem)
    for place, entry in enumerate(items(path, "messages.item")):
        if isinstance(entry, Skipped):
            yield entry
        elif place >= offset and isinstance(entry, dict):
            yield _turn(entry, {"sessionId": header}, path, place, place + 1)


def _turn(entry: dict[str, Any], header: dict[str, Any], path: Path, start: int, end: int) -> Turn | Skipped:
    kind = text(entry.get("type"))
    if kind not in ("user", "gemini"):
        return Skipped(f"type {kind[:40] or '?'}", start, end, end)
    role: Role = "user" if kind == "user" else "assistant"
    raw = _parts(entry.get("content"))
    words = said(raw) if role == "user" else without_ours(raw)
    tools = tuple(_tools(entry.get("toolCalls")))
    if not words and not tools:
        return Skipped("prompt noise" if raw.strip() else "empty", start, end, end)
    session = text(header.get("sessionId")) or path.stem
    directories = header.get("directories")
    return Turn(
        host=HOST,
        session=session,
        uuid=text(entry.get("id")) or f"{session}:{start}",
        role=role,
        text=words,
        start=start,
        end=end,
        resume=end,
        at=instant(entry.get("timestamp")),
        cwd=text(directories[0]) if isinstance(directories, list) and directories else "",
        tools=tools,
        sidechain=header.get("kind") == "subagent",
        agent_id=session if header.get("kind") == "subagent" else "",
        model=text(entry.get("model")),
    )


def _parts(content: Any) -> str:
    """The text of a PartListUnion: a text, a part, or a list of both."""
    if isinstance(content, list):
        return "\n".join(filter(None, (_parts(part) for part in content)))
    if isinstance(content, dict):
        return text(content.get("text"))
    return text(content)


def _tools(calls: Any) -> Iterator[ToolCall]:
    for use in calls if isinstance(calls, list) else []:
        if not isinstance(use, dict):
            continue
        made = call(use.get("name"), use.get("args"))
        result = _result(use.get("result"))
        yield made if result is None else answered(made, result, use.get("status") == "error")


def _result(value: Any) -> str | None:
    """What the tool gave back, in any of the shapes it is stored in."""
    if value is None:
        return None
    if isinstance(value, list):
        return "\n".join(filter(None, (_result(part) for part in value)))
    if isinstance(value, dict):
        response = value.get("functionResponse")
        if isinstance(response, dict) and isinstance(response.get("response"), dict):
            return text(response["response"].get("output")) or text(response["response"].get("error"))
        return text(value.get("text"))
    return text(value)
