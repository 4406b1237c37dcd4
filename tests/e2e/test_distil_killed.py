"""Commands that learn, as processes: killed at any moment, and what they print."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bethink import config, wire
from bethink.intake import spool
from bethink.model import Filter
from kit.fake_openai import FakeOpenAI

COMMAND = [sys.executable, "-c", "from bethink.front.cli import main; main()"]


def environment(home: Path, url: str = "http://127.0.0.1:9/v1") -> dict[str, str]:
    return {**os.environ, "MEMORY_HOME": str(home), "OLLAMA_URL": url, "MEMORY_EMBEDDER": "none", "DISTILL_WORKERS": "2"}


def bethink(home: Path, *arguments: str, url: str = "http://127.0.0.1:9/v1", code: int = 0) -> Any:
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, env=environment(home, url), timeout=240, check=False)
    assert done.returncode == code, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def write(root: Path, sessions: int) -> None:
    for number in range(sessions):
        path = root / "-home-u-app" / f"session-{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        said = [f"The machine with the serial number {number}{place}77 stands in hall {place} of plant {number}." for place in range(6)]
        lines = [
            {
                "type": "user",
                "uuid": f"{number}-{place}",
                "sessionId": f"session-{number}",
                "cwd": "/home/u/app",
                "timestamp": f"2026-10-{1 + number:02}T10:00:{place:02}Z",
                "message": {"role": "user", "content": words},
            }
            for place, words in enumerate(said)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.utime(path, (1_700_000_000, 1_700_000_000))


def answer(body: dict[str, Any]) -> str:
    """Every sentence of the conversation, as a fact."""
    sentences = re.findall(r"The machine with the serial number \d+ stands in hall \d of plant \d+\.", body["messages"][1]["content"])
    items = [{"kind": "fact", "content": one, "quote": one, "tags": [], "keywords": ""} for one in sentences]
    return json.dumps({"items": items})


def learned(home: Path) -> list[tuple[Any, ...]]:
    with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=False) as memories:
        found = memories.store.walk(memories.access, Filter(source="distil", statuses=()), memories.now())
        assert memories.verify_audit() is None
        return sorted((one.id, one.content, one.session, one.status, one.created_at) for one in found)


@pytest.mark.slow
def test_distilling_that_is_killed_ends_like_one_that_was_not(tmp_path: Path) -> None:
    write(tmp_path / "projects", 10)
    with FakeOpenAI(answer, delay=0.15) as model:
        for name in ("whole", "killed"):
            bethink(tmp_path / name, "import", "--claude-code", str(tmp_path / "projects"))
        bethink(tmp_path / "whole", "distil", url=model.url)
        chance = random.Random(3)
        for _ in range(8):
            process = subprocess.Popen(
                [*COMMAND, "distil"], env=environment(tmp_path / "killed", model.url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(chance.uniform(0.7, 2.0))
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        bethink(tmp_path / "killed", "distil", url=model.url)
    expected = learned(tmp_path / "whole")
    assert len(expected) == 60
    assert learned(tmp_path / "killed") == expected


@pytest.mark.slow
def test_a_drain_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(60):
        record = {"host": "claude", "event": "stop", "session": f"s{number % 7}", "project": None, "at": 1_790_000_000 + number}
        spool.write(home, {**record, "user": f"Question number {number} about gears", "assistant": f"Answer number {number} about gears"})
    chance = random.Random(5)
    for _ in range(6):
        process = subprocess.Popen([*COMMAND, "drain"], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert bethink(home, "drain")["left"] == 0
    assert spool.failed(home) == []
    assert bethink(home, "stats")["by_source"] == {"transcript": 120}


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(tmp_path / "projects", 2)
    bethink(home, "import", "--claude-code", str(tmp_path / "projects"))
    with FakeOpenAI(answer) as model:
        preview = bethink(home, "distil", "--dry-run", url=model.url)
        assert len(preview["found"]) == 12 and preview["stored"] == 0 and preview["tokens"] > 0
        assert bethink(home, "distil", "--max-tokens", "5", url=model.url)["waiting"] == 2
        report = bethink(home, "distil", url=model.url)
        assert (report["sessions"], report["stored"], report["today"]["calls"]) == (2, 12, 4)
    assert bethink(home, "distil", "--reset-failures")["reset"] == 0
    assert bethink(home, "behave")["notes"]
    assert bethink(home, "signals")["sessions"] == 2
    assert bethink(home, "distil", "s1", code=2)["hint"] == ""
    bethink(home, "add", "I prefer tabs over spaces.", "-c", "preferences")
    assert bethink(home, "preferences", "--all-projects")[0]["items"][0]["confidence"] == 1.0
    file = tmp_path / "CLAUDE.md"
    shown = bethink(home, "profile", "--write", str(file))
    assert "+- I prefer tabs over spaces." in shown["diff"] and not file.exists()
    assert bethink(home, "profile", "--write", str(file), "--yes")["written"]
    assert bethink(home, "profile", "--write", str(file), "--yes")["diff"] == ""
    assert bethink(home, "profile", "--write", str(file), "--remove", "--yes")["written"] and file.read_text() == ""
    status = bethink(home, "schedule", "install", "--system", "systemd")
    assert "done" not in status and len(status["files"]) == 2
    ran = bethink(home, "schedule", "run")
    assert set(ran) == {"drain", "import", "distil", "signals", "behave"}
    assert bethink(home, "schedule")["log"]
