"""Transcripts of Copilot CLI: ``~/.copilot/session-state/<id>/events.jsonl`` (events with `type`, `data`, `timestamp`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import payload, text
from bethink.hosts.transcripts import Skipped, TranscriptFile, Turn, at_rest, call, found, instant, lines, oldest_first, said, without_ours
from bethink.hosts.weave import Weaver

HOST: Final = "copilot"


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The sessions under COPILOT_HOME or ``~/.copilot``."""
    root = Path(env.get("COPILOT_HOME") or (home or Path.home()) / ".copilot") / "session-state"
    return oldest_first(found(HOST, path, path.parent.name) for path in root.glob("*/events.jsonl"))


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`."""
    weaver, context, end = Weaver(HOST), _context(path), offset
    with path.open("rb") as file:
        for start, end, line in lines(file, offset):
            entry = payload(line) if line is not None else None
            if entry is None:
                reason = "line too long" if line is None else "broken line"
                yield Skipped(reason, start, end, weaver.floor(end), broken=True)
                continue
            reason = _take(weaver, context, entry, start, end)
            yield from weaver.ready(end)
            if reason:
                yield Skipped(reason, start, end, weaver.floor(end))
    yield from weaver.finish(end, at_rest(path, settled))


def _take(weaver: Weaver, context: dict[str, str], entry: dict[str, Any], start: int, end: int) -> str:
    kind = text(entry.get("type"))
    given = entry.get("data")
    data = given if isinstance(given, dict) else {}
    facts = {**context, "uuid": text(entry.get("id")) or f"{context['session']}:{start}", "at": instant(entry.get("timestamp"))}
    if kind == "user.message":
        clean = said(text(data.get("content")))
        if not clean:
            return "prompt noise"
        weaver.strand("", "", "user", start, end, **facts).say(clean)
        weaver.close("")
        return ""
    if kind == "assistant.message":
        strand = weaver.strand("", text(data.get("messageId")) or text(facts["uuid"]), "assistant", start, end, **facts)
        strand.say(without_ours(text(data.get("content"))))
        for use in data.get("toolRequests") or []:
            if isinstance(use, dict):
                weaver.called(strand, text(use.get("toolCallId")), call(use.get("name"), use.get("arguments")))
        return ""
    if kind == "tool.execution_complete":
        result = data.get("result")
        output = text(result.get("content")) if isinstance(result, dict) else text(result)
        paired = weaver.result(text(data.get("toolCallId")), output, end, data.get("success") is False)
        return "" if paired else "tool result without its call"
    return f"type {kind[:40] or '?'}"


def _context(path: Path) -> dict[str, str]:
    """Session, folder and branch, from the event that starts the file."""
    context = {"session": path.parent.name, "cwd": "", "branch": ""}
    with path.open("rb") as file:
        for _, _, line in lines(file, 0):
            data = (payload(line or b"") or {}).get("data")
            inner = data.get("context") if isinstance(data, dict) else None
            if isinstance(inner, dict):
                context["cwd"] = text(inner.get("cwd"))
                context["branch"] = text(inner.get("branch"))
            break
    return context
