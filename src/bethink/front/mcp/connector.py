"""`search` and `fetch` exactly as ChatGPT's connectors and deep research look for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bethink import text
from bethink.front import fields
from bethink.front.mcp.table import Answer, Json, Param, Tool

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk
    from bethink.model import Memory


def search(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    hits = memories.recall(fields.query_of({"query": given["query"], "limit": 10}, memories)).hits
    return _both({"results": [_titled(hit.memory) for hit in hits]})


def fetch(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    memory = memories.live(given["id"])
    facts = {
        "category": memory.category,
        "project": memory.scope.project,
        "created_at": text.iso(memory.created_at),
        "source": memory.source,
        "trust": memory.trust,
        "status": memory.status,
        "owner": memory.owner if memory.owner != memories.access.principal else None,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return _both({**_titled(memory), "text": memory.content, "metadata": known})


def _titled(memory: Memory) -> Json:
    return {"id": memory.id, "title": text.title(memory.content), "url": f"memory://memory/{memory.id}"}


def _both(shape: Json) -> Answer:
    return Answer(json.dumps(shape, ensure_ascii=False), shape)


_RESULT: Json = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "title": {"type": "string"}, "url": {"type": "string"}},
    "required": ["id", "title", "url"],
}

TOOLS: tuple[Tool, ...] = (
    Tool(
        "search",
        "Search memories",
        "Find what is known about something.",
        search,
        (Param("query", required=True),),
        {"type": "object", "properties": {"results": {"type": "array", "items": _RESULT}}, "required": ["results"]},
        read_only=True,
    ),
    Tool(
        "fetch",
        "Read one memory",
        "Read one memory whole, by the id that search gave.",
        fetch,
        (Param("id", required=True),),
        {
            "type": "object",
            "properties": {**_RESULT["properties"], "text": {"type": "string"}, "metadata": {"type": "object"}},
            "required": ["id", "title", "text", "url"],
        },
        read_only=True,
    ),
)
