"""What stands between a machine and its server in companies: TLS with an authority of their own, and an HTTP proxy."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The certificate of an authority that nobody else knows, and what a server needs that it vouches for (127.0.0.1)."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An authority of tests")])

    def signed(name: x509.Name, of: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
        made = x509.CertificateBuilder().subject_name(name).issuer_name(root_name).public_key(of.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        made = made.not_valid_after(now + datetime.timedelta(days=1))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        return made.sign(root_key, hashes.SHA256())

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    subject = (x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), False)
    root = signed(root_name, root_key, (x509.BasicConstraints(True, None), True), (usage, True), subject)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = signed(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")]), key, (names, False))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(own.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "ca.pem", context


class Line:
    """Listens on a port of this machine in a thread; used as a context manager.

    Args:
        target: port that TLS ends before; None for a proxy, which goes where it is told.
        tls: speaks TLS towards the client.
    """

    def __init__(self, target: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = target, tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: What was asked of a proxy: "CONNECT host:port" or "POST http://…".
        self.asked: list[str] = []
        self._open: list[Writer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        take: Callable[[Reader, Writer], Awaitable[None]] = self._proxy if self._target is None else self._end
        server = self._loop.run_until_complete(asyncio.start_server(take, "127.0.0.1", 0, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for each in self._open:
            each.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _end(self, reader: Reader, writer: Writer) -> None:
        await self._join(reader, writer, "127.0.0.1", self._target or 0, b"")

    async def _proxy(self, reader: Reader, writer: Writer) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, where, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            self.asked.append(f"{method} {where}")
            if method == "CONNECT":
                host, _, port = where.rpartition(":")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._join(reader, writer, host, int(port), b"")
                return
            parts = urlsplit(where)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            # One request for a connection: the next may have another address.
            first = head.replace(where.encode(), path.encode(), 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            await self._join(reader, writer, str(parts.hostname), parts.port or 80, first)

    async def _join(self, reader: Reader, writer: Writer, host: str, port: int, first: bytes) -> None:
        self._open.append(writer)
        with suppress(OSError):
            far_reader, far = await asyncio.open_connection(host, port)
            self._open.append(far)
            far.write(first)
            there = asyncio.ensure_future(_pour(reader, far))
            await _pour(far_reader, writer)
            there.cancel()
            far.close()
            writer.close()


async def _pour(reader: Reader, writer: Writer) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
