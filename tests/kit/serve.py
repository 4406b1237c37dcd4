"""A real `bethink serve` process on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """A server process; used as a context manager.

    Args:
        home: folder for its MEMORY_HOME and its log.
        env: settings. Without an embedder and without rate limits unless it says otherwise.
    """

    def __init__(self, home: Path, *, port: int | None = None, **env: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / f"serve-{self.port}.log"
        home.mkdir(parents=True, exist_ok=True)
        usual = {"MEMORY_HOME": str(home / "memory"), "MEMORY_EMBEDDER": "none", "RATE_LIMIT_READ": "0", "RATE_LIMIT_WRITE": "0"}
        usual["RATE_LIMIT_SYNC"] = "0"
        self._env = {**os.environ, **usual, **env}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", "from bethink.front.cli import main; main()", "serve", "--port", str(self.port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._env)
        end = time.monotonic() + START_SECONDS
        while wait:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == 200:
                    break
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self.told()[-2000:]}")
            time.sleep(0.05)
        return self

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None, timeout: float = 30, **headers: str) -> tuple[int, Any]:
        """(status, JSON or text) of one request."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": "application/json", **headers})
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error.read())

    def told(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def stop(self, sign: int = signal.SIGTERM, timeout: float = 30) -> int:
        """Ends the process; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(sign)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
