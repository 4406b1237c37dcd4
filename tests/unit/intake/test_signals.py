"""Corrections and habits, counted from what was imported."""

from __future__ import annotations

from pathlib import Path

from bethink.intake import signals
from bethink.intake.importing import Importer, discovered
from bethink.model import Filter
from bethink.service.memories import Memories

from .conftest import Talk


def imported(memories: Memories, root: Path, home: Path) -> None:
    Importer(memories, home).run(discovered(["claude-code"], {"claude-code": root}))


def work(root: Path, session: str) -> Talk:
    talk = Talk(root, session)
    talk.user(f"Please build it, session {session}")
    for number in range(6):
        talk.assistant(
            f"Building {session} {number}",
            ("Bash", {"command": "make test"}, "ok"),
            ("Bash", {"command": "ls -la"}, "files"),
            ("Edit", {"file_path": "/home/u/app/src/main.py"}, "done"),
            ("Bash", {"command": "curl -H 'Authorization: Bearer abc' https://example.com"}, "ok"),
        )
    return talk


def test_a_correction_after_an_action_waits_as_a_preference(memories: Memories, transcripts: Path, home: Path) -> None:
    talk = Talk(transcripts)
    talk.user("no, don't use npm here, use pnpm")
    talk.assistant("Installing.", ("Bash", {"command": "npm install"}, "ok"))
    talk.user("No, don't use yarn here, use pnpm instead")
    talk.assistant("I only talk.")
    talk.user("no, never use bower here, use pnpm")
    imported(memories, transcripts, home)
    assert signals.run(memories, dry_run=True).corrections == 1
    report = signals.run(memories)
    assert (report.corrections, report.stored) == (1, 1)
    [memory] = memories.store.walk(memories.access, Filter(source="signals", statuses=()), memories.now())
    assert memory.content == "No, don't use yarn here, use pnpm instead"
    assert (memory.category, memory.status, memory.session) == ("preferences", "candidate", "s1")
    assert signals.run(memories).sessions == 0


def test_habits_need_two_sessions_and_stay_up_to_date(memories: Memories, transcripts: Path, home: Path) -> None:
    work(transcripts, "s1")
    imported(memories, transcripts, home)
    assert signals.run(memories).patterns == 0
    work(transcripts, "s2")
    imported(memories, transcripts, home)
    assert signals.run(memories).stored == 3
    found = {memory.tags[0]: memory for memory in memories.export(Filter(category="patterns"))}
    assert found["commands"].content == "app: commands that work here: `make test` (12×)"
    assert found["hotspots"].content == "app: files that are changed again and again: `src/main.py` (12×)"
    assert "running commands 75 %" in found["workflow"].content
    again = signals.run(memories)
    assert (again.stored, again.known) == (0, 3)
    work(transcripts, "s3")
    imported(memories, transcripts, home)
    assert signals.run(memories).stored == 3
    assert len(list(memories.export(Filter(category="patterns")))) == 3
    assert memories.get(found["commands"].id).content.endswith("(18×)")
    # What a person forgot is not brought back.
    memories.forget(found["commands"].id)
    work(transcripts, "s4")
    imported(memories, transcripts, home)
    signals.run(memories)
    assert memories.get(found["commands"].id).deleted_at is not None
    assert "Patterns" in [name for name, _ in memories.context("/home/u/app").sections]
