"""/api/memories: store, list, read, edit, forget, restore, purge."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from bethink import text
from bethink.errors import InvalidInput
from bethink.front import fields, shapes
from bethink.front.http.deps import AsOf, Filter, Limit, Offset, Opens, Reads, Status, Tag, When, Writes, answer, router, server_of
from bethink.front.http.models import Edit, Listed, NewMemory, OneMemory, StoredMemory, Written
from bethink.model import STATUSES, Changes, Memory, one_of
from bethink.service.core import present
from bethink.service.memories import Memories

routes = router("memories")
Id = Annotated[str, Path(max_length=128, pattern=r"^[^\x00]+$", description="The memory's id, or the beginning of it.")]


@routes.post("/api/memories", status_code=201, response_model=StoredMemory, responses={200: {"model": StoredMemory}})
def store(memories: Writes, asked: NewMemory, request: Request) -> Response:
    """Store a memory. 201 when it was added, 200 when it was merged into one that says the same."""
    given = asked.given()
    operation = getattr(request.state, "operation", None)
    draft = fields.draft_of(given, memories.here, memories.now())
    stored = memories.remember_once(draft, operation) if operation and not draft.id else memories.remember(draft)
    server_of(request).wrote()
    shape = {**shapes.stored(stored), "importance": stored.memory.importance}
    return answer(shape, 201 if stored.action == "added" else 200)


@routes.get("/api/memories", response_model=Listed)
def list_(
    memories: Reads,
    category: Filter = None,
    tag: Tag = None,
    project: Filter = None,
    task: Filter = None,
    source: Filter = None,
    client: Filter = None,
    session: Filter = None,
    since: When = None,
    before: When = None,
    as_of: AsOf = None,
    status: Status = None,
    scope: Filter = None,
    space: Filter = None,
    deleted: bool = False,
    archive: Annotated[bool, Query(description="Also what was said in past sessions, verbatim.")] = True,
    order: Annotated[str, Query(pattern="^(recency|importance|oldest)$")] = "recency",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """A page of memories, newest first, whole; an empty page past the end. Everywhere unless a project or scope is named."""
    asked = {
        "category": category,
        "project": project,
        "source": source,
        "client": client,
        "session": session,
        "since": since,
        "before": before,
        "as_of": as_of,
        "status": status[0] if status else None,
        "space": space,
        "task": task,
        "scope": scope or (None if project or task else "all"),
        "tags": tag,
    }
    where = replace(fields.filter_of(asked, memories), deleted=deleted, archive=archive)
    if status and len(status) > 1:
        where = replace(where, statuses=tuple(one_of(one.strip().lower(), STATUSES, "status") for one in status))
    page = memories.list(where, limit=limit, offset=offset, order=order)
    return answer({**shapes.page(page), "memories": [whole(memory) for memory in page.memories]})


@routes.delete("/api/memories")
def delete_many(
    memories: Writes,
    request: Request,
    tag: Filter = None,
    project: Filter = None,
    source: Filter = None,
    dry_run: Annotated[bool, Query(description="Only say what would be forgotten.")] = True,
) -> Response:
    """Forget everything with a tag, of a project or from a source; a dry run unless dry_run=false."""
    return answer(shapes.bulk_deleted(memories.bulk_delete(tag=tag, project=project, source=source, dry_run=dry_run)))


@routes.get("/api/memories/{id}", response_model=OneMemory)
def read(memories: Reads, id: Id, as_of: AsOf = None) -> Response:
    """One memory, whole, with its links; 404 when it is forgotten, for /restore brings it back and /history shows what it was."""
    at = text.moment(as_of, memories.now()) if as_of else None
    memory = present(memories.as_of(id, at)) if at else memories.live(id)
    links = memories.links(memory.id, at)
    return answer(
        {
            **whole(memory),
            "links": [shapes.link(link) for link in links],
            "links_out": [{"type": link.type, "id": link.target} for link in links if link.source == memory.id],
            "links_in": [{"type": link.type, "id": link.source} for link in links if link.target == memory.id],
        }
    )


@routes.put("/api/memories/{id}", response_model=Written)
def replace_(memories: Writes, id: Id, asked: Edit, request: Request) -> Response:
    """Edit a memory; fields that are left out stay as they are."""
    return _edited(memories, id, asked, request)


@routes.patch("/api/memories/{id}", response_model=Written)
def edit(memories: Writes, id: Id, asked: Edit, request: Request) -> Response:
    """Edit a memory; fields that are left out stay as they are."""
    return _edited(memories, id, asked, request)


@routes.delete("/api/memories/{id}")
def delete(memories: Writes, id: Id) -> Response:
    """Forget a memory; /restore brings it back. Forgetting twice is no error."""
    was_gone = memories.get(id).deleted_at is not None
    gone = memories.forget(id)
    preview = "[already deleted]" if was_gone else text.title(gone.content)
    return answer({"deleted": gone.id, "id": gone.id, "action": "deleted", "preview": preview})


@routes.post("/api/memories/{id}/restore", response_model=Written)
def restore(memories: Writes, id: Id) -> Response:
    """Bring a forgotten memory back."""
    back = memories.restore(id)
    return answer({"id": back.id, "action": "restored", "version": back.version})


@routes.post("/api/memories/{id}/purge")
def purge(memories: Writes, id: Id) -> Response:
    """Erase a forgotten memory everywhere, for good; answers what was removed, by kind."""
    memory = memories.get(id)
    return answer({"id": memory.id, "action": "purged", "removed": memories.purge(memory.id)})


@routes.post("/api/memories/{id}/secret")
def secret(memories: Opens, id: Id) -> Response:
    """The secrets that were sealed out of a memory, and where they were kept. Each reading is recorded."""
    found = memories.secret(id)
    tiers = {meta.get("tier") for _, _, meta in memories.store.secrets_of(memories.access, found["id"])}
    return answer({**found, "source": "vault" if tiers == {"vault"} else "encrypted"})


def whole(memory: Memory) -> dict[str, Any]:
    """Every field of a memory, and what clients of other systems look for."""
    shape = shapes.memory(memory)
    shape.update(is_sensitive=memory.sensitive or bool(memory.sealed), title=text.title(memory.content), content_length=len(memory.content))
    return shape


def _edited(memories: Memories, id: str, asked: Edit, request: Request) -> Response:
    given = asked.given()
    if not given:
        raise InvalidInput("Nothing to change.", hint="Name at least one field.")
    now = memories.now()
    values: dict[str, Any] = {
        name: given[name]
        for name in ("content", "category", "expanded_keywords", "importance", "status", "sensitive", "if_version")
        if name in given
    }
    if "tags" in given:
        values["tags"] = fields.several(given, "tags")
    for name in ("valid_from", "valid_until", "expires_at"):
        if name in given:
            values[name] = fields.moment(given, name, now)
    if any(name in given for name in ("project", "task", "scope")):
        values["scope"] = fields.scope_of(given, memories.here)
    after = memories.revise(id, Changes(**values))
    server_of(request).wrote()
    return answer({"updated": after.id, "id": after.id, "action": "updated", "version": after.version})
