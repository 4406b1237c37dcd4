"""A memory that the server takes in by its twin leaves here; secrets that were sealed in it and not sent yet go over to the twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bethink.errors import BethinkError
from bethink.stores.base import Log, ReplicaTransaction
from bethink.sync.secrets import Kept, Secrets

if TYPE_CHECKING:
    from bethink.seal.base import Sealed


class Carried(NamedTuple):
    """Secrets by the twin that they are sealed for, and the memories that cannot leave yet, as theirs would be lost."""

    sealed: Mapping[str, Sequence[tuple[str, Sealed]]]
    stuck: frozenset[str]


def carried(
    secrets: Secrets, log: Log, rows_of: Callable[[str], Sequence[Kept]], twins: Mapping[str, str], here: Callable[[str], bool]
) -> Carried:
    """Seals for the twins what only this machine has. May ask Vault, and therefore never inside a transaction.

    Args:
        rows_of: the secrets that are kept of a memory.
        twins: memories that leave, and into which.
        here: whether a twin is here, or comes now.
    """
    sealed: dict[str, list[tuple[str, Sealed]]] = {}
    stuck = set()
    for id, twin in twins.items():
        unsent = {str((change.payload or {}).get("name")) for change in log.pending(id) if change.op == "secret"}
        rows = [row for row in rows_of(id) if row[2] in unsent] if unsent else []
        try:
            if rows and not here(twin):
                stuck.add(id)
            elif rows:
                sealed.setdefault(twin, []).extend([(row[2], secrets.again(row, twin)) for row in rows])
        except BethinkError:
            stuck.add(id)
    return Carried(sealed, frozenset(stuck))


def put(tx: ReplicaTransaction, found: Carried) -> set[str]:
    """Puts the secrets where they belong now; answers the twins that had one of that name, which is to be asked of the server again."""
    asked = set()
    for twin, secrets in found.sealed.items():
        if tx.get(twin) is None:
            continue
        here = {name for name, _, _ in tx.secrets_of(twin)}
        for name, sealed in secrets:
            tx.put_secret(twin, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})
            if name in here:
                asked.add(twin)
    return asked
