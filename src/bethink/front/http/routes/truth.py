"""How things came to be: history, links, and undoing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from starlette.responses import Response

from bethink.errors import NotFound
from bethink.front import fields, shapes
from bethink.front.http.deps import Reads, Writes, answer, router
from bethink.front.http.models import NewEdge, NewEdges, NewLink, Origin
from bethink.front.http.routes.memories import Id
from bethink.service.importing import REFUSED
from bethink.service.memories import Memories

routes = router("truth")


@routes.get("/api/memories/{id}/history")
def history(memories: Reads, id: Id) -> Response:
    """Every change of a memory, oldest first, beginning with its making; and the memory as it is now, be it forgotten."""
    memory = memories.get(id)
    revisions = [shapes.revision(one) for one in memories.history(memory.id)]
    return answer({"id": memory.id, "history": revisions, "memory": shapes.memory(memory)})


@routes.get("/api/memories/{id}/why")
def why(memories: Reads, id: Id) -> Response:
    """Where a memory comes from, the least trust in that, and what became of it; of what is forgotten there only the id."""
    told = memories.why(id)
    return answer({**shapes.why(told), "trust": memories.trust_of(told.memory)})


@routes.get("/api/memories/{id}/links")
def links(memories: Reads, id: Id) -> Response:
    """Every edge of a memory, oldest first, and the memories at its ends; of what is forgotten only the id."""
    memory = memories.live(id)
    edges = memories.links(memory.id)
    shape = {"id": memory.id, "links": [shapes.link(one) for one in edges]}
    return answer({**shape, "memories": [shapes.brief_memory(one) for one in memories.ends(edges)]})


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


@routes.post("/api/links")
def link_many(memories: Writes, asked: NewEdges) -> Response:
    """Join many; one answer for each, in order, the edge or why it cannot be. What cannot be joined stops nothing."""
    return answer({"links": [_linked(memories, one) for one in asked.links]})


@routes.post("/api/rollback")
def rollback(memories: Writes, asked: Origin) -> Response:
    """Take everything that one session or source wrote, or all since a time, out of recall; a dry run unless dry_run is false."""
    since = fields.moment(asked.given(), "since", memories.now())
    told = memories.rollback(session=asked.session, source=asked.source, since=since, do_it=not asked.dry_run)
    return answer(shapes.rolled_back(told))


@routes.post("/api/rollback/{batch}/undo")
def undo_rollback(memories: Writes, batch: Annotated[str, Path(max_length=128, pattern=r"^[^\x00]+$")]) -> Response:
    """Bring back what one rollback took out."""
    return answer({"batch": batch, "restored": memories.undo_rollback(batch)})


@routes.post("/api/memories/{id}/undo")
def undo(memories: Writes, id: Id, request: Request) -> Response:
    """Take back the supersession that a memory made or suffered."""
    back = memories.undo(id)
    return answer({"restored": [memory.id for memory in back], "memories": [shapes.brief_memory(memory) for memory in back]})


def _linked(memories: Memories, asked: NewEdge) -> dict[str, Any]:
    try:
        return shapes.link(memories.link(asked.source_id, asked.target_id, asked.link_type, asked.note))
    except REFUSED as error:
        return shapes.error(error)
