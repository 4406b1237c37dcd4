"""The second lock: with the application's own predicate taken away, PostgreSQL still lets nothing through."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from bethink.errors import BethinkError
from bethink.model import Access, Draft, Filter, Link
from bethink.service.core import Core, utc_now
from bethink.service.memories import Memories
from bethink.stores import where
from bethink.stores.base import Plan
from bethink.stores.postgres import PostgresStore, search, store, transaction
from kit.postgres import shared

ALICE, BOB = Access.local("alice"), Access.local("bob")
EVERY = Filter(statuses=())


@pytest.fixture
def opened() -> Iterator[PostgresStore]:
    url = shared().migrated()
    made = PostgresStore(url, migrating=False)
    yield made
    made.close()
    shared().drop(url)


@pytest.fixture
def ids(opened: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two linked memories of alice, one of them revised; then the predicate is gone."""
    memories = Memories(opened, ALICE)
    one = memories.remember(Draft("alice keeps the port at 5433", tags=("net",))).memory
    other = memories.remember(Draft("alice also likes long walks", tags=("fun",))).memory
    memories.link(one.id, other.id, "see_also")
    from bethink.model import Changes

    memories.revise(one.id, Changes(importance=0.9))
    with opened.write(ALICE) as tx:
        tx.put_secret(one.id, "password", b"sealed", {"tier": "test"})

    def nothing(conditions: where.Where, *_: object) -> None:
        conditions.add("1 = 1")

    for module in (where, store, search, transaction):
        for name in ("visible", "writable", "_reachable"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, nothing)
    monkeypatch.setattr(where.Where, "within", lambda self, *_: self.add("1 = 1"))
    return [one.id, other.id]


def test_the_probe_works(opened: PostgresStore, ids: list[str]) -> None:
    """Whoever may read finds all of it without the predicate."""
    assert set(opened.get(ALICE, ids)) == set(ids)
    assert opened.page(ALICE, EVERY, utc_now(), limit=10, offset=0).total == 2
    assert len(opened.search(ALICE, Plan("port walks", "", EVERY, utc_now())).candidates) == 2


def test_nothing_is_read(opened: PostgresStore, ids: list[str]) -> None:
    now = utc_now()
    assert opened.get(BOB, ids) == {}
    assert opened.resolve(BOB, ids[0][:8]) == []
    assert opened.page(BOB, EVERY, now, limit=10, offset=0).memories == ()
    assert opened.page(BOB, EVERY, now, limit=10, offset=0).total == 0
    assert list(opened.walk(BOB, EVERY, now)) == []
    assert opened.search(BOB, Plan("port walks alice", "", EVERY, now)).candidates == ()
    assert opened.tags(BOB, EVERY, now) == {}
    assert opened.counts(BOB, now)["by_status"] == {}
    assert opened.revisions(BOB, ids[0]) == [] and opened.links_of(BOB, ids) == []
    assert opened.secrets_of(BOB, ids[0]) == [] and list(opened.walk_secrets(BOB)) == []
    assert list(opened.audit(BOB)) == [] and opened.projects(BOB) == [] and opened.vectors_of(BOB, ids) == {}


def test_nothing_is_written(opened: PostgresStore, ids: list[str]) -> None:
    hers = opened.get(ALICE, [ids[0]])[ids[0]]
    for write in (
        lambda tx: tx.insert(hers.with_(id="another")),
        lambda tx: tx.update(hers.with_(content="bob was here", version=hers.version + 1), hers),
        lambda tx: tx.erase(ids[0]),
        lambda tx: tx.put_secret(ids[0], "password", b"bob's", {}),
        lambda tx: tx.add_link(Link(ids[0], ids[1], "supersedes", utc_now())),
    ):
        with pytest.raises(BethinkError), opened.write(BOB) as tx:
            tx._must_be_writable = lambda _: None  # type: ignore[method-assign]  # the application's second look, gone too
            write(tx)
    with opened.write(BOB) as tx:
        tx.scrub_revisions(ids[0]) if False else tx.remove_link(ids[0], ids[1], "see_also")
    assert opened.get(ALICE, [ids[0]])[ids[0]] == hers
    assert len(opened.links_of(ALICE, ids)) == 1
    assert [blob for _, blob, _ in opened.secrets_of(ALICE, ids[0])] == [b"sealed"]


def test_every_table_of_owners_is_under_row_security(opened: PostgresStore) -> None:
    sql = (
        "SELECT c.relname, c.relrowsecurity FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relkind = 'r' AND a.attname = 'owner' AND c.relnamespace = 'public'::regnamespace"
    )
    with psycopg.connect(opened._database.url) as db:
        tables = dict(db.execute(sql).fetchall())
    # A queue of keys that the server works off for everybody; it holds no content.
    assert tables.pop("pending_vectors") is False
    assert len(tables) >= 11 and all(tables.values()), tables


def test_words_are_looked_up_by_index(opened: PostgresStore) -> None:
    """`@@` might leak, so that a policy would be asked first, of every row: the lookup runs as a function of the owner's."""
    memories: Core = Memories(opened, ALICE)
    assert memories.store is opened
    with opened._database.transaction(None) as db:
        db.execute(
            "INSERT INTO memories (owner, id, category, created_at, updated_at, content_hash, content, words) "
            "SELECT 'alice', 'bulk-' || n, 'facts', now(), now(), decode(md5(n::text), 'hex'), 'x', 'filler number ' || md5(n::text) "
            "FROM generate_series(1, 20000) n"
        )
        db.execute("ANALYZE memories")
    with opened._database.transaction(ALICE, read_only=True) as db:
        db.execute("SELECT set_config('enable_seqscan', 'on', true)")
        reads = "SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'memories'"
        before = db.execute(reads).fetchone()
        assert db.execute("SELECT count(*) FROM bethink_found(plainto_tsquery('bethink_english', md5('77')))").fetchone() == (1,)
        after = db.execute(reads).fetchone()
    assert before is not None and after is not None and (after[0] or 0) > (before[0] or 0)
