"""`bethink import` as a process: killed at any moment, real sessions, exports, and questions about what came in."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bethink import config, wire
from bethink.model import Filter, Query

COMMAND = [sys.executable, "-c", "from bethink.front.cli import main; main()"]


def bethink(home: Path, *arguments: str) -> Any:
    environment = {**os.environ, "MEMORY_HOME": str(home), "OLLAMA_URL": "http://127.0.0.1:9/v1"}
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def state(home: Path) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Everything that an import leaves behind."""
    with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=False) as memories:
        found = memories.store.walk(memories.access, Filter(source="transcript", statuses=()), memories.now())
        rows = sorted(
            (one.id, one.content, one.session, one.created_at, json.dumps(dict(one.origin or {}), sort_keys=True)) for one in found
        )
        kept = {name: memories.states(name) for name in ("transcripts", "sessions")}
        assert memories.verify_audit() is None
        return rows, kept


def write(root: Path, sessions: int, turns: int) -> None:
    for session in range(sessions):
        path = root / "-home-u-app" / f"session-{session}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(turns):
            role = "user" if number % 2 == 0 else "assistant"
            said = f"Turn {number} of session {session} is about gear {number * 7919 % 1009} of the machine"
            content: Any = said
            if role == "assistant":
                command = {"type": "tool_use", "id": f"t{session}-{number}", "name": "Bash", "input": {"command": f"make part{number % 5}"}}
                content = [{"type": "text", "text": said}, command]
            lines.append(_line(session, number, role, content))
            if role == "assistant":
                result = {"type": "tool_result", "tool_use_id": f"t{session}-{number}", "content": "ok"}
                lines.append(_line(session, number, "user", [result], "-result"))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.utime(path, (1_700_000_000 + session, 1_700_000_000 + session))


def age(root: Path, seconds: float) -> None:
    """Makes every file under `root` look last written so long ago, whenever it came here."""
    at = time.time() - seconds
    for path in (path for path in root.rglob("*") if path.is_file()):
        path.chmod(0o644)
        os.utime(path, (at, at))


def _line(session: int, number: int, role: str, content: Any, suffix: str = "") -> dict[str, Any]:
    return {
        "type": role,
        "uuid": f"{session}-{number}{suffix}",
        "sessionId": f"session-{session}",
        "cwd": "/home/u/app",
        "timestamp": f"2026-10-{1 + session:02}T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "message": {"role": role, "id": f"m{session}-{number}", "content": content},
    }


@pytest.mark.slow
def test_an_import_that_is_killed_ends_like_one_that_was_not(tmp_path: Path) -> None:
    root = tmp_path / "projects"
    write(root, sessions=3, turns=2400)
    bethink(tmp_path / "whole", "import", "--claude-code", str(root))
    expected = state(tmp_path / "whole")
    assert len(expected[0]) == 7200
    chance = random.Random(7)
    home = tmp_path / "killed"
    environment = {**os.environ, "MEMORY_HOME": str(home)}
    killed = 0
    for _ in range(12):
        command = [*COMMAND, "import", "--claude-code", str(root)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.6, 2.5))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    report = bethink(home, "import", "--claude-code", str(root))
    assert killed > 0 and report["files"] == 3
    assert state(home) == expected


def test_real_sessions_come_in_whole_and_once(tmp_path: Path, evaluation: Path) -> None:
    given = evaluation / "claude-code-sessions"
    if not given.is_dir():
        pytest.skip(f"the evaluation data has no sessions of Claude Code: there is no {given}")
    root, home = tmp_path / "sessions", tmp_path / "home"
    shutil.copytree(given, root, copy_function=shutil.copyfile)
    age(root, seconds=0)
    first = bethink(home, "import", "--claude-code", str(root))
    assert first["turns"] > 300 and first["memories"] > 200 and first["broken_lines"] == 0 and first["problems"] == []
    assert first["memories"] + first["known"] <= first["turns"] + 50
    assert bethink(home, "import", "--claude-code", str(root))["memories"] == 0
    age(root, seconds=3600)
    rest = bethink(home, "import", "--claude-code", str(root))
    assert 0 < rest["memories"] <= rest["files"], "the last turn of each, which might still have grown"
    again = bethink(home, "import", "--claude-code", str(root))
    assert again["memories"] == 0 and again["unchanged"] == again["files"] == first["files"]
    total = first["memories"] + rest["memories"]
    assert bethink(home, "stats")["by_source"] == {"transcript": total}
    assert bethink(home, "export") == []
    assert len(bethink(home, "export", "--archive")) == total
    assert bethink(home, "archive")["memories"] == total
    pruned = bethink(home, "archive", "prune", "--everything", "--yes")
    assert pruned["done"] and bethink(home, "stats")["total"] == 0


def test_exports_of_two_services_come_in(tmp_path: Path, evaluation: Path) -> None:
    exports = evaluation / "exports"
    if not exports.is_dir():
        pytest.skip(f"no {exports}")
    given = ["--claude-ai", str(exports / "claude-ai-conversations.json"), "--chatgpt", str(exports / "chatgpt-conversations.json")]
    report = bethink(tmp_path / "home", "import", *given)
    assert report["sessions"] >= 2 and report["memories"] >= 5 and report["problems"] == []
    assert bethink(tmp_path / "home", "import", *given)["unchanged"] == 2


@pytest.mark.slow
def test_questions_reach_the_turn_that_answers_them(tmp_path: Path, evaluation: Path) -> None:
    source = evaluation / "locomo-dev.json"
    if not source.is_file():
        pytest.skip(f"no {source}")
    from intake.locomo_transcripts import write as rendered

    rendered(source, tmp_path / "projects")
    home = tmp_path / "home"
    bethink(home, "import", "--claude-code", str(tmp_path / "projects"))
    asked = reached = 0
    with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=False) as memories:
        for sample in json.loads(source.read_text("utf-8")):
            name = sample["sample_id"]
            for one in sample["qa"][::8]:
                if not one["evidence"]:
                    continue
                asked += 1
                where = Filter(reach=memories.reach(f"/home/u/{name}"))
                hits = memories.recall(Query(one["question"], where=where, limit=10, mode="keyword")).hits
                wanted = {f"{name}-session-{id.split(':')[0][1:]}:{id}" for id in one["evidence"]}
                reached += bool(wanted & {str((hit.memory.origin or {}).get("uuid")) for hit in hits})
    assert asked > 80
    # Any turn of the evidence among ten, by keywords alone.
    assert reached / asked > 0.5, (reached, asked)


def test_wrong_requests_are_told(tmp_path: Path) -> None:
    environment = {**os.environ, "MEMORY_HOME": str(tmp_path / "home")}
    for arguments in (
        ["import"],
        ["import", "--claude-code", "/nowhere"],
        ["import", "--text"],
        ["archive", "prune"],
        ["schedule", "nonsense"],
    ):
        done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, env=environment, timeout=60, check=False)
        assert done.returncode == 2 and json.loads(done.stdout)["hint"], (arguments, done.stdout, done.stderr)
