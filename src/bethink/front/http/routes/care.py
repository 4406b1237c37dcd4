"""Looking after what is stored: counts, tags, projects, duplicates, entities, review, secrets."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from bethink.errors import Forbidden
from bethink.front import fields, shapes
from bethink.front.http.deps import Filter, Limit, Offset, Reads, Rules, Writes, answer, router
from bethink.front.http.models import Chosen, Migration, NewEntity, Tidying
from bethink.model import CATEGORIES, CATEGORY_ALIASES

routes = router("care")


@routes.get("/api/stats")
def stats(memories: Reads) -> Response:
    """Counts by category, project, source and status; what is deleted; what waits for a vector; bytes on disk."""
    found = memories.stats()
    size = round(found["db_bytes"] / 1_048_576, 2) if "db_bytes" in found else None
    return answer({**found, "active": found["total"], "projects": len(found["by_project"]), "storage_mb": size})


@routes.get("/api/projects")
def projects(memories: Reads) -> Response:
    """The projects that memories belong to, with how many hold."""
    counts = memories.stats()["by_project"]
    return answer({"projects": [{"name": name, "count": count} for name, count in sorted(counts.items()) if not name.startswith("(")]})


@routes.get("/api/tags")
def tags(memories: Reads, project: Filter = None, category: Filter = None, scope: Filter = None) -> Response:
    """Tags with how many memories carry them, commonest first. Everywhere unless a project or scope is named."""
    where = fields.filter_of({"project": project, "category": category, "scope": scope or (None if project else "all")}, memories)
    return answer({"tags": [{"tag": tag, "count": count} for tag, count in memories.tags(where).items()]})


@routes.get("/api/categories")
def categories(memories: Reads) -> Response:
    """The categories, with how many memories hold in each, and other names that are accepted."""
    counts = memories.count()
    return answer({"categories": [{"name": name, "count": counts.get(name, 0)} for name in CATEGORIES], "aliases": CATEGORY_ALIASES})


@routes.get("/api/duplicates")
def duplicates(
    memories: Reads,
    threshold: Annotated[float, Query(ge=0.5, le=1)] = 0.85,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    project: Filter = None,
    scan_limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> Response:
    """Clusters of memories that say nearly the same, among the newest."""
    found = memories.find_duplicates(threshold, limit=limit, project=project, scan_limit=scan_limit)
    return answer({"clusters": [shapes.cluster(one) for one in found]})


@routes.post("/api/tidy")
def tidy(memories: Writes, asked: Tidying) -> Response:
    """What could be merged and what has expired; does what is accepted by its id, or `all` of it."""
    found = memories.tidy(accept=asked.accept, accept_all=asked.all)
    done = {one.id for one in found if asked.all or one.id in asked.accept}
    return answer({"proposals": [{**shapes.proposal(one), "done": one.id in done} for one in found]})


@routes.get("/api/entities")
def entities(memories: Reads, query: Filter = None, project: Filter = None, limit: Annotated[int, Query(ge=1, le=100)] = 5) -> Response:
    """All entities as trees; or those whose name or alias is like the query, most alike first."""
    if query:
        found = memories.search_entities(query, limit=limit, project=project)
        return answer({"entities": [{**shapes.entity(one), "score": score} for one, score in found]})
    return answer({"entities": [shapes.entity(one) for one in memories.list_entities(project)]})


@routes.post("/api/entities", status_code=201)
def register(memories: Writes, asked: NewEntity) -> Response:
    """Store an entity, or join what is new into the one of that name."""
    made = memories.register_entity(asked.name, asked.description, aliases=asked.aliases, parent=asked.parent)
    return answer({**shapes.entity(made), "action": "registered"}, 201)


@routes.get("/api/review")
def review(memories: Reads, project: Filter = None, limit: Limit = 50, offset: Offset = 0) -> Response:
    """What waits for a person: candidates, quarantined memories, and what lost its ground."""
    items = memories.review(project=project, limit=limit, offset=offset)
    return answer({"items": [shapes.review_item(one) for one in items], "limit": limit, "offset": offset})


@routes.post("/api/review/accept")
def accept(memories: Writes, asked: Chosen) -> Response:
    """Let memories into recall."""
    let_in = memories.accept(asked.ids)
    return answer({"accepted": [memory.id for memory in let_in], "memories": [shapes.brief_memory(memory) for memory in let_in]})


@routes.post("/api/review/reject")
def reject(memories: Writes, asked: Chosen) -> Response:
    """Forget memories that waited."""
    return answer({"rejected": [memory.id for memory in memories.reject(asked.ids)]})


@routes.post("/api/memories/migrate-secrets")
def migrate_secrets(memories: Rules, asked: Migration | None = None) -> Response:
    """Move the caller's secrets to another tier, and seal what was not recognised when it was written."""
    if not memories.access.writable:
        raise Forbidden("You may read here, not write.")
    found = memories.seal_missed()
    moved = failed = 0
    problems: list[Any] = []
    for one in memories.migrate_secrets(asked.to if asked else None):
        if one.sealed is not None:
            moved += 1
        elif getattr(one, "error", None):
            failed += 1
            problems.append({"id": one.row.memory, "error": str(one.error)})
    return answer({"migrated": moved + found, "moved": moved, "sealed": found, "failed": failed, "problems": problems[:20]})
