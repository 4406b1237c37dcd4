"""One very large transcript: how fast it is imported, and how much memory that takes.

    .venv/bin/python bench/intake/big_transcript.py --megabytes 1000

The file is like a real session: nine tenths of it are what tools answered, the rest is talk. With --markdown FILE the
figures are written as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

WORDS = "gear pump valve shaft clutch bearing motor sensor relay frame belt piston filter hose bolt spring".split()


def lines(size: int) -> Iterator[bytes]:
    """Lines of a session of about `size` bytes."""
    chance = random.Random(1)
    written = number = 0
    start = datetime(2026, 1, 1, tzinfo=UTC)
    while written < size:
        number += 1
        at = (start + timedelta(seconds=number)).isoformat()
        said = " ".join(chance.choices(WORDS, k=60)) + f" number {number}"
        calls = [{"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": f"make part{number % 40}"}}]
        answer = "\n".join(" ".join(chance.choices(WORDS, k=12)) for _ in range(chance.choice((20, 60, 400))))
        entries: list[tuple[str, Any]] = [
            ("user", said),
            ("assistant", [{"type": "text", "text": said[::-1]}, *calls]),
            ("user", [{"type": "tool_result", "tool_use_id": f"t{number}", "content": answer}]),
        ]
        for place, (role, content) in enumerate(entries):
            line = json.dumps(
                {
                    "type": role,
                    "uuid": f"u{number}-{place}",
                    "sessionId": "big",
                    "cwd": "/home/u/big",
                    "timestamp": at,
                    "message": {"role": role, "id": f"m{number}-{place}", "content": content},
                }
            ).encode()
            written += len(line) + 1
            yield line + b"\n"


def measure(megabytes: int, folder: Path) -> dict[str, float]:
    """Writes the file, imports it in a process of its own, and answers what that took."""
    path = folder / "projects" / "-home-u-big" / "big.jsonl"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.writelines(lines(megabytes * 1_000_000))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    environment = {**os.environ, "MEMORY_HOME": str(folder / "home")}
    command = [sys.executable, "-c", "from bethink.front.cli import main; main()", "import", "--claude-code", str(path.parent), "--json"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(done.stdout)
    return {
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "turns": report["turns"],
        "memories": report["memories"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "megabytes_per_second": round(path.stat().st_size / 1e6 / seconds, 1),
        "turns_per_second": round(report["turns"] / seconds, 1),
        # Linux counts kilobytes, macOS bytes.
        "peak_rss_mb": round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024), 1),
        "store_mb": round(sum(each.stat().st_size for each in (folder / "home").glob("memory.db*")) / 1e6, 1),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=200)
    options.add_argument("--markdown", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(given.megabytes, Path(folder))
    print(json.dumps(figures, indent=2))
    if given.markdown:
        head = " | ".join(name.replace("_", " ") for name in figures)
        row = " | ".join(f"{value:,}" for value in figures.values())
        machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end, Python {sys.version.split()[0]}."
        given.markdown.write_text(f"| {head} |\n|{'---|' * len(figures)}\n| {row} |\n\n{machine}\n", "utf-8")


if __name__ == "__main__":
    main()
