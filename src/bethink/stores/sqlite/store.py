"""The SQLite store: one file, any number of processes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from bethink import text
from bethink.errors import StoreBusy, StoreError
from bethink.model import Access, Filter, Link, Memory, Page, Revision
from bethink.rank import Found
from bethink.stores.base import AuditEntry, Capabilities, Feed, Plan, Tombstone
from bethink.stores.sqlite import bits, search, vectors
from bethink.stores.sqlite.connection import connect, migrate, translated, up_to_date
from bethink.stores.sqlite.replica import SQLiteLog
from bethink.stores.sqlite.rows import SELECT, memory_of, moment, revision_of, stamp
from bethink.stores.sqlite.transaction import DIALECT, SQLiteTransaction, chained, links_of, of_visible
from bethink.stores.where import Where, matching, visible

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage

_ORDERS = {
    "recency": "m.created_at DESC, m.key DESC",
    "importance": "m.importance DESC, m.created_at DESC, m.key DESC",
    "oldest": "m.created_at, m.key",
}


class SQLiteStore:
    """Implements `stores.base.Store` on one file. Safe to use from several threads.

    Args:
        path: the file; made when missing, unless `read_only`.
        busy_ms: how long to wait for another process's write.
        read_only: never write, never wait; a missing or empty file raises StoreError.
    """

    capabilities = Capabilities(vectors=True, shared=True)

    def __init__(self, path: Path, *, busy_ms: int = 30_000, read_only: bool = False) -> None:
        self.path = path
        self._busy_ms = busy_ms
        self._read_only = read_only
        self._local = threading.local()
        self._open: dict[threading.Thread, apsw.Connection] = {}
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        self._frequencies = search.Frequencies()
        self._signs = bits.Signs()
        first = self._db
        if read_only:
            with translated(path):
                if not first.pragma("user_version"):
                    raise StoreError(f"{path} holds no store yet.")
        migrate_or_check = migrate if not read_only else _check
        migrate_or_check(first, path)

    @property
    def _db(self) -> apsw.Connection:
        """This thread's connection."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path, busy_ms=self._busy_ms, read_only=self._read_only)
            self._local.connection = connection
            with self._opening:
                for thread in [thread for thread in self._open if not thread.is_alive()]:
                    with suppress(apsw.Error):
                        self._open.pop(thread).close()
                self._open[threading.current_thread()] = connection
        return connection

    def close(self) -> None:
        with self._opening:
            for connection in self._open.values():
                with suppress(apsw.Error):
                    connection.close()
            self._open.clear()
        self._local = threading.local()

    @contextmanager
    def write(self, access: Access) -> Iterator[SQLiteTransaction]:
        with self._transaction() as db:
            transaction = SQLiteTransaction(db, access)
            yield transaction
        if transaction.erased:
            self._empty_log()

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        # Threads queue here, in order, instead of racing for the file's lock.
        with self._writing, translated(self.path):
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _empty_log(self) -> None:
        """Takes the write-ahead log to nothing, so that what was erased is not left in it; a reader may delay that a little."""
        with translated(self.path):
            self._db.set_busy_timeout(2_000)
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._db.set_busy_timeout(self._busy_ms)

    def get(self, access: Access, ids: Sequence[str]) -> dict[str, Memory]:
        where = Where(DIALECT)
        visible(where, access)
        where.add(f"m.id IN (SELECT value FROM json_each({where.bind(json.dumps(list(ids)))}))")
        found = {memory.id: memory for memory in self._memories(where)}
        return {id: found[id] for id in ids if id in found}

    def resolve(self, access: Access, prefix: str, limit: int = 3) -> list[str]:
        where = Where(DIALECT)
        visible(where, access)
        prefix = text.mended(prefix)
        where.add(f"m.id >= {where.bind(prefix)} AND m.id < {where.bind(prefix + chr(0x10FFFF))}")
        with translated(self.path):
            rows = self._db.execute(f"SELECT m.id FROM memories m WHERE {where.sql} ORDER BY m.id LIMIT {int(limit)}", where.values)
            return [row[0] for row in rows]

    def page(
        self, access: Access, where: Filter, now: datetime, *, limit: int, offset: int, order: str = "recency", with_total: bool = True
    ) -> Page:
        wanted = self._where(access, where, now)
        total = -1
        if with_total:
            with translated(self.path):
                total = int(self._db.execute(f"SELECT count(*) FROM memories m WHERE {wanted.sql}", wanted.values).get or 0)
        memories = self._memories(wanted, f"ORDER BY {_ORDERS[order]} LIMIT {int(limit)} OFFSET {int(offset)}")
        return Page(tuple(memories), total, limit, offset)

    def walk(self, access: Access, where: Filter, now: datetime) -> Iterator[Memory]:
        last = 0
        wanted = self._where(access, where, now)
        while True:
            with translated(self.path):
                rows = self._db.execute(
                    f"SELECT m.key, {SELECT} FROM memories m WHERE {wanted.sql} AND m.key > :last ORDER BY m.key LIMIT 500",
                    {**wanted.values, "last": last},
                ).fetchall()
            if not rows:
                return
            yield from (memory_of(row[1:]) for row in rows)
            last = rows[-1][0]

    def search(self, access: Access, plan: Plan) -> Found:
        with self._reading() as db:
            return search.search(db, access, plan, self._frequencies, self._signs)

    def similar(
        self, access: Access, vector: npt.NDArray[np.float32], where: Filter, now: datetime, *, k: int
    ) -> list[tuple[Memory, float]]:
        plan = Plan("", "", where, now, k=k, use_keywords=False, vector=vector)
        found = self.search(access, plan).candidates
        return sorted(((one.memory, one.cosine) for one in found if one.cosine is not None), key=lambda pair: -pair[1])[:k]

    def revisions(self, access: Access, id: str) -> list[Revision]:
        where = Where(DIALECT)
        where.add(of_visible("memory", where, access.without_loans()))
        where.equals("memory", id)
        with translated(self.path):
            rows = self._db.execute(
                "SELECT memory, version, at, op, before, actor, client, agent, session, note FROM revisions "
                f"WHERE {where.sql} ORDER BY number",
                where.values,
            ).fetchall()
        return [revision_of(row) for row in rows]

    def revisions_named(self, access: Access, op: str, ids: Sequence[str] | None = None) -> list[Revision]:
        where = Where(DIALECT)
        where.add(of_visible("memory", where, access.without_loans()))
        where.equals("op", op)
        if ids is not None:
            where.add(f"memory IN (SELECT value FROM json_each({where.bind(json.dumps(list(ids)))}))")
        sql = "SELECT memory, version, at, op, before, actor, client, agent, session, note FROM revisions"
        with translated(self.path):
            return [revision_of(row) for row in self._db.execute(f"{sql} WHERE {where.sql} ORDER BY number", where.values)]

    def links_of(self, access: Access, ids: Sequence[str]) -> list[Link]:
        with translated(self.path):
            return links_of(self._db, access, ids)

    def secrets_of(self, access: Access, id: str) -> list[tuple[str, bytes, dict[str, Any]]]:
        where = Where(DIALECT)
        where.add(of_visible("memory", where, access.without_loans()))
        where.equals("memory", id)
        with translated(self.path):
            rows = self._db.execute(f"SELECT name, sealed, meta FROM secrets WHERE {where.sql} ORDER BY name", where.values).fetchall()
        return [(name, sealed, json.loads(meta)) for name, sealed, meta in rows]

    def walk_secrets(self, access: Access) -> Iterator[tuple[str, str, str, bytes, dict[str, Any]]]:
        where = Where(DIALECT)
        where.add(of_visible("memory", where, access.without_loans()))
        sql = f"SELECT owner, memory, name, sealed, meta FROM secrets WHERE {where.sql} ORDER BY memory, name"
        with translated(self.path):
            rows = self._db.execute(sql, where.values).fetchall()
        for owner, memory, name, sealed, meta in rows:
            yield owner, memory, name, sealed, json.loads(meta)

    def counts(self, access: Access, now: datetime) -> dict[str, Any]:
        where = Where(DIALECT)
        visible(where, access)
        at = where.bind(stamp(now))
        live = f"m.deleted_at IS NULL AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > {at})"
        sql = (
            f"SELECT m.category, coalesce(m.project, ''), m.source, m.status, m.deleted_at IS NOT NULL, {live}, count(*) "
            f"FROM memories m WHERE {where.sql} GROUP BY 1, 2, 3, 4, 5, 6"
        )
        answer: dict[str, Any] = {"total": 0, "by_category": {}, "by_project": {}, "by_source": {}, "by_status": {}, "deleted": 0}
        with translated(self.path):
            for category, project, source, status, deleted, alive, count in self._db.execute(sql, where.values):
                if deleted:
                    answer["deleted"] += count
                    continue
                _add(answer["by_status"], status, count)
                if alive:
                    answer["total"] += count
                    _add(answer["by_category"], category, count)
                    _add(answer["by_project"], project or "(global)", count)
                    _add(answer["by_source"], source, count)
            answer["pending_vectors"] = int(self._db.execute("SELECT count(*) FROM pending_vectors").get or 0)
            pages = self._db.pragma("page_count") * self._db.pragma("page_size")
            if self.log.binding() is not None:
                answer["sync"] = {name: count for name, count in self.log.summary().items() if name in ("pending", "refused")}
        answer["db_bytes"] = max(pages, sum(part.stat().st_size for part in self._files()))
        return answer

    def totals(self) -> dict[str, int]:
        """How many memories hold by category, of all owners; for the server's metrics."""
        sql = "SELECT category, count(*) FROM memories WHERE deleted_at IS NULL AND status = 'active' GROUP BY 1"
        with translated(self.path):
            return dict(self._db.execute(sql).fetchall())

    def waiting(self) -> int:
        """How many memories wait for a vector, of all owners."""
        with translated(self.path):
            return int(self._db.execute("SELECT count(*) FROM pending_vectors").get or 0)

    def projects(self, access: Access) -> list[str]:
        where = Where(DIALECT)
        visible(where, access)
        sql = (
            "SELECT DISTINCT s.project FROM scopes s WHERE s.project <> '' AND "
            f"EXISTS (SELECT 1 FROM memories m WHERE m.project = s.project AND {where.sql}) ORDER BY 1"
        )
        with translated(self.path):
            return [row[0] for row in self._db.execute(sql, where.values)]

    def tags(self, access: Access, where: Filter, now: datetime) -> dict[str, int]:
        wanted = self._where(access, where, now)
        sql = f"SELECT t.value, count(*) FROM memories m, json_each(m.tags) t WHERE {wanted.sql} GROUP BY 1 ORDER BY 2 DESC, 1"
        with translated(self.path):
            return dict(self._db.execute(sql, wanted.values).fetchall())

    def touch(self, access: Access, ids: Sequence[str], at: datetime) -> None:
        where = Where(DIALECT)
        visible(where, access)
        where.add(f"m.id IN (SELECT value FROM json_each({where.bind(json.dumps(list(ids)))}))")
        with suppress(StoreError), self._transaction() as db:
            db.execute(
                f"INSERT INTO usage (key, uses, last_used_at) SELECT m.key, 1, {where.bind(stamp(at))} FROM memories m WHERE {where.sql} "
                "ON CONFLICT (key) DO UPDATE SET uses = uses + 1, last_used_at = excluded.last_used_at",
                where.values,
            )

    def audit(self, access: Access, *, after: int = 0) -> Iterator[AuditEntry]:
        where = Where(DIALECT)
        where.within("owner", access.readable)
        if access.project is not None:
            where.add(of_visible("subject", where, access))
        where.add(f"number > {where.bind(after)}")
        with translated(self.path):
            rows = self._db.execute(
                f"SELECT number, at, actor, action, subject, detail, digest FROM audit WHERE {where.sql} ORDER BY number",
                where.values,
            )
            for number, at, actor, action, subject, detail, digest in rows:
                yield AuditEntry(number, moment(at) or datetime.now(UTC), actor, action, subject, json.loads(detail), "", digest.hex())

    def verify_audit(self) -> int | None:
        """The number of the first audit entry that was tampered with, None when the chain is whole."""
        last = b""
        expected = 1
        with translated(self.path):
            for number, *entry, digest in self._db.execute(
                "SELECT number, at, owner, actor, action, subject, detail, digest FROM audit ORDER BY number"
            ):
                if number != expected or chained(last, tuple(entry)) != digest:
                    return int(number)
                last = digest
                expected = number + 1
        return None

    @property
    def log(self) -> SQLiteLog:
        """What this store, as a replica, knows of its server; for reading."""
        return SQLiteLog(self._db)

    def data_version(self) -> int:
        """Changes whenever another connection has written."""
        with translated(self.path):
            return int(self._db.pragma("data_version"))

    def changes(self, access: Access, since: Mapping[str, int], limit: int) -> Feed:
        memories: list[Memory] = []
        gone: list[Tombstone] = []
        reached = {}
        has_more = False
        # One snapshot: a memory and what it says of others belong together.
        with self._reading() as db:
            for owner in access.readable:
                after = since.get(owner, 0)
                room = limit - len(memories) - len(gone)
                if room <= 0:
                    reached[owner], has_more = after, True
                    continue
                where = Where(DIALECT)
                visible(where, access)
                where.equals("m.owner", owner)
                where.add(f"m.seq > {where.bind(after)}")
                sql = f"SELECT {SELECT} FROM memories m WHERE {where.sql} ORDER BY m.seq LIMIT {room + 1}"
                rows = [memory_of(row) for row in db.execute(sql, where.values)]
                sql = f"SELECT owner, id, seq, twin FROM tombstones WHERE owner = ? AND seq > ? ORDER BY seq LIMIT {room + 1}"
                stones = [Tombstone(*row) for row in db.execute(sql, (owner, after))]
                order = sorted([*(row.seq or 0 for row in rows), *(stone.seq for stone in stones)])
                last = order[room - 1] if len(order) > room else (order[-1] if order else after)
                has_more = has_more or len(order) > room
                memories += [row for row in rows if (row.seq or 0) <= last]
                gone += [stone for stone in stones if stone.seq <= last]
                reached[owner] = last
        return Feed(tuple(memories), tuple(gone), reached, has_more)

    def counters(self, access: Access) -> dict[str, int]:
        where = Where(DIALECT)
        where.within("owner", access.readable)
        with translated(self.path):
            found = dict(self._db.execute(f"SELECT owner, seq FROM counters WHERE {where.sql}", where.values).fetchall())
        return {owner: int(found.get(owner, 0)) for owner in access.readable}

    def marks(self, access: Access, owner: str) -> Iterator[tuple[str, int, int]]:
        where = Where(DIALECT)
        visible(where, access)
        where.equals("m.owner", owner)
        with translated(self.path):
            rows: list[tuple[str, int, int]] = self._db.execute(
                f"SELECT m.id, m.version, m.seq FROM memories m WHERE {where.sql}", where.values
            ).fetchall()
        return iter(rows)

    def edges(self, access: Access, owner: str) -> Iterator[tuple[str, str, str]]:
        where = Where(DIALECT)
        visible(where, access)
        where.equals("m.owner", owner)
        ends = Where(DIALECT, values=where.values)
        visible(ends, access)
        # Whoever else has edges is not looked at: they are found from the owner's memories.
        sql = (
            f"SELECT l.source, l.target, l.type FROM memories m CROSS JOIN links l ON l.source = m.id WHERE {where.sql} "
            f"AND EXISTS (SELECT 1 FROM memories m WHERE m.id = l.target AND {ends.sql})"
        )
        with translated(self.path):
            rows: list[tuple[str, str, str]] = self._db.execute(sql, where.values).fetchall()
        return iter(rows)

    def state(self, access: Access, namespace: str) -> dict[str, dict[str, Any]]:
        owner = access.writable[0] if access.writable else access.principal
        sql = "SELECT key, value FROM state WHERE owner = ? AND namespace = ? ORDER BY key"
        with translated(self.path):
            return {key: json.loads(value) for key, value in self._db.execute(sql, (owner, namespace))}

    def embedder(self) -> Identity | None:
        with translated(self.path):
            return vectors.stored_identity(self._db)

    def vectors_of(self, access: Access, ids: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        where = Where(DIALECT)
        visible(where, access)
        where.add(f"m.id IN (SELECT value FROM json_each({where.bind(json.dumps(list(ids)))}))")
        sql = f"SELECT m.id, v.vector FROM memories m JOIN vectors v ON v.window = m.key * {vectors.WINDOWS} WHERE {where.sql}"
        with translated(self.path):
            return {id: vectors.unit(blob) for id, blob in self._db.execute(sql, where.values)}

    def pending_vectors(self, limit: int) -> list[tuple[int, str]]:
        with translated(self.path):
            rows: list[tuple[int, str]] = self._db.execute(
                "SELECT p.key, m.content FROM pending_vectors p CROSS JOIN memories m ON m.key = p.key ORDER BY p.key DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return rows

    def put_vectors(self, identity: Identity, vectors_of: Iterable[tuple[int, str, Sequence[Passage]]]) -> int:
        with self._transaction() as db:
            return vectors.put_vectors(db, identity, vectors_of)

    def drop_vectors(self) -> None:
        with self._transaction() as db:
            vectors.drop_vectors(db)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; an empty list when it is sound."""
        with translated(self.path):
            lines = [row[0] for row in self._db.execute("PRAGMA integrity_check")]
        return [] if lines == ["ok"] else lines

    def backup(self, target: Path) -> None:
        """Copies the live store to a new file, consistently."""
        with translated(self.path):
            destination = apsw.Connection(str(target))
            with destination.backup("main", self._db, "main") as copy:
                while not copy.done:
                    copy.step(1000)
            destination.close()

    def digest(self) -> str:
        """Changes whenever another connection has written; cheap to ask."""
        with translated(self.path):
            return hashlib.sha256(str(self._db.pragma("data_version")).encode()).hexdigest()[:16]

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """One snapshot for several queries."""
        with translated(self.path):
            db = self._db
            if db.in_transaction:
                yield db
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("COMMIT")

    def _where(self, access: Access, wanted: Filter, now: datetime) -> Where:
        where = Where(DIALECT)
        visible(where, access)
        matching(where, wanted, now)
        return where

    def _memories(self, where: Where, tail: str = "") -> list[Memory]:
        with translated(self.path):
            return [memory_of(row) for row in self._db.execute(f"SELECT {SELECT} FROM memories m WHERE {where.sql} {tail}", where.values)]

    def _files(self) -> list[Path]:
        every = (self.path, self.path.with_name(self.path.name + "-wal"))
        return [part for part in every if part.exists()]


def _check(connection: apsw.Connection, path: Path) -> None:
    with translated(path):
        if not up_to_date(connection, path):
            raise StoreBusy(f"{path} has an older schema.", hint="Any other `bethink` command upgrades it.")


def _add(counter: dict[str, int], name: str, count: int) -> None:
    counter[name] = counter.get(name, 0) + count
