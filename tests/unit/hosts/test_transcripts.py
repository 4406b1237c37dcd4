"""Readers of transcripts: golden files, files that grow while they are read, broken ones, and real sessions."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bethink.errors import InvalidInput
from bethink.hosts import transcripts
from bethink.hosts.transcripts import READERS, Position, Skipped, Turn, clip, instant, lines, reader, said

GOLDEN = Path(__file__).parents[2] / "golden" / "hosts" / "transcripts"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".expected")
STREAMS = [path for path in FILES if path.suffix == ".jsonl"]
EVAL = Path(os.environ.get("BETHINK_EVAL", Path(__file__).parents[4] / "shared" / "eval"))


def shown(item: Turn | Skipped) -> dict[str, Any]:
    place = [item.start, item.end, item.resume]
    if isinstance(item, Skipped):
        return {"skipped": item.reason, "broken": item.broken, "place": place}
    row: dict[str, Any] = {"role": item.role, "text": item.text, "uuid": item.uuid, "session": item.session}
    row |= {"at": item.at.isoformat() if item.at else None, "place": place}
    row |= {
        name: getattr(item, name) for name in ("cwd", "branch", "remote", "sidechain", "agent_id", "model", "title") if getattr(item, name)
    }
    if item.tools:
        row["tools"] = [[use.name, use.input, use.result, use.is_error] for use in item.tools]
    return row


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    expected = [json.loads(line) for line in (GOLDEN / f"{path.name}.expected").read_text(encoding="utf-8").splitlines()]
    assert [shown(item) for item in reader(path.stem).read(path, 0, True)] == expected


def turns(kind: str, path: Path, offset: int, settled: bool | None) -> tuple[list[Turn], int]:
    found = []
    for item in reader(kind).read(path, offset, settled):
        offset = item.resume
        if isinstance(item, Turn):
            found.append(item)
    return found, offset


def same(turn: Turn) -> tuple[Any, ...]:
    return (turn.uuid, turn.role, turn.text, turn.tools, turn.at, turn.session)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_a_file_read_while_it_grows_gives_the_same_turns_once(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    whole, _ = turns(path.stem, path, 0, True)
    taken_back = {"m4", "m5"} if path.stem == "gemini" else set()
    growing = tmp_path / "copilot-session" / path.name
    growing.parent.mkdir()
    ends = [place for place, byte in enumerate(data) if byte == 0x0A]
    for cut in sorted({*ends, *(end + 1 for end in ends), *(end + 30 for end in ends), *range(0, len(data), 97)}):
        growing.write_bytes(data[:cut])
        first, offset = turns(path.stem, growing, 0, False)
        growing.write_bytes(data)
        rest, end = turns(path.stem, growing, offset, True)
        both = [turn for turn in [*first, *rest] if turn.uuid not in taken_back]
        assert [same(turn)[1:5] for turn in both] == [same(turn)[1:5] for turn in whole], cut
        assert len({turn.uuid for turn in both}) == len(both)
        # A newline that came after its line belongs to nothing.
        assert len(data) - 1 <= end <= len(data)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_nothing_is_read_twice(path: Path) -> None:
    _, end = turns(path.stem, path, 0, True)
    assert list(reader(path.stem).read(path, end, True)) == []


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "opencode"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n\n", b"\x00\x00", b"{}", b"[]", b"null\n", b'{"a":1}\n' * 3, b"\xff\xfe\n", b'[{"a":', b"[" * 5000, b"\xef\xbb\xbf[]"],
)
def test_rubbish_is_counted_and_never_raises(kind: str, content: bytes, tmp_path: Path) -> None:
    suffix = ".json" if kind in ("claude-ai", "chatgpt") else ".jsonl"
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert not [item for item in reader(kind).read(path, 0, True) if isinstance(item, Turn)]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
@given(data=st.data())
def test_damage_never_raises(path: Path, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = tmp_path_factory.getbasetemp() / path.name
    damaged.write_bytes(content)
    for settled in (True, False):
        for item in reader(path.stem).read(damaged, 0, settled):
            assert 0 <= item.start < item.end
            assert 0 <= item.resume <= len(content)


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [7], [{}], {"type": 7}, {"content": 7}, {"content": [7]}])
@pytest.mark.parametrize(
    "field", ["message", "payload", "data", "content", "toolCalls", "uuid", "sessionId", "timestamp", "type", "id", "git"]
)
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_fields_of_other_types_never_raise(path: Path, field: str, value: Any, tmp_path: Path) -> None:
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict):
            continue
        for holder in (row, row.get("message"), row.get("payload"), row.get("data")):
            if isinstance(holder, dict) and field in holder:
                holder[field] = value
        rows.append(json.dumps(row))
    changed = tmp_path / path.name
    changed.write_text("\n".join(rows))
    assert list(reader(path.stem).read(changed, 0, True))


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "s.jsonl"
    row = {"role": "user", "message": {"content": "hello"}}
    long = {"role": "user", "message": {"content": "x" * 3500}}
    path.write_text("\n".join(json.dumps(value) for value in (row, long, row)) + "\n")
    first, skipped, second = list(reader("cursor").read(path))
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, skipped.broken) == ("line too long", True)
    assert isinstance(first, Turn)
    assert isinstance(second, Turn)
    assert (first.end, second.start) == (skipped.start, skipped.end)
    path.write_text(json.dumps(row) + "\n" + json.dumps(long))
    assert [item.resume for item in reader("cursor").read(path)] == [first.end]


def test_lines_wait_for_their_newline_unless_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    for content, count in [
        (b'{"a":1}\n{"b"', 1),
        (b'{"a":1}\n{"b":2}', 2),
        (b'{"a":1}\r\n\r\n{"b":2}\r\n', 2),
        (b'{"a":1}\n12', 1),
        (b"", 0),
    ]:
        path.write_bytes(content)
        with path.open("rb") as file:
            assert len(list(lines(file, 0))) == count


def test_compressed_rollouts_read_like_plain_ones(tmp_path: Path) -> None:
    plain = GOLDEN / "codex.jsonl"
    packed = tmp_path / "codex.jsonl.zst"
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    whole, _ = turns("codex", plain, 0, True)
    again, end = turns("codex", packed, 0, True)
    assert [same(turn) for turn in again] == [same(turn) for turn in whole]
    middle = whole[2].resume
    rest, _ = turns("codex", packed, middle, True)
    assert [same(turn) for turn in rest] == [same(turn) for turn in whole[3:]]
    assert list(reader("codex").read(packed, end, True)) == []


def test_positions_tell_growth_from_replacement(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"a":1}\n')
    position = Position.of(path, 8)
    assert position.unchanged(path)
    with path.open("a") as file:
        file.write('{"b":2}\n')
    assert not position.unchanged(path)
    assert position.resume(path) == 8
    path.write_text('{"c":3}\n{"d":4}\n')
    assert position.resume(path) == 0
    path.write_text("")
    assert position.resume(path) == 0


def test_an_answer_waits_until_the_file_is_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes((GOLDEN / "claude-code.jsonl").read_bytes())
    fresh = [item for item in reader("claude-code").read(path) if isinstance(item, Turn)]
    assert fresh[-1].text == "did you push?"
    old = time.time() - transcripts.QUIET_SECONDS - 60
    os.utime(path, (old, old))
    rested = [item for item in reader("claude-code").read(path) if isinstance(item, Turn)]
    assert rested[-1].text == "Yes."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain", "plain"),
        ("a < b and <div> stays", "a < b and <div> stays"),
        ("<system-reminder>x</system-reminder>", ""),
        ("<system-reminder>x\ny</system-reminder>\n\nreal", "real"),
        ("<user_query>\nreal\n</user_query>", "real"),
        ("<command-name>/clear</command-name><command-message>clear</command-message><command-args></command-args>", ""),
        ("<command-name>/fix</command-name><command-args>the login bug</command-args>", "/fix the login bug"),
        ("[Request interrupted by user for tool use]", ""),
        ("[Request interrupted by user]no, not that", "no, not that"),
        ("<system-reminder>never closed", "<system-reminder>never closed"),
        ("# AGENTS.md instructions for /x\n\nrules", ""),
        ("", ""),
    ],
)
def test_what_a_person_said(text: str, left: str) -> None:
    assert said(text) == left


def test_noise_is_cut_in_linear_time() -> None:
    # Each of these takes hours when the time is quadratic; the run's time-out would tell.
    for text in (
        "<system-reminder>" * 200_000,
        "<command-name>" * 200_000,
        "<command-name>" + " " * 500_000,
        "[Request interrupted by user" * 100_000,
    ):
        said(text)
    said("<ide_selection></ide_selection>" * 100_000 + "<ide_selection " * 200_000)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-21T09:00:00Z", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T10:00:00+01:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T09:00:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        (1_795_251_600, datetime(2026, 11, 21, 9, tzinfo=UTC)),
        (1_795_251_600_000, datetime(2026, 11, 21, 9, tzinfo=UTC)),
        *((value, None) for value in ("", "soon", None, True, [], float("nan"), float("inf"), 1e300, "9999-12-31T23:59:59-14:00")),
    ],
)
def test_moments(value: Any, moment: datetime | None) -> None:
    assert instant(value) == moment


def test_long_results_keep_head_and_tail() -> None:
    text = "a" * 40_000 + "b" * 40_000
    assert clip(text).startswith("a" * 16_000)
    assert clip(text).endswith("b" * 16_000)
    assert "48000 characters left out" in clip(text)


def test_unknown_kinds_are_an_error() -> None:
    with pytest.raises(InvalidInput, match="nonsense"):
        reader("nonsense")


def test_discovery_honours_the_environment(tmp_path: Path) -> None:
    session = "0193f0a2-7c1b-7e55-9f4e-2d1c0a9b8e77"
    places = {
        "claude-code": (
            "CLAUDE_CONFIG_DIR",
            f"projects/-home-u-app/{session}.jsonl",
            f"projects/-home-u-app/{session}/subagents/agent-a1.jsonl",
        ),
        "codex": (
            "CODEX_HOME",
            f"sessions/2026/11/21/rollout-2026-11-21T09-00-00-{session}.jsonl",
            f"archived_sessions/rollout-x-{session}.jsonl.zst",
        ),
        "gemini": ("GEMINI_CLI_HOME", ".gemini/tmp/abc/chats/session-1.jsonl", ".gemini/tmp/abc/chats/session-0.json"),
        "cursor": ("CURSOR_DATA_DIR", f"projects/app/agent-transcripts/{session}/{session}.jsonl"),
        "copilot": ("COPILOT_HOME", f"session-state/{session}/events.jsonl"),
        "opencode": ("XDG_DATA_HOME", "opencode/opencode.db"),
    }
    defaults = {
        "claude-code": ".claude",
        "codex": ".codex",
        "gemini": "",
        "cursor": ".cursor",
        "copilot": ".copilot",
        "opencode": ".local/share",
    }
    for kind, (variable, *names) in places.items():
        for root, env, home in (
            (tmp_path / kind, {variable: str(tmp_path / kind)}, tmp_path / "nobody"),
            (tmp_path / "home" / defaults[kind], {}, tmp_path / "home"),
        ):
            for name in names:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("{}\n")
            assert {file.path for file in reader(kind).discover(home, env)} == {root / name for name in names}, kind
    assert reader("claude-ai").discover(tmp_path, {}) == []
    assert reader("codex").discover(tmp_path / "nobody", {}) == []


def test_errands_and_empty_files_are_not_transcripts(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "-x" / "s" / "subagents"
    folder.mkdir(parents=True)
    (folder / "agent-acompact-1.jsonl").write_text("{}\n")
    (folder / "agent-a1.jsonl").write_text("{}\n")
    (tmp_path / "projects" / "-x" / "empty.jsonl").write_text("")
    (found,) = reader("claude-code").discover(env={"CLAUDE_CONFIG_DIR": str(tmp_path)})
    assert (found.session, found.agent_id) == ("s", "a1")


@pytest.fixture
def opencode(tmp_path: Path) -> Path:
    """A database with the columns of opencode 1.18 that matter here."""
    path = tmp_path / "opencode.db"
    database = apsw.Connection(str(path))
    database.execute("""
        CREATE TABLE session (id text PRIMARY KEY, parent_id text, directory text NOT NULL, title text NOT NULL);
        CREATE TABLE message (id text PRIMARY KEY, session_id text, time_created integer, time_updated integer, data text);
        CREATE TABLE part (id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL, data text NOT NULL);
        INSERT INTO session VALUES ('ses_1', NULL, '/home/u/app', 'Ports'), ('ses_2', 'ses_1', '/home/u/app', 'Side');
    """)
    tool = {"type": "tool", "tool": "bash", "callID": "c", "state": {"status": "error", "input": {"command": "ls"}, "error": "denied"}}
    messages: list[tuple[str, str, dict[str, Any], list[Any]]] = [
        (
            "m1",
            "ses_1",
            {"role": "user"},
            [{"type": "text", "text": "Which port?"}, {"type": "text", "text": "file text", "synthetic": True}],
        ),
        (
            "m2",
            "ses_1",
            {"role": "assistant", "time": {"completed": 1}, "modelID": "m", "path": {"cwd": "/home/u/app/sub"}},
            [{"type": "text", "text": "8420"}, tool],
        ),
        ("m3", "ses_2", {"role": "user"}, [{"type": "text", "text": "look into it"}]),
        ("m4", "ses_1", {"role": "assistant", "time": {"completed": 1}, "summary": True}, [{"type": "text", "text": "We spoke of ports."}]),
        ("m5", "ses_1", {"role": "system"}, []),
        ("m6", "ses_1", {"role": "assistant", "time": {}}, [{"type": "text", "text": "half an ans"}]),
    ]
    now = int(time.time() * 1000)
    for name, session, data, parts in messages:
        database.execute("INSERT INTO message VALUES (?,?,?,?,?)", (name, session, now, now, json.dumps(data)))
        for number, part in enumerate(parts):
            database.execute("INSERT INTO part VALUES (?,?,?,?)", (f"{name}{number}", name, session, json.dumps(part)))
    database.close()
    return path


def test_opencode(opencode: Path) -> None:
    before = opencode.read_bytes()
    first, offset = turns("opencode", opencode, 0, None)
    assert [(turn.role, turn.text, turn.session, turn.cwd, turn.sidechain) for turn in first] == [
        ("user", "Which port?", "ses_1", "/home/u/app", False),
        ("assistant", "8420", "ses_1", "/home/u/app/sub", False),
        ("user", "look into it", "ses_2", "/home/u/app", True),
        ("summary", "We spoke of ports.", "ses_1", "/home/u/app", False),
    ]
    assert [(use.name, use.input, use.result, use.is_error) for use in first[1].tools] == [("bash", {"command": "ls"}, "denied", True)]
    rest, end = turns("opencode", opencode, offset, True)
    assert [turn.text for turn in rest] == ["half an ans"]
    assert turns("opencode", opencode, end, True) == ([], end)
    assert opencode.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_broken_opencode_database_is_counted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "opencode.db"
    path.write_bytes(content)
    (skipped,) = reader("opencode").read(path)
    assert isinstance(skipped, Skipped)
    assert skipped.broken


def real(name: str) -> Path:
    path = EVAL / name
    if not path.exists():
        pytest.skip(f"no {name} under {EVAL} (BETHINK_EVAL)")
    return path


def test_real_sessions() -> None:
    from bethink.hosts import claude_transcripts

    root = real("claude-code-sessions")
    found: list[Turn] = []
    skipped: list[Skipped] = []
    for file in claude_transcripts.within(root):
        for item in claude_transcripts.read(file.path, 0, True):
            (found if isinstance(item, Turn) else skipped).append(item)  # type: ignore[arg-type]  # the condition decides
    assert not [item for item in skipped if item.broken]
    calls = [use for turn in found for use in turn.tools]
    assert len(calls) > 500
    assert all(use.result is not None for use in calls)
    assert len({turn.uuid for turn in found}) == len(found)
    assert all(turn.at and turn.cwd and turn.session for turn in found)
    assert {turn.role for turn in found} == {"user", "assistant", "summary"}
    assert not [turn for turn in found if turn.role == "user" and ("<system-reminder>" in turn.text or "<command-name>" in turn.text)]


def test_a_real_session_read_in_pieces(tmp_path: Path) -> None:
    path = real("claude-code-sessions/tool_heavy.jsonl")
    data = path.read_bytes()
    whole, _ = turns("claude-code", path, 0, True)
    growing = tmp_path / path.name
    offset, pieces = 0, []
    for cut in range(0, len(data), 1013):
        growing.write_bytes(data[:cut])
        some, offset = turns("claude-code", growing, offset, False)
        pieces += some
    growing.write_bytes(data)
    pieces += turns("claude-code", growing, offset, True)[0]
    assert [same(turn) for turn in pieces] == [same(turn) for turn in whole]


@pytest.mark.parametrize(("kind", "name"), [("claude-ai", "claude-ai-conversations.json"), ("chatgpt", "chatgpt-conversations.json")])
def test_real_exports(kind: str, name: str) -> None:
    items = list(reader(kind).read(real(f"exports/{name}")))
    assert [item for item in items if isinstance(item, Turn)]
    assert not [item for item in items if isinstance(item, Skipped) and item.broken]


def test_a_notification_is_not_the_users_word() -> None:
    notice = "<task-notification><id>b1</id></task-notification>\nRead the output file to retrieve the result: /tmp/tasks/b1.output"
    assert said(notice) == ""
    assert said(f"{notice}\nNow deploy it.") == "Now deploy it."
    assert said("Read the output file to retrieve the result: /tmp/x") != ""
