"""What a hook must know of its session from one call to the next: what was shown, what was asked, what to keep.

One small JSON file per session under ``MEMORY_HOME/run/sessions``; nothing is lost for good when it goes.
On the hook path: standard library alone.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bethink.hosts.base import session_key

#: Ids that are remembered as shown; a session that was shown more has forgotten the first itself.
MAX_SEEN = 400
_FORGET_SECONDS = 14 * 86_400
#: A session that was killed left its last prompt behind, as it was said: it is needed for this long at most.
_FORGET_WORDS_SECONDS = 86_400
_MAX_PROMPT = 20_000


class SessionState(NamedTuple):
    """The state of one session."""

    seen: tuple[str, ...] = ()
    #: The last prompt of the person.
    prompt: str = ""
    #: Lines kept before a compaction, to be given back after it.
    kept: tuple[str, ...] = ()
    #: Seconds since 1970 of the last brief.
    briefed: float = 0.0
    #: A compaction was announced and no brief was given since.
    compacted: bool = False


def load(home: Path, session: str) -> SessionState:
    """The state of a session; the empty one when it is new, cannot be read, or has no name."""
    return _read(_path(home, session)) if session else SessionState()


def save(home: Path, session: str, state: SessionState) -> None:
    """Writes the state down; a full disk only makes the session forgetful."""
    if not session:
        return
    path = _path(home, session)
    with suppress(OSError):
        if not path.parent.is_dir():
            for folder in (home, home / "run", path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, state)


def sweep(home: Path) -> None:
    """Removes the state of sessions that ended long ago, and the words of those that did not end as they should."""
    now = time.time()
    with suppress(OSError):
        for path in (home / "run" / "sessions").iterdir():
            with suppress(OSError):
                status = path.stat()
                age = now - status.st_mtime
                if age > _FORGET_SECONDS or (age > _FORGET_WORDS_SECONDS and path.name.startswith(".")):
                    path.unlink()
                elif age > _FORGET_WORDS_SECONDS and ((state := _read(path)).prompt or state.kept):
                    _write(path, state._replace(prompt="", kept=()))
                    os.utime(path, (status.st_atime, status.st_mtime))


def _read(path: Path) -> SessionState:
    try:
        raw: Any = json.loads(path.read_bytes())
        seen, kept = tuple(map(str, raw["seen"])), tuple(map(str, raw["kept"]))
        return SessionState(seen, str(raw["prompt"]), kept, float(raw["briefed"]), raw["compacted"] is True)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return SessionState()


def _write(path: Path, state: SessionState) -> None:
    body = {**state._asdict(), "seen": state.seen[-MAX_SEEN:], "prompt": state.prompt[:_MAX_PROMPT]}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(body, file)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _path(home: Path, session: str) -> Path:
    return home / "run" / "sessions" / f"{session_key(session)}.json"
