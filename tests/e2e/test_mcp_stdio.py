"""The server as a host meets it: real processes, both eras of the protocol, and everything that goes wrong on a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from mcp.shared.exceptions import MCPError

from kit.mcp import COMMAND, HANDSHAKE, MODERN, Bare, client, environment, said

DEFAULT = [
    "memory_store", "memory_recall", "memory_get", "memory_list", "memory_update",
    "memory_delete", "memory_context", "memory_count", "secret_get",
]  # fmt: skip

STORE = {"name": "memory_store", "arguments": {"content": "waits for the lock"}}

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("mode", ["legacy", MODERN, "auto"])
async def test_both_eras_serve_the_same(home: Path, mode: str) -> None:
    async with client(home, mode=mode, name="claude-code") as one:
        assert [tool.name for tool in (await one.list_tools()).tools] == DEFAULT
        # A client that is pinned to a version asks for nothing first.
        assert mode == MODERN or "memory_recall" in (one.instructions or "")
        stored = await one.call_tool("memory_store", {"content": "The harbour is closed in May", "tags": "sea, spring"})
        assert stored.structured_content is not None and stored.structured_content["action"] == "added"
        found = await one.call_tool("memory_recall", {"context": "is the harbour open in May?"})
        assert found.structured_content is not None
        assert [hit["id"] for hit in found.structured_content["hits"]] == [stored.structured_content["id"]]
        assert "| The harbour is closed in May" in found.content[0].text
        whole = await one.call_tool("memory_get", {"id": stored.structured_content["id"]})
        assert whole.structured_content is not None
        assert whole.structured_content["agent"] == "claude-code"
        assert whole.structured_content["source"] == "assistant"
        assert whole.structured_content["session"]
        brief = await one.read_resource("memory://context")
        assert "harbour" in brief.contents[0].text
        with pytest.raises(MCPError) as missing:
            await one.read_resource("memory://memory/00000000-nothing")
        assert missing.value.error.code == -32602
        prompts = {prompt.name for prompt in (await one.list_prompts()).prompts}
        assert prompts == {"remember", "recall"}
        asked = await one.get_prompt("recall", {"question": "why May?"})
        assert "why May?" in asked.messages[0].content.text


def test_every_offered_version_is_taken_and_an_unknown_one_is_answered_with_ours(home: Path) -> None:
    for version in ("2024-11-05", "2025-03-26", "2025-06-18", HANDSHAKE):
        with Bare(home) as server:
            assert server.shake(version)["result"]["protocolVersion"] == version
            assert server.ask("ping")["result"] == {}
    with Bare(home) as server:
        assert server.shake("1999-01-01")["result"]["protocolVersion"] == HANDSHAKE


def test_bad_lines_are_answered_and_survived(home: Path) -> None:
    with Bare(home) as server:
        server.send("not json at all")
        assert server.answer()["error"]["code"] == -32700
        server.shake()
        for line, code in [
            ("{", -32700),
            (b"\xff\xfe\x00garbage", -32700),
            ('{"jsonrpc":"2.0","id":1,"method":"ping","params":NaN}', -32700),
            ("[" * 100_000, -32700),
            ("42", -32600),
            ("null", -32600),
            ('"text"', -32600),
            ("[]", -32600),
            ('{"id":1,"method":"ping"}', -32600),
            ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
            ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
            ('{"jsonrpc":"2.0","id":1,"method":7}', -32600),
            ("x" * (5 << 20), -32600),
        ]:
            server.send(line)
            assert server.answer()["error"]["code"] == code, line[:60]
        server.send("")
        server.send('{"jsonrpc":"2.0","method":"notifications/unheard_of"}')
        assert server.ask("no/such/method")["error"]["code"] == -32601
        assert server.ask("ping")["result"] == {}


def test_a_batch_is_taken_apart(home: Path) -> None:
    with Bare(home) as server:
        server.shake("2025-03-26")
        calls = [
            {"jsonrpc": "2.0", "id": f"n{i}", "method": "tools/call", "params": {"name": "memory_count", "arguments": {}}} for i in range(3)
        ]
        server.send([*calls, 7, {"jsonrpc": "2.0", "method": "notifications/initialized"}])
        answers = [server.answer() for _ in range(4)]
        assert {answer["id"] for answer in answers} == {"n0", "n1", "n2", None}


def test_half_a_surrogate_pair_loses_neither_the_call_nor_the_server(home: Path) -> None:
    with Bare(home) as server:
        server.shake()
        server.send(
            '{"jsonrpc":"2.0","id":5,"method":"tools/call",'
            '"params":{"name":"memory_store","arguments":{"content":"a half \\ud83d rocket"}}}'
        )
        assert server.answer()["result"]["structuredContent"]["action"] == "added"


def test_wrong_arguments_are_errors_that_a_model_can_mend(home: Path) -> None:
    with Bare(home) as server:
        server.shake()
        for tool, arguments, text in [
            ("memory_store", {}, "content is missing."),
            ("memory_store", {"content": "x", "catgory": "facts"}, "Did you mean 'category'?"),
            ("memory_store", {"content": "x", "category": "bogus"}, "No category 'bogus'."),
            ("memory_store", {"content": ["x"]}, "which is not text."),
            ("memory_store", {"content": "  "}, "The content is empty."),
            ("memory_store", {"content": "x\x00y"}, "NUL"),
            ("memory_store", {"content": "x" * 70_000}, "a memory holds at most 65,536"),
            ("memory_store", {"content": "x", "importance": 7}, "importance is 7"),
            ("memory_store", {"content": "x", "project": "*"}, "belongs to one project"),
            ("memory_store", {"content": "x", "expires_at": "soon"}, "Not a date or time"),
            ("memory_store", {"content": "x", "source": "user"}, "No source 'user'."),
            ("memory_recall", {"context": "x", "mode": "fuzzy"}, "No mode 'fuzzy'."),
            ("memory_recall", {"context": "x", "limit": 0}, "limit is 0"),
            ("memory_recall", {"context": "x", "limit": "ten"}, "which is not a whole number."),
            ("memory_recall", {"context": "x", "since": "yesterday-ish"}, "Not a date or time"),
            ("memory_get", {"id": "nobody"}, "No memory 'nobody'."),
            ("memory_update", {"id": "nobody"}, "No memory 'nobody'."),
            ("memory_list", {"limit": -1}, "cannot be negative"),
            ("memory_context", {"budget_tokens": 0}, "budget_tokens is 0"),
            ("no_such_tool", {}, "No tool 'no_such_tool'."),
        ]:
            result = server.tool(tool, **arguments)
            assert result["isError"] is True, (tool, arguments)
            assert text in said(result), said(result)
            assert "structuredContent" not in result


def test_values_that_models_send_as_text_are_understood(home: Path) -> None:
    with Bare(home) as server:
        server.shake()
        stored = server.tool(
            "memory_store", content='{"looks": "like JSON"}', tags='["a", "b"]', importance="0.9", force_sensitive="false", task=None
        )
        whole = server.tool("memory_get", id=stored["structuredContent"]["id"])["structuredContent"]
        assert (whole["content"], whole["tags"], whole["importance"]) == ('{"looks": "like JSON"}', ["a", "b"], 0.9)
        for question in ("'; DROP TABLE--", '"', "AND OR NOT NEAR(", "*", "col:x", "", " ", "💥" * 50, "数据库", "x" * 300_000):
            assert server.tool("memory_recall", context=question).get("isError") is not True


def test_nothing_but_protocol_reaches_stdout_and_nothing_stderr(home: Path) -> None:
    with Bare(home) as server:
        server.shake()
        server.tool("memory_store", content="quiet")
        server.tool("memory_recall", context="quiet")
        server.close()
        assert server.process.wait(5) == 0
        assert server.process.stderr is not None and server.process.stderr.read() == b""


def test_requests_before_the_end_of_input_are_answered(home: Path) -> None:
    client_info = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}
    call = {"name": "memory_store", "arguments": {"content": "from a pipe"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client_info},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    sent = "\n".join(json.dumps(line) for line in lines)
    done = subprocess.run(COMMAND, input=sent, capture_output=True, text=True, env=environment(home), cwd=home.parent, timeout=30)
    assert done.returncode == 0
    assert '"action":"added"' in done.stdout


def test_it_ends_when_stdin_closes_also_during_a_call(home: Path, tmp_path: Path) -> None:
    with Bare(home) as server:
        server.shake()
        server.tool("memory_count")
        holder = apsw.Connection(str(home / "memory.db"))
        holder.execute("BEGIN IMMEDIATE")
        server.send({"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": STORE})
        time.sleep(0.2)
        server.close()
        assert server.process.wait(5) == 0
        holder.close()


@pytest.mark.skipif(os.name == "nt", reason="processes are not adopted there")
@pytest.mark.parametrize("mode", [[], ["--server", "http://127.0.0.1:9"]])
def test_it_ends_when_the_host_dies_while_another_process_holds_the_pipe(home: Path, tmp_path: Path, mode: list[str]) -> None:
    script = tmp_path / "host.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "read, write = os.pipe()\n"
        f"server = subprocess.Popen({[*COMMAND, *mode]!r}, stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "holder = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'], pass_fds=[write], stdout=subprocess.DEVNULL)\n"
        "print(server.pid, holder.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "os._exit(0)\n"
    )
    host = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(home), cwd=tmp_path
    )
    assert host.stdout is not None
    server, holder = map(int, host.stdout.readline().split())
    try:
        time.sleep(3)
        assert host.stdin is not None
        host.stdin.close()
        host.wait(10)
        host.stdout.close()
        for _ in range(600):
            if not _alive(server):
                break
            time.sleep(0.1)
        assert not _alive(server)
    finally:
        for pid in (server, holder):
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return not Path("/proc/self").exists()


def test_a_damaged_store_keeps_nobody_from_connecting_and_is_used_once_it_is_mended(home: Path) -> None:
    home.mkdir(parents=True)
    damage = b"this is no database " * 500
    path = home / "memory.db"
    path.write_bytes(damage)
    with Bare(home) as server:
        assert "result" in server.shake()
        assert len(server.ask("tools/list")["result"]["tools"]) == len(DEFAULT)
        result = server.tool("memory_count")
        assert result["isError"] is True
        assert "is damaged or is not a Bethink store" in said(result)
        assert "Hint: Keep the file" in said(result)
        assert path.read_bytes() == damage
        path.unlink()
        assert server.tool("memory_count").get("isError") is not True


def test_a_store_that_cannot_be_opened_is_said(home: Path) -> None:
    (home / "memory.db").mkdir(parents=True)
    with Bare(home) as server:
        assert "result" in server.shake()
        assert f"{home / 'memory.db'}" in said(server.tool("memory_count"))


def test_a_store_that_somebody_locks_is_said_and_used_afterwards(home: Path) -> None:
    with Bare(home) as server:
        server.shake()
        server.tool("memory_count")
        holder = apsw.Connection(str(home / "memory.db"))
        holder.execute("BEGIN IMMEDIATE")
        server.send({"jsonrpc": "2.0", "id": 50, "method": "tools/call", "params": STORE})
        # Reading goes on, and so does the protocol, while a write waits.
        assert server.ask("ping")["result"] == {}
        counted = server.tool("memory_count")
        assert counted.get("isError") is not True, said(counted)
        holder.execute("ROLLBACK")
        holder.close()
        while (answer := server.answer()).get("id") != 50:
            pass
        assert answer["result"]["structuredContent"]["action"] == "added"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_store_that_never_answers_is_reported_and_the_rest_goes_on(home: Path) -> None:
    home.mkdir(parents=True)
    os.mkfifo(home / "memory.db")
    with Bare(home) as server:
        assert "result" in server.shake()
        result = server.tool("memory_count")
        assert result["isError"] is True
        assert server.ask("ping")["result"] == {}
        server.close()
        assert server.process.wait(5) == 0


def test_a_wrong_setting_is_said_by_the_tools(home: Path) -> None:
    with Bare(home, env={"MEMORY_CONTEXT_TOKENS": "many"}) as server:
        server.shake()
        assert "MEMORY_CONTEXT_TOKENS is 'many'" in said(server.tool("memory_count"))


def test_a_private_session_neither_tells_nor_keeps(home: Path) -> None:
    with Bare(home, env={"MEMORY_PRIVATE": "1"}) as server:
        server.shake()
        assert "private" in said(server.tool("memory_store", content="a secret plan"))
    with Bare(home) as server:
        server.shake()
        assert server.tool("memory_count")["structuredContent"]["total"] == 0


def test_the_project_is_where_the_host_stands(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "app"
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    subprocess.run(["git", "-C", str(project), "remote", "add", "origin", "git@example.com:team/my-app.git"], check=True)
    with Bare(home, cwd=project) as inside:
        inside.shake()
        assert inside.tool("memory_store", content="The build needs Node 24")["structuredContent"]["project"] == "example.com/team/my-app"
        assert inside.tool("memory_store", content="Tabs, not spaces", scope="global")["structuredContent"]["project"] is None
    with Bare(home, env={"CLAUDE_PROJECT_DIR": str(project)}) as told:
        told.shake()
        assert len(told.tool("memory_list")["structuredContent"]["memories"]) == 2
    with Bare(home) as outside:
        outside.shake()
        contents = [one["content"] for one in outside.tool("memory_list")["structuredContent"]["memories"]]
        assert contents == ["Tabs, not spaces"]
        assert len(outside.tool("memory_list", project="*")["structuredContent"]["memories"]) == 2
        assert len(outside.tool("memory_list", project="my-app")["structuredContent"]["memories"]) == 2
        assert outside.tool("memory_recall", context="node build version")["structuredContent"]["hits"] == []
        assert outside.tool("memory_recall", context="node build version", project="*")["structuredContent"]["hits"]
    with Bare(home, "-p", "my-app") as named:
        named.shake()
        stored = named.tool("memory_store", content="CI runs on Debian", project="my-app")["structuredContent"]
        assert stored["project"] == "example.com/team/my-app"


def test_options_are_checked_before_anything_is_served(home: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--tools", "nonsense"], capture_output=True, text=True, env=environment(home), stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert done.stdout == ""
