"""Bad input: what is said of it, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bethink.front.cli import app
from kit.cli import Add, Run

#: Questions that are no questions.
HOSTILE = ("\x00", "\ud800", "🎉", "日本", "مرفأ", "x" * 100_000, "-")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add"], "There is nothing to remember."),
        (["add", ""], "The content is empty."),
        (["add", "   \n"], "The content is empty."),
        (["add", "a\ud800b"], "half of a surrogate pair"),
        (["add", "x" * 65_537], "The content takes 65,537 bytes; a memory holds at most 65,536."),
        (["add", "🎉" * 16_385], "The content takes 65,540 bytes"),
        (["add", "x", "-c", "zebra"], "No category 'zebra'."),
        (["add", "x", "-i", "2"], "importance is 2.0."),
        (["add", "x", "-i", "nan"], "importance is nan."),
        (["add", "x", "-t", "y" * 101], "is longer than 100 characters"),
        (["add", "x", "--id", "../../etc/passwd"], "Not an id: '../../etc/passwd'."),
        (["add", "x", "--ttl", "soon"], "Not a length of time: 'soon'."),
        (["add", "x", "--ttl", "9999y"], "ends after the calendar does"),
        (["add", "x", "--created-at", "yesterday"], "Not a date or time: 'yesterday'."),
        (["add", "x", "--valid-from", "2026-02-01", "--valid-until", "2026-01-01"], "valid_until is before valid_from."),
        (["add", "x", "--origin", "{broken"], "--origin is not JSON"),
        (["add", "x", "-p", "a", "--global"], "--global excludes -p and --task."),
        (["add", "x", "--stdin-jsonl"], "--stdin-jsonl takes no TEXT"),
        (["recall"], "There is no question."),
        (["recall", "x", "-m", "magic"], "No mode 'magic'."),
        (["recall", "x", "--sort", "size"], "No order 'size'."),
        (["recall", "x", "--since", "whenever"], "Not a date or time: 'whenever'."),
        (["recall", "x", "--keyword-weight", "7"], "A weight is 7.0."),
        (["recall", "x", "--status", "asleep"], "No status 'asleep'."),
        (["recall", "x", "--global", "--all-projects"], "Only one of -p, --global and --all-projects makes sense."),
        (["list", "--sort", "size"], "No order 'size'."),
    ],
)
def test_bad_input_is_refused_in_words(run: Run, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stdout == ""
    as_json = run(*arguments, "--json")
    assert as_json.exit_code == 2
    assert says in json.loads(as_json.stdout)["error"]
    assert set(json.loads(as_json.stdout)) == {"error", "hint", "code"}


@pytest.mark.parametrize(
    "command", [["show"], ["edit", "-i", "1"], ["delete"], ["restore"], ["purge"], ["history"], ["why"], ["links"], ["undo"]]
)
def test_an_unknown_id_ends_with_one(run: Run, command: list[str]) -> None:
    result = run(command[0], "01990000-0000-7000-8000-000000000000", *command[1:])
    assert result.exit_code == 1
    assert "No memory" in result.stderr


@pytest.mark.parametrize(
    "question",
    [
        "",
        " ",
        '"',
        "'; DROP TABLE memories; --",
        "a AND OR NOT NEAR(",
        "*",
        "col:x",
        "%",
        "_",
        "\x00",
        "\ud800",
        "🎉",
        "日本",
        "x" * 100_000,
        "-",
    ],
)
def test_no_question_fails(run: Run, add: Add, question: str) -> None:
    add("the harbour is closed in May")
    result = run("recall", "--json", "--", question)
    assert result.exit_code == 0, result.output
    assert "hits" in json.loads(result.stdout)


def test_wrong_commands_end_with_two(run: Run) -> None:
    assert run("frobnicate").exit_code == 2
    assert run("add", "x", "--frobnicate").exit_code == 2
    assert run("show").exit_code == 2
    assert run("recall", "x", "-n", "0").exit_code == 2
    wrong = run("show", "--json")
    assert wrong.exit_code == 2
    assert json.loads(wrong.stdout)["code"] == "InvalidInput"


def test_a_store_in_trouble_ends_with_three(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "memory.db").write_bytes(b"this is not a database at all" * 100)
    assert run("list").exit_code == 3
    result = run("stats", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["code"] == "StoreCorrupt"


def test_a_wrong_setting_ends_with_two(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER", "crystal ball")
    assert run("recall", "x").exit_code == 2


def test_what_a_terminal_would_obey_is_shown_and_not_sent(run: Run, add: Add) -> None:
    add("a \x1b[31mred\x1b[0m \u202etrick [bold]not markup[/bold]")
    told = run("list").stdout
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "[bold]not markup[/bold]" in told


def test_every_command_has_help(run: Run) -> None:
    import typer

    def walk(command: Any, path: tuple[str, ...]) -> None:
        result = run(*path, "--help")
        assert result.exit_code == 0
        assert command.help or not path, path
        assert all(getattr(one, "help", "") for one in command.params if one.param_type_name == "option"), path
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))

    walk(typer.main.get_command(app), ())


def test_version(run: Run) -> None:
    assert run("--version").stdout.startswith("bethink ")
