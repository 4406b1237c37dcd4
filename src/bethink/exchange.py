"""Memories as JSON, the way replicas and servers exchange them. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bethink.errors import InvalidInput
from bethink.model import Link, Memory, Scope

#: What the server or the store gives, never a writer.
_GIVEN = frozenset(("id", "owner", "version", "seq", "updated_at", "content_hash", "extra"))
_KNOWN = frozenset(field.name for field in dataclasses.fields(Memory))
#: What a change may change, in the order of the noun's fields.
FIELDS = tuple(field.name for field in dataclasses.fields(Memory) if field.name not in _GIVEN)
_TIMES = ("created_at", "updated_at", "valid_from", "valid_until", "expires_at", "deleted_at", "superseded_at")
_TEXTS = ("id", "owner", "content", "category", "expanded_keywords", "source", "trust", "status", "needs_review", "content_hash")
#: Parts of a store that are compared one by one.
BUCKETS = 256
_OPTIONAL = ("client", "agent", "session")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as JSON can hold them."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Scope():
            return {"kind": value.kind, "project": value.project, "task": value.task}
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return value


def restored(field: str, value: Any) -> Any:
    """A field's value from what `plain` made of it.

    Raises:
        ValueError, TypeError: it is no such value.
    """
    if value is None:
        return None
    if field in _TIMES:
        return _moment(value)
    if field == "scope":
        return Scope(**value)
    return tuple(value) if field in ("tags", "sealed") else value


def fields_of(memory: Memory) -> dict[str, Any]:
    """Everything of a memory that a writer gave it."""
    return {**plain({name: getattr(memory, name) for name in FIELDS}), **memory.extra}


def difference(before: Memory, after: Memory) -> dict[str, Any]:
    """The fields in which `after` differs, with the values that they have there."""
    return plain({name: getattr(after, name) for name in FIELDS if getattr(after, name) != getattr(before, name)})


def packed(memory: Memory) -> dict[str, Any]:
    """A whole memory for the wire; fields of a newer version stand among the others, as they came."""
    values = {field: getattr(memory, field) for field in _KNOWN if field != "extra"}
    return {**memory.extra, **plain(values)}


def unpacked(data: Any) -> Memory:
    """A memory from the wire.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(data, Mapping):
        raise InvalidInput("Not a memory.")
    values = checked({name: data[name] for name in data if name in _KNOWN and name != "extra"})
    if not isinstance(values.get("id"), str) or not isinstance(values.get("content"), str) or not isinstance(values.get("owner"), str):
        raise InvalidInput("A memory needs an id, an owner and a content.")
    if values.get("created_at") is None or values.get("updated_at") is None:
        raise InvalidInput("A memory needs its times.")
    extra = {str(name): value for name, value in data.items() if name not in _KNOWN}
    return Memory(**values, extra=extra)


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Known fields with their values as a memory holds them.

    Raises:
        InvalidInput: a value is not of the field's type.
    """
    values = {}
    for name, value in fields.items():
        if name not in _KNOWN:
            continue
        try:
            values[name] = _typed(name, restored(name, value))
        except (TypeError, ValueError, AttributeError):
            raise InvalidInput(f"{name} is not what it should be.") from None
    return values


def _typed(name: str, value: Any) -> Any:
    wanted: tuple[type, ...]
    if name in _TEXTS:
        wanted = (str,)
    elif name in _OPTIONAL:
        wanted = (str, type(None))
    elif name in ("tags", "sealed"):
        wanted = (tuple,)
        if not all(isinstance(each, str) for each in value):
            raise TypeError
    elif name in _TIMES:
        wanted = (datetime, type(None))
    elif name == "importance":
        value, wanted = float(value), (float,)
    elif name == "scope":
        wanted = (Scope,)
        if value.kind not in ("global", "project", "task") or not all(isinstance(part, str | None) for part in (value.project, value.task)):
            raise TypeError
    elif name == "sensitive":
        wanted = (bool,)
    elif name == "version":
        wanted = (int,)
    elif name == "seq":
        wanted = (int, type(None))
    else:
        wanted = (Mapping, type(None))
    if not isinstance(value, wanted):
        raise TypeError
    return value


def _moment(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


def stored_also(id: str, client: str | None, at: datetime) -> str:
    """What the history says of a memory that its twin took in."""
    return f"stored also as {id} on {client or 'unknown'} at {at.isoformat(timespec='seconds')}"


def bucket_of(id: str) -> int:
    """Which of the `BUCKETS` parts of a store an id belongs to."""
    return hashlib.blake2b(id.encode(), digest_size=1).digest()[0]


def digest(rows: Iterable[tuple[str, int, int]] | Iterable[tuple[str, str, str]]) -> list[str]:
    """A digest of each part of a store, from (id, version, seq) of its memories or (source, target, type) of its edges, in any order.

    That of an empty part is "".
    """
    sums = [0] * BUCKETS
    for id, second, third in rows:
        whole = hashlib.blake2b(f"{id} {second} {third}".encode(), digest_size=9).digest()
        sums[hashlib.blake2b(id.encode(), digest_size=1).digest()[0]] ^= int.from_bytes(whole[1:], "big")
    return [f"{each:016x}" if each else "" for each in sums]


def link_out(link: Link) -> dict[str, Any]:
    """An edge of a memory that is named beside it."""
    return {"target": link.target, "type": link.type, "created_at": link.created_at.isoformat(), "note": link.note}


def link_in(source: str, data: Any) -> Link:
    """The edge that `link_out` wrote.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return Link(source, str(data["target"]), str(data["type"]), _moment(data["created_at"]), str(data.get("note", "")))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput("Not a link.") from None
