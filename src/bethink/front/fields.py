"""What programs say: JSON objects (and options put into objects) read into drafts and questions, with errors that name the field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from bethink import text
from bethink.errors import BadTime, BethinkError, InvalidInput
from bethink.model import STATUSES, Draft, Filter, Memory, Mode, Query, Scope, SortBy, category_of, one_of

if TYPE_CHECKING:
    from bethink.service.importing import Entry
    from bethink.service.memories import Memories

Fields = Mapping[str, Any]

#: The parameters of `memory_store`, and what else a program may say of a memory.
DRAFT_FIELDS = (
    *("content", "category", "tags", "expanded_keywords", "importance", "force_sensitive", "project", "task", "scope"),
    *("id", "source", "trust", "status", "session", "client", "agent", "origin", "created_at", "space"),
    *("valid_from", "valid_until", "expires_at", "ttl", "supersedes", "derived_from", "sensitive", "keywords"),
)
#: What an export says beside that; the store decides these itself.
_EXPORTED = frozenset({*(each.name for each in dataclass_fields(Memory)), "links", "score", "why", "reason"})
QUERY_FIELDS = (
    *("query", "expanded_query", "limit", "mode", "category", "tags", "project", "task", "scope", "client", "source", "session"),
    *("since", "before", "as_of", "status", "space"),
    *("sort_by", "keyword_weight", "semantic_weight", "min_score", "budget_tokens", "follow_links"),
)
_SCOPES = ("global", "project", "task")
#: Before a space's name where it stands for an owner; as in `service.people`, which is not needed to read fields.
SPACE = "space:"


def object_of(line: str | bytes) -> dict[str, Any]:
    """The object that a line of JSON holds.

    Raises:
        InvalidInput: it is not JSON, or not an object.
    """
    if not line.strip():
        raise InvalidInput("The line is empty.", hint="Write one JSON object a line.")
    try:
        plain = line.decode("utf-8") if isinstance(line, bytes) else line
        value = json.loads(plain.removeprefix("\ufeff"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The line is not UTF-8 (byte {error.start}).", hint="Write JSON in UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"The line is not JSON: {error.msg} at character {error.pos + 1}.", hint="Write one JSON object a line."
        ) from None
    except ValueError as error:
        raise InvalidInput(f"The line is not JSON: {error}.", hint="Write one JSON object a line.") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"The line holds {_kind(value)}, not an object.", hint='Write it as {"content": "…"}, one a line.')
    return value


def unknown(given: Fields, known: tuple[str, ...], exported: bool = False) -> list[str]:
    """The names in `given` that mean nothing; with `exported`, what an export writes means nothing wrong."""
    return [name for name in given if name not in known and not (exported and name in _EXPORTED)]


def refuse_unknown(given: Fields, known: tuple[str, ...], exported: bool = False) -> None:
    """Raises:
    InvalidInput: a name means nothing; the hint lists those that do.
    """
    for name in unknown(given, known, exported):
        close = difflib.get_close_matches(name, known, 1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"Unknown field {name[:80]!r}.{meant}", hint="Known fields: " + ", ".join(known) + ".")


def draft_of(given: Fields, here: Scope, now: datetime, **defaults: Any) -> Draft:
    """The draft that an object describes.

    Args:
        given: fields by name; None is the same as missing.
        here: where it is stored when it does not say.
        now: what `ttl` counts from.
        defaults: fields of the draft that the object does not say.

    Raises:
        InvalidInput: a field has the wrong type or makes no sense.
    """
    if given.get("content") is None:
        raise InvalidInput("The content is missing.", hint='Say what should be remembered: {"content": "…"}.')
    values: dict[str, Any] = dict(defaults)
    for name in ("content", "category", "id", "source", "trust", "status", "session", "client", "agent", "supersedes"):
        if (value := words(given, name)) is not None:
            values[name] = value
    keywords = [value for name in ("expanded_keywords", "keywords") if (value := joined(given, name))]
    values.update(
        tags=several(given, "tags"),
        expanded_keywords=" ".join(keywords),
        derived_from=several(given, "derived_from"),
        scope=scope_of(given, here),
        sensitive=bool(flag(given, "sensitive") or flag(given, "force_sensitive")),
        origin=_origin(given),
    )
    if space := words(given, "space"):
        values["owner"] = owner_of(space)
    if (importance := number(given, "importance")) is not None:
        values["importance"] = importance
    for name in ("created_at", "valid_from", "valid_until", "expires_at", "superseded_at"):
        values[name] = moment(given, name, now)
    if (ttl := words(given, "ttl")) is not None:
        values["expires_at"] = expiry(ttl, now)
    return Draft(**values)


def given_of(raw: Any, defaults: Fields) -> dict[str, Any]:
    """The fields of an import's entry; with those that hold where it says nothing.

    Raises:
        BethinkError: it is none.
    """
    if isinstance(raw, BethinkError):
        raise raw
    if not isinstance(raw, dict):
        raise InvalidInput("It is not an object.", hint='Write it as {"content": "…"}.')
    return {**defaults, **{name: value for name, value in raw.items() if value is not None}}


def entry_of(given: Fields, here: Scope, now: datetime) -> Entry:
    """The entry of an import that an object describes.

    Raises:
        InvalidInput: a field has the wrong type or makes no sense.
    """
    from bethink.service.importing import Entry

    # What has an id was judged when it was stored; judging it again would undo what people decided since.
    return Entry(draft_of(given, here, now, verbatim=bool(given.get("id"))), edges_of(given))


def edges_of(given: Fields) -> list[tuple[str, str, str]]:
    """(other end, type, note) of the edges that start at an exported memory; what is none is left out."""
    own, links = given.get("id"), given.get("links")
    return [
        (link["target"], link["type"], str(link.get("note") or ""))
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, Mapping)
        and isinstance(link.get("target"), str)
        and isinstance(link.get("type"), str)
        # Exports of some name both ends.
        and link.get("source", own) == own
    ]


def owner_of(space: str) -> str:
    """The owner that a space's name stands for; its full name is accepted too."""
    return space if space.startswith(SPACE) else SPACE + space


