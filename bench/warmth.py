"""What ten open sessions of assistants cost in memory: ten `bethink mcp` on one store, of which one has the model loaded.

    python bench/warmth.py [--sessions 10] [--json FILE] [--markdown FILE]

RSS counts pages that processes share in each of them, PSS divides them; both in MB, from /proc. "idle" is after the handshake, "used" after
each session has stored and recalled once. Beside it what ten would take if each had the model of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bethink.warm.client import ask
from bethink.warm.spot import Spot

COMMAND = [sys.executable, "-c", "from bethink.front.cli import main; main()", "mcp"]
EMPTY = [sys.executable, "-c", "from mcp.server import MCPServer; MCPServer('empty').run('stdio')"]


class Session:
    """A server process and what an assistant says to it."""

    def __init__(self, command: list[str], home: Path) -> None:
        self._id = 0
        environment = {**os.environ, "MEMORY_HOME": str(home)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=home.parent
        )
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self.say("initialize", about)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.say("tools/list", {})

    def say(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._id += 1
        self._send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["id"] == self._id, answer
        return answer

    def tool(self, name: str, **arguments: Any) -> None:
        answer = self.say("tools/call", {"name": name, "arguments": arguments})
        assert not answer["result"].get("isError"), answer

    def megabytes(self) -> tuple[float, float]:
        """(RSS, PSS)"""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        return found["Rss"] / 1024, found["Pss"] / 1024

    def has_model(self) -> bool:
        return "onnxruntime" in Path(f"/proc/{self.process.pid}/maps").read_text()

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()


def row(sessions: list[Session]) -> dict[str, Any]:
    sizes = [(session.has_model(), *session.megabytes()) for session in sessions]
    others = [rss for has_model, rss, _ in sizes if not has_model]
    return {
        "with_model": sum(has_model for has_model, _, _ in sizes),
        "largest_rss": max(rss for _, rss, _ in sizes),
        "other_rss": statistics.median(others) if others else 0.0,
        "rss": sum(rss for _, rss, _ in sizes),
        "pss": sum(pss for _, _, pss in sizes),
    }


def measure(count: int, folder: Path) -> dict[str, dict[str, Any]]:
    home = folder / "home"
    home.mkdir()
    spot = Spot(home, home / "memory.db")
    sessions = [Session(COMMAND, home) for _ in range(count)]
    while ask(spot, {"op": "prompt", "prompt": "is it warm by now?", "seen": []}, 10) is None:
        time.sleep(0.2)
    time.sleep(2)
    results = {f"{count} sessions, idle": row(sessions)}
    for number, session in enumerate(sessions):
        session.tool("memory_store", content=f"Session {number} prefers editor number {number * 31}.")
        session.tool("memory_recall", context="which editor is preferred?")
    results[f"{count} sessions, used"] = row(sessions)
    for session in sessions:
        session.close()
    alone = Session(COMMAND, folder / "alone")
    spot = Spot(folder / "alone", folder / "alone" / "memory.db")
    while ask(spot, {"op": "prompt", "prompt": "is it warm by now?", "seen": []}, 10) is None:
        time.sleep(0.2)
    single = row([alone])
    alone.close()
    results[f"{count} sessions, each with a model of its own (one × {count})"] = {
        **single, "with_model": count, "rss": single["rss"] * count, "pss": single["pss"] * count,
    }  # fmt: skip
    empty = Session(EMPTY, home)
    results["one empty server of the SDK"] = row([empty])
    empty.close()
    return results


def markdown(results: dict[str, dict[str, Any]]) -> str:
    lines = ["| | with a model | largest RSS | RSS of another | RSS together | PSS together |", "|---|---|---|---|---|---|"]
    for name, it in results.items():
        other = f"{it['other_rss']:.0f} MB" if it["other_rss"] else ""
        lines.append(f"| {name} | {it['with_model']} | {it['largest_rss']:.0f} MB | {other} | {it['rss']:.0f} MB | {it['pss']:.0f} MB |")
    return "\n".join(lines) + f"\n\nPython {sys.version.split()[0]}, {sys.platform}.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        print("skipped: reads /proc")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options.sessions, Path(folder))
    made = markdown(results)
    print(made)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), "utf-8")
    if options.markdown:
        options.markdown.write_text(made, "utf-8")
    one = next(iter(results.values()))["with_model"] == 1
    print("One model is in memory." if one else "More than one model is in memory: MISSED.")
    return 0 if one else 1


if __name__ == "__main__":
    sys.exit(main())
