"""Asking the warm process. On the hook path: standard library only, never waits longer than it is told."""

# What `socket` is made of: that module makes enums of all its constants, which takes 3 ms of every prompt.
import _socket as socket
import json
import time
from contextlib import closing
from typing import Any

from bethink.warm.spot import Spot

#: An answer larger than this is not ours.
_MAX_ANSWER = 64 * 1024 * 1024


class Question:
    """A question that was put to the warm process and whose answer is still to be read."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection = connection
        self._end = end

    def answer(self) -> dict[str, Any] | None:
        """The answer; None when there is none in time."""
        try:
            with closing(self._connection):
                answer = json.loads(_all(self._connection, self._end))
        # A nested answer that is too deep is a RecursionError; whoever sends it is not ours.
        except (OSError, ValueError, RecursionError):
            return None
        return answer if isinstance(answer, dict) and "error" not in answer else None


def put(spot: Spot, request: dict[str, Any], timeout: float) -> Question | None:
    """Puts a question to the warm process, which is to be answered in `timeout` seconds from now; None when there is no such process."""
    end = time.monotonic() + timeout
    try:
        family, address, token = _address(spot)
        connection = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    try:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.sendall(json.dumps({**request, "store": spot.store, "token": token}).encode() + b"\n")
    except (OSError, ValueError):
        connection.close()
        return None
    return Question(connection, end)


def ask(spot: Spot, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
    """The answer of the warm process, None when there is none in `timeout` seconds."""
    question = put(spot, request, timeout)
    return question.answer() if question else None


def _address(spot: Spot) -> tuple[int, Any, str]:
    if spot.uses_unix:
        return socket.AF_UNIX, str(spot.socket), ""
    where = json.loads(spot.address.read_text("utf-8"))
    return socket.AF_INET, ("127.0.0.1", int(where["port"])), str(where["token"])


def _all(connection: socket.socket, end: float) -> bytes:
    """Everything until the other side closes, within the time that is left."""
    chunks: list[bytes] = []
    size = 0
    while True:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        chunk = connection.recv(1 << 18)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER or time.monotonic() > end:
            raise TimeoutError
