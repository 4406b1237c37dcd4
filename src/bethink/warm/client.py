"""Asking the warm process. On the hook path: standard library only, never waits longer than it is told."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Longest path that a Unix socket's address holds on every system.
_MAX_PATH = 100
#: An answer larger than this is not ours.
_MAX_ANSWER = 64 * 1024 * 1024


def uses_unix(path: Path) -> bool:
    """Whether a Unix socket can be had at `path`."""
    return hasattr(socket, "AF_UNIX") and os.name == "posix" and len(os.fsencode(path)) <= _MAX_PATH


def ask(home: Path, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
    """The answer of the warm process, None when there is none in `timeout` seconds."""
    try:
        connection = _connected(home, timeout, request)
        if connection is None:
            return None
        with connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            chunks: list[bytes] = []
            size = 0
            while chunk := connection.recv(1 << 18):
                chunks.append(chunk)
                size += len(chunk)
                if size > _MAX_ANSWER:
                    return None
            answer = json.loads(b"".join(chunks))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and "error" not in answer else None


def _connected(home: Path, timeout: float, request: dict[str, Any]) -> socket.socket | None:
    path = home / "run" / "warm.sock"
    if uses_unix(path):
        if not path.exists():
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: Any = str(path)
    else:
        where = json.loads((home / "run" / "warm.json").read_text("utf-8"))
        request["token"] = where["token"]
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        address = ("127.0.0.1", int(where["port"]))
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError:
        with suppress(OSError):
            connection.close()
        return None
    return connection
