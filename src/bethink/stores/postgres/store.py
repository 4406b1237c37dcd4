"""The PostgreSQL store: any number of server processes on one database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from bethink.errors import EmbedderMismatch, StoreError
from bethink.model import Access, Filter, Link, Memory, Page, Revision, new_id
from bethink.rank import Found
from bethink.stores.base import AuditEntry, Capabilities, Feed, Plan, Tombstone
from bethink.stores.postgres import schema, search
from bethink.stores.postgres.connection import Connection, Database
from bethink.stores.postgres.rows import SELECT, memory_of, revision_of, storable
from bethink.stores.postgres.transaction import DIALECT, PostgresTransaction, chained, joined, links_of, mend, of_visible, rank
from bethink.stores.where import Where, matching, visible

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage

_ORDERS = {
    "recency": "m.created_at DESC, m.number DESC",
    "importance": "m.importance DESC, m.created_at DESC, m.number DESC",
    "oldest": "m.created_at, m.number",
}
#: A vector that another process began to make is made again after this.
_CLAIM = "60 seconds"


class PostgresStore:
    """Implements `stores.base.Store` on one database. Safe to use from several threads.

    Args:
        url: `postgresql://…`
        pool_size: most connections of this process.
        migrating: bring the schema up to date first.

    Raises:
        StoreTooNew, StoreError
    """

    capabilities = Capabilities(vectors=True, shared=True, row_security=True)

    def __init__(self, url: str, *, pool_size: int = 10, migrating: bool = True) -> None:
        if migrating:
            schema.migrate(url)
        self._database = Database(url, size=pool_size)
        self._frequencies = search.Frequencies()
        self._identity: Identity | None = None
        #: Whose claims on missing vectors are this process's own.
        self._name = new_id()

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def write(self, access: Access) -> Iterator[PostgresTransaction]:
        with self._database.transaction(access) as db:
            yield PostgresTransaction(db, access)

    def get(self, access: Access, ids: Sequence[str]) -> dict[str, Memory]:
        ids = [id for id in ids if storable(id)]
        where = self._visible(access)
        where.add(f"m.id = ANY ({where.bind(list(ids))})")
        sql = f"SELECT {SELECT} FROM memories m WHERE {where.sql} ORDER BY {rank(where, access, access.principal)}"
        found: dict[str, Memory] = {}
        with self._reading(access) as db:
            for row in db.execute(sql, where.values):
                memory = memory_of(row)
                found.setdefault(memory.id, memory)
        return {id: found[id] for id in ids if id in found}

    def resolve(self, access: Access, prefix: str, limit: int = 3) -> list[str]:
        if not storable(prefix):
            return []
        where = self._visible(access)
        where.add(f"starts_with(m.id, {where.bind(prefix)})")
        sql = f"SELECT DISTINCT m.id FROM memories m WHERE {where.sql} ORDER BY m.id LIMIT {int(limit)}"
        with self._reading(access) as db:
            rows = db.execute(sql, where.values).fetchall()
        return [row[0] for row in rows]

    def projects(self, access: Access) -> list[str]:
        where = Where(DIALECT)
        where.within("owner", access.readable)
        if access.project is not None:
            where.equals("project", access.project)
        with self._reading(access) as db:
            rows = db.execute(f"SELECT DISTINCT project FROM scopes WHERE {where.sql} ORDER BY project", where.values)
            return [row[0] for row in rows]

    def page(
        self, access: Access, where: Filter, now: datetime, *, limit: int, offset: int, order: str = "recency", with_total: bool = True
    ) -> Page:
        wanted = self._where(access, where, now)
        with self._reading(access) as db:
            total = _one(db, f"SELECT count(*) FROM memories m WHERE {wanted.sql}", wanted.values) if with_total else -1
            sql = f"SELECT {SELECT} FROM memories m WHERE {wanted.sql} ORDER BY {_ORDERS[order]} LIMIT {int(limit)} OFFSET {int(offset)}"
            memories = tuple(memory_of(row) for row in db.execute(sql, wanted.values))
        return Page(memories, total, limit, offset)

    def walk(self, access: Access, where: Filter, now: datetime) -> Iterator[Memory]:
        last = 0
        wanted = self._where(access, where, now)
        while True:
            with self._reading(access) as db:
                rows = db.execute(
                    f"SELECT m.number, {SELECT} FROM memories m WHERE {wanted.sql} AND m.number > %(last)s ORDER BY m.number LIMIT 500",
                    {**wanted.values, "last": last},
                ).fetchall()
            if not rows:
                return
            yield from (memory_of(row[1:]) for row in rows)
            last = rows[-1][0]

    def search(self, access: Access, plan: Plan) -> Found:
        plan = plan.settled()
        identity = self.embedder() if plan.vector is not None else None
        if identity is None or (plan.vector is not None and len(plan.vector) != identity.dims):
            plan = dataclasses.replace(plan, vector=None)
        with self._reading(access) as db:
            return search.search(db, access, plan, self._frequencies, identity.token_dims if identity else 0)

    def similar(
        self, access: Access, vector: npt.NDArray[np.float32], where: Filter, now: datetime, *, k: int
    ) -> list[tuple[Memory, float]]:
        plan = Plan("", "", where, now, k=k, use_keywords=False, vector=vector)
        found = self.search(access, plan).candidates
        return sorted(((one.memory, one.cosine) for one in found if one.cosine is not None), key=lambda pair: -pair[1])[:k]

    def revisions(self, access: Access, id: str) -> list[Revision]:
        where = _owned(access, "revisions")
        where.equals("memory", id)
        sql = (
            f"SELECT memory, version, at, op, before, actor, client, agent, session, note FROM revisions WHERE {where.sql} ORDER BY number"
        )
        with self._reading(access) as db:
            return [revision_of(row) for row in db.execute(sql, where.values)]

    def revisions_named(self, access: Access, op: str, ids: Sequence[str] | None = None) -> list[Revision]:
        where = self._visible(access)
        where.equals("r.op", op)
        if ids is not None:
            where.add(f"r.memory = ANY ({where.bind(list(ids))})")
        sql = (
            "SELECT r.memory, r.version, r.at, r.op, r.before, r.actor, r.client, r.agent, r.session, r.note FROM revisions r "
            f"JOIN memories m ON m.owner = r.owner AND m.id = r.memory WHERE {where.sql} ORDER BY r.number"
        )
        with self._reading(access) as db:
            return [revision_of(row) for row in db.execute(sql, where.values)]

    def links_of(self, access: Access, ids: Sequence[str]) -> list[Link]:
        with self._reading(access) as db:
            return links_of(db, access, ids)

    def secrets_of(self, access: Access, id: str) -> list[tuple[str, bytes, dict[str, Any]]]:
        where = _owned(access, "secrets")
        where.equals("memory", id)
        with self._reading(access) as db:
            rows = db.execute(f"SELECT name, sealed, meta FROM secrets WHERE {where.sql} ORDER BY name", where.values).fetchall()
        return [(name, bytes(sealed), meta) for name, sealed, meta in rows]

    def walk_secrets(self, access: Access) -> Iterator[tuple[str, str, str, bytes, dict[str, Any]]]:
        where = _owned(access, "secrets")
        sql = f"SELECT owner, memory, name, sealed, meta FROM secrets WHERE {where.sql} ORDER BY memory, name"
        with self._reading(access) as db:
            rows = db.execute(sql, where.values).fetchall()
        for owner, memory, name, sealed, meta in rows:
            yield owner, memory, name, bytes(sealed), meta

    def counts(self, access: Access, now: datetime) -> dict[str, Any]:
        where = self._visible(access)
        at = where.bind(now)
        live = f"m.deleted_at IS NULL AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > {at})"
        sql = (
            f"SELECT m.category, coalesce(m.project, ''), m.source, m.status, m.deleted_at IS NOT NULL, {live}, count(*) "
            f"FROM memories m WHERE {where.sql} GROUP BY 1, 2, 3, 4, 5, 6"
        )
        answer: dict[str, Any] = {"total": 0, "by_category": {}, "by_project": {}, "by_source": {}, "by_status": {}, "deleted": 0}
        with self._reading(access) as db:
            for category, project, source, status, deleted, alive, count in db.execute(sql, where.values):
                if deleted:
                    answer["deleted"] += count
                    continue
                _add(answer["by_status"], status, count)
                if alive:
                    answer["total"] += count
                    _add(answer["by_category"], category, count)
                    _add(answer["by_project"], project or "(global)", count)
                    _add(answer["by_source"], source, count)
            waiting = "SELECT count(*) FROM pending_vectors WHERE owner = ANY (%s)"
            answer["pending_vectors"] = _one(db, waiting, (list(access.readable),))
            answer["db_bytes"] = _one(db, "SELECT pg_database_size(current_database())", None)
        return answer

    def tags(self, access: Access, where: Filter, now: datetime) -> dict[str, int]:
        wanted = self._where(access, where, now)
        sql = f"SELECT t, count(*) FROM memories m, unnest(m.tags) t WHERE {wanted.sql} GROUP BY 1 ORDER BY 2 DESC, 1"
        with self._reading(access) as db:
            return dict(db.execute(sql, wanted.values).fetchall())

    def touch(self, access: Access, ids: Sequence[str], at: datetime) -> None:
        own = dataclasses.replace(access, readable=tuple(owner for owner in access.readable if owner in access.writable))
        where = self._visible(own)
        where.add(f"m.id = ANY ({where.bind(list(ids))})")
        with self._database.transaction(access) as db:
            db.execute(
                f"INSERT INTO usage AS u (owner, id, uses, last_used_at) SELECT m.owner, m.id, 1, {where.bind(at)} FROM memories m "
                f"WHERE {where.sql} ORDER BY m.owner, m.id "
                "ON CONFLICT (owner, id) DO UPDATE SET uses = u.uses + 1, last_used_at = excluded.last_used_at",
                where.values,
            )

    def audit(self, access: Access, *, after: int = 0) -> Iterator[AuditEntry]:
        where = _owned(access, "audit")
        where.add(f"number > {where.bind(after)}")
        sql = f"SELECT number, at, actor, action, subject, detail, digest FROM audit WHERE {where.sql} ORDER BY at, number"
        with self._reading(access) as db:
            rows = db.execute(sql, where.values).fetchall()
        for number, at, actor, action, subject, detail, digest in rows:
            yield AuditEntry(number, at, actor, action, subject, detail, "", bytes(digest).hex())

    def verify_audit(self) -> int | None:
        last: dict[str, tuple[int, bytes]] = {}
        with self._database.transaction(None, read_only=True) as db:
            sql = "SELECT owner, number, at, actor, action, subject, detail, digest FROM audit ORDER BY owner, number"
            for owner, number, at, actor, action, subject, detail, digest in db.execute(sql):
                before, previous = last.get(owner, (0, b""))
                if number != before + 1 or chained(previous, (at, owner, actor, action, subject, detail)) != bytes(digest):
                    return int(number)
                last[owner] = (number, bytes(digest))
            for owner, audited in db.execute("SELECT owner, audited FROM counters"):
                if bytes(audited) != last.get(owner, (0, b""))[1]:
                    return last.get(owner, (0, b""))[0] + 1
        return None

    def changes(self, access: Access, since: Mapping[str, int], limit: int) -> Feed:
        order: list[tuple[str, int, str, str | None, bool]] = []
        reached = {}
        has_more = False
        for owner in access.readable:
            reached[owner] = since.get(owner, 0)
            room = limit - len(order)
            if room <= 0:
                has_more = True
                continue
            where = self._visible(access)
            where.equals("m.owner", owner)
            after = where.bind(reached[owner])
            whose = where.bind(owner)
            # One statement sees one state of both tables: nothing is passed over between them.
            sql = (
                f"SELECT owner, seq, id, NULL, true FROM memories m WHERE {where.sql} AND m.seq > {after} UNION ALL "
                f"SELECT owner, seq, id, twin, false FROM tombstones WHERE owner = {whose} AND seq > {after} "
                f"ORDER BY seq LIMIT {room + 1}"
            )
            with self._reading(access) as db:
                rows = db.execute(sql, where.values).fetchall()
            has_more = has_more or len(rows) > room
            order += rows[:room]
            if rows:
                reached[owner] = rows[:room][-1][1]
        found = self.get(access, [id for _, _, id, _, here in order if here])
        gone = tuple(Tombstone(owner, id, seq, twin) for owner, seq, id, twin, here in order if not here)
        return Feed(tuple(found.values()), gone, reached, has_more)

    def counters(self, access: Access) -> dict[str, int]:
        where = _owned(access, "counters")
        with self._reading(access) as db:
            found = dict(db.execute(f"SELECT owner, seq FROM counters WHERE {where.sql}", where.values).fetchall())
        return {owner: int(found.get(owner, 0)) for owner in access.readable}

    def marks(self, access: Access, owner: str) -> Iterator[tuple[str, int, int]]:
        where = self._visible(access)
        where.equals("m.owner", owner)
        with self._reading(access) as db:
            rows = db.execute(f"SELECT m.id, m.version, coalesce(m.seq, 0) FROM memories m WHERE {where.sql}", where.values).fetchall()
        return iter([(id, version, seq) for id, version, seq in rows])

    def edges(self, access: Access, owner: str) -> Iterator[tuple[str, str, str]]:
        where = Where(DIALECT)
        where.equals("links.owner", owner)
        joined(where, access)
        with self._reading(access) as db:
            rows = db.execute(f"SELECT source, target, type FROM links WHERE {where.sql}", where.values).fetchall()
        return iter([(source, target, type) for source, target, type in rows])

    def state(self, access: Access, namespace: str) -> dict[str, dict[str, Any]]:
        owner = access.writable[0] if access.writable else access.principal
        sql = "SELECT key, value FROM state WHERE owner = %s AND namespace = %s ORDER BY key"
        with self._reading(access) as db:
            rows = db.execute(sql, (owner, namespace)).fetchall()
        return {row[0]: dict(row[1]) for row in rows}

    def embedder(self) -> Identity | None:
        from bethink.embed.base import Identity

        if self._identity is None:
            with self._database.transaction(None, read_only=True) as db:
                row = db.execute("SELECT value FROM facts WHERE name = 'embedder'").fetchone()
            self._identity = Identity(**row[0]) if row else None
        return self._identity

    def vectors_of(self, access: Access, ids: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        import numpy as np

        where = self._visible(access)
        where.add(f"m.id = ANY ({where.bind(list(ids))})")
        sql = f"SELECT m.id, w.vector FROM memories m JOIN windows w ON w.owner = m.owner AND w.id = m.id AND w.place = 0 WHERE {where.sql}"
        answer = {}
        with self._reading(access) as db:
            for id, half in db.execute(sql, where.values):
                vector = np.asarray(half.to_list(), dtype=np.float32)
                answer[id] = vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))
        return answer

    def pending_vectors(self, limit: int) -> list[tuple[int, str]]:
        sql = (
            f"WITH taken AS (SELECT owner, id FROM pending_vectors "
            f"WHERE claimed_at IS NULL OR claimed_by = %(me)s OR claimed_at < now() - interval '{_CLAIM}' "
            "ORDER BY id DESC LIMIT %(limit)s FOR UPDATE SKIP LOCKED), "
            "claimed AS (UPDATE pending_vectors p SET claimed_at = now(), claimed_by = %(me)s "
            "FROM taken t WHERE p.owner = t.owner AND p.id = t.id) "
            "SELECT m.number, m.content FROM taken t JOIN memories m ON m.owner = t.owner AND m.id = t.id"
        )
        with self._database.transaction(None) as db:
            return [(number, content) for number, content in db.execute(sql, {"me": self._name, "limit": limit})]

    def put_vectors(self, identity: Identity, vectors: Iterable[tuple[int, str, Sequence[Passage]]]) -> int:
        stored = self.embedder()
        if stored is None:
            self._begin_vectors(identity)
        elif stored != identity:
            raise EmbedderMismatch(f"The store's vectors were made by {stored}, not by {identity}.")
        with self._database.transaction(None) as db:
            return sum(_put(db, number, content, passages) for number, content, passages in vectors)

    def drop_vectors(self) -> None:
        with self._database.transaction(None) as db:
            db.execute("DROP INDEX IF EXISTS windows_vector")
            db.execute("TRUNCATE windows")
            db.execute("DELETE FROM facts WHERE name = 'embedder'")
            db.execute(
                "INSERT INTO pending_vectors (owner, id) SELECT owner, id FROM memories "
                "ON CONFLICT (owner, id) DO UPDATE SET claimed_at = NULL"
            )
        self._identity = None

    def check(self) -> list[str]:
        """What is wrong with the database; an empty list when it answers and has our schema."""
        found = schema.current(self._database.url)
        return [] if found == schema.REVISION else [f"The schema is {found}, not {schema.REVISION}."]

    def ping(self) -> None:
        """Asks the database for a sign of life, and for its schema.

        Raises:
            StoreError: there is none, or the schema is another.
        """
        with self._database.transaction(None, read_only=True) as db:
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is None or row[0] != schema.REVISION:
            found = row[0] if row else "missing"
            raise StoreError(f"The schema is {found}, not {schema.REVISION}.", hint="Run `bethink migrate`.")

    def totals(self) -> dict[str, int]:
        """How many memories hold by category, of all owners; for the server's metrics."""
        live = "deleted_at IS NULL AND status = 'active'"
        with self._database.transaction(None, read_only=True) as db:
            return dict(db.execute(f"SELECT category, count(*) FROM memories WHERE {live} GROUP BY 1").fetchall())

    def waiting(self) -> int:
        """How many memories wait for a vector, of all owners."""
        with self._database.transaction(None, read_only=True) as db:
            return _one(db, "SELECT count(*) FROM pending_vectors", None)

    def pool(self) -> dict[str, int]:
        """The connection pool's counters."""
        return self._database.stats()

    def _begin_vectors(self, identity: Identity) -> None:
        with self._database.transaction(None) as db:
            indexed = f"(vector::halfvec({int(identity.dims)})) halfvec_cosine_ops"
            db.execute(f"CREATE INDEX IF NOT EXISTS windows_vector ON windows USING hnsw ({indexed})")
            value = Jsonb(dataclasses.asdict(identity))
            db.execute("INSERT INTO facts (name, value) VALUES ('embedder', %s) ON CONFLICT DO NOTHING", (value,))
        self._identity = None
        stored = self.embedder()
        if stored != identity:
            raise EmbedderMismatch(f"The store's vectors were made by {stored}, not by {identity}.")

    @contextmanager
    def _reading(self, access: Access) -> Iterator[Connection]:
        with self._database.transaction(access, read_only=True) as db:
            yield db

    def _visible(self, access: Access) -> Where:
        where = Where(DIALECT)
        visible(where, access)
        return where

    def _where(self, access: Access, wanted: Filter, now: datetime) -> Where:
        where = self._visible(access)
        matching(where, wanted, now)
        mend(where)
        return where


