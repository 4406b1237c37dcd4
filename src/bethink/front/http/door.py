"""What every request passes: an id, a name for the log, Host and Origin, credentials, a bound on its size."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bethink.errors import BethinkError, ConfigError, Forbidden
from bethink.front.http import auth, errors, logs, metrics, tracing
from bethink.model import new_id
from bethink.stores.base import REQUEST

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.front.http.server import Server

#: Reached without credentials: whether the server lives, and where tokens for it are had.
OPEN = frozenset({"/health", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"})
#: Guards itself.
METRICS = "/metrics"
#: Largest body of a request, and of one that brings a file.
MAX_BODY = 4 << 20
MAX_IMPORT = 4 << 30
IMPORTING = "/api/memories/import"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Door:
    """The outermost layer: knows every request, whatever becomes of it."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server
        self._hosts = hosts_of(server.settings, server.host, strict=not server.needs_credentials)
        self._origins = frozenset(listed(server.settings["CORS_ORIGINS"]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else new_id()
        REQUEST.set(request_id)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-ID"] = request_id
                for name, value in _SAFE.items():
                    out.setdefault(name, value)
                if scope["path"].startswith("/api"):
                    out.setdefault("Cache-Control", "no-store")
            await send(message)

        metrics.RUNNING.inc()
        with tracing.span(scope["method"], headers, request_id) as span:
            try:
                self._check_place(headers)
                await self._app(scope, receive, answer)
            except BethinkError as error:
                if status:
                    raise
                await errors.of(error, self._server_challenge(error, scope, headers))(scope, receive, answer)
            except Exception as error:
                if status:
                    raise
                await errors.unexpected(error, request_id)(scope, receive, answer)
            finally:
                metrics.RUNNING.dec()
                route = route_of(scope)
                seconds = time.perf_counter() - started
                metrics.REQUESTS.labels(scope["method"] if scope["method"] in _METHODS else "other", route, status or 499).inc()
                metrics.SECONDS.labels(route).observe(seconds)
                tracing.finish(span, route, status or 499)
                caller: auth.Caller | None = scope["state"].get("caller")
                client = scope.get("client") or ("-", 0)
                logs.write(
                    logs.Line(
                        scope["method"], scope["path"], status or 499, seconds * 1000, client[0], caller.name if caller else "-", request_id
                    )
                )

    def _check_place(self, headers: Headers) -> None:
        """Refuses what a page of somebody else's makes a browser send (DNS rebinding, cross-site requests)."""
        host = headers.get("host", "").lower()
        if self._hosts is not None and name_of(host) not in self._hosts:
            raise Misdirected(f"This server is not {host[:100]!r}.", hint="Set PUBLIC_URL or ALLOWED_HOSTS to the name it is reached by.")
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return
        if urlsplit(origin).netloc.lower() != host:
            raise Forbidden(f"Pages of {origin[:100]!r} may not call this server.", hint="CORS_ORIGINS names those that may.")

    def _server_challenge(self, error: BethinkError, scope: Scope, headers: Headers) -> str:
        return challenge(self._server, error, scope, headers)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Misdirected(Forbidden):
    """The request is meant for another server."""


class Gate:
    """Lets nobody in without credentials, and nothing larger than it should be."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"]
        if path not in OPEN and path != METRICS:
            caller = await self._caller(headers)
            scope["state"]["caller"] = caller
            auth.CALLER.set(caller)
        most = MAX_IMPORT if path == IMPORTING else MAX_BODY
        await self._app(scope, bounded(receive, headers, most), send)

    async def _caller(self, headers: Headers) -> auth.Caller:
        try:
            credential = auth.credential_of(headers)
            authenticator = self._server.authenticator
            if (kept := authenticator.kept(credential)) is not None:
                return kept
            # Comparing keys may ask the database, reading tokens the provider.
            return await anyio.to_thread.run_sync(authenticator.caller, credential)
        except errors.Unauthenticated as error:
            metrics.AUTH_FAILURES.labels(error.reason).inc()
            raise


def challenge(server: Server, error: BethinkError, scope: Scope, headers: Mapping[str, str]) -> str:
    """The WWW-Authenticate header of an error (RFC 6750, RFC 9728): what is missing and where it is had."""
    parts = []
    if isinstance(error, errors.InsufficientScope):
        parts += ['error="insufficient_scope"', f'scope="{error.scope}"']
    elif isinstance(error, errors.Unauthenticated):
        if error.reason != "missing":
            parts.append('error="invalid_token"')
        parts.append(f'scope="{auth.READ} {auth.WRITE}"')
    else:
        return ""
    if server.tokens is not None:
        base = address(server.settings, scope, headers)
        suffix = "/mcp" if scope["path"].startswith(("/mcp", "/sse", "/messages")) else ""
        parts.append(f'resource_metadata="{base}/.well-known/oauth-protected-resource{suffix}"')
    return f"Bearer {', '.join(parts)}"


def address(settings: Settings, scope: Scope, headers: Mapping[str, str]) -> str:
    """The server's address as clients know it, without a slash at the end."""
    public: str | None = settings["PUBLIC_URL"]
    if public:
        return public.rstrip("/")
    host = re.sub(r"[^A-Za-z0-9.:\[\]_-]", "", headers.get("host", "localhost"))
    return f"{scope.get('scheme', 'http')}://{host}"


def hosts_of(settings: Settings, host: str, *, strict: bool) -> frozenset[str] | None:
    """The names that the server answers to; None for any, where a stranger's page has no credentials to misuse.

    Raises:
        ConfigError: PUBLIC_URL is not an address.
    """
    names = set(listed(settings["ALLOWED_HOSTS"]))
    if public := settings["PUBLIC_URL"]:
        if urlsplit(public).scheme not in ("http", "https") or not urlsplit(public).netloc:
            raise ConfigError("PUBLIC_URL is not an address.", hint="Write https://memory.example.org.")
        names.add(name_of(urlsplit(public).netloc.lower()))
    if not strict and not names:
        return None
    return frozenset({*(name_of(name.lower()) for name in names), *_LOOPBACK_NAMES, name_of(host)})


def name_of(host: str) -> str:
    """A Host header without its port."""
    return re.sub(r":\d*$", "", host) if not host.endswith("]") else host


def listed(value: str | None) -> list[str]:
    """A comma-separated setting."""
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def route_of(scope: Scope) -> str:
    """The pattern of a request's route, never its ids."""
    if pattern := getattr(scope.get("route"), "path", ""):
        return str(pattern)
    first = scope["path"].split("/")[1]
    return f"/{first}" if first in ("mcp", "sse", "messages") else "(none)"


def bounded(receive: Receive, headers: Headers, most: int) -> Receive:
    """`receive` that refuses more than `most` bytes, whether they were announced or not."""
    too_large = errors.TooLarge(f"The request is larger than {most:,} bytes.", hint="Send less at once; /api/memories/import takes files.")
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > most:

        async def refuse() -> Message:
            raise too_large

        return refuse
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise too_large
        return message

    return counted
