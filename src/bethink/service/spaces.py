"""Spaces that several people share, and single things that they lend each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from bethink.errors import Conflict, Forbidden, InvalidInput, NotFound
from bethink.model import Access, Grant, one_of
from bethink.service.core import utc_now
from bethink.service.persons import (
    GRANTED,
    PERMISSIONS,
    ROLES,
    SPACE,
    SYSTEM,
    Member,
    checked_name,
    grant_key,
    grant_value,
    is_name,
    no_space,
    no_user,
    not_in,
)
from bethink.stores.base import Store, Transaction

#: Single things that one user may lend another: each makes every question of the other's longer.
MOST_GRANTS = 500


class Spaces:
    """The spaces and grants of one store.

    Args:
        known: users who are let in by other proofs than those kept here, such as the keys of the environment.
    """

    def __init__(self, store: Store, *, known: Iterable[str] = (), clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._known = frozenset(known)
        self._now = clock
        self._access = Access.local(SYSTEM)
        #: Called after something was changed here: what others remember of it is no longer true.
        self.changed: Callable[[], None] = lambda: None

    def add_space(self, name: str, by: str) -> Member:
        """Makes a space; who makes it is its admin.

        Raises:
            Conflict: the name is taken.
        """
        checked_name(name)
        with self._writing() as tx:
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
            raise no_space(space)
        return sorted(found, key=lambda member: member.user)

    def invite(self, space: str, user: str, role: str, by: str) -> Member:
        """Invites a user into a space, or changes a member's role.

        Raises:
            NotFound: no such user, or no such space of yours.
            Forbidden: you are no admin of it.
            Conflict: it would be without an admin.
        """
        one_of(role, ROLES, "role")
        with self._writing() as tx:
            members = _members(tx, space)
            _must_be_admin(members, space, by)
            self._must_be_somebody(tx, user)
            before = members.get(user)
            if role != "admin":
                _must_keep_an_admin(members, space, user)
            tx.append_audit(self._now(), by, "invite", space, {"user": user, "role": role})
            return self._put_member(tx, Member(space, user, role, before.accepted if before else False))

    def role(self, space: str, user: str, role: str, by: str) -> Member:
        """Changes what a member may do in a space.

        Raises:
            NotFound: they are not in it, or it is no space of yours.
            Forbidden: you are no admin of it.
            Conflict: it would be without an admin.
        """
        if not any(member.user == user for member in self.members(space, by)):
            raise not_in(space, user)
        return self.invite(space, user, role, by)

    def accept(self, space: str, user: str) -> Member:
        """
        Raises:
            NotFound: nobody invited you there.
        """
        with self._writing() as tx:
            invited = _members(tx, space).get(user)
            if invited is None:
                raise NotFound(f"No invitation into {space!r}.", hint="Ask an admin of the space for one.")
            tx.append_audit(self._now(), user, "accept", space, {"role": invited.role})
            return self._put_member(tx, replace(invited, accepted=True))

    def leave(self, space: str, user: str, by: str | None = None) -> None:
        """Takes a user out of a space; admins may take out others.

        Raises:
            Conflict: the last admin cannot leave.
        """
        with self._writing() as tx:
            members = _members(tx, space)
            if by is not None and by != user:
                _must_be_admin(members, space, by)
            if user not in members:
                raise not_in(space, user)
            _must_keep_an_admin(members, space, user)
            tx.state_put("member", f"{space}/{user}", None)
            tx.append_audit(self._now(), by or user, "leave", space, {"user": user})

    def share(self, owner: str, kind: str, value: str, grantee: str, permission: str = "read") -> Grant:
        """Lends a memory (by id), everything with a tag, or a project, to another user or (as `space:NAME`) to the members of a space.

        Raises:
            NotFound: no such user, or you are in no such space.
            InvalidInput: to yourself, or of an unknown kind.
        """
        grant = Grant(owner, kind, value, grantee, permission)
        with self._writing() as tx:
            self._lend(tx, grant)
        return grant

    def unshare(self, owner: str, kind: str, value: str, grantee: str) -> bool:
        """Takes a grant back; False when there was none."""
        with self._writing() as tx:
            return self._take_back(tx, Grant(owner, kind, value, grantee))

    def once(self, operation: str, grant: Grant, *, back: bool = False) -> list[Grant]:
        """Makes a grant or takes it back (without a name: from all), unless this operation did so before; what that was.

        Raises:
            As `share`.
        """
        with self._writing() as tx:
            done = tx.answer_of(SYSTEM, operation)
            if done is not None:
                return [Grant(**value) for value in done["grants"]]
            wanted = [grant]
            if back and not grant.grantee:
                every = [Grant(**value) for value in tx.states("grant").values()]
                wanted = [one for one in every if (one.owner, one.kind, one.value) == (grant.owner, grant.kind, grant.value)]
            if back:
                wanted = [one for one in wanted if self._take_back(tx, one)]
            else:
                self._lend(tx, grant)
            tx.put_answer(SYSTEM, operation, {"grants": [grant_value(one) for one in wanted]})
        return wanted

    def grants(self, *, owner: str | None = None, grantee: str | None = None) -> list[Grant]:
        """What was lent, by whom or to whom."""
        every = (Grant(**value) for value in self._all("grant").values())
        return [grant for grant in every if owner in (None, grant.owner) and grantee in (None, grant.grantee)]

    def _lend(self, tx: Transaction, grant: Grant) -> None:
        one_of(grant.kind, GRANTED, "kind of grant")
        one_of(grant.permission, PERMISSIONS, "permission")
        owner, grantee = grant.owner, grant.grantee
        if grantee == owner:
            raise InvalidInput("It is yours already.", hint="Name somebody else.")
        pair = [each for each in tx.states("grant").values() if (each["owner"], each["grantee"]) == (owner, grantee)]
        if len(pair) >= MOST_GRANTS and grant_key(grant) not in map(_key_of, pair):
            raise Conflict(f"{MOST_GRANTS} things are shared with {grantee} already.", hint="Share a tag or a project, or use a space.")
        if grantee.startswith(SPACE):
            space = grantee.removeprefix(SPACE)
            if owner not in _members(tx, space):
                raise no_space(space)
        else:
            self._must_be_somebody(tx, grantee)
        tx.state_put("grant", grant_key(grant), grant_value(grant))
        tx.append_audit(self._now(), owner, "share", grantee, {"kind": grant.kind, "permission": grant.permission})

    def _take_back(self, tx: Transaction, grant: Grant) -> bool:
        if tx.state_get("grant", grant_key(grant)) is None:
            return False
        tx.state_put("grant", grant_key(grant), None)
        tx.append_audit(self._now(), grant.owner, "unshare", grant.grantee, {"kind": grant.kind})
        return True

    def _all(self, namespace: str) -> dict[str, dict[str, Any]]:
        return self._store.state(self._access, namespace)

    def _members(self) -> list[Member]:
        return [Member(**value) for value in self._all("member").values()]

    def _put_member(self, tx: Transaction, member: Member) -> Member:
        value = {"space": member.space, "user": member.user, "role": member.role, "accepted": member.accepted}
        tx.state_put("member", f"{member.space}/{member.user}", value)
        return member

    @contextmanager
    def _writing(self) -> Iterator[Transaction]:
        """A transaction beside which no other changes people: what was looked at stays so until it ends."""
        with self._store.write(self._access) as tx:
            tx.lock_owner(SYSTEM)
            yield tx
        self.changed()

    def _must_be_somebody(self, tx: Transaction, name: str) -> None:
        found = known(tx, "user", name)
        if name not in self._known and (found is None or found.get("revoked_at")):
            raise no_user(name)


def _key_of(value: Mapping[str, Any]) -> str:
    return grant_key(Grant(**value))


def known(tx: Transaction, namespace: str, name: str) -> dict[str, Any] | None:
    """What is kept under a name; of what cannot be a name nothing is, and no database is asked for it."""
    return tx.state_get(namespace, name) if is_name(name) else None


def _members(tx: Transaction, space: str) -> dict[str, Member]:
    """Who is in a space or invited, by name."""
    every = (Member(**value) for value in tx.states("member").values())
    return {member.user: member for member in every if member.space == space}


def _must_be_admin(members: Mapping[str, Member], space: str, by: str) -> None:
    member = members.get(by)
    if member is None or not member.accepted:
        raise no_space(space)
    if member.role != "admin":
        raise Forbidden(f"Only an admin of {space!r} may do this.", hint="`bethink spaces members SPACE` shows who is.")


def _must_keep_an_admin(members: Mapping[str, Member], space: str, leaving: str) -> None:
    admins = [name for name, member in members.items() if member.role == "admin" and member.accepted]
    if admins == [leaving]:
        raise Conflict(f"{leaving!r} is the last admin of {space!r}.", hint="Make somebody else admin first.")
