"""What is asked of every command alike: which project, JSON or not; and the memories opened accordingly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bethink.errors import InvalidInput
from bethink.front.cli import shown
from bethink.model import Scope

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.service.memories import Memories


@dataclass
class Asked:
    """What stood before the command, and whether the answer is read by a program."""

    project: str | None = None
    as_json: bool = False

    def reset(self) -> None:
        self.project, self.as_json = None, False


#: Of the one command that this process runs.
ASKED = Asked()


def _note_json(value: bool) -> bool:
    ASKED.as_json = value
    return value


Project = Annotated[str | None, typer.Option("-p", "--project", metavar="PROJECT", help="Project, instead of the current folder's.")]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.", is_eager=True, callback=_note_json)]
Id = Annotated[str, typer.Argument(metavar="ID", help="The memory's id, or the beginning of it.")]
Global = Annotated[bool, typer.Option("--global", help="What holds everywhere, and no project.")]
AllProjects = Annotated[bool, typer.Option("--all-projects", help="Every project.")]
Task = Annotated[str | None, typer.Option("--task", help="Task of the project.")]
Category = Annotated[str | None, typer.Option("-c", "--category", help="facts, preferences, decisions, projects, people, …")]
Tags = Annotated[list[str] | None, typer.Option("-t", "--tag", help="Tag; may be repeated.")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Stored at or after: 2026-01-31, or an age such as 30d.")]
Before = Annotated[str | None, typer.Option("--before", metavar="TIME", help="Stored before.")]
Client = Annotated[str | None, typer.Option("--client", help="Machine that stored it.")]
Source = Annotated[str | None, typer.Option("--source", help="What made it: cli, user, import, web, …")]
Session = Annotated[str | None, typer.Option("--session", help="Session in which it was said.")]
Space = Annotated[str | None, typer.Option("--space", metavar="SPACE", help="A space that several people share.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this, only show what would be done.")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=1, max=1_000_000, help="Most to show.")]
Offset = Annotated[int, typer.Option("--offset", min=0, max=2**53, help="How many to skip.")]


def settings_of(project: str | None = None) -> Settings:
    """The settings in force, here."""
    from bethink import config

    return config.load({"MEMORY_PROJECT": project or ASKED.project}, project_root=_root())


@contextmanager
def opened(project: str | None = None, *, embedder: bool = True) -> Iterator[Memories]:
    """The memories, seen from the project that was asked for or that the current folder is in."""
    from bethink import wire
    from bethink.service.core import Writer

    settings = settings_of(project)
    if settings.mode == "http-only":
        from bethink.front.cli.remote import RemoteMemories

        remote = RemoteMemories(wire.peer_of(settings), Scope.of(project_here(settings)), wire.limits_of(settings))
        with remote:
            # It says itself what it cannot do.
            yield cast("Memories", remote)
        return
    writer = Writer(client=settings.client, source="cli")
    with wire.open_memories(settings=settings, project=project_here(settings), writer=writer, with_embedder=embedder) as memories:
        shown.reader(memories.access.principal)
        yield memories


def project_here(settings: Settings) -> str | None:
    from bethink import wire

    try:
        return wire.here(settings)
    except FileNotFoundError:
        # The current folder was removed.
        return None


def place(memories: Memories, project: str | None, is_global: bool, task: str | None = None) -> Scope:
    """Where something is stored: the scope that the options name, else the current project's.

    Raises:
        InvalidInput: the options contradict each other.
    """
    named = project or ASKED.project
    if is_global and (project or task):
        raise InvalidInput("--global excludes -p and --task.", hint="Leave one of them out.")
    if is_global:
        return Scope()
    if named and "/" not in named:
        # The last part of a known project's id means that project, as it does when asking.
        named = (memories.reach(named).projects or (named,))[0]
    return Scope.of(named or memories.here.project, task)


def scope_named(project: str | None, is_global: bool, all_projects: bool) -> str | None:
    """The `scope` field of a question.

    Raises:
        InvalidInput: the options contradict each other.
    """
    if (bool(project) + is_global + all_projects) > 1:
        raise InvalidInput("Only one of -p, --global and --all-projects makes sense.", hint="Leave the others out.")
    return "global" if is_global else "all" if all_projects else None


def _root() -> Path | None:
    """The nearest folder above that is a checkout or has settings."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        return None
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists() or (each / ".bethink.toml").is_file()), None)
