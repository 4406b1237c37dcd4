"""People and what is kept about them: users, keys, members of spaces; as values, and as the JSON that the store holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bethink.errors import InvalidInput, NotFound
from bethink.model import Grant

#: Owner of these objects. Its name is none that a user can have.
SYSTEM: Final = "@people"
#: Before a space's name where it stands for an owner.
SPACE: Final = "space:"
SCOPES: Final = ("memory:read", "memory:write", "memory:secrets", "memory:admin")
USUAL_SCOPES: Final = frozenset(("memory:read", "memory:write", "memory:secrets"))
ROLES: Final = ("reader", "writer", "admin")
GRANTED: Final = ("memory", "tag", "project")
PERMISSIONS: Final = ("read", "write")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are, and what the proof is good for."""

    name: str
    scopes: frozenset[str] = USUAL_SCOPES
    #: A service account's cage.
    project: str | None = None
    expires_at: datetime | None = None
    #: Number of the key that was shown, for the log; "" for other proofs.
    key: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A person or a service account."""

    name: str
    created_at: datetime
    issuer: str | None = None
    subject: str | None = None
    project: str | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, without the key."""

    id: str
    user: str
    label: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One user's place in a space; an invitation until it is accepted."""

    space: str
    user: str
    role: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a proof was not accepted; for the log, never for the asker."""

    reason: str


def is_name(name: str) -> bool:
    """Whether something can be a user's or a space's name."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """`name`, if it can be a user's or a space's.

    Raises:
        InvalidInput: it cannot.
    """
    if not is_name(name):
        raise InvalidInput(f"Not a name: {name!r}.", hint="Use 1 to 63 letters, digits and any of _ . -, beginning with a letter or digit.")
    return name


def stored(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "created_at": user.created_at.isoformat(),
        "issuer": user.issuer,
        "subject": user.subject,
        "project": user.project,
        "revoked_at": user.revoked_at.isoformat() if user.revoked_at else None,
    }


def user_of(value: Mapping[str, Any]) -> User:
    return User(
        value["name"],
        datetime.fromisoformat(value["created_at"]),
        value.get("issuer"),
        value.get("subject"),
        value.get("project"),
        _moment(value.get("revoked_at")),
    )


def key_of(id: str, value: Mapping[str, Any]) -> Key:
    return Key(
        id,
        value["user"],
        value.get("label", ""),
        frozenset(value["scopes"]),
        datetime.fromisoformat(value["created_at"]),
        _moment(value.get("expires_at")),
        _moment(value.get("last_used_at")),
        _moment(value.get("revoked_at")),
    )


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def grant_key(grant: Grant) -> str:
    return "\n".join((grant.owner, grant.kind, grant.value, grant.grantee))


def grant_value(grant: Grant) -> dict[str, Any]:
    return {"owner": grant.owner, "kind": grant.kind, "value": grant.value, "grantee": grant.grantee, "permission": grant.permission}


def no_user(name: str) -> NotFound:
    return NotFound(f"No user {name!r}.", hint="`bethink users list` shows them.")


def no_space(name: str) -> NotFound:
    return NotFound(f"No space {name!r} of yours.", hint="`bethink spaces list` shows those you are in.")


def not_in(space: str, user: str) -> NotFound:
    return NotFound(f"{user!r} is not in the space {space!r}.", hint="`bethink spaces members SPACE` shows who is.")
