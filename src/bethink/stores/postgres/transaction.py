"""One write transaction in PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from bethink.errors import Conflict, Forbidden, VersionConflict
from bethink.model import Access, Link, Memory, Revision, Scope
from bethink.rank import Found
from bethink.stores.base import TAKEN, Plan, Tombstone
from bethink.stores.postgres.connection import Connection
from bethink.stores.postgres.rows import NAMES, SEARCHED, SELECT, link_of, memory_of, packed, revision_of, values_of
from bethink.stores.where import Where, may_write, visible, writable
from bethink.text import mended

_COLUMNS = (*NAMES, *SEARCHED)
_INSERT = f"INSERT INTO memories ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({name})s' for name in _COLUMNS)})"
_SET = ", ".join(f"{name} = %({name})s" for name in _COLUMNS)


class PostgresDialect:
    """Conditions as psycopg writes them."""

    def bind(self, name: str) -> str:
        return f"%({name})s"

    def moment(self, at: datetime) -> datetime:
        return at

    def has_tag(self, placeholder: str) -> str:
        return f"m.tags @> ARRAY[{placeholder}]::text[]"


DIALECT = PostgresDialect()


def mend(where: Where) -> None:
    """Replaces in conditions what PostgreSQL could not even compare with."""
    where.values = {name: mended(value) if isinstance(value, str) else value for name, value in where.values.items()}


class PostgresTransaction:
    """Implements `stores.base.Transaction`; made by `PostgresStore.write` only."""

    def __init__(self, connection: Connection, access: Access) -> None:
        self._db = connection
        self._access = access
        self._first = access.principal

    def insert(self, memory: Memory) -> None:
        self._must_be_writable(memory)
        memory = memory.with_(seq=self._next(memory.owner))
        try:
            with self._db.transaction():
                self._db.execute(_INSERT, values_of(memory))
        except UniqueViolation:
            raise Conflict(f"A memory with the id {memory.id} exists already.", hint=TAKEN) from None
        self._db.execute("INSERT INTO pending_vectors (owner, id) VALUES (%s, %s)", (memory.owner, memory.id))
        self._note_scope(memory)

    def update(self, memory: Memory, before: Memory) -> None:
        self._must_be_writable(before)
        self._must_be_writable(memory)
        memory = memory.with_(seq=self._next(memory.owner))
        values = {**values_of(memory), "was": before.version, "old_owner": before.owner, "old_id": before.id}
        done = self._db.execute(f"UPDATE memories SET {_SET} WHERE owner = %(old_owner)s AND id = %(old_id)s AND version = %(was)s", values)
        if not done.rowcount:
            raise VersionConflict()
        if memory.content != before.content:
            self._db.execute("DELETE FROM windows WHERE owner = %s AND id = %s", (memory.owner, memory.id))
            self._db.execute(
                "INSERT INTO pending_vectors (owner, id) VALUES (%s, %s) ON CONFLICT (owner, id) DO UPDATE SET claimed_at = NULL",
                (memory.owner, memory.id),
            )
        if memory.scope != before.scope:
            self._note_scope(memory)

    def erase(self, id: str) -> dict[str, int]:
        owner = self._owner(id)
        seq = self._next(owner)
        removed = {}
        for name, sql in (
            ("vectors", "DELETE FROM windows WHERE owner = %s AND id = %s"),
            ("queue", "DELETE FROM pending_vectors WHERE owner = %s AND id = %s"),
            ("revisions", "DELETE FROM revisions WHERE owner = %s AND memory = %s"),
            ("secrets", "DELETE FROM secrets WHERE owner = %s AND memory = %s"),
            ("usage", "DELETE FROM usage WHERE owner = %s AND id = %s"),
            ("rows", "DELETE FROM memories WHERE owner = %s AND id = %s"),
        ):
            removed[name] = self._db.execute(sql, (owner, id)).rowcount
        removed["links"] = self._db.execute(
            "DELETE FROM links WHERE owner = ANY (%s) AND (source = %s OR target = %s)", (list(self._access.writable), id, id)
        ).rowcount
        removed["index"] = removed["rows"]
        self._db.execute("INSERT INTO tombstones (owner, id, seq, at) VALUES (%s, %s, %s, now()) ON CONFLICT DO NOTHING", (owner, id, seq))
        return removed

    def get(self, id: str) -> Memory | None:
        where = Where(DIALECT)
        visible(where, self._access)
        where.equals("m.id", id)
        sql = f"SELECT {SELECT} FROM memories m WHERE {where.sql} ORDER BY {rank(where, self._access, self._first)} LIMIT 1"
        row = self._db.execute(sql, where.values).fetchone()
        return memory_of(row) if row else None

    def find_exact(self, owner: str, content_hash: str, scope: Scope) -> Memory | None:
        # Two writers of the same content queue here, so that the second finds what the first stored.
        self._db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{owner} {content_hash}",))
        where = Where(DIALECT)
        visible(where, self._access)
        where.equals("m.owner", owner)
        where.equals("m.content_hash", bytes.fromhex(content_hash))
        # What was only said is no memory that could take in another.
        where.add("m.deleted_at IS NULL AND m.status <> 'superseded' AND m.source <> 'transcript'")
        where.equals("m.scope", scope.kind)
        for column, value in (("m.project", scope.project), ("m.task", scope.task)):
            where.add(f"{column} IS NOT DISTINCT FROM {where.bind(value)}")
        row = self._db.execute(f"SELECT {SELECT} FROM memories m WHERE {where.sql} ORDER BY m.number LIMIT 1", where.values).fetchone()
        return memory_of(row) if row else None

    def search(self, plan: Plan) -> Found:
        # Late, as it names this module's dialect.
        from bethink.stores.postgres import search

        return search.search(self._db, self._access, replace(plan, vector=None, vector_to_come=None), search.Frequencies(), 0)

    def add_revision(self, revision: Revision) -> None:
        self._db.execute(
            "INSERT INTO revisions (owner, memory, version, at, op, before, actor, client, agent, session, note) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self._owner(revision.memory),
                revision.memory,
                revision.version,
                revision.at,
                revision.op,
                Jsonb(dict(revision.before)),
                revision.actor,
                revision.client,
                revision.agent,
                revision.session,
                revision.note,
            ),
        )

    def add_link(self, link: Link) -> bool:
        if self.get(link.target) is None:
            raise Forbidden(f"You may not link to {link.target}.")
        done = self._db.execute(
            "INSERT INTO links (owner, source, target, type, created_at, note) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (self._owner(link.source), link.source, link.target, link.type, link.created_at, link.note),
        )
        if done.rowcount:
            self.renumber(link.source)
        return bool(done.rowcount)

    def remove_link(self, source: str, target: str, type: str) -> bool:
        where = Where(DIALECT)
        where.within("owner", self._access.writable)
        for column, value in (("source", source), ("target", target), ("type", type)):
            where.equals(column, value)
        removed = bool(self._db.execute(f"DELETE FROM links WHERE {where.sql}", where.values).rowcount)
        if removed:
            self.renumber(source)
        return removed

    def links_of(self, ids: Sequence[str]) -> list[Link]:
        return links_of(self._db, self._access, ids)

    def append_audit(self, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        owner = self._access.principal
        if owner not in self._access.writable:
            owner = self._access.writable[0] if self._access.writable else owner
        self._db.execute("INSERT INTO counters (owner) VALUES (%s) ON CONFLICT DO NOTHING", (owner,))
        row = self._db.execute("SELECT audited FROM counters WHERE owner = %s FOR UPDATE", (owner,)).fetchone()
        if row is None:
            raise Forbidden("You may not write here.")
        number = (self._db.execute("SELECT max(number) FROM audit WHERE owner = %s", (owner,)).fetchone() or (None,))[0] or 0
        entry = (at, owner, actor, action, subject, detail)
        digest = chained(bytes(row[0]), entry)
        self._db.execute(
            "INSERT INTO audit (owner, number, at, actor, action, subject, detail, digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (owner, number + 1, at, actor, action, subject, Jsonb(dict(detail)), digest),
        )
        self._db.execute("UPDATE counters SET audited = %s WHERE owner = %s", (digest, owner))

    def archived(self, owner: str, content_hash: str, session: str | None, at: datetime) -> bool:
        where = Where(DIALECT)
        where.equals("m.owner", owner)
        where.equals("m.content_hash", bytes.fromhex(content_hash))
        where.add(f"m.session IS NOT DISTINCT FROM {where.bind(session)} OR m.created_at = {where.bind(at)}")
        sql = f"SELECT EXISTS (SELECT 1 FROM memories m WHERE m.source = 'transcript' AND {where.sql})"
        row = self._db.execute(sql, where.values).fetchone()
        return bool(row and row[0])

    def state_get(self, namespace: str, key: str) -> dict[str, Any] | None:
        own = self._own()
        # Whoever reads in a write transaction is about to write: the second of two waits here.
        self._db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (f"{own} {namespace} {key}",))
        sql = "SELECT value FROM state WHERE owner = %s AND namespace = %s AND key = %s"
        row = self._db.execute(sql, (own, namespace, key)).fetchone()
        return None if row is None else dict(row[0])

    def states(self, namespace: str) -> dict[str, dict[str, Any]]:
        sql = "SELECT key, value FROM state WHERE owner = %s AND namespace = %s ORDER BY key"
        return {key: dict(value) for key, value in self._db.execute(sql, (self._own(), namespace))}

    def state_put(self, namespace: str, key: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM state WHERE owner = %s AND namespace = %s AND key = %s", (self._own(), namespace, key))
            return
        self._db.execute(
            "INSERT INTO state (owner, namespace, key, value) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (owner, namespace, key) DO UPDATE SET value = excluded.value, updated_at = now()",
            (self._own(), namespace, key, Jsonb(dict(value))),
        )

    def _own(self) -> str:
        if not self._access.writable:
            raise Forbidden("You may read here, not write.")
        return self._access.writable[0]

    def put_secret(self, memory: str, name: str, sealed: bytes, meta: Mapping[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO secrets (owner, memory, name, sealed, meta) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (owner, memory, name) DO UPDATE SET sealed = excluded.sealed, meta = excluded.meta",
            (self._owner(memory), memory, name, sealed, Jsonb(dict(meta))),
        )

    def secrets_of(self, id: str) -> list[tuple[str, bytes, dict[str, Any]]]:
        sql = "SELECT name, sealed, meta FROM secrets WHERE owner = %s AND memory = %s ORDER BY name"
        rows = self._db.execute(sql, (self._writable_owner(id), id)).fetchall()
        return [(name, bytes(sealed), meta) for name, sealed, meta in rows]

    def scrub_revisions(self, id: str) -> None:
        self._db.execute(
            "UPDATE revisions SET note = '', before = before - ARRAY['content', 'expanded_keywords', 'tags', 'origin'] "
            "WHERE owner = %s AND memory = %s",
            (self._owner(id), id),
        )

    def record_change(self, operation: str, memory: str, op: str, base_version: int, payload: Mapping[str, Any]) -> None:
        """The server's order is in `seq`; it sends no changes of its own."""

    def lock_owner(self, owner: str) -> None:
        self._db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (owner,))

    def prefer(self, owner: str) -> None:
        self._first = owner

    def answer_of(self, owner: str, operation: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT answer FROM operations WHERE owner = %s AND operation = %s", (owner, operation)).fetchone()
        return dict(row[0]) if row else None

    def put_answer(self, owner: str, operation: str, answer: Mapping[str, Any]) -> None:
        sql = "INSERT INTO operations (owner, operation, answer) VALUES (%s, %s, %s)"
        self._db.execute(sql, (owner, operation, Jsonb(dict(answer))))

    def tombstone_of(self, owner: str, id: str) -> Tombstone | None:
        row = self._db.execute("SELECT owner, id, seq, twin FROM tombstones WHERE owner = %s AND id = %s", (owner, id)).fetchone()
        return Tombstone(*row) if row else None

    def put_tombstone(self, owner: str, id: str, twin: str | None = None) -> None:
        self._db.execute(
            "INSERT INTO tombstones (owner, id, seq, at, twin) VALUES (%s, %s, %s, now(), %s) "
            "ON CONFLICT (owner, id) DO UPDATE SET seq = excluded.seq, twin = excluded.twin",
            (owner, id, self._next(owner), twin),
        )

    def revisions_of(self, id: str) -> list[Revision]:
        sql = (
            "SELECT memory, version, at, op, before, actor, client, agent, session, note FROM revisions "
            "WHERE owner = %s AND memory = %s ORDER BY number"
        )
        return [revision_of(row) for row in self._db.execute(sql, (self._owner(id), id))]

    def renumber(self, id: str) -> None:
        owner = self._owner(id)
        self._db.execute("UPDATE memories SET seq = %s WHERE owner = %s AND id = %s", (self._next(owner), owner, id))

    def _next(self, owner: str) -> int:
        """The owner's next number, under a row lock: a later commit never has an earlier number."""
        row = self._db.execute(
            "INSERT INTO counters (owner, seq) VALUES (%s, 1) ON CONFLICT (owner) DO UPDATE SET seq = counters.seq + 1 RETURNING seq",
            (owner,),
        ).fetchone()
        if row is None:
            raise Forbidden(f"You may not write memories of {owner!r}.")
        return int(row[0])

    def _note_scope(self, memory: Memory) -> None:
        if memory.scope.project:
            self._db.execute(
                "INSERT INTO scopes (owner, project) VALUES (%s, %s) ON CONFLICT DO NOTHING", (memory.owner, memory.scope.project)
            )

    def _must_be_writable(self, memory: Memory) -> None:
        if not may_write(self._access, memory):
            raise Forbidden(f"You may not write memories of {memory.owner!r} there.")
        self._lend(memory.owner)

    def _owner(self, id: str) -> str:
        """The owner of a memory that may be written."""
        owner = self._writable_owner(id)
        if owner is None:
            raise Forbidden(f"You may not change the memory {id}.")
        self._lend(owner)
        return owner

    def _writable_owner(self, id: str) -> str | None:
        where = Where(DIALECT)
        writable(where, self._access)
        where.equals("m.id", id)
        sql = f"SELECT m.owner FROM memories m WHERE {where.sql} ORDER BY {rank(where, self._access, self._first)} LIMIT 1"
        row = self._db.execute(sql, where.values).fetchone()
        return str(row[0]) if row else None

    def _lend(self, owner: str) -> None:
        """Lets this transaction act for an owner who lent the memory at hand: its counters and queues are the owner's."""
        if owner not in self._access.writable:
            for name in ("readable", "writable"):
                self._db.execute(
                    "SELECT set_config(%(name)s, concat_ws(chr(31), nullif(current_setting(%(name)s), ''), %(owner)s::text), true)",
                    {"name": f"bethink.{name}", "owner": owner},
                )


def rank(where: Where, access: Access, first: str) -> str:
    """The order of rows of several owners that have one id: the preferred owner's, those of one's own spaces, what is lent."""
    readable = ", ".join(where.bind(owner) for owner in access.readable)
    among = f"m.owner IN ({readable}) DESC, " if readable else ""
    return f"m.owner = {where.bind(first)} DESC, {among}m.number"


def chained(previous: bytes, entry: tuple[Any, ...]) -> bytes:
    """The digest of an audit entry, which covers the digest before it."""
    return hashlib.sha256(previous + packed({"entry": entry}).encode()).digest()


def of_visible(table: str, column: str, where: Where, access: Access) -> str:
    """The condition that a row of `table` belongs to a memory that `access` may read."""
    rows = Where(DIALECT, values=where.values)
    visible(rows, access)
    return f"EXISTS (SELECT 1 FROM memories m WHERE m.owner = {table}.owner AND m.id = {table}.{column} AND {rows.sql})"


def joined(where: Where, access: Access) -> None:
    """The condition that an edge joins two memories that `access` may read."""
    where.add(of_visible("links", "source", where, access))
    ends = Where(DIALECT, values=where.values)
    visible(ends, access)
    where.add(f"EXISTS (SELECT 1 FROM memories m WHERE m.id = links.target AND {ends.sql})")


def links_of(db: Connection, access: Access, ids: Sequence[str]) -> list[Link]:
    """Every edge that starts or ends at one of `ids` between memories that `access` may read."""
    if not ids:
        return []
    where = Where(DIALECT)
    joined(where, access)
    where.add(f"source = ANY ({where.bind(list(ids))}) OR target = ANY ({where.bind(list(ids))})")
    sql = f"SELECT source, target, type, created_at, note FROM links WHERE {where.sql} ORDER BY created_at"
    return [link_of(row) for row in db.execute(sql, where.values)]
