"""MEMORY_SYNC_DISABLE=1 beside a key: everything works on the server, and nothing is kept on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from kit import mcp
from kit.chaos import Chaos
from kit.serve import Serving, free_port

BETHINK = (sys.executable, "-c", "from bethink.front.cli import main; main()")
KEY = "-".join(("a", "key", "for", "tests", "only", "0123456789"))


class Client:
    """The command line of one machine."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.settings = {"MEMORY_HOME": str(home), "MEMORY_EMBEDDER": "none", "NO_PROXY": "127.0.0.1", **settings}
        self.folder = home.parent / f"{home.name}-folder"
        self.folder.mkdir(parents=True)

    def __call__(self, *arguments: str, input: str | None = None) -> tuple[int, Any]:
        done = subprocess.run(
            [*BETHINK, *arguments],
            env={**os.environ, **self.settings},
            input=input,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=120,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()] if "--stdin-jsonl" in arguments else None
        return done.returncode, lines if lines is not None else json.loads(done.stdout)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "server", API_KEYS=json.dumps({"ann": KEY})) as made:
        yield made


def only(url: str, home: Path, key: str = KEY) -> Client:
    return Client(home, MEMORY_API_URL=url, MEMORY_API_KEY=key, MEMORY_SYNC_DISABLE="1")


def form(shape: Any) -> Any:
    """What a shape is made of, without its values."""
    match shape:
        case dict():
            return {name: form(value) for name, value in shape.items() if name != "why"}
        case list():
            return [form(value) for value in shape]
    return None


def session(bethink: Client) -> list[tuple[int, Any]]:
    """A working day on the command line."""
    answers = [
        bethink("add", "Deploys go out on Tuesdays", "-c", "decisions", "-t", "release", "-p", "github.com/acme/shop", "--json"),
        bethink("add", "We like tabs", "-c", "preferences", "--json"),
        bethink("add", "We like spaces", "-c", "nonsense", "--json"),
        bethink("recall", "when do deploys go out", "-p", "shop", "--json"),
        bethink("recall", "tabs", "--mode", "keyword", "--category", "preferences", "--json"),
        bethink("list", "--all-projects", "--json"),
        bethink("list", "-p", "shop", "-t", "release", "--since", "1d", "--json"),
        bethink("context", "-p", "shop", "--json"),
        bethink("tags", "--all-projects", "--json"),
        bethink("tags", "-c", "preferences", "--json"),
        bethink("stats", "--json"),
        bethink("export"),
        bethink(
            "add", "--stdin-jsonl", input='{"content": "one line"}\n{"content": ""}\nnot json\n{"content": "another", "tags": ["a"]}\n'
        ),
        bethink("recall", "--stdin-jsonl", input='{"query": "line"}\n{}\n'),
    ]
    id = answers[1][1]["id"]
    answers += [
        bethink("show", id, "--json"),
        bethink("edit", id, "--content", "We like spaces", "--importance", "0.9", "--json"),
        bethink("edit", id, "--importance", "7", "--json"),
        bethink("edit", id, "--importance", "0.1", "--if-version", "1", "--json"),
        bethink("delete", id, "--json"),
        bethink("list", "--deleted", "--json"),
        bethink("restore", id, "--json"),
        bethink("restore", id, "--json"),
        bethink("purge", id, "--yes", "--json"),
        bethink("show", "no-such-memory", "--json"),
        bethink("list", "--since", "the day after", "--json"),
    ]
    return answers


def test_the_same_answers_and_exit_codes_as_with_a_store_here(server: Serving, tmp_path: Path) -> None:
    remote, local = only(server.url, tmp_path / "remote"), Client(tmp_path / "local")
    for number, (here, there) in enumerate(zip(session(local), session(remote), strict=True)):
        assert there[0] == here[0], (number, here, there)
        wanted, found = form(here[1]), form(there[1])
        if "by_project" in (here[1] if isinstance(here[1], dict) else {}):
            assert here[1]["by_category"] == there[1]["by_category"] and here[1]["by_project"] == there[1]["by_project"]
        elif number == 3:
            assert (
                [hit["content"] for hit in there[1]["hits"]]
                == [hit["content"] for hit in here[1]["hits"]]
                == ["Deploys go out on Tuesdays"]
            )
        else:
            assert found == wanted, (number, here, there)
        if isinstance(here[1], dict) and "code" in here[1]:
            assert there[1]["code"] == here[1]["code"] or there[1]["code"] == "InvalidInput", (number, here, there)
    assert not list((tmp_path / "remote").rglob("*.db")) if (tmp_path / "remote").exists() else True


