"""The plugin in the real Claude Code: it validates, installs, its hooks speak the dialect, its launcher never blocks.

What runs as `bethink` here is a stand-in of a few lines over the real dialect, so that what Claude Code sends and takes is
tested apart from what the memory does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.assistants import CLAUDE_ALONE
from kit.fake_anthropic import FakeAnthropic, tool
from kit.node import need, with_node

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugin"
RUN = PLUGIN / "bin" / "bethink-run"

pytestmark = [pytest.mark.xdist_group("assistants"), pytest.mark.skipif(os.name == "nt", reason="the launcher is a POSIX script")]

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
from bethink.hosts import dialect, switch
from bethink.hosts.base import Reply

out = Path({out!r})
if sys.argv[1:] == ["mcp"]:
    schema = {{"type": "object", "properties": {{"content": {{"type": "string"}}}}}}
    tools = [{{"name": name, "description": name, "inputSchema": schema}} for name in ("memory_store", "memory_delete")]
    for line in sys.stdin:
        ask = json.loads(line)
        about = {{"capabilities": {{"tools": {{}}}}, "serverInfo": {{"name": "x", "version": "1"}}}}
        answers = {{
            "initialize": {{"protocolVersion": "2025-11-25", **about}},
            "tools/list": {{"tools": tools}},
            "tools/call": {{"content": [{{"type": "text", "text": "CALLED " + str(ask.get("params", {{}}).get("name"))}}]}},
        }}
        if ask.get("method") == "tools/list":
            (out / "server").write_text(os.getcwd())
        if "id" in ask:
            print(json.dumps({{"jsonrpc": "2.0", "id": ask["id"], "result": answers.get(ask["method"], {{}})}}), flush=True)
    sys.exit()
data = sys.stdin.buffer.read()
with (out / "events").open("ab") as file:
    file.write(json.dumps(json.loads(data)).encode() + b"\\n")
host = dialect(sys.argv[2])
event = host.parse(data)
to = switch.asked(event)
if to:
    switch.turn(out / "home", event.session, to)
print(host.format(event, Reply("NOTE-" + event.name + "-" + event.source, True, "switched " + to if to else "")), end="")
"""


