"""A change as a replica sent it, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bethink import exchange, text
from bethink.errors import InvalidInput
from bethink.model import STATUSES, TRUSTS, category_of, one_of
from bethink.service import drafts

#: The server decides these itself.
_DERIVED = frozenset(("content_hash", "updated_at", "version", "seq", "id", "owner"))


@dataclass(frozen=True, slots=True)
class Sent:
    """One change as a replica sent it."""

    operation: str
    memory: str
    owner: str
    op: str
    base: int
    previous: str | None
    payload: Mapping[str, Any]
    at: datetime

    @classmethod
    def parsed(cls, data: Any) -> Self:
        """
        Raises:
            InvalidInput: it is no change.
        """
        try:
            payload = data.get("payload") or {}
            previous = data.get("previous")
            made = cls(
                str(data["operation"]),
                str(data["memory"]),
                str(data["owner"]),
                str(data["op"]),
                int(data.get("base", 0)),
                None if previous is None else str(previous),
                dict(payload),
                exchange.checked({"updated_at": data["at"]})["updated_at"],
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidInput("Not a change.") from None
        if not made.operation or len(made.operation) > 128 or drafts.checked_id(made.memory) is None:
            raise InvalidInput("Not a change.")
        return made

    @property
    def seals(self) -> bool:
        """Whether it takes secrets out of what was said."""
        return (self.payload.get("revision") or {}).get("op") == "seal"


def split(fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Known fields, validated, and those of a newer version, as they came."""
    if not isinstance(fields, Mapping):
        raise InvalidInput("fields is not an object.")
    known = exchange.checked({name: value for name, value in fields.items() if name in exchange.FIELDS})
    extra = {str(name): value for name, value in fields.items() if name not in exchange.FIELDS and name not in _DERIVED and name != "extra"}
    checks: dict[str, Any] = {
        "content": text.checked_content,
        "category": category_of,
        "tags": drafts.checked_tags,
        "expanded_keywords": drafts.checked_keywords,
        "importance": drafts.checked_importance,
        "scope": drafts.checked_scope,
        "status": lambda value: one_of(value, STATUSES, "status"),
        "trust": lambda value: one_of(value, TRUSTS, "trust"),
    }
    if len(json.dumps(extra)) > 65_536:
        raise InvalidInput("Too many unknown fields.")
    return {name: checks[name](value) if name in checks else value for name, value in known.items()}, extra
