"""Import, distil, signals, behave and drain by the clock: a timer of the operating system, one run at a time, a log that stays small."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape

from bethink.errors import Conflict, InvalidInput
from bethink.warm.lock import FileLock

System = Literal["systemd", "launchd", "cron", "windows"]
SYSTEMS: Final = ("systemd", "launchd", "cron", "windows")
NAME: Final = "bethink-intake"
LABEL: Final = "dev.bethink.intake"
_CRON_MARK: Final = "# bethink-intake"
_MAX_LOG_BYTES: Final = 1_000_000
#: Variables that a scheduled run needs as they are here.
_KEPT: Final = ("MEMORY_HOME", "MEMORY_DB", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "OLLAMA_URL", "DISTILL_MODEL", "DISTILL_CLAUDE")


@dataclass(frozen=True, slots=True)
class Job:
    """What runs, and how often."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    minutes: int = 60


def job(home: Path, minutes: int = 60) -> Job:
    """The job for this installation.

    Raises:
        InvalidInput: the interval makes no sense.
    """
    if not 5 <= minutes <= 24 * 60:
        raise InvalidInput(f"Every {minutes} minutes makes no sense.", hint="Choose from 5 to 1440.")
    program = shutil.which("bethink")
    beside = Path(sys.executable).with_name("bethink")
    command = (str(beside),) if beside.exists() else (program,) if program else (sys.executable, "-m", "bethink.front.cli")
    environment = {name: os.environ[name] for name in _KEPT if os.environ.get(name)}
    environment.setdefault("MEMORY_HOME", str(home))
    return Job((*command, "schedule", "run"), environment, minutes)


def here() -> System:
    """The scheduler of this system."""
    if sys.platform == "win32":
        return "windows"
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("systemctl") and Path("/run/systemd/system").is_dir() else "cron"


def files(what: Job, system: System, user_home: Path | None = None) -> dict[Path, str]:
    """Path → content of each file that is installed; none for cron, whose table is one."""
    home = user_home or Path.home()
    if system == "systemd":
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "systemd" / "user"
        return {folder / f"{NAME}.service": _service(what), folder / f"{NAME}.timer": _timer(what)}
    if system == "launchd":
        return {home / "Library" / "LaunchAgents" / f"{LABEL}.plist": _plist(what)}
    if system == "windows":
        return {Path(what.environment["MEMORY_HOME"]) / "run" / f"{NAME}.xml": _task(what)}
    return {}


def _service(what: Job) -> str:
    environment = "".join(f"Environment={_systemd(f'{name}={value}')}\n" for name, value in sorted(what.environment.items()))
    return f"""[Unit]
Description=Bethink: past sessions become memories

[Service]
Type=oneshot
{environment}ExecStart={" ".join(_systemd(part) for part in what.command)}
Nice=15
IOSchedulingClass=idle
TimeoutStartSec=2h
"""


def _timer(what: Job) -> str:
    return f"""[Unit]
Description=Bethink: past sessions become memories, every {what.minutes} minutes

[Timer]
OnStartupSec=5min
OnUnitInactiveSec={what.minutes}min
RandomizedDelaySec=60

[Install]
WantedBy=timers.target
"""


def _systemd(value: str) -> str:
    """A value as systemd reads it: quoted, its own signs doubled."""
    plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", " ")
    return f'"{plain}"'


def _plist(what: Job) -> str:
    content = {
        "Label": LABEL,
        "ProgramArguments": list(what.command),
        "EnvironmentVariables": dict(sorted(what.environment.items())),
        "StartInterval": what.minutes * 60,
        "RunAtLoad": True,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 15,
    }
    return plistlib.dumps(content, sort_keys=False).decode()


def cron_line(what: Job) -> str:
    """The line of the crontab. A percent sign is a line's end there unless it is escaped."""
    hours = min(round(what.minutes / 60), 23)
    when = f"*/{what.minutes} * * * *" if what.minutes < 60 else "0 * * * *" if hours == 1 else f"0 */{hours} * * *"
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(what.environment.items()))
    line = f"{when} {settings} {shlex.join(what.command)} >/dev/null 2>&1 {_CRON_MARK}"
    return line.replace("%", "\\%").replace("\n", " ")


