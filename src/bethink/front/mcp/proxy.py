"""Standard input and output for assistants that speak nothing else, memories on a server: every message goes to its /mcp.

Opens no store and loads no model. Over plain HTTP a call that holds a secret is not passed on.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import IO, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from bethink.errors import ConfigError
from bethink.front.mcp import parent

Json = dict[str, Any]
#: Longest line that is read, in bytes.
MAX_LINE = 4 << 20
#: Seconds that the server may take for one answer, and that running calls get when stdin has closed.
_TIMEOUT, _GRACE = 60.0, 1.5
#: Calls that are under way at once.
_CALLS = 8
_HANDSHAKE = "2025-11-25"
_VERSION = "io.modelcontextprotocol/protocolVersion"
_AWAY, _PARSE_ERROR = -32000, -32700
#: Tools that answer with a secret, and arguments that make a whole content one.
_OPENING = frozenset(("secret_get",))
_SENSITIVE = ("force_sensitive", "sensitive")
_LEAK_HINT = "The server needs an https address."


class Proxy:
    """Passes messages between one client and a server.

    Args:
        server: the server's address, with or without /mcp at the end.
        headers: sent with every message: the key, the project, the client.
        toolset: which tools to show.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, server: str, headers: Mapping[str, str], toolset: str, out: IO[bytes]) -> None:
        address = urlsplit(server if "://" in server else f"https://{server}")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(f"{server!r} is not a server's address.", hint="Write https://memory.example.org or http://127.0.0.1:8420.")
        self._address = address
        path = address.path.rstrip("/").removesuffix("/mcp")
        self._path = f"{path}/mcp?tools={quote(toolset)}"
        self._via = _proxy_for(address)
        if self._via and address.scheme == "http":
            self._path = f"http://{address.netloc}{self._path}"
        # Header values are Latin-1; what is not (a folder's name) is sent as bytes of UTF-8.
        self._headers = {name: value.encode("utf-8", "replace").decode("latin-1") for name, value in headers.items()}
        self._out = out
        self._lock = threading.Lock()
        self._version = _HANDSHAKE
        self._local = threading.local()

    def run(self, lines: IO[bytes]) -> None:
        """Until the client closes its end."""
        with ThreadPoolExecutor(_CALLS, "bethink-proxy") as pool:
            running: set[Future[None]] = set()
            while line := lines.readline(MAX_LINE):
                if not line.strip():
                    continue
                try:
                    message = json.loads(line)
                except (ValueError, RecursionError):
                    self._write({"jsonrpc": "2.0", "id": None, "error": {"code": _PARSE_ERROR, "message": "Parse error"}})
                    continue
                for one in message if isinstance(message, list) else [message]:
                    if isinstance(one, dict):
                        running = {each for each in running if not each.done()}
                        future = pool.submit(self._pass_on, one)
                        running.add(future)
                        if one.get("method") == "initialize":
                            # What comes next needs to know what was agreed on.
                            wait([future])
            wait(running, _GRACE)
            pool.shutdown(wait=False, cancel_futures=True)

    def _pass_on(self, message: Json) -> None:
        try:
            answers = [self._failed(message, leak, _LEAK_HINT)] if (leak := self._leak(message)) else self._sent(message)
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers = [self._failed(message, f"The memory server {self._address.netloc} cannot be reached: {type(error).__name__}.")]
        for answer in answers:
            if answer:
                if message.get("method") == "initialize":
                    self._version = (answer.get("result") or {}).get("protocolVersion", self._version)
                self._write(answer)

    def _leak(self, message: Json) -> str:
        """Why a call must not travel in the clear; "" when it may."""
        if self._address.scheme == "https" or message.get("method") != "tools/call":
            return ""
        params = message.get("params")
        if not isinstance(params, dict):
            return ""
        if params.get("name") in _OPENING:
            return "A secret would travel in the clear over plain HTTP."
        from bethink.seal import detect

        given = params.get("arguments")
        sealed_whole = isinstance(given, dict) and any(given.get(name) for name in _SENSITIVE)
        if sealed_whole or any(detect.scan(one) for one in _texts(given)):
            return "It holds a secret, which would travel in the clear over plain HTTP."
        return ""

    def _sent(self, message: Json) -> list[Json]:
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **self._about(message),
        }
        body = json.dumps(message).encode()
        try:
            status, kind, data = self._exchange(body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # The server closed a connection that was kept: nothing was done on it.
            self._local.connection = None
            status, kind, data = self._exchange(body, headers)
        if status == 202 or "id" not in message:
            return []
        if kind.startswith("text/event-stream"):
            return [json.loads(line[5:]) for line in data.splitlines() if line.startswith(b"data:") and line[5:].strip()]
        if kind.startswith("application/json"):
            return [json.loads(data)]
        return [self._failed(message, _told(status, data))]

    def _about(self, message: Json) -> dict[str, str]:
        """The headers that say what is in a message; the protocol of 2026 wants them."""
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        assert isinstance(params, dict)
        meta = params.get("_meta")
        modern = meta.get(_VERSION) if isinstance(meta, dict) else None
        if not isinstance(modern, str):
            return {"MCP-Protocol-Version": self._version} if message.get("method") != "initialize" else {}
        said = {"MCP-Protocol-Version": modern, "Mcp-Method": str(message.get("method", ""))}
        name = params.get("name") or params.get("uri")
        if isinstance(name, str):
            said["Mcp-Name"] = _header(name)
        return said

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        connection = self._connection()
        try:
            if self._via and self._address.scheme == "http":
                headers = {**headers, **_credentials(self._via)}
            connection.request("POST", self._path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except BaseException:
            connection.close()
            self._local.connection = None
            raise

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
            assert self._address.hostname is not None
            via = self._via
            host, port = (via.hostname, via.port) if via else (self._address.hostname, self._address.port)
            assert host is not None
            connection = self._local.connection = kind(host, port, timeout=_TIMEOUT)
            if via and self._address.scheme == "https":
                connection.set_tunnel(self._address.hostname, self._address.port, _credentials(via))
        return connection

    def _failed(self, message: Json, said: str, hint: str = "Go on without memory; try again later.") -> Json:
        """An answer that a model can act on, where it was a tool that was called."""
        id = message.get("id")
        if id is None:
            return {}
        if message.get("method") == "tools/call":
            text = f"{said}\nHint: {hint}"
            return {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}], "isError": True}}
        return {"jsonrpc": "2.0", "id": id, "error": {"code": _AWAY, "message": said}}

    def _write(self, message: Json) -> None:
        line = json.dumps(message, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                self._out.write(line)
                self._out.flush()
            except (BrokenPipeError, ValueError):
                # The client has gone.
                return


def serve(server: str, headers: Mapping[str, str], toolset: str) -> int:
    """Serves on stdin and stdout until stdin closes."""
    proxy = Proxy(server, headers, toolset, sys.stdout.buffer)
    parent.watch()
    proxy.run(sys.stdin.buffer)
    return 0


def _proxy_for(address: SplitResult) -> SplitResult | None:
    """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) for an address."""
    from urllib.request import getproxies, proxy_bypass

    named = getproxies().get(address.scheme)
    if not named or proxy_bypass(address.netloc):
        return None
    via = urlsplit(named if "://" in named else f"http://{named}")
    return via if via.hostname else None


def _credentials(via: SplitResult) -> dict[str, str]:
    if via.username is None:
        return {}
    plain = f"{unquote(via.username)}:{unquote(via.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(plain.encode()).decode()}"}


def _texts(value: Any) -> Iterator[str]:
    """Every text in arguments."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)


def _told(status: int, data: bytes) -> str:
    try:
        shape = json.loads(data)
        return f"The memory server refuses ({status}): {shape['detail']} {shape['hint']}".strip()
    except (ValueError, KeyError, TypeError):
        return f"The memory server answers {status}."


def _header(value: str) -> str:
    """A header's value; what cannot stand in one is sent in base64, as the protocol says."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="
