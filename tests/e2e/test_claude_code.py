"""The moment that matters: the real Claude Code, the real plugin and the real Bethink; only the model is scripted.

What a session stores is in the request that reaches the model in another process; a compaction does not lose it; what has nothing to do
with it is left alone; and a store that is broken in any way holds up no prompt.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bethink import open_memories
from bethink.text import MARKER
from kit.assistants import ClaudeCode
from kit.fake_anthropic import FakeAnthropic, tool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("assistants"),
    pytest.mark.skipif(os.name == "nt", reason="the launcher is a POSIX script"),
]

STORE = "mcp__plugin_bethink_memory__memory_store"
PORT = "The staging database listens on port 5433."
ASKED = "On which port does the staging database listen?"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> ClaudeCode:
    claude = ClaudeCode(tmp_path_factory.mktemp("claude"))
    claude.install()
    return claude


@pytest.fixture
def claude(installed: ClaudeCode) -> Iterator[ClaudeCode]:
    """With an empty memory."""
    shutil.rmtree(installed.memory, ignore_errors=True)
    yield installed
    for name in ("MEMORY_DB", "MEMORY_PRIVATE"):
        installed.env.pop(name, None)


def told(model: FakeAnthropic) -> list[str]:
    """The fences in what the model was sent."""
    return [part.split("\\n")[0] for part in model.seen().split(f"<{MARKER} ")[1:]]


def test_what_one_session_stores_the_next_one_knows(claude: ClaudeCode) -> None:
    with FakeAnthropic([tool(STORE, content=PORT), "stored"]) as model:
        lines = claude.ask("Remember on which port staging listens.", model)
        assert lines[-1]["result"] == "stored"
        # Nobody was there to allow it: the hook did.
        assert contents(claude) == [PORT]
        assert told(model) == []
    with FakeAnthropic("5433") as model:
        claude.ask(ASKED, model)
        assert PORT in model.seen()
        assert told(model)
    (brief, *_), (prompt, *_) = claude.told("session_start")[1:], claude.told("prompt")[1:]
    # The brief told it already, so the prompt's recall does not.
    assert len(brief) == 1
    assert prompt == []
    # Both turns were captured, with what the person said.
    assert any(ASKED in said for said in claude.captured())


def test_a_prompt_recalls_what_the_brief_left_out(claude: ClaudeCode) -> None:
    with FakeAnthropic([tool(STORE, content=PORT), "stored"]) as model:
        claude.ask("Remember on which port staging listens.", model)
    claude.env["MEMORY_CONTEXT_TOKENS"] = "1"
    try:
        with FakeAnthropic("5433") as model:
            claude.ask(ASKED, model)
            assert PORT in model.seen()
            assert 'for=\\"prompt\\"' in model.seen()
        with FakeAnthropic("autumn") as model:
            claude.ask("write a haiku about autumn leaves", model)
            assert PORT not in model.seen()
            assert told(model) == []
    finally:
        del claude.env["MEMORY_CONTEXT_TOKENS"]
    assert [len(ids) for ids in claude.told("prompt")[-2:]] == [1, 0]


def test_a_compaction_does_not_lose_it(claude: ClaudeCode) -> None:
    with FakeAnthropic([tool(STORE, content=PORT), "We decided to keep byte offsets per file."]) as model:
        claude.ask("Remember on which port staging listens.", model)
    with FakeAnthropic("A summary that says nothing of it.") as model:
        claude.ask("/compact", model, "--continue")
    with FakeAnthropic("ok") as model:
        claude.ask("go on", model, "--continue")
        last = str(model.requests[-1])
        assert "A summary that says nothing" in last
        assert PORT in last
        assert "keep byte offsets per file" in last


def test_a_private_session_neither_reads_nor_writes(claude: ClaudeCode) -> None:
    with FakeAnthropic([tool(STORE, content=PORT), "stored"]) as model:
        claude.ask("Remember on which port staging listens.", model)
    before = sorted(claude.captured())
    claude.env["MEMORY_PRIVATE"] = "1"
    with FakeAnthropic([tool(STORE, content="Nobody shall know this."), "ok"]) as model:
        claude.ask(ASKED, model, "--permission-mode", "bypassPermissions")
        assert PORT not in model.seen()
        assert "private" in model.seen()
    assert sorted(claude.captured()) == before
    assert contents(claude) == [PORT]


def contents(claude: ClaudeCode) -> list[str]:
    with open_memories(claude.memory / "memory.db", with_embedder=False) as memories:
        return [memory.content for memory in memories.export()]


def broken(path: Path, how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match how:
        case "hanging":
            os.mkfifo(path)
        case "deleted":
            pass
        case "empty":
            path.touch()
        case "garbage":
            path.write_bytes(os.urandom(50_000))


@pytest.mark.parametrize("how", ["hanging", "deleted", "empty", "garbage"])
def test_a_broken_store_holds_up_no_prompt(claude: ClaudeCode, tmp_path: Path, how: str) -> None:
    database = tmp_path / "store" / "memory.db"
    broken(database, how)
    claude.env |= {"MEMORY_DB": str(database), "MEMORY_HOOK_MS": "1500"}
    try:
        with FakeAnthropic("the answer") as model:
            lines = claude.ask(ASKED, model)
            assert lines[-1]["result"] == "the answer"
            assert ASKED in model.seen()
    finally:
        claude.env.pop("MEMORY_HOOK_MS")
    complaints = [line for line in lines if "hook" in str(line.get("subtype")) and line.get("exit_code", 0) != 0]
    assert complaints == []
