"""Connecting assistants: what is written, that it is written once, and that it can be taken back byte for byte."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import ConfigError, Conflict, InvalidInput, NotFound
from bethink.hosts.configure import LABELS, FileChange, Place, ScopeName, apply, detect, plan, receipts, undo

USER = [(host, "user") for host in LABELS]
PROJECT = [(host, "project") for host in LABELS if host != "claude-desktop"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    return Place(home, project, {"PATH": ""}, "linux")


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


def server_of(host: str, changes: list[FileChange]) -> Any:
    for change in changes:
        if change.path.suffix == ".toml":
            return tomllib.loads(change.after.decode())["mcp_servers"]["bethink"]
        if change.path.suffix in (".json", ".jsonc"):
            tree = json.loads(change.after)
            for key in ("mcpServers", "servers", "mcp"):
                if key in tree:
                    return tree[key]["bethink"]
    return None


@pytest.mark.parametrize(("host", "scope"), USER + PROJECT)
def test_written_once_and_taken_back(host: str, scope: ScopeName, place: Place, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    changes = plan(host, scope, place=place)
    assert snapshot(tmp_path) == before
    root = place.home if scope == "user" else place.project
    assert root
    assert all(change.path.is_relative_to(root) for change in changes)
    server = server_of(host, changes)
    assert server["command"] == (["bethink", "mcp"] if host == "opencode" else "bethink")
    assert host == "opencode" or server["args"] == ["mcp"]
    assert all("+" in change.diff() and "(new file)" in change.diff() for change in changes)

    receipt = apply(changes, tmp_path / "backups")
    assert plan(host, scope, place=place) == []
    assert receipts(tmp_path / "backups") == [receipt]
    assert undo(receipt) == [change.path for change in changes]
    after = {path: data for path, data in snapshot(tmp_path).items() if "/backups" not in path}
    assert after == before
    assert receipts(tmp_path / "backups") == []
    with pytest.raises(NotFound):
        undo(receipt)


def test_another_command_replaces_ours_and_nothing_else(place: Place, tmp_path: Path) -> None:
    for host in LABELS:
        apply(plan(host, place=place), tmp_path / "b")
        changes = plan(host, command=("uvx", "bethink"), place=place)
        assert changes, host
        apply(changes, tmp_path / "b")
        assert plan(host, command=("uvx", "bethink"), place=place) == []
    settings = json.loads((place.home / ".claude" / "settings.json").read_text())
    assert [len(entries) for entries in settings["hooks"].values()] == [1] * 8
    assert settings["hooks"]["Stop"] == [
        {"hooks": [{"type": "command", "command": "uvx", "args": ["bethink", "hook", "claude"], "timeout": 10}]}
    ]
    assert "SessionEnd" in settings["hooks"]
    assert '["uvx", "bethink"]' in (place.home / ".config" / "opencode" / "plugins" / "bethink.ts").read_text()


def test_other_peoples_settings_and_layout_stay(place: Place, tmp_path: Path) -> None:
    folder = place.home / ".claude"
    folder.mkdir()
    beep = '{"hooks": [{"type": "command", "command": "say done"}]}'
    mine = (
        '{\n    // mine\n    "model": "opus",\n    "hooks": {\n        "Stop": [\n            ' + beep + " // beep\n        ],\n    },\n}\n"
    )
    (folder / "settings.json").write_text(mine)
    (place.home / ".claude.json").write_text(
        '{"mcpServers":{"other":{"command":"x"},"bethink":{"command":"old","env":{"A":"1"}}},"oauth":"secret"}'
    )
    state, settings = plan("claude", place=place)
    text = settings.after.decode()
    for line in mine.splitlines():
        assert line.replace(" // beep", ", // beep") in text
    assert "secret" not in settings.diff()
    receipt = apply([state, settings], tmp_path / "b")
    tree = json.loads((place.home / ".claude.json").read_text())
    assert tree["mcpServers"]["bethink"] == {"command": "bethink", "env": {"A": "1"}, "type": "stdio", "args": ["mcp"]}
    assert tree["mcpServers"]["other"] == {"command": "x"}
    assert plan("claude", place=place) == []
    undo(receipt)
    assert (folder / "settings.json").read_text() == mine


def test_toml_keeps_comments_and_order(place: Place, tmp_path: Path) -> None:
    folder = place.home / ".codex"
    folder.mkdir()
    mine = '# mine\nmodel = "gpt"   # the best\n\n[mcp_servers.other]\ncommand = "x"\n\n[profiles.a]\nmodel = "b"\n'
    (folder / "config.toml").write_text(mine)
    change = plan("codex", place=place)[0]
    after = change.after.decode()
    assert [line for line in after.splitlines() if line in mine.splitlines()] == mine.splitlines()
    assert tomllib.loads(after) == {
        **tomllib.loads(mine),
        "mcp_servers": {"other": {"command": "x"}, "bethink": {"command": "bethink", "args": ["mcp"]}},
    }
    apply([change], tmp_path / "b")
    assert [change.path.name for change in plan("codex", place=place)] == ["hooks.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "[mcp_servers]\n",
        "[mcp_servers.bethink]\ncommand = 'old'\nenv = {A = '1'}\n",
        "mcp_servers = {}\n",
        "a.b = 1\r\n[x]\r\ny = 2\r\n",
    ],
)
def test_toml_of_any_form(place: Place, text: str) -> None:
    (place.home / ".codex").mkdir()
    (place.home / ".codex" / "config.toml").write_bytes(text.encode())
    after = tomllib.loads(plan("codex", place=place)[0].after.decode())
    assert after["mcp_servers"]["bethink"]["command"] == "bethink"
    assert {**after, "mcp_servers": 0} == {**tomllib.loads(text), "mcp_servers": 0}


BROKEN = {
    "claude": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini": ".gemini/settings.json",
    "cursor": ".cursor/hooks.json",
    "opencode": ".config/opencode/opencode.json",
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "vscode": ".config/Code/User/mcp.json",
}


WRONG = (
    *(b"{", b"[]", b'"x"', b"{'a': 1}", b"\xff\xfe{}", b"\x00", b'{"mcpServers": 1, "servers": [], "mcp": "x", "hooks": 7}'),
    b'{"mcpServers": [], "servers": 1, "mcp": 1, "hooks": {"Stop": {}, "AfterAgent": 1, "sessionEnd": 1}}',
)


@pytest.mark.parametrize("host", BROKEN)
@pytest.mark.parametrize("content", WRONG)
def test_broken_files_are_refused_and_left_alone(host: str, content: bytes, place: Place, tmp_path: Path) -> None:
    path = place.home / BROKEN[host]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError) as caught:
        plan(host, place=place)
    assert str(path) in caught.value.message
    assert "left alone" in caught.value.hint
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", ["mcp_servers = 1\n", "[mcp_servers]\nbethink = 1\n", "a = \n", "[x\n"])
def test_broken_toml_is_refused(place: Place, content: str) -> None:
    (place.home / ".codex").mkdir()
    (place.home / ".codex" / "config.toml").write_text(content)
    with pytest.raises(ConfigError):
        plan("codex", place=place)


def test_empty_files_are_filled(place: Place) -> None:
    for host, name in BROKEN.items():
        path = place.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" \n")
        assert plan(host, place=place)


def test_the_plugin_is_enough(place: Place) -> None:
    (place.home / ".claude").mkdir()
    (place.home / ".claude" / "settings.json").write_text('{"enabledPlugins": {"bethink@bethink": true}}')
    assert plan("claude", place=place) == []
    (place.home / ".claude" / "settings.json").write_text('{"enabledPlugins": {"bethink@bethink": false}}')
    assert len(plan("claude", place=place)) == 2


def test_a_foreign_opencode_plugin_is_not_overwritten(place: Place) -> None:
    path = place.home / ".config" / "opencode" / "plugins" / "bethink.ts"
    path.parent.mkdir(parents=True)
    path.write_text("export const Mine = 1")
    with pytest.raises(ConfigError, match="somebody else"):
        plan("opencode", place=place)


def test_jsonc_of_opencode_is_found(place: Place) -> None:
    path = place.home / ".config" / "opencode" / "opencode.jsonc"
    path.parent.mkdir(parents=True)
    path.write_text("// x\n{}\n")
    assert plan("opencode", place=place)[0].path == path


def test_changed_files_are_not_overwritten(place: Place, tmp_path: Path) -> None:
    changes = plan("cursor", place=place)
    (place.home / ".cursor").mkdir()
    (place.home / ".cursor" / "hooks.json").write_text("{}")
    before = snapshot(place.home)
    with pytest.raises(Conflict, match="changed meanwhile"):
        apply(changes, tmp_path / "b")
    assert snapshot(place.home) == before
    assert not (tmp_path / "b").exists()


def test_undo_refuses_what_was_changed_since_unless_forced(place: Place, tmp_path: Path) -> None:
    path = place.home / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text('{"mcpServers": {}}')
    receipt = apply(plan("cursor", place=place), tmp_path / "b")
    newer = path.read_bytes().replace(b"bethink", b"changed")
    path.write_bytes(newer)
    before = snapshot(place.home)
    with pytest.raises(Conflict, match="changed since"):
        undo(receipt)
    assert snapshot(place.home) == before
    undo(receipt, force=True)
    assert path.read_text() == '{"mcpServers": {}}'
    assert not (place.home / ".cursor" / "hooks.json").exists()
    assert (receipt.folder / "0.newer").read_bytes() == newer


def test_a_failure_in_the_middle_takes_everything_back(place: Place, tmp_path: Path) -> None:
    changes = plan("cursor", place=place)
    blocked = FileChange(tmp_path / "file" / "x.json", None, b"{}")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError):
        apply([*changes, blocked], tmp_path / "b")
    assert not (place.home / ".cursor").exists()


def test_undo_after_a_crash_in_the_middle(place: Place, tmp_path: Path) -> None:
    receipt = apply(plan("cursor", place=place), tmp_path / "b")
    # As if only the first file had been written.
    (place.home / ".cursor" / "hooks.json").unlink()
    undo(receipt)
    assert not (place.home / ".cursor").exists()


@pytest.mark.skipif(os.name == "nt", reason="permission bits and links are POSIX's")
def test_permissions_and_links_stay(place: Place, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text("{}")
    real.chmod(0o600)
    link = place.home / ".claude.json"
    link.symlink_to(real)
    receipt = apply(plan("claude", place=place), tmp_path / "b")
    assert link.is_symlink()
    assert "bethink" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in receipt.folder.iterdir()} == {0o600}
    undo(receipt)
    assert link.is_symlink()
    assert real.read_text() == "{}"


def test_receipts_newest_first_and_damaged_ones(tmp_path: Path, place: Place) -> None:
    assert receipts(tmp_path / "none") == []
    first = apply(plan("cursor", place=place), tmp_path / "b")
    second = apply(plan("gemini", place=place), tmp_path / "b")
    assert receipts(tmp_path / "b") == [second, first]
    (second.folder / "receipt.json").write_text("{")
    with pytest.raises(NotFound):
        undo(second)


def test_detection(tmp_path: Path) -> None:
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    place = Place(home, None, {"PATH": str(programs)}, "linux")
    assert detect(place) == []
    for name in ("codex", "gemini"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    (home / ".claude").mkdir()
    (home / ".config" / "Claude").mkdir(parents=True)
    found = {item.host: item for item in detect(place)}
    assert list(found) == ["claude", "codex", "gemini", "claude-desktop"]
    assert found["codex"].program == programs / "codex"
    assert found["claude"].program is None
    assert found["claude"].folder == home / ".claude"
    moved = Place(home, None, {"PATH": "", "CLAUDE_CONFIG_DIR": str(tmp_path), "CODEX_HOME": str(tmp_path)}, "linux")
    assert {item.host for item in detect(moved)} == {"claude", "codex", "claude-desktop"}


@pytest.mark.parametrize(
    ("platform", "path"),
    [
        ("linux", ".config/Claude/claude_desktop_config.json"),
        ("darwin", "Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", "AppData/Roaming/Claude/claude_desktop_config.json"),
    ],
)
def test_desktop_places(tmp_path: Path, platform: str, path: str) -> None:
    (change,) = plan("claude-desktop", place=Place(tmp_path, None, {}, platform))
    assert change.path == tmp_path / path


def test_commands_with_spaces_are_quoted(tmp_path: Path) -> None:
    command = ("/opt/my tools/bethink",)
    for platform, line in (("linux", "'/opt/my tools/bethink' hook cursor"), ("win32", '"/opt/my tools/bethink" hook cursor')):
        place = Place(tmp_path / platform, None, {}, platform)
        hooks = json.loads(plan("cursor", command=command, place=place)[1].after)
        assert hooks["hooks"]["sessionStart"] == [{"command": line}]
        apply(plan("cursor", command=command, place=place), tmp_path / "b")
        assert plan("cursor", command=command, place=place) == []


def test_what_cannot_be_planned(place: Place) -> None:
    with pytest.raises(InvalidInput):
        plan("emacs", place=place)
    with pytest.raises(InvalidInput):
        plan("claude-desktop", "project", place=place)
    with pytest.raises(InvalidInput):
        plan("claude", "project", place=Place(place.home))
