"""Commands run in this process, each test on a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bethink.front.cli import app
from kit.cli import Add, Run, answered


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a fresh store, outside of any checkout, without a model."""
    monkeypatch.setenv("MEMORY_EMBEDDER", "none")
    monkeypatch.setenv("COLUMNS", "140")
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.chdir(nowhere)
    application = app

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(application, list(arguments), input=input, prog_name="bethink")

    return run


@pytest.fixture
def add(run: Run) -> Add:
    """Stores something; answers its id."""
    return lambda *arguments: str(answered(run("add", *arguments, "--json"))["id"])
