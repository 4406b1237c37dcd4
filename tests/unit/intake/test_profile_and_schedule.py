"""Preferences in tiers, the page of them, files of text, and what is written for schedulers."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from bethink.errors import Conflict, InvalidInput
from bethink.intake import profile, schedule
from bethink.intake.documents import Documents, memory_files, pieces
from bethink.model import Draft, Filter, Scope
from bethink.service.memories import Memories


def test_preferences_come_in_tiers(memories: Memories) -> None:
    memories.remember(Draft("I prefer tabs over spaces.", "preferences"))
    memories.remember(Draft("No, use pnpm instead of npm here.", "preferences", source="signals", session="s1"))
    inferred = memories.remember(Draft("The user runs the tests before every commit.", "behaviors", source="behave", session="s1")).memory
    found = profile.preferences(memories)
    assert [(one.tier, one.confidence) for one in found] == [("explicit", 1.0), ("signals", 0.35), ("inferred", 0.25)]
    memories.accept([inferred.id])
    assert [one.confidence for one in profile.preferences(memories) if one.tier == "inferred"] == [0.95]
    shape = profile.shape(found)
    assert [tier["category"] for tier in shape] == ["explicit", "signals", "inferred"]
    assert {"text", "confidence", "source"} <= shape[0]["items"][0].keys()


def test_the_page_leaves_out_what_waits_and_what_stands_in_files(memories: Memories, tmp_path: Path) -> None:
    assert profile.page(memories) == ""
    memories.remember(Draft("I prefer tabs over spaces --> really.", "preferences"))
    memories.remember(Draft("No, use pnpm instead of npm here.", "preferences", source="signals", session="s1"))
    memories.remember(Draft("From a file: be brief.", "preferences", source="file"))
    page = profile.page(memories)
    assert "tabs over spaces -- > really" in page and "pnpm" not in page and "brief" not in page
    assert "1 more wait" in page


def test_the_section_is_added_replaced_and_taken_out_again() -> None:
    for before in ("", "# Mine\n", "# Mine\n\ntext without end"):
        once = profile.patched(before, "one")
        assert once.startswith(before) and once.count(profile.PROFILE_BEGIN) == 1
        assert profile.patched(once, "one") == once
        twice = profile.patched(once, "two")
        assert "one" not in twice.split(profile.PROFILE_BEGIN)[1] and "two" in twice
        assert profile.patched(twice, "").rstrip() == before.rstrip()
    assert "-one" in profile.difference(once, twice, "CLAUDE.md")


def test_a_file_is_replaced_at_once_and_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "CLAUDE.md", tmp_path / "link.md"
    file.write_text("before")
    file.chmod(0o600)
    link.symlink_to(file)
    profile.write(link, "after\r\n")
    assert link.is_symlink() and file.read_bytes() == b"after\r\n" and file.stat().st_mode & 0o777 == 0o600


def test_markdown_is_cut_by_its_structure(memories: Memories, tmp_path: Path) -> None:
    text = "# App\n\nIntro.\n\n## Style\n\n- tabs\n- no emoji\n\n```\n# not a heading\n```\n\n### Deep\n\n" + "word " * 1000
    found = list(pieces(text))
    assert [(one.headings, one.line) for one in found[:2]] == [(("App",), 1), (("App", "Style"), 5)]
    assert "# not a heading" in found[1].content
    assert all(one.headings == ("App", "Style", "Deep") and len(one.content) <= 1500 for one in found[2:]) and len(found) > 4


def test_a_changed_file_changes_its_memories(memories: Memories, tmp_path: Path) -> None:
    file = tmp_path / "CLAUDE.md"
    file.write_text("# Preferences\n\n- Use tabs in Go.\n\n# Setup\n\nThe port is 5433.\n" + profile.patched("", "learned by us"))

    def run() -> tuple[int, int, int]:
        report = Documents(memories).run([(file, Scope())], by_heading=True)
        return report.memories, report.known, report.unchanged

    assert run() == (2, 0, 0)
    assert run() == (0, 0, 1)
    assert {memory.category for memory in memories.export()} == {"preferences", "facts"}
    file.write_text("# Preferences\n\n- Use tabs in Go.\n\n# Setup\n\nThe port is 5434.\n")
    assert run() == (1, 1, 0)
    contents = [memory.content for memory in memories.export()]
    assert any("5434" in content for content in contents) and not any("5433" in content or "learned" in content for content in contents)
    assert len(list(memories.store.walk(memories.access, Filter(deleted=True), memories.now()))) == 1


def test_files_that_are_no_text_are_reported(memories: Memories, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\x00\x01binary")
    (tmp_path / "b.md").write_bytes(b"\xff\xfe\xfa")
    report = Documents(memories).run([(tmp_path / name, Scope()) for name in ("a.md", "b.md", "missing.md")])
    assert len(report.problems) == 3 and report.memories == 0


def test_memory_files_of_project_user_and_assistant_are_found(tmp_path: Path) -> None:
    project, user = tmp_path / "work" / "app", tmp_path / "user"
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (project / "CLAUDE.md").write_text("x")
    auto = user / ".claude" / "projects"
    for folder in (str(project).replace("/", "-").replace("_", "-"), "-home-u-other"):
        (auto / folder / "memory").mkdir(parents=True)
        (auto / folder / "memory" / "MEMORY.md").write_text("y")
    (user / ".codex").mkdir()
    (user / ".codex" / "AGENTS.md").write_text("z")
    found = {str(path.relative_to(tmp_path)): scope.project for path, scope in memory_files(project / "src", user)}
    assert found["work/app/CLAUDE.md"] == str(project) and found["user/.codex/AGENTS.md"] is None
    assert sorted(str(value) for key, value in found.items() if "memory/MEMORY" in key) == sorted([str(project), "-home-u-other"])


class Scheduler:
    """A system's scheduler that only takes notes: the real one would run our job."""

    def __init__(self, table: str = "", code: int = 0) -> None:
        self.table = table
        self.code = code
        self.ran: list[tuple[str, ...]] = []

    def __call__(self, arguments: Sequence[str], given: str | None) -> tuple[int, str]:
        self.ran.append(tuple(arguments))
        if tuple(arguments) == ("crontab", "-l"):
            return (0, self.table) if self.table else (1, "no crontab for u")
        if tuple(arguments) == ("crontab", "-"):
            self.table = given or ""
        return self.code, "told"


