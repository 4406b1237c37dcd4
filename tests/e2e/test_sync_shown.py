"""What `bethink sync` and a served replica say of replication, by real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kit import mcp
from kit.interrupted import interruptible
from kit.serve import Serving, free_port

BETHINK = (sys.executable, "-c", "from bethink.front.cli import main; main()")
KEY, READER = ("-".join(("a", "key", "for", "tests", "only", name, "0123456789")) for name in ("ann", "reader"))
KEYS = json.dumps({"ann": KEY, "rea": {"key": READER, "scopes": ["memory:read"]}})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "server", API_KEYS=KEYS) as made:
        yield made


def environment(home: Path, url: str, key: str = KEY, **settings: str) -> dict[str, str]:
    given = {"MEMORY_HOME": str(home), "MEMORY_EMBEDDER": "none", "MEMORY_API_URL": url, "MEMORY_API_KEY": key, "COLUMNS": "120"}
    return {**os.environ, **given, **settings}


def bethink(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BETHINK, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)


def stocked(env: dict[str, str], folder: Path, many: int) -> None:
    """Imports so many memories."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "many.jsonl"
    file.write_text("".join(json.dumps({"content": f"note {n} says {n * 7919}", "scope": "global"}) + "\n" for n in range(many)))
    assert bethink(env, "import", str(file)).returncode == 0


def test_a_server_that_asks_to_wait_is_waited_for(tmp_path: Path) -> None:
    with busy(429, 503, 401) as (url, asked):
        done = bethink(environment(tmp_path / "one", url), "sync")
        assert done.stderr.count("as the server asks") == 2 and "MEMORY_API_KEY" in done.stderr
        assert len(asked) == 3 and done.returncode == 3


def test_a_server_that_goes_on_asking_is_left_alone(tmp_path: Path) -> None:
    with busy(429) as (url, asked):
        done = bethink(environment(tmp_path / "one", url), "sync")
        assert done.returncode == 3 and done.stderr.count("as the server asks") == 3 and len(asked) == 4


