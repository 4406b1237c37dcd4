"""Who may come in, and what each may see: users, their keys, spaces they share, and single things they lend each other.

Kept in the store itself, as small objects of an owner that no user can be. Keys are random and long, so that their
SHA-256 is as good as a slow hash; they are shown once, when they are made.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from bethink.errors import Conflict, NotFound
from bethink.model import Access, one_of
from bethink.service.persons import (
    ROLES,
    SCOPES,
    SPACE,
    SYSTEM,
    USUAL_SCOPES,
    Key,
    Member,
    Principal,
    Refused,
    User,
    checked_name,
    key_of,
    no_user,
    stored,
    user_of,
)
from bethink.service.spaces import Spaces, known
from bethink.stores.base import Transaction

__all__ = [
    "ROLES",
    "SCOPES",
    "SPACE",
    "SYSTEM",
    "USUAL_SCOPES",
    "Key",
    "Member",
    "People",
    "Principal",
    "Refused",
    "User",
    "checked_name",
    "names_of",
]

_PREFIX = "bth"
#: A key's last use is written down at most this often, in seconds.
_NOTED = 60.0


class People(Spaces):
    """Users, keys, spaces and grants of one store."""

    def add_user(
        self,
        name: str,
        *,
        scopes: Iterable[str] = USUAL_SCOPES,
        label: str = "",
        project: str | None = None,
        expires_at: datetime | None = None,
        again: bool = False,
    ) -> tuple[User, str]:
        """Makes a user and a first key, which is shown now and never again. A project makes it a service account.

        Args:
            again: lets in a user who was revoked, with what they stored before.

        Raises:
            InvalidInput: not a name, or an unknown scope.
            Conflict: the name is taken.
        """
        checked_name(name)
        with self._writing() as tx:
            before = tx.state_get("user", name)
            if before is not None and not before.get("revoked_at"):
                raise Conflict(f"There is a user {name!r} already.", hint="`bethink users rotate NAME` makes a new key.")
            if before is not None and not again:
                raise Conflict(
                    f"{name!r} was revoked, and what that user stored is still there.",
                    hint="`bethink users add NAME --again` lets the same person in; for another person take another name.",
                )
            user = replace(user_of(before), revoked_at=None, project=project) if before else User(name, self._now(), project=project)
            tx.state_put("user", name, stored(user))
            key = self._new_key(tx, name, scopes, label, expires_at)
            tx.append_audit(self._now(), SYSTEM, "add-user", name, {})
        return user, key

    def users(self) -> list[User]:
        """Everybody, revoked ones too, by name."""
        return [user_of(value) for _, value in sorted(self._all("user").items())]

    def user(self, name: str) -> User:
        """
        Raises:
            NotFound: no such user.
        """
        value = self._all("user").get(name)
        if value is None:
            raise no_user(name)
        return user_of(value)

    def must_be_known(self, name: str) -> None:
        """Raises:
        NotFound: nobody of that name is let in.
        """
        if name not in self._known:
            self.user(name)

    def keys(self, user: str | None = None) -> list[Key]:
        """The keys of a user, or all, oldest first; without their secrets."""
        every = (key_of(id, value) for id, value in self._all("key").items())
        return sorted((key for key in every if user in (None, key.user)), key=lambda key: key.created_at)

    def add_key(self, user: str, *, scopes: Iterable[str] = USUAL_SCOPES, label: str = "", expires_at: datetime | None = None) -> str:
        """A further key for a user, shown now and never again."""
        with self._writing() as tx:
            self._active(tx, user)
            tx.append_audit(self._now(), SYSTEM, "add-key", user, {})
            return self._new_key(tx, user, scopes, label, expires_at)

    def rotate(self, user: str, *, expires_at: datetime | None = None) -> str:
        """A new key in place of all that the user has, with their scopes; the old ones stop working at once.

        Args:
            expires_at: when the new one ends; as the last of the old ones does, unless given.

        Raises:
            NotFound: no such user.
            Conflict: the user was revoked.
        """
        with self._writing() as tx:
            self._active(tx, user)
            now = self._now()
            keys = [key_of(id, value) for id, value in tx.states("key").items() if value["user"] == user and not value.get("revoked_at")]
            scopes = {scope for key in keys for scope in key.scopes} or USUAL_SCOPES
            ends = [key.expires_at for key in keys if key.expires_at is None or key.expires_at > now]
            last = None if None in ends else max((end for end in ends if end), default=None)
            label = next((key.label for key in keys if key.label), "")
            self._revoke_keys(tx, user)
            tx.append_audit(now, SYSTEM, "rotate-key", user, {})
            return self._new_key(tx, user, scopes, label, expires_at or last)

    def revoke(self, user: str) -> None:
        """Lets a user in no more; what they stored stays.

        Raises:
            NotFound: no such user.
        """
        with self._writing() as tx:
            found = known(tx, "user", user)
            if found is None:
                raise no_user(user)
            self._revoke_keys(tx, user)
            tx.state_put("user", user, {**found, "revoked_at": found.get("revoked_at") or self._now().isoformat()})
            tx.append_audit(self._now(), SYSTEM, "revoke-user", user, {})

    def revoke_key(self, id: str) -> None:
        """Makes one key stop working.

        Raises:
            NotFound: no such key.
        """
        with self._writing() as tx:
            value = known(tx, "key", id)
            if value is None:
                raise NotFound(f"No key {id!r}.", hint="`bethink users list` shows the numbers of keys.")
            tx.state_put("key", id, {**value, "revoked_at": value.get("revoked_at") or self._now().isoformat()})
            tx.append_audit(self._now(), SYSTEM, "revoke-key", value["user"], {"key": id})

    def by_key(self, key: str) -> Principal | Refused:
        """Who shows this key."""
        parts = key.split("_")
        value = self._all("key").get(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
        # Compared also when there is none, so that the time tells nothing.
        matches = hmac.compare_digest(str((value or {}).get("hash", "")), _hash(key))
        if value is None or not matches:
            return Refused("unknown key")
        found = key_of(parts[1], value)
        if found.revoked_at is not None:
            return Refused("revoked key")
        if found.expires_at is not None and found.expires_at <= self._now():
            return Refused("expired key")
        user = self._all("user").get(found.user)
        if user is None or user.get("revoked_at"):
            return Refused("revoked user")
        self._note_use(found)
        return Principal(found.user, found.scopes, user.get("project"), found.expires_at, found.id)

    def by_subject(
        self, issuer: str, subject: str, *, name: str | None = None, scopes: Iterable[str] = USUAL_SCOPES
    ) -> Principal | Refused:
        """The user that an identity provider speaks of, made at first sight: users are (issuer, subject), not names."""
        matching = (user_of(v) for v in self._all("user").values() if (v.get("issuer"), v.get("subject")) == (issuer, subject))
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
        lent = tuple(grant for grant in self.grants() if grant.grantee in readable and grant.owner not in readable)
        return Access(name, readable, writable, principal.project, lent)

    def _active(self, tx: Transaction, name: str) -> None:
        found = known(tx, "user", name)
        if found is None:
            raise no_user(name)
        if found.get("revoked_at"):
            raise Conflict(f"{name!r} was revoked.", hint="`bethink users add NAME --again` lets the same person in.")

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
        for id, value in tx.states("key").items():
            if value["user"] == user and not value.get("revoked_at"):
                tx.state_put("key", id, {**value, "revoked_at": self._now().isoformat()})

    def _note_use(self, key: Key) -> None:
        now = self._now()
        if key.last_used_at is None or (now - key.last_used_at).total_seconds() > _NOTED:
            with self._store.write(self._access) as tx:
                # Looked at again: it may have been revoked meanwhile.
                if latest := tx.state_get("key", key.id):
                    tx.state_put("key", key.id, {**latest, "last_used_at": now.isoformat()})

    def _met(self, issuer: str, subject: str, name: str | None) -> User:
        """A user for somebody whom an identity provider sent for the first time."""
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", (name or "").split("@")[0]).strip("-._")[:40] or "user"
        with self._writing() as tx:
            # The name alone is nobody's: another issuer's "alice" is another person.
            unique = (
                plain
                if tx.state_get("user", plain) is None
                else f"{plain}-{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:8]}"
            )
            known = tx.state_get("user", unique)
            if known is not None:
                return user_of(known)
            user = User(unique, self._now(), issuer, subject)
            tx.state_put("user", unique, stored(user))
            tx.append_audit(self._now(), SYSTEM, "meet-user", unique, {"issuer": issuer})
        return user


def names_of(api_keys: str | None) -> frozenset[str]:
    """The users whom API_KEYS names; none where it is not what it should be, which the server says."""
    try:
        given = json.loads(api_keys or "{}")
    except ValueError:
        return frozenset()
    return frozenset(given) if isinstance(given, dict) else frozenset()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
