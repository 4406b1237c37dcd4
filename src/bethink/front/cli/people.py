"""Commands about people: users and their keys, spaces that they share, and what they lend each other.

They work on the store itself, or ask the server that this machine's store is kept equal with.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from bethink.errors import InvalidInput, NotFound, PeerError
from bethink.front import fields, shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import Json, opened, settings_of

if TYPE_CHECKING:
    from bethink.service.memories import Memories
    from bethink.service.people import People

Shape = dict[str, Any]

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
Space = Annotated[str, typer.Argument(metavar="SPACE", help="The space's name.")]
User = Annotated[str, typer.Argument(metavar="USER", help="A user's name.")]
Role = Annotated[str, typer.Option("--role", help="reader, writer or admin.")]
Expires = Annotated[str | None, typer.Option("--expires", metavar="TIME", help="When the key ends: 2027-01-31, or a length such as 90d.")]
As = Annotated[str | None, typer.Option("--as", metavar="USER", help="Do it as this user; MEMORY_USER unless given.")]
Tag = Annotated[str | None, typer.Option("--tag", "-t", help="Everything with this tag.")]
Whole = Annotated[str | None, typer.Option("--project", "-p", metavar="PROJECT", help="Everything of this project.")]
One = Annotated[str | None, typer.Argument(metavar="[ID]", help="One memory, by its id or the beginning of it.")]
_ASK_AGAIN = "The server alone knows this: ask again when it can be reached."
_NOT_DONE = "Nothing was changed or kept for later: try again when the server can be reached."
_ONCE = "The key is shown this once:"


def register(app: typer.Typer) -> None:
    users = typer.Typer(no_args_is_help=True, help="Who may use the server: add people and service accounts, renew and revoke keys.")
    for name, user_command in (("add", add), ("list", list_), ("revoke", revoke), ("rotate", rotate)):
        users.command(name)(user_command)
    app.add_typer(users, name="users")
    spaces = typer.Typer(no_args_is_help=True, help="Memories that several people share: make a space, invite into it, join it.")
    for name, space_command in (
        ("create", create),
        ("list", list_spaces),
        ("members", members),
        ("invite", invite),
        ("accept", accept),
        ("role", role),
        ("remove", remove),
        ("leave", leave),
    ):
        spaces.command(name)(space_command)
    app.add_typer(spaces, name="spaces")
    app.command("share")(share)
    app.command("unshare")(unshare)


def add(
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What the key is good for; may be repeated. memory:read, memory:write, memory:secrets unless given."),
    ] = None,
    project: Annotated[str | None, typer.Option("--only-project", help="Make a service account that sees this project alone.")] = None,
    label: Annotated[str, typer.Option("--label", help="What the key is for.")] = "",
    expires: Expires = None,
    again: Annotated[bool, typer.Option("--again", help="Let in a user who was revoked, with what they stored before.")] = False,
    as_json: Json = False,
) -> None:
    """Add a user, and print a key for them.

    bethink users add alice

    bethink users add build-bot --scope memory:read --only-project github.com/acme/app --expires 90d
    """

    def here(people: People, memories: Memories) -> Shape:
        user, key = people.add_user(
            name,
            **({"scopes": scope} if scope else {}),
            label=label,
            project=project,
            expires_at=fields.ending({"expires": expires}, "expires", memories.now()),
            again=again,
        )
        return {**shapes.user(user), "key": key}

    body = {"name": name, "scopes": scope, "project": project, "label": label, "expires_at": expires, "again": again}
    _key_shown(_users(here, "POST", "/api/users", body), as_json)


def list_(as_json: Json = False) -> None:
    """List users, with what is known of their keys."""

    def here(people: People, memories: Memories) -> Shape:
        keys = people.keys()
        return {"users": [shapes.user(one, [key for key in keys if key.user == one.name]) for one in people.users()]}

    found = _users(here, "GET", "/api/users")
    if as_json:
        shown.json(found)
        return
    rows = [row for user in found["users"] for row in _rows(user)]
    if not rows:
        shown.say("No users. `bethink users add NAME` makes one.")
        return
    shown.table(["User", "Key", "May", "Ends", "Last used", "State"], [[shown.clean(cell) for cell in row] for row in rows], wide="May")


def revoke(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The user's name.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NUMBER", help="Only this key, by its number in `bethink users list`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a user in no more, or only make one key stop working. What they stored stays."""
    if (name is None) == (key is None):
        raise InvalidInput("Name a user or a key.", hint="bethink users revoke NAME, or --key NUMBER")

    def here(people: People, memories: Memories) -> Shape:
        if key is not None:
            people.revoke_key(key)
            return {"id": key, "action": "revoked"}
        people.revoke(str(name))
        return {"name": name, "action": "revoked"}

    path = f"/api/keys/{quote(key, safe='')}" if key is not None else f"/api/users/{quote(str(name), safe='')}"
    _said(_users(here, "DELETE", path), "Revoked.", as_json)


