"""The application: which command is where, and how errors and interruptions end."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from bethink.errors import BethinkError, InvalidInput
from bethink.front import shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import ASKED, Project

#: Command → the module that holds it; one module is imported for one command. The order is that of the help.
COMMANDS = {
    **dict.fromkeys(("add", "import", "edit", "delete", "restore", "purge"), "store"),
    **dict.fromkeys(("recall", "list", "show", "context", "tags", "stats", "export"), "find"),
    **dict.fromkeys(("check", "history", "why", "link", "unlink", "links", "undo", "rollback", "audit"), "truth"),
    **dict.fromkeys(("review", "duplicates", "bulk-delete", "tidy", "entities"), "curate"),
    **dict.fromkeys(("secrets",), "secrets"),
    **dict.fromkeys(("sync", "conflicts"), "sync"),
    **dict.fromkeys(("setup", "session"), "assistants"),
    **dict.fromkeys(("distil", "signals", "behave", "drain", "archive", "preferences", "profile", "schedule"), "learn"),
    **dict.fromkeys(("serve", "migrate"), "serve"),
    **dict.fromkeys(("users", "spaces", "share", "unshare"), "people"),
    **dict.fromkeys(("mcp", "hook", "reindex", "doctor", "project", "backup"), "care"),
}
INTERRUPTED = 130


class Front(TyperGroup):
    """Ends every command alike: errors in words, with a hint and an exit code; interruptions in silence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BethinkError as error:
            raise typer.Exit(_told(error)) from None
        except BrokenPipeError:
            _close_stdout()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            if hasattr(error, "format_message"):
                # The parser's own: the command was written wrongly.
                if not ASKED.as_json:
                    raise
                raise typer.Exit(
                    _told(InvalidInput(error.format_message(), hint="`bethink COMMAND --help` shows what is possible."))
                ) from None
            if os.environ.get("BETHINK_DEBUG", "") not in ("", "0"):
                raise
            raise typer.Exit(_told(_unexpected(error))) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        shown.say(f"bethink {version('bethink')}")
        raise typer.Exit(0)


def begin(
    project: Project = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)] = False,
) -> None:
    """Lasting memory for AI assistants: store, recall, correct, forget."""
    ASKED.project = project


def everything() -> typer.Typer:
    """The application with all commands."""
    return _application(tuple(dict.fromkeys(COMMANDS.values())))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; answers its exit code."""
    _speak_utf8()
    ASKED.reset()
    ASKED.as_json = "--json" in arguments
    module = COMMANDS.get(_command_in(arguments) or "")
    application = _application((module,)) if module else everything()
    try:
        application([_utf8(argument) for argument in arguments], prog_name="bethink")
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        _close_stdout()
    return code


def _application(modules: Sequence[str]) -> typer.Typer:
    application = typer.Typer(
        name="bethink",
        cls=Front,
        callback=begin,
        invoke_without_command=False,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    for name in modules:
        importlib.import_module(f"bethink.front.cli.{name}").register(application)
    return application


def _command_in(arguments: Sequence[str]) -> str | None:
    """The name of the command among the arguments, if one is given before anything unknown."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-p", "--project"):
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
        elif not argument.startswith(("--project=", "-p")):
            return None
    return None


def _told(error: BethinkError) -> int:
    """Says what went wrong: on stdout as JSON where JSON was asked for, else in words on stderr."""
    if ASKED.as_json:
        shown.json(shapes.error(error))
    else:
        shown.complain(error)
    return error.exit_code


def _unexpected(error: Exception) -> BethinkError:
    return BethinkError(f"Unexpected {type(error).__name__}: {error}", hint="BETHINK_DEBUG=1 shows where it happened; please report it.")


def _speak_utf8() -> None:
    """UTF-8 in and out, whatever the locale says; what cannot be written is written as an escape."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape" if stream is sys.stdin else "backslashreplace")


def _utf8(argument: str) -> str:
    """An argument as UTF-8 where the locale took its bytes for something else."""
    if os.name == "nt" or sys.getfilesystemencoding().lower() == "utf-8":
        return argument
    return os.fsencode(argument).decode("utf-8", "surrogateescape")


def _close_stdout() -> None:
    """Points stdout to nowhere, so that the interpreter's last flush has nobody to complain about."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, cast(Any, sys.stdout).fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(nowhere)
