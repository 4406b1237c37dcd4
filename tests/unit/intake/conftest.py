"""What the tests of intake share: a store of their own, and transcripts of Claude Code written line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink import config, wire
from bethink.service.memories import Memories


@pytest.fixture
def settings(home: Path) -> config.Settings:
    return config.load({"OLLAMA_URL": "http://127.0.0.1:9/v1"})


@pytest.fixture
def memories(settings: config.Settings) -> Iterator[Memories]:
    with wire.open_memories(settings=settings, with_embedder=False) as opened:
        yield opened


class Talk:
    """A session of Claude Code that is being written."""

    def __init__(self, root: Path, session: str = "s1", cwd: str = "/home/u/app") -> None:
        self.session = session
        self.cwd = cwd
        self.path = root / "-home-u-app" / f"{session}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._count = 0
        # Two sessions never say the same at the same moment: that would be a copy.
        self._began = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=ord(session[-1]) - ord("1"))

    def line(self, entry: dict[str, Any] | bytes) -> None:
        data = entry if isinstance(entry, bytes) else json.dumps(entry).encode() + b"\n"
        with self.path.open("ab") as file:
            file.write(data)
        # Long at rest: its last turn is complete.
        os.utime(self.path, (1_700_000_000 + self._count, 1_700_000_000 + self._count))

    def user(self, text: str) -> None:
        self.line(self._entry("user", {"role": "user", "content": text}))

    def assistant(self, text: str, *tools: tuple[str, dict[str, Any], str]) -> None:
        """What it says, and (name, input, result) of the tools that it uses."""
        number = self._count
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
        blocks += [
            {"type": "tool_use", "id": f"t{self.session}{number}-{place}", "name": name, "input": given}
            for place, (name, given, _) in enumerate(tools)
        ]
        self.line(self._entry("assistant", {"role": "assistant", "id": f"m{self.session}{number}", "content": blocks}))
        for place, (_, _, result) in enumerate(tools):
            answer = {"type": "tool_result", "tool_use_id": f"t{self.session}{number}-{place}", "content": result}
            self.line(self._entry("user", {"role": "user", "content": [answer]}))

    def _entry(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        return {
            "type": kind,
            "uuid": f"{self.session}-{self._count}",
            "sessionId": self.session,
            "cwd": self.cwd,
            "timestamp": (self._began + timedelta(seconds=self._count)).isoformat(),
            "message": message,
        }


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    return tmp_path / "projects"


@pytest.fixture
def talk(transcripts: Path) -> Talk:
    return Talk(transcripts)
