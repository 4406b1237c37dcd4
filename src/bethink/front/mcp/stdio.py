"""Standard input and output as a transport that nothing else can disturb and that outlives nobody.

The SDK's own transport drops batches and malformed lines in silence, reads lines of any length into memory, and cancels
calls that are still running when stdin closes. Here a batch is taken apart, a bad line is answered, and calls may finish for a moment.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import IO, Any, Self

import anyio
import anyio.to_thread
from mcp.server.stdio import stdio_server

from bethink import text
from bethink.front.mcp import parent

#: Longest line that is read, in bytes; a memory holds 64 KB.
MAX_LINE = 4 << 20
#: Seconds that running calls get when stdin has closed.
GRACE = 1.5
#: Seconds after which the process ends whatever happens.
_LAST = 0.4
PARSE_ERROR, INVALID_REQUEST = -32700, -32600


class Wire:
    """Takes stdin and stdout away from everybody else; used as a context manager around the server's run.

    Args:
        quiet: also silences stderr.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._waiting: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._in: IO[bytes] = os.fdopen(_aside(0), "rb", buffering=1 << 16)
        self._out: IO[bytes] = os.fdopen(_aside(1), "wb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        if self._quiet:
            os.dup2(nothing, 2)
        os.dup2(2, 1)
        os.close(nothing)
        parent.watch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._out.close()

    def streams(self) -> AbstractAsyncContextManager[Any]:
        """The SDK's streams of messages over this wire."""
        # The SDK asks for files and uses just these methods of them.
        reading: Any = _Reading(self)
        writing: Any = _Writing(self)
        return stdio_server(reading, writing)

    def lines(self) -> list[str] | None:
        """The next message or messages; None at the end. Waits for the client."""
        while True:
            raw = self._in.readline(MAX_LINE)
            if not raw:
                return None
            if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                self._skip_line()
                self._refuse(INVALID_REQUEST, f"A line may have at most {MAX_LINE} bytes")
            elif raw.strip() and (messages := self._messages(raw)):
                return messages

    def write(self, line: str) -> None:
        """One whole line, whatever other threads write."""
        data = line.encode("utf-8", "replace")
        with self._lock, suppress(BrokenPipeError):
            while data:
                data = data[self._out.write(data) :]
        if self._waiting:
            with suppress(ValueError, AttributeError):
                self._waiting.discard(json.dumps(json.loads(line).get("id")))

    def finish(self) -> None:
        """Waits for running calls, but not for long."""
        end = time.monotonic() + GRACE
        while self._waiting and time.monotonic() < end:
            time.sleep(0.01)

    def _messages(self, raw: bytes) -> list[str]:
        try:
            # json would take these names, JSON does not know them.
            parsed = json.loads(raw.decode("utf-8", "replace"), parse_constant=_not_json)
        except (ValueError, RecursionError):
            self._refuse(PARSE_ERROR, "Parse error")
            return []
        batch = parsed if isinstance(parsed, list) else [parsed]
        if not batch:
            self._refuse(INVALID_REQUEST, "An empty batch")
        messages = []
        for one in batch:
            if not isinstance(one, dict) or one.get("jsonrpc") != "2.0" or not _is_message(one):
                self._refuse(INVALID_REQUEST, "Not a JSON-RPC message", one.get("id") if isinstance(one, dict) else None)
                continue
            if "method" in one and "id" in one:
                self._waiting.add(json.dumps(one["id"]))
            elif one.get("method") == "notifications/cancelled" and isinstance(one.get("params"), dict):
                # A cancelled request is never answered.
                self._waiting.discard(json.dumps(one["params"].get("requestId")))
            # Half a surrogate pair would make the SDK drop the whole message.
            messages.append(text.mended(json.dumps(one, ensure_ascii=False)) + "\n")
        return messages

    def _refuse(self, code: int, message: str, id: Any = None) -> None:
        known = id if isinstance(id, (str, int)) and not isinstance(id, bool) else None
        self.write(json.dumps({"jsonrpc": "2.0", "id": known, "error": {"code": code, "message": message}}) + "\n")

    def _skip_line(self) -> None:
        while (part := self._in.readline(MAX_LINE)) and not part.endswith(b"\n"):
            pass


class _Reading:
    """What the SDK reads from: an asynchronous iterator of lines."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[str]:
        while (lines := await anyio.to_thread.run_sync(self._wire.lines, abandon_on_cancel=True)) is not None:
            for line in lines:
                yield line
        await anyio.to_thread.run_sync(self._wire.finish, abandon_on_cancel=True)


class _Writing:
    """What the SDK writes to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def write(self, line: str) -> None:
        # Threads are the only way not to be blocked by a client that does not read.
        await anyio.to_thread.run_sync(self._wire.write, line, abandon_on_cancel=True)

    async def flush(self) -> None:
        """Nothing is kept back."""


def leave(close: Callable[[], None]) -> None:
    """Ends the process: after `close`, or without it when it takes too long."""
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(_LAST)
    os._exit(0)


def _aside(descriptor: int) -> int:
    """The same file under a number that nobody knows and no child inherits."""
    copy = os.dup(descriptor)
    os.set_inheritable(copy, False)
    return copy


def _is_message(one: dict[str, Any]) -> bool:
    id = one.get("id", 0)
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        return False
    return isinstance(one.get("method"), str) or ("id" in one and ("result" in one or "error" in one))


def _not_json(name: str) -> Any:
    raise ValueError(name)
