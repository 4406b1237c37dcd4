"""The 18 tools of claude-memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.front import fields, shapes
from bethink.front.mcp.compat import as_json, fallen_short
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import changes_of, placed, revised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bethink.front.mcp.desk import Desk
    from bethink.model import Hit, Memory, Mode, SortBy
    from bethink.service.memories import Memories

_PREVIEW = 120


def _save(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, {name: value for name, value in given.items() if name != "force" and value != ""})
    # A model may say what it wrote for, not that a person said it.
    trust = "agent_inferred" if asked["source"] in ("user", "cli") else None
    stored = memories.remember(fields.draft_of(asked, memories.here, memories.now(), trust=trust))
    desk.wrote()
    kept = stored.memory
    if stored.action != "merged":
        return Answer(f"✅ Memory saved (ID: {kept.id}, created: {text.iso(kept.created_at)})")
    if kept.content == given["content"].strip():
        return Answer("Duplicate (exact match already stored).")
    similarity = memories.check(given["content"], scope=kept.scope).similarity
    return Answer(f"⚠️ NOOP — near-duplicate of memory ID {kept.id} (similarity {similarity:.3f}): {fallen_short(kept.content, _PREVIEW)}")


def _check(desk: Desk, given: Json) -> Answer:
    verdict = desk.memories().check(given["content"])
    return as_json(
        {
            "action": verdict.action,
            "similarity": round(verdict.similarity, 4),
            "target_id": verdict.target.id if verdict.target else None,
            "target_preview": fallen_short(verdict.target.content, _PREVIEW) if verdict.target else None,
            "reason": verdict.reason,
        }
    )


def _row(memory: Memory) -> Json:
    return {
        "id": memory.id,
        "content": memory.content,
        "tags": list(memory.tags),
        "source": memory.source,
        "project": memory.scope.project or "",
        "created_at": text.iso(memory.created_at),
    }


def _hits(memories: Memories, given: Json, mode: Mode, sort_by: SortBy = "relevance", **weights: float) -> tuple[Hit, ...]:
    names = ("query", "limit", "project", "since", "before")
    asked = placed(memories, {name: given[name] for name in names if given.get(name) not in (None, "")})
    return memories.recall(fields.query_of({**asked, "mode": mode, "sort_by": sort_by, **weights}, memories)).hits


def _semantic(desk: Desk, given: Json) -> Answer:
    hits = _hits(desk.memories(), given, "semantic")
    found = [(hit, hit.why.get("semantic", 0.0)) for hit in hits]
    return as_json([{**_row(hit.memory), "similarity": alike} for hit, alike in found if alike >= given["min_similarity"]], 2)


def _keyword(desk: Desk, given: Json) -> Answer:
    return as_json([_row(hit.memory) for hit in _hits(desk.memories(), given, "keyword", "recency")], 2)


def _hybrid(desk: Desk, given: Json) -> Answer:
    weights = {name: given[name] for name in ("keyword_weight", "semantic_weight")}
    rows = []
    for hit in _hits(desk.memories(), given, "hybrid", **weights):
        keyword, semantic = hit.why.get("keyword", 0.0), hit.why.get("semantic", 0.0)
        if keyword > 0 or semantic >= given["min_semantic_similarity"]:
            rows.append({**_row(hit.memory), "keyword_score": keyword, "semantic_score": semantic, "hybrid_score": hit.score})
    return as_json(rows, 2)


def _list(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    page = memories.list(fields.filter_of(_narrowed(memories, given), memories), limit=given["limit"], offset=given["offset"])
    shape = {"total": page.total, "limit": page.limit, "offset": page.offset, "memories": [_row(memory) for memory in page.memories]}
    return as_json(shape, 2)


def _narrowed(memories: Memories, given: Json) -> Json:
    asked = placed(memories, {name: given[name] for name in ("project", "since", "before") if given.get(name)})
    return {**asked, "tags": [given["tag"]] if given.get("tag") else None}


def _get(desk: Desk, given: Json) -> Answer:
    memory = desk.memories().get(given["memory_id"])
    return as_json({**_row(memory), "updated_at": text.iso(memory.updated_at), "deleted_at": text.iso(memory.deleted_at)}, 2)


def _recent(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = _narrowed(memories, given)
    distilled = memories.list(fields.filter_of({**asked, "source": "distil"}, memories), limit=given["limit"]).memories
    recent = distilled or memories.list(fields.filter_of(asked, memories), limit=given["limit"]).memories
    return as_json({"distilled": bool(distilled), "memories": [_row(memory) for memory in recent]}, 2)


def _startup(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, {"project": given.get("project") or None})
    # Heading → its categories and how many of them are shown.
    wanted: Mapping[str, tuple[tuple[str, ...], int]] = {
        "Patterns": (("patterns",), 3),
        "Preferences": (("preferences", "behaviors"), 3),
        "Recent work": (("summaries", "decisions", "projects", "observations", "facts"), 5),
    }
    sections = []
    for heading, (categories, most) in wanted.items():
        found = [
            memory
            for category in categories
            for memory in memories.list(fields.filter_of({**asked, "category": category}, memories), limit=most).memories
        ]
        newest = sorted(found, key=lambda memory: memory.created_at, reverse=True)[:most]
        if newest:
            sections.append("\n".join([f"**{heading}**", *(f"- {fallen_short(memory.content, _PREVIEW)}" for memory in newest)]))
    return Answer("\n\n".join(sections) or "No memories yet.")


def _update(desk: Desk, given: Json) -> Answer:
    changed = revised(desk, given["memory_id"], changes_of(given))
    return Answer(f"✅ Memory {changed.id} updated.")


def _delete(desk: Desk, given: Json) -> Answer:
    return Answer(f"✅ Memory {desk.memories().forget(given['memory_id']).id} deleted (restore_memory brings it back).")


def _restore(desk: Desk, given: Json) -> Answer:
    return Answer(f"✅ Memory {desk.memories().restore(given['memory_id']).id} restored.")


def _purge(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    id = memories.get(given["memory_id"]).id
    memories.purge(id)
    return Answer(f"✅ Memory {id} permanently deleted.")


def _duplicates(desk: Desk, given: Json) -> Answer:
    clusters = desk.memories().find_duplicates(
        given["threshold"], limit=given["limit"], project=given.get("project") or None, scan_limit=given["scan_limit"]
    )
    pairs = [
        {"similarity": round(cluster.similarity, 4), "memory_1": _row(cluster.memories[0]), "memory_2": _row(other)}
        for cluster in clusters
        for other in cluster.memories[1:]
    ]
    return as_json(pairs[: given["limit"]], 2)


def _bulk_delete(desk: Desk, given: Json) -> Answer:
    narrowed = {name: given.get(name) or None for name in ("tag", "project", "source")}
    return as_json(shapes.bulk_deleted(desk.memories().bulk_delete(**narrowed, dry_run=given["dry_run"])), 2)


def _tags(desk: Desk, given: Json) -> Answer:
    return as_json([{"tag": tag, "count": count} for tag, count in desk.memories().tags().items()], 2)


def _stats(desk: Desk, given: Json) -> Answer:
    stats = desk.memories().stats()
    return as_json(
        {"total": stats["total"], "deleted": stats["deleted"], "by_project": stats["by_project"], "by_source": stats["by_source"]}, 2
    )


def _export(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    found = memories.export(fields.filter_of(_narrowed(memories, given), memories))
    if given["output_format"] == "json":
        return as_json([_row(memory) for memory in found], 2)
    return Answer("\n\n".join(["# Memories", *map(_markdown, found)]))


def _markdown(memory: Memory) -> str:
    facts = ", ".join([memory.category, f"{memory.created_at:%Y-%m-%d}", *memory.tags])
    return f"## {text.title(memory.content)}\n\n{memory.content}\n\n*{facts}*"


def _wrong(message: str, hint: str) -> Answer:
    return Answer(f"❌ {message} {hint}".rstrip())


_ID = Param("memory_id", required=True)
_QUERY = Param("query", required=True)
_LIMIT = Param("limit", "integer", default=10)
_WHERE = (Param("project"), Param("since", about="ISO date."), Param("before", about="ISO date."))
_TWENTY = Param("limit", "integer", default=20)


def _tool(name: str, about: str, run: Any, *params: Param, **more: Any) -> Tool:
    return Tool(name, name.replace("_", " ").capitalize(), about, run, params, said=_wrong, **more)


TOOLS: tuple[Tool, ...] = (
    _tool(
        "save_memory",
        "Save a note; says when it is known already.",
        _save,
        Param("content", required=True),
        Param("tags", "texts"),
        Param("source", default="claude-code"),
        Param("project", default=""),
        Param("force", "flag", default=False),
        idempotent=True,
    ),
    _tool("check_memory", "What saving would do: ADD, UPDATE or NOOP.", _check, Param("content", required=True), read_only=True),
    _tool(
        "semantic_search",
        "Search by meaning.",
        _semantic,
        _QUERY,
        _LIMIT,
        Param("min_similarity", "number", default=0.3),
        *_WHERE,
        read_only=True,
    ),
    _tool("search_memories", "Search by keyword, newest first.", _keyword, _QUERY, _LIMIT, *_WHERE, read_only=True),
    _tool(
        "hybrid_search",
        "Search by keyword and meaning.",
        _hybrid,
        _QUERY,
        _LIMIT,
        Param("keyword_weight", "number", default=0.7),
        Param("semantic_weight", "number", default=0.3),
        Param("min_semantic_similarity", "number", default=0.1),
        *_WHERE,
        read_only=True,
    ),
    _tool(
        "list_memories", "A page of memories.", _list, _TWENTY, Param("offset", "integer", default=0), Param("tag"), *_WHERE, read_only=True
    ),
    _tool("get_memory", "One memory by id, deleted ones too.", _get, _ID, read_only=True),
    _tool("recent_context", "Recent distilled memories.", _recent, Param("project"), _LIMIT, read_only=True),
    _tool("startup_context", "What to know when a session starts.", _startup, Param("project"), read_only=True),
    _tool(
        "update_memory",
        "Update content or tags.",
        _update,
        _ID,
        Param("content"),
        Param("tags", "texts"),
        Param("force", "flag", default=False),
        destructive=True,
        idempotent=True,
    ),
    _tool("delete_memory", "Hide a memory; it can be restored.", _delete, _ID, destructive=True, idempotent=True),
    _tool("restore_memory", "Restore a deleted memory.", _restore, _ID, idempotent=True),
    _tool("purge_memory", "Erase a deleted memory for good.", _purge, _ID, destructive=True),
    _tool(
        "find_duplicates",
        "Near-duplicate pairs.",
        _duplicates,
        Param("threshold", "number", default=0.85),
        _TWENTY,
        Param("project"),
        Param("scan_limit", "integer", default=500),
        read_only=True,
    ),
    _tool(
        "bulk_delete",
        "Delete everything that matches; shows first.",
        _bulk_delete,
        Param("tag"),
        Param("project"),
        Param("source"),
        Param("dry_run", "flag", default=True),
        destructive=True,
    ),
    _tool("list_tags", "All tags with counts.", _tags, read_only=True),
    _tool("get_stats", "Counts by project and source.", _stats, read_only=True),
    _tool(
        "export_memories",
        "Export as JSON or Markdown.",
        _export,
        Param("project"),
        Param("tag"),
        Param("since"),
        Param("before"),
        Param("output_format", default="json", choices=("json", "markdown")),
        read_only=True,
    ),
)
