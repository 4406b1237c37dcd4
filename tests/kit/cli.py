"""The command line in tests: what its answers mean, and a checkout to stand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

Run = Callable[..., Result]
Add = Callable[..., str]


def answered(result: Result) -> Any:
    """The JSON that a command printed that went well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def checkout(folder: Path, remote: str) -> Path:
    """As much of a git checkout as tells its project."""
    git = folder / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "config").write_text(f'[remote "origin"]\n\turl = {remote}\n')
    return folder
