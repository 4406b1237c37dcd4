"""The server under programs that others wrote to look at servers: the inspector over stdio, the conformance suite."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bethink.front.mcp import server, toolsets
from bethink.front.mcp.desk import Desk
from kit.mcp import COMMAND, environment
from kit.node import need, with_node

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("assistants")]

#: Scenarios about any server; the others call tools and resources of a fixed example server.
GENERIC = ("server-initialize", "ping", "tools-list", "resources-list", "prompts-list")


#: How the inspector's command line ends when a tool answered with an error.
TOOL_ERROR = 5


def inspect(home: Path, *arguments: str, code: int = 0) -> Any:
    """What the inspector's command line prints about our server over stdio."""
    program = need("mcp-inspector")
    command = [str(program), "--cli", *COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=with_node(environment(home)), cwd=home.parent, timeout=120)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_the_inspector_lists_and_calls(home: Path) -> None:
    listed = inspect(home, "--method", "tools/list")
    assert [tool["name"] for tool in listed["tools"]] == [tool.name for tool in toolsets.named("default")]
    assert all(tool["annotations"]["openWorldHint"] is False for tool in listed["tools"])
    call = ("--method", "tools/call", "--tool-name")
    stored = inspect(home, *call, "memory_store", "--tool-arg", "content=The kettle is descaled in March", "--tool-arg", "tags=kitchen,tea")
    assert stored["structuredContent"]["action"] == "added"
    found = inspect(home, *call, "memory_recall", "--tool-arg", "context=kettle descaled", "--tool-arg", "limit=3")
    assert found["structuredContent"]["hits"][0]["tags"] == ["kitchen", "tea"]
    wrong = inspect(home, *call, "memory_get", "--tool-arg", "id=nobody", code=TOOL_ERROR)
    assert wrong["isError"] is True
    assert inspect(home, "--method", "resources/list")["resources"][0]["uri"] == "memory://context"
    assert {one["name"] for one in inspect(home, "--method", "prompts/list")["prompts"]} == {"remember", "recall"}


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """The very server object over HTTP, which is all that the suite speaks."""
    desk = Desk({"MEMORY_EMBEDDER": "none"})
    app = server.MemoryServer(desk, toolsets.named("default")).streamable_http_app()
    web = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    while not web.started:
        time.sleep(0.02)
    port = web.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/mcp"
    web.should_exit = True
    thread.join(10)
    desk.close()


@pytest.mark.parametrize("scenario", GENERIC)
def test_conformance(address: str, scenario: str, tmp_path: Path) -> None:
    program = need("conformance")
    listed = subprocess.run([str(program), "list"], capture_output=True, text=True, env=with_node(os.environ), timeout=60).stdout
    if scenario not in listed:
        pytest.skip(f"this version of the suite has no scenario {scenario}")
    command = [str(program), "server", "--url", address, "--scenario", scenario, "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=with_node(os.environ), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
