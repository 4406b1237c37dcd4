"""Transcripts of Codex CLI: rollouts under ``~/.codex/sessions`` and ``archived_sessions``, plain or zstd-compressed.

Tool calls are only in `response_item`; the plain words of the user are in `event_msg`, and again in `response_item`
together with AGENTS.md and environment texts. Both are read and told once.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from bethink.hosts.base import payload, text
from bethink.hosts.transcripts import (
    Role,
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
from bethink.hosts.weave import Strand, Weaver

HOST: Final = "codex"
_TEXTS: Final = ("input_text", "output_text", "text")


@dataclass(slots=True)
class _State:
    """What later lines inherit from earlier ones."""

    session: str
    cwd: str = ""
    branch: str = ""
    remote: str = ""
    model: str = ""
    sidechain: bool = False
    last_user: str = ""


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """The rollouts under CODEX_HOME or ``~/.codex``."""
    root = Path(env.get("CODEX_HOME") or (home or Path.home()) / ".codex")
    folders = [root / "sessions", root / "archived_sessions"]
    paths = [path for folder in folders for path in folder.rglob("rollout-*") if path.name.endswith((".jsonl", ".jsonl.zst"))]
    return oldest_first(found(HOST, path, _session(path)) for path in paths)


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`. Offsets of a compressed file count decompressed bytes.

    Raises:
        ImportError: the file is compressed and `zstandard` is not installed.
    """
    weaver, state, end = Weaver(HOST), _State(_session(path)), offset
    if offset:
        # The first line says which session and project the rest belongs to.
        with _open(path) as file:
            for _, _, line in lines(file, 0):
                _meta(state, payload(line or b"") or {})
                break
    with _open(path) as file:
        for start, end, line in lines(file, offset):
            entry = payload(line) if line is not None else None
            if entry is None:
                reason = "line too long" if line is None else "broken line"
                yield Skipped(reason, start, end, weaver.floor(end), broken=True)
                continue
            reason = _take(weaver, state, entry, start, end)
            yield from weaver.ready(end)
            if reason:
                yield Skipped(reason, start, end, weaver.floor(end))
    # A prompt whose second telling may still come is held back too.
    yield from weaver.finish(end, at_rest(path, settled), prompts=False)


def _take(weaver: Weaver, state: _State, entry: dict[str, Any], start: int, end: int) -> str:
    kind = text(entry.get("type"))
    body = entry.get("payload")
    if not isinstance(body, dict):
        return f"type {kind[:40] or '?'}"
    inner = text(body.get("type"))
    if kind == "session_meta":
        _meta(state, entry)
        return "type session_meta"
    if kind == "turn_context":
        state.cwd = text(body.get("cwd")) or state.cwd
        state.model = text(body.get("model")) or state.model
        return "type turn_context"
    if kind == "compacted":
        return _say(weaver, state, entry, "summary", text(body.get("message")), start, end)
    if kind == "event_msg" and inner in ("user_message", "agent_message"):
        role: Role = "user" if inner == "user_message" else "assistant"
        return _say(weaver, state, entry, role, text(body.get("message")), start, end)
    if kind != "response_item":
        return f"type {kind[:40]}/{inner[:40]}" if inner else f"type {kind[:40]}"
    if inner == "message" and body.get("role") in ("user", "assistant"):
        return _say(weaver, state, entry, cast("Role", body["role"]), blocks_text(body.get("content"), _TEXTS), start, end)
    if inner in ("function_call", "custom_tool_call", "local_shell_call"):
        arguments = next((body[name] for name in ("arguments", "input", "action") if name in body), None)
        strand = _answer(weaver) or weaver.strand("", "", "assistant", start, end, **_facts(state, entry, start))
        strand.end = end
        weaver.called(strand, text(body.get("call_id")), call(body.get("name") or inner, arguments))
        return ""
    if inner in ("function_call_output", "custom_tool_call_output"):
        output, is_error = _output(body.get("output"))
        return "" if weaver.result(text(body.get("call_id")), output, end, is_error) else "tool result without its call"
    return f"type {kind}/{inner[:40]}"


