"""What memories said before, as a replica keeps it: nothing of it stays readable once it is sealed, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bethink import exchange
from bethink.model import CONFLICT, Memory, Revision
from bethink.service.core import Limits
from bethink.service.sealing import TEXTS, hushes, telling
from bethink.stores.base import ReplicaTransaction


class Histories:
    """Keeps the histories of a replica's memories.

    Args:
        limits: what counts as a secret.
    """

    def __init__(self, limits: Limits, clock: Callable[[], datetime]) -> None:
        self._limits = limits
        self._now = clock

    def add(self, tx: ReplicaTransaction, here: Memory, merged: Memory, server: str, *, answered: bool) -> None:
        """Notes what the server made of a memory.

        Args:
            here: as it was.
            merged: as it is now.
            answered: it came with the answer to a change, which tells no conflicts.
        """
        changed = exchange.difference(merged, here)
        if changed:
            kept = {name: value for name, value in changed.items() if not (merged.sensitive and name in TEXTS)}
            said = (merged.client, merged.agent, merged.session)
            tx.add_revision(Revision(here.id, here.version, self._now(), "sync", kept, server, *said))
        if hushes(here, merged, self._limits):
            # Those that came since it was sealed are not told again.
            self._scrub(tx, here.id, but_conflicts=answered and (here.sensitive or not merged.sensitive))

    def came(self, tx: ReplicaTransaction, memory: Memory) -> None:
        """A memory is new here; another one may have left its history to it before it came."""
        if memory.sensitive or (memory.sealed and telling(tx.revisions_of(memory.id), self._limits)):
            tx.scrub_revisions(memory.id)

    def move(self, tx: ReplicaTransaction, id: str, into: str) -> None:
        """Another memory is the heir of one that leaves: also of its history, as far as that may be read there."""
        twin = tx.get(into)
        if twin is not None and tx.get(id) is not None and (twin.sensitive or telling(tx.revisions_of(id), self._limits)):
            tx.scrub_revisions(id)
        tx.log.move(id, into)

    def _scrub(self, tx: ReplicaTransaction, id: str, *, but_conflicts: bool) -> None:
        kept = [one for one in tx.revisions_of(id) if one.op == CONFLICT and one.note] if but_conflicts else []
        tx.scrub_revisions(id)
        for one in kept:
            tx.add_revision(one)
