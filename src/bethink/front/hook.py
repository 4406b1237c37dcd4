"""`bethink hook ASSISTANT`: one entry for every event of every assistant. Exits 0, whatever happens, and in time.

Prompt events are answered from a warm server process where there is one, else by keywords from the store, opened
read-only without waiting for anybody. Capturing events write one file and return. Nothing here uses the network or a
model, and nothing is imported that costs more than the standard library and SQLite.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from bethink.hosts.base import CHILD

if TYPE_CHECKING:
    from pathlib import Path

    from bethink.config import Settings
    from bethink.hosts.base import HookEvent, Reply
    from bethink.intake.sessions import SessionState
    from bethink.render import Rendered
    from bethink.warm.client import Question
    from bethink.warm.spot import Spot

#: Seconds from the start after which the process ends, said something or not; for prompts MEMORY_HOOK_MS says it.
DEADLINES = {"session_start": 1.5, "session_end": 1.0}
_PATIENCE = 0.34
_PROMPTS = frozenset(("prompt", "tool_failure", "permission_request"))
_CAPTURE_DEADLINE = 4.0
#: Seconds that the whole of the payload may take.
_PAYLOAD = 1.5
#: The part of a prompt's time until which the warm process is waited for; what is left is enough for keywords.
_WARM_SHARE = 0.55
#: Seconds beyond the deadline after which a thread that holds the interpreter is ended from outside; its code makes a notice.
_LAST = 1.5
_MAX_STDIN = 8 << 20
_MAX_PROMPT = 20_000
_MAX_LOG = 4 << 20
#: Characters that one token takes at most.
_CHARACTERS = 4
#: Hosts that start no session after a compaction: the next prompt carries what is due.
_SILENT_COMPACTION = frozenset(("gemini",))


def main(argv: list[str]) -> NoReturn:
    """Runs one hook and ends the process with 0; `argv` holds the assistant's name."""
    # What lives for 50 ms has no garbage worth looking for.
    gc.disable()
    _run(argv)
    # Nothing is left to tidy up, and a thread may still wait for something.
    os._exit(0)


def _run(argv: list[str]) -> None:
    watchdog = _Watchdog()
    try:
        _silence()
        given = _payload(watchdog)
        if os.environ.get(CHILD) or not argv:
            return
        if out := _answered(argv[0], given, watchdog):
            data = out.encode()
            while data:
                data = data[os.write(1, data) :]
    except BaseException as error:  # whatever it is, the prompt goes on
        _debug(f"{type(error).__name__}: {error}")


