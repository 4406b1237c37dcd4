"""Questions: recall, check, brief, what is preferred, what is like a memory."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from bethink import text
from bethink.errors import InvalidInput
from bethink.front import fields, shapes
from bethink.front.http.deps import Filter, Reads, answer, router
from bethink.front.http.models import Candidate, Found, Question, Recalled
from bethink.front.http.routes.memories import Id
from bethink.model import Filter as Where
from bethink.model import Hit
from bethink.model import Recalled as Answer
from bethink.service.memories import Memories

routes = router("recall")
#: Characters of a hit's snippet.
_SNIPPET = 200


@routes.post("/api/memories/recall", response_model=Recalled)
def recall(memories: Reads, asked: Question) -> Response:
    """The memories that answer a question, best first; none when nothing is relevant."""
    found = _recalled(memories, asked)
    return answer({"memories": [_hit(hit, memories) for hit in found.hits], "took_ms": found.took_ms, "notes": list(found.notes)})


@routes.post("/api/recall", response_model=list[Found])
def hits(memories: Reads, asked: Question) -> Response:
    """As /api/memories/recall, the memories alone; what was degraded is in the header `Bethink-Notes`."""
    found = _recalled(memories, asked)
    told = answer([_hit(hit, memories) for hit in found.hits])
    if found.notes:
        told.headers["Bethink-Notes"] = " ".join(" ".join(found.notes).encode("ascii", "replace").decode().split())
    return told


def _recalled(memories: Memories, asked: Question) -> Answer:
    """Raises:
    InvalidInput: there is no question.
    """
    given = asked.given()
    context = given.pop("context", None)
    given.setdefault("query", context)
    if given["query"] is None:
        raise InvalidInput("The query is missing.", hint='Ask with {"query": "…"}.')
    threshold = given.pop("threshold", None)
    if threshold is not None:
        given.setdefault("min_score", threshold)
    return memories.recall(fields.query_of(given, memories))


@routes.post("/api/memories/check")
def check(memories: Reads, asked: Candidate) -> Response:
    """What storing this would do: ADD it, UPDATE (correct) a memory, or NOOP (say again what one says)."""
    given = asked.given()
    scope = fields.scope_of(given, memories.here)
    return answer(shapes.verdict(memories.check(given["content"], category=given.get("category", "facts"), scope=scope)))


@routes.get("/api/memories/{id}/related")
def related(memories: Reads, id: Id, limit: Annotated[int, Query(ge=1, le=100)] = 3) -> Response:
    """The memories nearest to one."""
    return answer({"memories": [_hit(hit, memories) for hit in memories.similar(id, limit)]})


@routes.get("/api/context")
def context(
    memories: Reads,
    project: Filter = None,
    task: Filter = None,
    budget_tokens: Annotated[int | None, Query(ge=1, le=100_000)] = None,
) -> Response:
    """The brief: preferences, decisions, open tasks and recent work that hold here, within a budget."""
    brief = memories.context(project, task=task, budget_tokens=budget_tokens)
    from bethink.render import render

    found = [Hit(memory, 1.0) for memory in brief.memories]
    notes = render(found, now=memories.now(), purpose="brief", reader=memories.access.principal).text if found else ""
    return answer({**shapes.context(brief), "text": notes})


@routes.get("/api/preferences")
def preferences(memories: Reads, project: Filter = None) -> Response:
    """What the person prefers and how they work, by category."""
    groups = []
    for category in ("preferences", "behaviors"):
        where = Where(reach=memories.reach(project, everywhere=project is None), category=category, archive=False)
        page = memories.list(where, limit=200, order="importance")
        items = [{"text": one.content, "confidence": one.importance, "source": one.source, "id": one.id} for one in page.memories]
        if items:
            groups.append({"category": category, "items": items})
    return answer(groups)


def _hit(hit: Hit, memories: Memories) -> dict[str, Any]:
    """A hit as `shapes.hit` has it, and what clients of other systems look for."""
    found = hit.memory
    shape = shapes.hit(hit)
    shape.update(rank=shape["score"], sim=shape["score"], title=text.title(found.content), snippet=found.content[:_SNIPPET])
    if found.owner not in memories.access.readable:
        shape["shared_by"] = found.owner
    return shape