def rotate(name: Name, expires: Expires = None, as_json: Json = False) -> None:
    """Print a new key for a user; all that they had stop working."""

    def here(people: People, memories: Memories) -> Shape:
        key = people.rotate(name, expires_at=fields.ending({"expires": expires}, "expires", memories.now()))
        return {"name": name, "action": "rotated", "key": key}

    _key_shown(_users(here, "POST", f"/api/users/{quote(name, safe='')}/rotate", {"expires_at": expires}), as_json)


def create(space: Space, user: As = None, as_json: Json = False) -> None:
    """Make a space; you are its admin. `bethink add --space SPACE` stores into it."""
    made = _asked(user, lambda memories: shapes.member(memories.create_space(space)), "POST", "/api/spaces", {"name": space})
    _said(made, f"Made the space {space}.", as_json)


def list_spaces(user: As = None, as_json: Json = False) -> None:
    """List the spaces you are in or invited to."""
    found = _asked(user, lambda memories: {"spaces": [shapes.member(one) for one in memories.spaces()]}, "GET", "/api/spaces")
    if as_json:
        shown.json(found)
    elif not found["spaces"]:
        shown.say("No spaces.")
    else:
        shown.table(["Space", "Role", "State"], [[one["space"], one["role"], _state(one)] for one in found["spaces"]], wide="Space")


def members(space: Space, user: As = None, as_json: Json = False) -> None:
    """List who is in a space."""

    def here(memories: Memories) -> Shape:
        return {"space": space, "members": [shapes.member(one) for one in memories.space_members(space)]}

    found = _asked(user, here, "GET", f"{_path(space)}/members")
    if as_json:
        shown.json(found)
    else:
        rows = [[shown.clean(one["user"]), one["role"], _state(one)] for one in found["members"]]
        shown.table(["User", "Role", "State"], rows, wide="User")


def invite(space: Space, name: User, role: Role = "reader", user: As = None, as_json: Json = False) -> None:
    """Invite a user into a space; they join with `bethink spaces accept`."""
    body = {"user": name, "role": role}
    made = _asked(user, lambda memories: shapes.member(memories.invite(space, name, role)), "POST", f"{_path(space)}/members", body)
    _said(made, f"{name} is {made['role']} of {space}" + ("." if made["accepted"] else ", once the invitation is accepted."), as_json)


def accept(space: Space, user: As = None, as_json: Json = False) -> None:
    """Accept an invitation into a space."""
    made = _asked(user, lambda memories: shapes.member(memories.join_space(space)), "POST", f"{_path(space)}/accept")
    _said(made, f"You are {made['role']} of {space}.", as_json)


def role(
    space: Space,
    name: User,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="reader, writer or admin.")],
    user: As = None,
    as_json: Json = False,
) -> None:
    """Change what a member may do. For admins of the space."""
    body = {"user": name, "role": role}
    made = _asked(user, lambda memories: shapes.member(memories.change_role(space, name, role)), "POST", f"{_path(space)}/members", body)
    _said(made, f"{name} is {made['role']} of {space}.", as_json)


