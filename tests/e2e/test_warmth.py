"""Several `bethink mcp` on one store share one loaded model, and what one writes is found by meaning through another."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bethink import open_memories
from bethink.intake import spool
from bethink.model import Filter
from bethink.warm.client import ask
from bethink.warm.spot import Spot
from kit.hook import prompt, told
from kit.mcp import Bare

pytestmark = pytest.mark.slow

PORT = "The staging database listens on port 5433."


def until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def has_model(pid: int) -> bool:
    """Whether a process has the runtime of the model in memory."""
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
def spot(home: Path) -> Spot:
    return Spot(home, home / "memory.db")


def begun(server: Bare) -> Bare:
    server.shake()
    server.ask("tools/list")
    return server


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_model_for_all_and_the_next_takes_over(home: Path, spot: Spot) -> None:
    with Bare(home) as first, Bare(home) as second:
        begun(first)
        until(lambda: ask(spot, {"op": "ping"}, 1))
        begun(second)
        assert second.tool("memory_store", content=PORT)
        with open_memories(home / "memory.db", with_embedder=False) as memories:
            until(lambda: not memories.store.pending_vectors(1))
        asked = "how do I reach the pre-production data store?"
        assert second.tool("memory_recall", context=asked)["structuredContent"]["hits"]
        assert has_model(first.process.pid)
        assert not has_model(second.process.pid)
        assert PORT in told(prompt("On which port does the staging database listen?"))
        first.process.kill()
        first.process.wait()
        until(lambda: (ask(spot, {"op": "ping"}, 1) or {}).get("pid") == second.process.pid)
        assert second.tool("memory_recall", context=asked)["structuredContent"]["hits"]
        assert PORT in told(prompt("On which port does the staging database listen?", session_id="after"))
    until(lambda: not spot.taken)


def test_nothing_of_it_holds_up_the_end(home: Path, spot: Spot) -> None:
    with Bare(home) as server:
        begun(server)
        server.close()
        assert server.process.wait(10) == 0
    assert ask(spot, {"op": "ping"}, 0.5) is None


def test_a_private_server_takes_no_part(home: Path, spot: Spot) -> None:
    with Bare(home, env={"MEMORY_PRIVATE": "1"}) as server:
        begun(server)
        assert server.tool("memory_recall", context="anything")["isError"]
        time.sleep(1.5)
        assert not spot.lock.exists()
        assert not (home / "memory.db").exists()


def test_what_hooks_captured_is_taken_in_by_the_server_while_prompts_are_answered(home: Path, spot: Spot) -> None:
    said = "We decided to use PostgreSQL 16 for the billing service."
    for turn in range(60):
        record = {"host": "claude", "event": "stop", "session": "s", "cwd": "/", "project": None, "user": f"{said} Turn {turn}."}
        spool.write(home, {**record, "assistant": f"Noted {turn}.", "transcript_path": "", "agent_id": "", "at": time.time()})
    with Bare(home, env={"OLLAMA_URL": "http://127.0.0.1:9/v1"}) as server:
        begun(server)
        until(lambda: ask(spot, {"op": "ping"}, 1) is not None)
        answered = 0
        while spool.pending(home):
            answered += ask(spot, {"op": "prompt", "prompt": f"Which database does billing use, {answered}?", "budget": 600}, 5) is not None
        assert answered
        with open_memories(home / "memory.db", with_embedder=False) as memories:
            until(lambda: len(list(memories.turns("s"))) == 120)
            found = memories.list(Filter(source="auto-learn", statuses=()))
            assert [(memory.content, memory.status) for memory in found.memories] == [(said, "candidate")]
        assert not spool.failed(home)
