"""Tokens of a real OpenID provider: registration, login, resource, refresh, changing keys; and Claude Code's own login."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import node, oidc
from kit.serve import Serving, free_port

pytestmark = pytest.mark.slow
KEY = "test" + "-key-beside-tokens"
_MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oidc.Provider]:
    with oidc.Provider(tmp_path_factory.mktemp("provider")) as made:
        yield made


@pytest.fixture(scope="module")
def server(provider: oidc.Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    port = free_port()
    audience = f"http://127.0.0.1:{port}/mcp"
    with Serving(tmp_path_factory.mktemp("server"), port=port, API_KEY=KEY, OIDC_ISSUER=provider.issuer, OIDC_AUDIENCE=audience) as made:
        yield made


@pytest.fixture
def client(provider: oidc.Provider) -> Iterator[oidc.Client]:
    made = oidc.Client(provider.issuer)
    yield made
    made.close()


def called(server: Serving, token: str, tool: str, **arguments: Any) -> tuple[int, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return server.ask("POST", "/mcp", message, token, **_MCP)


def test_a_client_finds_its_way_from_the_first_refusal_to_a_memory(server: Serving, provider: oidc.Provider, client: oidc.Client) -> None:
    refusal = client.http.post(f"{server.url}/mcp", json={})
    assert refusal.status_code == 401
    named = re.search(r'resource_metadata="([^"]+)"', refusal.headers["www-authenticate"])
    assert named is not None
    about = client.http.get(named[1]).json()
    assert about["resource"] == f"{server.url}/mcp" and about["authorization_servers"] == [provider.issuer]
    assert {"memory:read", "memory:write"} <= set(about["scopes_supported"])
    tokens = client.tokens(about["resource"], "openid offline_access memory:read memory:write", "alice")
    token = tokens["access_token"]
    status, answer = called(server, token, "memory_store", content="alice likes short answers")
    assert status == 200 and not answer["result"]["isError"], answer
    status, me = server.ask("GET", "/api/auth-check", key=token)
    assert (status, me["scopes"]) == (200, ["memory:read", "memory:write"])

    refreshed = client.refreshed(tokens, about["resource"])["access_token"]
    assert refreshed != token
    status, answer = called(server, refreshed, "memory_recall", context="which answers does alice like?")
    assert "alice likes short answers" in answer["result"]["content"][0]["text"]

    other = client.tokens(about["resource"], "openid memory:read", "bob")["access_token"]
    status, answer = called(server, other, "memory_recall", context="which answers does alice like?")
    assert status == 200 and "short answers" not in answer["result"]["content"][0]["text"]


def test_a_missing_scope_is_named_so_that_the_client_can_ask_for_it(server: Serving, client: oidc.Client) -> None:
    resource = f"{server.url}/mcp"
    token = client.tokens(resource, "openid memory:read", "carl")["access_token"]
    answer = client.http.post(
        resource,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "memory_store", "arguments": {"content": "x"}}},
        headers={**_MCP, "Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge and 'scope="memory:write"' in challenge and "resource_metadata=" in challenge
    more = client.tokens(resource, "openid memory:read memory:write", "carl")["access_token"]
    assert called(server, more, "memory_store", content="carl was asked for more")[0] == 200


def test_a_token_for_another_resource_is_refused(server: Serving, client: oidc.Client) -> None:
    token = client.tokens("https://elsewhere.example.org/mcp", "openid memory:read", "dora")["access_token"]
    assert server.ask("GET", "/api/auth-check", key=token)[0] == 401
    plain = client.tokens(f"{server.url}/mcp", "openid memory:read", "dora")
    assert server.ask("GET", "/api/auth-check", key=plain["id_token"])[0] == 401, "an ID token is no access token"


def test_keys_may_change(server: Serving, provider: oidc.Provider) -> None:
    resource = f"{server.url}/mcp"
    client = oidc.Client(provider.issuer)
    old = client.tokens(resource, "openid memory:read", "erin")["access_token"]
    assert server.ask("GET", "/api/auth-check", key=old)[0] == 200
    client.close()
    provider.rotate()
    client = oidc.Client(provider.issuer)
    new = client.tokens(resource, "openid memory:read", "erin")["access_token"]
    client.close()
    end = time.monotonic() + 30
    # An unknown key is asked for at most once in a few seconds.
    while server.ask("GET", "/api/auth-check", key=new)[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.5)
    time.sleep(2.1)
    assert server.ask("GET", "/api/auth-check", key=old)[0] == 401
    assert server.ask("GET", "/api/auth-check", key=KEY)[0] == 200, "keys and tokens work side by side"


def test_claude_connects_with_a_key(server: Serving, tmp_path: Path) -> None:
    claude, env = _claude(tmp_path)
    header = f"Authorization: Bearer {KEY}"
    _run([claude, "mcp", "add", "--transport", "http", "memory", f"{server.url}/mcp", "--header", header], env, tmp_path)
    assert "Connected" in _run([claude, "mcp", "list"], env, tmp_path)


def test_claude_logs_in(server: Serving, tmp_path: Path) -> None:
    if shutil.which("script") is None:
        pytest.skip("script(1), which gives a program a terminal, is not installed")
    claude, env = _claude(tmp_path)
    _run([claude, "mcp", "add", "--transport", "http", "memory", f"{server.url}/mcp"], env, tmp_path)
    assert "Needs authentication" in _run([claude, "mcp", "list"], env, tmp_path)
    browser = tmp_path / "browser"
    tests = Path(__file__).resolve().parents[1]
    browser.write_text(
        f"#!{sys.executable}\n"
        f"import sys, urllib.request\nsys.path.insert(0, {str(tests)!r})\n"
        "from kit.oidc import logged_in\n"
        "urllib.request.urlopen(logged_in(sys.argv[-1], 'frank'), timeout=30).close()\n"
    )
    browser.chmod(0o755)
    login = ["script", "-qefc", f"{claude} mcp login memory", str(tmp_path / "typescript")]
    _run(login, {**env, "BROWSER": str(browser)}, tmp_path)
    assert "Connected" in _run([claude, "mcp", "list"], env, tmp_path)


def _claude(folder: Path) -> tuple[str, dict[str, str]]:
    program = node.need("claude")
    quiet = dict.fromkeys(("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_AUTOUPDATER", "DISABLE_TELEMETRY", "IS_SANDBOX"), "1")
    env = {**node.with_node(os.environ), **quiet, "HOME": str(folder), "CLAUDE_CONFIG_DIR": str(folder / "claude")}
    return str(program), env


def _run(command: list[str], env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