def _task(what: Job) -> str:
    # A task has no environment of its own.
    arguments = subprocess.list2cmdline([*what.command[1:], "--home", what.environment["MEMORY_HOME"]])
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Bethink: past sessions become memories</Description></RegistrationInfo>
  <Triggers><TimeTrigger><Repetition><Interval>PT{what.minutes}M</Interval></Repetition>
    <StartBoundary>2026-01-01T00:00:00</StartBoundary><Enabled>true</Enabled></TimeTrigger></Triggers>
  <Settings><MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy><Priority>9</Priority>
    <StartWhenAvailable>true</StartWhenAvailable><ExecutionTimeLimit>PT2H</ExecutionTimeLimit></Settings>
  <Actions><Exec><Command>{escape(what.command[0])}</Command><Arguments>{escape(arguments)}</Arguments></Exec></Actions>
</Task>
"""


Run = Callable[[Sequence[str], str | None], tuple[int, str]]


def command(arguments: Sequence[str], given: str | None = None) -> tuple[int, str]:
    """Runs a program of the system; its exit code and what it said."""
    try:
        done = subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout + done.stderr


def install(what: Job, system: System, *, run: Run = command, user_home: Path | None = None) -> list[str]:
    """Writes the files and starts the timer; answers what was done.

    Raises:
        Conflict: the scheduler refuses.
    """
    done = []
    for path, content in files(what, system, user_home).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-16" if system == "windows" else "utf-8")
        done.append(f"wrote {path}")
    steps: list[tuple[Sequence[str], str | None]] = []
    if system == "systemd":
        steps = [(("systemctl", "--user", "daemon-reload"), None), (("systemctl", "--user", "enable", "--now", f"{NAME}.timer"), None)]
    elif system == "launchd":
        [path] = files(what, system, user_home)
        target = f"gui/{os.getuid()}" if hasattr(os, "getuid") else "gui/0"
        run(("launchctl", "bootout", f"{target}/{LABEL}"), None)
        steps = [(("launchctl", "bootstrap", target, str(path)), None)]
    elif system == "windows":
        [path] = files(what, system, user_home)
        steps = [(("schtasks", "/Create", "/F", "/TN", NAME, "/XML", str(path)), None)]
    else:
        steps = [(("crontab", "-"), _table(run, cron_line(what)))]
    for arguments, given in steps:
        code, told = run(arguments, given)
        if code:
            raise Conflict(f"{shlex.join(arguments)} failed: {told.strip()[:300]}", hint="The files are written; run the command by hand.")
        done.append("ran " + shlex.join(arguments))
    return done


def remove(what: Job, system: System, *, run: Run = command, user_home: Path | None = None) -> list[str]:
    """Stops the timer and removes its files; what is not there is no error."""
    done = []
    if system == "systemd":
        run(("systemctl", "--user", "disable", "--now", f"{NAME}.timer"), None)
    elif system == "launchd":
        run(("launchctl", "bootout", f"gui/{os.getuid() if hasattr(os, 'getuid') else 0}/{LABEL}"), None)
    elif system == "windows":
        run(("schtasks", "/Delete", "/F", "/TN", NAME), None)
    else:
        code, table = run(("crontab", "-l"), None)
        if not code and _CRON_MARK in table:
            run(("crontab", "-"), _table(run, None))
            done.append("removed the line from the crontab")
    for path in files(what, system, user_home):
        if path.exists():
            path.unlink()
            done.append(f"removed {path}")
    if system == "systemd" and done:
        run(("systemctl", "--user", "daemon-reload"), None)
    return done


def installed(what: Job, system: System, *, run: Run = command, user_home: Path | None = None) -> bool:
    """Whether the timer is there."""
    if system == "cron":
        code, table = run(("crontab", "-l"), None)
        return not code and _CRON_MARK in table
    return any(path.exists() for path in files(what, system, user_home))


def _table(run: Run, line: str | None) -> str:
    """The user's crontab with our line replaced, added or taken out; every other line as it is."""
    code, table = run(("crontab", "-l"), None)
    rest = [each for each in ("" if code else table).splitlines() if _CRON_MARK not in each]
    return "".join(f"{each}\n" for each in [*rest, *([line] if line else [])])


@contextmanager
def alone(home: Path) -> Iterator[bool]:
    """Whether this is the only run; the lock goes with the process, however that ends."""
    path = home / "run" / "intake.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path)
    mine = lock.acquire()
    try:
        yield mine
    finally:
        lock.release()


def log_path(home: Path) -> Path:
    return home / "logs" / "intake.log"


def log(home: Path, line: str) -> None:
    """Appends a line to the log; a large one is turned over once."""
    path = log_path(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_suffix(".1.log"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="replace") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(line.split())}\n")
