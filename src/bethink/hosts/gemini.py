"""The hook dialect of Gemini CLI (`docs/hooks/reference.md` of google-gemini/gemini-cli).

Its stdout must be JSON and nothing else, and a compaction is not followed by SessionStart: BeforeAgent carries what is due.
"""

from __future__ import annotations

from typing import Final

from bethink.hosts.base import EventKind, HookEvent, Reply, event_of, payload, reply_of, text

MAX_CONTEXT: Final = 10_000

_KINDS: Final[dict[str, EventKind]] = {
    "SessionStart": "session_start",
    "BeforeAgent": "prompt",
    "AfterAgent": "stop",
    "PreCompress": "pre_compact",
    "SessionEnd": "session_end",
}
_CONTEXT: Final = frozenset(("SessionStart", "BeforeAgent"))
_MESSAGE: Final = frozenset(_KINDS)


def parse(data: bytes) -> HookEvent | None:
    """The event in `data`; None when it is malformed."""
    raw = payload(data)
    event = event_of("gemini", _KINDS, raw)
    if event is None or raw is None:
        return None
    return event._replace(last_assistant_message=text(raw.get("prompt_response")))


def format(event: HookEvent, reply: Reply) -> str:
    """The reply as JSON; "" when this event has nothing to carry it."""
    return reply_of(event, reply, context=_CONTEXT, message=event.name in _MESSAGE)
