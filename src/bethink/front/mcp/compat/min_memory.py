"""The tools of min-memory that keep and find memories; `min_memory_graph` has those about entities and sessions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.errors import InvalidInput
from bethink.front import fields
from bethink.front.mcp.compat import as_json
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import changes_of, placed, revised
from bethink.model import STATUSES, Changes, Scope, category_of

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk
    from bethink.model import Hit, Memory
    from bethink.service.memories import Memories

TYPES = ("core_identity", "project_context", "task_instruction", "episodic")
_TYPE_OF = {category_of(name): name for name in TYPES}
SCOPES = ("global", "project", "task")
RELATIONS = ("supports", "contradicts", "supersedes", "refines", "depends_on", "implements", "example_of")
#: What a memory is about is kept as a tag.
ENTITY = "entity:"
_TITLE = 80
_RELATED = 3


def type_of(memory: Memory) -> str:
    return _TYPE_OF.get(memory.category, "episodic" if memory.scope.kind == "global" else "project_context")


def entity_of(memory: Memory) -> str:
    return next((tag.removeprefix(ENTITY) for tag in memory.tags if tag.startswith(ENTITY)), "")


def row(memory: Memory) -> Json:
    return {
        "id": memory.id,
        "text": memory.content,
        "memory_type": type_of(memory),
        "scope": memory.scope.kind,
        "entity": entity_of(memory),
        "project": memory.scope.project,
        "created_at": text.iso(memory.created_at),
        "tags": [tag for tag in memory.tags if not tag.startswith(ENTITY)],
    }


def keep(desk: Desk, content: str, category: str, scope: Scope, entity: str, **more: Any) -> str:
    """Stores something about an entity; answers its id."""
    memories = desk.memories()
    tags = tuple(dict.fromkeys((*([ENTITY + entity] if entity else []), *more.pop("tags", ()))))
    draft = replace(
        fields.draft_of({"content": content, "category": category, **more}, memories.here, memories.now(), source="assistant"),
        tags=tags,
        scope=scope,
    )
    stored = memories.remember(draft)
    desk.wrote()
    return stored.memory.id


def _search(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    hits = memories.recall(fields.query_of({"query": given["query"], "limit": 10}, memories)).hits
    return as_json(
        [{"id": one.id, "title": text.title(one.content, _TITLE), "url": f"mcp://memory/{one.id}"} for one in (hit.memory for hit in hits)]
    )


def _fetch(desk: Desk, given: Json) -> Answer:
    return Answer(desk.memories().live(given["id"].removeprefix("mcp://memory/")).content)


def _store(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    scope = _scope(memories, given)
    more: Json = {"tags": fields.several(given, "tags")}
    if (priority := given.get("priority")) is not None:
        # Priorities are small whole numbers there; 10 and above is as important as can be.
        more["importance"] = min(max(priority, 0), 10) / 10
    if given.get("status"):
        more["status"] = _status(given["status"])
    id = keep(desk, given["text"], given["memory_type"], scope, given["entity"], **more)
    types = given.get("relation_types", {})
    for other in fields.several(given, "related_to"):
        memories.link(id, other, str(types.get(other, "see_also")))
    return as_json({"memory_id": id, "status": "stored"})


def _scope(memories: Memories, given: Json) -> Scope:
    kind = given["scope"]
    if kind == "global":
        return Scope()
    if not given.get("project"):
        raise InvalidInput(f"project is required for scope {kind}.")
    if kind == "task" and not given.get("task_id"):
        raise InvalidInput("task_id is required for scope task.")
    project = placed(memories, {"project": given["project"]})["project"]
    return Scope.of(project, given.get("task_id") if kind == "task" else None)


def _status(status: str) -> str:
    if status not in STATUSES or status in ("candidate", "quarantined"):
        raise InvalidInput(f"No status {status!r}.", hint="Choose one of: active, completed, superseded, parked.")
    return status


def _retrieve(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, {"query": given["query"], "project": given.get("project"), "task": given.get("task_id")})
    if given.get("scope") == "global":
        asked["scope"] = "global"
    query = fields.query_of({**asked, "limit": given["limit"] * 3, "min_score": given["score_threshold"]}, memories)
    statuses = fields.several(given, "status_filter") or ("active",)
    hits = memories.recall(replace(query, where=replace(query.where, statuses=tuple(map(_status, statuses))))).hits
    wanted = fields.several(given, "memory_type")
    kept = [
        hit
        for hit in hits
        if (not wanted or type_of(hit.memory) in wanted) and given.get("scope", hit.memory.scope.kind) in (hit.memory.scope.kind, "global")
    ]
    return as_json(
        [_found(memories, hit, given["include_related"]) for hit in _weighed(memories, kept, given["recency_weight"])[: given["limit"]]]
    )


def _weighed(memories: Memories, hits: list[Hit], weight: float) -> list[Hit]:
    """The hits with a share of their score given to how new they are (half after 30 days)."""
    if not 0 <= weight <= 1:
        raise InvalidInput(f"recency_weight is {weight}.", hint="Give a number from 0 to 1.")
    now = memories.now()

    def score(hit: Hit) -> float:
        days = max((now - hit.memory.created_at).total_seconds() / 86400, 0.0)
        return hit.score * (1 - weight + weight * math.pow(0.5, days / 30))

    return sorted(hits, key=score, reverse=True)


def _found(memories: Memories, hit: Hit, related: bool) -> Json:
    shape = {**row(hit.memory), "score": hit.score}
    if related:
        others = []
        links = memories.links(hit.memory.id)[:_RELATED]
        ends = {one.id: one for one in memories.ends(links)}
        for link in links:
            other = ends.get(link.target if link.source == hit.memory.id else link.source)
            if other is not None and other.status == "active":
                others.append({"id": other.id, "text": other.content, "relation": link.type})
        if others:
            shape["related_memories"] = others
    return shape


def _link(desk: Desk, given: Json) -> Answer:
    edge = desk.memories().link(given["memory_id"], given["related_id"], given["relation_type"])
    return as_json({"status": "linked", "memory_id": edge.source, "related_id": edge.target, "relation_type": edge.type})


def _delete(desk: Desk, given: Json) -> Answer:
    return as_json({"memory_id": desk.memories().forget(given["memory_id"]).id, "status": "deleted"})


def _update(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    before = memories.get(given["memory_id"])
    tags = fields.several(given, "tags") if "tags" in given else tuple(tag for tag in before.tags if not tag.startswith(ENTITY))
    entity = given.get("entity", entity_of(before))
    changed: Json = {"tags": [*([ENTITY + entity] if entity else []), *tags]}
    changed |= {ours: given[theirs] for theirs, ours in (("text", "content"), ("memory_type", "category")) if theirs in given}
    if "status" in given:
        changed["status"] = _status(given["status"])
    if "priority" in given:
        changed["importance"] = min(max(given["priority"], 0), 10) / 10
    changes: Changes = changes_of(changed)
    if any(name in given for name in ("scope", "project", "task_id")):
        place = {"scope": before.scope.kind, "project": before.scope.project, "task_id": before.scope.task, **given}
        changes = replace(changes, scope=_scope(memories, place))
    after = revised(desk, before.id, changes)
    return as_json({"memory_id": after.id, "status": "updated"})


def wrong(message: str, hint: str) -> Answer:
    return Answer(f"Error: {message} {hint}".rstrip(), failed=True)


ID = Param("memory_id", required=True)


def tool(name: str, about: str, run: Any, *params: Param, **more: Any) -> Tool:
    return Tool(name, name.replace("_", " ").capitalize(), about, run, params, said=wrong, **more)


TOOLS: tuple[Tool, ...] = (
    tool("search", "Quick search across all memories.", _search, Param("query", required=True), read_only=True),
    tool("fetch", "Read one memory by its id.", _fetch, Param("id", required=True), read_only=True),
    tool(
        "store_memory",
        "Store a memory in a scope.",
        _store,
        Param("text", required=True),
        Param("memory_type", required=True, choices=TYPES),
        Param("scope", required=True, choices=SCOPES),
        Param("entity", about="What it is about.", required=True),
        Param("project", about="For scope project and task."),
        Param("task_id", about="For scope task."),
        Param("related_to", "texts", "Ids."),
        Param("relation_types", "object", "Id → relation.", items={"type": "string"}),
        Param("tags", "texts"),
        Param("status"),
        Param("priority", "integer"),
        idempotent=True,
    ),
    tool(
        "retrieve_context",
        "Find memories by meaning, with filters.",
        _retrieve,
        Param("query", required=True),
        Param("scope", choices=SCOPES),
        Param("memory_type", "texts", choices=TYPES),
        Param("project"),
        Param("task_id"),
        Param("include_related", "flag", default=True),
        Param("limit", "integer", default=10),
        Param("score_threshold", "number", default=0.0),
        Param("recency_weight", "number", default=0.3),
        Param("status_filter", "texts"),
        read_only=True,
    ),
    tool(
        "link_memories",
        "Relate two memories.",
        _link,
        ID,
        Param("related_id", required=True),
        Param("relation_type", required=True, choices=RELATIONS),
        idempotent=True,
    ),
    tool("delete_memory", "Hide a memory.", _delete, ID, destructive=True, idempotent=True),
    tool(
        "update_memory",
        "Change fields of a memory.",
        _update,
        ID,
        Param("text"),
        Param("memory_type", choices=TYPES),
        Param("scope", choices=SCOPES),
        Param("entity"),
        Param("project"),
        Param("task_id"),
        Param("tags", "texts"),
        Param("status"),
        Param("priority", "integer"),
        destructive=True,
        idempotent=True,
    ),
)