JOB = schedule.Job(("/opt/a b/bethink", "schedule", "run"), {"MEMORY_HOME": '/home/ü "q" 100%/$x'}, 30)


@pytest.mark.parametrize("system", schedule.SYSTEMS)
def test_install_and_remove_leave_nothing_behind(system: schedule.System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    job = schedule.Job(JOB.command, {"MEMORY_HOME": str(tmp_path / "memory")})
    run = Scheduler("5 * * * * other\n")
    assert not schedule.installed(job, system, run=run, user_home=tmp_path)
    assert schedule.install(job, system, run=run, user_home=tmp_path)
    schedule.install(job, system, run=run, user_home=tmp_path)
    assert schedule.installed(job, system, run=run, user_home=tmp_path)
    assert schedule.remove(job, system, run=run, user_home=tmp_path)
    assert not schedule.installed(job, system, run=run, user_home=tmp_path)
    assert run.table == "5 * * * * other\n" and [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert schedule.remove(job, system, run=run, user_home=tmp_path) == []


def test_a_scheduler_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="told"):
        schedule.install(JOB, "cron", run=Scheduler(code=1), user_home=tmp_path)


def test_what_is_written_can_be_read_by_the_systems(tmp_path: Path) -> None:
    [plist] = schedule.files(JOB, "launchd", tmp_path).values()
    read = plistlib.loads(plist.encode())
    assert (
        read["ProgramArguments"] == list(JOB.command) and read["EnvironmentVariables"] == JOB.environment and read["StartInterval"] == 1800
    )
    [task] = schedule.files(JOB, "windows", tmp_path).values()
    assert "PT30M" in task and ET.fromstring(task.partition("\n")[2]).tag.endswith("Task")
    line = schedule.cron_line(JOB)
    assert line.startswith("*/30 * * * * ") and "100\\%" in line
    assert shlex.split(line.replace("\\%", "%"))[5] == f"MEMORY_HOME={JOB.environment['MEMORY_HOME']}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    program = tmp_path / "with blank" / "bethink"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    job = schedule.Job((str(program), "schedule", "run"), JOB.environment)
    written = []
    for path, content in schedule.files(job, "systemd", tmp_path).items():
        written.append(tmp_path / path.name)
        written[-1].write_text(content)
    command = ["systemd-analyze", "verify", "--user", "--man=no", *map(str, written)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    if "Failed to" in done.stderr and "bethink" not in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.splitlines()[-1]}")
    assert "bethink" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_only_one_run_at_a_time(home: Path) -> None:
    with schedule.alone(home) as first, schedule.alone(home) as second:
        assert first and not second
    with schedule.alone(home) as third:
        assert third


def test_the_log_is_turned_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_MAX_LOG_BYTES", 200)
    for number in range(20):
        schedule.log(home, f"line {number}\nwith an end")
    logs = sorted((home / "logs").iterdir())
    assert [path.name for path in logs] == ["intake.1.log", "intake.log"]
    assert all(path.stat().st_size < 300 for path in logs)


def test_an_interval_that_makes_no_sense_is_refused(home: Path) -> None:
    for minutes in (0, 4, 100_000):
        with pytest.raises(InvalidInput):
            schedule.job(home, minutes)