def test_what_needs_a_store_here_says_so(server: Serving, tmp_path: Path) -> None:
    bethink = only(server.url, tmp_path / "remote")
    for command in (("audit",), ("sync",), ("reindex",)):
        code, told = bethink(*command, "--json")
        assert code == 2 and "http-only" in told["error"] and told["hint"], command
    assert bethink("sync", "--status", "--json")[1]["mode"] == "http-only"
    code, told = bethink("doctor", "--json")
    assert code == 0 and told["mode"] == "http-only" and told["server"]["user"] == "ann"
    assert only(server.url, tmp_path / "wrong", key="wrong")("list", "--json")[1]["code"] == "Unauthorized"
    code, told = only(f"http://127.0.0.1:{free_port()}", tmp_path / "away")("list", "--json")
    assert code == 3 and "cannot be reached" in told["error"]


def test_the_tools_work_on_the_server(server: Serving, tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def talk() -> None:
        env = {"CLAUDE_MEMORY_API_URL": server.url, "CLAUDE_MEMORY_API_KEY": KEY, "MEMORY_SYNC_DISABLE": "1"}
        async with mcp.client(home, env=env) as client:
            stored = await client.call_tool("memory_store", {"content": "the port is 8420"})
            assert not stored.is_error and stored.structured_content is not None
            assert server.ask("GET", f"/api/memories/{stored.structured_content['id']}", key=KEY)[1]["content"] == "the port is 8420"

    anyio.run(talk)
    assert not list(home.rglob("*.db")) if home.exists() else True


def test_no_secret_is_seen_on_a_plain_wire(server: Serving, tmp_path: Path) -> None:
    canary = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    chaos = Chaos(server.port, rate=0.0)
    try:
        bethink = only(chaos.url, tmp_path / "remote")
        id = bethink("add", "harmless", "--json")[1]["id"]
        for command in (
            ("add", f"the deploy token is {canary}"),
            ("add", "harmless as well", "-k", canary),
            ("edit", id, "--content", f"the deploy token is {canary}"),
            ("add", f"{canary} and the rest", "--sensitive"),
        ):
            code, told = bethink(*command, "--json")
            assert (code, told["code"]) == (2, "Forbidden")
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "memory_store", "arguments": {"content": f"key {canary}"}},
        }
        opened = {**call, "id": 2, "params": {"name": "secret_get", "arguments": {"id": id}}}
        lines = "\n".join(json.dumps(one) for one in (call, opened)) + "\n"
        env = mcp.environment(tmp_path / "mcp", **bethink.settings)
        done = subprocess.run([*mcp.COMMAND], input=lines.encode(), capture_output=True, env=env, timeout=60)
        answers = [json.loads(line)["result"] for line in done.stdout.splitlines()]
        assert [answer["isError"] for answer in answers] == [True, True] and b"https" in done.stdout
        assert b"harmless" in chaos.heard and canary.encode() not in chaos.heard
    finally:
        chaos.close()


def test_hooks_neither_wait_for_the_server_nor_write(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, **only("http://127.0.0.1:9", home / "x").settings, "MEMORY_HOME": str(home)}
    for name, more in (
        ("UserPromptSubmit", {"prompt": "what is the port?"}),
        ("Stop", {"last_assistant_message": "It is 8420."}),
        ("SessionStart", {}),
    ):
        event = {"hook_event_name": name, "session_id": "s", "cwd": str(tmp_path), **more}
        done = subprocess.run([*BETHINK, "hook", "claude"], input=json.dumps(event).encode(), env=env, capture_output=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not list((home / "spool").rglob("*")) and not list(home.rglob("*.db"))
