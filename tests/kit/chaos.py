"""A proxy between a client and a server that does to a connection what networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress
from typing import Final

FAULTS: Final = ("none", "latency", "cut", "half_open", "reset", "status", "slow", "garbage", "unanswered", "html")
STATUSES: Final = (500, 503, 429, 413, 422, 502, 403)


class Chaos:
    """Listens on a port of this machine and passes on to another one, with a fault now and then.

    Args:
        target: port of the real server.
        rate: chance of a fault for a connection, 0..1; may be changed at any time.
    """

    def __init__(self, target: int, *, rate: float = 0.5, seed: int = 1, faults: tuple[str, ...] = FAULTS) -> None:
        self.target = target
        self.rate = rate
        self.faults = faults
        self.counts: dict[str, int] = {}
        #: Everything that passed in either direction.
        self.heard = bytearray()
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._random.choice(self.faults) if self._random.random() < self.rate else "none"
        self.counts[fault] = self.counts.get(fault, 0) + 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._serve(fault, reader, writer)
        with suppress(OSError):
            writer.close()

    async def _serve(self, fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault == "half_open":
            await asyncio.sleep(3)
            return
        if fault == "reset":
            self._reset(writer)
            return
        head = await reader.readuntil(b"\r\n\r\n")
        if fault in ("status", "html", "garbage"):
            writer.write(self._lie(fault))
            await writer.drain()
            return
        if fault == "latency":
            await asyncio.sleep(self._random.random())
        behind_reader, behind = await asyncio.open_connection("127.0.0.1", self.target)
        # One request for a connection, so that each has its own fault.
        head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        self.heard += head
        behind.write(head)
        upstream = asyncio.ensure_future(self._pour(reader, behind))
        try:
            answer = bytearray()
            while part := await behind_reader.read(65536):
                answer += part
            self.heard += answer
            await self._answer(fault, bytes(answer), writer)
        finally:
            upstream.cancel()
            with suppress(OSError):
                behind.close()

    async def _answer(self, fault: str, answer: bytes, writer: asyncio.StreamWriter) -> None:
        if fault == "unanswered":
            self._reset(writer)
        elif fault == "cut":
            writer.write(answer[: self._random.randrange(max(1, len(answer)))])
            await writer.drain()
            self._reset(writer)
        elif fault == "slow":
            for start in range(0, min(len(answer), 200), 20):
                writer.write(answer[start : start + 20])
                await writer.drain()
                await asyncio.sleep(0.05)
            writer.write(answer[200:])
            await writer.drain()
        else:
            writer.write(answer)
            await writer.drain()

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65536):
                self.heard += part
                writer.write(part)
                await writer.drain()

    def _lie(self, fault: str) -> bytes:
        if fault == "garbage":
            return self._random.randbytes(300)
        body = b"<html><body>Please log in to this network.</body></html>"
        status = 200 if fault == "html" else self._random.choice(STATUSES)
        kind = b"text/html"
        if fault == "status" and self._random.random() < 0.5:
            kind, body = b"application/problem+json", b'{"detail":"chaos","code":"Chaos","hint":""}'
        return b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, kind, len(body), body)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        if raw is not None:
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
