"""Which project a session was in, also when its folder is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bethink.hosts.transcripts import ToolCall, Turn
from bethink.intake.turns import Projects, Tally, checkout


def turn(cwd: str, *, session: str = "s", tools: tuple[ToolCall, ...] = ()) -> Turn:
    return Turn(
        host="claude", session=session, uuid="u", role="assistant", text="", at=None, cwd=cwd, tools=tools, start=0, end=1, resume=1
    )


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/home/u/app", "/home/u/app"),
        ("/home/u/app/", "/home/u/app"),
        ("/home/u/app-worktrees/feature", "/home/u/app"),
        ("/home/u/app.worktrees/feature/src", "/home/u/app"),
        ("/home/u/app/.worktrees/feature", "/home/u/app"),
        ("/home/u/app/.claude/worktrees/feature/src", "/home/u/app"),
        ("C:\\Code\\app\\.claude\\worktrees\\feature", "C:\\Code\\app"),
        ("/home/u/worktrees/feature", "/home/u/worktrees/feature"),
        ("/home/u/app-worktrees", "/home/u/app-worktrees"),
        ("", ""),
    ],
)
def test_a_worktree_that_is_gone_is_its_checkout(folder: str, root: str) -> None:
    assert checkout(folder) == root


def test_a_checkout_that_is_there_names_the_project_of_its_lost_worktrees(tmp_path: Path) -> None:
    git = tmp_path / "app" / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "config").write_text('[remote "origin"]\n\turl = git@example.com:team/app.git\n')
    assert Projects().of(turn(f"{tmp_path}/app-worktrees/gone")) == "example.com/team/app"


def test_a_session_that_goes_into_a_folder_below_stays_in_its_project() -> None:
    projects = Projects()
    assert projects.of(turn("/nowhere/app")) == "/nowhere/app"
    assert projects.of(turn("/nowhere/app/web/src")) == "/nowhere/app"
    assert projects.of(turn("/nowhere/apple")) == "/nowhere/apple"
    assert projects.of(turn("/nowhere/app/web", session="t")) == "/nowhere/app/web"
    assert projects.of(turn("/nowhere/app/web", session="v"), "/nowhere/app") == "/nowhere/app"


def test_files_and_steps_are_counted_wherever_the_checkout_is() -> None:
    root = "/home/somebody/projects/of-a-long-name/billing-worktrees/billing-feature"
    tools = (
        ToolCall("Edit", {"file_path": f"{root}/lib/orders/invoice.ex"}, "done"),
        ToolCall("Bash", {"command": f"cd {root} && mix test 2>&1 | tail -5"}, "ok"),
        ToolCall("Bash", {"command": "mix deps.get"}, "failed", True),
    )
    tally = Tally()
    tally.add(turn(root, tools=tools))
    assert (dict(tally.files), dict(tally.commands)) == ({"lib/orders/invoice.ex": 1}, {"mix test": 1})


def test_no_secret_is_counted() -> None:
    key = "AKIA" + "QW7ER2TY5UI3OP6A"
    tools = (
        ToolCall("Write", {"file_path": f"/home/u/app/{key}"}, "done"),
        ToolCall("Bash", {"command": f"deploy {key} && make"}, "ok"),
        ToolCall("Bash", {"command": "make"}, "ok"),
    )
    tally = Tally()
    tally.add(turn("/home/u/app", tools=tools))
    assert (dict(tally.files), dict(tally.commands)) == ({}, {"make": 1})
