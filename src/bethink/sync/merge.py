"""What a replica should hold, given what the server says and what still waits to be sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from bethink import exchange, text
from bethink.model import Link, Memory
from bethink.stores.log import Change


def overlaid(server: Memory, waiting: Sequence[Change], local: Memory | None = None) -> Memory | None:
    """The server's memory with the changes that it has not answered yet; None when one of them purges it."""
    fields: dict[str, object] = {}
    edits = 0
    at: datetime | None = None
    for change in waiting:
        if change.op == "purge":
            return None
        if change.op == "store" and change.payload is None and local is not None:
            # It is sent as it is here, so it stays as it is here.
            fields, at = exchange.fields_of(local), local.updated_at
        elif change.op == "store" or _is_version(change):
            fields.update((change.payload or {}).get("fields", {}))
            edits += change.op == "edit"
            at = exchange.checked({"updated_at": (change.payload or {}).get("at")})["updated_at"] or change.at
    known = exchange.checked({name: value for name, value in fields.items() if name in exchange.FIELDS})
    extra = {**server.extra, **{name: value for name, value in fields.items() if name not in exchange.FIELDS}}
    merged = server.with_(**known, extra=extra, version=server.version + edits)
    if at is not None and fields:
        merged = merged.with_(content_hash=text.content_hash(merged.content), updated_at=max(server.updated_at, at))
    return merged


def edges(source: str, server: Iterable[Link], waiting: Sequence[Change]) -> list[Link]:
    """The server's edges of a memory with the changes that it has not answered yet."""
    found = {(link.target, link.type): link for link in server}
    for change in waiting:
        payload = change.payload or {}
        if change.op == "link":
            link = exchange.link_in(source, payload)
            found[link.target, link.type] = link
        elif change.op == "unlink":
            found.pop((str(payload.get("target")), str(payload.get("type"))), None)
    return list(found.values())


def edits_among(waiting: Iterable[Change]) -> int:
    """By how many versions a memory here is ahead of the server's."""
    return sum(map(_is_version, waiting))


def _is_version(change: Change) -> bool:
    """An edit of nothing is a word about a conflict."""
    return change.op == "edit" and bool((change.payload or {}).get("fields"))


def follows(known: tuple[int, int] | None, version: int, seq: int) -> bool:
    """Whether an answer without the memory itself says enough: nothing but the sent change came between."""
    if known is None:
        return version == 1
    return known[0] == version - 1 or known == (version, seq)
