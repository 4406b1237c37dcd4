"""The hook dialect of Codex CLI, which rejects a reply with a key it does not know.

Source: `codex-rs/hooks/schema/generated/*.schema.json` of openai/codex; every object has `additionalProperties: false`.
"""

from __future__ import annotations

from typing import Final

from bethink.hosts.base import EventKind, HookEvent, Reply, event_of, payload, reply_of

#: Codex names no bound; Claude Code's keeps a brief readable.
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
}
_CONTEXT: Final = frozenset(("SessionStart", "UserPromptSubmit", "SubagentStart"))
#: Events whose reply schema we know; to any other we say nothing.
_KNOWN: Final = frozenset(_KINDS) - {"SessionEnd"} | _CONTEXT


def parse(data: bytes) -> HookEvent | None:
    """The event in `data`; None when it is malformed."""
    return event_of("codex", _KINDS, payload(data))


def format(event: HookEvent, reply: Reply) -> str:
    """The reply as JSON; "" when this event has nothing to carry it."""
    return reply_of(event, reply, context=_CONTEXT) if event.name in _KNOWN else ""
