"""/api/memories/sync and /api/sync: replicas push and pull changes here."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import Response

from bethink import text
from bethink.errors import InvalidInput, NotFound
from bethink.front.http import metrics
from bethink.front.http.auth import READ, SECRETS, WRITE
from bethink.front.http.deps import Needs, Reads, answer, router, server_of
from bethink.front.http.errors import TooLarge
from bethink.service.feeding import MAX_PAGE, Feeding, buckets_of
from bethink.service.memories import Memories

routes = router("sync")
#: A machine that writes every second asks three times a second: replicas have a limit of their own.
Replicates = Annotated[Memories, Depends(Needs(WRITE, "sync"))]
Follows = Annotated[Memories, Depends(Needs(READ, "sync"))]
Opens = Annotated[Memories, Depends(Needs(SECRETS, "sync"))]
Cursor = Annotated[str | None, Query(max_length=20_000)]
_MAX_BODY = 16 << 20
#: Answers shorter than this are not worth compressing.
_SHORT = 1024


async def _body(request: Request) -> Any:
    """The request's JSON, which may be compressed."""
    raw = await request.body()
    metrics.SYNC_BYTES.labels("in").inc(len(raw))
    if request.headers.get("content-encoding", "").lower() == "gzip":
        unpacking = zlib.decompressobj(31)
        try:
            raw = unpacking.decompress(raw, _MAX_BODY)
        except zlib.error:
            raise InvalidInput("The body is not gzip.") from None
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise TooLarge("The body is too large, or was cut off.")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON.") from None


Body = Annotated[Any, Depends(_body)]


@routes.get("/api/sync/hello")
def hello(memories: Follows, request: Request) -> Response:
    """Who this server is, whom it takes the caller for, and whose memories the caller may replicate."""
    return _packed(request, Feeding.of(memories).hello())


@routes.post("/api/sync/push")
def push(memories: Replicates, asked: Body, request: Request) -> Response:
    """Make changes, each exactly once by its operation id; one answer for each, in order."""
    told = Feeding.of(memories).push(asked)
    for each in told["answers"]:
        metrics.SYNC_CHANGES.labels(each["result"]).inc()
    if any(each["result"] in ("applied", "merged", "conflict") for each in told["answers"]):
        server_of(request).wrote()
    return _packed(request, told)


@routes.get("/api/sync/changes")
def changes(memories: Follows, request: Request, cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 200) -> Response:
    """What changed since the cursor of an earlier answer, in the server's order; from the beginning without one."""
    told = Feeding.of(memories).changes(cursor, limit)
    metrics.SYNC_ITEMS.inc(len(told["items"]) + len(told["gone"]))
    metrics.SYNC_RESETS.inc(bool(told["reset"]))
    return _packed(request, told)


@routes.get("/api/sync/digest")
def digest(memories: Follows, request: Request, owner: Annotated[str, Query(max_length=500)]) -> Response:
    """Digests of the parts of an owner's memories and of their edges, to find out where a replica differs."""
    return _packed(request, Feeding.of(memories).digest(owner))


@routes.get("/api/sync/marks")
def marks(
    memories: Follows, request: Request, owner: Annotated[str, Query(max_length=500)], parts: Annotated[str, Query(max_length=2000)]
) -> Response:
    """Ids, versions and places of the memories in some parts, named by their numbers with commas; and their edges."""
    return _packed(request, Feeding.of(memories).marks(owner, buckets_of(parts.split(","))))


@routes.post("/api/sync/fetch")
def fetch(memories: Follows, asked: Body, request: Request) -> Response:
    """Single memories, as in /api/sync/changes."""
    ids = asked.get("ids") if isinstance(asked, dict) else None
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise InvalidInput("The request names no ids.")
    return _packed(request, Feeding.of(memories).fetch(ids))


@routes.get("/api/sync/secret")
def secret(memories: Opens, request: Request, id: Annotated[str, Query(max_length=128)]) -> Response:
    """A memory's secrets, for a replica that could not keep them."""
    found = memories.secret(id)
    if not found["secrets"]:
        raise NotFound(f"The memory {id} holds no secret.")
    return _packed(request, found)


@routes.get("/api/memories/sync")
def since(
    memories: Reads,
    request: Request,
    since: Annotated[str | None, Query(max_length=20_000, description="A cursor, or a time; everything without one.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 500,
) -> Response:
    """Whole memories that changed, for clients that keep a copy.

    Pass the answer's `cursor` as the next `since`: unlike a time it misses nothing.
    """
    feeding = Feeding.of(memories)
    after, cursor = None, since
    if since and since[:1].isdigit():
        after, cursor = text.moment(since, memories.now()), None
    told = feeding.changes(cursor, limit)
    found = [item["memory"] for item in told["items"]]
    if after is not None:
        found = [memory for memory in found if memory["updated_at"] >= after.isoformat()]
    shape = {name: told[name] for name in ("cursor", "has_more", "server_time")}
    return _packed(request, {"memories": found, "deleted": [stone["id"] for stone in told["gone"]], **shape})


def _packed(request: Request, shape: Any) -> Response:
    """An answer, compressed for those who can read it."""
    response = answer(shape)
    if len(response.body) >= _SHORT and "gzip" in request.headers.get("accept-encoding", ""):
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        response = Response(gzip.compress(response.body, 5, mtime=0), media_type="application/json", headers=headers)
    metrics.SYNC_BYTES.labels("out").inc(len(response.body))
    response.headers["Cache-Control"] = "no-store"
    return response
