"""The sharing tools of claude-memory-mcp, which it shows where a server keeps the memories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.model import Filter
from bethink.service.persons import PERMISSIONS

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk


def _share(desk: Desk, given: Json) -> Answer:
    made = desk.memories().share(given["shared_with"], id=given["id"].removeprefix("#"), permission=given["permission"])
    return Answer(f"Shared memory #{made.value} with {made.grantee} ({made.permission})")


def _unshare(desk: Desk, given: Json) -> Answer:
    (gone,) = desk.memories().unshare(given["shared_with"], id=given["id"].removeprefix("#"))
    return Answer(f"Unshared memory #{gone.value} from {gone.grantee}")


def _share_tag(desk: Desk, given: Json) -> Answer:
    made = desk.memories().share(given["shared_with"], tag=given["tag"], permission=given["permission"])
    return Answer(f"Shared tag '{made.value}' with {made.grantee} ({made.permission})")


def _unshare_tag(desk: Desk, given: Json) -> Answer:
    (gone,) = desk.memories().unshare(given["shared_with"], tag=given["tag"])
    return Answer(f"Unshared tag '{gone.value}' from {gone.grantee}")


def _with_me(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    owners = dict.fromkeys(grant.owner for grant in memories.access.grants)
    found = [memory for owner in owners for memory in memories.list(Filter(owner=owner), limit=100).memories]
    lines = [f"#{memory.id} [{memory.category}] (from {memory.owner}) {memory.content}" for memory in found]
    return Answer("\n\n".join(lines) or "No memories shared with you")


def _mine(desk: Desk, given: Json) -> Answer:
    lines = [f"{one.kind} {one.value} with {one.grantee} ({one.permission})" for one in desk.memories().shared().given]
    return Answer("\n".join(lines) or "You have not shared any memories")


def _wrong(message: str, hint: str) -> Answer:
    return Answer(f"Error: {message} {hint}".rstrip(), failed=True)


_ID = Param("id", required=True)
_TAG = Param("tag", required=True)
_WITH = Param("shared_with", about="A user.", required=True)
_MAY = Param("permission", default="read", choices=PERMISSIONS)
_ASK: Json = {"anthropic/requiresUserInteraction": True}

TOOLS: tuple[Tool, ...] = (
    Tool(
        "memory_share",
        "Share a memory",
        "Share a memory with a user.",
        _share,
        (_ID, _WITH, _MAY),
        destructive=True,
        meta=_ASK,
        said=_wrong,
    ),
    Tool("memory_unshare", "Stop sharing a memory", "Take a shared memory back.", _unshare, (_ID, _WITH), idempotent=True, said=_wrong),
    Tool(
        "memory_share_tag",
        "Share a tag",
        "Share all memories with a tag, now and later.",
        _share_tag,
        (_TAG, _WITH, _MAY),
        destructive=True,
        meta=_ASK,
        said=_wrong,
    ),
    Tool("memory_unshare_tag", "Stop sharing a tag", "Take a shared tag back.", _unshare_tag, (_TAG, _WITH), idempotent=True, said=_wrong),
    Tool("memory_shared_with_me", "Shared with me", "Memories that others share with you.", _with_me, read_only=True, said=_wrong),
    Tool("memory_my_shares", "My shares", "What you share with others.", _mine, read_only=True, said=_wrong),
)
