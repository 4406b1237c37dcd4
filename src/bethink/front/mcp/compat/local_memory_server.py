"""The tools of claude-local-memory-server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.errors import InvalidInput
from bethink.front import fields
from bethink.front.mcp.compat import as_json, fallen_short
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import changes_of, placed, revised
from bethink.model import Filter, category_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bethink.front.mcp.desk import Desk
    from bethink.model import Memory
    from bethink.service.memories import Memories

#: Type → how certain and how good a memory of it is taken to be unless it says so. Quality is our importance.
_SCORES = {
    "fact": (0.8, 0.75),
    "decision": (0.9, 0.9),
    "preference": (0.85, 0.8),
    "observation": (0.6, 0.5),
    "entity": (0.8, 0.7),
    "relation": (0.75, 0.7),
    "session": (0.9, 0.6),
}
_TYPES = tuple(name for name in _SCORES if name != "session")
_TYPE_OF = {category_of(name): name for name in _SCORES}
_HEADINGS = {
    "decision": "Decisions",
    "preference": "Preferences",
    "fact": "Key Facts",
    "entity": "Entities",
    "relation": "Relationships",
    "observation": "Observations",
}
#: Hits are filtered after ranking, so that more are asked for.
_MARGIN = 5


def _type(memory: Memory) -> str:
    return _TYPE_OF.get(memory.category, "observation")


def _row(memory: Memory) -> Json:
    return {
        "id": memory.id,
        "content": memory.content,
        "memory_type": _type(memory),
        "tags": list(memory.tags),
        "source": memory.source,
        "client_id": memory.client,
        "project_id": memory.scope.project,
        "created_at": text.iso(memory.created_at),
        "updated_at": text.iso(memory.updated_at),
        "certainty_score": _SCORES[_type(memory)][0],
        "quality_score": memory.importance,
    }


def _add(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    kind = given["memory_type"]
    asked: Json = {
        "content": given["content"],
        "category": kind,
        "tags": given.get("tags"),
        "importance": given.get("quality_score", _SCORES[kind][1]),
        "project": given.get("project_id"),
        "source": given.get("source", "assistant"),
    }
    trust = "agent_inferred" if asked["source"] in ("user", "cli") else None
    stored = memories.remember(fields.draft_of(placed(memories, asked), memories.here, memories.now(), trust=trust))
    desk.wrote()
    row = {**_row(stored.memory), "has_embedding": memories.embedder is not None}
    row["certainty_score"] = given.get("certainty_score", row["certainty_score"])
    if stored.action == "merged":
        row["duplicate_warning"] = "Known already; merged into this memory."
    if stored.superseded:
        row["similar_memories"] = [{"id": id, "superseded": True} for id in stored.superseded]
    return Answer(f"Memory stored: {as_json(row, 2).text}")


def _search(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = _where(memories, given)
    limit = given["limit"]
    if given.get("query"):
        question = {**asked, "query": given["query"], "mode": given["search_mode"], "limit": limit * _MARGIN}
        rows = [
            {**_row(hit.memory), "score": hit.score, "hybrid_score": hit.score}
            for hit in memories.recall(fields.query_of(question, memories)).hits
        ]
    else:
        rows = [_row(memory) for memory in memories.list(fields.filter_of(asked, memories), limit=limit * _MARGIN).memories]
    tags = set(fields.several(given, "tags"))
    kept = [
        row
        for row in rows
        if (not tags or tags & set(row["tags"]))
        and row["certainty_score"] >= given["min_certainty"]
        and row["quality_score"] >= given["min_quality"]
    ]
    return as_json(kept[:limit], 2) if kept else Answer("No memories found matching the criteria.")


def _where(memories: Memories, given: Json) -> Json:
    project = "*" if given.get("global_search") else given.get("project_id")
    return placed(memories, {"project": project, "category": given.get("memory_type"), "client": given.get("client_id")})


def _delete(desk: Desk, given: Json) -> Answer:
    return Answer(f"Memory {desk.memories().forget(given['memory_id']).id} deleted successfully")


def _update(desk: Desk, given: Json) -> Answer:
    changes: Json = {name: given[name] for name in ("content", "tags") if name in given}
    if "quality_score" in given:
        changes["importance"] = given["quality_score"]
    changed = revised(desk, given["memory_id"], changes_of(changes))
    return Answer(f"Memory updated: {as_json(_row(changed), 2).text}")


def _stats(desk: Desk, given: Json) -> Answer:
    stats = desk.memories().stats()
    by_type: dict[str, int] = {}
    for category, count in stats["by_category"].items():
        kind = _TYPE_OF.get(category, "observation")
        by_type[kind] = by_type.get(kind, 0) + count
    return as_json({"total_memories": stats["total"], "by_type": by_type, "by_project": stats["by_project"]}, 2)


def _context(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, {"project": given.get("project_id"), "since": f"{given['days']}d"})
    # What was decided and what somebody likes does not end with the month.
    lasting = {name: value for name, value in asked.items() if name != "since"}
    left = given["max_memories"]
    sections = []
    for kind, heading in _HEADINGS.items():
        where = fields.filter_of({**(lasting if kind in ("decision", "preference") else asked), "category": kind}, memories)
        found = memories.list(where, limit=min(3, left)).memories if left else ()
        left -= len(found)
        if found:
            sections.append("\n".join([f"## {heading}", *(f"- {memory.content}" for memory in found)]))
    last = memories.list(fields.filter_of({**lasting, "category": "summaries"}, memories), limit=1).memories
    sections += [f"## Last Session\n{memory.content}" for memory in last]
    return Answer("\n\n".join(sections) or "No context available.")


def _purge(desk: Desk, given: Json) -> Answer:
    names = ("project_id", "memory_type", "older_than_days", "tags", "content_contains")
    applied = {name: given[name] for name in names if given.get(name) not in (None, "", [])}
    if not applied:
        raise InvalidInput("At least one filter is needed.", hint=f"Give one of: {', '.join(names)}.")
    if applied.get("older_than_days", 1) < 1:
        raise InvalidInput("older_than_days is less than 1.", hint="Give the least age in days.")
    memories = desk.memories()
    where = fields.filter_of({**_where(memories, given), **({} if given.get("project_id") else {"scope": "all"})}, memories)
    gone = [memories.forget(memory.id) for memory in _matching(memories, where, applied)]
    return as_json({"deleted": len(gone), "filters_applied": applied}, 2)


def _matching(memories: Memories, where: Filter, applied: Json) -> list[Memory]:
    found: Iterable[Memory] = memories.export(where)
    tags = set(fields.several(applied, "tags"))
    needle = str(applied.get("content_contains", "")).casefold()
    oldest = memories.now() - timedelta(days=min(applied.get("older_than_days", 0), 100_000))
    return [
        memory
        for memory in found
        if (not tags or tags & set(memory.tags))
        and needle in memory.content.casefold()
        and ("older_than_days" not in applied or memory.created_at < oldest)
        and ("project_id" not in applied or memory.scope.project is not None)
    ]


def _wrong(message: str, hint: str) -> Answer:
    return Answer(f"Error: {fallen_short(f'{message} {hint}', 500)}".rstrip())


_ID = Param("memory_id", required=True)
_TYPE = Param("memory_type", choices=_TYPES)
_TAGS = Param("tags", "texts")
_CERTAINTY = Param("certainty_score", "number", "0 to 1.")
_QUALITY = Param("quality_score", "number", "0 to 1.")
_PROJECT = Param("project_id", about="Default: the current project.")


def _tool(name: str, about: str, run: Any, *params: Param, **more: Any) -> Tool:
    return Tool(name, name.replace("_", " ").capitalize(), about, run, params, said=_wrong, **more)


TOOLS: tuple[Tool, ...] = (
    _tool(
        "memory_add",
        "Store a memory.",
        _add,
        Param("content", required=True),
        Param("memory_type", default="observation", choices=_TYPES),
        _TAGS,
        Param("source"),
        _PROJECT,
        _CERTAINTY,
        _QUALITY,
        idempotent=True,
    ),
    _tool(
        "memory_search",
        "Search memories.",
        _search,
        Param("query"),
        _TYPE,
        Param("tags", "texts", "Any of them."),
        Param("client_id"),
        _PROJECT,
        Param("global_search", "flag", "All projects.", default=False),
        Param("limit", "integer", default=20),
        Param("search_mode", default="hybrid", choices=("keyword", "semantic", "hybrid")),
        Param("min_certainty", "number", default=0),
        Param("min_quality", "number", default=0),
        read_only=True,
    ),
    _tool("memory_delete", "Delete a memory.", _delete, _ID, destructive=True, idempotent=True),
    _tool(
        "memory_update",
        "Update a memory.",
        _update,
        _ID,
        Param("content"),
        Param("tags", "texts", "Replaces the old ones."),
        _CERTAINTY,
        _QUALITY,
        destructive=True,
        idempotent=True,
    ),
    _tool("memory_stats", "Counts by type and project.", _stats, read_only=True),
    _tool(
        "memory_context",
        "A summary of the project as Markdown.",
        _context,
        _PROJECT,
        Param("max_memories", "integer", default=10),
        Param("days", "integer", default=30),
        read_only=True,
    ),
    _tool(
        "memory_purge",
        "Delete everything that matches all filters.",
        _purge,
        Param("project_id"),
        Param("memory_type", choices=(*_TYPES, "session")),
        Param("older_than_days", "integer"),
        _TAGS,
        Param("content_contains"),
        destructive=True,
    ),
)
