"""Servers on either database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bethink.stores.base import Store
from bethink.stores.postgres import PostgresStore
from kit import postgres


@pytest.fixture(params=["sqlite", "postgres"])
def kept_in(request: pytest.FixtureRequest) -> Iterator[Store | None]:
    """The server's store; None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    with postgres.database() as url:
        store = PostgresStore(url)
        yield store
        store.close()