def expiry(ttl: str, now: datetime) -> datetime:
    """When something ends that lasts for `ttl` from now."""
    try:
        return now + text.duration(ttl)
    except OverflowError:
        raise InvalidInput(f"A ttl of {ttl!r} ends after the calendar does.") from None


def ending(given: Fields, name: str, now: datetime) -> datetime | None:
    """When something ends: a date, or a length from now."""
    value = words(given, name)
    if not value:
        return None
    try:
        return expiry(value, now)
    except BadTime:
        return text.moment(value, now)


def query_of(given: Fields, memories: Memories, defaults: Fields | None = None) -> Query:
    """The question that an object asks.

    Args:
        given: fields by name; None is the same as missing.
        memories: whose place and clock count.
        defaults: fields that hold where the object does not say. Scope, project and task go together.

    Raises:
        InvalidInput: a field has the wrong type or makes no sense.
    """
    base = dict(defaults or {})
    if any(given.get(name) is not None for name in ("scope", "project")):
        base.pop("scope", None)
        base.pop("project", None)
    asked = {**base, **{name: value for name, value in given.items() if value is not None}}
    values: dict[str, Any] = {"text": words(asked, "query") or "", "expanded": joined(asked, "expanded_query"), "here": memories.here}
    if (limit := whole(asked, "limit")) is not None:
        values["limit"] = limit
    if (mode := words(asked, "mode")) is not None:
        values["mode"] = one_of(mode.strip().lower(), get_args(Mode), "mode")
    if (sort_by := words(asked, "sort_by")) is not None:
        values["sort_by"] = one_of(sort_by.strip().lower(), get_args(SortBy), "order")
    for name in ("keyword_weight", "semantic_weight"):
        values[name] = number(asked, name)
    values["floor"] = number(asked, "min_score") or 0.0
    values["budget_tokens"] = whole(asked, "budget_tokens")
    values["follow_links"] = bool(flag(asked, "follow_links"))
    return Query(where=filter_of(asked, memories), **values)


