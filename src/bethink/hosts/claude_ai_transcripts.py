"""The export of claude.ai: ``conversations.json``. Offsets count conversations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import text
from bethink.hosts.documents import conversations
from bethink.hosts.transcripts import (
    Role,
    Skipped,
    ToolCall,
    TranscriptFile,
    Turn,
    answered,
    blocks_text,
    call,
    clip,
    instant,
    said,
    without_ours,
)

HOST: Final = "claude-ai"
_ROLES: Final[dict[str, Role]] = {"human": "user", "assistant": "assistant"}


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """None: an export is where its owner put it."""
    return []


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`. An export is always complete."""
    for place, value in enumerate(conversations(path)):
        if isinstance(value, Skipped):
            yield value
        elif place >= offset:
            yield from _conversation(value, place)


def _conversation(value: Any, place: int) -> Iterator[Turn | Skipped]:
    messages = value.get("chat_messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        yield Skipped("not a conversation", place, place + 1, place + 1, broken=True)
        return
    session = text(value.get("uuid")) or f"conversation {place}"
    for number, message in enumerate(messages):
        # Until its last message is out, a conversation must be read again.
        resume = place + 1 if number == len(messages) - 1 else place
        role = _ROLES.get(text(message.get("sender"))) if isinstance(message, dict) else None
        if role is None:
            yield Skipped("no sender", place, place + 1, resume)
            continue
        words, tools = _said(message, role), tuple(_tools(message.get("content")))
        if not words and not tools:
            yield Skipped("empty", place, place + 1, resume)
            continue
        yield Turn(
            host=HOST,
            session=session,
            uuid=text(message.get("uuid")) or f"{session}:{number}",
            role=role,
            text=words,
            start=place,
            end=place + 1,
            resume=resume,
            at=instant(message.get("created_at")),
            tools=tools,
            model=text(message.get("model")) or text(value.get("model")),
            title=text(value.get("name")),
        )
    if not messages:
        yield Skipped("empty conversation", place, place + 1, place + 1)


def _said(message: dict[str, Any], role: Role) -> str:
    raw = blocks_text(message.get("content")).strip() or text(message.get("text"))
    words = [said(raw) if role == "user" else without_ours(raw)]
    attachments = message.get("attachments")
    for attachment in attachments if isinstance(attachments, list) else []:
        content = text(attachment.get("extracted_content")) if isinstance(attachment, dict) else ""
        if content.strip():
            words.append(f"[attached: {text(attachment.get('file_name')) or 'file'}]\n{clip(content)}")
    return "\n\n".join(part for part in words if part)


def _tools(content: Any) -> list[ToolCall]:
    """The tool calls among a message's blocks, with their results paired by id, or in order where the export has no ids."""
    found: list[ToolCall] = []
    places: dict[str, int] = {}
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if block.get("type") == "tool_use":
            places[text(block.get("id"))] = len(found)
            found.append(call(block.get("name"), block.get("input")))
        elif block.get("type") == "tool_result" and found:
            place = places.get(text(block.get("tool_use_id")), len(found) - 1)
            found[place] = answered(found[place], blocks_text(block.get("content")), block.get("is_error") is True)
    return found
