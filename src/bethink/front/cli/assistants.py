"""Commands about assistants: setup (write ourselves into their configuration, and out of it), session (switch memory for one)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bethink.errors import BethinkError, InvalidInput, NotFound
from bethink.front import shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import Json, settings_of
from bethink.model import one_of

if TYPE_CHECKING:
    from bethink.hosts.configure import FileChange, Place, ScopeName

BROKEN = 3
#: Variables in which an assistant tells its session to what it starts.
_SESSIONS = ("CLAUDE_CODE_SESSION_ID", "CLAUDE_SESSION_ID")
#: Programs with a window: they see another PATH than a terminal.
_WINDOWED = frozenset(("claude-desktop", "vscode", "cursor"))
#: Where each assistant reads standing instructions, for a person who wants to add ours.
_INSTRUCTIONS = {"claude": "CLAUDE.md", "codex": "AGENTS.md", "gemini": "GEMINI.md", "cursor": "AGENTS.md", "opencode": "AGENTS.md"}
_LINES = (
    "Before work starts, and whenever earlier work may matter, recall with `memory_recall`.",
    "When something is decided, corrected or found out with effort, store it with `memory_store`, one fact at a time.",
)


def register(app: typer.Typer) -> None:
    app.command("setup")(setup)
    app.command("session")(session)


@dataclass
class Outcome:
    """What was found out about, or done to, one assistant."""

    host: str
    label: str
    changes: list[FileChange] = field(default_factory=list)
    written: bool = False
    connected: bool = False
    detail: str = ""
    problem: BethinkError | None = None

    def shape(self) -> dict[str, Any]:
        return {
            "assistant": self.host,
            "name": self.label,
            "connected": self.connected,
            "written": self.written,
            "detail": self.detail,
            "changes": [{"file": str(one.path), "purpose": one.purpose, "diff": one.diff()} for one in self.changes],
            **({"problem": shapes.error(self.problem)} if self.problem else {}),
        }


def setup(
    assistants: Annotated[
        list[str] | None, typer.Argument(metavar="[ASSISTANT]…", help="Only these; else every one that is found.")
    ] = None,
    scope: Annotated[str, typer.Option("--scope", help="user, or project: for everybody who works in this folder.")] = "user",
    yes: Annotated[bool, typer.Option("--yes", help="Write; without this, only show what would be written.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back all that setup wrote, byte for byte.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --undo: also files that were changed since; today's are kept.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Say what is connected, and prove it with a call.")] = False,
    as_json: Json = False,
) -> None:
    """Connect the assistants on this machine: Claude Code, Codex, Gemini, Cursor, opencode, Claude Desktop, VS Code.

    Shows each change as a diff; --yes writes it and keeps a backup. Ends with 3 when something could not be done.

    bethink setup claude codex --yes
    """
    from bethink.hosts import configure

    if undo and check:
        raise InvalidInput("--undo and --check exclude each other.")
    which = _scope(scope)
    place = configure.Place.here(_project_root() if which == "project" else None)
    names = _chosen(assistants or (), place)
    backups = settings_of().home / "setup"
    if undo:
        outcomes = _taken_back(tuple(assistants or configure.LABELS), backups, force=force)
    elif check:
        outcomes = [_examined(host, which, place) for host in names]
    else:
        outcomes = [_set_up(host, which, place, backups, yes) for host in names]
    if as_json:
        shown.json({"scope": which, "assistants": [one.shape() for one in outcomes]})
    else:
        _show(outcomes, wrote=yes, undone=undo, checked=check)
    if any(one.problem for one in outcomes):
        raise typer.Exit(BROKEN)
    if check and not any(one.connected for one in outcomes):
        raise typer.Exit(1)


def _scope(name: str) -> ScopeName:
    chosen = one_of(name.strip().lower(), ("user", "project"), "scope")
    return "project" if chosen == "project" else "user"


def _project_root() -> Path:
    from bethink.project import root_of

    return root_of(Path.cwd()) or Path.cwd()


def _chosen(asked: Sequence[str], place: Place) -> tuple[str, ...]:
    from bethink.hosts import configure

    for name in asked:
        one_of(name, tuple(configure.LABELS), "assistant")
    if asked:
        return tuple(dict.fromkeys(asked))
    found = tuple(each.host for each in configure.detect(place))
    # The desktop program knows no projects.
    return tuple(host for host in found if host != "claude-desktop") if place.project else found


def _command(host: str) -> tuple[str, ...]:
    """How `host` shall start us: by name where a terminal finds us, by path where there is no terminal."""
    on_path = shutil.which("bethink")
    started = Path(sys.argv[0]).absolute()
    if on_path:
        return (on_path,) if host in _WINDOWED else ("bethink",)
    if shutil.which("uvx") and "uv" in started.parts:
        return ("uvx", "bethink")
    if started.name.removesuffix(".exe") == "bethink" and started.exists():
        return (str(started),)
    return ("bethink",)


def _set_up(host: str, scope: ScopeName, place: Place, backups: Path, write: bool) -> Outcome:
    from bethink.hosts import configure

    outcome = Outcome(host, configure.LABELS[host])
    try:
        outcome.changes = configure.plan(host, scope, _command(host), place)
        outcome.connected = not outcome.changes
        if outcome.changes and write:
            configure.apply(outcome.changes, backups / host)
            outcome.written = outcome.connected = True
    except BethinkError as error:
        outcome.problem = error
    except OSError as error:
        outcome.problem = BethinkError(f"{error.filename or host}: {error.strerror}.", hint="Nothing of this assistant was changed.")
    return outcome


def _taken_back(hosts: Sequence[str], backups: Path, *, force: bool) -> list[Outcome]:
    from bethink.hosts import configure

    outcomes = []
    for host in hosts:
        for receipt in configure.receipts(backups / host):
            outcome = Outcome(host, configure.LABELS[host])
            try:
                paths = configure.undo(receipt, force=force)
                outcome.written = True
                outcome.detail = ", ".join(map(str, paths)) or "nothing was left to take back"
            except BethinkError as error:
                outcome.problem = error
            outcomes.append(outcome)
            if outcome.problem:
                # What is older lies beneath what could not be taken back.
                break
    if not outcomes:
        raise NotFound("Setup has written nothing that could be taken back.", hint=f"Receipts would be in {backups}.")
    return outcomes


def _examined(host: str, scope: ScopeName, place: Place) -> Outcome:
    """Whether an assistant knows us, proved by starting what it would start."""
    from bethink.hosts import configure, connected

    outcome = Outcome(host, configure.LABELS[host])
    try:
        entry = connected.entry(host, scope, place)
        if entry is None and host == "claude" and connected.has_plugin(place):
            outcome.connected, outcome.detail = True, "by the plugin"
            return outcome
        if entry is None:
            outcome.detail = "not connected"
            return outcome
        tools = connected.tools_of(entry.command, entry.env, place.project)
        outcome.connected = True
        outcome.detail = f"{' '.join(entry.command)} answers with {len(tools)} tools"
        missing = [change.purpose for change in configure.plan(host, scope, entry.command[:-1], place)]
        if missing:
            outcome.detail += f"; not as setup would write it: {', '.join(missing)}"
        if host == "codex" and (waiting := connected.untrusted_hooks(scope, place)):
            outcome.detail += f"; {waiting} hooks are not trusted yet (start codex, type /hooks)"
    except BethinkError as error:
        outcome.problem = error
    except OSError as error:
        started = " ".join(entry.command) if entry else host
        outcome.problem = BethinkError(f"{started} does not work: {error.strerror or error}.", hint="`bethink setup --yes` writes it anew.")
    return outcome


def _show(outcomes: Sequence[Outcome], *, wrote: bool, undone: bool, checked: bool) -> None:
    if not outcomes:
        shown.say("No assistant was found on this machine. Name one: bethink setup claude")
        return
    for one in outcomes:
        if one.problem:
            shown.say(f"BAD  {one.label}: {shown.clean(one.problem.message)}")
            if one.problem.hint:
                shown.say(f"     {shown.clean(one.problem.hint)}")
        elif undone:
            shown.say(f"{one.label}: taken back: {shown.clean(one.detail)}")
        elif checked:
            shown.say(f"{'ok ' if one.connected else 'no '}  {one.label}: {shown.clean(one.detail)}")
        elif not one.changes:
            shown.say(f"{one.label}: connected already.")
        else:
            shown.say(f"{one.label}: {'written' if one.written else 'would be written'}")
            for change in one.changes:
                shown.say(f"  {change.path} ({change.purpose})")
                for line in change.diff().splitlines():
                    shown.say("    " + shown.clean(line))
    if undone or checked:
        return
    pending = [one for one in outcomes if one.changes and not one.written and not one.problem]
    if pending:
        shown.say("\nNothing was written. Repeat with --yes; `bethink setup --undo` takes it back.")
    if any(one.written for one in outcomes):
        shown.say("\nStart the assistant anew. `bethink setup --check` proves it, `bethink setup --undo` takes it back.")
        if any(one.host == "codex" for one in outcomes):
            shown.say("Codex asks once before it runs hooks: type /hooks there.")
    _suggest(outcomes)


def _suggest(outcomes: Sequence[Outcome]) -> None:
    """Lines for standing instructions; prose is never edited by us."""
    files = dict.fromkeys(_INSTRUCTIONS[one.host] for one in outcomes if one.host in _INSTRUCTIONS and not one.problem)
    if files:
        shown.say(f"\nIf it is too shy, add to {', '.join(files)} (setup leaves these files alone):")
        for line in _LINES:
            shown.say(f"  - {line}")


def session(
    state: Annotated[str | None, typer.Argument(metavar="[on|off|private]", help="How memory shall stand for the session.")] = None,
    id: Annotated[str | None, typer.Option("--session", metavar="ID", help="The session, instead of the one this command runs in.")] = None,
    as_json: Json = False,
) -> None:
    """Switch memory for one session of an assistant: off recalls and captures nothing unasked, private refuses the tools as well.

    Without a state, says how it stands. MEMORY_OFF=1 and MEMORY_PRIVATE=1 do the same for whatever is started with them.
    """
    from bethink.hosts import switch

    home = settings_of().home
    named = id or next((os.environ[name] for name in _SESSIONS if os.environ.get(name)), None)
    if not named:
        raise InvalidInput(
            "This is not a session of an assistant.", hint="Type /bethink:memory off in the assistant, or name the session with --session."
        )
    if state is not None:
        wanted = one_of(state.strip().lower(), switch.STATES, "state")
        switch.turn(home, named, next(known for known in switch.STATES if known == wanted))
    now = switch.state(home, named)
    if as_json:
        shown.json({"session": named, "memory": now})
    else:
        shown.say(f"Memory is {now} for session {shown.clean(named)}.")
