"""What a server has lost, as after a backup was restored, is logged to be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bethink import exchange
from bethink.errors import InvalidInput, PeerError
from bethink.model import CONFLICT, Access, Memory
from bethink.stores.base import ReplicaStore, ReplicaTransaction
from bethink.sync.peer import Json
from bethink.sync.plan import Repair


def mend(tx: ReplicaTransaction, found: Repair) -> None:
    """Logs what a comparison found that the server should have and has not."""
    busy = tx.log.busy()
    for id in found.store:
        if id not in busy and (memory := tx.get(id)) is not None:
            whole_again(tx, memory)
    for id, version in found.again:
        if id not in busy and (memory := tx.get(id)) is not None and not _refused_whole(tx, memory):
            edit_whole(tx, memory, version)
            belongings(tx, memory)
    for id in found.secrets:
        if (memory := tx.get(id)) is not None:
            _secrets(tx, memory)
    for link in tx.links_of([source for source, _, _ in found.links]):
        memory = tx.get(link.source)
        if memory is not None and (link.source, link.target, link.type) in found.links:
            tx.log.add(memory.id, memory.owner, "link", exchange.link_out(link))


def whole_again(tx: ReplicaTransaction, memory: Memory) -> None:
    """Logs a memory that the server does not have, with what belongs to it."""
    _drop_edits(tx, memory)
    tx.log.unknow(memory.id)
    tx.log.add(memory.id, memory.owner, "store", None)
    belongings(tx, memory)


def edit_whole(tx: ReplicaTransaction, memory: Memory, version: int) -> None:
    """Logs all of a memory over an older state of the server."""
    _drop_edits(tx, memory)
    tx.log.add(memory.id, memory.owner, "edit", {"fields": _whole(memory), "at": memory.updated_at.isoformat()}, version)


def belongings(tx: ReplicaTransaction, memory: Memory) -> None:
    """Logs the edges and secrets of a memory. A secret that the server has after all is not kept there twice."""
    waiting = {_end(one.payload or {}) for one in tx.log.pending(memory.id) if one.op == "link"}
    for link in tx.links_of([memory.id]):
        told = exchange.link_out(link)
        if link.source == memory.id and _end(told) not in waiting:
            tx.log.add(memory.id, memory.owner, "link", told)
    _secrets(tx, memory)


def rescue(store: ReplicaStore, access: Access, page: Json) -> None:
    """Logs what the server lost and others changed since, before a page of its memories takes the place of it.

    Nobody knows from which version on the server's past is another one, so all that was ever changed there counts as others' changes:
    the server decides, and keeps what does not win.

    Raises:
        PeerError: it is no such page.
    """
    try:
        items = [item["memory"] for item in page["items"]]
        # A number of 0 stands for one from before the server went back.
        told = [exchange.unpacked(item) for item in items if (store.log.known(str(item["id"])) or (0, 1))[1] == 0]
    except (KeyError, TypeError, AttributeError, InvalidInput) as error:
        raise PeerError(f"The server's answer cannot be read: {error}.") from error
    if not told:
        return
    with store.write(access) as tx:
        tx.unlogged()
        for server in told:
            known, here = tx.log.known(server.id), tx.get(server.id)
            settled = all(one.op not in ("store", "edit") for one in tx.log.pending(server.id))
            if known is not None and not known[1] and here is not None and settled and (fields := _lost(tx, server, known[0], here)):
                tx.log.add(here.id, here.owner, "edit", {"fields": fields, "at": here.updated_at.isoformat()}, 0)


def _lost(tx: ReplicaTransaction, server: Memory, known: int, here: Memory) -> dict[str, Any]:
    """What a memory here says otherwise than the server, and may be what the server lost."""
    fields = exchange.difference(server, here)
    if server.version > known:
        # Most of it is news; only what was changed on this machine may be what was lost.
        own = {name for one in tx.revisions_of(here.id) if one.op not in ("sync", CONFLICT) for name in one.before}
        fields = {name: value for name, value in fields.items() if name in own}
    return fields if server.version >= known else {}


def _secrets(tx: ReplicaTransaction, memory: Memory) -> None:
    waiting = {str((one.payload or {}).get("name")) for one in tx.log.pending(memory.id) if one.op == "secret"}
    for name, _, _ in tx.secrets_of(memory.id):
        if name not in waiting:
            tx.log.add(memory.id, memory.owner, "secret", {"name": name})


def _drop_edits(tx: ReplicaTransaction, memory: Memory) -> None:
    """The whole contains them; after it, an older one would displace what it says."""
    for one in tx.log.pending(memory.id):
        if one.op == "edit":
            tx.log.settle(one.operation)


def _refused_whole(tx: ReplicaTransaction, memory: Memory) -> bool:
    """Whether all of it was sent in vain already."""
    said = [(one.payload or {}).get("fields", {}) for one in tx.log.pending(memory.id) if one.op == "edit" and one.refused is not None]
    return any(_whole(memory).keys() <= fields.keys() for fields in said)


def _whole(memory: Memory) -> dict[str, Any]:
    return {name: value for name, value in exchange.fields_of(memory).items() if name != "created_at"}


def _end(link: Mapping[str, Any]) -> tuple[str, str]:
    return str(link.get("target")), str(link.get("type"))
