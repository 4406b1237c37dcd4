"""Whatever is wrong, a hook ends by itself, with 0 and without a word: the prompt goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from bethink import Draft, open_memories
from kit.hook import COMMAND, HANGS, environment, fire, payload, prompt, spooled, told

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, pipes and limits of POSIX systems")

ASKED = "Which port does the staging database listen on?"
PORT = "The staging database listens on port 5433."
#: Little enough to be over soon, and enough to get as far as the store on a slow machine.
SOON = {"MEMORY_HOOK_MS": "1500"}
EVENTS = (
    payload("SessionStart", source="startup"),
    prompt(ASKED),
    payload("Stop", last_assistant_message="We decided to keep byte offsets."),
    payload("PreCompact", trigger="auto", transcript_path="/nowhere/at/all.jsonl"),
    payload("SessionEnd", reason="clear"),
)


@pytest.fixture
def store(home: Path) -> Path:
    """A store with something to tell."""
    with open_memories(with_embedder=False) as memories:
        memories.remember(Draft(PORT))
        for number in range(20):
            memories.remember(Draft(f"Filler {number} about something else, such as {number * 7919}."))
    return home / "memory.db"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"garbage",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\x00\x01\x02\xff\xfe",
        b"{}" * 1000,
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"hook_event_name": 7, "prompt": {"x": []}}',
        b'{"hook_event_name": "UserPromptSubmit"}',
        b'{"hook_event_name": "UserPromptSubmit", "prompt": null, "cwd": 7, "session_id": ["x"]}',
        b'{"hook_event_name": "UserPromptSubmit", "prompt": "x", "cwd": "\\u0000", "session_id": "../../../x"}',
        b'{"hook_event_name": "SessionStart", "cwd": "' + b"/x" * 5000 + b'"}',
        b'{"hook_event_name": "NoSuchEvent", "prompt": "x"}',
        b'{"hook_event_name": "UserPromptSubmit", "prompt": "\\ud800 \\udfff NEAR( OR * \\" ) -- %_"}',
    ],
    ids=range(18),
)
@pytest.mark.parametrize("assistant", ["claude", "codex", "gemini", "cursor", "opencode"])
def test_garbage_is_met_with_silence(home: Path, garbage: bytes, assistant: str) -> None:
    assert fire(garbage, assistant).stdout == b""


def test_without_an_assistant_or_stdin_it_is_silent(home: Path) -> None:
    for arguments in ([], [""], ["../claude"], ["claude", "and", "more"]):
        run = subprocess.run([*COMMAND, *arguments], input=b"{}", capture_output=True, env=environment(), timeout=HANGS)
        assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    closed = subprocess.run(
        [*COMMAND, "claude"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=HANGS,
        preexec_fn=lambda: os.close(0),
    )
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"", b"")


def test_a_closed_stdout_is_no_failure(store: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [*COMMAND, "claude"],
        input=json.dumps(prompt(ASKED)).encode(),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=HANGS,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize("size", [200_000, 30_000_000])
def test_a_huge_payload_is_read_to_its_end(store: Path, size: int) -> None:
    said = fire(prompt(f"{ASKED} {'x' * size}")).stdout
    # The beginning of a long prompt asks; what is beyond all bounds is dropped.
    assert (PORT.encode() in said) == (size < 1_000_000)
    fire(payload("Stop", last_assistant_message="y" * size))


def test_a_stdin_that_stays_open_holds_nobody_up(store: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "claude"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(json.dumps(prompt(ASKED)).encode())
    process.stdin.flush()
    assert PORT.encode() in process.stdout.read()
    assert process.wait(HANGS) == 0
    mute = subprocess.Popen([*COMMAND, "claude"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(**SOON))
    assert mute.wait(HANGS) == 0
    for each in (process, mute):
        for pipe in (each.stdin, each.stdout, each.stderr):
            if pipe:
                pipe.close()


def broken(path: Path, how: str) -> None:
    for each in path.parent.glob("memory.db*"):
        each.unlink()
    match how:
        case "deleted":
            pass
        case "empty":
            path.touch()
        case "garbage":
            path.write_bytes(os.urandom(100_000))
        case "cut":
            path.write_bytes(b"SQLite format 3\x00" + b"\x10\x00" * 40)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "newer":
            db = apsw.Connection(str(path))
            db.execute("CREATE TABLE memories(x); PRAGMA application_id = 0x4274686B; PRAGMA user_version = 999")
            db.close()
        case "another program's":
            db = apsw.Connection(str(path))
            db.execute(
                "CREATE TABLE notes(x); INSERT INTO notes VALUES ('which port the staging database listens on'); PRAGMA user_version = 1"
            )
            db.close()


@pytest.mark.parametrize("how", ["deleted", "empty", "garbage", "cut", "folder", "pipe", "newer", "another program's"])
def test_a_broken_store_means_silence(store: Path, home: Path, how: str) -> None:
    broken(store, how)
    before = store.read_bytes() if store.is_file() else None
    for given in EVENTS:
        assert fire(given, **SOON).stdout == b""
    assert (store.read_bytes() if store.is_file() else None) == before
    # Captures do not need the store.
    assert {"stop", "session_end"} <= {record["event"] for record in spooled(home)}


def test_a_locked_store_is_not_waited_for(store: Path, home: Path) -> None:
    holder = apsw.Connection(str(store))
    holder.execute(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; UPDATE memories SET importance = 1"
    ).fetchall()
    for given in EVENTS:
        assert fire(given).stdout == b""
    assert len(spooled(home)) >= 2
    holder.close()


def test_a_writer_in_the_middle_of_writing_is_not_waited_for(store: Path) -> None:
    holder = apsw.Connection(str(store))
    holder.execute("BEGIN IMMEDIATE; UPDATE memories SET importance = 1").fetchall()
    assert PORT in told(prompt(ASKED))
    holder.close()


@contextmanager
def mute(home: Path) -> Iterator[None]:
    """A warm process that takes calls and says nothing."""
    (home / "run").mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home / "run" / "warm.sock"))
    listener.listen(1)
    yield
    listener.close()


@contextmanager
def stale(home: Path) -> Iterator[None]:
    """What a killed process left."""
    (home / "run").mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home / "run" / "warm.sock"))
    listener.close()
    yield


@contextmanager
def stopped(home: Path) -> Iterator[None]:
    """A warm process that was stopped."""
    code = "import time; from bethink import wire; from bethink.config import load; s = load()\n"
    code += "w = wire.warm_server(s, None); w.start(); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(MEMORY_EMBEDDER="none"))
    from bethink.warm.client import ask
    from bethink.warm.spot import Spot

    while not ask(Spot(home, home / "memory.db"), {"op": "ping"}, 0.2):
        assert process.poll() is None
    process.send_signal(signal.SIGSTOP)
    yield
    process.kill()
    process.wait()


@pytest.mark.parametrize("warm", [mute, stale, stopped])
def test_a_warm_process_that_does_not_answer_costs_no_answer(store: Path, home: Path, warm: Callable[[Path], Iterator[None]]) -> None:
    with warm(home):
        for number in range(3):
            assert PORT in told(prompt(ASKED, session_id=f"session-{number}"), MEMORY_HOOK_MS="3000")


@pytest.mark.parametrize("answer", [b"", b"garbage", b"[]", b'{"text": 7}', b'{"ids": []}', b"[" * 100_000, b'{"error": "x"}'])
def test_a_warm_process_that_talks_nonsense_costs_no_prompt(store: Path, home: Path, answer: bytes) -> None:
    (home / "run").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "run" / "warm.sock"))
        listener.listen(1)
        process = subprocess.Popen(
            [*COMMAND, "claude"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdin
        process.stdin.write(json.dumps(prompt(ASKED)).encode())
        process.stdin.flush()
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)
        out, err = process.communicate(timeout=HANGS)
    assert (process.returncode, err) == (0, b"")
    assert not out or PORT in json.loads(out)["hookSpecificOutput"]["additionalContext"]


@pytest.mark.parametrize("home_is", ["a file", "a place that cannot be", "unwritable"])
def test_a_home_that_cannot_be_written(tmp_path: Path, home_is: str) -> None:
    path = tmp_path / "home"
    if home_is == "a file":
        path.write_text("x")
    elif home_is == "unwritable":
        path.mkdir(mode=0o500)
    place = "/proc/1/nowhere" if home_is == "a place that cannot be" else str(path)
    for given in EVENTS:
        assert fire(given, MEMORY_HOME=place, DEBUG_CLAUDE_MEMORY_HOOKS="1").stdout == b""


def test_a_full_disk_costs_memory_and_nothing_else(store: Path, home: Path) -> None:
    full: Callable[[], None] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # noqa: E731 - a limit of one process
    for given in EVENTS:
        fire(given, limit=full, DEBUG_CLAUDE_MEMORY_HOOKS="1")
    assert spooled(home) == []
    assert list((home / "spool").glob(".*")) == []
    # With another process on the store, which there is as long as an assistant runs, even recall goes on.
    with open_memories(with_embedder=False):
        assert PORT.encode() in fire(prompt(ASKED, session_id="another"), limit=full).stdout


@pytest.mark.parametrize("name", ["config.toml", ".bethink.toml"])
def test_broken_settings_mean_silence(store: Path, home: Path, tmp_path: Path, name: str) -> None:
    folder = home if name == "config.toml" else tmp_path
    (folder / name).write_text("MEMORY_OFF = [unclosed")
    for given in EVENTS:
        assert fire({**given, "cwd": str(tmp_path)}).stdout == b""


def test_a_folder_that_is_gone_is_no_project(store: Path, tmp_path: Path) -> None:
    assert PORT in told(prompt(ASKED, cwd=str(tmp_path / "gone" / "away")))


def test_states_that_are_broken_are_as_none(store: Path, home: Path) -> None:
    told(prompt(ASKED))
    (path,) = (home / "run" / "sessions").iterdir()
    for broken_state in (b"", b"garbage", b"[]", b'{"seen": 7}', b"[" * 100_000):
        path.write_bytes(broken_state)
        assert PORT in told(prompt(ASKED))


def test_a_thread_that_keeps_the_interpreter_is_ended_from_outside(home: Path) -> None:
    """A regular expression holds Python's lock for as long as it likes; nothing of ours does, and yet."""
    code = (
        "import os, re, sys\nfrom bethink.front import hook\n"
        "hook._answered = lambda *_: re.fullmatch('(a+)+b', 'a' * 64)\nhook.main(['claude'])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=b"{}", capture_output=True, env=environment(MEMORY_HOOK_MS="300"), timeout=HANGS
    )
    assert (run.stdout, run.stderr) == (b"", b"")
