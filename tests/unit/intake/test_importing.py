"""The archive: what comes in, once, sealed, from where reading stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bethink.intake import importing
from bethink.intake.importing import Importer, Report, Wanted, discovered
from bethink.intake.turns import PART, parts
from bethink.model import Draft, Filter, Query
from bethink.service.memories import Memories

from .conftest import Talk


def run(memories: Memories, root: Path, home: Path, **wanted: Any) -> Report:
    return Importer(memories, home, Wanted(**wanted)).run(discovered(["claude-code"], {"claude-code": root}))


def kept(memories: Memories) -> list[tuple[str, str]]:
    """Role and words of the archive, oldest first."""
    found = memories.store.walk(memories.access, Filter(source="transcript", statuses=()), memories.now())
    return [(str((one.origin or {})["role"]), one.content) for one in found]


def test_turns_are_kept_verbatim_once_and_with_their_place(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    talk.user("Please use pnpm, not npm.")
    talk.assistant("I will use pnpm.", ("Bash", {"command": "pnpm install"}, "done"))
    talk.user("Thanks, now add a test.")
    report = run(memories, transcripts, home)
    assert (report.turns, report.memories, len(report.session_ids)) == (3, 3, 1)
    assert kept(memories) == [("user", "Please use pnpm, not npm."), ("assistant", "I will use pnpm."), ("user", "Thanks, now add a test.")]
    first, _, last = memories.turns("s1")
    assert (first.source, first.trust, first.category, first.status) == ("transcript", "imported", "notes", "active")
    assert first.scope.project == "/home/u/app"
    assert first.created_at.isoformat() == "2026-10-01T00:00:01+00:00"
    origin = dict(first.origin or {})
    assert origin["file"] == str(talk.path) and origin["uuid"] == "s1-1"
    assert talk.path.read_bytes()[origin["start"] : origin["end"]].startswith(b'{"type": "user"')
    assert dict(last.origin or {})["after"] == ["Bash"]
    again = run(memories, transcripts, home)
    assert (again.unchanged, again.memories, again.turns) == (1, 0, 0)


def test_a_growing_transcript_is_picked_up_where_it_was_left(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    expected = []
    for number in range(30):
        talk.user(f"Question number {number} about the gearbox")
        talk.assistant(f"Answer number {number} about the gearbox")
        expected += [("user", f"Question number {number} about the gearbox"), ("assistant", f"Answer number {number} about the gearbox")]
        # Half a line is there when it is read.
        talk.line(b'{"type":"user","message":{"role":"user","content":"half a')
        report = run(memories, transcripts, home)
        assert report.broken_lines == 0
        assert kept(memories) == expected
        data = talk.path.read_bytes()
        talk.path.write_bytes(data[: data.rindex(b"\n") + 1])


def test_a_file_that_was_replaced_is_read_from_its_beginning(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    talk.user("The first conversation of this file")
    run(memories, transcripts, home)
    talk.path.unlink()
    other = Talk(transcripts, "s1")
    other._count = 50
    other.user("Another conversation took its name")
    assert run(memories, transcripts, home).memories == 1
    assert len(kept(memories)) == 2


def test_noise_is_passed_over_and_counted(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    talk.line(b"{broken\n")
    talk.line(b'{"type":"progress"}\n')
    talk.line(b"\xff\xfe\x00\n")
    talk.line(b"[" * 100_000 + b"\n")
    talk.user("ok")
    talk.user("<system-reminder>be nice</system-reminder>")
    talk.assistant("", ("Read", {"file_path": "a"}, "text"))
    talk.user("lone \ud800 surrogate and a \x00 NUL in it")
    report = run(memories, transcripts, home)
    assert report.broken_lines == 3
    assert report.reasons["type progress"] == 1 and report.reasons["too short"] == 1 and report.reasons["tools only"] == 1
    assert len(kept(memories)) == 1


def test_secrets_are_sealed_and_in_no_file(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    canary = "ghp_" + "Zx8Kq2Lm9Rt4Wv7Yb1Nc" + "5Hd3Jf6Sg0Pa2Qe4"
    talk.user(f"My token is {canary}, use it to push.")
    talk.assistant("Pushed.", ("Bash", {"command": f"git push https://x:{canary}@example.com/a.git"}, f"ok {canary}"))
    report = run(memories, transcripts, home)
    assert report.sealed == 1
    memories.close()
    found = [path for path in home.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert found == []


def test_what_was_injected_does_not_come_back(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    from bethink.intake import injections

    stored = memories.remember(Draft("The staging database of the shop listens on port 5433.")).memory
    injections.note(home, event="prompt", session="s1", project=None, ids=[stored.id], tokens=9, milliseconds=1, warm=False)
    talk.user("The staging database of the shop listens on port 5433.")
    talk.assistant("> The staging database of the shop listens on port 5433.\nSo I connect there now.")
    report = run(memories, transcripts, home)
    assert report.reasons["recalled, not said"] == 1
    assert kept(memories) == [("assistant", "So I connect there now.")]


def test_a_resumed_session_that_was_copied_is_archived_once(memories: Memories, transcripts: Path, home: Path) -> None:
    first = Talk(transcripts, "s1")
    first.user("How does the gearbox work in this car?")
    first.assistant("It has six gears and a clutch.")
    copied = first.path.read_text().replace('"sessionId": "s1"', '"sessionId": "s2"').replace('"uuid": "s1-', '"uuid": "s2-')
    path = first.path.with_name("s2.jsonl")
    path.write_text(copied)
    os.utime(path, (1_700_000_100, 1_700_000_100))
    report = run(memories, transcripts, home)
    assert (report.memories, report.known) == (2, 2)


def test_filters_and_the_dry_run(memories: Memories, transcripts: Path, home: Path) -> None:
    here, there = Talk(transcripts, "s1"), Talk(transcripts, "s2", cwd="/home/u/other")
    here.user("Something about the first project")
    there.user("Something about the second project")
    assert run(memories, transcripts, home, dry_run=True).memories == 2
    assert kept(memories) == [] and memories.states(importing.POSITIONS) == {}
    report = run(memories, transcripts, home, project="other")
    assert (report.memories, report.problems, dict(report.reasons)) == (1, [], {"other project": 1})
    assert kept(memories) == [("user", "Something about the second project")]
    # The filter did not spoil the next import.
    assert run(memories, transcripts, home).memories == 1
    assert len(kept(memories)) == 2


def test_a_session_that_went_to_another_project_is_taken_in_parts(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    talk.user("Something about the first project")
    talk.cwd = "/home/u/other"
    talk.user("Something about the second project")
    for project in ("other", "app"):
        report = run(memories, transcripts, home, project=project)
        assert (report.memories, report.problems, dict(report.reasons)) == (1, [], {"other project": 1})
    assert run(memories, transcripts, home).known == 2
    assert run(memories, transcripts, home).unchanged == 1


def test_asking_for_more_than_before_reads_again(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    talk.user("short one")
    talk.user("This is a longer sentence about the gearbox of the car.")
    assert run(memories, transcripts, home, min_length=20).memories == 1
    assert run(memories, transcripts, home, min_length=20).unchanged == 1
    assert run(memories, transcripts, home).memories == 1
    from datetime import UTC, datetime

    assert run(memories, transcripts, home, since=datetime(2027, 1, 1, tzinfo=UTC)).memories == 0


def test_a_long_turn_is_kept_in_parts_that_lose_nothing(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    long = "\n".join(f"line {number} of the pasted log 日本語" for number in range(3000))
    talk.user(long)
    report = run(memories, transcripts, home)
    assert report.memories == len(list(parts(long))) > 1
    assert "".join(content for _, content in kept(memories)).replace("\n", "") == long.replace("\n", "")
    assert max(len(content) for _, content in kept(memories)) <= PART


def test_our_own_errands_are_no_conversations(memories: Memories, transcripts: Path, home: Path) -> None:
    Talk(transcripts, "s1", cwd="/tmp/bethink-errand-x1").user("You read part of a conversation and write down")
    assert run(memories, transcripts, home).memories == 0


def test_the_archive_stands_below_memories_and_is_no_twin(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    said = "The gearbox of the harvester needs oil of grade 75."
    talk.user(said)
    run(memories, transcripts, home)
    stored = memories.remember(Draft("The gearbox of the harvester needs oil of grade 75", scope=memories.place_of("/home/u/app")))
    assert stored.action == "added"
    assert memories.remember(Draft(said, scope=memories.place_of("/home/u/app"))).memory.source != "transcript"
    talk.user("Which oil does the gearbox of the harvester need, by the way?")
    run(memories, transcripts, home)
    hits = memories.recall(Query("gearbox oil of the harvester", limit=5)).hits
    assert hits[0].memory.source == "user"
    assert "transcript" in [hit.memory.source for hit in hits]
    assert all(memory.source != "transcript" for memory in memories.export())
    assert memories.stats()["by_source"]["transcript"] == 2
    assert all(memory.source != "transcript" for memory in memories.context("/home/u/app").memories)


def test_pruning_erases_and_what_was_pruned_is_not_imported_again(memories: Memories, talk: Talk, transcripts: Path, home: Path) -> None:
    from datetime import UTC, datetime

    talk.user("An old sentence about gearboxes")
    run(memories, transcripts, home)
    before = datetime(2026, 11, 1, tzinfo=UTC)
    assert memories.prune_archive(before=before).memories == 1 and len(kept(memories)) == 1
    assert memories.prune_archive(before=before, do_it=True).done
    assert kept(memories) == []
    copy = transcripts / "copy" / "s9.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(talk.path.read_bytes())
    assert run(memories, transcripts, home).reasons["pruned before"] == 1


def test_two_imports_at_once_do_not_double(memories: Memories, transcripts: Path, home: Path) -> None:
    for session in ("a", "b", "c"):
        talk = Talk(transcripts, session)
        for number in range(700):
            talk.user(f"Question {number} of session {session} about gears")
    command = [sys.executable, "-c", "from bethink.front.cli import main; main()", "import", "--claude-code", str(transcripts), "--json"]
    importers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for one in importers:
        out, err = one.communicate(timeout=200)
        assert one.returncode == 0, (out, err)
    assert len(kept(memories)) == len(set(kept(memories))) == 2100
    assert memories.verify_audit() is None
    tallies = [record["position"]["offset"] for record in memories.states(importing.POSITIONS).values()]
    assert sorted(tallies) == sorted(path.stat().st_size for path in transcripts.rglob("*.jsonl"))


def test_exports_are_read_whole_and_again_when_they_change(memories: Memories, tmp_path: Path, home: Path) -> None:
    def message(number: int) -> dict[str, Any]:
        return {"uuid": f"m{number}", "sender": "human", "text": f"Message number {number} of it", "created_at": "2026-01-01T10:00:00Z"}

    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([{"uuid": "c1", "name": "Gears", "chat_messages": [message(1)]}]))
    place = {"claude-ai": file}
    assert Importer(memories, home).run(discovered(["claude-ai"], place)).memories == 1
    assert Importer(memories, home).run(discovered(["claude-ai"], place)).unchanged == 1
    file.write_text(json.dumps([{"uuid": "c1", "name": "Gears", "chat_messages": [message(1), message(2)]}]))
    report = Importer(memories, home).run(discovered(["claude-ai"], place))
    assert (report.memories, report.known) == (1, 1)
    assert memories.states(importing.SESSIONS)["c1"]["title"] == "Gears"


def test_a_secret_in_the_place_of_a_turn_is_sealed_too(memories: Memories, home: Path) -> None:
    canary = "ghp_" + "Mn8Kq2Lm9Rt4Wv7Yb1Nc" + "5Hd3Jf6Sg0Pa2Qe4"
    origin = {"file": f"/home/u/{canary}/s.jsonl", "host": "claude", "uuid": "7", "role": "user", "start": 3}
    answer = memories.archive([Draft("Nothing secret in these words", id="turn-1", session="s1", origin=origin)])
    assert answer.sealed == 1
    kept_origin = dict(memories.get("turn-1").origin or {})
    assert canary not in str(kept_origin) and kept_origin["start"] == 3
    memories.close()
    assert [path for path in home.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()] == []
