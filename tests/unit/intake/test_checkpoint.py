"""What is kept of the end of a session: requests, decisions, commands that worked, open tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bethink.hosts.transcripts import Role, ToolCall, Turn
from bethink.intake import checkpoint


def turn(role: Role, text: str = "", *tools: ToolCall, sidechain: bool = False) -> Turn:
    return Turn("claude-code", "s", "u", role, text, 0, 1, 1, tools=tools, sidechain=sidechain)


def test_the_last_of_each_kind_is_kept_once() -> None:
    found = checkpoint.of_turns(
        [
            turn("user", "make the importer resumable"),
            turn("assistant", "We decided to keep byte offsets per file. That is simple.\nTODO: test it with a rotated log file"),
            turn("assistant", "We decided to keep byte offsets per file."),
            turn("user", "and now write the tests"),
            turn("assistant", "Should we use a fixture instead of a golden file?"),
        ]
    )
    assert found.request == "and now write the tests"
    assert found.decisions == ("We decided to keep byte offsets per file.",)
    assert found.tasks == ("test it with a rotated log file",)
    assert found.lines()[0] == "Last request: and now write the tests"


def test_commands_that_worked_are_kept_and_looks_are_not() -> None:
    def ran(command: object, failed: bool = False) -> ToolCall:
        return ToolCall(name="Bash", input={"command": command}, result="out", is_error=failed)

    found = checkpoint.of_turns([turn("assistant", "", ran("make test"), ran("make broken", True), ran("ls -la"), ran(["uv", "sync"]))])
    assert found.commands == ("make test", "uv sync")


def test_subagents_and_summaries_decide_nothing() -> None:
    said = "We decided to rewrite everything in another language."
    assert checkpoint.of_turns([turn("assistant", said, sidechain=True), turn("summary", said)]) == checkpoint.Checkpoint()


@pytest.mark.parametrize("command", ["", "   ", 7, None, ["a"] * 500, "x\ny"])
def test_odd_commands_are_passed_over(command: object) -> None:
    use = ToolCall(name="Bash", input={"command": command}, result="out", is_error=False)
    assert checkpoint.of_turns([turn("assistant", "", use)]).commands == ()


def test_of_a_long_transcript_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = []
    for number in range(9000):
        text = f"We decided to number {number} of the long story, as was said before in so many words, again and again and again." * 2
        message = {"role": "assistant", "content": text, "id": f"m{number}"}
        lines.append(json.dumps({"type": "assistant", "uuid": f"a{number}", "sessionId": "s", "message": message}))
    path.write_text("\n".join(lines) + "\n")
    assert path.stat().st_size > checkpoint.TAIL_BYTES
    decisions = checkpoint.of_transcript(path, "claude-code").decisions
    assert len(decisions) == 6
    assert "8999" in decisions[-1]


def test_a_missing_transcript_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        checkpoint.of_transcript(tmp_path / "none.jsonl", "claude-code")
