"""The MCP front door: `bethink mcp` serves memories to an assistant over stdin and stdout."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bethink.front.mcp import parent as parent  # first: the host may die while the rest is read
from bethink.front.mcp.toolsets import NAMES


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until stdin closes; answers the exit code."""
    options = parser().parse_args(argv)
    if server_named := options.server or os.environ.get("MEMORY_SERVER") or _only_server(options.project):
        return _proxy(server_named, options.tools, options.project)
    from bethink.front.mcp import server
    from bethink.front.mcp.desk import Desk

    verbose = options.verbose or os.environ.get("MEMORY_DEBUG", "") not in ("", "0")
    desk = Desk({"MEMORY_PROJECT": options.project})
    return server.serve(desk, options.tools, verbose=verbose)


def _only_server(project: str | None) -> str | None:
    """The server of http-only mode; None in other modes, and where a setting is wrong, which tools say better."""
    from bethink import config
    from bethink.errors import ConfigError

    try:
        settings = config.load({"MEMORY_PROJECT": project})
    except ConfigError:
        return None
    return str(settings["MEMORY_API_URL"]) if settings.mode == "http-only" else None


def _proxy(server: str, toolset: str, project: str | None) -> int:
    """Passes everything on to a server; opens no store."""
    import sys

    from bethink import config, wire
    from bethink.errors import BethinkError
    from bethink.front.mcp import proxy
    from bethink.model import new_id

    try:
        settings = config.load({"MEMORY_PROJECT": project})
        headers = {"X-Client-ID": settings.client, "X-Session-ID": os.environ.get("CLAUDE_SESSION_ID") or new_id(), "User-Agent": "bethink"}
        if key := settings["MEMORY_API_KEY"]:
            headers["Authorization"] = f"Bearer {key}"
        folder = os.environ.get("CLAUDE_PROJECT_DIR")
        if here := wire.here(settings, Path(folder) if folder else None):
            headers["X-Project-ID"] = here
        return proxy.serve(server, headers, toolset)
    except BethinkError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201  # the host shows it to the person
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """The options of `bethink mcp`."""
    made = argparse.ArgumentParser(prog="bethink mcp", description="Serve memories to an assistant over stdin and stdout (MCP).")
    made.add_argument("--tools", metavar="TOOLSET", choices=NAMES, default="default", help=f"which tools to show: {', '.join(NAMES)}")
    made.add_argument("-p", "--project", help="project to stand in, instead of the one of the working folder")
    made.add_argument("--server", metavar="URL", help="pass everything on to this server's /mcp and open no store (MEMORY_SERVER)")
    made.add_argument("-v", "--verbose", action="store_true", help="say on stderr what goes wrong inside")
    return made
