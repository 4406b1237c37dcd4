"""What is kept from one hook to the next, and the log of what was injected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bethink.intake import injections, sessions
from bethink.intake.sessions import SessionState


def test_a_state_comes_back_as_it_was(home: Path) -> None:
    state = SessionState(("a", "b"), "a prompt with \ud800 and \x00 and 漢字", ("kept",), 12.5, True)
    sessions.save(home, "0e9f4c1a-6d2b-4a55-9d0e-0123456789ab", state)
    assert sessions.load(home, "0e9f4c1a-6d2b-4a55-9d0e-0123456789ab") == state
    assert sessions.load(home, "another") == SessionState()


def test_a_session_without_a_name_is_nobody_s(home: Path) -> None:
    sessions.save(home, "", SessionState(("a",)))
    assert sessions.load(home, "") == SessionState()
    assert not home.exists()


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a\x00b", "x" * 10_000, "\ud800", "con"])
def test_no_name_leaves_the_folder(home: Path, name: str) -> None:
    sessions.save(home, name, SessionState(("a",)))
    assert sessions.load(home, name).seen == ("a",)
    assert [path.parent for path in home.rglob("*") if path.is_file()] == [home / "run" / "sessions"]


def test_it_is_bounded(home: Path) -> None:
    sessions.save(home, "s", SessionState(tuple(map(str, range(5000))), "x" * 100_000))
    state = sessions.load(home, "s")
    assert state.seen[-1] == "4999"
    assert len(state.seen) == sessions.MAX_SEEN
    assert len(state.prompt) == 20_000


def test_old_ones_are_swept(home: Path) -> None:
    for name in ("old", "new"):
        sessions.save(home, name, SessionState((name,)))
    (old,) = [path for path in (home / "run" / "sessions").iterdir() if b"old" in path.read_bytes()]
    long_ago = time.time() - 40 * 86_400
    os.utime(old, (long_ago, long_ago))
    sessions.sweep(home)
    assert sessions.load(home, "old") == SessionState()
    assert sessions.load(home, "new").seen == ("new",)
    sessions.sweep(home / "nowhere")


def test_the_words_of_a_session_that_was_killed_are_swept(home: Path) -> None:
    sessions.save(home, "killed", SessionState(("a",), "a secret that was said", ("and kept",)))
    sessions.save(home, "going on", SessionState(("b",), "said just now"))
    (killed,) = [path for path in (home / "run" / "sessions").iterdir() if b"a secret" in path.read_bytes()]
    killed.with_name(f".{killed.name}.1").write_text("half written")
    yesterday = time.time() - 2 * 86_400
    for path in (killed, killed.with_name(f".{killed.name}.1")):
        os.utime(path, (yesterday, yesterday))
    sessions.sweep(home)
    assert sessions.load(home, "killed") == SessionState(("a",))
    assert abs(killed.stat().st_mtime - yesterday) < 1
    assert sessions.load(home, "going on").prompt == "said just now"
    assert len(list(killed.parent.iterdir())) == 2


def note(home: Path, *ids: str, event: str = "prompt", project: str | None = None) -> None:
    injections.note(home, event=event, session="s", project=project, ids=list(ids), tokens=10 * len(ids), milliseconds=50, warm=True)


def test_spend_by_day_and_project(home: Path) -> None:
    note(home, "a", "b")
    note(home)
    note(home, "a", event="session_start")
    note(home, "c", project="example.com/team/heron")
    days = {day["project"]: day for day in injections.by_day(home)}
    assert days["(global)"] | {"day": ""} == {
        "day": "", "project": "(global)", "prompts": 2, "silent_share": 0.5, "tokens": 30, "median_ms": 50, "memories": {"a": 2, "b": 1},
    }  # fmt: skip
    assert days["example.com/team/heron"]["memories"] == {"c": 1}
    assert len(injections.of_memory(home, "a")) == 2


def test_broken_lines_are_passed_over(home: Path) -> None:
    note(home, "a")
    path = home / "logs" / "injections.jsonl"
    path.write_bytes(b"\xff garbage\n[]\n{}\n" + path.read_bytes() + b'{"at": 1, "ids')
    assert len(list(injections.read(home))) == 1
    assert len(injections.by_day(home)) == 1


def test_the_log_is_turned_over_and_not_lost(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injections, "_MAX_BYTES", 300)
    for number in range(5):
        note(home, f"id{number}")
    assert [entry["ids"] for entry in injections.read(home)][-2:] == [["id3"], ["id4"]]
    assert sum(path.stat().st_size for path in (home / "logs").iterdir()) < 1000
