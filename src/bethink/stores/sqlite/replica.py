"""The log of a replica: what waits to be sent, and what the server last said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apsw

from bethink.errors import Forbidden
from bethink.exchange import fields_of, stored_also
from bethink.ids import new_id
from bethink.model import TWIN, Link, Memory, Revision
from bethink.stores.log import Change
from bethink.stores.sqlite.rows import moment, packed, stamp

_PLACEHOLDER = re.compile(r"\[REDACTED:([^\]]+)\]")
_COLUMNS = "p.number, p.operation, p.memory, p.owner, p.op, p.base, p.previous, p.payload, p.at, p.tries, p.refused"
#: A change waits behind an earlier one of the same memory that waits itself, or that was to make the memory. A secret may come later.
_BEHIND = (
    "EXISTS (SELECT 1 FROM pending_ops e WHERE e.memory = p.memory AND e.number < p.number AND "
    "(e.next_try > :now AND e.refused IS NULL AND e.op <> 'secret' OR e.op = 'store' AND e.refused IS NOT NULL))"
)


class SQLiteLog:
    """Implements `stores.base.Log`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def binding(self) -> dict[str, Any] | None:
        found = self.fact("peer")
        return dict(found) if found else None

    def bind(self, binding: Mapping[str, Any] | None) -> None:
        if binding is not None and self.binding() is None:
            # Numbers of our own mean nothing to the server.
            self._db.execute("UPDATE memories SET seq = NULL")
        self.put_fact("peer", dict(binding) if binding is not None else None)

    def fact(self, name: str) -> Any:
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).get
        return None if found is None else json.loads(found)

    def put_fact(self, name: str, value: Any) -> None:
        if value is None:
            self._db.execute("DELETE FROM facts WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, json.dumps(value, ensure_ascii=False)))

    def due(self, now: datetime, limit: int, but: Sequence[str] = ()) -> list[Change]:
        sql = f"SELECT {_COLUMNS} FROM pending_ops p WHERE p.refused IS NULL AND p.next_try <= :now AND NOT {_BEHIND}"
        held = "AND p.owner NOT IN (SELECT value FROM json_each(:but))" if but else ""
        given = {"now": stamp(now), "but": json.dumps(list(but))}
        return [_change(row) for row in self._db.execute(f"{sql} {held} ORDER BY p.number LIMIT {int(limit)}", given)]

    def waiting_of(self, owners: Sequence[str], limit: int) -> list[Change]:
        sql = (
            f"SELECT {_COLUMNS} FROM pending_ops p WHERE p.refused IS NULL AND p.owner IN (SELECT value FROM json_each(?)) "
            f"ORDER BY p.number LIMIT {int(limit)}"
        )
        return [_change(row) for row in self._db.execute(sql, (json.dumps(list(owners)),))]

    def get(self, operation: str) -> Change | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM pending_ops p WHERE p.operation = ?", (operation,)).fetchone()
        return _change(row) if row else None

    def pending(self, memory: str) -> list[Change]:
        sql = f"SELECT {_COLUMNS} FROM pending_ops p WHERE p.memory = ? ORDER BY p.number"
        return [_change(row) for row in self._db.execute(sql, (memory,))]

    def refused(self) -> list[Change]:
        return [_change(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM pending_ops p WHERE refused IS NOT NULL ORDER BY number")]

    def summary(self) -> dict[str, Any]:
        sql = (
            "SELECT count(*) FILTER (WHERE refused IS NULL), count(*) FILTER (WHERE refused IS NOT NULL), "
            "min(at) FILTER (WHERE refused IS NULL), min(next_try) FILTER (WHERE refused IS NULL AND next_try > 0) FROM pending_ops"
        )
        waiting, refused, oldest, next_try = next(iter(self._db.execute(sql)))
        return {"pending": waiting, "refused": refused, "oldest": moment(oldest), "next_try": moment(next_try)}

    def add(self, memory: str, owner: str, op: str, payload: Mapping[str, Any] | None, base: int | None = None) -> None:
        known = self.known(memory)
        previous = self._db.execute("SELECT operation FROM pending_ops WHERE memory = ? ORDER BY number DESC LIMIT 1", (memory,)).get
        body = None if payload is None else packed(payload)
        self._db.execute(
            "INSERT INTO pending_ops (operation, memory, owner, op, base, previous, payload, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new_id(),
                memory,
                owner,
                op,
                base if base is not None else known[0] if known else 0,
                previous,
                body,
                stamp(datetime.now(UTC)),
            ),
        )

    def edited(self, memory: Memory, changed: Mapping[str, Any]) -> None:
        """Logs an edit. It takes the place of what the server refused and this mends."""
        refused = {one.operation: one for one in self.pending(memory.id) if one.refused is not None}
        for operation, one in refused.items():
            if (one.refused or {}).get("code") == Forbidden.__name__:
                # What was said first is no worse for not having been allowed there: both are sent, in order.
                self._db.execute("UPDATE pending_ops SET refused = NULL, next_try = 0 WHERE operation = ?", (operation,))
                continue
            if one.op == "store":
                # The server never had it: what it gets now is the memory as it has become, with every edit that waits behind it.
                self._db.execute("DELETE FROM pending_ops WHERE memory = ? AND op = 'edit'", (memory.id,))
                self._db.execute(
                    "UPDATE pending_ops SET operation = ?, payload = NULL, refused = NULL, tries = 0, next_try = 0 WHERE operation = ?",
                    (new_id(), operation),
                )
                return
            if one.op == "edit" and set((one.payload or {}).get("fields", {})) <= set(changed):
                self.settle(operation)
        self.add(memory.id, memory.owner, "edit", {"fields": dict(changed), "at": memory.updated_at.isoformat()})

    def annotate(self, revision: Revision) -> None:
        """Adds who did it and why to the last edit of a memory."""
        row = self._db.execute(
            "SELECT number, payload FROM pending_ops WHERE memory = ? AND op = 'edit' ORDER BY number DESC LIMIT 1", (revision.memory,)
        ).fetchone()
        if row is None or not row[1]:
            return
        payload = json.loads(row[1])
        if "revision" in payload:
            return
        payload["revision"] = said_of(revision)
        self._db.execute("UPDATE pending_ops SET payload = ? WHERE number = ?", (packed(payload), row[0]))

    def scrub(self, memory: Memory, names: Sequence[str]) -> None:
        """What waits to be sent of a memory says these fields as they stand now: it was sealed since."""
        now = fields_of(memory)
        for one in self.pending(memory.id):
            payload = one.payload
            if one.op == "store":
                payload = None
            elif one.op == "edit" and payload is not None:
                fields = {name: now[name] if name in names else value for name, value in payload["fields"].items()}
                payload = {**payload, "fields": fields}
                if "revision" in payload:
                    payload["revision"] = {**payload["revision"], "note": ""}
            if payload != one.payload:
                body = None if payload is None else packed(payload)
                self._db.execute("UPDATE pending_ops SET payload = ? WHERE operation = ?", (body, one.operation))

    def settle(self, operation: str) -> None:
        self._db.execute("DELETE FROM pending_ops WHERE operation = ?", (operation,))

    def withdraw(self, operation: str) -> None:
        self._db.execute(
            "UPDATE pending_ops SET previous = (SELECT previous FROM pending_ops WHERE operation = ?1) WHERE previous = ?1", (operation,)
        )
        self.settle(operation)

    def refuse(self, operation: str, reason: Mapping[str, Any]) -> None:
        self._db.execute("UPDATE pending_ops SET refused = ?, tries = tries + 1 WHERE operation = ?", (packed(reason), operation))

    def delay(self, operation: str, until: datetime) -> None:
        self._db.execute("UPDATE pending_ops SET next_try = ?, tries = tries + 1 WHERE operation = ?", (stamp(until), operation))

    def retry_all(self) -> None:
        self._db.execute("UPDATE pending_ops SET refused = NULL, next_try = 0 WHERE refused IS NOT NULL OR next_try > 0")

    def known(self, memory: str) -> tuple[int, int] | None:
        row: tuple[int, int] | None = self._db.execute("SELECT version, seq FROM replica WHERE memory = ?", (memory,)).fetchone()
        return row

    def know(self, memory: str, version: int, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO replica (memory, version, seq) VALUES (?, ?, ?)", (memory, version, seq))

    def unknow(self, memory: str | None) -> None:
        if memory is None:
            self._db.execute("DELETE FROM replica")
        else:
            self._db.execute("DELETE FROM replica WHERE memory = ?", (memory,))

    def stamp(self, memory: str, version: int, seq: int) -> None:
        self._db.execute("UPDATE memories SET version = ?, seq = ? WHERE id = ?", (version, seq, memory))

    def rename(self, memory: str, names: Mapping[str, str]) -> None:
        for one in self.pending(memory):
            payload = one.payload or {}
            if one.op == "secret" and payload.get("name") in names:
                payload = {**payload, "name": names[payload["name"]]}
            told = _PLACEHOLDER.sub(lambda found: f"[REDACTED:{names.get(found[1], found[1])}]", packed(payload))
            if one.payload is not None:
                self._db.execute("UPDATE pending_ops SET payload = ? WHERE operation = ?", (told, one.operation))

    def move(self, memory: str, into: str) -> None:
        self._db.execute("UPDATE revisions SET memory = ? WHERE memory = ?", (into, memory))
        self._note_twin(memory, into)
        self._db.execute("UPDATE pending_ops SET memory = ? WHERE memory = ? AND op <> 'purge'", (into, memory))
        for end in ("source", "target"):
            self._db.execute(f"UPDATE OR IGNORE links SET {end} = ? WHERE {end} = ?", (into, memory))
        self._db.execute("DELETE FROM links WHERE source = ?1 OR target = ?1 OR source = target", (memory,))
        self._db.execute(
            "UPDATE pending_ops SET payload = json_set(payload, '$.target', ?) "
            "WHERE op IN ('link', 'unlink') AND payload ->> '$.target' = ?",
            (into, memory),
        )

    def _note_twin(self, memory: str, into: str) -> None:
        """The row goes; who made it and when stays in the heir's history."""
        row = self._db.execute("SELECT owner, version, created_at, client, agent, session FROM memories WHERE id = ?", (memory,)).fetchone()
        if row is None:
            return
        owner, version, created, *who = row
        note = stored_also(memory, who[0], moment(created) or datetime.now(UTC))
        self._db.execute(
            "INSERT INTO revisions (memory, owner, version, at, op, before, actor, client, agent, session, note) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (into, owner, version, stamp(datetime.now(UTC)), TWIN, packed({}), owner, *who, note),
        )

    def drop(self, memory: str) -> None:
        self._db.execute("DELETE FROM pending_ops WHERE memory = ?", (memory,))

    def set_links(self, source: str, owner: str, links: Sequence[Link]) -> None:
        wanted = {(link.target, link.type): link for link in links}
        here = set(self._db.execute("SELECT target, type FROM links WHERE source = ?", (source,)).fetchall())
        for target, type in here - wanted.keys():
            self._db.execute("DELETE FROM links WHERE source = ? AND target = ? AND type = ?", (source, target, type))
        for key in wanted.keys() - here:
            link = wanted[key]
            # Its other end may come later; until then the edge is not shown.
            self._db.execute(
                "INSERT INTO links (source, target, type, owner, created_at, note) VALUES (?, ?, ?, ?, ?, ?)",
                (source, link.target, link.type, owner, stamp(link.created_at), link.note),
            )

    def unknown_rows(self, owners: Sequence[str]) -> int:
        named = json.dumps(list(owners))
        rows = self._db.execute(
            "SELECT id, owner FROM memories m WHERE owner IN (SELECT value FROM json_each(?)) AND NOT EXISTS "
            "(SELECT 1 FROM replica r WHERE r.memory = m.id) AND NOT EXISTS "
            "(SELECT 1 FROM pending_ops p WHERE p.memory = m.id) ORDER BY key",
            (named,),
        ).fetchall()
        at = stamp(datetime.now(UTC))
        self._db.executemany(
            "INSERT INTO pending_ops (operation, memory, owner, op, base, at) VALUES (?, ?, ?, 'store', 0, ?)",
            ((new_id(), id, owner, at) for id, owner in rows),
        )
        # Edges and secrets follow when all of their ends are there.
        self._db.executemany(
            "INSERT INTO pending_ops (operation, memory, owner, op, base, payload, at) VALUES (?, ?, ?, ?, 0, ?, ?)",
            [(new_id(), id, owner, op, payload, at) for id, owner, op, payload in self._belongings(id for id, _ in rows)],
        )
        return len(rows)

    def _belongings(self, ids: Iterator[str]) -> Iterator[tuple[str, str, str, str]]:
        named = json.dumps(list(ids))
        for source, owner, target, type, at, note in self._db.execute(
            "SELECT source, owner, target, type, created_at, note FROM links WHERE source IN (SELECT value FROM json_each(?))", (named,)
        ):
            made = moment(at)
            yield source, owner, "link", packed({"target": target, "type": type, "created_at": made and made.isoformat(), "note": note})
        for memory, owner, name in self._db.execute(
            "SELECT memory, owner, name FROM secrets WHERE memory IN (SELECT value FROM json_each(?))", (named,)
        ):
            yield memory, owner, "secret", packed({"name": name})

    def marks(self, owner: str) -> Iterator[tuple[str, int, int]]:
        return iter(
            self._db.execute(
                "SELECT r.memory, r.version, r.seq FROM replica r JOIN memories m ON m.id = r.memory WHERE m.owner = ?", (owner,)
            ).fetchall()
        )

    def waiting(self) -> set[str]:
        return {row[0] for row in self._db.execute("SELECT DISTINCT memory FROM pending_ops")}

    def busy(self) -> set[str]:
        # What was refused, and a secret that waits for its key, may never be sent. What was purged here must not come back.
        sql = (
            "SELECT DISTINCT memory FROM pending_ops "
            "WHERE op IN ('store', 'purge') OR (refused IS NULL AND NOT (op = 'secret' AND next_try > 0))"
        )
        return {row[0] for row in self._db.execute(sql)}

    def rewind(self) -> None:
        self._db.execute("UPDATE replica SET seq = 0")

    def ids_of(self, owner: str) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT id FROM memories WHERE owner = ? ORDER BY key", (owner,))]


def said_of(revision: Revision) -> dict[str, Any]:
    """What a change says of who made it and why."""
    return {name: getattr(revision, name) for name in ("op", "note", "client", "agent", "session")}


def _change(row: tuple[Any, ...]) -> Change:
    number, operation, memory, owner, op, base, previous, payload, at, tries, refused = row
    return Change(
        number,
        operation,
        memory,
        owner,
        op,
        base,
        previous,
        json.loads(payload) if payload else None,
        moment(at) or datetime.now(UTC),
        tries,
        json.loads(refused) if refused else None,
    )
