"""`bethink hook ASSISTANT`: one entry for every event of every assistant. Exits 0, whatever happens, and in time.

Prompt events are answered from a warm server process where there is one, else by keywords from the store, opened
read-only without waiting for anybody. Capturing events write one file and return. Nothing here uses the network or a
model, and nothing is imported that costs more than the standard library and SQLite.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.hosts.base import HookEvent, Reply
    from bethink.render import Rendered

#: Seconds after which the process ends, said something or not.
DEADLINES = {"prompt": 0.36, "tool_failure": 0.36, "permission_request": 0.36, "session_start": 1.5, "session_end": 1.0}
_CAPTURE_DEADLINE = 4.0
#: Seconds that the warm process gets; what is left of the deadline is enough for keywords.
_WARM_PATIENCE = 0.16
_MAX_STDIN = 8 * 1024 * 1024
#: Set by whoever starts an assistant for its own ends (`bethink distil`), so that its hooks stay silent.
CHILD = "BETHINK_CHILD"


def main(argv: list[str]) -> int:
    """Runs one hook; `argv` holds the assistant's name. Always 0."""
    started = time.perf_counter()
    # The longest deadline guards reading stdin; the event's own replaces it.
    guard = _watchdog(_CAPTURE_DEADLINE)
    try:
        if os.environ.get(CHILD) or not argv:
            return 0
        out = _answered(argv[0], sys.stdin.buffer.read(_MAX_STDIN), started, guard)
        if out:
            sys.stdout.buffer.write(out.encode())
            sys.stdout.buffer.flush()
    except BaseException as error:  # whatever it is, the prompt goes on
        _debug(f"{type(error).__name__}: {error}")
    guard.cancel()
    return 0


