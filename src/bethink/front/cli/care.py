"""Commands about the installation: mcp, hook, reindex, doctor, project, backup."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bethink.errors import EmbedderUnavailable, InvalidInput
from bethink.front.cli import shown
from bethink.front.cli.asked import ASKED, Json, Project, opened, project_here, settings_of
from bethink.service.memories import Memories
from bethink.stores.base import FileStore


def register(app: typer.Typer) -> None:
    for command in (mcp, hook, reindex, doctor, project, backup):
        app.command(command.__name__)(command)


def mcp(
    tools: Annotated[str, typer.Option("--tools", metavar="TOOLSET", help="Which tools to show.")] = "default",
    server: Annotated[str | None, typer.Option("--server", metavar="URL", help="Pass everything on to a server; open no store.")] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say on stderr what goes wrong inside.")] = False,
    project: Project = None,
) -> None:
    """Serve memories to an assistant over stdin and stdout (MCP). Ends when stdin closes."""
    from bethink.front.mcp import main

    named = project or ASKED.project
    arguments = ["--tools", tools, *(["-v"] if verbose else []), *(["-p", named] if named else [])]
    arguments += ["--server", server] if server else []
    raise typer.Exit(main(arguments))


def hook(assistant: Annotated[str, typer.Argument(metavar="ASSISTANT", help="claude, codex, gemini, cursor or opencode.")]) -> None:
    """Answer one event of an assistant, read from stdin. Always ends with 0, and in time."""
    from bethink.front.hook import main

    raise typer.Exit(main([assistant]))


def reindex(project: Project = None, as_json: Json = False) -> None:
    """Make the vectors that are missing, or all of them after a change of the embedder.

    May be interrupted at any time; the next run goes on where it ended.
    """
    from bethink.service import indexing

    with opened(project) as memories:
        if memories.embedder is None:
            raise EmbedderUnavailable("There is no embedder.", hint="MEMORY_EMBEDDER is none: set it to onnx, openai, ollama or tei.")
        with _progress(memories) as progress:
            done = indexing.reindex(memories.store, memories.embedder, progress=progress)
        waiting = memories.stats()["pending_vectors"]
    if as_json:
        shown.json({"embedded": done, "pending_vectors": waiting})
    else:
        shown.say(f"Embedded {done:,} memories" + (f"; {waiting:,} still wait." if waiting else ". Nothing waits."))


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Check the whole file, however large.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Examine the installation: a write and a read, the store, the embedder, the seal, every setting.

    Ends with 3 when something is broken.
    """
    from bethink.front.cli import doctor as examination

    report = examination.examine(project, full=full)
    if as_json:
        shown.json(report.shape())
    else:
        report.show()
    if not report.ok:
        raise typer.Exit(examination.BROKEN)


def project(project: Project = None, as_json: Json = False) -> None:
    """Print the project of the current folder, and how it was found."""
    settings = settings_of(project)
    found = project_here(settings)
    if settings["MEMORY_PROJECT"]:
        by = f"MEMORY_PROJECT ({settings.origins['MEMORY_PROJECT']})"
    elif found is None:
        by = "not in a git checkout"
    else:
        by = "git root" if Path(found).is_absolute() else "git remote"
    if as_json:
        shown.json({"project": found, "found_by": by, "scope": "project" if found else "global"})
    else:
        shown.say(f"{shown.clean(found) if found else 'none: what is stored here is global'}  ({by})")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to copy it to; must not exist.")],
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Copy the whole store to a file, consistently, while others may write.

    To restore it, put it where `bethink doctor` says the store is. Keys of sealed secrets are not in it.
    """
    file = file.expanduser()
    if file.exists():
        raise InvalidInput(f"{file} exists.", hint="Name a file that does not exist yet.")
    if not file.parent.is_dir():
        raise InvalidInput(f"There is no folder {file.parent}.", hint="Make it first.")
    with opened(project, embedder=False) as memories:
        if not isinstance(memories.store, FileStore):
            raise InvalidInput("This store is not a file.", hint="Use the database's own backup.")
        # Made empty and private first: it holds what the store holds.
        file.touch(mode=0o600, exist_ok=False)
        try:
            memories.store.backup(file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    size = file.stat().st_size
    if as_json:
        shown.json({"file": str(file.absolute()), "bytes": size})
    else:
        shown.say(f"Copied to {shown.clean(str(file))} ({size:,} bytes).")


@contextmanager
def _progress(memories: Memories) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress("Embedding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("embedding", total=None)
        total = 0

        def step(done: int) -> None:
            nonlocal total
            if not total:
                # What waits is known only now: another embedder means that everything does.
                total = done + int(memories.stats()["pending_vectors"])
            bar.update(task, completed=done, total=max(total, done))

        yield step
