"""The tools of claude-memory-mcp (stdio)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bethink import text
from bethink.errors import NotFound
from bethink.front import fields
from bethink.front.mcp.compat import fallen_short
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import changes_of, placed, revised

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk
    from bethink.model import Memory

_CATEGORIES = ("facts", "preferences", "projects", "people", "decisions")


def _store(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    stored = memories.remember(fields.draft_of(given, memories.here, memories.now(), source="assistant")).memory
    desk.wrote()
    return Answer(f"Stored memory #{stored.id} in category '{stored.category}' with importance {stored.importance:g}")


def _recall(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, given)
    context = asked.pop("context")
    hits = memories.recall(fields.query_of({**asked, "query": context}, memories)).hits
    if not hits:
        return Answer(f"No memories found matching: {context}")
    blocks = [
        f"#{hit.memory.id} [{hit.memory.category}] (importance: {hit.memory.importance:g}) {hit.memory.content}\n"
        f"  Tags: {','.join(hit.memory.tags)} | Stored: {text.iso(hit.memory.created_at)}"
        for hit in hits
    ]
    return Answer(f"Found {len(hits)} memories (by {given['sort_by']}):\n\n" + "\n\n".join(blocks))


def _list(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    page = memories.list(fields.filter_of({"category": given.get("category")}, memories), limit=given["limit"])
    return Answer(f"Recent memories ({len(page.memories)} shown):\n\n" + "\n\n".join(map(_listed, page.memories)))


def _listed(memory: Memory) -> str:
    facts = f"Importance: {memory.importance:g} | Tags: {','.join(memory.tags)} | Stored: {text.iso(memory.created_at)}"
    return f"#{memory.id} [{memory.category}] {memory.content}\n  {facts}"


def _delete(desk: Desk, given: Json) -> Answer:
    gone = desk.memories().forget(given["id"].removeprefix("#"))
    return Answer(f"Deleted memory #{gone.id}: {fallen_short(gone.content, 50)}")


def _secret(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    memory = memories.live(given["id"].removeprefix("#"))
    try:
        opened = memories.secret(memory.id)
    except NotFound:
        return Answer(f"Memory #{memory.id} is not marked as sensitive")
    lines = [f"{name}: {value}" for name, value in opened["secrets"].items() if name != "content"]
    return Answer("\n".join([f"#{memory.id} [{memory.category}] {opened['content']}", *lines]))


def _count(desk: Desk, given: Json) -> Answer:
    stats = desk.memories().stats()
    lines = [f"Local memories (SQLite-only): {stats['total']}", *(f"  {name}: {count}" for name, count in stats["by_category"].items())]
    return Answer("\n".join(lines))


def _update(desk: Desk, given: Json) -> Answer:
    changed = revised(desk, given["id"].removeprefix("#"), changes_of(given))
    return Answer(f"Updated memory #{changed.id}")


def _wrong(message: str, hint: str) -> Answer:
    return Answer(f"Error: {message} {hint}".rstrip(), failed=True)


_ID = Param("id", required=True)
_TAGS = Param("tags", "texts", "Comma-separated.")
_CATEGORY = Param("category", about=f"One of {', '.join(_CATEGORIES)}.")

TOOLS: tuple[Tool, ...] = (
    Tool(
        "memory_store",
        "Store a memory",
        "Store a fact or memory.",
        _store,
        (
            Param("content", required=True),
            Param("category", about=_CATEGORY.about, default="facts"),
            _TAGS,
            Param("importance", "number", "0 to 1.", default=0.5),
            Param("expanded_keywords", about="At least five related words."),
            Param("force_sensitive", "flag", default=False),
        ),
        idempotent=True,
        said=_wrong,
    ),
    Tool(
        "memory_recall",
        "Recall memories",
        "Retrieve memories that match a context.",
        _recall,
        (
            Param("context", required=True),
            Param("expanded_query", about="Related words."),
            _CATEGORY,
            Param("sort_by", default="relevance", choices=("importance", "relevance", "recency")),
            Param("limit", "integer", default=10),
        ),
        read_only=True,
        said=_wrong,
    ),
    Tool(
        "memory_list",
        "List memories",
        "List recent memories.",
        _list,
        (_CATEGORY, Param("limit", "integer", default=20)),
        read_only=True,
        said=_wrong,
    ),
    Tool("memory_delete", "Delete a memory", "Delete a memory by id.", _delete, (_ID,), destructive=True, idempotent=True, said=_wrong),
    Tool(
        "secret_get",
        "Read a secret",
        "Read the content of a sensitive memory.",
        _secret,
        (_ID,),
        read_only=True,
        meta={"anthropic/requiresUserInteraction": True},
        said=_wrong,
    ),
    Tool("memory_count", "Count memories", "Count memories by category.", _count, (), read_only=True, said=_wrong),
    Tool(
        "memory_update",
        "Update a memory",
        "Update fields of a memory.",
        _update,
        (_ID, Param("content"), _TAGS, Param("importance", "number"), Param("expanded_keywords")),
        destructive=True,
        idempotent=True,
        said=_wrong,
    ),
)
