"""Who may come in, and what each may see: users, their keys, spaces they share, and single things they lend each other.

Kept in the store itself, as small objects of an owner that no user can be. Keys are random and long, so that their
SHA-256 is as good as a slow hash; they are shown once, when they are made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from bethink.errors import Conflict, Forbidden, InvalidInput, NotFound
from bethink.model import Access, Grant, one_of
from bethink.service.core import utc_now
from bethink.stores.base import Store, Transaction

#: Owner of these objects. Its name is none that a user can have.
SYSTEM: Final = "@people"
#: Before a space's name where it stands for an owner.
SPACE: Final = "space:"
SCOPES: Final = ("memory:read", "memory:write", "memory:secrets", "memory:admin")
USUAL_SCOPES: Final = frozenset(("memory:read", "memory:write", "memory:secrets"))
ROLES: Final = ("reader", "writer", "admin")
GRANTED: Final = ("memory", "tag", "project")
_PREFIX = "bth"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
#: A key's last use is written down at most this often, in seconds.
_NOTED = 60.0
Kind = Literal["memory", "tag", "project"]


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


class People:
    """Users, keys, spaces and grants of one store."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._now = clock
        self._access = Access.local(SYSTEM)

    # users and keys

    def add_user(
        self,
        name: str,
        *,
        scopes: Iterable[str] = USUAL_SCOPES,
        label: str = "",
        project: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[User, str]:
        """Makes a user and a first key, which is shown now and never again. A project makes it a service account.

        Raises:
            InvalidInput: not a name, or an unknown scope.
            Conflict: the name is taken.
        """
        checked_name(name)
        with self._store.write(self._access) as tx:
            if tx.state_get("user", name) is not None:
                raise Conflict(f"There is a user {name!r} already.", hint="`bethink users rotate NAME` makes a new key.")
            user = User(name, self._now(), project=project)
            tx.state_put("user", name, _stored(user))
            key = self._new_key(tx, name, scopes, label, expires_at)
            tx.append_audit(self._now(), SYSTEM, "add-user", name, {})
        return user, key

    def users(self) -> list[User]:
        """Everybody, revoked ones too, by name."""
        return [_user(value) for _, value in sorted(self._all("user").items())]

    def user(self, name: str) -> User:
        """
        Raises:
            NotFound: no such user.
        """
        value = self._all("user").get(name)
        if value is None:
            raise NotFound(f"No user {name!r}.", hint="`bethink users list` shows them.")
        return _user(value)

    def keys(self, user: str | None = None) -> list[Key]:
        """The keys of a user, or all, oldest first; without their secrets."""
        every = (_key(id, value) for id, value in self._all("key").items())
        return sorted((key for key in every if user in (None, key.user)), key=lambda key: key.created_at)

    def add_key(self, user: str, *, scopes: Iterable[str] = USUAL_SCOPES, label: str = "", expires_at: datetime | None = None) -> str:
        """A further key for a user, shown now and never again."""
        self.user(user)
        with self._store.write(self._access) as tx:
            return self._new_key(tx, user, scopes, label, expires_at)

    def rotate(self, user: str) -> str:
        """A new key in place of all that the user has; the old ones stop working at once."""
        scopes = {scope for key in self.keys(user) if key.revoked_at is None for scope in key.scopes} or USUAL_SCOPES
        self.user(user)
        with self._store.write(self._access) as tx:
            self._revoke_keys(tx, user)
            tx.append_audit(self._now(), SYSTEM, "rotate-key", user, {})
            return self._new_key(tx, user, scopes, "", None)

    def revoke(self, user: str) -> None:
        """Lets a user in no more; what they stored stays."""
        found = self.user(user)
        with self._store.write(self._access) as tx:
            self._revoke_keys(tx, user)
            tx.state_put("user", user, {**_stored(found), "revoked_at": self._now().isoformat()})
            tx.append_audit(self._now(), SYSTEM, "revoke-user", user, {})

    def revoke_key(self, id: str) -> None:
        """Makes one key stop working.

        Raises:
            NotFound: no such key.
        """
        with self._store.write(self._access) as tx:
            value = tx.state_get("key", id)
            if value is None:
                raise NotFound(f"No key {id!r}.")
            tx.state_put("key", id, {**value, "revoked_at": self._now().isoformat()})

    def by_key(self, key: str) -> Principal | Refused:
        """Who shows this key."""
        parts = key.split("_")
        value = self._all("key").get(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
        # Compared also when there is none, so that the time tells nothing.
        matches = hmac.compare_digest(str((value or {}).get("hash", "")), _hash(key))
        if value is None or not matches:
            return Refused("unknown key")
        found = _key(parts[1], value)
        if found.revoked_at is not None:
            return Refused("revoked key")
        if found.expires_at is not None and found.expires_at <= self._now():
            return Refused("expired key")
        user = self._all("user").get(found.user)
        if user is None or user.get("revoked_at"):
            return Refused("revoked user")
        self._note_use(found, value)
        return Principal(found.user, found.scopes, user.get("project"), found.expires_at, found.id)

    def by_subject(
        self, issuer: str, subject: str, *, name: str | None = None, scopes: Iterable[str] = USUAL_SCOPES
    ) -> Principal | Refused:
        """The user that an identity provider speaks of, made at first sight: users are (issuer, subject), not names."""
        matching = (_user(v) for v in self._all("user").values() if (v.get("issuer"), v.get("subject")) == (issuer, subject))
        known = next(matching, None)
        if known is None:
            known = self._met(issuer, subject, name)
        if known.revoked_at is not None:
            return Refused("revoked user")
        return Principal(known.name, frozenset(scopes) & frozenset(SCOPES), known.project)

    def access(self, principal: Principal) -> Access:
        """What a principal may see and change: what is theirs, their spaces', and what was lent to them."""
        name = principal.name
        mine = [member for member in self._members() if member.user == name and member.accepted]
        readable = (name, *(SPACE + member.space for member in mine))
        writable = (name, *(SPACE + member.space for member in mine if member.role != "reader"))
        if "memory:write" not in principal.scopes:
            writable = ()
        return Access(name, readable, writable, principal.project, tuple(grant for grant in self.grants(grantee=name)))

    # spaces

    def add_space(self, name: str, by: str) -> Member:
        """Makes a space; who makes it is its admin.

        Raises:
            Conflict: the name is taken.
        """
        checked_name(name)
        with self._store.write(self._access) as tx:
            if tx.state_get("space", name) is not None:
                raise Conflict(f"There is a space {name!r} already.")
            tx.state_put("space", name, {"created_at": self._now().isoformat(), "created_by": by})
            tx.append_audit(self._now(), by, "add-space", name, {})
            return self._put_member(tx, Member(name, by, "admin", True))

    def spaces(self, user: str) -> list[Member]:
        """The spaces that a user belongs or is invited to."""
        return sorted((member for member in self._members() if member.user == user), key=lambda member: member.space)

    def members(self, space: str, by: str) -> list[Member]:
        """
        Raises:
            NotFound: no such space, or it is none of yours.
        """
        found = [member for member in self._members() if member.space == space]
        if by not in [member.user for member in found]:
            raise NotFound(f"No space {space!r}.")
        return sorted(found, key=lambda member: member.user)

    def invite(self, space: str, user: str, role: str, by: str) -> Member:
        """Invites a user into a space, or changes a member's role.

        Raises:
            Forbidden: you are no admin of it.
            Conflict: it would be without an admin.
        """
        one_of(role, ROLES, "role")
        self._must_be_admin(space, by)
        self.user(user)
        before = next((member for member in self._members() if (member.space, member.user) == (space, user)), None)
        if before is not None and before.role == "admin" and role != "admin":
            self._must_keep_an_admin(space, user)
        with self._store.write(self._access) as tx:
            tx.append_audit(self._now(), by, "invite", space, {"user": user, "role": role})
            return self._put_member(tx, Member(space, user, role, before.accepted if before else False))

    def accept(self, space: str, user: str) -> Member:
        """
        Raises:
            NotFound: nobody invited you there.
        """
        invited = next((member for member in self.spaces(user) if member.space == space), None)
        if invited is None:
            raise NotFound(f"No invitation into {space!r}.")
        with self._store.write(self._access) as tx:
            return self._put_member(tx, Member(space, user, invited.role, True))

    def leave(self, space: str, user: str, by: str | None = None) -> None:
        """Takes a user out of a space; admins may take out others.

        Raises:
            Conflict: the last admin cannot leave.
        """
        if by is not None and by != user:
            self._must_be_admin(space, by)
        member = next((one for one in self.spaces(user) if one.space == space), None)
        if member is None:
            raise NotFound(f"{user!r} is not in a space {space!r}.")
        if member.role == "admin":
            self._must_keep_an_admin(space, user)
        with self._store.write(self._access) as tx:
            tx.state_put("member", f"{space}/{user}", None)
            tx.append_audit(self._now(), by or user, "leave", space, {"user": user})

    # grants

    def share(self, owner: str, kind: str, value: str, grantee: str, permission: str = "read") -> Grant:
        """Lends a memory (by id), everything with a tag, or a project, to another user.

        Raises:
            NotFound: no such user.
            InvalidInput: to yourself, or of an unknown kind.
        """
        one_of(kind, GRANTED, "kind of grant")
        one_of(permission, ("read", "write"), "permission")
        self.user(grantee)
        if grantee == owner:
            raise InvalidInput("It is yours already.")
        grant = Grant(owner, kind, value, grantee, permission)
        with self._store.write(self._access) as tx:
            tx.state_put("grant", _grant_key(grant), _grant_value(grant))
            tx.append_audit(self._now(), owner, "share", grantee, {"kind": kind, "permission": permission})
        return grant

    def unshare(self, owner: str, kind: str, value: str, grantee: str) -> bool:
        """Takes a grant back; False when there was none."""
        key = _grant_key(Grant(owner, kind, value, grantee))
        with self._store.write(self._access) as tx:
            if tx.state_get("grant", key) is None:
                return False
            tx.state_put("grant", key, None)
            tx.append_audit(self._now(), owner, "unshare", grantee, {"kind": kind})
        return True

    def grants(self, *, owner: str | None = None, grantee: str | None = None) -> list[Grant]:
        """What was lent, by whom or to whom."""
        every = (Grant(**value) for value in self._all("grant").values())
        return [grant for grant in every if owner in (None, grant.owner) and grantee in (None, grant.grantee)]

    def _all(self, namespace: str) -> dict[str, dict[str, Any]]:
        return self._store.state(self._access, namespace)

    def _members(self) -> list[Member]:
        return [Member(**value) for value in self._all("member").values()]

    def _put_member(self, tx: Transaction, member: Member) -> Member:
        value = {"space": member.space, "user": member.user, "role": member.role, "accepted": member.accepted}
        tx.state_put("member", f"{member.space}/{member.user}", value)
        return member

    def _must_be_admin(self, space: str, by: str) -> None:
        roles = {member.user: member.role for member in self._members() if member.space == space and member.accepted}
        if by not in roles:
            raise NotFound(f"No space {space!r}.")
        if roles[by] != "admin":
            raise Forbidden(f"Only an admin of {space!r} may do this.")

    def _must_keep_an_admin(self, space: str, leaving: str) -> None:
        admins = [member.user for member in self._members() if member.space == space and member.role == "admin" and member.accepted]
        if admins == [leaving]:
            raise Conflict(f"{leaving!r} is the last admin of {space!r}.", hint="Make somebody else admin first.")

    def _new_key(self, tx: Transaction, user: str, scopes: Iterable[str], label: str, expires_at: datetime | None) -> str:
        for scope in scopes:
            one_of(scope, SCOPES, "scope")
        id = secrets.token_hex(6)
        key = f"{_PREFIX}_{id}_{secrets.token_hex(24)}"
        value = {
            "hash": _hash(key),
            "user": user,
            "label": label,
            "scopes": sorted(scopes),
            "created_at": self._now().isoformat(),
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        tx.state_put("key", id, value)
        return key

    def _revoke_keys(self, tx: Transaction, user: str) -> None:
        for id, value in self._all("key").items():
            if value["user"] == user and not value.get("revoked_at"):
                tx.state_put("key", id, {**value, "revoked_at": self._now().isoformat()})

    def _note_use(self, key: Key, value: Mapping[str, Any]) -> None:
        now = self._now()
        if key.last_used_at is None or (now - key.last_used_at).total_seconds() > _NOTED:
            with self._store.write(self._access) as tx:
                tx.state_put("key", key.id, {**value, "last_used_at": now.isoformat()})

    def _met(self, issuer: str, subject: str, name: str | None) -> User:
        """A user for somebody whom an identity provider sent for the first time."""
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", (name or "").split("@")[0]).strip("-._")[:40] or "user"
        with self._store.write(self._access) as tx:
            # The name alone is nobody's: another issuer's "alice" is another person.
            unique = (
                plain
                if tx.state_get("user", plain) is None
                else f"{plain}-{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:8]}"
            )
            known = tx.state_get("user", unique)
            if known is not None:
                return _user(known)
            user = User(unique, self._now(), issuer, subject)
            tx.state_put("user", unique, _stored(user))
            tx.append_audit(self._now(), SYSTEM, "meet-user", unique, {"issuer": issuer})
        return user


def checked_name(name: str) -> str:
    """`name`, if it can be a user's or a space's.

    Raises:
        InvalidInput: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"Not a name: {name!r}.", hint="Use 1 to 63 letters, digits and any of _ . -, beginning with a letter or digit.")
    return name


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _stored(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "created_at": user.created_at.isoformat(),
        "issuer": user.issuer,
        "subject": user.subject,
        "project": user.project,
        "revoked_at": user.revoked_at.isoformat() if user.revoked_at else None,
    }


def _user(value: Mapping[str, Any]) -> User:
    return User(
        value["name"],
        datetime.fromisoformat(value["created_at"]),
        value.get("issuer"),
        value.get("subject"),
        value.get("project"),
        _moment(value.get("revoked_at")),
    )


def _key(id: str, value: Mapping[str, Any]) -> Key:
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


def _grant_key(grant: Grant) -> str:
    return "\n".join((grant.owner, grant.kind, grant.value, grant.grantee))


def _grant_value(grant: Grant) -> dict[str, Any]:
    return {"owner": grant.owner, "kind": grant.kind, "value": grant.value, "grantee": grant.grantee, "permission": grant.permission}