@contextmanager
def busy(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that gives these answers, the last one for ever; and what it was asked for."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(statuses[min(len(asked), len(statuses)) - 1])
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_asks_for_too_long_is_left_alone(tmp_path: Path) -> None:
    with Serving(tmp_path / "server", API_KEYS=KEYS, RATE_LIMIT_SYNC="2/hour") as made:
        env = environment(tmp_path / "one", made.url)
        assert bethink(env, "add", "kept", "--global").returncode == 0
        runs = [bethink(env, "sync") for _ in range(2)]
        assert runs[-1].returncode == 3 and "requests of replication" in runs[-1].stderr


def test_what_waits_for_a_right_is_told_everywhere(server: Serving, tmp_path: Path) -> None:
    env = environment(tmp_path / "one", server.url, READER)
    assert bethink(env, "add", "kept here", "--global").returncode == 0
    done = bethink(env, "sync")
    assert done.returncode == 1 and "1 wait" in done.stderr and "memory:write" in done.stdout
    assert [one["code"] for one in json.loads(bethink(env, "sync", "--json").stdout)["waiting"]] == ["ReadOnly"]
    assert "memory:write" in bethink(env, "sync", "--status").stdout
    examined = bethink(env, "doctor", "--json")
    (bad,) = [check for check in json.loads(examined.stdout)["checks"] if check["name"] == "sync"]
    assert examined.returncode == 3 and not bad["ok"] and "only read" in bad["detail"]
    with mcp.Bare(tmp_path / "one", env={name: env[name] for name in env if name.startswith("MEMORY_")}) as bare:
        bare.shake()
        counted = bare.tool("memory_count")
        assert [one["code"] for one in counted["structuredContent"]["sync"]["waiting"]] == ["ReadOnly"]
        assert "memory:write" in mcp.said(counted)


def test_the_status_names_the_server_the_next_try_and_the_cursor(server: Serving, tmp_path: Path) -> None:
    env = environment(tmp_path / "one", server.url)
    before = bethink(env, "sync", "--status").stdout
    assert f"{server.url}, not met yet" in before and "Next try: " in before
    assert json.loads(bethink(env, "sync", "--status", "--json").stdout)["server"] == server.url
    # Asking makes no store.
    assert not (tmp_path / "one" / "memory.db").exists()
    assert bethink(env, "add", "kept", "--global").returncode == 0
    assert f"{server.url}, not met yet" in bethink(env, "sync", "--status").stdout
    assert bethink(env, "sync").returncode == 0
    cursor = json.loads(bethink(env, "sync", "--status", "--json").stdout)["cursor"]
    after = bethink(env, "sync", "--status").stdout
    assert f"ann at {server.url}" in after and f"Cursor: {cursor}" in after and "Next try: " in after


def test_what_is_watched_has_a_time(server: Serving, tmp_path: Path) -> None:
    env = environment(tmp_path / "one", server.url)
    watching = interruptible([*BETHINK, "sync", "--watch", "--json"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline())["at"] for _ in range(2))
        assert first < second
    finally:
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    text = interruptible([*BETHINK, "sync", "--watch"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert text.stdout is not None
        blank, at = text.stdout.readline(), text.stdout.readline()
        assert blank == "\n" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", at)
    finally:
        text.send_signal(signal.SIGINT)
        text.communicate(timeout=30)


def test_a_postgresql_store_replicates_with_nobody_and_says_so(tmp_path: Path) -> None:
    env = environment(tmp_path / "one", f"http://127.0.0.1:{free_port()}", DATABASE_URL="postgresql://nobody@127.0.0.1/none")
    status = bethink(env, "sync", "--status")
    assert status.returncode == 0 and "replicates with nobody" in status.stdout
    done = bethink(env, "sync")
    assert done.returncode == 2 and "replicates with nobody" in done.stderr and "DATABASE_URL" in done.stderr
    assert not (tmp_path / "one").exists()


def test_a_terminal_shows_a_bar_with_a_total_and_ends_its_line(server: Serving, tmp_path: Path) -> None:
    one, two = (environment(tmp_path / name, server.url) for name in ("one", "two"))
    stocked(one, tmp_path / "files", 1100)
    for env, doing in ((one, "Sending"), (two, "Fetching")):
        told = on_terminal(env, "sync")
        assert re.search(rf"{doing}[^\r\n]*1100/1100", told), told
        # What is said at the end stands on a line of its own.
        assert re.search(r"(^|\n)\d+ sent, \d+ fetched\.", told), told


def on_terminal(env: dict[str, str], *arguments: str) -> str:
    """What a command writes to a terminal, without colours and movements."""
    ours, its = pty.openpty()
    process = subprocess.Popen([*BETHINK, *arguments], env={**env, "TERM": "xterm"}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    heard = bytearray()
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        heard += part
    os.close(ours)
    assert process.wait(60) == 0, heard
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", heard.decode()).replace("\r\n", "\n")


def test_a_served_replica_replicates_and_says_how_it_stands(server: Serving, tmp_path: Path) -> None:
    settings = {"MEMORY_API_URL": server.url, "MEMORY_API_KEY": KEY}
    with Serving(tmp_path / "branch", **settings) as branch:
        assert f"kept equal with {server.url}" in branch.told()
        assert branch.ask("POST", "/api/memories", {"content": "said at the branch"})[0] == 201
        until(lambda: [each["content"] for each in server.ask("GET", "/api/memories", key=KEY)[1]["memories"]] == ["said at the branch"])
        until(lambda: branch.ask("GET", "/health")[1]["sync"]["last_ok"] is not None)
        health = branch.ask("GET", "/health")[1]
        assert health["status"] == "ok" and health["sync"].items() >= {"mode": "hybrid", "refused": 0, "error": None}.items()
        counted = branch.ask("GET", "/metrics")[1]
        assert "bethink_sync_refused 0" in counted and "bethink_sync_last_success_timestamp_seconds" in counted
        assert branch.stop() in (0, -signal.SIGTERM)
    # A server that is nobody's replica tells nothing of it.
    assert "sync" not in server.ask("GET", "/health")[1]
    assert "bethink_sync_pending" not in server.ask("GET", "/metrics")[1]


def until(holds: object, seconds: float = 60) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
