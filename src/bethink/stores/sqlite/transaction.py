"""One write transaction on the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import apsw

from bethink import exchange, text
from bethink.errors import Conflict, Forbidden, VersionConflict
from bethink.model import SETTLING, Access, Link, Memory, Revision, Scope
from bethink.rank import Found
from bethink.stores.base import TAKEN, Plan, Tombstone
from bethink.stores.sqlite.replica import SQLiteLog, said_of
from bethink.stores.sqlite.rows import NAMES, SELECT, link_of, memory_of, packed, revision_of, stamp, values_of
from bethink.stores.sqlite.vectors import WINDOWS, forget_vectors, place_vectors, scope_number
from bethink.stores.where import Where, may_write, visible, writable

_WRITTEN = (*NAMES, "terms")
_INSERT = f"INSERT INTO memories ({', '.join(_WRITTEN)}) VALUES ({', '.join(':' + name for name in _WRITTEN)})"
_UPDATE = f"UPDATE memories SET {', '.join(f'{name} = :{name}' for name in _WRITTEN)} WHERE key = :key"
_INDEX = "INSERT INTO memories_fts (rowid, content, keywords, tags, category, extra) SELECT * FROM memories_indexed WHERE key = ?"
_SEARCHED = ("content", "expanded_keywords", "tags", "category")
#: What a person may have written into a memory.
_TEXTS = ("content", "expanded_keywords", "tags", "origin")


class SQLiteDialect:
    """Conditions as SQLite writes them."""

    def bind(self, name: str) -> str:
        return f":{name}"

    def moment(self, at: datetime) -> int | None:
        return stamp(at)

    def has_tag(self, placeholder: str) -> str:
        # The first half alone would take a tag with a quotation mark for another, the second alone is slow.
        return f"instr(m.tags, json_quote({placeholder})) AND EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = {placeholder})"


DIALECT = SQLiteDialect()


class SQLiteTransaction:
    """Implements `stores.base.Transaction`; made by `SQLiteStore.write` only."""

    def __init__(self, connection: apsw.Connection, access: Access) -> None:
        self._db = connection
        self._access = access
        #: Something was removed whose traces must not stay behind in the log of writes.
        self.erased = False
        self.log = SQLiteLog(connection)
        binding = self.log.binding()
        #: Whose changes a server is told of; None where this store is no replica.
        self._replicated = frozenset(binding["owners"]) if binding else None
        self._logged = True

    def unlogged(self) -> None:
        self._logged = False

    def _logs(self, owner: str) -> bool:
        return self._logged and self._replicated is not None and owner in self._replicated

    def insert(self, memory: Memory) -> None:
        self._must_be_writable(memory)
        memory = self._numbered(memory)
        try:
            self._db.execute(_INSERT, _row(memory))
        except apsw.ConstraintError:
            raise Conflict(f"A memory with the id {memory.id} exists already.", hint=TAKEN) from None
        key = self._db.last_insert_rowid()
        self._db.execute(_INDEX, (key,))
        self._db.execute("INSERT OR IGNORE INTO pending_vectors (key) VALUES (?)", (key,))
        scope_number(self._db, memory.owner, memory.scope.project)
        if self._logs(memory.owner):
            self.log.add(memory.id, memory.owner, "store", {"fields": exchange.fields_of(memory), "at": memory.updated_at.isoformat()})

    def update(self, memory: Memory, before: Memory) -> None:
        self._must_be_writable(before)
        self._must_be_writable(memory)
        key = self._key(before.id)
        version, seq = self._db.execute("SELECT version, seq FROM memories WHERE key = ?", (key,)).fetchone() or (0, 0)
        # A replica's versions may come twice, but then with another number of the server's.
        if version != before.version or (self._replicated is not None and seq != before.seq):
            raise VersionConflict()
        memory = self._numbered(memory)
        row = _row(memory)
        searched = any(getattr(memory, name) != getattr(before, name) for name in _SEARCHED) or row["terms"] != _row(before)["terms"]
        if searched:
            # The index removes what the row says until then.
            self._db.execute("DELETE FROM memories_fts WHERE rowid = ?", (key,))
        self._db.execute(_UPDATE, {**row, "key": key})
        if searched:
            self._db.execute(_INDEX, (key,))
        if memory.content != before.content:
            forget_vectors(self._db, key)
            self._db.execute("INSERT OR IGNORE INTO pending_vectors (key) VALUES (?)", (key,))
        elif _place(memory) != _place(before):
            place_vectors(self._db, key, memory)
        if self._logs(memory.owner) and (changed := exchange.difference(before, memory)):
            self.log.edited(memory, changed)

    def erase(self, id: str) -> dict[str, int]:
        key = self._key(id)
        owner = self._db.execute("SELECT owner FROM memories WHERE key = ?", (key,)).get
        removed = {"vectors": forget_vectors(self._db, key)}
        for name, sql, value in (
            ("index", "DELETE FROM memories_fts WHERE rowid = ?", key),
            ("queue", "DELETE FROM pending_vectors WHERE key = ?", key),
            ("revisions", "DELETE FROM revisions WHERE memory = ?", id),
            ("secrets", "DELETE FROM secrets WHERE memory = ?", id),
            ("links", "DELETE FROM links WHERE source = ?1 OR target = ?1", id),
            ("usage", "DELETE FROM usage WHERE key = ?", key),
            ("rows", "DELETE FROM memories WHERE key = ?", key),
        ):
            self._db.execute(sql, (value,))
            removed[name] = self._db.changes()
        self.erased = True
        self.log.drop(id)
        if self._logs(owner):
            self.log.add(id, owner, "purge", {})
        if self._replicated is None:
            self._bury(owner, id)
        else:
            self.log.unknow(id)
        return removed

    def get(self, id: str) -> Memory | None:
        where = Where(DIALECT)
        visible(where, self._access)
        where.equals("m.id", id)
        row = self._db.execute(f"SELECT {SELECT} FROM memories m WHERE {where.sql}", where.values).fetchone()
        return memory_of(row) if row else None

    def find_exact(self, owner: str, content_hash: str, scope: Scope) -> Memory | None:
        where = Where(DIALECT)
        visible(where, self._access)
        where.equals("m.owner", owner)
        where.equals("m.content_hash", bytes.fromhex(content_hash))
        # What was only said is no memory that could take in another.
        where.add("m.deleted_at IS NULL AND m.status <> 'superseded' AND m.source <> 'transcript'")
        where.equals("m.scope", scope.kind)
        where.add(f"m.project IS {where.bind(scope.project)} AND m.task IS {where.bind(scope.task)}")
        sql = f"SELECT {SELECT} FROM memories m WHERE {where.sql} ORDER BY m.key LIMIT 1"
        row = self._db.execute(sql, where.values).fetchone()
        return memory_of(row) if row else None

    def search(self, plan: Plan) -> Found:
        # Late, as it names this module's dialect.
        from bethink.stores.sqlite import bits, search

        plan = replace(plan, vector=None, vector_to_come=None)
        return search.search(self._db, self._access, plan, search.Frequencies(), bits.Signs())

    def add_revision(self, revision: Revision) -> None:
        self._key(revision.memory)
        self._db.execute(
            "INSERT INTO revisions (memory, owner, version, at, op, before, actor, client, agent, session, note) "
            "VALUES (?, (SELECT owner FROM memories WHERE id = ?1), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                revision.memory,
                revision.version,
                stamp(revision.at),
                revision.op,
                packed(revision.before),
                revision.actor,
                revision.client,
                revision.agent,
                revision.session,
                revision.note,
            ),
        )
        if not self._logged or self._replicated is None:
            return
        if revision.op in SETTLING:
            self._log_word(revision)
        else:
            self.log.annotate(revision)

    def _log_word(self, revision: Revision) -> None:
        """What is said of a conflict is an edit of nothing: a server from before takes it for that."""
        owner = self._db.execute("SELECT owner FROM memories WHERE id = ?", (revision.memory,)).get
        if self._logs(owner):
            self.log.add(revision.memory, owner, "edit", {"fields": {}, "at": revision.at.isoformat(), "revision": said_of(revision)})

    def add_link(self, link: Link) -> bool:
        self._key(link.source)
        if self.get(link.target) is None:
            raise Forbidden(f"You may not link to {link.target}.")
        self._db.execute(
            "INSERT OR IGNORE INTO links (source, target, type, owner, created_at, note) "
            "VALUES (?, ?, ?, (SELECT owner FROM memories WHERE id = ?1), ?, ?)",
            (link.source, link.target, link.type, stamp(link.created_at), link.note),
        )
        return bool(self._db.changes()) and self._edge(link.source, "link", exchange.link_out(link))

    def remove_link(self, source: str, target: str, type: str) -> bool:
        where = Where(DIALECT)
        where.add(of_visible("links.source", where, self._access, writable))
        for column, value in (("source", source), ("target", target), ("type", type)):
            where.equals(column, value)
        self._db.execute(f"DELETE FROM links WHERE {where.sql}", where.values)
        return bool(self._db.changes()) and self._edge(source, "unlink", {"target": target, "type": type})

    def _edge(self, source: str, op: str, payload: Mapping[str, Any]) -> bool:
        """An edge belongs to the memory that it starts at."""
        owner = self._db.execute("SELECT owner FROM memories WHERE id = ?", (source,)).get
        if self._logs(owner):
            self.log.add(source, owner, op, payload)
        self.renumber(source)
        return True

    def links_of(self, ids: Sequence[str]) -> list[Link]:
        return links_of(self._db, self._access, ids)

    def append_audit(self, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        last = self._db.execute("SELECT digest FROM audit ORDER BY number DESC LIMIT 1").get or b""
        entry = (stamp(at), self._access.principal, actor, action, subject, packed(detail))
        self._db.execute(
            "INSERT INTO audit (at, owner, actor, action, subject, detail, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*entry, chained(last, entry)),
        )

    def archived(self, owner: str, content_hash: str, session: str | None, at: datetime) -> bool:
        where = Where(DIALECT)
        where.equals("m.content_hash", bytes.fromhex(content_hash))
        where.equals("m.owner", owner)
        where.add(f"m.session IS {where.bind(session)} OR m.created_at = {where.bind(stamp(at))}")
        sql = f"SELECT EXISTS (SELECT 1 FROM memories m WHERE m.source = 'transcript' AND {where.sql})"
        return bool(self._db.execute(sql, where.values).get)

    def state_get(self, namespace: str, key: str) -> dict[str, Any] | None:
        sql = "SELECT value FROM state WHERE owner = ? AND namespace = ? AND key = ?"
        found = self._db.execute(sql, (self._own(), namespace, key)).get
        return None if found is None else dict(json.loads(found))

    def states(self, namespace: str) -> dict[str, dict[str, Any]]:
        sql = "SELECT key, value FROM state WHERE owner = ? AND namespace = ? ORDER BY key"
        return {key: json.loads(value) for key, value in self._db.execute(sql, (self._own(), namespace))}

    def state_put(self, namespace: str, key: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM state WHERE owner = ? AND namespace = ? AND key = ?", (self._own(), namespace, key))
            return
        self._db.execute(
            "INSERT OR REPLACE INTO state (owner, namespace, key, value, updated_at) VALUES (?, ?, ?, ?, ?)",
            (self._own(), namespace, key, packed(value), stamp(datetime.now(UTC))),
        )

    def _own(self) -> str:
        if not self._access.writable:
            raise Forbidden("You may read here, not write.")
        return self._access.writable[0]

    def put_secret(self, memory: str, name: str, sealed: bytes, meta: Mapping[str, Any]) -> None:
        self._key(memory)
        self._db.execute(
            "INSERT OR REPLACE INTO secrets (memory, name, owner, sealed, meta) "
            "VALUES (?, ?, (SELECT owner FROM memories WHERE id = ?1), ?, ?)",
            (memory, name, sealed, packed(meta)),
        )
        owner = self._db.execute("SELECT owner FROM memories WHERE id = ?", (memory,)).get
        if self._logs(owner):
            self.log.add(memory, owner, "secret", {"name": name})

    def secrets_of(self, id: str) -> list[tuple[str, bytes, dict[str, Any]]]:
        where = Where(DIALECT)
        writable(where, self._access)
        where.equals("m.id", id)
        sql = f"SELECT s.name, s.sealed, s.meta FROM secrets s JOIN memories m ON m.id = s.memory WHERE {where.sql} ORDER BY s.name"
        return [(name, sealed, json.loads(meta)) for name, sealed, meta in self._db.execute(sql, where.values).fetchall()]

    def scrub_revisions(self, id: str) -> None:
        self._key(id)
        texts = ", ".join(f"'$.{name}'" for name in _TEXTS)
        self._db.execute(f"UPDATE revisions SET note = '', before = json_remove(before, {texts}) WHERE memory = ?", (id,))
        memory = self.get(id)
        if memory is not None and self._logs(memory.owner):
            self.log.scrub(memory, _TEXTS)
        self.erased = True

    def record_change(self, operation: str, memory: str, op: str, base_version: int, payload: Mapping[str, Any]) -> None:
        """Nothing to do: every write logs itself where this store is a replica."""

    def lock_owner(self, owner: str) -> None:
        """Nobody else writes meanwhile."""

    def prefer(self, owner: str) -> None:
        """Nothing to do: an id is one row's."""

    def answer_of(self, owner: str, operation: str) -> dict[str, Any] | None:
        self._must_write_for(owner)
        found = self._db.execute("SELECT answer FROM operations WHERE owner = ? AND operation = ?", (owner, operation)).get
        return None if found is None else dict(json.loads(found))

    def put_answer(self, owner: str, operation: str, answer: Mapping[str, Any]) -> None:
        self._must_write_for(owner)
        self._db.execute(
            "INSERT INTO operations (owner, operation, at, answer) VALUES (?, ?, ?, ?)",
            (owner, operation, stamp(datetime.now(UTC)), packed(answer)),
        )

    def tombstone_of(self, owner: str, id: str) -> Tombstone | None:
        self._must_write_for(owner)
        row = self._db.execute("SELECT owner, id, seq, twin FROM tombstones WHERE owner = ? AND id = ?", (owner, id)).fetchone()
        return Tombstone(*row) if row else None

    def put_tombstone(self, owner: str, id: str, twin: str | None = None) -> None:
        self._must_write_for(owner)
        self._bury(owner, id, twin)

    def _bury(self, owner: str, id: str, twin: str | None = None) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO tombstones (owner, id, seq, at, twin) VALUES (?, ?, ?, ?, ?)",
            (owner, id, self._next(owner), stamp(datetime.now(UTC)), twin),
        )

    def revisions_of(self, id: str) -> list[Revision]:
        self._key(id)
        sql = "SELECT memory, version, at, op, before, actor, client, agent, session, note FROM revisions WHERE memory = ? ORDER BY number"
        return [revision_of(row) for row in self._db.execute(sql, (id,))]

    def renumber(self, id: str) -> None:
        self._key(id)
        if self._replicated is None:
            owner = self._db.execute("SELECT owner FROM memories WHERE id = ?", (id,)).get
            self._db.execute("UPDATE memories SET seq = ? WHERE id = ?", (self._next(owner), id))

    def _must_write_for(self, owner: str) -> None:
        if owner not in self._access.writable:
            raise Forbidden(f"You may not write memories of {owner!r}.")

    def _numbered(self, memory: Memory) -> Memory:
        """The memory with the owner's next number; a replica's numbers are its server's."""
        return memory.with_(seq=self._next(memory.owner)) if self._replicated is None else memory

    def _next(self, owner: str) -> int:
        sql = "INSERT INTO counters (owner, seq) VALUES (?, 1) ON CONFLICT (owner) DO UPDATE SET seq = seq + 1 RETURNING seq"
        return int(self._db.execute(sql, (owner,)).get or 0)

    def _must_be_writable(self, memory: Memory) -> None:
        if not may_write(self._access, memory):
            raise Forbidden(f"You may not write memories of {memory.owner!r} there.")

    def _key(self, id: str) -> int:
        where = Where(DIALECT)
        writable(where, self._access)
        where.equals("m.id", id)
        key = self._db.execute(f"SELECT m.key FROM memories m WHERE {where.sql}", where.values).get
        if key is None:
            raise Forbidden(f"You may not change the memory {id}.")
        return int(key)


