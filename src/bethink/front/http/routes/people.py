"""Who may come in, the spaces that people share, and what they lend each other.

The routes below `/api/memories` are those of claude-memory-mcp's API.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from bethink.front import fields, shapes
from bethink.front.http.deps import Reads, Rules, Writes, answer, router, server_of
from bethink.front.http.models import Loan, NewSpace, NewUser, Place, Renewal, Returned, SharedWith, TagSharedWith
from bethink.front.http.routes.memories import Id, whole
from bethink.model import Filter, Grant

routes = router("people")
key_routes = router("people")
Name = Annotated[str, Path(max_length=128, pattern=r"^[^\x00]+$")]


@key_routes.get("/api/users")
def users(memories: Rules, request: Request) -> Response:
    """Everybody who was added here or came with a token, revoked ones too, and what is known of their keys."""
    people = server_of(request).people
    keys = people.keys()
    return answer({"users": [shapes.user(one, [key for key in keys if key.user == one.name]) for one in people.users()]})


@key_routes.post("/api/users", status_code=201)
def add(memories: Rules, asked: NewUser, request: Request) -> Response:
    """Add a user, or with a project a service account that sees nothing else. The key is shown now and never again."""
    user, key = server_of(request).people.add_user(
        asked.name,
        **({"scopes": asked.scopes} if asked.scopes is not None else {}),
        label=asked.label,
        project=asked.project,
        expires_at=fields.ending(asked.given(), "expires_at", memories.now()),
        again=asked.again,
    )
    return answer({**shapes.user(user), "key": key}, 201)


@key_routes.post("/api/users/{name}/rotate")
def rotate(memories: Rules, name: Name, request: Request, asked: Renewal | None = None) -> Response:
    """A new key in place of all that a user has, with their scopes; the old ones stop working."""
    expires_at = fields.ending(asked.given(), "expires_at", memories.now()) if asked else None
    return answer({"name": name, "action": "rotated", "key": server_of(request).people.rotate(name, expires_at=expires_at)})


@key_routes.delete("/api/users/{name}")
def revoke(memories: Rules, name: Name, request: Request) -> Response:
    """Let a user in no more; what they stored stays."""
    server_of(request).people.revoke(name)
    return answer({"name": name, "action": "revoked"})


@key_routes.delete("/api/keys/{id}")
def revoke_key(memories: Rules, id: Name, request: Request) -> Response:
    """Make one key stop working, by its number."""
    server_of(request).people.revoke_key(id)
    return answer({"id": id, "action": "revoked"})


@routes.get("/api/spaces")
def spaces(memories: Reads) -> Response:
    """The spaces one is in or invited to (`accepted` is false), with one's role."""
    return answer({"spaces": [shapes.member(one) for one in memories.spaces()]})


@routes.post("/api/spaces", status_code=201)
def create(memories: Writes, asked: NewSpace) -> Response:
    """Make a space, with oneself as its admin. Memories are stored into it with `space`."""
    return answer(shapes.member(memories.create_space(asked.name)), 201)


@routes.get("/api/spaces/{space}/members")
def members(memories: Reads, space: Name) -> Response:
    """Who is in a space, with what role."""
    return answer({"space": space, "members": [shapes.member(one) for one in memories.space_members(space)]})


@routes.post("/api/spaces/{space}/members")
def invite(memories: Writes, space: Name, asked: Place) -> Response:
    """Invite a user into a space as reader, writer or admin, or change the role of one who is in it. For its admins."""
    return answer(shapes.member(memories.invite(space, asked.user, asked.role)))


@routes.delete("/api/spaces/{space}/members/{user}")
def leave(memories: Writes, space: Name, user: Name) -> Response:
    """Leave a space, or (for its admins) take somebody out of it. The last admin stays."""
    memories.leave_space(space, user)
    return answer({"space": space, "user": user, "action": "left"})


@routes.post("/api/spaces/{space}/accept")
def accept(memories: Writes, space: Name) -> Response:
    """Accept an invitation."""
    return answer(shapes.member(memories.join_space(space)))


@routes.get("/api/shares")
def shares(memories: Reads) -> Response:
    """What one lends to others, and what others lend to oneself or to a space one is in."""
    found = memories.shared()
    return answer({"given": [shapes.grant(one) for one in found.given], "received": [shapes.grant(one) for one in found.received]})


@routes.post("/api/share")
def share(memories: Writes, asked: Loan) -> Response:
    """Lend one memory (`id`), everything with a `tag`, or a `project` to a user, or as `space:NAME` to the members of a space."""
    return answer(shapes.grant(memories.share(asked.to, id=asked.id, tag=asked.tag, project=asked.project, permission=asked.permission)))


@routes.post("/api/unshare")
def unshare(memories: Writes, asked: Returned) -> Response:
    """Take back what was lent, from one user or space, or without `to` from all."""
    taken = memories.unshare(asked.to, id=asked.id, tag=asked.tag, project=asked.project)
    return answer({"action": "unshared", "taken": [shapes.grant(one) for one in taken]})


@routes.get("/api/memories/shared-with-me")
def shared_with_me(memories: Reads, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """The newest memories that others lend to one, with who does. What is in one's spaces is not lent."""
    owners = dict.fromkeys(grant.owner for grant in memories.access.grants)
    found = [memory for owner in owners for memory in memories.list(Filter(owner=owner), limit=limit).memories]
    newest = sorted(found, key=lambda memory: memory.created_at, reverse=True)[:limit]
    return answer({"memories": [{**whole(memory), "shared_by": memory.owner} for memory in newest]})


@routes.get("/api/memories/my-shares")
def my_shares(memories: Reads) -> Response:
    """What one lends to others."""
    return answer({"shares": [_shared(grant) for grant in memories.shared().given]})


@routes.post("/api/memories/share-tag")
def share_tag(memories: Writes, asked: TagSharedWith) -> Response:
    """Lend everything with a tag."""
    return answer(_shared(memories.share(asked.shared_with, tag=asked.tag, permission=asked.permission)))


@routes.delete("/api/memories/share-tag")
def unshare_tag(
    memories: Writes, tag: Annotated[str, Query(max_length=500)], shared_with: Annotated[str, Query(max_length=500)]
) -> Response:
    """Take a tag back."""
    return answer({"action": "unshared", **_shared(memories.unshare(shared_with, tag=tag)[0])})


@routes.post("/api/memories/{id}/share")
def share_one(memories: Writes, id: Id, asked: SharedWith) -> Response:
    """Lend one memory."""
    return answer(_shared(memories.share(asked.shared_with, id=id, permission=asked.permission)))


@routes.delete("/api/memories/{id}/share/{user}")
def unshare_one(memories: Writes, id: Id, user: Name) -> Response:
    """Take one memory back."""
    return answer({"action": "unshared", **_shared(memories.unshare(user, id=id)[0])})


def _shared(grant: Grant) -> dict[str, Any]:
    name = {"memory": "memory_id", "tag": "tag", "project": "project"}[grant.kind]
    return {name: grant.value, "owner": grant.owner, "shared_with": grant.grantee, "permission": grant.permission}
