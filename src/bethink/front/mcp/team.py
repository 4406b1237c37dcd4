"""Tools about other people: spaces that several share, and what one lends to others. Not shown unless asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from bethink.front import shapes
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import TOOLS as DEFAULT
from bethink.model import Grant
from bethink.service.persons import PERMISSIONS, ROLES

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk

#: Who else may read something must be a person's own decision.
_ASK: Json = {"anthropic/requiresUserInteraction": True}


def share(desk: Desk, given: Json) -> Answer:
    made = desk.memories().share(
        given["to"], id=given.get("id"), tag=given.get("tag"), project=given.get("project"), permission=given["permission"]
    )
    shape = shapes.grant(made)
    waits = shape.get("waits")
    said = f"Will be shared when it can be sent ({waits})" if waits else "Shared"
    return Answer(f"{said}: {_said(made)}", {"action": "waits" if waits else "shared", **shape})


def unshare(desk: Desk, given: Json) -> Answer:
    taken = desk.memories().unshare(given.get("to"), id=given.get("id"), tag=given.get("tag"), project=given.get("project"))
    shape = [shapes.grant(one) for one in taken]
    waits = next((one["waits"] for one in shape if "waits" in one), "")
    said = f"Will be taken back when it can be sent ({waits})" if waits else "No longer shared"
    return Answer(f"{said}:\n{_lines(taken)}", {"action": "waits" if waits else "unshared", "taken": shape})


def shared(desk: Desk, given: Json) -> Answer:
    found = desk.memories().shared()
    shape = {"given": [shapes.grant(one) for one in found.given], "received": [shapes.grant(one) for one in found.received]}
    return Answer(_lines([*found.given, *found.received]) or "Nothing is shared.", shape)


def spaces(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    found = memories.space_members(given["space"]) if given.get("space") else memories.spaces()
    lines = [f"{one.space}: {one.user} is {one.role}" + ("" if one.accepted else ", invited") for one in found]
    return Answer("\n".join(lines) or "No spaces.", {"members": [shapes.member(one) for one in found]})


def create(desk: Desk, given: Json) -> Answer:
    made = desk.memories().create_space(given["space"])
    return Answer(
        f'Made the space {made.space}; memory_store with space "{made.space}" stores into it.', _done("created", shapes.member(made))
    )


def invite(desk: Desk, given: Json) -> Answer:
    made = desk.memories().invite(given["space"], given["user"], given["role"])
    until = "" if made.accepted else ", once they accept"
    return Answer(f"{made.user} is {made.role} of {made.space}{until}.", _done("invited", shapes.member(made)))


def join(desk: Desk, given: Json) -> Answer:
    made = desk.memories().join_space(given["space"])
    return Answer(f"You are {made.role} of {made.space}.", _done("joined", shapes.member(made)))


def leave(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    user = given.get("user") or memories.access.principal
    memories.leave_space(given["space"], user)
    return Answer(f"{user} is no longer in {given['space']}.", {"action": "left", "space": given["space"], "user": user})


def _done(action: str, shape: Json) -> Json:
    return {"action": action, **shape}


def _said(one: Grant) -> str:
    return f"{one.kind} {one.value} of {one.owner} with {one.grantee or 'anybody'} ({one.permission})"


def _lines(many: Iterable[Grant]) -> str:
    return "\n".join(map(_said, many))


def _with_space(tool: Tool, about: str) -> Tool:
    return replace(tool, params=(*tool.params, Param("space", about=about)))


_TO = Param("to", about="A user, or space:NAME.", required=True)
_WHAT = (
    Param("id", about="One memory."),
    Param("tag", about="Or everything with this tag."),
    Param("project", about="Or everything of this project."),
)
_SPACE = Param("space", about="The space's name.", required=True)
_ACTION: Json = {"type": "object", "properties": {"action": {"type": "string"}}, "required": ["action"]}
_OBJECT: Json = {"type": "object"}
_INTO = {
    "memory_store": "A space to store it into, for all its members, instead of the person's own memories.",
    "memory_recall": "Only what is in this space.",
}

TOOLS: tuple[Tool, ...] = (
    *(_with_space(tool, _INTO[tool.name]) if tool.name in _INTO else tool for tool in DEFAULT),
    Tool(
        "memory_share",
        "Share",
        "Use when the person asks to let somebody else see a memory, a tag or a project. Memories are private until then.",
        share,
        (_TO, *_WHAT, Param("permission", default="read", choices=PERMISSIONS)),
        _ACTION,
        destructive=True,
        idempotent=True,
        meta=_ASK,
    ),
    Tool(
        "memory_unshare",
        "Stop sharing",
        "Takes back what was shared, from one user or space, or from all.",
        unshare,
        (replace(_TO, required=False), *_WHAT),
        _ACTION,
        idempotent=True,
    ),
    Tool(
        "memory_shared", "What is shared", "What the person shares with others, and others with them.", shared, (), _OBJECT, read_only=True
    ),
    Tool(
        "memory_spaces",
        "Spaces",
        "The spaces the person is in or invited to; or who is in one of them.",
        spaces,
        (replace(_SPACE, required=False),),
        _OBJECT,
        read_only=True,
    ),
    Tool("memory_space_create", "Make a space", "Makes a space that several people can share.", create, (_SPACE,), _ACTION, meta=_ASK),
    Tool(
        "memory_space_invite",
        "Invite",
        "Invites a user into a space, or changes a member's role.",
        invite,
        (_SPACE, Param("user", required=True), Param("role", default="reader", choices=ROLES)),
        _ACTION,
        destructive=True,
        idempotent=True,
        meta=_ASK,
    ),
    Tool("memory_space_join", "Join a space", "Accepts an invitation.", join, (_SPACE,), _ACTION, idempotent=True, meta=_ASK),
    Tool(
        "memory_space_leave",
        "Leave a space",
        "Leaves a space, or takes another user out of it.",
        leave,
        (_SPACE, Param("user", about="Somebody else.")),
        _ACTION,
        destructive=True,
        meta=_ASK,
    ),
)
