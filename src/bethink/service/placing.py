"""Under which name a secret that a replica sent is kept. Vault is asked between transactions, never inside one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bethink.errors import BethinkError
from bethink.model import Memory
from bethink.stores.base import Transaction

if TYPE_CHECKING:
    from bethink.seal.base import Sealed
    from bethink.seal.chain import Chain

Rows = Sequence[tuple[str, bytes, Mapping[str, Any]]]


class Unprepared(Exception):
    """Something has to be opened or sealed first; the transaction is to be begun again after that."""

    def __init__(self, memory: Memory, rows: Rows) -> None:
        super().__init__(memory.id)
        self.memory = memory
        self.rows = rows


class Placing:
    """Finds the name for one secret. Two machines may have sealed different ones under the same name."""

    def __init__(self, chain: Chain, name: str, secret: str) -> None:
        self._chain = chain
        self._name = name
        self._secret = secret
        #: Whether a row, as it is, holds the same secret.
        self._same: dict[tuple[str, str, bytes, str], bool] = {}
        self._sealed: dict[tuple[str, str], tuple[Memory, Sealed]] = {}
        self._put: tuple[str, str] | None = None
        self._skip = False

    def placed(self, tx: Transaction, memory: Memory, *, skip: bool = False) -> str | None:
        """Puts the secret under the first free name and answers that; None when the memory holds it already.

        Args:
            skip: its own name is meant for another secret, if it is free.

        Raises:
            Unprepared: `prepare` is to be called, and then this in a new transaction.
        """
        self._skip = skip
        rows = tx.secrets_of(memory.id)
        free = self._free(memory, rows)
        if free is None:
            return None
        if (memory.id, free) not in self._sealed:
            raise Unprepared(memory, rows)
        self._put = memory.id, free
        _, sealed = self._sealed[memory.id, free]
        tx.put_secret(memory.id, free, sealed.blob, {"tier": sealed.tier, **sealed.meta})
        return free

    def prepare(self, wanted: Unprepared) -> None:
        """Opens and seals what `placed` asked for.

        Raises:
            SealUnavailable, SealDenied: nothing could seal it.
        """
        memory, rows = wanted.memory, {row[0]: row for row in wanted.rows}
        for name in self._names(rows):
            if name not in rows:
                if (memory.id, name) not in self._sealed:
                    # Apart: somebody else may be putting another one under this name now.
                    sealed = self._chain.seal(memory.owner, memory.id, name, self._secret, apart=True)
                    self._sealed[memory.id, name] = memory, sealed
                return
            if self._known(memory, rows[name]):
                return

    def tidy(self) -> None:
        """Removes from outside the store what was sealed and not put; what was, stays, as nobody may know whether it was committed."""
        for (id, name), (memory, sealed) in self._sealed.items():
            if (id, name) != self._put:
                try:
                    self._chain.erase(memory.owner, id, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})
                except BethinkError:
                    continue

    def _names(self, taken: Collection[str]) -> Iterator[str]:
        own = () if self._skip and self._name not in taken else (self._name,)
        return itertools.chain(own, (f"{self._name}_{number}" for number in itertools.count(2)))

    def _free(self, memory: Memory, rows: Rows) -> str | None:
        known = {row[0]: row for row in rows}
        for name in self._names(known):
            if name not in known:
                return name
            same = self._same.get(_mark(memory, known[name]))
            if same is None:
                raise Unprepared(memory, rows)
            if same:
                return None
        raise AssertionError("unreachable")

    def _known(self, memory: Memory, row: tuple[str, bytes, Mapping[str, Any]]) -> bool:
        mark = _mark(memory, row)
        if mark not in self._same:
            name, blob, meta = row
            try:
                self._same[mark] = self._chain.open(memory.owner, memory.id, name, bytes(blob), meta) == self._secret
            except BethinkError:
                # What cannot be opened now may be another one: it is kept as well.
                self._same[mark] = False
        return self._same[mark]


def _mark(memory: Memory, row: tuple[str, bytes, Mapping[str, Any]]) -> tuple[str, str, bytes, str]:
    name, blob, meta = row
    return memory.id, name, bytes(blob), json.dumps(meta, sort_keys=True)