def _owned(access: Access, table: str) -> Where:
    """The rows of a table beside the memories that `access` may read."""
    where = Where(DIALECT)
    if table in ("revisions", "secrets"):
        where.add(of_visible(table, "memory", where, access.without_loans()))
        return where
    where.within("owner", access.readable)
    if table == "audit" and access.project is not None:
        where.add(of_visible("audit", "subject", where, access))
    return where


def _put(db: Connection, number: int, content: str, passages: Sequence[Passage]) -> bool:
    """Stores one memory's windows, unless its text changed meanwhile."""
    row = db.execute("SELECT owner, id, content FROM memories WHERE number = %s FOR UPDATE", (number,)).fetchone()
    if row is None:
        return False
    if row[2] != content:
        # Whoever looks next shall not wait for this claim to run out.
        db.execute("UPDATE pending_vectors SET claimed_at = NULL WHERE owner = %s AND id = %s", row[:2])
        return False
    owner, id, _ = row
    db.execute("DELETE FROM windows WHERE owner = %s AND id = %s", (owner, id))
    for place, passage in enumerate(passages):
        vector = "[" + ",".join(f"{part:.5g}" for part in passage.vector.tolist()) + "]"
        values = (owner, id, place, vector, passage.tokens.tobytes())
        db.execute("INSERT INTO windows (owner, id, place, vector, tokens) VALUES (%s, %s, %s, %s::halfvec, %s)", values)
    db.execute("DELETE FROM pending_vectors WHERE owner = %s AND id = %s", (owner, id))
    return True


def _one(db: Connection, sql: str, values: Any) -> int:
    row = db.execute(sql, values).fetchone()
    return int(row[0]) if row else 0


def _add(counter: dict[str, int], name: str, count: int) -> None:
    counter[name] = counter.get(name, 0) + count
