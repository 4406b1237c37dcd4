"""The hook dialect of Claude Code (types: `sdk.d.ts` of npm `@anthropic-ai/claude-agent-sdk` 0.3.329)."""

from __future__ import annotations

from typing import Final

from bethink.hosts.base import EventKind, HookEvent, Reply, event_of, payload, reply_of

#: Claude Code moves what is longer into a file and shows the model a preview.
MAX_CONTEXT: Final = 10_000

_KINDS: Final[dict[str, EventKind]] = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "Stop": "stop",
    "SubagentStop": "subagent_stop",
    "PreCompact": "pre_compact",
    "PostCompact": "post_compact",
    "SessionEnd": "session_end",
    "PermissionRequest": "permission_request",
    "PostToolUseFailure": "tool_failure",
}
#: Stop and SubagentStop take it too, but there it keeps the conversation going.
_CONTEXT: Final = frozenset(("SessionStart", "UserPromptSubmit", "PostToolUseFailure", "SubagentStart", "Setup"))


def parse(data: bytes) -> HookEvent | None:
    """The event in `data`; None when it is malformed."""
    return event_of("claude", _KINDS, payload(data))


def format(event: HookEvent, reply: Reply) -> str:
    """The reply as JSON; "" when this event has nothing to carry it."""
    return reply_of(event, reply, context=_CONTEXT)
