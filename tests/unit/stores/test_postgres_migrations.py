"""A database of an earlier version is brought up to date with what it holds, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import as_file, files

import psycopg
import pytest
import sqlalchemy
from alembic import command
from psycopg.types.json import Jsonb

from bethink.model import Filter
from bethink.stores.base import Plan
from bethink.stores.postgres import PostgresStore, schema
from kit.memories import ANN, NOW
from kit.postgres import database

_ROW = """
INSERT INTO memories (owner, id, category, created_at, updated_at, content_hash, content, words)
VALUES ('ann', 'one', 'facts', now(), now(), 'x', 'S with company', 's with company')
"""


@pytest.fixture
def url() -> Iterator[str]:
    with database() as made:
        yield made


def at(url: str, revision: str, move: Callable[..., None] = command.upgrade) -> None:
    engine = sqlalchemy.create_engine(schema._sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection, as_file(files("bethink.stores.postgres") / "migrations") as folder:
        configuration = schema._configuration(str(folder))
        configuration.attributes["connection"] = connection
        move(configuration, revision)
        connection.commit()
    engine.dispose()


def found(url: str, word: str) -> list[str]:
    store = PostgresStore(url, pool_size=2)
    try:
        return [one.memory.content for one in store.search(ANN, Plan(word, "", Filter(), NOW)).candidates]
    finally:
        store.close()


def test_words_that_were_dropped_are_found_after_the_upgrade(url: str) -> None:
    at(url, "0005")
    with psycopg.connect(url) as db:
        db.execute(_ROW)
    assert schema.current(url) == "0005"
    assert found(url, "S") == found(url, "companies") == ["S with company"]
    assert schema.current(url) == schema.REVISION


def test_the_upgrade_can_be_taken_back_and_done_again(url: str) -> None:
    at(url, "0006")
    with psycopg.connect(url) as db:
        db.execute(_ROW)
    at(url, "0005", command.downgrade)
    with psycopg.connect(url) as db:
        assert db.execute("SELECT search::text FROM memories").fetchone() == ("'compani':3A 'fact':4",)
        assert db.execute("SELECT count(*) FROM pg_ts_config WHERE cfgname LIKE 'bethink%'").fetchone() == (0,)
    assert found(url, "S") == ["S with company"]


def test_another_schema_than_public(url: str) -> None:
    with psycopg.connect(url) as db:
        db.execute("CREATE SCHEMA team; CREATE EXTENSION vector SCHEMA public")
    inside = f"{url}&options=-csearch_path%3Dteam,public"
    schema.migrate(inside)
    with psycopg.connect(inside) as db:
        db.execute(_ROW)
        assert db.execute("SELECT cfgnamespace::regnamespace::text FROM pg_ts_config WHERE cfgname = 'bethink_english'").fetchone() == (
            "team",
        )
    assert found(inside, "S") == ["S with company"]


def test_answers_of_before_lose_what_did_not_win(url: str) -> None:
    at(url, "0007")
    with psycopg.connect(url) as db:
        for operation, answer in (("first", {"id": "one", "lost": {"content": "the quokka"}}), ("second", {"id": "one"})):
            db.execute("INSERT INTO operations (owner, operation, answer) VALUES ('ann', %s, %s)", (operation, Jsonb(answer)))
    schema.migrate(url)
    with psycopg.connect(url) as db:
        assert db.execute("SELECT answer FROM operations").fetchall() == [({"id": "one"},), ({"id": "one"},)]
