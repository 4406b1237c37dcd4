"""Real assistants in a home of their own, with the real bethink on their PATH, against a scripted model on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bethink import Filter, open_memories
from bethink.intake import injections
from kit.fake_anthropic import FakeAnthropic
from kit.hook import spooled
from kit.node import need, with_node

ROOT = Path(__file__).resolve().parents[2]
#: What pip writes for the command.
BETHINK = """#!{python}
import sys
from bethink.front.cli import main
sys.exit(main())
"""
#: Claude Code asks nobody but the endpoint that it is given.
CLAUDE_ALONE = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "IS_SANDBOX": "1",
    "ENABLE_TOOL_SEARCH": "false",
}


@dataclass
class Assistant:
    """A user's home; `env` is added to what the assistant is started with."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bin", "project"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        command = self.home / "bin" / "bethink"
        command.write_text(BETHINK.format(python=sys.executable))
        command.chmod(0o755)

    @property
    def memory(self) -> Path:
        """MEMORY_HOME."""
        return self.home / "memory"

    def environment(self) -> dict[str, str]:
        return {
            **with_node({"PATH": f"{self.home / 'bin'}:/usr/bin:/bin"}),
            "HOME": str(self.home),
            "MEMORY_HOME": str(self.memory),
            # The machine runs other tests meanwhile; what a hook takes is measured elsewhere.
            "MEMORY_HOOK_MS": "9000",
            # What is learned from a conversation beside what is stored is tested elsewhere.
            "MEMORY_LEARN": "0",
            **self.env,
        }

    def run(self, name: str, *arguments: str) -> str:
        """What the program prints; it must end well."""
        command = [str(need(name)), *arguments]
        run = subprocess.run(
            command,
            env=self.environment(),
            cwd=self.home / "project",
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def captured(self) -> list[str]:
        """What the person said, as hooks captured it, whether it still waits or is in the archive already."""
        with open_memories(self.memory / "memory.db", with_embedder=False) as memories:
            kept = [memory.content for memory in memories.export(Filter()) if memory.source == "transcript"]
        return [*kept, *(str(record["user"]) for record in spooled(self.memory) if record["event"] == "stop")]

    def told(self, event: str) -> list[list[str]]:
        """The ids that each hook of a kind told, oldest first."""
        return [entry["ids"] for entry in injections.read(self.memory) if entry["event"] == event]


@dataclass
class ClaudeCode(Assistant):
    """Claude Code with the plugin, installed from the marketplace in this checkout."""

    def environment(self) -> dict[str, str]:
        return {
            "CLAUDE_CONFIG_DIR": str(self.home / "config"),
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
            "ANTHROPIC_API_KEY": "-".join(("sk", "ant", "dummy")),
            **CLAUDE_ALONE,
            **super().environment(),
        }

    def install(self) -> None:
        self.run("claude", "plugin", "marketplace", "add", str(ROOT))
        self.run("claude", "plugin", "install", "bethink@bethink")

    def ask(self, prompt: str, model: FakeAnthropic, *arguments: str) -> list[dict[str, Any]]:
        """One `claude -p` in a process of its own; the lines of its stream."""
        self.env["ANTHROPIC_BASE_URL"] = model.url
        out = self.run("claude", "-p", prompt, "--output-format", "stream-json", "--verbose", *arguments)
        return [json.loads(line) for line in out.splitlines()]
