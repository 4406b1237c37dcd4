"""Distilling with a real model behind a real llama.cpp server: the plumbing, and what a bad model may not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bethink import config, wire
from bethink.intake.models import ClaudeCode
from bethink.model import Filter
from kit.llm import MODEL, server

COMMAND = [sys.executable, "-c", "from bethink.front.cli import main; main()"]
SAID = [
    ("user", "We decided to use PostgreSQL 16 for the billing service because SQLite locks under load."),
    ("assistant", "Understood. The root cause of the failing test was a stale cache in session_store.py."),
    ("user", "Always use pnpm instead of npm in this repository."),
    ("assistant", "I will use pnpm from now on."),
    ("user", "The staging server listens on port 5433."),
    ("assistant", "Noted."),
]


def bethink(environment: dict[str, str], *arguments: str, seconds: int = 280) -> Any:
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, env=environment, timeout=seconds, check=False)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_model_is_asked_and_believed_only_with_a_quote(tmp_path: Path) -> None:
    path = tmp_path / "projects" / "-home-u-app" / "s1.jsonl"
    path.parent.mkdir(parents=True)
    lines = [
        {
            "type": role,
            "uuid": f"u{number}",
            "sessionId": "s1",
            "cwd": "/home/u/app",
            "timestamp": f"2026-10-01T10:00:{number:02}Z",
            "message": {"role": role, "id": f"m{number}", "content": said if role == "user" else [{"type": "text", "text": said}]},
        }
        for number, (role, said) in enumerate(SAID)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    home = tmp_path / "home"
    with server() as url:
        environment = {**os.environ, "MEMORY_HOME": str(home), "OLLAMA_URL": url, "DISTILL_MODEL": MODEL, "DISTILL_TIMEOUT": "260"}
        bethink(environment, "import", "--claude-code", str(tmp_path / "projects"))
        report = bethink(environment, "distil", "--workers", "1", seconds=600)
    assert report["model"].startswith(MODEL) and report["sessions"] + report["failed"] == 1
    assert report["today"]["calls"] >= 1 and report["tokens"] > 100
    spoken = " ".join(" ".join(said.split()) for _, said in SAID)
    with wire.open_memories(settings=config.load({"MEMORY_HOME": str(home)}), with_embedder=False) as memories:
        for memory in memories.store.walk(memories.access, Filter(source="distil", statuses=()), memories.now()):
            assert " ".join(str((memory.origin or {})["quote"]).split()) in spoken
            assert memory.status == "candidate"


@pytest.mark.slow
def test_the_real_claude_code_answers_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kit.fake_anthropic import FakeAnthropic
    from kit.node import need, node

    program = need("claude")
    log = tmp_path / "hook-ran"
    config_folder = tmp_path / ".claude"
    config_folder.mkdir()
    hook = {"type": "command", "command": f"touch {log}"}
    settings = {"hooks": {name: [{"hooks": [hook]}] for name in ("SessionStart", "UserPromptSubmit", "Stop")}}
    (config_folder / "settings.json").write_text(json.dumps(settings))
    values = {
        "HOME": str(tmp_path),
        "CLAUDE_CONFIG_DIR": str(config_folder),
        "ANTHROPIC_API_KEY": "-".join(("sk", "ant", "dummy")),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with FakeAnthropic('{"items": []}') as model:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", model.url)
        answer = ClaudeCode(str(program)).ask("Find what matters.", "USER: hello", {"type": "object"}, 100)
        assert json.loads(answer.text) == {"items": []} and answer.tokens > 0
        assert "Find what matters." in model.seen() and not any(body.get("tools") for body in model.requests)
    assert not log.exists()
    assert list(config_folder.rglob("*.jsonl")) == []