def _say(weaver: Weaver, state: _State, entry: dict[str, Any], role: Role, words: str, start: int, end: int) -> str:
    if role == "assistant":
        clean = without_ours(words)
        current = _answer(weaver)
        if not clean:
            return "empty"
        if current is not None and clean in current.parts:
            return "told twice"
        # A new saying after tools is a new turn, so that one long errand is not one endless turn.
        if current is not None and not current.calls:
            current.end = end
            current.say(clean)
            return ""
        weaver.strand("", "", role, start, end, **_facts(state, entry, start)).say(clean)
        state.last_user = ""
        return ""
    clean = said(words) if role == "user" else without_ours(words)
    if not clean:
        return "prompt noise" if words.strip() else "empty"
    if role == "user" and clean == state.last_user:
        weaver.close("")
        return "told twice"
    state.last_user = clean if role == "user" else ""
    weaver.strand("", "", role, start, end, **_facts(state, entry, start)).say(clean)
    if role == "summary" or entry.get("type") == "event_msg":
        weaver.close("")
    return ""


def _answer(weaver: Weaver) -> Strand | None:
    current = weaver.current("")
    return current if current is not None and current.role == "assistant" else None


def _facts(state: _State, entry: dict[str, Any], start: int) -> dict[str, Any]:
    return {
        "session": state.session,
        # Rollouts name no messages; the place in an append-only file is as good.
        "uuid": f"{state.session}:{start}",
        "at": instant(entry.get("timestamp")),
        "cwd": state.cwd,
        "branch": state.branch,
        "remote": state.remote,
        "model": state.model,
        "sidechain": state.sidechain,
        "agent_id": state.session if state.sidechain else "",
    }


def _meta(state: _State, entry: dict[str, Any]) -> None:
    body = entry.get("payload")
    if entry.get("type") != "session_meta" or not isinstance(body, dict):
        return
    git = body.get("git")
    known = git if isinstance(git, dict) else {}
    state.session = text(body.get("id")) or text(body.get("session_id")) or state.session
    state.cwd = text(body.get("cwd")) or state.cwd
    state.branch = text(known.get("branch")) or state.branch
    state.remote = text(known.get("repository_url")) or state.remote
    state.sidechain = bool(body.get("parent_thread_id")) or "subagent" in str(body.get("thread_source")).lower() or _spawned(body)


def _spawned(body: dict[str, Any]) -> bool:
    source = body.get("source")
    return isinstance(source, dict) and any("subagent" in str(key).lower().replace("_", "") for key in source)


def _output(value: Any) -> tuple[str, bool]:
    """Text of a tool's output, and did the tool fail: newer outputs are JSON in a text, with an exit code."""
    if isinstance(value, list):
        return blocks_text(value, _TEXTS), False
    if isinstance(value, dict):
        return text(value.get("content")) or text(value.get("output")), value.get("success") is False
    plain = text(value)
    if plain.startswith("{"):
        try:
            inner = json.loads(plain)
        except (ValueError, RecursionError):
            return plain, False
        details = inner.get("metadata")
        code = details.get("exit_code") if isinstance(details, dict) else None
        return text(inner.get("output")) or plain, isinstance(code, int) and code != 0
    head = plain[:300]
    failed = ("Exit code: " in head and "Exit code: 0" not in head) or ("exited with code " in head and "exited with code 0" not in head)
    return plain, failed


def _open(path: Path) -> IO[bytes]:
    if path.suffix != ".zst":
        return path.open("rb")
    import zstandard

    return io.BufferedReader(zstandard.open(path, "rb"))


def _session(path: Path) -> str:
    """The UUID at the end of ``rollout-<timestamp>-<uuid>.jsonl``."""
    return path.name.split(".jsonl")[0][-36:]
