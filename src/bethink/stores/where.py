"""Who may see what, and which rows a filter means: the one place where these conditions are written.

Every query of every SQL store ANDs `visible` (or `writable`) into its WHERE clause. Conditions are written for the
alias `m`; values are only ever bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bethink.model import Access, Filter, Grant, Memory, Reach


class Dialect(Protocol):
    """What differs between SQL databases in these conditions."""

    def bind(self, name: str) -> str:
        """The placeholder of a named parameter."""
        ...

    def moment(self, at: datetime) -> Any:
        """A moment as the database keeps it."""
        ...

    def has_tag(self, placeholder: str) -> str:
        """The condition that `m.tags` holds a tag."""
        ...


@dataclass(slots=True)
class Where:
    """Conditions under construction."""

    dialect: Dialect
    clauses: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        name = f"w{len(self.values)}"
        self.values[name] = value
        return self.dialect.bind(name)

    def add(self, clause: str) -> None:
        self.clauses.append(clause)

    def equals(self, column: str, value: Any) -> None:
        self.add(f"{column} = {self.bind(value)}")

    def within(self, column: str, values: Sequence[Any]) -> None:
        """An empty list of values matches nothing."""
        self.add(f"{column} IN ({', '.join(self.bind(value) for value in values)})" if values else "1 = 0")

    @property
    def sql(self) -> str:
        return " AND ".join(f"({clause})" for clause in self.clauses) or "1 = 1"


def visible(where: Where, access: Access) -> None:
    """The authorization predicate for reading."""
    _reachable(where, access, access.readable, access.grants)


def writable(where: Where, access: Access) -> None:
    """The authorization predicate for writing."""
    _reachable(where, access, access.writable, tuple(grant for grant in access.grants if grant.permission == "write"))


def _reachable(where: Where, access: Access, owners: Sequence[str], grants: Sequence[Grant]) -> None:
    choices = [f"m.owner IN ({', '.join(where.bind(owner) for owner in owners)})"] if owners else []
    lent: dict[tuple[str, str], list[str]] = {}
    for grant in grants:
        lent.setdefault((grant.owner, grant.kind), []).append(where.bind(grant.value))
    choices += [f"m.owner = {where.bind(owner)} AND ({_lent(where, kind, values)})" for (owner, kind), values in lent.items()]
    where.add(_either(choices) or "1 = 0")
    if access.project is not None:
        where.equals("m.project", access.project)


def may_write(access: Access, memory: Memory) -> bool:
    """The writing predicate for a memory at hand: what `writable` asks of a row."""
    if access.project is not None and memory.scope.project != access.project:
        return False
    return memory.owner in access.writable or any(grant.permission == "write" and _covers(grant, memory) for grant in access.grants)


def _covers(grant: Grant, memory: Memory) -> bool:
    if grant.owner != memory.owner:
        return False
    if grant.kind == "tag":
        return grant.value in memory.tags
    return grant.value == (memory.scope.project if grant.kind == "project" else memory.id)


def _lent(where: Where, kind: str, values: Sequence[str]) -> str:
    if kind == "tag":
        return _either([where.dialect.has_tag(value) for value in values])
    return f"{'m.project' if kind == 'project' else 'm.id'} IN ({', '.join(values)})"


def _either(choices: Sequence[str]) -> str:
    """One of many conditions, nested as flat as can be: databases bound the depth of an expression."""
    if len(choices) <= 2:
        return " OR ".join(f"({choice})" for choice in choices)
    middle = len(choices) // 2
    return f"({_either(choices[:middle])}) OR ({_either(choices[middle:])})"


def matching(where: Where, wanted: Filter, now: datetime) -> None:
    """The rows that a filter means."""
    _reach(where, wanted.reach)
    for column in ("category", "client", "source", "session", "owner"):
        value = getattr(wanted, column)
        if value is not None:
            where.equals(f"m.{column}", value)
    for tag in wanted.tags:
        where.add(where.dialect.has_tag(where.bind(tag)))
    if wanted.since is not None:
        where.add(f"m.created_at >= {where.bind(where.dialect.moment(wanted.since))}")
    if wanted.before is not None:
        where.add(f"m.created_at < {where.bind(where.dialect.moment(wanted.before))}")
    if not wanted.archive:
        where.add("m.source <> 'transcript'")
    if wanted.needs_review:
        where.add("m.needs_review <> ''")
    _alive(where, wanted, now)


def _reach(where: Where, reach: Reach) -> None:
    if reach.projects is not None:
        choices = ["m.scope = 'global'"] if reach.include_global else []
        if reach.projects:
            choices.append(f"m.project IN ({', '.join(where.bind(name) for name in reach.projects)})")
        elif reach.task is not None:
            choices.append(f"m.scope = 'task' AND m.project IS NULL AND m.task = {where.bind(reach.task)}")
        where.add(" OR ".join(choices) or "1 = 0")
        # A task's memories are seen in that task only.
        where.add("m.scope <> 'task'" if reach.task is None else f"m.scope <> 'task' OR m.task = {where.bind(reach.task)}")


def _alive(where: Where, wanted: Filter, now: datetime) -> None:
    if wanted.deleted:
        where.add("m.deleted_at IS NOT NULL")
        return
    if wanted.as_of is not None:
        then = where.bind(where.dialect.moment(wanted.as_of))
        where.add(f"m.created_at <= {then}")
        where.add("m.status IN ('active', 'superseded')")
        for column in ("deleted_at", "superseded_at", "expires_at", "valid_until"):
            where.add(f"m.{column} IS NULL OR m.{column} > {then}")
        return
    where.add("m.deleted_at IS NULL")
    if wanted.statuses:
        where.within("m.status", wanted.statuses)
    at = where.bind(where.dialect.moment(now))
    if wanted.expired:
        where.add(f"m.expires_at <= {at}")
        return
    where.add(f"m.expires_at IS NULL OR m.expires_at > {at}")
    if wanted.statuses == ("active",):
        where.add(f"m.valid_until IS NULL OR m.valid_until > {at}")
