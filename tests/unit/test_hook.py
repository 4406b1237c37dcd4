"""What hooks say and keep, event by event, as real processes on a store without a warm server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bethink import Draft, Memories, Scope, open_memories
from bethink.hosts.base import APPROVED_TOOLS, TOOL_PREFIXES
from bethink.intake import injections, sessions
from bethink.text import MARKER
from kit.cli import checkout
from kit.hook import COMMAND, SESSION, fire, payload, prompt, spooled, told

ASKED = "Which port does the staging database listen on?"
PORT = "The staging database listens on port 5433."
REMOTE = "git@example.com:team/heron.git"
PROJECT = "example.com/team/heron"


@pytest.fixture
def memories(home: Path) -> Iterator[Memories]:
    with open_memories(with_embedder=False) as opened:
        # In an empty store every word is rare.
        for number in range(30):
            opened.remember(
                Draft(f"Filler {number}: {'alpha beta gamma delta epsilon'.split()[number % 5]} number {number * 7919} is kept.")
            )
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A checkout to stand in."""
    return str(checkout(tmp_path / "heron", REMOTE))


def test_a_prompt_gets_what_is_relevant_and_never_twice(memories: Memories, home: Path) -> None:
    id = memories.remember(Draft(PORT)).memory.id
    said = told(prompt(ASKED))
    assert f"| {PORT}" in said
    assert id in said
    assert told(prompt(ASKED)) == ""
    assert PORT in told(prompt(ASKED, session_id="11111111-2222-3333-4444-555555555555"))
    entries = list(injections.read(home))
    assert [len(entry["ids"]) for entry in entries] == [1, 0, 1]
    assert entries[0]["tokens"] > 0


def test_nothing_relevant_means_no_output(memories: Memories) -> None:
    memories.remember(Draft(PORT))
    assert fire(prompt("write a haiku about autumn leaves")).stdout == b""
    assert fire(prompt("thanks, go on")).stdout == b""
    assert fire(prompt("  \n ")).stdout == b""


@pytest.mark.parametrize("source", ["system", "loop_wakeup", "schedule_wakeup", "poll_event"])
def test_nobody_s_prompt_is_not_answered(memories: Memories, source: str) -> None:
    memories.remember(Draft(PORT))
    assert fire(prompt(ASKED, source=source)).stdout == b""
    assert PORT in told(prompt(ASKED, source="sdk"))


@pytest.mark.parametrize("status", ["candidate", "quarantined", "superseded", "completed", "parked"])
def test_only_what_is_active_is_put_before_a_model(memories: Memories, status: str) -> None:
    memories.remember(Draft(PORT, status=status))
    assert fire(prompt(ASKED)).stdout == b""
    assert PORT not in told(payload("SessionStart", source="startup"))


def test_the_archive_and_the_forgotten_stay_where_they_are(memories: Memories) -> None:
    memories.remember(Draft(PORT, source="transcript"))
    gone = memories.remember(Draft("The staging database listens on a socket.")).memory
    memories.forget(gone.id)
    assert fire(prompt(ASKED)).stdout == b""


def test_at_most_five_whole_items_within_the_budget(memories: Memories) -> None:
    for number in range(9):
        memories.remember(Draft(f"The staging database listens on port 54{number}3 in region r{number}x." + " Detail." * 20))
    said = told(prompt(ASKED))
    assert 1 <= said.count("\n* ") <= 5
    assert "Filler" not in said
    little = told(prompt(ASKED, session_id="little"), MEMORY_HOOK_TOKENS="150")
    assert 1 <= little.count("\n* ") < said.count("\n* ")
    for item in little.split("\n* ")[1:]:
        assert item.count("Detail.") == 20
    assert told(prompt(ASKED, session_id="least"), MEMORY_HOOK_TOKENS="10") == ""


def test_a_project_does_not_see_another_one_s(memories: Memories, folder: str) -> None:
    memories.remember(Draft(PORT, scope=Scope.of(PROJECT)))
    assert PORT in told(prompt(ASKED, cwd=folder))
    assert told(prompt(ASKED, session_id="elsewhere")) == ""
    assert PORT in told(prompt(ASKED, session_id="named"), MEMORY_PROJECT=PROJECT)


