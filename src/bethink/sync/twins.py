"""A memory that the server takes in by its twin leaves here; secrets that were sealed in it and not sent yet go over to the twin."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bethink.errors import BethinkError
from bethink.stores.base import ReplicaTransaction
from bethink.stores.log import Log
from bethink.sync.secrets import Kept, Secrets

if TYPE_CHECKING:
    from bethink.seal.base import Sealed


class Moving(NamedTuple):
    """A memory on its way into its twin."""

    twin: str
    #: Its unsent secrets, as they were when they were sealed for the twin.
    rows: Sequence[Kept]
    #: What each is called in the twin: another may have its name there.
    names: Mapping[str, str]
    #: What is new in the twin, by its name there.
    sealed: Mapping[str, Sealed]


class Carried(NamedTuple):
    """Memories that leave; and those that cannot yet, as their secrets would be lost, with the reason where it is no matter of order."""

    moving: Mapping[str, Moving]
    stuck: dict[str, BethinkError | None]


def carried(
    secrets: Secrets,
    log: Log,
    rows_of: Callable[[str], Sequence[Kept]],
    twins: Mapping[str, str],
    coming: Mapping[str, Mapping[str, Kept | None]],
    here: Callable[[str], bool],
) -> Carried:
    """Seals for the twins what only this machine has. May ask Vault, and therefore never inside a transaction.

    Args:
        rows_of: the secrets that are kept of a memory.
        twins: memories that leave, and into which.
        coming: memories that come now, with their secrets by name; None for one that cannot be opened here.
        here: whether a memory is here.
    """
    moving: dict[str, Moving] = {}
    stuck: dict[str, BethinkError | None] = {}
    there: dict[str, dict[str, Kept | None]] = {}
    for id, twin in twins.items():
        rows = _unsent(log, id, rows_of(id))
        if rows and not (twin in coming or here(twin)):
            stuck[id] = None
            continue
        if twin not in there:
            there[twin] = {**{row[2]: row for row in rows_of(twin)}, **coming.get(twin, {})}
        try:
            moving[id] = _moving(secrets, rows, twin, there[twin])
        except BethinkError as error:
            stuck[id] = error
    return Carried(moving, stuck)


def coming(items: Iterable[Mapping[str, Any]], rows: Iterable[Kept], twins: Collection[str]) -> dict[str, dict[str, Kept | None]]:
    """Those of some memories that a page brings, with their secrets by name.

    Args:
        rows: the secrets of the page that could be opened here, as they will be kept.
    """
    if not twins:
        return {}
    named = {str(item["memory"]["id"]): [str(one["name"]) for one in item.get("secrets", ())] for item in items}
    found: dict[str, dict[str, Kept | None]] = {id: dict.fromkeys(names) for id, names in named.items() if id in twins}
    for row in rows:
        if row[1] in found:
            found[row[1]][row[2]] = row
    return found


def late(tx: ReplicaTransaction, found: Carried) -> None:
    """What another process has sealed since, in a memory that leaves or in its twin, holds that memory up until the next time."""
    for id, moving in found.moving.items():
        now = [row[2:] for row in _unsent(tx.log, id, [("", id, *row) for row in tx.secrets_of(id)])]
        if now != [row[2:] for row in moving.rows] or moving.sealed.keys() & {name for name, _, _ in tx.secrets_of(moving.twin)}:
            found.stuck[id] = None


def rename(tx: ReplicaTransaction, found: Carried) -> None:
    """What is still to be sent of the memories that leave calls their secrets as the twins will."""
    for id, moving in found.moving.items():
        names = {old: new for old, new in moving.names.items() if old != new}
        if names and id not in found.stuck:
            tx.log.rename(id, names)


def put(tx: ReplicaTransaction, found: Carried) -> None:
    """Puts the secrets where they belong now."""
    for id, moving in found.moving.items():
        if id in found.stuck or tx.get(moving.twin) is None:
            continue
        for name, sealed in moving.sealed.items():
            tx.put_secret(moving.twin, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})


def _unsent(log: Log, id: str, rows: Sequence[Kept]) -> list[Kept]:
    names = {str((change.payload or {}).get("name")) for change in log.pending(id) if change.op == "secret"}
    return [row for row in rows if row[2] in names]


def _moving(secrets: Secrets, rows: Sequence[Kept], twin: str, there: dict[str, Kept | None]) -> Moving:
    """
    Raises:
        SealError: one of them cannot be opened or sealed now; then none goes over.
    """
    names: dict[str, str] = {}
    sealed: dict[str, Sealed] = {}
    try:
        for row in rows:
            owner, _, old, _, _ = row
            name = next(each for each in _names(old) if each not in there or secrets.same(there[each], row))
            names[old] = name
            if name not in there:
                one = sealed[name] = secrets.again(row, twin, name)
                there[name] = (owner, twin, name, one.blob, {"tier": one.tier, **one.meta})
    except BethinkError:
        secrets.erase([kept for name in sealed if (kept := there.pop(name)) is not None])
        raise
    return Moving(twin, rows, names, sealed)


def _names(name: str) -> itertools.chain[str]:
    return itertools.chain((name,), (f"{name}_{number}" for number in itertools.count(2)))
