"""How long after its start `bethink mcp` answers `initialize`, beside an empty server of the same SDK in the same run.

    python bench/startup.py [--runs N] [--json]

The servers take turns, so that noise of the machine meets all of them; CPU time counts, wall time is shown beside it.
The store holds nothing, is locked by another process, damaged, or never answers: none may matter before the first call.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

EMPTY = "from mcp.server import MCPServer; MCPServer('empty').run('stdio')"
OURS = [sys.executable, "-c", "from bethink.front.cli import main; main()", "mcp"]
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}
RESULTS = Path(__file__).parent / "results"


@contextmanager
def home(kind: str) -> Iterator[Path]:
    """A MEMORY_HOME whose store is in the given state."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        if kind == "damaged":
            path.write_bytes(b"this is no database " * 1000)
        if kind == "hanging":
            os.mkfifo(path)
        holder = None
        if kind == "locked":
            holder = apsw.Connection(str(path))
            holder.execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE")
        yield Path(folder)
        if holder is not None:
            holder.close()


def once(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds (wall, CPU) from the start of a process until it has answered `initialize`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MEMORY_HOME": str(folder)},
        cwd=folder,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(HELLO).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    wall = time.perf_counter() - started
    assert "result" in answer, answer
    # Killed at once: what a server does after its answer is not counted.
    process.kill()
    process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(runs: int) -> dict[str, tuple[float, float]]:
    """Server → median (wall, CPU) in seconds."""
    kinds = ["no store yet", "locked", "damaged", *(["hanging"] if hasattr(os, "mkfifo") else [])]
    seen: dict[str, list[tuple[float, float]]] = {}
    for _ in range(runs):
        with home("") as folder:
            seen.setdefault("empty server of the SDK", []).append(once([sys.executable, "-c", EMPTY], folder))
        for kind in kinds:
            with home(kind) as folder:
                seen.setdefault(f"bethink mcp, {kind}", []).append(once(OURS, folder))
    return {name: (statistics.median(w for w, _ in all_), statistics.median(c for _, c in all_)) for name, all_ in seen.items()}


def table(medians: dict[str, tuple[float, float]], runs: int) -> str:
    base_wall, base_cpu = next(iter(medians.values()))
    lines = ["| server | wall s | CPU s | CPU ratio | wall ratio |", "|---|---|---|---|---|"]
    for name, (wall, cpu) in medians.items():
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / base_cpu:.2f} | {wall / base_wall:.2f} |")
    return "\n".join([*lines, "", f"Medians of {runs} starts each, {os.cpu_count()} cores, Python {sys.version.split()[0]}."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    medians = measure(options.runs)
    if options.json:
        print(json.dumps(medians, indent=1))
        return 0
    made = table(medians, options.runs)
    print(made)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "startup.md").write_text(made + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
