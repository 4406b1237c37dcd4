"""How things came to be: history, links, and undoing."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from bethink.errors import NotFound
from bethink.front import shapes
from bethink.front.http.deps import Reads, Writes, answer, router
from bethink.front.http.models import NewLink
from bethink.front.http.routes.memories import Id

routes = router("truth")


@routes.get("/api/memories/{id}/history")
def history(memories: Reads, id: Id) -> Response:
    """Every change of a memory, oldest first, beginning with its making."""
    memory = memories.get(id)
    return answer({"id": memory.id, "history": [shapes.revision(one) for one in memories.history(memory.id)]})


@routes.get("/api/memories/{id}/links")
def links(memories: Reads, id: Id) -> Response:
    """Every edge of a memory, oldest first."""
    memory = memories.get(id)
    return answer({"id": memory.id, "links": [shapes.link(one) for one in memories.links(memory.id)]})


@routes.post("/api/memories/{id}/links", status_code=201)
def link(memories: Writes, id: Id, asked: NewLink) -> Response:
    """Join two memories by a typed edge; joining them twice is no error."""
    return answer(shapes.link(memories.link(id, asked.target_id, asked.link_type, asked.note)), 201)


@routes.delete("/api/memories/{id}/links/{target}/{type}")
def unlink(memories: Writes, id: Id, target: Id, type: Id) -> Response:
    """Remove an edge."""
    if not memories.unlink(id, target, type):
        raise NotFound("There is no such link.", hint="GET /api/memories/{id}/links shows them.")
    return answer({"source": memories.get(id).id, "target": memories.get(target).id, "type": type, "action": "unlinked"})


@routes.post("/api/memories/{id}/undo")
def undo(memories: Writes, id: Id, request: Request) -> Response:
    """Take back the supersession that a memory made or suffered."""
    return answer({"restored": [memory.id for memory in memories.undo(id)]})
