"""MCP over HTTP: the same tools as over stdio, each call with the rights of whoever sent it. Stateless, in both eras of the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
from fastapi import FastAPI
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, InputRequiredResult
from mcp_types import Tool as Listed
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from bethink.front.http import metrics
from bethink.front.http.auth import CALLER, READ, SECRETS, WRITE
from bethink.front.http.deps import named
from bethink.front.http.door import MAX_BODY
from bethink.front.http.errors import InsufficientScope, problem
from bethink.front.mcp import toolsets
from bethink.front.mcp.desk import Desk
from bethink.front.mcp.server import MemoryServer, agent_of, call, listed
from bethink.service.core import Writer

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from bethink.front.http.server import Server
    from bethink.front.mcp.table import Tool
    from bethink.service.memories import Memories

PATH, SSE, MESSAGES = "/mcp", "/sse", "/messages"
#: Requests that only read, beside the tools that say so.
_READING = frozenset({"resources/read"})


@dataclass(slots=True)
class Place:
    """What one request brought with it."""

    tools: Mapping[str, Tool]
    headers: Mapping[str, str] = field(default_factory=dict)
    agent: str | None = None


PLACE: ContextVar[Place] = ContextVar("bethink_place")


@cache
def table(name: str) -> Mapping[str, Tool]:
    """The tools of a set, by name.

    Raises:
        InvalidInput: there is no such set.
    """
    return {tool.name: tool for tool in toolsets.named(name, served=True)}


def scope_of(tool: Tool) -> str:
    """The scope that a tool needs."""
    if "secret" in tool.name:
        return SECRETS
    return READ if tool.read_only else WRITE


class RequestDesk(Desk):
    """The memories of whoever sent the request that is being worked on."""

    def __init__(self, server: Server) -> None:
        super().__init__(environment={})
        self._server = server

    @property
    def agent(self) -> str | None:
        place = PLACE.get(None)
        return place.agent if place else None

    @agent.setter
    def agent(self, name: str | None) -> None:
        if name and (place := PLACE.get(None)) is not None:
            place.agent = name

    def memories(self) -> Memories:
        caller, place = CALLER.get(), PLACE.get()
        caller.must(READ)
        writer = Writer(
            client=named(place.headers, "x-client-id"),
            agent=place.agent,
            session=named(place.headers, "x-session-id"),
            source="assistant",
        )
        return self._server.memories(caller, writer, named(place.headers, "x-project-id"))

    def greeted(self) -> None:
        """The model is loaded already."""

    def wrote(self) -> None:
        self._server.wrote()

    def called(self) -> None:
        """Uses are written down for all requests together."""

    def close(self) -> None:
        """The store is the server's."""


