"""Loans of single memories that chance makes, through the log of a machine or at the server; and what must have become of them."""

from __future__ import annotations

from collections.abc import Sequence

from bethink.model import Access
from bethink.service.people import People
from kit.replicas import Machine, Server


class Loans:
    """Who lent what to whom, and by which way."""

    def __init__(self, server: Server, people: People) -> None:
        self._server = server
        self._people = people
        #: (owner, id, grantee) of what a machine's log said, and of all that was ever taken back.
        self._lent: set[tuple[str, str, str]] = set()
        self._taken: set[tuple[str, str, str]] = set()

    def lend(self, machines: Sequence[Machine], owner: str, id: str, to: str, *, back: bool) -> None:
        """A machine that holds the memory says it in its log; of what none holds the server is told directly.

        Raises:
            NotFound, Forgotten, Forbidden: as for a person.
        """
        if back:
            self._taken.add((owner, id, to))
        holder = next((one for one in machines if one.principal == owner and one.store.get(one.replica.access, [id])), None)
        if holder is not None and back:
            holder.memories.unshare(to, id=id)
        elif holder is not None:
            holder.memories.share(to, id=id)
            self._lent.add((owner, id, to))
        elif back:
            self._people.unshare(owner, "memory", id, to)
        else:
            self._people.share(owner, "memory", id, to)

    def judge(self, machines: Sequence[Machine], lost: set[str]) -> None:
        """What was lent in a log and never taken back is lent, and by the twin's id where a twin took it in.

        Args:
            lost: memories that somebody erased, with what waited for them.
        """
        refused = {change.memory for one in machines for change in one.store.log.refused()}
        there = {(one.owner, one.value, one.grantee) for one in self._people.grants()}
        taken = {(owner, self._heir(owner, id), to) for owner, id, to in self._taken}
        for owner, id, to in self._lent:
            heir = self._heir(owner, id)
            if {id, heir} & (lost | refused) or (owner, heir, to) in taken:
                continue
            if self._server.store.get(Access.local(owner), [heir]):
                assert (owner, heir, to) in there, (owner, id, heir, to)

    def _heir(self, owner: str, id: str) -> str:
        with self._server.store.write(Access.local(owner)) as tx:
            while (stone := tx.tombstone_of(owner, id)) is not None and stone.twin:
                id = stone.twin
        return id
