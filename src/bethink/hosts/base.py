"""What all hook dialects share: the event a hook is called for, the reply it may give, and safe names for sessions.

On the hook path: named tuples instead of dataclasses, and annotations as values instead of texts that NamedTuple
would compile one by one; together they save 10 ms at every prompt.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

EventKind = Literal[
    "session_start",
    "prompt",
    "stop",
    "subagent_stop",
    "pre_compact",
    "post_compact",
    "session_end",
    "permission_request",
    "tool_failure",
    "other",
]

#: Set by whoever starts an assistant for its own ends, such as distilling: the hooks of that child and its children stay silent.
CHILD: Final = "BETHINK_CHILD"
#: Tools of our own server that may run without a question: nothing that deletes and nothing that shows a secret.
APPROVED_TOOLS: Final = frozenset(f"memory_{verb}" for verb in ("store", "recall", "get", "list", "update", "context", "count"))
#: How our server's tools are called when the plugin brought the server, and when `bethink setup` added it.
TOOL_PREFIXES: Final = ("mcp__plugin_bethink_memory__", "mcp__bethink__")


class HookEvent(NamedTuple):
    """What an assistant told its hook. Texts are "" when the host did not give them."""

    host: str
    #: Normalised kind.
    event: EventKind
    #: The host's own name of the event, needed for the reply.
    name: str
    #: The host's session id, as it came: never use it in a path, use `session_key`.
    session: str = ""
    cwd: str = ""
    transcript_path: str = ""
    #: Why a session starts or ends: startup, resume, clear, compact, fork, exit …
    source: str = ""
    prompt: str = ""
    #: Who sent the prompt: user, sdk, system, loop_wakeup … ("user" where the host does not say).
    prompt_source: str = ""
    last_assistant_message: str = ""
    tool_name: str = ""
    tool_input: Any = None
    error: str = ""
    #: Set inside a subagent.
    agent_id: str = ""
    agent_type: str = ""
    agent_transcript_path: str = ""
    #: What started a compaction: auto or manual.
    trigger: str = ""
    #: The host's summary after a compaction.
    summary: str = ""
    #: A stop hook runs because of an earlier stop hook.
    repeated: bool = False
    #: The whole payload, with lone surrogates replaced.
    raw: Mapping[str, Any] = {}


class Reply(NamedTuple):
    """What the hook wants to say; a dialect writes only what its host knows for that event."""

    additional_context: str = ""
    #: Approve the tool that asks for permission.
    allow: bool = False
    #: A line for the person, not for the model.
    system_message: str = ""


NOTHING: Final = Reply()


class Dialect(Protocol):
    """How one assistant speaks to its hooks. A module is a dialect."""

    #: Most characters that the host passes on whole in one reply.
    MAX_CONTEXT: int

    def parse(self, data: bytes) -> HookEvent | None:
        """The event in `data`; None when it is malformed or not a hook's payload. Never raises."""

    def format(self, event: HookEvent, reply: Reply) -> str:
        """The host's reply as text for stdout; "" means to print nothing."""


def childs_environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` for an assistant that we start ourselves."""
    return {**env, CHILD: "1"}


def approved(tool: str) -> bool:
    """Is `tool` one of our own server's harmless tools, by its whole name."""
    return any(tool.startswith(prefix) and tool[len(prefix) :] in APPROVED_TOOLS for prefix in TOOL_PREFIXES)


def session_key(session: str) -> str:
    """A name for a session that is safe as a file name on every system and never the same for two sessions.

    Plain UUIDs stay themselves; anything else, such as ``../../x``, becomes a hash.
    """
    if 8 <= len(session) <= 64 and not session.strip("0123456789abcdef-"):
        return session
    import hashlib

    return "s-" + hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def payload(data: bytes) -> dict[str, Any] | None:
    """The JSON object in `data`, in valid Unicode; None when there is none."""
    try:
        value = json.loads(data.decode("utf-8-sig", "replace"))
        if b"\\ud" in data or b"\\uD" in data:
            value = _sound(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text(value: Any) -> str:
    """`value` if it is text, else ""."""
    return value if isinstance(value, str) else ""


def event_of(host: str, kinds: Mapping[str, EventKind], raw: Mapping[str, Any] | None) -> HookEvent | None:
    """The event of a host whose payload follows Claude Code's field names (Codex and Gemini do)."""
    if raw is None:
        return None
    name = text(raw.get("hook_event_name"))
    if not name:
        return None
    kind = kinds.get(name, "other")
    source = text(raw.get("source"))
    # Prompts and sessions share the field `source` with different meanings.
    return HookEvent(
        host=host,
        event=kind,
        name=name,
        session=text(raw.get("session_id")),
        cwd=text(raw.get("cwd")),
        transcript_path=text(raw.get("transcript_path")),
        source="" if kind == "prompt" else source or text(raw.get("reason")),
        prompt=text(raw.get("prompt")),
        prompt_source=(source or "user") if kind == "prompt" else "",
        last_assistant_message=text(raw.get("last_assistant_message")),
        tool_name=text(raw.get("tool_name")),
        tool_input=raw.get("tool_input"),
        error=text(raw.get("error")),
        agent_id=text(raw.get("agent_id")),
        agent_type=text(raw.get("agent_type")),
        agent_transcript_path=text(raw.get("agent_transcript_path")),
        trigger=text(raw.get("trigger")),
        summary=text(raw.get("compact_summary")),
        repeated=raw.get("stop_hook_active") is True,
        raw=raw,
    )


def reply_of(event: HookEvent, reply: Reply, *, context: frozenset[str], message: bool = True) -> str:
    """A reply in the shape that Claude Code made common; `context` names the events that take additionalContext."""
    out: dict[str, Any] = {}
    if reply.system_message and message:
        out["systemMessage"] = reply.system_message
    if event.event == "permission_request":
        # Whatever the caller thinks: a foreign tool is never approved from here.
        if reply.allow and approved(event.tool_name):
            out["hookSpecificOutput"] = {"hookEventName": event.name, "decision": {"behavior": "allow"}}
    elif reply.additional_context and event.name in context:
        out["hookSpecificOutput"] = {"hookEventName": event.name, "additionalContext": reply.additional_context}
    return dump(out)


def dump(out: Mapping[str, Any]) -> str:
    """JSON in ASCII, whatever the terminal's encoding; "" when there is nothing to say."""
    return json.dumps(out, separators=(",", ":")) if out else ""


def _sound(value: Any) -> Any:
    """`value` without lone surrogates, which no database and no UTF-8 file takes."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return value
