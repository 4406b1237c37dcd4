"""The command line as real processes: streams, two at once, pipes, locales, interruptions, and what a start loads."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.interrupted import interruptible

BETHINK = Path(sys.executable).with_name("bethink")


@pytest.fixture
def nowhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of any checkout."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMORY_EMBEDDER", "none")
    return folder


def bethink(*arguments: str | bytes, input: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([BETHINK, *arguments], input=input, capture_output=True, env=os.environ | environment, check=False)


def started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([BETHINK, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def lines(values: Iterable[Any]) -> bytes:
    return b"".join((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n" for value in values)


def answers(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


BAD: Sequence[Any] = (
    b"",
    b"   ",
    b"nonsense",
    b'{"content": "cut off',
    b"[1, 2]",
    b"null",
    b'"text"',
    b'{"content": "not utf-8: \xff\xfe"}',
    b'{"content": "half \\ud800 a pair"}',
    b'{"content": "a \\u0000 b"}',
    b'{"content": "x", "importance": NaN}',
    b'{"content": "x", "importance": 1e999}',
    b"[" * 100_000,
    b"9" * 10_000,
    {"content": None},
    {"content": 5},
    {"content": ""},
    {"content": ["a"]},
    {"content": "x", "importance": "high"},
    {"content": "x", "importance": True},
    {"content": "x", "tags": [1]},
    {"content": "x", "tags": {"a": 1}},
    {"content": "x", "category": "zebra"},
    {"content": "x", "created_at": 5},
    {"content": "x", "created_at": "2026-13-45"},
    {"content": "x", "force_sensitive": "yes"},
    {"content": "x", "origin": [1]},
    {"content": "x", "supersedes": "no-such-id"},
    {"content": "x", "unheard_of": 1},
    {"content": "x" * 70_000},
    {"content": "x" * 5_000_000},
)


def test_a_thousand_lines_are_answered_in_order_and_bad_ones_end_nothing(nowhere: Path) -> None:
    chance = random.Random(7)
    words = [chance.choice("abcdefgh") * 9 for _ in range(969)]
    given: list[Any] = [{"content": f"line {n} tells of {word}", "tags": "a, b", "source": "test"} for n, word in enumerate(words)]
    for value in BAD:
        given.insert(chance.randrange(len(given)), value)
    assert len(given) == 1000
    done = bethink("add", "--stdin-jsonl", input=lines(given))
    assert (done.returncode, done.stderr) == (0, b"")
    found = answers(done.stdout)
    assert [one["line"] for one in found] == list(range(1, 1001))
    for value, one in zip(given, found, strict=True):
        if value in BAD:
            assert one["error"] and "hint" in one and "id" not in one, (value, one)
        else:
            assert one["action"] in ("added", "merged"), one
    stored = json.loads(bethink("export", "--every-status").stdout)
    assert {one["id"] for one in found if "id" in one} == {one["id"] for one in stored}
    assert json.loads(bethink("stats", "--json").stdout)["by_source"].keys() == {"test"}


def test_each_line_is_answered_before_the_next_is_sent(nowhere: Path) -> None:
    with started("add", "--stdin-jsonl") as adding, started("recall", "--stdin-jsonl") as asking:
        assert adding.stdin and adding.stdout and asking.stdin and asking.stdout
        for number, word in enumerate(("harbour", "compiler", "orchard", "bicycle"), 1):
            adding.stdin.write(lines([{"content": f"what there is to know about the {word}"}]))
            adding.stdin.flush()
            stored = json.loads(adding.stdout.readline())
            assert (stored["line"], stored["action"]) == (number, "added")
            asking.stdin.write(lines([{"query": word}]))
            asking.stdin.flush()
            answer = json.loads(asking.stdout.readline())
            assert [hit["id"] for hit in answer["hits"]] == [stored["id"]]
            assert answer["took_ms"] >= 0
        adding.stdin.close()
        asking.stdin.close()
    assert (adding.returncode, asking.returncode) == (0, 0)


def test_recall_answers_bad_lines_too(nowhere: Path) -> None:
    bethink("add", "the harbour is closed in May", "-t", "port")
    good = {"query": "harbour", "limit": 3, "mode": "keyword", "category": "facts", "tags": ["port"], "since": "1d", "scope": "all"}
    bad = [b"", b"x", {"query": 1}, {"query": "x", "limit": 0}, {"query": "x", "limit": 1.5}, {"query": "x", "mode": "?"}, {"q": "x"}, {}]
    done = bethink("recall", "--stdin-jsonl", input=lines([good, *bad, {"query": "'; DROP \" NEAR(*"}, good]))
    assert done.returncode == 0
    found = answers(done.stdout)
    assert ["error" in one for one in found] == [False, *[True] * len(bad), False, False]
    assert len(found[0]["hits"]) == len(found[-1]["hits"]) == 1


def test_two_add_while_one_asks(nowhere: Path) -> None:
    with started("add", "--stdin-jsonl") as one, started("add", "--stdin-jsonl") as other, started("recall", "--stdin-jsonl") as asking:
        for process, name in ((one, "one"), (other, "other")):
            assert process.stdin
            # Their answers fit into the pipes, so that nobody has to read yet.
            process.stdin.write(lines({"content": f"{name} says {os.urandom(8).hex()}", "source": name} for _ in range(150)))
            process.stdin.close()
        assert asking.stdin and asking.stdout
        for _ in range(30):
            asking.stdin.write(lines([{"query": "one says"}]))
            asking.stdin.flush()
            assert "hits" in json.loads(asking.stdout.readline())
        asking.stdin.close()
        for process in (one, other):
            assert process.stdout
            assert len([answer for answer in answers(process.stdout.read()) if answer["action"] == "added"]) == 150
    stats = json.loads(bethink("stats", "--json").stdout)
    assert sum(stats["by_status"].values()) == 300


def test_what_was_answered_survives_a_kill(nowhere: Path) -> None:
    with started("add", "--stdin-jsonl") as adding:
        assert adding.stdin and adding.stdout
        adding.stdin.write(lines({"content": f"memory {n} of {os.urandom(8).hex()}"} for n in range(200)))
        adding.stdin.flush()
        acknowledged = [json.loads(adding.stdout.readline())["id"] for _ in range(60)]
        adding.kill()
    stored = {one["id"] for one in json.loads(bethink("export", "--every-status").stdout)}
    assert set(acknowledged) <= stored
    assert json.loads(bethink("doctor", "--json").stdout)["store"]["integrity"] == "ok"


@pytest.mark.skipif(os.name == "nt", reason="there is no POSIX locale on Windows")
@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}])
def test_text_is_utf8_whatever_the_locale(nowhere: Path, locale: dict[str, str]) -> None:
    text = "港は五月に閉まる 🎉 «Äpfel»"
    stored = json.loads(bethink("add", text.encode(), "--json", **locale).stdout)
    shown = bethink("show", stored["id"], "--json", **locale).stdout
    assert json.loads(shown.decode("utf-8"))["content"] == text
    other = "Ölförderung in Åland: 50 € je Fass"
    piped = json.loads(bethink("add", "-", "--json", input=other.encode(), **locale).stdout)
    assert json.loads(bethink("show", piped["id"], "--json").stdout)["content"] == other
    assert text in bethink("list", **locale, COLUMNS="200").stdout.decode("utf-8")


def test_bytes_that_are_no_text_are_refused(nowhere: Path) -> None:
    for done in (bethink("add", b"\xff\xfe"), bethink("add", "-", input=b"a\x00b"), bethink("add", "-", input=b"\xff")):
        assert done.returncode == 2
        assert done.stderr.startswith(b"Error: ")
        assert b"Traceback" not in done.stderr
    endless = bethink("add", "-", input=b"x" * 2_000_000)
    assert b"at most 65,536" in endless.stderr


def test_a_reader_that_leaves_is_no_error(nowhere: Path) -> None:
    bethink("add", "--stdin-jsonl", input=lines({"content": f"{n} {os.urandom(400).hex()}"} for n in range(300)))
    for command in (["export"], ["list", "-n", "300"], ["recall", "--json", "-n", "1000", "0"]):
        process = started(*command)
        with process:
            assert process.stdout
            process.stdout.read(10)
            process.stdout.close()
        assert process.returncode in (0, 1, 141), command


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interruption_is_quiet(nowhere: Path) -> None:
    process = interruptible([BETHINK, "add", "--stdin-jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(lines([{"content": "before the interruption"}]))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["action"] == "added"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b""


def test_an_unexpected_error_shows_a_trace_only_when_asked(nowhere: Path, tmp_path: Path) -> None:
    broken = "import bethink.service.reading as r\nr.Reading.stats = lambda self: 1 / 0\n"
    code = broken + "import sys\nsys.argv = ['bethink', 'stats']\nfrom bethink.front.cli import main\nmain()\n"
    for debug, traced in (("0", False), ("1", True)):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ | {"BETHINK_DEBUG": debug}, check=False)
        assert done.returncode != 0
        assert (b"Traceback" in done.stderr) is traced
        assert b"ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "never"),
    [
        (["add", "a new fact", "--json"], {"rich", "pydantic", "numpy", "onnxruntime", "mcp", "asyncio", "rapidfuzz"}),
        (["recall", "fact", "--json", "-m", "keyword"], {"rich", "pydantic", "numpy", "onnxruntime", "mcp", "asyncio"}),
        (["hook", "claude"], {"typer", "rich", "pydantic", "numpy", "onnxruntime", "mcp", "asyncio", "rapidfuzz"}),
    ],
)
def test_a_start_loads_what_it_needs_only(nowhere: Path, arguments: list[str], never: set[str]) -> None:
    code = (
        # A hook closes its outputs and ends its process at once; here it ends in a way that can be looked at.
        f"import os, sys\nos._exit = sys.exit\nkept = os.dup(2)\n"
        f"sys.argv = ['bethink', *{arguments!r}]\nfrom bethink.front.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "os.write(kept, ' '.join({name.partition('.')[0] for name in sys.modules}).encode())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stderr.decode().splitlines()[-1].split()) & never == set()


@pytest.mark.slow
def test_reindex_is_resumed_after_a_kill(nowhere: Path) -> None:
    bethink("add", "--stdin-jsonl", input=lines({"content": f"fact {n}: {os.urandom(200).hex()}"} for n in range(400)))
    with subprocess.Popen([BETHINK, "reindex"], env=os.environ | {"MEMORY_EMBEDDER": "onnx"}, stdout=subprocess.PIPE) as process:
        while json.loads(bethink("stats", "--json").stdout)["pending_vectors"] == 400 and process.poll() is None:
            pass
        process.kill()
    waiting = json.loads(bethink("stats", "--json").stdout)["pending_vectors"]
    done = json.loads(bethink("reindex", "--json", MEMORY_EMBEDDER="onnx").stdout)
    assert done == {"embedded": waiting, "pending_vectors": 0}