class RemoteServer(MemoryServer):
    """The MCP server of all requests; which tools it shows depends on the request."""

    def __init__(self, server: Server) -> None:
        super().__init__(RequestDesk(server), ())

    async def list_tools(self) -> list[Listed]:
        return [listed(tool) for tool in PLACE.get().tools.values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        place = PLACE.get()
        tool = place.tools.get(name)
        if tool is None:
            raise ToolError(f"No tool {name!r}. There are: {', '.join(place.tools)}.")
        try:
            CALLER.get().must(scope_of(tool))
        except InsufficientScope as error:
            raise ToolError(error.message) from error
        place.agent = agent_of(context) or place.agent
        result = await anyio.to_thread.run_sync(partial(call, tool, self._desk, arguments))
        metrics.TOOLS.labels(name, "error" if result.is_error else "ok").inc()
        return result

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        tool = PLACE.get().tools.get(name)
        return tool.schema() if tool else None


class Endpoint:
    """The ASGI side: finds the toolset, looks who may call what, and hands over to the SDK."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._mcp = RemoteServer(server)
        low = cast(Any, self._mcp)._lowlevel_server
        # Host and Origin were looked at by the door.
        place = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._http = StreamableHTTPSessionManager(low, json_response=True, stateless=True, security_settings=place)
        self._place = place
        self._low = low
        self._sse: dict[str, SseServerTransport] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """As long as the application lives."""
        async with self._http.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streamable HTTP. Without sessions there is nothing to GET or DELETE."""
        if scope["method"] != "POST":
            hint = "POST JSON-RPC messages here."
            await problem(405, "Method Not Allowed", hint, "MethodNotAllowed", {"Allow": "POST"})(scope, receive, send)
            return
        self._enter(scope, Request(scope).query_params.get("tools", "default"))
        await self._http.handle_request(scope, await self._looked_at(scope, receive), send)

    async def sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The old transport's stream of answers; what is sent goes to /messages/TOOLSET."""
        if scope["method"] != "GET":
            await problem(405, "Method Not Allowed", "GET the stream; POST to the address it names.", "MethodNotAllowed")(
                scope, receive, send
            )
            return
        name = Request(scope).query_params.get("tools", "default")
        self._enter(scope, name)
        CALLER.get().must(READ)
        transport = self._sse.setdefault(name, SseServerTransport(f"{MESSAGES}/{name}", self._place, MAX_BODY))
        async with transport.connect_sse(scope, receive, send) as (reading, writing):
            await self._low.run(reading, writing, self._low.create_initialization_options())

    async def messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What clients of the old transport send."""
        name = scope["path_params"]["tools"]
        self._enter(scope, name)
        transport = self._sse.get(name)
        if transport is None:
            await problem(404, "There is no such session.", "GET /sse first.", "NotFound")(scope, receive, send)
            return
        await transport.handle_post_message(scope, await self._looked_at(scope, receive), send)

    def _enter(self, scope: Scope, toolset: str) -> None:
        headers = Headers(scope=scope)
        agent = headers.get("user-agent", "").split("/")[0].strip()[:200] or None
        PLACE.set(Place(table(toolset), headers, agent))
        caller = CALLER.get()
        # The SDK binds sessions to whoever opened them.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=caller.name, scopes=sorted(caller.scopes), subject=caller.name))

    async def _looked_at(self, scope: Scope, receive: Receive) -> Receive:
        """The body, read whole; refuses what the caller may not do before anything is done.

        Raises:
            InsufficientScope: the answer names the scope that is missing, so that a client can ask its user for it.
            TooManyRequests: beyond the limit.
        """
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return _again(b"", message)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if (kind := _needed(body)) is not None:
            if self._server.limiter.remote:
                await anyio.to_thread.run_sync(self._server.limiter.spend, CALLER.get(), kind)
            else:
                self._server.limiter.spend(CALLER.get(), kind)
        return _again(body, None, receive)


def _needed(body: bytes) -> str | None:
    """What a message counts as: read, write, or nothing."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    caller = CALLER.get()
    method, params = message.get("method"), message.get("params")
    if method == "tools/call" and isinstance(params, dict):
        name = params.get("name")
        tool = PLACE.get().tools.get(name) if isinstance(name, str) else None
        if tool is None:
            return "read"
        caller.must(scope_of(tool))
        return "read" if tool.read_only else "write"
    caller.must(READ)
    return "read" if method in _READING else None


def _again(body: bytes, first: Message | None, receive: Receive | None = None) -> Receive:
    """A `receive` that gives what was read already."""
    waiting: list[Message] = [first] if first is not None else [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        if waiting:
            return waiting.pop()
        if receive is None:
            return {"type": "http.disconnect"}
        return await receive()

    return replay


def mount(app: FastAPI, server: Server) -> None:
    """Adds MCP to the application."""
    endpoint = Endpoint(server)
    app.state.entered.append(endpoint.running)
    app.router.routes += [
        Route(PATH, _Asgi(endpoint.__call__), name="mcp"),
        Route(SSE, _Asgi(endpoint.sse), name="sse"),
        Route(MESSAGES + "/{tools}", _Asgi(endpoint.messages), name="messages"),
    ]


class _Asgi:
    """Tells Starlette that this is an application and not a function of a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


__all__ = ["PLACE", "Endpoint", "mount", "scope_of", "table"]
