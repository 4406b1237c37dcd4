"""Every assistant's hook payloads and replies, against golden files, and what malformed input does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink.hosts import HOSTS, dialect
from bethink.hosts.base import NOTHING, HookEvent, Reply, approved, session_key

GOLDEN = Path(__file__).parents[2] / "golden" / "hosts"
CASES = sorted(case for host in HOSTS for case in (GOLDEN / host).glob("*.json"))
REPLIES = {
    "nothing": NOTHING,
    "context": Reply("NOTE"),
    "allow": Reply(allow=True),
    "message": Reply(system_message="LINE"),
    "all": Reply("NOTE", True, "LINE"),
}


def test_every_host_has_golden_files() -> None:
    assert {case.parent.name for case in CASES} >= set(HOSTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_golden(case: Path) -> None:
    golden = json.loads(case.read_text(encoding="utf-8"))
    host = dialect(case.parent.name)
    event = host.parse(json.dumps(golden["input"]).encode())
    assert event is not None
    assert {key: value for key, value in event._asdict().items() if key != "raw" and value not in ("", None, False)} == golden["event"]
    assert event.raw == golden["input"]
    for name, reply in REPLIES.items():
        out = host.format(event, reply)
        assert (json.loads(out) if out else None) == golden["replies"][name], name


BAD = [
    b"",
    b"\x00",
    b"garbage",
    b"[]",
    b"null",
    b"3",
    b'"x"',
    b"{}",
    b'{"hook_event_name":',
    b'{"hook_event_name":7}',
    b'{"event":[]}',
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 5000,
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_malformed_input_is_no_event(host: str, data: bytes) -> None:
    assert dialect(host).parse(data) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    for host in HOSTS:
        dialect(host).parse(data)


@given(st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5)))
def test_any_types_of_fields_are_borne(fields: dict[str, object]) -> None:
    for host in HOSTS:
        event = dialect(host).parse(json.dumps({**fields, "hook_event_name": "SessionStart", "event": "prompt"}).encode())
        assert isinstance(event, HookEvent)
        dialect(host).format(event, REPLIES["all"])


def test_wrong_types_become_empty() -> None:
    event = dialect("claude").parse(b'{"hook_event_name":"UserPromptSubmit","session_id":7,"prompt":["x"],"cwd":null,"source":{}}')
    assert event is not None
    assert (event.session, event.prompt, event.cwd, event.prompt_source) == ("", "", "", "user")


def test_lone_surrogates_become_valid_text() -> None:
    event = dialect("claude").parse(
        b'{"hook_event_name":"UserPromptSubmit","prompt":"a\\ud800b \\ud83d\\ude42","x":{"\\udc00":["\\uDFFF"]}}'
    )
    assert event is not None
    assert event.prompt == "a\ufffdb \U0001f642"
    json.dumps(event.raw, ensure_ascii=False).encode()


def test_byte_order_mark_and_bad_utf8_are_borne() -> None:
    event = dialect("codex").parse(b'\xef\xbb\xbf{"hook_event_name":"Stop","last_assistant_message":"caf\xe9"}')
    assert event is not None
    assert event.last_assistant_message == "caf\ufffd"


def test_replies_are_ascii_whatever_they_carry() -> None:
    event = dialect("claude").parse(b'{"hook_event_name":"SessionStart"}')
    assert event is not None
    out = dialect("claude").format(event, Reply("日本 🙂 \x00 \ud800"))
    assert out.isascii()
    assert json.loads(out)["hookSpecificOutput"]["additionalContext"].startswith("日本 🙂 \x00")


@pytest.mark.parametrize("prefix", ["mcp__plugin_bethink_memory__", "mcp__bethink__"])
@pytest.mark.parametrize("tool", ["store", "recall", "get", "list", "update", "context", "count"])
def test_own_harmless_tools_are_approved(prefix: str, tool: str) -> None:
    assert approved(f"{prefix}memory_{tool}")


@pytest.mark.parametrize(
    "tool",
    [
        "mcp__bethink__memory_delete",
        "mcp__bethink__secret_get",
        "mcp__bethink__purge",
        "mcp__bethink__memory_store ",
        "mcp__bethink__memory_store\n",
        "mcp__bethink__memory_stores",
        "mcp__bethink__",
        "xmcp__bethink__memory_store",
        "mcp__bethink_evil__memory_store",
        "mcp__plugin_bethink_evil_memory__memory_store",
        "mcp__plugin_bethink_memory2__memory_store",
        "mcp__bethink__mcp__bethink__memory_store",
        "MCP__BETHINK__MEMORY_STORE",
        "Bash",
        "",
    ],
)
def test_nothing_else_is_approved(tool: str) -> None:
    assert not approved(tool)
    for host in ("claude", "codex"):
        event = dialect(host).parse(json.dumps({"hook_event_name": "PermissionRequest", "tool_name": tool}).encode())
        assert event is not None
        assert dialect(host).format(event, Reply(allow=True)) == ""


@pytest.mark.parametrize(
    "session",
    ["", ".", "..", "../../x", "/etc/passwd", "a/b", "C:\\x", "CON", "nul", "x" * 5000, "a\x00b", "\ud800", "--------x", "🙂", "ses_1"],
)
def test_session_keys_are_safe_names(session: str) -> None:
    key = session_key(session)
    assert len(key) <= 64
    assert not key.strip("0123456789abcdefs-")
    assert key == session_key(session)


def test_a_uuid_keeps_its_name_and_case_makes_a_difference() -> None:
    uuid = "0193f0a2-7c1b-7e55-9f4e-2d1c0a9b8e77"
    assert session_key(uuid) == uuid
    # On a file system that ignores case the two must not meet.
    assert session_key(uuid.upper()).lower() != session_key(uuid).lower()


@given(st.text(), st.text())
def test_two_sessions_never_share_a_key(one: str, other: str) -> None:
    assert (session_key(one) == session_key(other)) == (one == other)


@pytest.mark.parametrize("host", HOSTS)
def test_the_hook_path_imports_little(host: str) -> None:
    code = f"import bethink.hosts as h; h.dialect({host!r}); import bethink.intake.spool, bethink.hosts.switch, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    heavy = {"dataclasses", "inspect", "asyncio", "sqlite3", "subprocess", "tomlkit", "mcp", "numpy", "typer", "rich", "bethink.model"}
    assert not loaded & heavy
    assert {name for name in loaded if name.startswith("bethink.hosts.")} == {f"bethink.hosts.{name}" for name in ("base", host, "switch")}
