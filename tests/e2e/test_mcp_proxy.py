"""`bethink mcp --server`: an assistant that speaks only stdio, and a server's memories."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from kit import mcp
from kit.serve import Serving, free_port

pytestmark = pytest.mark.slow
KEY = "test" + "-key-of-the-proxy"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "server", API_KEY=KEY) as made:
        yield made


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_same_tools_and_no_store_of_its_own(server: Serving, tmp_path: Path, mode: str) -> None:
    home = tmp_path / "client"

    async def talk() -> None:
        env = {"MEMORY_SERVER": server.url, "MEMORY_API_KEY": KEY, "MEMORY_CLIENT_ID": "laptop", "MEMORY_PROJECT": "projekt-日本"}
        async with mcp.client(home, mode=mode, env=env) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert {"memory_store", "memory_recall", "secret_get"} <= set(names)
            stored = await client.call_tool("memory_store", {"content": "the proxy's port is 8420 日本 😀"})
            assert not stored.is_error and stored.structured_content is not None
            id = stored.structured_content["id"]
            found = await client.call_tool("memory_recall", {"context": "which port has the proxy?"})
            assert id in found.content[0].text
            failed = await client.call_tool("memory_get", {"id": "no-such-memory"})
            assert failed.is_error
            status, memory = server.ask("GET", f"/api/memories/{id}", key=KEY)
            assert (status, memory["client"], memory["source"]) == (200, "laptop", "assistant")
            assert memory["project"] == "projekt-日本"

    anyio.run(talk)
    assert not list(home.rglob("*.db")) if home.exists() else True


def test_a_server_that_is_away_is_an_answer(tmp_path: Path) -> None:
    lines = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"memory_count","arguments":{}}}\nnot json\n'
    env = mcp.environment(tmp_path / "home")
    command = [*mcp.COMMAND, "--server", f"http://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, input=lines, capture_output=True, env=env, timeout=30)
    answers = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert answers[1]["result"]["isError"] and "cannot be reached" in answers[1]["result"]["content"][0]["text"]
    assert answers[None]["error"]["code"] == -32700


def test_a_wrong_key_is_said_to_the_model(server: Serving, tmp_path: Path) -> None:
    line = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"memory_count","arguments":{}}}\n'
    env = mcp.environment(tmp_path / "home", MEMORY_API_KEY="wrong")
    done = subprocess.run([*mcp.COMMAND, "--server", server.url], input=line, capture_output=True, env=env, timeout=30)
    assert done.returncode == 0
    assert b'"id": 7' in done.stdout and b'"isError": true' in done.stdout and b"401" in done.stdout
