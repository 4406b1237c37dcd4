"""Replication, and http-only mode, through TLS with an authority of one's own and through an HTTP proxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import mcp
from kit.lines import Line, authority
from kit.serve import Serving

BETHINK = (sys.executable, "-c", "from bethink.front.cli import main; main()")
KEY = "-".join(("a", "key", "for", "tests", "only", "0123456789"))
SECRET = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "server", API_KEYS=json.dumps({"ann": KEY})) as made:
        yield made


def bethink(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    env = {**plain, "MEMORY_HOME": str(home), "MEMORY_EMBEDDER": "none", "MEMORY_API_KEY": KEY, **settings}
    return subprocess.run([*BETHINK, *arguments], env=env, cwd=home.parent, capture_output=True, text=True, timeout=120, check=False)


def test_an_authority_of_ones_own_is_trusted_when_named_and_only_then(server: Serving, tmp_path: Path) -> None:
    ca, context = authority(tmp_path / "ca")
    home = tmp_path / "one"
    with Line(server.port, context) as line:
        url = {"MEMORY_API_URL": f"https://127.0.0.1:{line.port}"}
        assert bethink(home, "add", f"the deploy token is {SECRET}", "--global").returncode == 0
        told = json.loads(bethink(home, "sync", "--json", **url).stdout)
        assert told["errors"]["hello"]["code"] == "Unreachable" and told["pending"] == 1
        assert "certificate" in told["errors"]["hello"]["error"] and "not trusted" in told["errors"]["hello"]["error"]
        assert "SSL_CERT_FILE" in told["errors"]["hello"]["hint"]
        done = bethink(home, "sync", "--json", **url, SSL_CERT_FILE=str(ca))
        assert done.returncode == 0, done.stdout + done.stderr
        # Inside TLS the secret reached the server's seal.
        (memory,) = server.ask("GET", "/api/memories", key=KEY)[1]["memories"]
        assert SECRET not in memory["content"]
        assert SECRET in server.ask("POST", f"/api/memories/{memory['id']}/secret", {}, key=KEY)[1]["secrets"].values()
        only = {**url, "SSL_CERT_FILE": str(ca), "MEMORY_SYNC_DISABLE": "1"}
        assert bethink(tmp_path / "two", "add", f"another token is {SECRET[::-1]}", "--sensitive", **only).returncode == 0
        assert len(server.ask("GET", "/api/memories", key=KEY)[1]["memories"]) == 2
        assert tools_answer(tmp_path / "three", **only)


def test_a_proxy_is_gone_through(server: Serving, tmp_path: Path) -> None:
    ca, context = authority(tmp_path / "ca")
    home = tmp_path / "one"
    with Line(server.port, context) as line, Line() as proxy:
        through = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), f"http://127.0.0.1:{proxy.port}")
        assert bethink(home, "add", "kept", "--global").returncode == 0
        plain = {"MEMORY_API_URL": server.url, **through}
        done = bethink(home, "sync", "--json", **plain)
        assert done.returncode == 0, done.stdout + done.stderr
        assert any(asked.startswith(f"POST {server.url}/api/sync/push") for asked in proxy.asked)
        proxy.asked.clear()
        tls = {"MEMORY_API_URL": f"https://127.0.0.1:{line.port}", "SSL_CERT_FILE": str(ca), **through}
        done = bethink(tmp_path / "two", "list", "--json", MEMORY_SYNC_DISABLE="1", **tls)
        assert done.returncode == 0 and proxy.asked == [f"CONNECT 127.0.0.1:{line.port}"]
        for settings in (plain, tls):
            proxy.asked.clear()
            assert tools_answer(tmp_path / "three", MEMORY_SYNC_DISABLE="1", **settings) and proxy.asked
        proxy.asked.clear()
        assert tools_answer(tmp_path / "three", MEMORY_SYNC_DISABLE="1", **plain, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        assert proxy.asked == []


def tools_answer(home: Path, **settings: str) -> bool:
    """Whether the stdio server of http-only mode reaches the server."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "memory_count", "arguments": {}}}
    plain = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    env = {**plain, "MEMORY_HOME": str(home), "MEMORY_API_KEY": KEY, **settings}
    done = subprocess.run(mcp.COMMAND, input=json.dumps(call).encode() + b"\n", env=env, capture_output=True, timeout=60, check=False)
    return not json.loads(done.stdout)["result"].get("isError")
