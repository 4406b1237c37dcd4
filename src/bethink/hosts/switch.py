"""The switch of one session: on, off (nothing is recalled or learned unasked), private (the tools refuse as well).

It is one small file per session under ``MEMORY_HOME/state/switch``, so that hooks, the server and the command line
agree without a lock. `MEMORY_OFF=1` in the environment is the same as off, `MEMORY_PRIVATE=1` as private.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from bethink.hosts.base import HookEvent, session_key

State = Literal["on", "off", "private"]

STATES: Final[tuple[State, ...]] = ("on", "off", "private")
#: Names under which the command reaches a hook: the plugin's, and its copy among a user's own commands.
_COMMANDS: Final = ("bethink:memory", "memory")
#: A session that has not been touched for so long is over.
_FORGET_SECONDS: Final = 60 * 86_400


def state(home: Path, session: str, env: Mapping[str, str] = os.environ) -> State:
    """How the session stands. No switch means "on"; a switch that cannot be read means "private"."""
    if env.get("MEMORY_PRIVATE", "") not in ("", "0"):
        return "private"
    if env.get("MEMORY_OFF", "") not in ("", "0"):
        return "off"
    try:
        word = _path(home, session).read_text("ascii").strip()
    except FileNotFoundError:
        return "on"
    except (OSError, ValueError):
        return "private"
    return _known(word) or "private"


def turn(home: Path, session: str, to: State) -> None:
    """Put the switch.

    Raises:
        OSError: the home cannot be written.
    """
    path = _path(home, session)
    if to == "on":
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(to, "ascii")
    temporary.replace(path)


def asked(event: HookEvent) -> State | None:
    """The state that the person asks for with ``/bethink:memory off``; None when the event is about something else."""
    if event.event == "prompt":
        words = event.prompt[:200].split()
    elif event.name == "UserPromptExpansion":
        words = [f"/{event.raw.get('command_name')}", *str(event.raw.get("command_args"))[:200].split()]
    else:
        return None
    if len(words) != 2 or words[0][:1] != "/" or words[0][1:] not in _COMMANDS:
        return None
    return _known(words[1].lower())


def sweep(home: Path, now: float | None = None) -> int:
    """Remove the switches of sessions that ended long ago; how many. Never raises for a file that resists."""
    oldest = (time.time() if now is None else now) - _FORGET_SECONDS
    gone = 0
    with suppress(OSError):
        for path in (home / "state" / "switch").iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    gone += 1
    return gone


def _known(word: str) -> State | None:
    return next((known for known in STATES if known == word), None)


def _path(home: Path, session: str) -> Path:
    return home / "state" / "switch" / session_key(session)
