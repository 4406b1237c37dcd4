"""Secrets go in through every way of writing; no byte of them may be found anywhere, but through `secret_get`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bethink import Changes, Draft, Query, open_memories
from bethink.intake import spool
from kit.canary import Canary, flock, traces
from kit.hook import told
from kit.mcp import Bare

BETHINK = [sys.executable, "-c", "import sys; from bethink.front.cli import main; main()"]


def run(home: Path, *args: str, stdin: str | None = None) -> str:
    """Runs a command and answers everything that it printed."""
    environment = {**os.environ, "MEMORY_HOME": str(home)}
    done = subprocess.run([*BETHINK, *args], input=stdin, capture_output=True, text=True, env=environment, cwd=home.parent, timeout=120)
    return done.stdout + done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def through_python(home: Path, canaries: list[Canary]) -> str:
    with open_memories(home / "memory.db") as memories:
        for canary in canaries:
            kept = memories.remember(Draft(f"A note about {canary.kind}")).memory
            memories.revise(kept.id, Changes(content=canary.sentence))
            memories.remember(
                Draft(f"{canary.kind} in a tag", tags=(canary.secret.replace("\n", " ")[:90],), expanded_keywords=canary.sentence)
            )
            other = memories.remember(Draft(f"{canary.kind} in an origin", origin={"file": "notes.md", "quote": canary.sentence})).memory
            memories.link(kept.id, other.id, "see_also", canary.sentence)
        answered = [memories.recall(Query(canary.kind)) for canary in canaries]
    return repr(answered)


def through_commands(home: Path, canaries: list[Canary]) -> str:
    out = [run(home, "add", canary.sentence) for canary in canaries]
    lines = "\n".join(json.dumps({"content": canary.sentence, "tags": ["x"], "origin": {"quote": canary.sentence}}) for canary in canaries)
    out.append(run(home, "add", "--stdin-jsonl", stdin=lines))
    out.append(run(home, "add", "--stdin-jsonl", stdin='{"content": ' + json.dumps(canaries[2].sentence) + ', "nonsense": 1'))
    entries = home.parent / "entries.json"
    ids = [f"0199f3c2-7b1e-7000-8000-{number:012}" for number in range(len(canaries) + 1)]
    imported = [
        {
            "id": ids[number],
            "content": f"Imported. {canary.sentence}",
            "links": [{"target": ids[-1], "type": "see_also", "note": canary.sentence}],
        }
        for number, canary in enumerate(canaries)
    ]
    entries.write_text(json.dumps([*imported, {"id": ids[-1], "content": "What they have in common."}]))
    out.append(run(home, "import", str(entries), "--json"))
    entries.unlink()
    out.append(run(home, "link", ids[0], ids[1], "--type", "supports", "--note", canaries[0].sentence))
    assert '"links": 0' not in out[-2] and "rror" not in out[-1], out[-2:]
    out.append(run(home, "why", ids[0], "--json"))
    out.extend(
        run(home, *words) for words in (("list", "--json"), ("export", "--json"), ("recall", "key token password", "--json"), ("stats",))
    )
    out.append(run(home, "backup", str(home / "backup.db")))
    out.append(run(home, "doctor", "--json"))
    return "\n".join(out)


def through_mcp(home: Path, canaries: list[Canary]) -> str:
    with Bare(home, "--tools", "all") as server:
        server.shake()
        out = []
        for canary in canaries:
            stored = server.tool("memory_store", content=canary.sentence, expanded_keywords=canary.sentence)
            out.append(json.dumps(stored))
            id = stored["structuredContent"]["id"]
            out.append(json.dumps(server.tool("memory_update", id=id, content=f"Again: {canary.sentence}")))
            other = server.tool("memory_store", content=f"A note beside {canary.kind}")["structuredContent"]["id"]
            linked = server.tool("memory_link", source=id, target=other, type="see_also", note=canary.sentence)
            assert not linked.get("isError"), linked
            out.append(json.dumps(linked))
            out.append(json.dumps(server.tool("memory_recall", context=canary.kind)))
            out.append(json.dumps(server.tool("memory_get", id=id)))
        out.append(json.dumps(server.tool("memory_list", limit=50)))
    return "\n".join(out)


def through_sessions(home: Path, canaries: list[Canary]) -> str:
    """Said to an assistant: captured by its hooks and drained, read from its transcripts, distilled, counted."""
    folder = home.parent / "projects" / "-home-u-app"
    folder.mkdir(parents=True)
    transcript = folder / "s1.jsonl"
    out = []
    with transcript.open("w") as file:
        for number, canary in enumerate(canaries):
            decided = f"We decided to use PostgreSQL 16 for billing {number}. {canary.sentence}"
            for entry in _exchange(number, decided, f"No, never use this again: {canary.sentence}", canary.sentence):
                file.write(json.dumps(entry) + "\n")
    os.utime(transcript, (1_700_000_000, 1_700_000_000))
    env = {"MEMORY_HOME": str(home), "OLLAMA_URL": "http://127.0.0.1:9/v1"}
    for number, canary in enumerate(canaries):
        event = {"session_id": f"0000000{number:02}-aaaa", "cwd": str(home.parent), "transcript_path": str(transcript)}
        for more in (
            {"hook_event_name": "UserPromptSubmit", "prompt": f"Remember: {canary.sentence}"},
            {"hook_event_name": "Stop", "last_assistant_message": f"I noted it. {canary.sentence}"},
            {"hook_event_name": "PreCompact", "trigger": "auto"},
            {"hook_event_name": "SessionEnd", "reason": "exit"},
        ):
            out.append(told({**event, **more}, **env))
    assert spool.pending(home)
    out.append(run(home, "drain", "--json"))
    assert not spool.pending(home) and not spool.failed(home)
    out.append(run(home, "import", "--claude-code", str(folder.parent), "--json"))
    out += [run(home, *words, "--json") for words in (("distil",), ("signals",), ("behave",), ("preferences",), ("profile",), ("archive",))]
    out.append(run(home, "recall", "billing key token password", "--all-projects", "--json"))
    assert json.loads(run(home, "archive", "--json"))["memories"] >= 3 * len(canaries)
    transcript.unlink()
    return "\n".join(out)


def _exchange(number: int, asked: str, corrected: str, secret: str) -> Iterator[dict[str, Any]]:
    """The lines of a transcript in which something is asked, done and corrected."""
    call = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": f"deploy {secret}"}}
    edit = {"type": "tool_use", "id": f"e{number}", "name": "Edit", "input": {"file_path": f"/home/u/app/{secret}"}}
    done = [{"type": "tool_result", "tool_use_id": f"{kind}{number}", "content": secret} for kind in "te"]
    messages: list[dict[str, Any]] = [{"role": "user", "content": words} for words in (asked, done, corrected)]
    messages.insert(1, {"role": "assistant", "id": f"m{number}", "content": [call, edit]})
    for place, message in enumerate(messages):
        yield {
            "type": message["role"],
            "uuid": f"{number}-{place}",
            "sessionId": "s1",
            "cwd": "/home/u/app",
            "timestamp": f"2026-10-01T10:{number:02}:{place:02}Z",
            "message": message,
        }


WAYS = {"python": through_python, "commands": through_commands, "mcp": through_mcp, "sessions": through_sessions}


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_is_found_anywhere(store: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_URL", "http://127.0.0.1:9/v1")
    canaries = flock(seed=len(way))
    said = WAYS[way](store, canaries)
    assert traces(canaries, store, said) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The test above proves nothing unless the search works."""
    canary = flock(seed=1)[2]
    (tmp_path / "leak").write_bytes(b"\x00" + canary.secret.encode().hex().encode())
    assert traces([canary], tmp_path, "nothing", f"it is {canary.secret}") == [
        f"{canary.kind} as hex in leak",
        f"{canary.kind} as text in output",
        f"{canary.kind} as json in output",
    ]


def test_every_secret_can_be_had_back(store: Path) -> None:
    canaries = flock(seed=5)
    with open_memories(store / "memory.db") as memories:
        for canary in canaries:
            kept = memories.remember(Draft(canary.sentence)).memory
            secrets = memories.secret(kept.id)["secrets"].values()
            assert any(canary.secret in secret or secret in canary.secret for secret in secrets), canary.kind


def test_a_memory_is_found_by_the_words_around_its_secret(store: Path) -> None:
    with open_memories(store / "memory.db") as memories:
        for canary in flock(seed=6):
            memories.remember(Draft(canary.sentence))
        assert "[REDACTED:" in memories.recall(Query("where does billing live?")).hits[0].memory.content


def test_purging_leaves_no_trace_of_a_plain_content(store: Path) -> None:
    word = "zanzibarqueue" + "x9"
    with open_memories(store / "memory.db") as memories:
        kept = memories.remember(Draft(f"The {word} is drained at night", tags=(f"{word}tag",))).memory
        memories.revise(kept.id, Changes(content=f"The {word} is drained at noon"))
        memories.forget(kept.id)
        memories.purge(kept.id)
    assert traces([Canary("content", "", word)], store) == []