def _watchdog(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
    return timer


def _answered(assistant: str, data: bytes, started: float, guard: threading.Timer) -> str:
    from bethink import hosts
    from bethink.hosts import switch

    dialect = hosts.dialect(assistant)
    event = dialect.parse(data)
    if event is None:
        return ""
    if (deadline := DEADLINES.get(event.event)) is not None:
        guard.cancel()
        _watchdog(deadline)
    if event.event == "permission_request":
        return dialect.format(event, _permission(event))
    from bethink.config import load

    settings = load()
    home = settings.home
    asked = switch.asked(event)
    if asked is not None:
        switch.turn(home, event.session, asked)
    if settings["MEMORY_OFF"] or switch.state(home, event.session) != "on":
        return ""
    handler = HANDLERS.get(event.event)
    reply = handler(event, settings, started) if handler else None
    return dialect.format(event, reply) if reply else ""


def _permission(event: HookEvent) -> Reply:
    from bethink.hosts.base import NOTHING, Reply, approved

    off = os.environ.get("DISABLE_CLAUDE_MEMORY_AUTO_APPROVE", "").strip() not in ("", "0")
    return NOTHING if off or not approved(event.tool_name) else Reply(allow=True)


def _on_prompt(event: HookEvent, settings: Settings, started: float) -> Reply | None:
    if event.prompt_source not in ("user", "sdk", "") or not event.prompt.strip():
        return None
    from bethink.intake import sessions

    home = settings.home
    state = sessions.load(home, event.session)
    found = _recalled(event.prompt, event, settings, state.seen, started)
    ids = found["ids"] if found else []
    sessions.save(home, event.session, state._replace(seen=(*state.seen, *ids), prompt=event.prompt))
    return _shown(found)


def _on_failure(event: HookEvent, settings: Settings, started: float) -> Reply | None:
    if not settings["MEMORY_HOOK_ON_FAILURE"] or not event.error.strip():
        return None
    from bethink.intake import sessions

    state = sessions.load(settings.home, event.session)
    found = _recalled(event.error, event, settings, state.seen, started)
    if found and found["ids"]:
        sessions.save(settings.home, event.session, state._replace(seen=(*state.seen, *found["ids"])))
    return _shown(found)


def _recalled(asked: str, event: HookEvent, settings: Settings, seen: tuple[str, ...], started: float) -> dict[str, Any] | None:
    """Text, ids and tokens of what fits `asked`: from the warm process, else from the store by keywords."""
    from bethink.intake import injections
    from bethink.warm.client import ask

    project = _project(event, settings)
    budget = settings["MEMORY_HOOK_TOKENS"]
    request = {"op": "prompt", "prompt": asked[:20_000], "project": project, "seen": seen, "budget": budget}
    found = ask(settings.home, request, _WARM_PATIENCE)
    warm = found is not None
    if found is None:
        rendered = _cold(asked, project, seen, budget, settings)
        found = {"text": rendered.text, "ids": list(rendered.ids), "tokens": rendered.tokens} if rendered else None
    injections.note(
        settings.home,
        event="prompt" if event.event == "prompt" else event.event,
        session=event.session,
        project=project,
        ids=found["ids"] if found else [],
        tokens=found["tokens"] if found else 0,
        milliseconds=(time.perf_counter() - started) * 1000,
        warm=warm,
    )
    return found


def _cold(asked: str, project: str | None, seen: tuple[str, ...], budget: int, settings: Settings) -> Rendered | None:
    from bethink import wire
    from bethink.service.injecting import for_prompt

    reading = wire.open_reading(settings)
    return for_prompt(reading, asked, project=project, seen=frozenset(seen), budget_tokens=budget) if reading else None


def _on_start(event: HookEvent, settings: Settings, started: float) -> Reply | None:
    from bethink import wire
    from bethink.intake import injections, sessions
    from bethink.service.injecting import for_start

    home = settings.home
    state = sessions.load(home, event.session)
    after_compaction = event.source == "compact"
    # What a resumed session was shown is in its transcript; a compacted or cleared one has lost it.
    seen = frozenset(state.seen) if event.source in ("resume", "fork") else frozenset()
    project = _project(event, settings)
    briefing = wire.open_briefing(settings)
    rendered = for_start(briefing, project=project, budget_tokens=settings["MEMORY_CONTEXT_TOKENS"], seen=seen) if briefing else None
    kept = _kept(state.kept) if after_compaction else ""
    ids = list(rendered.ids) if rendered else []
    injections.note(
        home,
        event="session_start",
        session=event.session,
        project=project,
        ids=ids,
        tokens=rendered.tokens if rendered else 0,
        milliseconds=(time.perf_counter() - started) * 1000,
        warm=False,
    )
    sessions.save(home, event.session, state._replace(seen=(*sorted(seen), *ids), kept=(), briefed=time.time()))
    sessions.sweep(home)
    parts = [part for part in (rendered.text if rendered else "", kept) if part]
    return _shown({"text": "\n\n".join(parts)}) if parts else None


def _kept(lines: tuple[str, ...]) -> str:
    """What was kept before a compaction, rendered as notes."""
    if not lines:
        return ""
    from bethink.render import render_lines

    return render_lines("Kept from this session before it was compacted", lines)


def _on_capture(event: HookEvent, settings: Settings, started: float) -> Reply | None:
    """Writes down what the turn left behind; what it means is found out later."""
    from bethink.intake import sessions, spool

    home = settings.home
    state = sessions.load(home, event.session)
    record: dict[str, Any] = {
        "host": event.host,
        "event": event.event,
        "session": event.session,
        "cwd": event.cwd,
        "project": _project(event, settings),
        "user": state.prompt,
        "assistant": event.last_assistant_message,
        "transcript_path": event.agent_transcript_path or event.transcript_path,
        "agent_id": event.agent_id,
        "at": time.time(),
    }
    if event.event == "pre_compact":
        checkpoint = _checkpoint(event)
        record["kept"] = list(checkpoint)
        sessions.save(home, event.session, state._replace(kept=checkpoint))
    if record["user"] or record["assistant"] or record.get("kept") or event.event == "session_end":
        spool.write(home, record)
    return None


def _checkpoint(event: HookEvent) -> tuple[str, ...]:
    """What is worth keeping of the end of the transcript; nothing when it cannot be read."""
    from bethink.intake import checkpoint

    kind = {"claude": "claude-code"}.get(event.host, event.host)
    try:
        return checkpoint.of_transcript(Path(event.transcript_path), kind).lines()
    except Exception as error:  # formats are other people's; the compaction goes on without
        _debug(f"checkpoint: {type(error).__name__}: {error}")
        return ()


def _project(event: HookEvent, settings: Settings) -> str | None:
    from bethink.project import project_of

    named: str | None = settings["MEMORY_PROJECT"]
    if named or not event.cwd:
        return named
    return project_of(Path(event.cwd))


def _shown(found: Mapping[str, Any] | None) -> Reply | None:
    from bethink.hosts.base import Reply

    return Reply(additional_context=found["text"]) if found and found["text"] else None


def _debug(line: str) -> None:
    if os.environ.get("DEBUG_CLAUDE_MEMORY_HOOKS", "").strip() in ("", "0"):
        return
    try:
        folder = Path(os.environ.get("MEMORY_HOME") or "~/.bethink").expanduser() / "logs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "hooks.log").open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")
    except OSError:
        pass


HANDLERS: dict[str, Callable[[Any, Any, float], Any]] = {
    "prompt": _on_prompt,
    "tool_failure": _on_failure,
    "session_start": _on_start,
    "stop": _on_capture,
    "subagent_stop": _on_capture,
    "pre_compact": _on_capture,
    "session_end": _on_capture,
}
