"""The MCP front door: `bethink mcp` serves memories to an assistant over stdin and stdout."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from bethink.front.mcp.toolsets import NAMES


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until stdin closes; answers the exit code."""
    options = parser().parse_args(argv)
    from bethink.front.mcp import server
    from bethink.front.mcp.desk import Desk

    verbose = options.verbose or os.environ.get("MEMORY_DEBUG", "") not in ("", "0")
    desk = Desk({"MEMORY_PROJECT": options.project})
    return server.serve(desk, options.tools, verbose=verbose)


def parser() -> argparse.ArgumentParser:
    """The options of `bethink mcp`."""
    made = argparse.ArgumentParser(prog="bethink mcp", description="Serve memories to an assistant over stdin and stdout (MCP).")
    made.add_argument("--tools", metavar="TOOLSET", choices=NAMES, default="default", help=f"which tools to show: {', '.join(NAMES)}")
    made.add_argument("-p", "--project", help="project to stand in, instead of the one of the working folder")
    made.add_argument("-v", "--verbose", action="store_true", help="say on stderr what goes wrong inside")
    return made