@dataclass
class Claude:
    """Claude Code with the plugin installed, in a home of its own."""

    program: Path
    home: Path

    def run(self, *arguments: str, url: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {
            **with_node({"PATH": f"{self.home / 'bin'}:/usr/bin:/bin"}),
            "HOME": str(self.home),
            "CLAUDE_CONFIG_DIR": str(self.home / "config"),
            "MEMORY_HOME": str(self.home / "memory"),
            "ANTHROPIC_BASE_URL": url or "http://127.0.0.1:9",
            "ANTHROPIC_API_KEY": "-".join(("sk", "ant", "dummy")),
            **CLAUDE_ALONE,
        }
        command = [str(self.program), *arguments]
        return subprocess.run(command, env=env, cwd=cwd or self.home / "project", capture_output=True, text=True, timeout=120)

    def ask(self, prompt: str, model: FakeAnthropic, *arguments: str) -> list[dict[str, Any]]:
        """One `claude -p`; the lines of its stream."""
        run = self.run("-p", prompt, "--output-format", "stream-json", "--verbose", *arguments, url=model.url)
        assert run.returncode == 0, run.stdout + run.stderr
        return [json.loads(line) for line in run.stdout.splitlines()]

    def events(self) -> list[dict[str, Any]]:
        """What the hooks were given, in order."""
        path = self.home / "events"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Claude:
    home = tmp_path_factory.mktemp("claude")
    for name in ("bin", "project", "config"):
        (home / name).mkdir()
    stand_in = home / "bin" / "bethink"
    stand_in.write_text(STAND_IN.format(python=sys.executable, out=str(home)))
    stand_in.chmod(0o755)
    return Claude(need("claude"), home)


@pytest.fixture(scope="module")
def installed(bare: Claude) -> Claude:
    """With the plugin installed the way a person does it, from the marketplace in this checkout."""
    for arguments in (["marketplace", "add", str(ROOT)], ["install", "bethink@bethink"]):
        run = bare.run("plugin", *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
    return bare


@pytest.fixture
def claude(installed: Claude) -> Iterator[Claude]:
    yield installed
    for name in ("events", "server"):
        (installed.home / name).unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [PLUGIN, ROOT], ids=["plugin", "marketplace"])
def test_it_validates_strictly(bare: Claude, folder: Path) -> None:
    run = bare.run("plugin", "validate", str(folder), "--strict")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Validation passed" in run.stdout


@pytest.mark.slow
def test_it_installs(installed: Claude) -> None:
    listed = installed.run("plugin", "list")
    assert "bethink@bethink" in listed.stdout
    assert "enabled" in listed.stdout


@pytest.mark.slow
def test_hooks_reach_the_model_and_end_with_the_session(claude: Claude) -> None:
    with FakeAnthropic("hello") as model:
        lines = claude.ask("what is the port?", model)
        assert lines[-1]["result"] == "hello"
        seen = model.seen()
    assert "NOTE-SessionStart-startup" in seen
    assert "NOTE-UserPromptSubmit-" in seen
    assert "NOTE-Stop" not in seen
    names = [event["hook_event_name"] for event in claude.events()]
    assert names == ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"]
    start, prompt, stop, end = claude.events()
    assert len({event["session_id"] for event in (start, prompt, stop, end)}) == 1
    assert stop["last_assistant_message"] == "hello"
    (init,) = [line for line in lines if line.get("subtype") == "init"]
    assert {"name": "plugin:bethink:memory", "status": "connected"}.items() <= init["mcp_servers"][0].items()
    assert "mcp__plugin_bethink_memory__memory_store" in init["tools"]
    assert {"bethink:remember", "bethink:recall", "bethink:memory"} <= set(init["slash_commands"])
    # The server finds the project from its folder.
    assert Path((claude.home / "server").read_text()).samefile(claude.home / "project")


@pytest.mark.slow
def test_a_compaction_is_announced_and_the_session_starts_again(claude: Claude) -> None:
    with FakeAnthropic("hello") as model:
        claude.ask("first prompt", model)
        claude.ask("/compact", model, "--continue")
    names = [(event["hook_event_name"], event.get("source") or event.get("trigger")) for event in claude.events()]
    assert ("PreCompact", "manual") in names
    assert ("PostCompact", "manual") in names
    assert ("SessionStart", "compact") in names
    assert ("SessionStart", "resume") in names


@pytest.mark.slow
def test_commands_carry_their_words(claude: Claude) -> None:
    with FakeAnthropic("ok") as model:
        claude.ask("/bethink:remember deploys go out on Tuesdays", model)
        claude.ask("/recall when do deploys go out", model)
        seen = model.seen()
    assert "What to remember: deploys go out on Tuesdays" in seen
    assert "What to look for: when do deploys go out" in seen


@pytest.mark.slow
@pytest.mark.parametrize("state", ["off", "private", "on"])
def test_the_switch_is_carried_out_by_the_hook(claude: Claude, state: str) -> None:
    from bethink.hosts import switch

    with FakeAnthropic("ok") as model:
        lines = claude.ask(f"/bethink:memory {state}", model)
    assert f"switched {state}" in json.dumps(lines)
    assert switch.state(claude.home / "home", claude.events()[0]["session_id"], {}) == state


@pytest.mark.slow
def test_only_our_harmless_tools_are_approved(claude: Claude) -> None:
    prefix = "mcp__plugin_bethink_memory__"
    script = [tool(f"{prefix}memory_store", content="x"), tool(f"{prefix}memory_delete", content="x"), "done"]
    with FakeAnthropic(script) as model:
        claude.ask("go", model)
        seen = model.seen()
    assert "CALLED memory_store" in seen
    assert "CALLED memory_delete" not in seen
    asked = [event["tool_name"] for event in claude.events() if event["hook_event_name"] == "PermissionRequest"]
    assert asked == [f"{prefix}memory_store"]


@pytest.mark.slow
def test_every_payload_is_understood(claude: Claude) -> None:
    from bethink.hosts import dialect

    with FakeAnthropic([tool("Bash", command="exit 3"), "done"]) as model:
        claude.ask("go", model, "--permission-mode", "bypassPermissions")
    kinds = []
    for payload in claude.events():
        event = dialect("claude").parse(json.dumps(payload).encode())
        assert event is not None
        assert event.cwd
        assert event.transcript_path.endswith(f"{event.session}.jsonl")
        kinds.append(event.event)
    assert kinds == ["session_start", "prompt", "stop", "session_end"]


@pytest.mark.slow
def test_its_transcripts_can_be_read(claude: Claude) -> None:
    from bethink.hosts.transcripts import Turn, reader

    with FakeAnthropic([tool("Bash", command="echo from-the-shell"), "the answer"]) as model:
        claude.ask("a question for the transcript", model, "--permission-mode", "bypassPermissions")
    claude_code = reader("claude-code")
    found = claude_code.discover(env={"CLAUDE_CONFIG_DIR": str(claude.home / "config")})
    turns = [item for file in found for item in claude_code.read(file.path, 0, True) if isinstance(item, Turn)]
    session = claude.events()[0]["session_id"]
    said = [(turn.role, turn.text) for turn in turns if turn.session == session]
    assert said[0] == ("user", "a question for the transcript")
    assert said[-1] == ("assistant", "the answer")
    (call,) = [use for turn in turns if turn.session == session for use in turn.tools]
    assert (call.name, call.is_error) == ("Bash", False)
    assert "from-the-shell" in str(call.result)
    assert not [text for _, text in said if "NOTE-" in text]


# The launcher, without Claude Code.


def launch(tmp_path: Path, *arguments: str, path: str = "/usr/bin:/bin", stdin: str = "{}", **env: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(RUN), *arguments]
    given = {"PATH": path, "HOME": str(tmp_path), "MEMORY_HOME": str(tmp_path / "memory"), **env}
    return subprocess.run(command, env=given, input=stdin, capture_output=True, text=True, timeout=60, cwd=tmp_path)


def programs(folder: Path, **scripts: str) -> str:
    """A PATH with these programs and what the launcher itself uses, but no Python, no uv and no bethink."""
    folder.mkdir(exist_ok=True)
    for name in ("sh", "cat", "find", "mkdir", "rmdir", "rm", "sleep"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


START = '{"hook_event_name":"SessionStart","source":"startup"}'


def test_bethink_on_the_path_is_taken(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", bethink='#!/bin/sh\necho "on path: $*"; cat\n', uvx="#!/bin/sh\necho uvx\n")
    assert launch(tmp_path, "hook", "claude", path=path).stdout == "on path: hook claude\n{}"
    assert launch(tmp_path, "mcp", path=path).stdout == "on path: mcp\n{}"


def test_uvx_serves_and_hooks_use_only_its_cache(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", uvx='#!/bin/sh\ncase "$*" in *--offline*) exit 1;; esac\necho "uvx $*"\n')
    assert launch(tmp_path, "mcp", path=path).stdout == "uvx --quiet --from bethink>=0.1,<1 bethink mcp\n"
    hook = launch(tmp_path, "hook", "claude", path=path, stdin=START)
    assert (hook.returncode, hook.stdout) == (0, "")
    cached = programs(tmp_path / "bin2", uvx='#!/bin/sh\necho "$*"\n')
    assert launch(tmp_path, "hook", "claude", path=cached).stdout == "--offline --quiet --from bethink>=0.1,<1 bethink hook claude\n"


def test_without_anything_hooks_say_so_at_the_start_and_keep_quiet_then(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin")
    start = launch(tmp_path, "hook", "claude", path=path, stdin=START)
    assert start.returncode == 0
    assert "Python 3.11" in json.loads(start.stdout)["systemMessage"]
    prompt = launch(tmp_path, "hook", "claude", path=path, stdin='{"hook_event_name":"UserPromptSubmit"}')
    assert (prompt.returncode, prompt.stdout, prompt.stderr) == (0, "", "")
    server = launch(tmp_path, "mcp", path=path)
    assert server.returncode == 1
    assert "Python 3.11" in server.stderr


def wheel(folder: Path) -> Path:
    """A package that is called bethink and installs without an index."""
    path = folder / "bethink-0.1.0-py3-none-any.whl"
    info = "bethink-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bethink_standin.py", "import sys\ndef main():\n    print('private', *sys.argv[1:])\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bethink\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nbethink = bethink_standin:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_a_private_environment_is_made_once_in_the_background(tmp_path: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / "python3"
    path = programs(tmp_path / "bin", **{"python3.11": f'#!/bin/sh\nexec "{base}" "$@"\n'})
    spec = {"BETHINK_SPEC": str(wheel(tmp_path)), "PIP_NO_INDEX": "1"}
    started = time.monotonic()
    first = launch(tmp_path, "hook", "claude", path=path, stdin=START, **spec)
    waited = time.monotonic() - started
    home = tmp_path / "memory"
    assert first.returncode == 0
    assert "in the background" in json.loads(first.stdout)["systemMessage"]
    # While it is made, prompts go through and nobody starts a second one.
    making = (home / "plugin-env.lock").is_dir()
    prompt = launch(tmp_path, "hook", "claude", path=path, stdin='{"hook_event_name":"UserPromptSubmit"}', **spec)
    assert prompt.returncode == 0
    assert making
    assert waited < 10
    served = launch(tmp_path, "mcp", path=path, **spec)
    assert served.stdout == "private mcp\n", (served.stderr, (home / "plugin-env.log").read_text())
    assert launch(tmp_path, "hook", "claude", path=path, **spec).stdout == "private hook claude\n"
    assert not (home / "plugin-env.lock").exists()


def test_an_environment_that_cannot_be_made_is_not_tried_at_every_prompt(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", **{"python3.11": '#!/bin/sh\n[ "$1" = -c ] && exit 0\necho tried >>"$MEMORY_HOME/tries"; exit 1\n'})
    for _ in range(3):
        assert launch(tmp_path, "hook", "claude", path=path).returncode == 0
        deadline = time.monotonic() + 20
        while (tmp_path / "memory" / "plugin-env.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert (tmp_path / "memory" / "tries").read_text() == "tried\n"
    assert launch(tmp_path, "mcp", path=path).returncode == 1


def test_failure_recall_is_off_unless_asked_for(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", bethink='#!/bin/sh\necho "$*"\n')
    assert launch(tmp_path, "hook", "claude", "on-failure", path=path).stdout == ""
    assert launch(tmp_path, "hook", "claude", "on-failure", path=path, MEMORY_HOOK_ON_FAILURE="1").stdout == "hook claude\n"


def test_the_launcher_passes_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    run = subprocess.run(["shellcheck", str(RUN)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


# The manifests.


def test_both_manifests_say_the_same() -> None:
    from importlib.metadata import version

    ours = json.loads((PLUGIN / ".claude-plugin" / "plugin.json").read_text())
    shared = json.loads((PLUGIN / "plugin.json").read_text())
    assert {key: ours[key] for key in ("name", "version", "description", "license")} == {
        key: shared[key] for key in ("name", "version", "description", "license")
    }
    assert ours["version"] == version("bethink")
    servers = [json.loads((PLUGIN / name).read_text())["mcpServers"] for name in (".mcp.json", "mcp.json")]
    assert [list(server) for server in servers] == [["memory"], ["memory"]]


def test_the_permission_matcher_names_exactly_what_is_approved() -> None:
    from bethink.hosts.base import APPROVED_TOOLS, TOOL_PREFIXES

    (entry,) = json.loads((PLUGIN / "hooks" / "hooks.json").read_text())["hooks"]["PermissionRequest"]
    assert sorted(entry["matcher"].split("|")) == sorted(prefix + name for prefix in TOOL_PREFIXES for name in APPROVED_TOOLS)


def test_skills_have_the_fields_every_assistant_reads() -> None:
    skills = sorted((PLUGIN / "skills").glob("*/SKILL.md"))
    assert [skill.parent.name for skill in skills] == ["forget", "memory-review", "recall", "remember"]
    for skill in skills:
        _, head, body = skill.read_text().split("---\n", 2)
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        assert set(fields) <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
        assert fields["name"] == skill.parent.name
        assert len(fields["description"]) <= 1024
        assert "memory_delete" not in fields["allowed-tools"]
        assert body.strip()
