"""The core path in the real Codex CLI, set up by `bethink setup`: what one session stores, the next one knows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bethink.text import MARKER
from kit.assistants import Assistant
from kit.fake_openai import FakeOpenAI, tool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("assistants"),
    pytest.mark.skipif(os.name == "nt", reason="the stand-in for the command is a POSIX script"),
]

PORT = "The staging database listens on port 5433."
ASKED = "On which port does the staging database listen?"


@pytest.fixture
def codex(tmp_path: Path) -> Assistant:
    return Assistant(tmp_path)


def ask(codex: Assistant, prompt: str, model: FakeOpenAI) -> None:
    config = codex.home / ".codex" / "config.toml"
    ours = config.read_text().partition("# the model\n")
    provider = f'[model_providers.scripted]\nname = "x"\nbase_url = "{model.url}"\nwire_api = "responses"\n'
    # The model's two keys come before the first table, the provider after the last.
    head = 'model = "scripted"\nmodel_provider = "scripted"\n'
    config.write_text(head + ours[0].removeprefix(head) + "# the model\n" + provider)
    codex.run("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-hook-trust", prompt)


def test_what_one_session_stores_the_next_one_knows(codex: Assistant) -> None:
    set_up(codex)
    with FakeOpenAI(storing) as model:
        ask(codex, "Remember on which port staging listens.", model)
        assert MARKER not in model.seen()
    with FakeOpenAI("5433") as model:
        ask(codex, ASKED, model)
        assert PORT in model.seen()
    codex.env["MEMORY_CONTEXT_TOKENS"] = "1"
    with FakeOpenAI("5433") as model:
        ask(codex, ASKED, model)
        assert PORT in model.seen()
    with FakeOpenAI("autumn") as model:
        ask(codex, "write a haiku about autumn leaves", model)
        assert MARKER not in model.seen()
    assert [len(ids) for ids in codex.told("prompt")[-2:]] == [1, 0]
    assert any("autumn leaves" in said for said in codex.captured())


@pytest.mark.parametrize("how", ["hanging", "empty", "garbage"])
def test_a_broken_store_holds_up_no_prompt(codex: Assistant, tmp_path: Path, how: str) -> None:
    set_up(codex)
    database = tmp_path / "memory.db"
    if how == "hanging":
        os.mkfifo(database)
    else:
        database.write_bytes(os.urandom(50_000) if how == "garbage" else b"")
    codex.env |= {"MEMORY_DB": str(database), "MEMORY_HOOK_MS": "1500"}
    with FakeOpenAI("the answer") as model:
        ask(codex, ASKED, model)
        assert ASKED in model.seen()


def storing(body: dict[str, Any]) -> Any:
    """Stores as soon as the server is connected, which Codex does not wait for."""
    if any(each.get("name") == "memory_store" for each in body["input"]):
        return "stored"
    if any(each.get("name") == "mcp__bethink" for each in body["tools"]):
        return tool("memory_store", "mcp__bethink", content=PORT)
    return tool("exec_command", cmd="sleep 0.5")


def set_up(codex: Assistant) -> None:
    command = [str(codex.home / "bin" / "bethink"), "setup", "codex", "--yes"]
    done = subprocess.run(command, env=codex.environment(), capture_output=True, text=True, cwd=codex.home)
    assert done.returncode == 0, done.stdout + done.stderr
