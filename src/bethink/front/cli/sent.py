"""Nouns as a server's REST API names them: in bodies, and in addresses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from bethink import exchange
from bethink.front.fields import SPACE
from bethink.model import Changes, Draft, Filter, Scope

Json = dict[str, Any]


def given(noun: Draft | Changes, *without: str) -> Json:
    """The fields of a noun that say something, as JSON can hold them."""
    every = {each.name: getattr(noun, each.name) for each in dataclasses.fields(noun) if each.name not in without}
    return exchange.plain({name: value for name, value in every.items() if value is not None and value not in ("", ())})


def texts(given: Json) -> tuple[str, ...]:
    """Everything in it but the content that could hold a secret."""
    return (
        str(given.get("expanded_keywords", "")),
        " ".join(given.get("tags", ())),
        json.dumps(given.get("origin") or "", ensure_ascii=False),
    )


def place(scope: Scope) -> Json:
    named = {"scope": scope.kind, "project": scope.project, "task": scope.task}
    return {name: value for name, value in named.items() if value is not None}


def asked(where: Filter) -> Json:
    """A filter as the API's bodies name it."""
    reach = where.reach
    scope = "all" if reach.projects is None else "global" if not reach.projects and not reach.task else None
    return {
        "category": where.category,
        "tags": list(where.tags) or None,
        "project": (reach.projects or (None,))[0],
        "task": reach.task,
        "scope": scope,
        "client": where.client,
        "source": where.source,
        "session": where.session,
        "since": time(where.since),
        "before": time(where.before),
        "as_of": time(where.as_of),
        "status": "any" if not where.statuses else where.statuses[0] if len(where.statuses) == 1 else list(where.statuses),
        "space": where.owner.removeprefix(SPACE) if where.owner else None,
    }


def listed(where: Filter) -> Json:
    """A filter as the API's addresses name it."""
    named = asked(where)
    named["tag"] = named.pop("tags")
    return named


def of(id: str, what: str = "") -> str:
    """The address of a memory, or of something about it."""
    return f"/api/memories/{quote(id, safe='')}" + (f"/{what}" if what else "")


def path(path: str, asked: Mapping[str, Any] | None = None) -> str:
    named = urlencode({name: value for name, value in (asked or {}).items() if value is not None}, doseq=True)
    return f"{path}?{named}" if named else path


def kind(type: str) -> str:
    """A link's type as the API names it."""
    return type.strip().lower().replace("-", "_")


def time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
