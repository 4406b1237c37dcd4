"""Loans of single memories, on a machine that keeps a copy: changes of its log, which it sends like any other.

Who sees what is known at the server alone. So the entry in the log is all that a loan is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bethink import errors, text
from bethink.errors import BethinkError, Conflict, Forbidden, InvalidInput, NotFound, PeerError
from bethink.model import Access, Grant, Memory, one_of
from bethink.service.core import present
from bethink.service.persons import PERMISSIONS

if TYPE_CHECKING:
    from bethink.stores.base import ReplicaStore

#: Operations of the log.
OPS: Final = frozenset(("share", "unshare"))
_GRANT = ("owner", "kind", "value", "grantee", "permission")


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a change that somebody waits for: the server has it, unless it waits for something or was refused."""

    #: The server's, where it was this process that heard it.
    answer: Mapping[str, Any]
    waits: str = ""
    #: code, message, hint
    refused: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Loan(Grant):
    """A loan as a machine knows it; one that waits is not at the server yet."""

    waits: str = ""


#: Sends a change of the log now, given its operation.
Carry = Callable[[str], Fate]


class Lender:
    """The machine's side: puts loans of its memories into the log, has them sent, and says what became of them."""

    def __init__(self, store: ReplicaStore, access: Access, carry: Carry) -> None:
        self._store = store
        self._access = access
        self._carry = carry

    def share(self, memory: Memory, to: str, permission: str) -> Loan:
        """
        Raises:
            NotFound, Forbidden, Conflict: the server says no; nothing of it is kept.
            BethinkError: the server does not take it as it is; it is kept.
        """
        one_of(permission, PERMISSIONS, "permission")
        to = text.checked(to, "to")
        if to == self._principal:
            raise InvalidInput("It is yours already.", hint="Name somebody else.")
        present(memory)
        fate = self._sent(memory, "share", {"to": to, "permission": permission})
        return Loan(self._principal, "memory", memory.id, to, permission, fate.waits)

    def unshare(self, memory: Memory, to: str | None) -> list[Grant]:
        """What was taken back, or waits to be: from one, or (as from "") from all.

        Raises:
            NotFound: it is not lent.
        """
        refused = self._refused(memory.id, to)
        fate = self._sent(memory, "unshare", {"to": to})
        if fate.waits or "taken" not in fate.answer:
            return [Loan(self._principal, "memory", memory.id, to or "", waits=fate.waits)]
        told = [Grant(**{name: str(one.get(name, "")) for name in _GRANT}) for one in fate.answer["taken"]]
        taken = [one for one in told if one.grantee]
        if not taken and not refused:
            raise not_shared("memory", to)
        return taken or [Loan(self._principal, "memory", memory.id, one) for one in refused]

    @property
    def _principal(self) -> str:
        return str((self._store.log.binding() or {}).get("principal", self._access.principal))

    def _refused(self, id: str, to: str | None) -> list[str]:
        """With whom a memory was not shared because the server refused it."""
        every = [one for one in self._store.log.pending(id) if one.refused is not None and one.op == "share"]
        return [name for one in every if to in (None, name := str((one.payload or {}).get("to")))]

    def _sent(self, memory: Memory, op: str, payload: Mapping[str, Any]) -> Fate:
        operation = self._logged(memory, op, payload)
        fate = self._carry(operation)
        if fate.answer.get("result") == "gone":
            raise NotFound(f"The memory {memory.id} was erased for good.")
        if fate.refused is not None:
            raise self._no(operation, fate.refused)
        return fate

    def _logged(self, memory: Memory, op: str, payload: Mapping[str, Any]) -> str:
        to = payload["to"]
        with self._store.write(self._access) as tx:
            if tx.get(memory.id) is None:
                raise NotFound(f"No memory {memory.id!r}.")
            for one in tx.log.pending(memory.id):
                # What is said now of the same people takes the place of what the server refused.
                if one.refused is not None and one.op in OPS and to in (None, (one.payload or {}).get("to")):
                    tx.log.withdraw(one.operation)
            tx.log.add(memory.id, memory.owner, op, payload)
            return tx.log.pending(memory.id)[-1].operation

    def _no(self, operation: str, said: Mapping[str, Any]) -> BethinkError:
        """The server's refusal as an error. What it denied is told now, and not tried again behind the person's back."""
        kind = getattr(errors, str(said.get("code")), PeerError)
        kind = kind if isinstance(kind, type) and issubclass(kind, BethinkError) else PeerError
        message, hint = str(said.get("message") or ""), str(said.get("hint") or "")
        if issubclass(kind, NotFound | Forbidden | Conflict):
            with self._store.write(self._access) as tx:
                tx.log.withdraw(operation)
            return kind(message, hint=hint)
        kept = "It is kept; `bethink sync` tries it again, `bethink unshare` takes it back."
        return kind(message, hint=f"{hint} {kept}".strip())


def not_shared(kind: str, to: str | None) -> NotFound:
    return NotFound(f"This {kind} is not shared{f' with {to}' if to else ''}.", hint="`bethink share --list` shows what you share.")
