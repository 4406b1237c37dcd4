"""The hook dialect of Cursor (`hooks.json` version 1).

Only sessionStart takes context. The answer's text comes with afterAgentResponse; stop has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bethink.hosts.base import EventKind, HookEvent, Reply, dump, payload, text

MAX_CONTEXT: Final = 10_000

_KINDS: Final[dict[str, EventKind]] = {
    "sessionStart": "session_start",
    "beforeSubmitPrompt": "prompt",
    "afterAgentResponse": "stop",
    "stop": "stop",
    "subagentStop": "subagent_stop",
    "preCompact": "pre_compact",
    "sessionEnd": "session_end",
    "postToolUseFailure": "tool_failure",
}


def parse(data: bytes) -> HookEvent | None:
    """The event in `data`; None when it is malformed."""
    raw = payload(data)
    name = text(raw.get("hook_event_name")) if raw else ""
    if not raw or not name:
        return None
    kind = _KINDS.get(name, "other")
    return HookEvent(
        host="cursor",
        event=kind,
        name=name,
        # The conversation outlives the session: it is what a prompt carries.
        session=text(raw.get("conversation_id")) or text(raw.get("session_id")),
        cwd=_folder(raw),
        transcript_path=text(raw.get("transcript_path")),
        source="startup" if kind == "session_start" else text(raw.get("reason")) or text(raw.get("status")),
        prompt=text(raw.get("prompt")),
        prompt_source="user" if kind == "prompt" else "",
        last_assistant_message=text(raw.get("text")) if name == "afterAgentResponse" else text(raw.get("summary")),
        tool_name=text(raw.get("tool_name")),
        tool_input=raw.get("tool_input"),
        error=text(raw.get("error_message")) or text(raw.get("error")),
        agent_id=text(raw.get("subagent_id")),
        agent_type=text(raw.get("subagent_type")),
        agent_transcript_path=text(raw.get("agent_transcript_path")),
        trigger=text(raw.get("trigger")),
        raw=raw,
    )


def format(event: HookEvent, reply: Reply) -> str:
    """The reply as JSON; "" when this event has nothing to carry it."""
    if event.name == "sessionStart" and reply.additional_context:
        return dump({"continue": True, "additional_context": reply.additional_context})
    return ""


def _folder(raw: Mapping[str, Any]) -> str:
    """Where the person works: Cursor names its open folders, and the hook's own folder for some events."""
    roots = raw.get("workspace_roots")
    first = text(roots[0]) if isinstance(roots, list) and roots else ""
    return first or text(raw.get("cwd"))
