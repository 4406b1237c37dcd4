"""Export and import of any size: read and written as they come, never held whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any

import anyio.to_thread
import ijson
from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from bethink.errors import BethinkError, InvalidInput
from bethink.front import fields, shapes
from bethink.front.http.deps import Filter, Reads, Tag, When, Writes, router, server_of
from bethink.front.http.idempotency import PART, Once
from bethink.model import Filter as Where
from bethink.service import importing
from bethink.service.memories import Memories

routes = router("files")
#: Bytes that are kept in memory; what is beyond waits on disk.
_IN_MEMORY = 1 << 20
_PART = 1 << 16
#: Longest line of an import.
_MAX_LINE = 4 << 20
#: Memories whose edges are read together.
_AT_ONCE = 200
Json = dict[str, Any]


@routes.get(
    "/api/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}, "application/json": {}}, "description": "Every memory that matches."}},
)
def export(
    memories: Reads,
    format: Annotated[str, Query(pattern="^(ndjson|json)$", description="One object a line, or one array.")] = "ndjson",
    category: Filter = None,
    tag: Tag = None,
    project: Filter = None,
    task: Filter = None,
    source: Filter = None,
    client: Filter = None,
    session: Filter = None,
    space: Filter = None,
    since: When = None,
    before: When = None,
    status: Filter = "any",
    scope: Filter = None,
    archive: Annotated[bool, Query(description="Also what was said in past sessions, verbatim.")] = True,
) -> Response:
    """Every memory that matches, oldest first, with its edges; secrets stay placeholders. /api/memories/import reads it."""
    asked = {
        "category": category,
        "project": project,
        "task": task,
        "source": source,
        "client": client,
        "session": session,
        "space": space,
        "since": since,
        "before": before,
        "status": status,
        "scope": scope or (None if project or task else "all"),
        "tags": tag,
    }
    found = _exported(memories, replace(fields.filter_of(asked, memories), archive=archive))
    if format == "json":
        return StreamingResponse(_parts(_array(found)), media_type="application/json")
    return StreamingResponse(_parts(_dumped(one) + b"\n" for one in found), media_type="application/x-ndjson")


def _exported(memories: Memories, where: Where) -> Iterator[Json]:
    """Memories with the edges that start at them."""
    found = memories.export(where)
    while batch := list(islice(found, _AT_ONCE)):
        edges: dict[str, list[Json]] = {}
        for link in memories.store.links_of(memories.access, [memory.id for memory in batch]):
            edges.setdefault(link.source, []).append(shapes.link(link))
        for memory in batch:
            yield {**shapes.memory(memory), **({"links": edges[memory.id]} if memory.id in edges else {})}


@routes.post(
    "/api/memories/import",
    response_class=StreamingResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": ["array", "object"]}},
            },
        }
    },
)
async def import_(memories: Writes, request: Request) -> Response:
    """Store many: a JSON array or one object a line. Answers one entry for each, in order; what cannot be stored stops nothing.

    Memories of an export keep their ids, so that importing again changes nothing. `links` of an entry join it to other entries, before or
    after it, and to what is stored already; its answer counts them.
    """
    once = Once.of(request)
    with SpooledTemporaryFile(_IN_MEMORY) as file:
        async for part in request.stream():
            file.write(part)
            if once:
                once.read(part)
        if not file.tell():
            raise InvalidInput("The body is empty.", hint="Send a JSON array, or one object a line.")
        file.seek(0)
        if not file.read(_PART).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")):
            raise InvalidInput("The body is neither an array nor objects.", hint="Send a JSON array, or one object a line.")
        file.seek(0)
        if once and (known := await once.known()) is not None:
            return await once.again(known)
        answers: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed when it has been sent
        try:
            async with once.running() if once else nullcontext():
                await anyio.to_thread.run_sync(_store_all, memories, file, answers, once)
        except BaseException:
            if once:
                await once.drop()
            raise
    server_of(request).wrote()
    return StreamingResponse(_read(answers), media_type="application/json")


def _store_all(memories: Memories, file: IO[bytes], answers: IO[bytes], once: Once | None) -> None:
    """Writes one answer for each entry; with its edges, which are made last."""
    with SpooledTemporaryFile(_IN_MEMORY) as stored:
        told = importing.take_in(memories, _drafted(memories, file))
        first: importing.Taken | importing.Joined | None = None
        for first in told:
            if isinstance(first, importing.Joined):
                # The first edges are made: every entry is stored.
                break
            stored.write(_dumped(_shape(first)) + b"\n")
        stored.seek(0)
        for part in _array(_answered(stored, first, told)):
            answers.write(part)
    if once:
        answers.seek(0)
        once.keep(200, iter(partial(answers.read, PART), b""))
    answers.seek(0)


def entries(file: IO[bytes]) -> Iterator[Any]:
    """The entries of a JSON array, or of lines; a BethinkError for one that cannot be read."""
    start = file.read(_PART)
    file.seek(0)
    if start.lstrip().startswith(b"["):
        try:
            yield from ijson.items(file, "item", use_float=True)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            # What came before the fault is stored and answered.
            yield InvalidInput(
                f"The JSON is broken here: {str(error).splitlines()[0][:200]}.", hint="Write an array, or one object a line."
            )
        return
    while line := file.readline(_MAX_LINE):
        if len(line) == _MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_MAX_LINE)
            yield InvalidInput(f"The line is longer than {_MAX_LINE:,} bytes.")
        elif line.strip():
            try:
                yield fields.object_of(line)
            except InvalidInput as error:
                yield error


def _drafted(memories: Memories, file: IO[bytes]) -> Iterator[importing.Entry | BethinkError]:
    for raw in entries(file):
        try:
            yield fields.entry_of(fields.given_of(raw, {"source": "import"}), memories.here, memories.now())
        except InvalidInput as error:
            yield error


def _shape(one: importing.Taken) -> Json:
    """What became of an entry."""
    if isinstance(one.answer, BethinkError):
        return shapes.error(one.answer)
    kept = one.answer.memory
    shape = {"id": kept.id, "category": kept.category, "importance": kept.importance, "action": one.answer.action, "status": kept.status}
    return {**shape, "superseded": list(one.answer.superseded), "sealed": list(one.answer.sealed)}


def _answered(
    stored: IO[bytes], edges: importing.Taken | importing.Joined | None, more: Iterator[importing.Taken | importing.Joined]
) -> Iterator[Json]:
    """The answers to the entries, with how many of their edges were made; both in the order of the entries."""
    for number, line in enumerate(stored, 1):
        shape = json.loads(line)
        if isinstance(edges, importing.Joined) and edges.number == number:
            shape.update(links=edges.made, links_without_end=edges.without_end)
            edges = next(more, None)
        yield shape


def _array(shapes_: Iterator[Json]) -> Iterator[bytes]:
    yield b"["
    for number, one in enumerate(shapes_):
        yield (b",\n" if number else b"\n") + _dumped(one)
    yield b"\n]\n"


def _dumped(shape: Json) -> bytes:
    return json.dumps(shape, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _parts(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a change of thread."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PART:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART):
            yield part
