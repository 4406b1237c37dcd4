"""The command line. `main` starts nothing that the command does not need; `app` is the whole of it, for documentation and tests."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Runs the command that the process was started with, and ends the process."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"]:
        # Hooks have a deadline: nothing below may be imported for them.
        from bethink.front.hook import main as hook

        sys.exit(hook(arguments[1:]))
    # NumPy multiplies small matrices here: waking a thread for each core costs more than it saves.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if arguments[:1] == ["mcp"]:
        from bethink.front.mcp import main as serve

        sys.exit(serve(arguments[1:]))
    from bethink.front.cli.commands import run

    sys.exit(run(arguments))


def __getattr__(name: str) -> Any:
    if name == "app":
        from bethink.front.cli.commands import everything

        return everything()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