def remove(space: Space, name: User, user: As = None, as_json: Json = False) -> None:
    """Take somebody out of a space. For admins of the space."""
    _left(space, name, user, as_json, f"{name} is no longer in {space}.")


def leave(space: Space, user: As = None, as_json: Json = False) -> None:
    """Leave a space. The last admin stays."""
    _left(space, None, user, as_json, f"You are no longer in {space}.")


def share(
    id: One = None,
    to: Annotated[list[str] | None, typer.Option("--with", metavar="USER", help="A user, or space:NAME; may be repeated.")] = None,
    tag: Tag = None,
    project: Whole = None,
    write: Annotated[bool, typer.Option("--write", help="They may change it, too.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List what you share and what is shared with you.")] = False,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Let somebody else see one memory, everything with a tag, or a project. Without this nobody sees yours.

    bethink share 0198c0de-1 --with bob

    bethink share --tag release --with space:backend
    """
    if list_all:
        _shares(user, as_json)
        return
    if not to:
        raise InvalidInput("Nobody is named to share with.", hint="--with USER, or --with space:NAME")
    permission = "write" if write else "read"
    what = {"id": id, "tag": tag, "project": project}
    made = [
        _lent(
            user,
            lambda memories, one=one: shapes.grant(memories.share(one, **what, permission=permission)),  # type: ignore[misc]  # mypy does not infer a lambda's default
            "/api/share",
            {**what, "to": one, "permission": permission},
        )
        for one in to
    ]
    there = [one["to"] for one in made if "waits" not in one]
    _said({"shared": made}, f"Shared with {', '.join(there)}." if there else "", as_json)
    _waits([one for one in made if "waits" in one], "Will be shared with", as_json)


def unshare(
    id: One = None,
    to: Annotated[str | None, typer.Option("--with", metavar="USER", help="Only from this user or space; from all unless given.")] = None,
    tag: Tag = None,
    project: Whole = None,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Take back what you shared."""
    what = {"id": id, "tag": tag, "project": project}

    def here(memories: Memories) -> Shape:
        return {"action": "unshared", "taken": [shapes.grant(one) for one in memories.unshare(to, **what)]}

    done = _lent(user, here, "/api/unshare", {**what, "to": to})
    there = [one["to"] or "anybody" for one in done["taken"] if "waits" not in one]
    _said(done, f"No longer shared with {', '.join(there)}." if there else "", as_json)
    _waits([one for one in done["taken"] if "waits" in one], "Will be taken back from", as_json)


def _shares(user: str | None, as_json: bool) -> None:
    def here(memories: Memories) -> Shape:
        found = memories.shared()
        return {"given": [shapes.grant(one) for one in found.given], "received": [shapes.grant(one) for one in found.received]}

    found = _asked(user, here, "GET", "/api/shares")
    if as_json:
        shown.json(found)
        return
    rows = [[one["owner"], one["to"], one["kind"], one["value"], one["permission"]] for one in (*found["given"], *found["received"])]
    if rows:
        shown.table(["Whose", "With", "Kind", "What", "May"], [[shown.clean(cell) for cell in row] for row in rows], wide="What")
    else:
        shown.say("Nothing is shared.")


def _left(space: str, name: str | None, user: str | None, as_json: bool, sentence: str) -> None:
    def here(memories: Memories) -> Shape:
        memories.leave_space(space, name)
        return {"space": space, "user": name or memories.access.principal, "action": "left"}

    if name is None and _remote():
        name = str(_asked(user, here, "GET", "/api/auth-check")["user_id"])
    _said(_asked(user, here, "DELETE", f"{_path(space)}/members/{quote(name or '', safe='')}"), sentence, as_json)


def _remote() -> bool:
    """Whether the server rules over who sees what: this machine holds a copy."""
    return settings_of().mode != "local"


def _asked(user: str | None, here: Callable[[Memories], Shape], method: str, path: str, body: Shape | None = None) -> Shape:
    """An answer of the store here, as one of its users; or of the server, as whoever has the key."""
    if _remote():
        if user is not None:
            raise InvalidInput("--as is for the machine that keeps the store.", hint="MEMORY_API_KEY says who you are for the server.")
        return _of_server(method, path, body)
    with opened(embedder=False) as memories:
        people = memories.people = _people(memories)
        if user is not None:
            from bethink.service.people import SCOPES, Principal, checked_name

            people.must_be_known(checked_name(user))
            memories.access = people.access(Principal(user, frozenset(SCOPES)))
        return here(memories)


def _lent(user: str | None, here: Callable[[Memories], Shape], path: str, body: Shape) -> Shape:
    """As `_asked`. A single memory that this machine holds is lent through its log, which needs no server now."""
    if body["id"] and user is None and settings_of().mode == "hybrid":
        with opened(embedder=False) as memories:
            if _holds(memories, body["id"]):
                return here(memories)
    return _asked(user, here, "POST", path, body)


def _holds(memories: Memories, id: str) -> bool:
    try:
        memories.get(id)
    except NotFound:
        return False
    return True


def _users(here: Callable[[People, Memories], Shape], method: str, path: str, body: Shape | None = None) -> Shape:
    if _remote():
        return _of_server(method, path, body)
    with opened(embedder=False) as memories:
        return here(_people(memories), memories)


def _of_server(method: str, path: str, body: Shape | None) -> Shape:
    from bethink import wire

    sent = None if body is None else {name: value for name, value in body.items() if value is not None}
    with closing(wire.peer_of(settings_of())) as peer:
        try:
            return peer.rest(method, path, sent)
        except PeerError as error:
            # Of this nothing is kept here.
            if error.hint == PeerError.default_hint:
                error.hint = _ASK_AGAIN if method == "GET" else _NOT_DONE
            elif error.code == "Unauthorized":
                error.hint = "Check MEMORY_API_KEY; then try again."
            raise


def _people(memories: Memories) -> People:
    """The people of a store, and those whom its server knows by the environment."""
    from bethink.service.people import People, names_of

    settings = settings_of()
    return People(memories.store, known={settings["MEMORY_USER"], *names_of(settings["API_KEYS"])})


def _path(space: str) -> str:
    return f"/api/spaces/{quote(space, safe='')}"


def _key_shown(made: Shape, as_json: bool) -> None:
    if as_json:
        shown.json(made)
    else:
        # The key alone goes to stdout, so that it can be piped.
        shown.note(f"{made['name']}. {_ONCE}")
        shown.say(made["key"])


def _said(shape: Shape, sentence: str, as_json: bool) -> None:
    if as_json:
        shown.json(shape)
    elif sentence:
        shown.say(shown.clean(sentence))


def _waits(loans: list[Shape], will: str, as_json: bool) -> None:
    """Says of loans that the server does not have yet that they are sent later, and why."""
    for one in [] if as_json else loans:
        shown.say(shown.clean(f"{will} {one['to'] or 'everybody'} when it can be sent. {one['waits']} `bethink sync --status` shows it."))


def _state(member: Shape) -> str:
    return "member" if member["accepted"] else "invited"


def _rows(user: Shape) -> list[list[str]]:
    """A user's lines: one for each key that still works, one without any."""
    who = user["name"] + (f" ({user['project']})" if user["project"] else "")
    if user["revoked_at"]:
        return [[who, "", "", "", "", "revoked"]]
    keys = [key for key in user["keys"] if not key["revoked_at"]]
    if not keys:
        return [[who, "", "", "", "", "by token" if user["issuer"] else "no key"]]
    return [
        [
            who,
            key["id"] + (f" {key['label']}" if key["label"] else ""),
            " ".join(scope.removeprefix("memory:") for scope in key["scopes"]),
            (key["expires_at"] or "never")[:10],
            (key["last_used_at"] or "never")[:16].replace("T", " "),
            "active",
        ]
        for key in keys
    ]
