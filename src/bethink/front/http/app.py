"""The ASGI application: routes behind one door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from bethink.front.http import errors, mcp, pages
from bethink.front.http.door import METRICS, OPEN, Door, Gate, challenge, listed
from bethink.front.http.routes import care, files, memories, people, recall, sync, system, truth
from bethink.front.http.server import Server

if TYPE_CHECKING:
    from bethink.config import Settings

#: Every route of REST. Named ones stand before those with an id.
PARTS = (
    *(system.open_routes, system.routes, recall.routes, files.routes, sync.routes, care.routes, people.routes, people.key_routes),
    *(truth.routes, memories.routes, pages.routes),
)
#: Requests that are worked on at once; more wait.
THREADS = 40
_ABOUT = """\
Lasting memory for AI assistants. Every route but `/health` needs `Authorization: Bearer KEY` or `X-API-Key: KEY`, unless the server
serves its one local user on loopback. Errors are problem+json with a `hint`. Writes may carry an `Idempotency-Key`.
`X-Project-ID` says where the caller stands; `X-Client-ID` and `X-Session-ID` are recorded with what is stored.
"""


def create_app(settings: Settings, host: str = "127.0.0.1", *, at_end: Callable[[], None] = lambda: None) -> FastAPI:
    """The server's application.

    Args:
        settings: the values in force.
        host: the address that will be listened on; beyond loopback credentials are needed.
        at_end: called when the last request was answered.

    Raises:
        ConfigError: a setting is wrong, or everybody could read the memories.
        StoreError: the store cannot be opened or migrated.
    """
    server = Server(settings, host)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        server.start()
        async with AsyncExitStack() as stack:
            for enter in app.state.entered:
                await stack.enter_async_context(enter())
            yield
        await anyio.to_thread.run_sync(server.close)
        await anyio.to_thread.run_sync(at_end)

    app = FastAPI(
        title="Bethink",
        version=version("bethink"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=_middleware(settings, server),
        separate_input_output_schemas=False,
        # Its own spans hold queries, its logs what was sent; ours (`tracing`) hold neither.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
    )
    app.state.server = server
    #: Context managers of parts that live as long as the application.
    app.state.entered = []
    errors.install(app, lambda request, error: challenge(server, error, request.scope, request.headers), allowed)
    for part in PARTS:
        app.include_router(part)
    mcp.mount(app, server)
    _describe(app)
    return app


def _middleware(settings: Settings, server: Server) -> list[Middleware]:
    layers = [Middleware(Door, server=server)]
    if origins := listed(settings["CORS_ORIGINS"]):
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["*"],
                expose_headers=["X-Request-ID", "Retry-After", "WWW-Authenticate", "Mcp-Session-Id"],
                max_age=600,
            )
        )
    return [*layers, Middleware(Gate, server=server)]


def _linked(document: dict[str, Any]) -> None:
    """Says which operations take the id of a memory that was stored, the name of a space or a user that was made (OpenAPI links)."""
    for made, statuses, part, parameter, field in (
        ("/api/memories", ("200", "201"), "/memories/{id}", "id", "id"),
        ("/api/spaces", ("201",), "/spaces/{space}", "space", "space"),
        ("/api/users", ("201",), "/users/{name}", "name", "name"),
    ):
        links = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": {parameter: f"$response.body#/{field}"}}
            for path, operations in document["paths"].items()
            for operation in operations.values()
            if part in path and "{target}" not in path and "{user}" not in path
        }
        for status in statuses:
            document["paths"][made]["post"]["responses"][status]["links"] = links


def allowed(scope: Scope) -> str:
    """What can be done with an address: an Allow header."""
    every = [route for part in PARTS for route in part.routes if isinstance(route, APIRoute)]
    # Of several patterns that an address matches the first is meant.
    path = next((route.path for route in every if route.path_regex.match(scope["path"])), "")
    return ", ".join(sorted({method for route in every if route.path == path for method in route.methods or ()}))


def _describe(app: FastAPI) -> None:
    """The OpenAPI document names both ways to send a key; /docs shows it."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"key": []}]
        for path in (*OPEN, METRICS):
            for operation in document["paths"].get(path, {}).values():
                operation["security"] = []
        _linked(document)
        return document

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to change the document