def test_what_a_session_stored_itself_is_not_told_to_it(memories: Memories) -> None:
    memories.remember(Draft(PORT, session=SESSION))
    assert told(prompt(ASKED)) == ""
    assert PORT in told(prompt(ASKED, session_id="another"))
    # After a compaction it has lost it.
    told(payload("SessionStart", source="compact"), MEMORY_CONTEXT_TOKENS="1")
    assert PORT in told(prompt(ASKED))


def test_a_session_starts_with_a_brief_within_its_budget(memories: Memories, folder: str) -> None:
    for number in range(40):
        memories.remember(
            Draft(f"Decision {number}: module {number * 31} is written in {'Go Rust C Zig'.split()[number % 4]}.", "decisions")
        )
    memories.remember(Draft("I prefer tabs.", "preferences", importance=0.9))
    memories.remember(Draft("Heron is deployed by Ansible.", "decisions", scope=Scope.of(PROJECT), importance=0.9))
    memories.remember(Draft("Stork is deployed by hand.", "decisions", scope=Scope.of("example.com/team/stork"), importance=0.9))
    said = told(payload("SessionStart", source="startup", cwd=folder))
    assert "I prefer tabs." in said
    assert "Heron is deployed" in said
    assert "Stork" not in said
    from bethink.text import tokens

    assert tokens(said) <= 800
    # What the brief told is not told again.
    assert told(prompt("how is heron deployed by ansible?", cwd=folder)) == ""


def test_an_empty_store_says_nothing(home: Path) -> None:
    assert fire(payload("SessionStart", source="startup")).stdout == b""
    assert fire(prompt(ASKED)).stdout == b""
    assert not (home / "memory.db").exists()


@pytest.mark.parametrize("source", ["resume", "fork"])
def test_a_session_that_goes_on_gets_what_is_new(memories: Memories, source: str) -> None:
    memories.remember(Draft("An old decision: we deploy with Ansible.", "decisions"))
    assert "Ansible" in told(payload("SessionStart", source="startup"))
    assert fire(payload("SessionStart", source=source)).stdout == b""
    memories.remember(Draft("A new decision: the cluster is called Heron.", "decisions"))
    said = told(payload("SessionStart", source=source))
    assert "Heron" in said
    assert "Ansible" not in said
    assert fire(payload("SessionStart", source=source)).stdout == b""


def test_a_session_that_is_not_known_is_told_what_came_since_it_slept(memories: Memories) -> None:
    old = time.time() - 7200
    from datetime import UTC, datetime

    memories.remember(Draft("An old decision: we deploy with Ansible.", "decisions", created_at=datetime.fromtimestamp(old, UTC)))
    memories.remember(Draft("A new decision: the cluster is called Heron.", "decisions"))
    said = told(payload("SessionStart", source="fork", seconds_since_last_response=3600))
    assert "Heron" in said
    assert "Ansible" not in said
    # It may have been there before Bethink was.
    assert "Ansible" in told(payload("SessionStart", source="resume", session_id="older"))


def test_clear_begins_anew(memories: Memories) -> None:
    memories.remember(Draft("An old decision: we deploy with Ansible.", "decisions"))
    told(payload("SessionStart", source="startup"))
    assert "Ansible" in told(payload("SessionStart", source="clear"))


def transcript(path: Path) -> str:
    lines = [
        {"type": "user", "uuid": "u1", "parentUuid": None, "message": {"role": "user", "content": "make the importer resumable"}},
        {
            "type": "assistant",
            "uuid": "a1",
            "parentUuid": "u1",
            "message": {
                "id": "m1",
                "role": "assistant",
                "content": [{"type": "text", "text": "We decided to keep byte offsets per file."}],
            },
        },
    ]
    path.write_text("".join(json.dumps({**line, "sessionId": SESSION, "timestamp": "2026-11-21T09:00:00Z"}) + "\n" for line in lines))
    return str(path)


def test_a_compaction_loses_neither_the_brief_nor_what_was_decided(memories: Memories, home: Path, tmp_path: Path) -> None:
    memories.remember(Draft("An old decision: we deploy with Ansible.", "decisions"))
    memories.remember(Draft(PORT))
    told(payload("SessionStart", source="startup"))
    told(prompt(ASKED))
    assert fire(payload("PreCompact", trigger="auto", transcript_path=transcript(tmp_path / "t.jsonl"))).stdout == b""
    said = told(payload("SessionStart", source="compact"))
    assert "Ansible" in said
    assert "byte offsets" in said
    assert "make the importer resumable" in said
    assert len(said) <= 10_000
    # What it had seen before, it has lost.
    assert PORT in said or PORT in told(prompt(ASKED))
    assert "byte offsets" not in told(payload("SessionStart", source="compact"))
    assert [record["event"] for record in spooled(home)] == ["pre_compact"]
    assert any("byte offsets" in line for line in spooled(home)[0]["kept"])


