"""Many servers on one store: nothing is lost, nothing is doubled, nobody is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import apsw
import pytest

from kit.mcp import Bare, environment, said

PROCESSES = 8
CLI = [sys.executable, "-c", "from bethink.front.cli import main; main()"]


@pytest.mark.parametrize("each", [25, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_eight_servers_and_the_command_line_store_and_recall_at_once(home: Path, each: int) -> None:
    problems: list[str] = []
    ids: list[set[str]] = [set() for _ in range(PROCESSES)]

    def store(number: int) -> None:
        with Bare(home) as server:
            server.shake(name=f"assistant-{number}")
            for turn in range(each):
                # Names of their own, so that nothing is a restatement or a correction of anything.
                word = f"w{number:02d}x{turn:04d}q"
                result = server.tool("memory_store", content=f"{word} belongs to bucket {word[::-1]}", category="notes")
                if result.get("isError"):
                    problems.append(said(result))
                    continue
                ids[number].add(result["structuredContent"]["id"])
                if turn % 10 == 0:
                    found = server.tool("memory_recall", context=word, mode="keyword")
                    if found.get("isError") or word not in said(found):
                        problems.append(f"{word} was not found: {said(found)[:300]}")

    def command(stop: threading.Event) -> int:
        count = 0
        while not stop.is_set():
            count += 1
            word = f"c{count:05d}z"
            line = [*CLI, "add", f"{word} belongs to bucket {word[::-1]}", "--json"]
            done = subprocess.run(line, capture_output=True, text=True, env=environment(home), cwd=home.parent, timeout=120)
            if done.returncode:
                problems.append(f"{done.returncode}: {done.stdout}{done.stderr}")
        return count

    stop = threading.Event()
    with ThreadPoolExecutor(PROCESSES + 1) as pool:
        typed = pool.submit(command, stop)
        stores = [pool.submit(store, number) for number in range(PROCESSES)]
        # A failure of one must not leave the command line at work for ever.
        wait(stores)
        stop.set()
        count = typed.result()
        for one in stores:
            one.result()
    assert problems == []
    every = set().union(*ids)
    assert len(every) == PROCESSES * each
    database = apsw.Connection(str(home / "memory.db"))
    assert database.pragma("integrity_check") == "ok"
    assert database.execute("SELECT count(*) FROM memories").get == PROCESSES * each + count
    database.close()
    with Bare(home) as last:
        last.shake()
        counted = last.tool("memory_count")["structuredContent"]
        assert counted["total"] == PROCESSES * each + count


def test_what_one_stored_another_finds_by_meaning(home: Path) -> None:
    with Bare(home) as one, Bare(home) as other:
        one.shake()
        other.shake()
        one.tool("memory_store", content="The harbour is closed in May because of the ice")
        one.tool("memory_store", content="Olga counts the penguins each winter")
        for _ in range(100):
            if other.tool("memory_count")["structuredContent"]["pending_vectors"] == 0:
                break
            threading.Event().wait(0.1)
        hits = other.tool("memory_recall", context="when can no ship get in?")["structuredContent"]["hits"]
        assert hits and "harbour" in hits[0]["content"]
        assert "keyword" not in hits[0]["why"] and hits[0]["why"]["semantic"] > 0
