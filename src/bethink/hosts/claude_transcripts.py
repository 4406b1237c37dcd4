"""Transcripts of Claude Code: ``~/.claude/projects/<folder>/<session>.jsonl`` and ``<session>/subagents/agent-*.jsonl``.

The format is internal to Claude Code. Lines are read in file order instead of along `parentUuid`: what was said
before a compaction or on a branch that was left was said all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import payload, text
from bethink.hosts.transcripts import (
    Skipped,
    TranscriptFile,
    Turn,
    at_rest,
    blocks_text,
    call,
    found,
    instant,
    lines,
    oldest_first,
    said,
    without_ours,
)
from bethink.hosts.weave import Weaver

HOST: Final = "claude"
#: Claude Code's own errands in a copy of the conversation; what they hold is in the conversation itself.
_ERRANDS: Final = ("acompact-", "aprompt_suggestion-", "aside_question-")


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The sessions and their subagents' under CLAUDE_CONFIG_DIR or ``~/.claude``."""
    root = Path(env.get("CLAUDE_CONFIG_DIR") or (home or Path.home()) / ".claude") / "projects"
    return within(root)


def within(root: Path) -> list[TranscriptFile]:
    """The sessions and their subagents' anywhere under `root`."""
    return oldest_first(_file(path) for path in root.rglob("*.jsonl") if not _errand(path.stem))


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`. Turns of subagents are `sidechain`."""
    weaver = Weaver(HOST)
    end = offset
    with path.open("rb") as file:
        for start, end, line in lines(file, offset):
            entry = payload(line) if line is not None else None
            if entry is None:
                reason = "line too long" if line is None else "broken line"
                yield Skipped(reason, start, end, weaver.floor(end), broken=True)
                continue
            reason = _take(weaver, entry, path, start, end)
            yield from weaver.ready(end)
            if reason:
                yield Skipped(reason, start, end, weaver.floor(end))
    yield from weaver.finish(end, at_rest(path, settled))


def _take(weaver: Weaver, entry: dict[str, Any], path: Path, start: int, end: int) -> str:
    """Give one line to the weaver; the reason why nothing of it is a turn, or ""."""
    kind = text(entry.get("type"))
    message = entry.get("message")
    if kind == "system" and entry.get("subtype") == "compact_boundary":
        weaver.close("")
    if kind not in ("user", "assistant") or not isinstance(message, dict):
        return f"type {kind[:40] or '?'}"
    sidechain = entry.get("isSidechain") is True
    agent = text(entry.get("agentId")) or (path.stem.removeprefix("agent-") if path.stem.startswith("agent-") else "")
    facts: dict[str, Any] = {
        "session": text(entry.get("sessionId")) or path.stem,
        "uuid": text(entry.get("uuid")) or f"{path.stem}:{start}",
        "at": instant(entry.get("timestamp")),
        "cwd": text(entry.get("cwd")),
        "branch": text(entry.get("gitBranch")),
        "sidechain": sidechain,
        "agent_id": agent,
    }
    chain = (agent or "side") if sidechain else ""
    if kind == "user":
        return _user(weaver, entry, message, chain, start, end, facts)
    if entry.get("isApiErrorMessage") is True or message.get("model") == "<synthetic>":
        return "synthetic"
    key = text(message.get("id")) or facts["uuid"]
    strand = weaver.strand(chain, key, "assistant", start, end, **facts, model=text(message.get("model")))
    strand.say(without_ours(blocks_text(message.get("content"))))
    for block in _blocks(message, "tool_use"):
        weaver.called(strand, text(block.get("id")), call(block.get("name"), block.get("input")))
    return ""


def _user(weaver: Weaver, entry: dict[str, Any], message: dict[str, Any], chain: str, start: int, end: int, facts: dict[str, Any]) -> str:
    results = _blocks(message, "tool_result")
    lost = 0
    for block in results:
        content = blocks_text(block.get("content"))
        lost += not weaver.result(text(block.get("tool_use_id")), content, end, block.get("is_error") is True)
    if entry.get("isMeta") is True:
        return "meta"
    words = blocks_text(message.get("content"))
    if not words.strip():
        if lost:
            return "tool result without its call"
        return "" if results else "empty"
    if entry.get("isCompactSummary") is True:
        weaver.strand(chain, "", "summary", start, end, **facts).say(without_ours(words))
        weaver.close(chain)
        return ""
    if words.lstrip().startswith("<teammate-message"):
        return "teammate"
    clean = said(words)
    if not clean and "[Request interrupted" in words:
        weaver.close(chain)
        return "interrupted"
    if not clean:
        return "prompt noise"
    if not chain:
        # Side conversations of older versions share the file; when the person speaks again, they are over.
        weaver.close_all()
    weaver.strand(chain, "", "user", start, end, **facts).say(clean)
    weaver.close(chain)
    return ""


def _blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict) and block.get("type") == kind]


def _file(path: Path) -> TranscriptFile | None:
    if path.parent.name == "subagents":
        return found(HOST, path, path.parent.parent.name, path.stem.removeprefix("agent-"))
    return found(HOST, path, agent_id=path.stem.removeprefix("agent-") if path.stem.startswith("agent-") else "")


def _errand(stem: str) -> bool:
    return stem.removeprefix("agent-").startswith(_ERRANDS)