def _row(memory: Memory) -> dict[str, Any]:
    """A memory as the values of its row."""
    said = " ".join((memory.expanded_keywords, *memory.tags))
    return {**values_of(memory), "terms": text.extra_terms(memory.content, said, memory.valid_from or memory.created_at)}


def _place(memory: Memory) -> tuple[Any, ...]:
    return memory.owner, memory.scope.project, memory.status == "active" and memory.deleted_at is None


def chained(previous: bytes, entry: tuple[Any, ...]) -> bytes:
    """The digest of an audit entry, which covers the digest before it."""
    return hashlib.sha256(previous + packed({"entry": entry}).encode()).digest()


def of_visible(column: str, where: Where, access: Access, rule: Callable[[Where, Access], None] = visible) -> str:
    """The condition that a column names a memory that `access` may read (or write, by `rule`)."""
    rows = Where(DIALECT, values=where.values)
    rule(rows, access)
    return f"EXISTS (SELECT 1 FROM memories m WHERE m.id = {column} AND {rows.sql})"


def links_of(db: apsw.Connection, access: Access, ids: Sequence[str]) -> list[Link]:
    """Every edge that starts or ends at one of `ids` between memories that `access` may read."""
    if not ids:
        return []
    where = Where(DIALECT)
    where.add(of_visible("l.source", where, access))
    where.add(of_visible("l.target", where, access))
    named = where.bind(json.dumps(list(ids)))
    sql = (
        "SELECT source, target, type, created_at, note FROM links l WHERE (l.source, l.target, l.type) IN ("
        f"SELECT source, target, type FROM links WHERE source IN (SELECT value FROM json_each({named})) "
        f"UNION SELECT source, target, type FROM links WHERE target IN (SELECT value FROM json_each({named}))"
        f") AND {where.sql} ORDER BY created_at"
    )
    return [link_of(row) for row in db.execute(sql, where.values)]


__all__ = ["DIALECT", "WINDOWS", "SQLiteTransaction", "chained", "links_of", "of_visible"]