class _Watchdog:
    """Ends the process at a deadline that is reckoned from its own start."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self._timer: threading.Timer | None = None
        #: Seconds that a prompt may take.
        self.patience = _patience()
        self.until(self.patience)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def until(self, seconds: float) -> None:
        """Sets the deadline anew."""
        left = max(seconds - self.elapsed, 0.001)
        timer = threading.Timer(left, _end)
        timer.daemon = True
        timer.start()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
        try:
            import faulthandler

            faulthandler.dump_traceback_later(left + _LAST, exit=True, file=_NOWHERE)
        except (ImportError, OSError, RuntimeError, ValueError):
            pass


def _patience() -> float:
    # Before the settings are read: reading them is among what may take too long.
    given = os.environ.get("MEMORY_HOOK_MS", "")
    return int(given) / 1000 if given.isdecimal() and len(given) < 6 else _PATIENCE


def _end() -> None:
    _debug("the deadline has passed")
    os._exit(0)


_NOWHERE = os.open(os.devnull, os.O_RDWR)


def _silence() -> None:
    """Assistants take anything on stderr for a failure."""
    os.dup2(_NOWHERE, 2)


def _payload(watchdog: _Watchdog) -> bytes:
    """stdin up to its end, or to where a whole JSON object has come: not every host closes it."""
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(0, 1 << 16):
        if not chunks:
            watchdog.until(max(_PAYLOAD, watchdog.patience))
        size += len(chunk)
        if size <= _MAX_STDIN:
            # What is too much is read and dropped: the host shall not write into a closed pipe.
            chunks.append(chunk)
            if size <= 1 << 20 and chunk.rstrip().endswith(b"}") and _is_whole(b"".join(chunks)):
                break
    return b"".join(chunks)


def _is_whole(data: bytes) -> bool:
    import json

    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _answered(assistant: str, data: bytes, watchdog: _Watchdog) -> str:
    from bethink import hosts

    dialect = hosts.dialect(assistant)
    event = dialect.parse(data)
    if event is None:
        _debug(f"{assistant}: {len(data)} bytes that are no event")
        return ""
    watchdog.until(watchdog.patience if event.event in _PROMPTS else max(DEADLINES.get(event.event, _CAPTURE_DEADLINE), watchdog.patience))
    reply = _Call(event, watchdog, dialect.MAX_CONTEXT).reply()
    out = dialect.format(event, reply) if reply else ""
    _debug(f"{assistant} {event.name} {event.session}: {len(out)} bytes after {watchdog.elapsed * 1000:.0f} ms")
    return out


class _Call:
    """One event and what is known around it."""

    def __init__(self, event: HookEvent, watchdog: _Watchdog, max_context: int) -> None:
        from pathlib import Path

        from bethink.config import load
        from bethink.project import root_of

        self.event = event
        self.watchdog = watchdog
        self.max_context = max_context
        self.folder = Path(event.cwd) if event.cwd else None
        self.settings: Settings = load(project_root=root_of(self.folder) if self.folder else None)
        self.home: Path = self.settings.home

    def reply(self) -> Reply | None:
        """What to say; None for nothing."""
        from bethink.hosts import switch
        from bethink.hosts.base import Reply

        event = self.event
        if event.event == "permission_request":
            return self._permission()
        if self.settings.mode == "http-only":
            # What is remembered is on the server, and a prompt does not wait for a network.
            return None
        asked = switch.asked(event)
        if asked is not None:
            switch.turn(self.home, event.session, asked)
            return Reply(system_message=f"Bethink: memory is {asked} for this session.")
        if self.settings["MEMORY_OFF"] or self.settings["MEMORY_PRIVATE"] or switch.state(self.home, event.session) != "on":
            return None
        handler = _HANDLERS.get(event.event)
        return handler(self) if handler else None

    def _permission(self) -> Reply | None:
        from bethink.hosts.base import Reply, approved

        off = self.settings["DISABLE_CLAUDE_MEMORY_AUTO_APPROVE"]
        return None if off or not approved(self.event.tool_name) else Reply(allow=True)

    def on_prompt(self) -> Reply | None:
        event = self.event
        if event.prompt_source not in ("user", "sdk", "") or not event.prompt.strip():
            return None
        from bethink.intake import sessions

        state = sessions.load(self.home, event.session)
        before = ""
        if state.compacted and event.host in _SILENT_COMPACTION:
            before, state = self._brief(state)
        search = self._begun(event.prompt, state)
        # Written down while the warm process searches: should that run into the deadline, what was asked is captured all the same.
        state = state._replace(prompt=self._masked(event.prompt))
        sessions.save(self.home, event.session, state)
        found = self._found(search)
        if found and found["ids"]:
            sessions.save(self.home, event.session, state._replace(seen=(*state.seen, *found["ids"])))
        return _shown(before, found["text"] if found else "")

    def on_failure(self) -> Reply | None:
        event = self.event
        if not self.settings["MEMORY_HOOK_ON_FAILURE"] or not event.error.strip():
            return None
        from bethink.intake import sessions

        state = sessions.load(self.home, event.session)
        found = self._found(self._begun(event.error, state))
        if found and found["ids"]:
            sessions.save(self.home, event.session, state._replace(seen=(*state.seen, *found["ids"])))
        return _shown(found["text"] if found else "")

    def _begun(self, asked: str, state: SessionState) -> tuple[dict[str, Any], Question | None]:
        """What is asked for, and that question put to the warm process, if there is one."""
        from bethink.warm.client import put

        request = {
            "op": "prompt",
            "prompt": asked[:_MAX_PROMPT],
            "project": self._project(),
            "seen": state.seen,
            "budget": min(self.settings["MEMORY_HOOK_TOKENS"], self.max_context // _CHARACTERS),
            "session": self.event.session,
            "briefed": state.briefed,
        }
        return request, put(self._spot(), request, max(_WARM_SHARE * self.watchdog.patience - self.watchdog.elapsed, 0.02))

    def _found(self, search: tuple[dict[str, Any], Question | None]) -> dict[str, Any] | None:
        """Text, ids and tokens of what fits what was asked: from the warm process, else from the store by keywords."""
        request, question = search
        found = question.answer() if question else None
        warm = found is not None
        if found is None:
            rendered = self._cold(request)
            found = {"text": rendered.text, "ids": list(rendered.ids), "tokens": rendered.tokens} if rendered else None
        self._note(found["ids"] if found else [], found["tokens"] if found else 0, warm)
        return found

    def _cold(self, request: Mapping[str, Any]) -> Rendered | None:
        from bethink import wire
        from bethink.service.injecting import for_prompt

        reading = wire.open_reading(self.settings)
        if reading is None:
            return None
        return for_prompt(
            reading,
            request["prompt"],
            project=request["project"],
            seen=frozenset(request["seen"]),
            budget_tokens=request["budget"],
            session=request["session"],
            briefed=request["briefed"],
        )

    def on_start(self) -> Reply | None:
        from bethink.intake import sessions

        event = self.event
        text, state = self._brief(sessions.load(self.home, event.session))
        sessions.save(self.home, event.session, state)
        sessions.sweep(self.home)
        return _shown(text)

    def _brief(self, state: SessionState) -> tuple[str, SessionState]:
        """The brief that is due, and how the session stands after it."""
        from bethink import wire
        from bethink.service.injecting import for_start

        goes_on = self.event.event == "session_start" and self.event.source in ("resume", "fork")
        # What a session that goes on was shown is in its transcript; a compacted or cleared one has lost it.
        since = self._last_seen(state) if goes_on else None
        seen = state.seen if since else ()
        was_compacted = self.event.source == "compact" or self.event.event == "prompt"
        kept = _kept(state.kept) if was_compacted else ""
        budget = min(self.settings["MEMORY_CONTEXT_TOKENS"], (self.max_context - len(kept)) // _CHARACTERS)
        briefing = wire.open_briefing(self.settings)
        rendered = None
        if briefing is not None:
            rendered = for_start(briefing, project=self._project(), budget_tokens=budget, seen=frozenset(seen), since=since)
        ids = rendered.ids if rendered else ()
        self._note(list(ids), (rendered.tokens if rendered else 0) + len(kept) // _CHARACTERS, False, "session_start")
        text = "\n\n".join(part for part in (rendered.text if rendered else "", kept) if part)
        return text, state._replace(seen=(*seen, *ids), kept=(), briefed=time.time(), compacted=False)

    def _last_seen(self, state: SessionState) -> float | None:
        """When a session that goes on was last told something, in seconds since 1970; None when nobody knows."""
        if state.briefed:
            return state.briefed
        passed = self.event.raw.get("seconds_since_last_response")
        return time.time() - float(passed) if isinstance(passed, int | float) else None

    def on_capture(self) -> Reply | None:
        """Writes down what the turn left behind; what it means is found out later."""
        from bethink.intake import sessions, spool

        event = self.event
        state = sessions.load(self.home, event.session)
        record: dict[str, Any] = {
            "host": event.host,
            "event": event.event,
            "session": event.session,
            "cwd": event.cwd,
            "project": self._project(),
            # What a subagent was asked is not the person's.
            "user": "" if event.event == "subagent_stop" else self._masked(_plain(event.prompt or state.prompt)),
            "assistant": self._masked(_plain(event.last_assistant_message)),
            "transcript_path": event.agent_transcript_path or event.transcript_path,
            "agent_id": event.agent_id,
            "at": time.time(),
        }
        after = state
        if event.event == "pre_compact":
            checkpoint = _checkpoint(event)
            record["kept"] = [self._masked(line) for line in checkpoint]
            after = state._replace(kept=tuple(record["kept"]), compacted=True)
        elif event.event == "stop":
            # A stop that follows on another one has nothing new from the person.
            after = state._replace(prompt="")
        elif event.event == "session_end":
            after = state._replace(prompt="", kept=())
        if after != state:
            sessions.save(self.home, event.session, after)
        if record["user"] or record["assistant"] or record.get("kept") or event.event == "session_end":
            spool.write(self.home, record)
        return None

    def _masked(self, said: str) -> str:
        """A text without secrets: for everything that goes to disk."""
        from bethink.intake.masking import masked

        return masked(said, threshold=self.settings["MEMORY_SECRET_THRESHOLD"], allow=self.settings["MEMORY_SECRET_ALLOW"])

    def _project(self) -> str | None:
        from bethink.project import project_of

        named: str | None = self.settings["MEMORY_PROJECT"]
        if named or self.folder is None:
            return named
        return project_of(self.folder)

    def _spot(self) -> Spot:
        from bethink.warm.spot import Spot

        return Spot(self.home, self.settings.database, self.settings["MEMORY_USER"])

    def _note(self, ids: list[str], tokens: int, warm: bool, event: str = "") -> None:
        from bethink.intake import injections

        injections.note(
            self.home,
            event=event or self.event.event,
            session=self.event.session,
            project=self._project(),
            ids=ids,
            tokens=tokens,
            milliseconds=self.watchdog.elapsed * 1000,
            warm=warm,
        )


def _kept(lines: tuple[str, ...]) -> str:
    """What was kept before a compaction, rendered as notes."""
    if not lines:
        return ""
    from bethink.render import render_lines

    return render_lines("Kept from this session before it was compacted", lines)


def _plain(said: str) -> str:
    """What was said, without what we had injected: memories shall not feed on themselves."""
    from bethink.text import MARKER

    if MARKER not in said:
        return said
    from bethink.render import strip_injected

    return strip_injected(said).strip()


def _checkpoint(event: HookEvent) -> tuple[str, ...]:
    """What is worth keeping of the end of the transcript; nothing when it cannot be read."""
    if not event.transcript_path:
        return ()
    from pathlib import Path

    from bethink.intake import checkpoint

    kind = {"claude": "claude-code"}.get(event.host, event.host)
    try:
        return checkpoint.of_transcript(Path(event.transcript_path), kind).lines()
    except Exception as error:  # formats are other people's; the compaction goes on without
        _debug(f"checkpoint: {type(error).__name__}: {error}")
        return ()


def _shown(*parts: str) -> Reply | None:
    from bethink.hosts.base import Reply

    text = "\n\n".join(part for part in parts if part)
    return Reply(additional_context=text) if text else None


def _debug(line: str) -> None:
    """One line in the log, if somebody asked for it; never what was said."""
    if os.environ.get("DEBUG_CLAUDE_MEMORY_HOOKS", "").strip() in ("", "0"):
        return
    from contextlib import suppress
    from pathlib import Path

    with suppress(OSError, RuntimeError):
        folder = Path(os.environ.get("MEMORY_HOME") or "~/.bethink").expanduser() / "logs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "hooks.log"
        if path.exists() and path.stat().st_size > _MAX_LOG:
            path.replace(path.with_suffix(".1.log"))
        with path.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line[:500]}\n")


_HANDLERS: dict[str, Callable[[_Call], Reply | None]] = {
    "prompt": _Call.on_prompt,
    "tool_failure": _Call.on_failure,
    "session_start": _Call.on_start,
    "stop": _Call.on_capture,
    "subagent_stop": _Call.on_capture,
    "pre_compact": _Call.on_capture,
    "session_end": _Call.on_capture,
}
