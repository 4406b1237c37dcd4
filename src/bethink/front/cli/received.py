"""What a server's REST API answers, read back into nouns: `shapes` the other way round."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bethink import exchange
from bethink.errors import BethinkError, PeerError
from bethink.model import Link, Memory, Revision

if TYPE_CHECKING:
    from bethink.service.entities import Entity
    from bethink.stores.base import AuditEntry

Json = Mapping[str, Any]
_FIELDS = frozenset(each.name for each in dataclasses.fields(Memory)) - {"extra"}


def memory(shape: Json) -> Memory:
    """The memory that `shapes.memory`, `shapes.hit` or `shapes.brief_memory` described.

    Raises:
        PeerError: it is none.
    """
    known = {name: shape[name] for name in _FIELDS & shape.keys()}
    kind = shape.get("scope", "project" if shape.get("project") else "global")
    known["scope"] = {"kind": kind, "project": shape.get("project"), "task": shape.get("task")}
    try:
        return Memory(**{"owner": "", **exchange.checked(known)})
    except (BethinkError, TypeError) as error:
        raise PeerError(f"The server's answer cannot be read: {error}.", hint="Its version may differ much from this one.") from error


def link(shape: Json) -> Link:
    at = exchange.checked({"created_at": shape["created_at"]})["created_at"]
    return Link(str(shape["source"]), str(shape["target"]), str(shape["type"]), at, str(shape.get("note") or ""))


def revision(id: str, shape: Json) -> Revision:
    at = exchange.checked({"created_at": shape["at"]})["created_at"]
    who = {name: shape.get(name) for name in ("client", "agent", "session")}
    return Revision(id, shape["version"], at, shape["op"], shape["before"], shape.get("actor") or "", **who, note=shape.get("note") or "")


def event(shape: Json) -> AuditEntry:
    from bethink.stores.base import AuditEntry

    at = exchange.checked({"created_at": shape["at"]})["created_at"]
    return AuditEntry(
        shape["number"], at, shape["actor"], shape["action"], shape["subject"], shape["detail"], "", str(shape.get("digest") or "")
    )


def entity(shape: Json) -> Entity:
    from bethink.service.entities import Entity

    name, description = str(shape["name"]), str(shape.get("description") or "")
    children = tuple(entity(child) for child in shape.get("children", ()))
    one = Memory(id=shape["id"], owner="", content=f"{name}: {description}" if description else name, category="entities")
    return Entity(one, name, description, tuple(shape.get("aliases", ())), children)
