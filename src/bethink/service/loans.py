"""The server's side of loans that a machine made: each is made once, in the order of the memory's other changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.errors import Forbidden
from bethink.model import Grant, Memory
from bethink.service.core import present
from bethink.service.persons import grant_value
from bethink.service.writing import Writing

if TYPE_CHECKING:
    from bethink.service.people import People
    from bethink.service.sent import Sent


class Unlent(Exception):
    """A loan, or its end, is to be made before the change can be answered: who sees what is kept for an owner of its own."""

    def __init__(self, memory: str) -> None:
        self.memory = memory


class Loans(Writing):
    """What a replica's changes say of who else may see a memory."""

    #: Of the server, where there is one; else made from the store.
    people: People | None = None
    #: Operation of the change that was made last, and what it lent or took back.
    _lent: tuple[str, list[Grant]] = ("", [])

    def must_be_lent(self, change: Sent, memory: Memory) -> None:
        """
        Raises:
            Unlent: the loan is to be made first, outside of the transaction.
            Forgotten: the memory is.
        """
        if self._lent[0] == change.operation:
            return
        if change.op == "share":
            present(memory)
        raise Unlent(memory.id)

    def make_loan(self, change: Sent, id: str) -> None:
        """Lends a memory or takes it back, unless this change did so before.

        Raises:
            NotFound: no such user, or you are in no such space.
            Forbidden: it is somebody else's, or the key is a service account's.
            Conflict, InvalidInput: as `People.share`.
        """
        me = self.access.principal
        if change.owner != me:
            raise Forbidden(
                f"The memory {id} is of {change.owner}: only its owner can share it.", hint="`bethink show ID` shows whose it is."
            )
        if self.access.project is not None:
            raise Forbidden("A service account of one project shares nothing.", hint="Ask the person whose memories these are.")
        to, back = change.payload.get("to"), change.op == "unshare"
        # Without a name it is taken back from all.
        name = "" if to is None and back else text.checked(str(to or ""), "to")
        grant = Grant(me, "memory", id, name, str(change.payload.get("permission") or "read"))
        self._lent = change.operation, self._who().once(f"{me}/{change.operation}", grant, back=back)

    def taken(self, change: Sent) -> dict[str, Any]:
        """What the answer says of loans that were taken back."""
        known = change.op == "unshare" and self._lent[0] == change.operation
        return {"taken": [grant_value(one) for one in self._lent[1]]} if known else {}

    def _who(self) -> People:
        from bethink.service.people import People

        return self.people or People(self.store, known=(self.access.principal,), clock=self.now)