def test_where_no_session_starts_after_a_compaction_the_next_prompt_carries_what_is_due(memories: Memories) -> None:
    memories.remember(Draft("An old decision: we deploy with Ansible.", "decisions"))
    told(payload("SessionStart", source="startup"), "gemini")
    fire(payload("PreCompress", trigger="auto"), "gemini")
    assert "Ansible" in told(payload("BeforeAgent", prompt="go on please"), "gemini")
    assert "Ansible" not in told(payload("BeforeAgent", prompt="go on please"), "gemini")


def test_a_turn_is_captured_with_what_was_asked(memories: Memories, home: Path, folder: str) -> None:
    told(prompt("why is the build red?", cwd=folder))
    assert fire(payload("Stop", last_assistant_message="A fixture was stale.", cwd=folder, stop_hook_active=False)).stdout == b""
    fire(payload("Stop", last_assistant_message="And now it is green.", cwd=folder, stop_hook_active=True))
    fire(payload("SubagentStop", last_assistant_message="Looked around.", agent_id="a1", agent_transcript_path="/t/agent-a1.jsonl"))
    fire(payload("SessionEnd", reason="clear"))
    first, second, sub, end = spooled(home)
    assert (first["user"], first["assistant"], first["project"]) == ("why is the build red?", "A fixture was stale.", PROJECT)
    assert (second["user"], second["assistant"]) == ("", "And now it is green.")
    assert (sub["user"], sub["agent_id"], sub["transcript_path"]) == ("", "a1", "/t/agent-a1.jsonl")
    assert end["event"] == "session_end"
    assert sessions.load(home, SESSION).prompt == ""


def test_what_was_injected_is_not_captured(memories: Memories, home: Path) -> None:
    memories.remember(Draft(PORT))
    said = told(prompt(ASKED))
    assert MARKER in said
    fire(payload("Stop", last_assistant_message=f"You wrote:\n{said}\nSo it is there."))
    (record,) = spooled(home)
    assert record["assistant"].split() == ["You", "wrote:", "So", "it", "is", "there."]
    # Nor does a question ask with it.
    assert told(prompt(said, session_id="quoting")) == ""


def test_files_are_the_user_s_alone(memories: Memories, home: Path) -> None:
    memories.remember(Draft(PORT))
    told(prompt(ASKED), DEBUG_CLAUDE_MEMORY_HOOKS="1")
    fire(payload("Stop", last_assistant_message="Done."))
    for path in (*(home / "run" / "sessions").iterdir(), *(home / "spool").iterdir(), home / "logs" / "injections.jsonl"):
        assert path.stat().st_mode & 0o077 == 0, path
    for path in (home / "run", home / "run" / "sessions", home / "spool", home / "logs"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("off", [{"MEMORY_OFF": "1"}, {"MEMORY_PRIVATE": "1"}, {"BETHINK_CHILD": "1"}])
def test_switched_off_nothing_is_read_or_written(memories: Memories, home: Path, off: dict[str, str]) -> None:
    memories.remember(Draft(PORT))
    before = sorted(home.rglob("*"))
    for given in (
        payload("SessionStart", source="startup"),
        prompt(ASKED),
        payload("PreCompact", trigger="auto"),
        payload("Stop", last_assistant_message="We decided to keep it."),
        payload("SessionEnd", reason="clear"),
    ):
        assert fire(given, **off).stdout == b""
    assert sorted(home.rglob("*")) == before


def test_a_project_s_file_can_switch_it_off(memories: Memories, folder: str) -> None:
    memories.remember(Draft(PORT))
    (Path(folder) / ".bethink.toml").write_text("MEMORY_OFF = true\n")
    assert fire(prompt(ASKED, cwd=folder)).stdout == b""
    assert PORT in told(prompt(ASKED))


def test_a_session_is_switched_by_a_prompt(memories: Memories, home: Path) -> None:
    memories.remember(Draft(PORT))
    reply = json.loads(fire(prompt("/memory off")).stdout)
    assert "off" in reply["systemMessage"]
    assert "hookSpecificOutput" not in reply
    assert fire(prompt(ASKED)).stdout == b""
    fire(payload("Stop", last_assistant_message="We decided to keep it."))
    assert spooled(home) == []
    assert PORT in told(prompt(ASKED, session_id="another"))
    fire(prompt("/memory on"))
    assert PORT in told(prompt(ASKED))


@pytest.mark.parametrize(
    ("tool", "allowed"),
    [
        *((f"{prefix}{name}", True) for prefix in TOOL_PREFIXES for name in sorted(APPROVED_TOOLS)),
        ("mcp__bethink__memory_delete", False),
        ("mcp__bethink__memory_purge", False),
        ("mcp__bethink__secret_get", False),
        ("mcp__bethink2__memory_store", False),
        ("mcp__evil_bethink__memory_store", False),
        ("xmcp__bethink__memory_store", False),
        ("mcp__bethink__memory_store ", False),
        ("mcp__bethink__memory_store\n", False),
        ("mcp__bethink__memory_store_all", False),
        ("MCP__BETHINK__MEMORY_STORE", False),
        ("Bash", False),
        ("", False),
    ],
)
def test_permission_is_given_to_exactly_our_own(home: Path, tool: str, allowed: bool) -> None:
    out = fire(payload("PermissionRequest", tool_name=tool, tool_input={})).stdout
    expected = {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}}
    assert (json.loads(out) if out else None) == (expected if allowed else None)