def filter_of(asked: Fields, memories: Memories) -> Filter:
    """The memories that category, tags, project, scope, times and so on describe.

    Raises:
        InvalidInput: a field has the wrong type or makes no sense.
    """
    now = memories.now()
    category, status, scope = words(asked, "category"), words(asked, "status"), words(asked, "scope")
    statuses: tuple[str, ...] = ("active",)
    if status is not None:
        statuses = () if status == "any" else (one_of(status.strip().lower(), STATUSES, "status"),)
    if scope is not None:
        scope = one_of(scope.strip().lower(), (*_SCOPES, "all"), "scope")
    return Filter(
        reach=memories.reach(
            words(asked, "project") or None, task=words(asked, "task") or None, everywhere=scope == "all", only_global=scope == "global"
        ),
        category=category_of(category) if category else None,
        tags=several(asked, "tags"),
        client=words(asked, "client"),
        source=words(asked, "source"),
        session=words(asked, "session"),
        since=moment(asked, "since", now),
        before=moment(asked, "before", now),
        as_of=moment(asked, "as_of", now),
        statuses=statuses,
        owner=owner_of(space) if (space := words(asked, "space")) else None,
    )


def scope_of(given: Fields, here: Scope) -> Scope:
    """Where something is stored: as it says, else `here`."""
    project, task, kind = words(given, "project") or None, words(given, "task") or None, words(given, "scope")
    match one_of(kind.strip().lower(), _SCOPES, "scope") if kind else None:
        case "global":
            return Scope()
        case "project":
            # Without a project the service says what is missing.
            return Scope("project", project or here.project)
        case "task":
            return Scope("task", project or here.project, task or here.task)
    return Scope.of(project or here.project, task or (here.task if not project else None))


def words(given: Fields, name: str) -> str | None:
    """A field that is text."""
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise InvalidInput(f"{name} is {_kind(value)}, not text.", hint=f'Write it in quotes: {{"{name}": "…"}}.')


def joined(given: Fields, name: str) -> str:
    """A field that is text or a list of words."""
    value = given.get(name)
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    return words(given, name) or ""


def several(given: Fields, name: str) -> tuple[str, ...]:
    """A field that is a list of texts, or one text with commas."""
    value = given.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part for raw in value.split(",") if (part := raw.strip()))
    if isinstance(value, (list, tuple)):
        for one in value:
            if not isinstance(one, str):
                raise InvalidInput(f"{name} holds {_kind(one)}, not text.", hint=f'Write {{"{name}": ["one", "two"]}} or "one, two".')
        return tuple(value)
    raise InvalidInput(f"{name} is {_kind(value)}, not a list.", hint=f'Write {{"{name}": ["one", "two"]}} or "one, two".')


def number(given: Fields, name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{name} is {_kind(value)}, not a number.")
    try:
        return float(value)
    except OverflowError:
        raise InvalidInput(f"{name} is too large.") from None


def whole(given: Fields, name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name} is {_kind(value)}, not a whole number.")
    return value


def flag(given: Fields, name: str) -> bool | None:
    value = given.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"{name} is {_kind(value)}, not true or false.")


def moment(given: Fields, name: str, now: datetime) -> datetime | None:
    """A field that is a date, a time, or an age."""
    value = words(given, name)
    return text.moment(value, now) if value else None


def _origin(given: Fields) -> dict[str, Any] | None:
    value = given.get("origin")
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"file": value}
    raise InvalidInput(f"origin is {_kind(value)}, not an object.", hint='Write {"origin": {"file": "…", "start": 1, "end": 2}}.')


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case None:
            return "null"
    return f"a {type(value).__name__}"
