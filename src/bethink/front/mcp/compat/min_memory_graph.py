"""The tools of min-memory about projects, entities and whole sessions."""

from __future__ import annotations

import getpass
import platform
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bethink import likeness, text
from bethink.errors import BethinkError, InvalidInput
from bethink.front import fields
from bethink.front.mcp.compat import as_json
from bethink.front.mcp.compat.min_memory import ENTITY, SCOPES, TYPES, entity_of, keep, tool, type_of
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import placed
from bethink.model import Changes, Filter, Reach, Scope
from bethink.project import project_of

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk
    from bethink.model import Memory
    from bethink.service.entities import Entity
    from bethink.service.memories import Memories

_STATUSES = ("active", "completed", "superseded", "parked")
_LIKE = 60


def _project_scope(memories: Memories, project: str) -> Scope:
    return Scope.of(placed(memories, {"project": project})["project"])


def _only(memories: Memories, scope: Scope) -> list[Memory]:
    """Everything of one project, and nothing global."""
    reach = Reach((scope.project,) if scope.project else (), include_global=False)
    return list(memories.export(Filter(reach=reach, archive=False)))


def _set_project(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    scope = _project_scope(memories, given["project"])
    found = _only(memories, scope)
    memories.here = scope
    last = max((memory.updated_at for memory in found), default=None)
    by_type = Counter(map(type_of, found))
    return as_json(
        {
            "project": given["project"],
            "exists": bool(found),
            "memory_count": len(found),
            "by_type": dict(by_type),
            "last_updated": text.iso(last),
        }
    )


def _context_info(desk: Desk, given: Json) -> Answer:
    folder = desk.folder
    shape: dict[str, Any] = {
        "platform": platform.system(),
        "user": _user(),
        "pwd": str(folder),
        "git_info": {"project": project_of(folder)},
        "timestamp": text.iso(desk.memories().now()),
    }
    return as_json(shape)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _list_entities(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    if given["show_tree"]:
        return as_json([_tree(entity) for entity in memories.list_entities(given.get("project"))])
    counts = Counter(_named(memories, given))
    return as_json([{"entity": name, "memory_count": count} for name, count in counts.most_common()])


def _named(memories: Memories, given: Json) -> Iterator[str]:
    """The entity of each memory that matches."""
    asked = placed(memories, {"project": given.get("project") or "*"})
    for memory in memories.export(fields.filter_of(asked, memories)):
        facts = {"scope": memory.scope.kind, "memory_type": type_of(memory)}
        name = entity_of(memory)
        if name and all(given.get(each, fact) == fact for each, fact in facts.items()):
            yield name


def _tree(entity: Entity) -> Json:
    return {"entity": entity.name, "description": entity.description, "children": [_tree(child) for child in entity.children]}


def _search_entities(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    registered = {entity.name: score for entity, score in memories.search_entities(given["query"], limit=given["limit"])}
    names = sorted(set(_named(memories, {"scope": given["scope"]} if given.get("scope") else {})))
    alike = likeness.most_alike(given["query"], names, least=_LIKE, limit=given["limit"])
    scores = {**{names[at]: round(score / 100, 3) for score, at in alike}, **registered}
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])[: given["limit"]]
    return as_json([{"entity": name, "score": score} for name, score in ranked])


def _register(desk: Desk, given: Json) -> Answer:
    entity = desk.memories().register_entity(given["entity"], given["description"], parent=given.get("parent"))
    desk.wrote()
    return as_json({"entity": entity.name, "memory_id": entity.memory.id, "status": "registered"})


def _sync_session(desk: Desk, given: Json) -> Answer:
    """Stores what a session brought, each item for itself: one that is wrong is warned about and stops nothing."""
    memories = desk.memories()
    scope = _project_scope(memories, given["project"])
    created: list[str] = []
    updated: list[str] = []
    warnings: list[str] = []
    # List → the category of its items and where they hold; feedback is about how somebody likes to work.
    kinds = {"decisions": ("decisions", scope), "learnings": ("facts", scope), "feedback": ("preferences", scope)}
    for name, (category, place) in kinds.items():
        for item in given.get(name, ()):
            try:
                created.append(_keep(desk, item, category, place))
            except BethinkError as error:
                warnings.append(f"{name}: {error.message}")
    for item in given.get("status_updates", ()):
        try:
            updated += _status_update(memories, scope, item)
        except BethinkError as error:
            warnings.append(f"status_updates: {error.message}")
    summary = {"created": len(created), "updated": len(updated), "warnings": warnings}
    return as_json({"summary": summary, "details": {"created": created, "updated": updated}})


def _keep(desk: Desk, item: Any, category: str, scope: Scope) -> str:
    content, entity = _field(item, "text"), _field(item, "entity", optional=True)
    more: Json = {"tags": fields.several(item, "tags")}
    if old := fields.words(item, "supersedes"):
        more["supersedes"] = old
    return keep(desk, content, category, scope, entity, **more)


def _field(item: Any, name: str, optional: bool = False) -> str:
    if not isinstance(item, dict):
        raise InvalidInput(f"An item is not an object but {str(item)[:40]!r}.")
    value = fields.words(item, name)
    if not value and not optional:
        raise InvalidInput(f"An item has no {name}.")
    return value or ""


def _status_update(memories: Memories, scope: Scope, item: Any) -> list[str]:
    """Gives what is known about an entity its new status."""
    entity, status = _field(item, "entity"), _field(item, "status")
    if status not in _STATUSES:
        raise InvalidInput(f"No status {status!r}.", hint=f"Choose one of: {', '.join(_STATUSES)}.")
    about = Filter(reach=Reach((scope.project,) if scope.project else (), include_global=False), tags=(ENTITY + entity,))
    found = list(memories.export(about))
    if not found:
        raise InvalidInput(f"Nothing is known about {entity!r}.")
    for memory in found:
        if memory.status != status:
            memories.revise(memory.id, Changes(status=status))
    return [memory.id for memory in found]


def _items(*names: str) -> Json:
    return {"type": "object", "properties": {name: {} if name == "tags" else {"type": "string"} for name in names}}


_NOTES = _items("text", "entity", "tags", "supersedes")

TOOLS: tuple[Tool, ...] = (
    tool("set_project", "Work in a project from now on.", _set_project, Param("project", required=True), idempotent=True),
    tool("get_context_info", "Where the assistant works.", _context_info, read_only=True),
    tool(
        "list_entities",
        "What memories are about.",
        _list_entities,
        Param("scope", choices=SCOPES),
        Param("project"),
        Param("memory_type", choices=TYPES),
        Param("show_tree", "flag", default=False),
        read_only=True,
    ),
    tool(
        "search_entities",
        "Entities with a name like this.",
        _search_entities,
        Param("query", required=True),
        Param("scope", choices=SCOPES),
        Param("limit", "integer", default=5),
        read_only=True,
    ),
    tool(
        "sync_session",
        "Store what a session brought.",
        _sync_session,
        Param("project", required=True),
        Param("decisions", "list", items=_NOTES),
        Param("status_updates", "list", items=_items("entity", "status", "text")),
        Param("learnings", "list", items=_NOTES),
        Param("feedback", "list", items=_items("entity", "text")),
        idempotent=True,
    ),
    tool(
        "register_entity",
        "Register an entity, under a parent.",
        _register,
        Param("entity", required=True),
        Param("description", required=True),
        Param("parent"),
        idempotent=True,
    ),
)
