"""What one user may do about spaces and loans: `Spaces`, with the user's own name and rights put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bethink import text
from bethink.errors import Conflict, Forbidden, InvalidInput
from bethink.model import Grant, Memory
from bethink.service.lending import Carry, Lender, not_shared
from bethink.service.people import SPACE, Member, People
from bethink.service.sealing import Sealing
from bethink.stores.base import ReplicaStore


@dataclass(frozen=True, slots=True)
class Shared:
    """What a user lends, and what is lent to them or to a space of theirs."""

    given: tuple[Grant, ...]
    received: tuple[Grant, ...]


class Sharing(Sealing):
    """Spaces and loans of the principal."""

    #: Of the server, where there is one; else made from the store.
    people: People | None = None
    #: Where this store is a replica: sends a change of its log now, and says what became of it.
    carry: Carry | None = None

    def share(
        self, to: str, *, id: str | None = None, tag: str | None = None, project: str | None = None, permission: str = "read"
    ) -> Grant:
        """Lends one memory, everything with a tag, or a project to a user, or as `space:NAME` to the members of a space.

        Raises:
            NotFound: no such memory, user or space, or the memory is forgotten.
            InvalidInput: not exactly one of id, tag and project is named.
            Forbidden: it belongs to somebody else.
            PeerError: this is a replica, and its server does not take it as it is.
        """
        if (lender := self._lender(id, tag, project)) is not None:
            return lender.share(self._mine(str(id)), to, permission)
        people = self._may_share()
        kind, value = self._what(id, tag, project)
        if kind == "memory":
            self.live(value)
        return people.share(self.access.principal, kind, value, to, permission)

    def unshare(self, to: str | None = None, *, id: str | None = None, tag: str | None = None, project: str | None = None) -> list[Grant]:
        """Takes back what was lent to one user or space, or to all; answers what that was.

        Raises:
            NotFound: it is not lent.
        """
        if (lender := self._lender(id, tag, project)) is not None:
            return lender.unshare(self._mine(str(id)), to)
        people = self._may_share()
        kind, value = self._what(id, tag, project)
        me = self.access.principal
        lent = [one for one in people.grants(owner=me) if (one.kind, one.value) == (kind, value) and to in (None, one.grantee)]
        done = [one for one in lent if people.unshare(me, kind, value, one.grantee)]
        if not done:
            raise not_shared(kind, to)
        return done

    def shared(self) -> Shared:
        """What is lent, by the principal and to the principal."""
        people = self._people()
        me = self.access.principal
        mine = {me, *(SPACE + one.space for one in people.spaces(me) if one.accepted)}
        every = people.grants()
        return Shared(
            tuple(one for one in every if one.owner == me), tuple(one for one in every if one.grantee in mine and one.owner != me)
        )

    def spaces(self) -> list[Member]:
        """The principal's place in each space; invitations too."""
        return self._people().spaces(self.access.principal)

    def space_members(self, space: str) -> list[Member]:
        """Raises NotFound when the principal is not in the space."""
        return self._people().members(space, self.access.principal)

    def create_space(self, name: str) -> Member:
        """Makes a space with the principal as its admin."""
        return self._may_share().add_space(name, self.access.principal)

    def invite(self, space: str, user: str, role: str = "reader") -> Member:
        """Invites a user into a space, or changes the role of one who is in it."""
        return self._may_share().invite(space, user, role, self.access.principal)

    def change_role(self, space: str, user: str, role: str) -> Member:
        """Changes a member's role."""
        return self._may_share().role(space, user, role, self.access.principal)

    def join_space(self, space: str) -> Member:
        """Accepts an invitation."""
        return self._may_share().accept(space, self.access.principal)

    def leave_space(self, space: str, user: str | None = None) -> None:
        """Leaves a space, or takes somebody else out of it."""
        me = self.access.principal
        self._may_share().leave(space, user or me, by=me)

    def _people(self) -> People:
        if self.elsewhere is not None:
            raise Conflict(
                "This store is kept equal with a server, which alone knows who sees what.",
                hint="`bethink share` and `bethink spaces` ask the server.",
            )
        return self.people or People(self.store, known=(self.access.principal,), clock=self.now)

    def _may_share(self) -> People:
        if self.access.project is not None:
            raise Forbidden("A service account of one project shares nothing.", hint="Ask the person whose memories these are.")
        return self._people()

    def _what(self, id: str | None, tag: str | None, project: str | None) -> tuple[str, str]:
        """The kind and the value of a grant."""
        named: Sequence[tuple[str, str]] = [(kind, value) for kind, value in (("memory", id), ("tag", tag), ("project", project)) if value]
        if len(named) != 1:
            raise InvalidInput("Name one memory, one tag or one project.", hint="An id, or `--tag TAG`, or `--project PROJECT`.")
        kind, value = named[0]
        value = text.checked(value, kind)
        if kind == "project":
            return kind, self._projects_named(value)[0]
        if kind == "tag":
            return kind, value
        return kind, self._mine(value).id

    def _mine(self, id: str) -> Memory:
        memory = self.get(text.checked(id, "memory"))
        if memory.owner != self.access.principal:
            raise Forbidden(
                f"The memory {memory.id} is of {memory.owner}: only its owner can share it.", hint="`bethink show ID` shows whose it is."
            )
        return memory

    def _lender(self, id: str | None, tag: str | None, project: str | None) -> Lender | None:
        """Where this is a replica: what puts a loan of a single memory into its log."""
        if self.carry is None or not id or tag or project or not isinstance(self.store, ReplicaStore):
            return None
        return Lender(self.store, self.access, self.carry)