def test_permission_is_asked_for_when_people_want_that(home: Path) -> None:
    given = payload("PermissionRequest", tool_name="mcp__bethink__memory_store", tool_input={})
    assert fire(given, DISABLE_CLAUDE_MEMORY_AUTO_APPROVE="1").stdout == b""


def test_an_error_is_answered_only_where_that_is_wanted(memories: Memories) -> None:
    memories.remember(Draft("ERR_TLS_CERT_ALTNAME_INVALID means that the proxy certificate lacks the internal name."))
    given = payload("PostToolUseFailure", tool_name="Bash", error="npm failed: ERR_TLS_CERT_ALTNAME_INVALID proxy certificate")
    assert fire(given).stdout == b""
    assert "internal name" in told(given, MEMORY_HOOK_ON_FAILURE="1")


def test_a_child_that_is_started_with_our_environment_is_left_alone(memories: Memories, home: Path, tmp_path: Path) -> None:
    """A stub of `claude` that fires its own Stop hook, as the real one does when it distils for us."""
    from bethink.hosts.base import childs_environment

    stop = json.dumps(payload("Stop", last_assistant_message="We decided that this is a loop."))
    stub = tmp_path / "claude.py"
    stub.write_text(f"import subprocess\nsubprocess.run({[*COMMAND, 'claude']!r}, input={stop!r}.encode(), check=True)\n")
    subprocess.run([sys.executable, str(stub)], env=childs_environment(os.environ), check=True)
    assert spooled(home) == []
    subprocess.run([sys.executable, str(stub)], env=os.environ, check=True)
    assert len(spooled(home)) == 1


def test_the_log_says_what_happened_and_not_what_was_said(memories: Memories, home: Path) -> None:
    memories.remember(Draft(PORT))
    told(prompt(ASKED))
    assert not (home / "logs" / "hooks.log").exists()
    told(prompt(ASKED, session_id="logged"), DEBUG_CLAUDE_MEMORY_HOOKS="1")
    fire(b"garbage", DEBUG_CLAUDE_MEMORY_HOOKS="1")
    log = (home / "logs" / "hooks.log").read_text()
    assert "UserPromptSubmit logged" in log
    assert "7 bytes that are no event" in log
    assert "5433" not in log


def test_other_assistants_are_answered_in_their_own_words(memories: Memories) -> None:
    memories.remember(Draft(PORT))
    codex = json.loads(fire(prompt(ASKED, session_id="codex"), "codex").stdout)
    assert set(codex) == {"hookSpecificOutput"}
    assert PORT in told({"event": "prompt", "session": "open", "cwd": "/", "prompt": ASKED}, "opencode")
    cursor = {"conversation_id": "c", "hook_event_name": "sessionStart", "workspace_roots": ["/"], "session_id": "s"}
    assert told(cursor, "cursor")
    assert fire({**cursor, "hook_event_name": "beforeSubmitPrompt", "prompt": ASKED}, "cursor").stdout == b""
    assert fire(prompt(ASKED), "no such assistant").stdout == b""
