"""The demo is true: its questions have answers in this checkout, and it ends well on a narrow terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import demo
from conftest import ROOT


def run(*arguments: str, width: int = 80) -> str:
    env = {**os.environ, "COLUMNS": str(width), "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_question_about_the_documentation_has_its_answer_there() -> None:
    pieces = list(demo.pages())
    for question in demo.QUESTIONS:
        if question.source.startswith("docs/"):
            assert any(question.answers(piece) for piece in pieces), question.text
    assert len(demo.QUESTIONS) >= 8
    # One that nothing here answers, so that silence is shown as well.
    assert not demo.QUESTIONS[-1].source


def test_questions_are_asked_in_other_words() -> None:
    for question in demo.QUESTIONS:
        answers = [piece.content.lower() for piece in demo.pages() if question.answers(piece)]
        assert all(question.text.lower().rstrip("?") not in answer for answer in answers)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("width", [80, 100])
def test_it_tells_what_it_found_and_how_to_connect(width: int) -> None:
    told = run(width=width)
    lines = told.splitlines()
    assert all(len(line) <= width for line in lines if "claude mcp add" not in line)
    right = re.search(r"(\d+) of (\d+) right at once", told)
    assert right and int(right[2]) >= 9
    assert int(right[1]) >= int(right[2]) - 2, told
    assert "✓ right to be silent" in told
    assert "first-assistant" in told
    assert sum("claude mcp add --scope user bethink -- " in line for line in lines) == 1


@pytest.mark.timeout(200)
def test_it_reads_given_sessions(tmp_path: Path) -> None:
    said = [
        ("user", "The importer crashed on the Norwegian ledger because of a byte order mark in front of the header row."),
        ("assistant", "I strip the byte order mark before the header of the ledger is read; the importer passes its tests now."),
        ("user", "Remember that Ingrid signs off every release of the bookkeeping module, nobody else."),
    ]
    lines = [
        {
            "type": role, "sessionId": "s1", "uuid": f"u{number}", "timestamp": f"2026-11-20T10:0{number}:00.000Z", "cwd": "/tmp/app",
            "message": {"role": role, "content": [{"type": "text", "text": text}]},
        }
        for number, (role, text) in enumerate(said)
    ]  # fmt: skip
    session = tmp_path / "projects" / "app" / "5d0c2f6e-session.jsonl"
    session.parent.mkdir(parents=True)
    session.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    pieces = list(demo.sessions([tmp_path]))
    assert [piece.content.partition(":")[0] for piece in pieces] == ["User", "Assistant", "User"]
    told = run(str(tmp_path), width=100)
    assert "3 turns of sessions" in told
    assert "What was that about" in told
