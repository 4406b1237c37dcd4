"""`setup` and `session` in this process, on a home of their own with programs that are only names."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bethink.intake import injections
from kit.cli import Run, answered

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are POSIX scripts")

SERVER = f"""#!{sys.executable}
from bethink.front.cli import main
main()
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with bethink, claude and codex on PATH."""
    user = tmp_path / "user"
    for name, text in (("bethink", SERVER), ("claude", "#!/bin/sh\n"), ("codex", "#!/bin/sh\n")):
        path = user / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (user / ".codex").mkdir()
    (user / ".codex" / "config.toml").write_text('model = "x" # mine\n')
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("PATH", f"{user / 'bin'}:/usr/bin:/bin")
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "CLAUDE_CODE_SESSION_ID", "CLAUDE_SESSION_ID"):
        monkeypatch.delenv(name, raising=False)
    return user


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_shows_first_writes_then_and_takes_it_back(run: Run, user: Path) -> None:
    before = files(user)
    shown = run("setup")
    assert shown.exit_code == 0, shown.output
    assert "+[mcp_servers.bethink]" in shown.output
    assert "Repeat with --yes" in shown.output
    assert "CLAUDE.md" in shown.output
    assert files(user) == before
    written = answered(run("setup", "--yes", "--json"))
    assert {one["assistant"]: one["written"] for one in written["assistants"]} == {"claude": True, "codex": True}
    assert "# mine" in (user / ".codex" / "config.toml").read_text()
    assert json.loads((user / ".claude.json").read_text())["mcpServers"]["bethink"]["command"] == "bethink"
    assert "connected already" in run("setup").output
    undone = run("setup", "--undo")
    assert undone.exit_code == 0, undone.output
    assert files(user) == before
    assert run("setup", "--undo").exit_code == 1


def test_only_the_named_and_only_in_the_project(run: Run, user: Path, tmp_path: Path) -> None:
    before = files(user)
    answered(run("setup", "claude", "cursor", "--scope", "project", "--yes", "--json"))
    assert files(user) == before
    assert {".mcp.json", ".claude/settings.json", ".cursor/mcp.json", ".cursor/hooks.json"} == set(files(tmp_path / "nowhere"))
    assert run("setup", "--undo", "claude").exit_code == 0
    assert {".cursor/mcp.json", ".cursor/hooks.json"} == set(files(tmp_path / "nowhere"))


def test_check_proves_it_with_a_call(run: Run, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("setup", "--check").exit_code == 1
    answered(run("setup", "--yes", "--json"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    checked = {one["assistant"]: one for one in answered(run("setup", "--check", "--json"))["assistants"]}
    assert all(one["connected"] for one in checked.values())
    assert "answers with 9 tools" in checked["claude"]["detail"]
    assert "7 hooks are not trusted yet" in checked["codex"]["detail"]
    hooks = user / ".codex" / "hooks.json"
    with (user / ".codex" / "config.toml").open("a") as file:
        for event in ("session_start", "user_prompt_submit"):
            file.write(f'[hooks.state."{hooks}:{event}:0:0"]\ntrusted_hash = "sha256:00"\n')
    assert "5 hooks are not trusted" in run("setup", "codex", "--check").output


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho nonsense\n", "#!/bin/sh\necho '{\"id\": 2}'\n"])
def test_a_server_that_does_not_answer_is_named(run: Run, user: Path, script: str) -> None:
    answered(run("setup", "codex", "--yes", "--json"))
    (user / "bin" / "bethink").write_text(script)
    checked = run("setup", "codex", "--check")
    assert checked.exit_code == 3
    assert "BAD" in checked.output
    assert "bethink mcp does not work" in checked.output
    (user / "bin" / "bethink").unlink()
    assert run("setup", "codex", "--check").exit_code == 3


def test_a_broken_file_is_left_alone_and_the_others_are_done(run: Run, user: Path) -> None:
    (user / ".codex" / "config.toml").write_text("[broken")
    done = run("setup", "--yes", "--json")
    assert done.exit_code == 3
    by_name = {one["assistant"]: one for one in json.loads(done.stdout)["assistants"]}
    assert by_name["claude"]["written"]
    assert "not valid TOML" in json.dumps(by_name["codex"]["problem"])
    assert (user / ".codex" / "config.toml").read_text() == "[broken"


def test_what_was_changed_since_is_not_overwritten(run: Run, user: Path) -> None:
    answered(run("setup", "codex", "--yes", "--json"))
    config = user / ".codex" / "config.toml"
    config.write_text(config.read_text() + "\n[mine]\nx = 1\n")
    refused = run("setup", "--undo")
    assert refused.exit_code == 3
    assert "was changed since" in refused.output
    assert "[mine]" in config.read_text()
    assert run("setup", "--undo", "--force").exit_code == 0
    assert config.read_text() == 'model = "x" # mine\n'


def test_wrong_words_are_refused(run: Run, user: Path) -> None:
    assert run("setup", "emacs").exit_code == 2
    assert run("setup", "--scope", "world").exit_code == 2
    assert run("setup", "--undo", "--check").exit_code == 2


def test_a_session_is_switched(run: Run, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("session", "off").exit_code == 2
    assert answered(run("session", "off", "--session", "abc", "--json")) == {"session": "abc", "memory": "off"}
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "abc")
    assert answered(run("session", "--json"))["memory"] == "off"
    assert "private" in run("session", "private").output
    assert answered(run("session", "on", "--json"))["memory"] == "on"
    assert run("session", "sideways").exit_code == 2


def test_spend_is_visible(run: Run, home: Path) -> None:
    assert "Nothing" in run("stats", "--injections").output
    id = answered(run("add", "The staging database listens on port 5433.", "--json"))["id"]
    for ids in ([id], []):
        injections.note(home, event="prompt", session="s", project=None, ids=ids, tokens=60 * len(ids), milliseconds=42, warm=True)
    (day,) = answered(run("stats", "--injections", "--json"))["days"]
    assert (day["prompts"], day["silent_share"], day["tokens"]) == (2, 0.5, 60)
    table = run("stats", "--injections").output
    assert "port 5433" in table
    assert "50%" in table
