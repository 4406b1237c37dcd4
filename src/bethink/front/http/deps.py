"""What routes ask for: the memories of whoever calls, who must have a scope; answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import anyio.to_thread
from fastapi import Depends, Query, Request
from fastapi.routing import APIRouter
from pydantic import StringConstraints
from starlette.responses import Response

from bethink.front.http.auth import ADMIN, READ, SECRETS, WRITE, Caller
from bethink.front.http.idempotency import IdempotentRoute
from bethink.front.http.models import Problem
from bethink.service.core import Writer
from bethink.service.memories import Memories

if TYPE_CHECKING:
    from bethink.front.http.server import Server

_MAX_NAME = 500


class Needs:
    """A dependency: the caller must have a scope, and is counted. Gives the caller's memories."""

    def __init__(self, scope: str, kind: Literal["read", "write", "sync"]) -> None:
        self.scope = scope
        self.kind = kind

    async def admit(self, request: Request) -> None:
        """Raises:
        InsufficientScope, TooManyRequests
        """
        server = server_of(request)
        caller = caller_of(request)
        caller.must(self.scope)
        if server.limiter.remote:
            await anyio.to_thread.run_sync(server.limiter.spend, caller, self.kind)
        else:
            server.limiter.spend(caller, self.kind)

    async def __call__(self, request: Request) -> Memories:
        await self.admit(request)
        writer = Writer(client=named(request.headers, "x-client-id"), session=named(request.headers, "x-session-id"))
        return server_of(request).memories(caller_of(request), writer, named(request.headers, "x-project-id"))


def named(headers: Mapping[str, str], header: str) -> str | None:
    """A name that a header brings; None without it. Headers are Latin-1 by law and UTF-8 by custom."""
    raw = headers.get(header, "")
    with suppress(UnicodeError):
        raw = raw.encode("latin-1").decode("utf-8")
    return raw.strip()[:_MAX_NAME] or None


Reads = Annotated[Memories, Depends(Needs(READ, "read"))]
Writes = Annotated[Memories, Depends(Needs(WRITE, "write"))]
Opens = Annotated[Memories, Depends(Needs(SECRETS, "read"))]
Rules = Annotated[Memories, Depends(Needs(ADMIN, "write"))]

#: How many, and from where, in a list.
Limit = Annotated[int, Query(ge=0, le=10_000)]
Offset = Annotated[int, Query(ge=0, le=2**53)]
Filter = Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$")]
When = Annotated[str | None, Query(max_length=64, description="A date, a time with offset, or an age such as 30d.")]
AsOf = Annotated[str | None, Query(max_length=64, description="As it was known then: a date, a time with offset, or an age.")]
#: One tag or several, of which a memory must carry all.
Tag = Annotated[
    list[Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]] | None,
    Query(max_length=64, description="Repeated: all."),
]
#: One status or several, of which a memory must have one.
Status = Annotated[list[Annotated[str, StringConstraints(max_length=32)]] | None, Query(max_length=8, description="`any`, or one or more.")]

_PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
#: What any route may answer.
ERRORS: dict[int | str, dict[str, Any]] = {
    **{
        code: {**_PROBLEM, "description": said}
        for code, said in {
            400: "The request cannot be read.",
            401: "Credentials are missing or not valid.",
            403: "The credentials do not allow this.",
            405: "This cannot be done with this address.",
            404: "There is no such thing, or it is not yours.",
            409: "The state forbids it.",
            413: "The request is too large.",
            422: "A value is not acceptable.",
            429: "Too many requests; Retry-After says when to go on.",
            503: "The database or another part is away; Retry-After says when to try again.",
        }.items()
    }
}
# What is not even HTTP is answered by the server below us.
ERRORS[400] = {**ERRORS[400], "content": {"application/problem+json": {}, "text/plain": {}}}


def router(tag: str) -> APIRouter:
    """A router whose writes are idempotent by key and whose errors are documented."""
    return APIRouter(tags=[tag], route_class=IdempotentRoute, responses=ERRORS)


def answer(shape: Any, status: int = 200) -> Response:
    """A shape as JSON. Made here and not by Pydantic: a list of whole memories is long."""
    return Response(
        json.dumps(shape, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), status, media_type="application/json"
    )


def server_of(request: Request) -> Server:
    return cast("Server", request.app.state.server)


def caller_of(request: Request) -> Caller:
    return cast(Caller, request.state.caller)
