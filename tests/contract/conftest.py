"""Every backend of the port to stores: a test that asks for `store` runs on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bethink.stores.base import Store

#: Opens (again) the one store of a test.
Opening = Callable[[], Store]


def sqlite(folder: Path) -> Opening:
    from bethink.stores.sqlite import SQLiteStore

    return lambda: SQLiteStore(folder / "memory.db")


def postgres(folder: Path) -> Opening:
    from bethink.stores.postgres import PostgresStore
    from kit.postgres import shared

    url = shared().migrated()
    return lambda: PostgresStore(url, pool_size=8, migrating=False)


#: Name → how a test's store is opened; a folder of the test's own is given.
BACKENDS: dict[str, Callable[[Path], Opening]] = {"sqlite": sqlite, "postgres": postgres}


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """Opens the test's store, as often as wanted; each is closed at the end."""
    opening = BACKENDS[request.param](tmp_path)
    opened: list[Store] = []

    def another() -> Store:
        opened.append(opening())
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opening) -> Store:
    return open_store()
