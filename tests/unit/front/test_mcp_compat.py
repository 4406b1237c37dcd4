"""The tools of other systems: their names, parameters, defaults and the shapes of their answers, on our store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_types import CallToolResult

from bethink.front.mcp import server, toolsets
from bethink.front.mcp.desk import Desk

PROJECT = "example.com/team/my-app"
ID = "[0-9a-f]{8}-[0-9a-f-]{27}"
ISO = r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00"
MCP, MEMORY, LOCAL, MINI = "claude-memory-mcp", "claude-memory", "claude-local-memory-server", "min-memory"


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    made = Desk({"MEMORY_PROJECT": PROJECT, "MEMORY_EMBEDDER": "none"})
    yield made
    made.close()


def ask(desk: Desk, toolset: str, tool_name: str, /, **arguments: Any) -> CallToolResult:
    tool = next(tool for tool in toolsets.named(toolset) if tool.name == tool_name)
    return server.call(tool, desk, arguments)


def said(desk: Desk, toolset: str, tool_name: str, /, **arguments: Any) -> str:
    result = ask(desk, toolset, tool_name, **arguments)
    assert not result.is_error, result.content
    return "".join(block.text for block in result.content)


def parsed(desk: Desk, toolset: str, tool_name: str, /, **arguments: Any) -> Any:
    return json.loads(said(desk, toolset, tool_name, **arguments))


def signature(toolset: str) -> dict[str, str]:
    """Tool → its parameters with defaults, as one writes them."""
    return {
        tool.name: ", ".join(
            param.name + ("" if param.required else "?" if param.default is None else f"={param.default!r}") for param in tool.params
        )
        for tool in toolsets.named(toolset)
    }


def test_parameters_and_defaults_are_theirs() -> None:
    assert signature(MCP) == {
        "memory_store": "content, category='facts', tags?, importance=0.5, expanded_keywords?, force_sensitive=False",
        "memory_recall": "context, expanded_query?, category?, sort_by='relevance', limit=10",
        "memory_list": "category?, limit=20",
        "memory_delete": "id",
        "secret_get": "id",
        "memory_count": "",
        "memory_update": "id, content?, tags?, importance?, expanded_keywords?",
    }
    assert signature(MEMORY) == {
        "save_memory": "content, tags?, source='claude-code', project='', force=False",
        "check_memory": "content",
        "semantic_search": "query, limit=10, min_similarity=0.3, project?, since?, before?",
        "search_memories": "query, limit=10, project?, since?, before?",
        "hybrid_search": (
            "query, limit=10, keyword_weight=0.7, semantic_weight=0.3, min_semantic_similarity=0.1, project?, since?, before?"
        ),
        "list_memories": "limit=20, offset=0, tag?, project?, since?, before?",
        "get_memory": "memory_id",
        "recent_context": "project?, limit=10",
        "startup_context": "project?",
        "update_memory": "memory_id, content?, tags?, force=False",
        "delete_memory": "memory_id",
        "restore_memory": "memory_id",
        "purge_memory": "memory_id",
        "find_duplicates": "threshold=0.85, limit=20, project?, scan_limit=500",
        "bulk_delete": "tag?, project?, source?, dry_run=True",
        "list_tags": "",
        "get_stats": "",
        "export_memories": "project?, tag?, since?, before?, output_format='json'",
    }
    assert signature(LOCAL) == {
        "memory_add": "content, memory_type='observation', tags?, source?, project_id?, certainty_score?, quality_score?",
        "memory_search": (
            "query?, memory_type?, tags?, client_id?, project_id?, global_search=False, limit=20, search_mode='hybrid', "
            "min_certainty=0, min_quality=0"
        ),
        "memory_delete": "memory_id",
        "memory_update": "memory_id, content?, tags?, certainty_score?, quality_score?",
        "memory_stats": "",
        "memory_context": "project_id?, max_memories=10, days=30",
        "memory_purge": "project_id?, memory_type?, older_than_days?, tags?, content_contains?",
    }
    assert signature(MINI) == {
        "search": "query",
        "fetch": "id",
        "store_memory": ("text, memory_type, scope, entity, project?, task_id?, related_to?, relation_types?, tags?, status?, priority?"),
        "retrieve_context": (
            "query, scope?, memory_type?, project?, task_id?, include_related=True, limit=10, score_threshold=0.0, "
            "recency_weight=0.3, status_filter?"
        ),
        "link_memories": "memory_id, related_id, relation_type",
        "delete_memory": "memory_id",
        "update_memory": "memory_id, text?, memory_type?, scope?, entity?, project?, task_id?, tags?, status?, priority?",
        "set_project": "project",
        "get_context_info": "",
        "list_entities": "scope?, project?, memory_type?, show_tree=False",
        "search_entities": "query, scope?, limit=5",
        "sync_session": "project, decisions?, status_updates?, learnings?, feedback?",
        "register_entity": "entity, description, parent?",
    }


def test_claude_memory_mcp(desk: Desk) -> None:
    stored = said(desk, MCP, "memory_store", content="We deploy on Tuesdays", category="decisions", tags="release,ops", importance=0.9)
    found = re.fullmatch(f"Stored memory #({ID}) in category 'decisions' with importance 0.9", stored)
    assert found
    id = found[1]
    assert re.fullmatch(
        rf"Found 1 memories \(by relevance\):\n\n#{id} \[decisions\] \(importance: 0.9\) We deploy on Tuesdays\n"
        rf"  Tags: release,ops \| Stored: {ISO}",
        said(desk, MCP, "memory_recall", context="when do we deploy", expanded_query="release day"),
    )
    assert said(desk, MCP, "memory_recall", context="zebra crossings", expanded_query="") == "No memories found matching: zebra crossings"
    assert said(desk, MCP, "memory_list").startswith(
        f"Recent memories (1 shown):\n\n#{id} [decisions] We deploy on Tuesdays\n  Importance: 0.9"
    )
    assert said(desk, MCP, "memory_count") == "Local memories (SQLite-only): 1\n  decisions: 1"
    assert said(desk, MCP, "secret_get", id=id) == f"Memory #{id} is not marked as sensitive"
    assert said(desk, MCP, "memory_update", id=id, importance=1) == f"Updated memory #{id}"
    assert said(desk, MCP, "memory_delete", id=f"#{id}") == f"Deleted memory #{id}: We deploy on Tuesdays"
    wrong = ask(desk, MCP, "memory_delete", id="99")
    assert wrong.is_error and wrong.content[0].text.startswith("Error: No memory '99'.")
    hidden = said(desk, MCP, "memory_store", content="the alarm code of the office", force_sensitive=True)
    sealed = re.search(ID, hidden)
    assert sealed and "alarm code" in said(desk, MCP, "secret_get", id=sealed[0])


def test_claude_memory(desk: Desk) -> None:
    saved = said(desk, MEMORY, "save_memory", content="Prefer small commits", tags=["style"], project="my-app")
    found = re.fullmatch(rf"✅ Memory saved \(ID: ({ID}), created: {ISO}\)", saved)
    assert found
    id = found[1]
    assert said(desk, MEMORY, "save_memory", content="Prefer small commits") == "Duplicate (exact match already stored)."
    row = parsed(desk, MEMORY, "get_memory", memory_id=id)
    assert row["content"] == "Prefer small commits" and row["source"] == "claude-code" and row["deleted_at"] is None
    for name in ("search_memories", "hybrid_search"):
        hits = parsed(desk, MEMORY, name, query="small commits")
        assert [hit["id"] for hit in hits] == [id]
        assert {"id", "content", "tags", "source", "project", "created_at"} <= hits[0].keys()
    assert {"keyword_score", "semantic_score", "hybrid_score"} <= hits[0].keys()
    assert parsed(desk, MEMORY, "semantic_search", query="small commits") == []
    verdict = parsed(desk, MEMORY, "check_memory", content="Prefer small commits")
    assert verdict["action"] == "NOOP" and verdict["target_id"] == id and verdict["target_preview"] and verdict["similarity"] > 0.9
    page = parsed(desk, MEMORY, "list_memories", tag="style")
    assert (page["total"], page["limit"], page["offset"], len(page["memories"])) == (1, 20, 0, 1)
    said(desk, MCP, "memory_store", content="Answers come first, reasons after", category="preferences")
    assert said(desk, MEMORY, "startup_context", project="my-app").startswith("**Preferences**\n- Answers come first")
    recent = parsed(desk, MEMORY, "recent_context", project="my-app")
    assert recent["distilled"] is False and len(recent["memories"]) == 2
    assert said(desk, MEMORY, "update_memory", memory_id=id, tags=["style", "git"], force=True).startswith("✅")
    assert {"tag": "git", "count": 1} in parsed(desk, MEMORY, "list_tags")
    assert said(desk, MEMORY, "purge_memory", memory_id=id).startswith("❌")
    assert said(desk, MEMORY, "delete_memory", memory_id=id).startswith("✅")
    assert parsed(desk, MEMORY, "get_memory", memory_id=id)["deleted_at"]
    assert said(desk, MEMORY, "restore_memory", memory_id=id).startswith("✅")
    assert parsed(desk, MEMORY, "get_stats")["total"] == 2
    preview = parsed(desk, MEMORY, "bulk_delete", tag="git")
    assert (preview["action"], preview["total"]) == ("dry_run", 1) and preview["preview"][0]["id"] == id
    assert parsed(desk, MEMORY, "find_duplicates") == []
    assert len(parsed(desk, MEMORY, "export_memories")) == 2
    assert said(desk, MEMORY, "export_memories", output_format="markdown").startswith("# Memories\n\n## ")
    assert said(desk, MEMORY, "get_memory", memory_id="nobody").startswith("❌ No memory 'nobody'.")


def test_a_correction_is_never_refused_as_a_duplicate(desk: Desk) -> None:
    said(desk, MEMORY, "save_memory", content="The database listens on port 5432")
    assert said(desk, MEMORY, "save_memory", content="The database listens on port 5433").startswith("✅")


def test_claude_local_memory_server(desk: Desk) -> None:
    added = said(desk, LOCAL, "memory_add", content="We decided to use FastAPI for the GPI project", memory_type="decision", tags=["api"])
    assert added.startswith("Memory stored: {")
    row = json.loads(added.removeprefix("Memory stored: "))
    assert (row["memory_type"], row["certainty_score"], row["quality_score"], row["project_id"]) == ("decision", 0.9, 0.9, PROJECT)
    assert {"id", "content", "tags", "source", "client_id", "created_at", "has_embedding"} <= row.keys()
    hits = parsed(desk, LOCAL, "memory_search", query="GPI FastAPI")
    assert [hit["id"] for hit in hits] == [row["id"]] and {"score", "hybrid_score", "updated_at"} <= hits[0].keys()
    assert len(parsed(desk, LOCAL, "memory_search", tags=["api", "other"])) == 1
    for narrow in ({"tags": ["other"]}, {"query": "%"}, {"min_quality": 0.95}, {"memory_type": "fact"}, {"client_id": "elsewhere"}):
        assert said(desk, LOCAL, "memory_search", **narrow) == "No memories found matching the criteria."
    assert said(desk, LOCAL, "memory_update", memory_id=row["id"], quality_score=0.4, tags=["web"]).startswith("Memory updated: ")
    assert parsed(desk, LOCAL, "memory_stats")["by_type"] == {"decision": 1}
    assert said(desk, LOCAL, "memory_context") == "## Decisions\n- We decided to use FastAPI for the GPI project"
    assert "At least one filter" in said(desk, LOCAL, "memory_purge")
    assert "older_than_days is less than 1" in said(desk, LOCAL, "memory_purge", older_than_days=-1)
    assert parsed(desk, LOCAL, "memory_purge", content_contains="flask") == {"deleted": 0, "filters_applied": {"content_contains": "flask"}}
    assert parsed(desk, LOCAL, "memory_purge", memory_type="decision", tags=["web"])["deleted"] == 1
    assert said(desk, LOCAL, "memory_delete", memory_id="nobody").startswith("Error: No memory 'nobody'.")
    assert not ask(desk, LOCAL, "memory_delete", memory_id="nobody").is_error


def test_min_memory(desk: Desk) -> None:
    def store(text: str, **more: Any) -> str:
        given = {"memory_type": "project_context", "scope": "project", "project": "my-app", "entity": "api", **more}
        answer = parsed(desk, MINI, "store_memory", text=text, **given)
        assert answer["status"] == "stored"
        return str(answer["memory_id"])

    one = store("The API speaks JSON only", tags=["format"], priority=8)
    two = store("Errors carry a code", related_to=[one], relation_types={one: "refines"})
    found = parsed(desk, MINI, "search", query="JSON API")
    assert found[0] == {"id": one, "title": "The API speaks JSON only", "url": f"mcp://memory/{one}"}
    assert said(desk, MINI, "fetch", id=one) == "The API speaks JSON only"
    hits = parsed(desk, MINI, "retrieve_context", query="which format does the API speak", project="my-app")
    best = next(hit for hit in hits if hit["id"] == one)
    assert (best["memory_type"], best["scope"], best["entity"], best["tags"]) == ("project_context", "project", "api", ["format"])
    assert best["related_memories"] == [{"id": two, "text": "Errors carry a code", "relation": "refines"}]
    assert parsed(desk, MINI, "retrieve_context", query="which format", memory_type=["episodic"]) == []
    about = parsed(desk, MINI, "set_project", project="my-app")
    assert (about["exists"], about["memory_count"], about["by_type"]) == (True, 2, {"project_context": 2})
    assert parsed(desk, MINI, "set_project", project="quite-new")["exists"] is False
    parsed(desk, MINI, "set_project", project="my-app")
    assert parsed(desk, MINI, "get_context_info").keys() == {"platform", "user", "pwd", "git_info", "timestamp"}
    assert parsed(desk, MINI, "list_entities") == [{"entity": "api", "memory_count": 2}]
    assert parsed(desk, MINI, "search_entities", query="apii")[0]["entity"] == "api"
    assert parsed(desk, MINI, "link_memories", memory_id=one, related_id=two, relation_type="supports")["status"] == "linked"
    assert ask(desk, MINI, "link_memories", memory_id=one, related_id="nobody", relation_type="supports").is_error
    assert parsed(desk, MINI, "update_memory", memory_id=two, text="Errors carry a code and a hint")["status"] == "updated"
    assert parsed(desk, MINI, "delete_memory", memory_id=two)["status"] == "deleted"
    assert ask(desk, MINI, "fetch", id=two).is_error
    for wrong in ({"scope": "task", "project": "my-app"}, {"scope": "project"}, {"memory_type": "bogus"}, {"status": "quarantined"}):
        given = {"memory_type": "episodic", "scope": "global", "entity": "x", **wrong}
        assert ask(desk, MINI, "store_memory", text="never kept", **given).is_error


def test_a_superseded_memory_is_not_retrieved(desk: Desk) -> None:
    given = {"memory_type": "task_instruction", "scope": "project", "project": "my-app", "entity": "release"}
    old = parsed(desk, MINI, "store_memory", text="Releases are tagged by hand", **given)["memory_id"]
    new = parsed(desk, MINI, "store_memory", text="Publishing happens from the pipeline", **given)["memory_id"]
    parsed(desk, MINI, "link_memories", memory_id=new, related_id=old, relation_type="supersedes")
    assert old not in {hit["id"] for hit in parsed(desk, MINI, "retrieve_context", query="releases tagged by hand")}


def test_a_session_is_synced_item_by_item(desk: Desk) -> None:
    answer = parsed(
        desk, MINI, "sync_session", project="my-app",
        decisions=[{"text": "Use SQLite for the cache", "entity": "cache", "tags": ["db"]}, {"entity": "no text"}],
        learnings=[{"text": "The cache is cold after a deploy", "entity": "cache"}],
        feedback=[
            {"entity": "style", "text": "Never use emojis"},
            {"entity": "style", "text": "Write short answers"},
            {"entity": "style", "text": "Show the command first"},
        ],
        status_updates=[
            {"entity": "cache", "status": "completed"}, {"entity": "nobody", "status": "active"}, {"entity": "cache", "status": "odd"},
        ],
    )  # fmt: skip
    summary = answer["summary"]
    assert (summary["created"], summary["updated"], len(summary["warnings"])) == (5, 2, 3)
    # Three preferences about one thing are three memories.
    assert len(parsed(desk, MEMORY, "list_memories", tag="entity:style")["memories"]) == 3


def test_entities_have_a_tree(desk: Desk) -> None:
    parsed(desk, MINI, "register_entity", entity="Platform", description="everything we run")
    assert parsed(desk, MINI, "register_entity", entity="Billing", description="invoices", parent="Platform")["status"] == "registered"
    assert parsed(desk, MINI, "list_entities", show_tree=True) == [
        {
            "entity": "Platform",
            "description": "everything we run",
            "children": [{"entity": "Billing", "description": "invoices", "children": []}],
        }
    ]
    assert ask(desk, MINI, "register_entity", entity="X", description="y", parent="Nobody").is_error
