"""The running server under programs that others wrote to look at MCP servers: the conformance suite, the inspector."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.node import need, with_node
from kit.serve import Serving

pytestmark = pytest.mark.slow
#: Those that need no tools of the suite's own. The server keeps no sessions, so that there is no stream to resume.
SCENARIOS = ("server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection")
KEY = "test" + "-key-of-the-suites"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("open")) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_conformance(server: Serving, scenario: str, tmp_path: Path) -> None:
    command = [str(need("conformance")), "server", "--url", f"{server.url}/mcp", "--scenario", scenario, "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=with_node(os.environ), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_inspector_lists_and_calls(tmp_path: Path) -> None:
    with Serving(tmp_path, API_KEY=KEY) as server:
        base = [str(need("mcp-inspector")), "--cli", f"{server.url}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {KEY}"]

        def asked(*more: str) -> dict[str, object]:
            done = subprocess.run([*base, *more], capture_output=True, text=True, env=with_node(os.environ), timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            shape: dict[str, object] = json.loads(done.stdout)
            return shape

        assert "memory_recall" in json.dumps(asked("--method", "tools/list"))
        asked("--method", "tools/call", "--tool-name", "memory_store", "--tool-arg", "content=the inspector was here")
        found = asked("--method", "tools/call", "--tool-name", "memory_recall", "--tool-arg", "context=who was here?")
        assert "the inspector was here" in json.dumps(found)
