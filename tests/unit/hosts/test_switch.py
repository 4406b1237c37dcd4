"""The switch of one session."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bethink.hosts import dialect, switch
from bethink.hosts.base import HookEvent

SESSION = "0193f0a2-7c1b-7e55-9f4e-2d1c0a9b8e77"


def test_off_on_private(tmp_path: Path) -> None:
    assert switch.state(tmp_path, SESSION, {}) == "on"
    for state in ("off", "private", "on", "on"):
        switch.turn(tmp_path, SESSION, state)  # type: ignore[arg-type]  # the loop's texts are the states
        assert switch.state(tmp_path, SESSION, {}) == state
    assert switch.state(tmp_path, "another-session", {}) == "on"


def test_environment_wins(tmp_path: Path) -> None:
    assert switch.state(tmp_path, SESSION, {"MEMORY_OFF": "1"}) == "off"
    assert switch.state(tmp_path, SESSION, {"MEMORY_OFF": "0", "MEMORY_PRIVATE": ""}) == "on"
    assert switch.state(tmp_path, SESSION, {"MEMORY_OFF": "1", "MEMORY_PRIVATE": "1"}) == "private"


def test_a_session_cannot_name_a_path(tmp_path: Path) -> None:
    home = tmp_path / "home"
    switch.turn(home, "../../../pwned", "off")
    assert switch.state(home, "../../../pwned", {}) == "off"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert len(list((home / "state" / "switch").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", b"ON", b"off" * 1000])
def test_an_unreadable_switch_keeps_quiet(tmp_path: Path, content: bytes) -> None:
    switch.turn(tmp_path, SESSION, "off")
    next((tmp_path / "state" / "switch").iterdir()).write_bytes(content)
    assert switch.state(tmp_path, SESSION, {}) == "private"


def test_old_switches_are_swept(tmp_path: Path) -> None:
    switch.turn(tmp_path, SESSION, "off")
    assert switch.sweep(tmp_path) == 0
    old = next((tmp_path / "state" / "switch").iterdir())
    os.utime(old, (1, 1))
    assert switch.sweep(tmp_path) == 1
    assert switch.sweep(tmp_path / "none") == 0


def _prompt(text: str) -> HookEvent:
    event = dialect("claude").parse(json.dumps({"hook_event_name": "UserPromptSubmit", "prompt": text}).encode())
    assert event is not None
    return event


@pytest.mark.parametrize(
    ("text", "state"),
    [("/bethink:memory off", "off"), ("/memory OFF ", "off"), ("/bethink:memory private", "private"), ("/memory on", "on")],
)
def test_asked_by_prompt(text: str, state: str) -> None:
    assert switch.asked(_prompt(text)) == state


@pytest.mark.parametrize(
    "text",
    ["", "memory off", "/memory", "/memory off please", "turn /memory off", "/memoryoff", "/other off", "/memory maybe", "x" * 10_000],
)
def test_not_asked(text: str) -> None:
    assert switch.asked(_prompt(text)) is None


def test_asked_by_expansion() -> None:
    payload = {"hook_event_name": "UserPromptExpansion", "command_name": "bethink:memory", "command_args": " off "}
    event = dialect("claude").parse(json.dumps(payload).encode())
    assert event is not None
    assert switch.asked(event) == "off"
    other = dialect("claude").parse(b'{"hook_event_name":"UserPromptExpansion","command_name":null}')
    assert other is not None
    assert switch.asked(other) is None
