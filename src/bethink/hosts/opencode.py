"""The hook dialect of opencode, which is ours: our plug-in there (`opencode_plugin.ts`) asks `bethink hook opencode`.

stdin: {"event": KIND, "session", "cwd", "source", "prompt", "last_assistant_message", "tool_name", "error", "trigger"},
with KIND one of HookEvent's. stdout: {"context": "…"}, or nothing.
"""

from __future__ import annotations

from typing import Final, cast, get_args

from bethink.hosts.base import EventKind, HookEvent, Reply, dump, payload, text

MAX_CONTEXT: Final = 10_000

_KINDS: Final = frozenset(get_args(EventKind))
#: Compaction takes context in opencode: it becomes part of what the summary is made from.
_CONTEXT: Final = frozenset(("session_start", "prompt", "pre_compact"))


def parse(data: bytes) -> HookEvent | None:
    """The event in `data`; None when it is malformed."""
    raw = payload(data)
    name = text(raw.get("event")) if raw else ""
    if not raw or not name:
        return None
    kind = cast("EventKind", name if name in _KINDS else "other")
    return HookEvent(
        host="opencode",
        event=kind,
        name=name,
        session=text(raw.get("session")),
        cwd=text(raw.get("cwd")),
        source=text(raw.get("source")) or ("startup" if kind == "session_start" else ""),
        prompt=text(raw.get("prompt")),
        prompt_source=(text(raw.get("prompt_source")) or "user") if kind == "prompt" else "",
        last_assistant_message=text(raw.get("last_assistant_message")),
        tool_name=text(raw.get("tool_name")),
        error=text(raw.get("error")),
        agent_id=text(raw.get("agent_id")),
        trigger=text(raw.get("trigger")),
        raw=raw,
    )


def format(event: HookEvent, reply: Reply) -> str:
    """The reply as JSON; "" when this event has nothing to carry it."""
    if event.event in _CONTEXT and reply.additional_context:
        return dump({"context": reply.additional_context})
    return ""
