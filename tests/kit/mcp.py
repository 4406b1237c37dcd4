"""Real MCP connections to a real `bethink mcp`: the SDK's client, and bare lines for what no client would send."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mcp import Client, StdioServerParameters
from mcp_types import Implementation

COMMAND = [sys.executable, "-m", "bethink.front.mcp"]
HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"
Json = dict[str, Any]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The variables of a server whose store is under `home`."""
    return {**os.environ, "MEMORY_HOME": str(home), **more}


def client(
    home: Path, *args: str, mode: str = "auto", name: str = "tester", cwd: Path | None = None, env: Mapping[str, str] = {}
) -> Client:
    """The SDK's client of a new server process; used as an asynchronous context manager."""
    parameters = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], *args], env=environment(home, **(env or {})), cwd=cwd or home.parent
    )
    return Client(parameters, mode=mode, client_info=Implementation(name=name, version="1"))


class Bare:
    """A server process spoken to in lines of JSON."""

    def __init__(self, home: Path, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, **(env or {})),
            cwd=cwd or home.parent,
        )
        self._answers: queue.Queue[Json | None] = queue.Queue()
        self._id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if self.process.poll() is None:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def close(self) -> None:
        """Closes the server's stdin."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def send(self, line: Any) -> None:
        """One line: bytes and text as they are, everything else as JSON."""
        assert self.process.stdin is not None
        data = line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = 120) -> Json:
        """The next line of the server."""
        got = self._answers.get(timeout=seconds)
        assert got is not None, "the server has gone"
        return got

    def ask(self, method: str, params: Json | None = None) -> Json:
        """Sends a request and waits for its answer, whole."""
        self._id += 1
        self.send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params or {}})
        while (got := self.answer()).get("id") != self._id:
            pass
        return got

    def shake(self, version: str = HANDSHAKE, name: str = "bare") -> Json:
        """The handshake."""
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}
        answer = self.ask("initialize", params)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def tool(self, name: str, **arguments: Any) -> Json:
        """A tool's result."""
        result: Json = self.ask("tools/call", {"name": name, "arguments": arguments})["result"]
        return result

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)


def said(result: Json) -> str:
    """The text of a tool's result."""
    return "\n".join(block["text"] for block in result["content"])
