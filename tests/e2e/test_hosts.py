"""The real programs of other assistants, set up by our own writers: connected, hooked, and their transcripts read.

As in `test_plugin`, `bethink` is a stand-in of a few lines over the real dialects.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bethink.hosts.configure import Place, apply, plan, undo
from bethink.hosts.transcripts import Turn, reader
from kit.fake_openai import FakeOpenAI, tool
from kit.node import need, with_node

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("assistants"),
    pytest.mark.skipif(os.name == "nt", reason="the stand-in is a POSIX script"),
]

STAND_IN = """#!{python}
import json, sys
from pathlib import Path
if sys.argv[1:] == ["mcp"]:
    schema = {{"type": "object", "properties": {{"content": {{"type": "string"}}}}}}
    for line in sys.stdin:
        ask = json.loads(line)
        params = ask.get("params") or {{}}
        about = {{"capabilities": {{"tools": {{}}}}, "serverInfo": {{"name": "x", "version": "1"}}}}
        answers = {{
            "initialize": {{"protocolVersion": params.get("protocolVersion"), **about}},
            "tools/list": {{"tools": [{{"name": "memory_store", "description": "store", "inputSchema": schema}}]}},
            "tools/call": {{"content": [{{"type": "text", "text": "CALLED " + str(params.get("name"))}}]}},
        }}
        if "id" in ask:
            print(json.dumps({{"jsonrpc": "2.0", "id": ask["id"], "result": answers.get(ask["method"], {{}})}}), flush=True)
    sys.exit()
from bethink.hosts import dialect
from bethink.hosts.base import Reply
data = sys.stdin.buffer.read()
with Path({out!r}).open("ab") as file:
    file.write(json.dumps([sys.argv[2], json.loads(data)]).encode() + b"\\n")
host = dialect(sys.argv[2])
event = host.parse(data)
print(host.format(event, Reply("NOTE-" + event.name, True)), end="")
"""


@dataclass
class Machine:
    """A user's home with the stand-in on PATH."""

    home: Path

    @property
    def place(self) -> Place:
        return Place(self.home, self.home / "project", {"PATH": ""}, "linux")

    def setup(self, host: str) -> None:
        apply(plan(host, place=self.place), self.home / "backups")

    def run(self, host: str, *arguments: str, **env: str) -> str:
        """What the program of `host` prints, on either stream."""
        given = {**with_node({"PATH": f"{self.home / 'bin'}:/usr/bin:/bin"}), "HOME": str(self.home), **env}
        command = [str(need(host)), *arguments]
        run = subprocess.run(
            command, env=given, cwd=self.home / "project", capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    def events(self) -> list[list[object]]:
        return [json.loads(line) for line in (self.home / "events").read_text().splitlines()]

    def turns(self, kind: str) -> list[Turn]:
        files = reader(kind).discover(self.home, {})
        return [item for file in files for item in reader(kind).read(file.path, 0, True) if isinstance(item, Turn)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("bin", "project"):
        (tmp_path / name).mkdir()
    stand_in = tmp_path / "bin" / "bethink"
    stand_in.write_text(STAND_IN.format(python=sys.executable, out=str(tmp_path / "events")))
    stand_in.chmod(0o755)
    return Machine(tmp_path)


def test_claude_code_connects(machine: Machine) -> None:
    machine.setup("claude")
    assert "Connected" in machine.run("claude", "mcp", "list", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1")


def test_gemini_connects(machine: Machine) -> None:
    machine.setup("gemini")
    assert "Connected" in machine.run("gemini", "mcp", "list", GEMINI_CLI_TRUST_WORKSPACE="true")


def test_codex_from_setup_to_transcript(machine: Machine) -> None:
    machine.setup("codex")
    config = machine.home / ".codex" / "config.toml"
    with FakeOpenAI([tool("memory_store", "mcp__bethink", content="x"), "the answer"]) as model:
        provider = f'\n[model_providers.scripted]\nname = "x"\nbase_url = "{model.url}"\nwire_api = "responses"\n'
        config.write_text('model = "scripted"\nmodel_provider = "scripted"\n' + config.read_text() + provider)
        machine.run("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-hook-trust", "which port?")
        seen = model.seen()
    assert "NOTE-SessionStart" in seen
    assert "NOTE-UserPromptSubmit" in seen
    assert "CALLED memory_store" in seen
    names = [payload["hook_event_name"] for _, payload in machine.events() if isinstance(payload, dict)]
    assert names[:4] == ["SessionStart", "UserPromptSubmit", "PermissionRequest", "Stop"]
    turns = machine.turns("codex")
    assert [(turn.role, turn.text) for turn in turns] == [("user", "which port?"), ("assistant", ""), ("assistant", "the answer")]
    assert turns[1].tools[0].name == "memory_store"
    assert {turn.cwd for turn in turns} == {str(machine.home / "project")}


def test_opencode_from_setup_to_transcript(machine: Machine) -> None:
    machine.setup("opencode")
    config = machine.home / ".config" / "opencode" / "opencode.json"
    assert "connected" in machine.run("opencode", "mcp", "list")
    with FakeOpenAI("the answer") as model:
        options = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": model.url, "apiKey": "x"}, "models": {"scripted": {}}}
        settings = {**json.loads(config.read_text()), "provider": {"scripted": options}}
        config.write_text(json.dumps({**settings, "model": "scripted/scripted", "small_model": "scripted/scripted"}))
        machine.run("opencode", "run", "port?", OPENCODE_DISABLE_AUTOUPDATE="1", OPENCODE_DISABLE_MODELS_FETCH="1")
        seen = model.seen()
    assert "NOTE-session_start" in seen
    assert "NOTE-prompt" in seen
    payloads = [payload for _, payload in machine.events() if isinstance(payload, dict)]
    assert [payload["event"] for payload in payloads] == ["session_start", "prompt", "stop"]
    assert (payloads[2]["prompt"], payloads[2]["last_assistant_message"]) == ("port?", "the answer")
    assert [(turn.role, turn.text) for turn in machine.turns("opencode")] == [("user", "port?"), ("assistant", "the answer")]


def test_taken_back_nothing_is_left(machine: Machine) -> None:
    before = sorted(machine.home.rglob("*"))
    made = [apply(plan(host, place=machine.place), machine.home.parent / "backups") for host in ("claude", "codex", "gemini", "opencode")]
    for receipt in reversed(made):
        undo(receipt)
    assert sorted(machine.home.rglob("*")) == before
