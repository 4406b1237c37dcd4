"""Connections under the asker's rights: a pool, row-level security per transaction, PostgreSQL's errors as ours."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from bethink.errors import BethinkError, StoreBusy, StoreError, StoreFull
from bethink.model import Access
from bethink.stores.base import REQUEST

Connection = psycopg.Connection[tuple[Any, ...]]
#: Between the names in a list that the policies read; no name may hold it.
_SEPARATOR = "\x1f"
_AS_APPLICATION = (
    "SELECT set_config('transaction_read_only', %s, true), set_config('bethink.readable', %s, true), "
    "set_config('bethink.writable', %s, true), set_config('bethink.granted', %s, true), set_config('role', 'bethink_app', true)"
)

_AWAY = "The database cannot be reached."
_AWAY_HINT = "Nothing was stored; try again in a moment. Check DATABASE_URL and that PostgreSQL runs."
#: Seconds for which the database is taken to be away after it was found to be.
_AWAY_SECONDS = 1.0
#: Seconds that a caller waits for a connection while the others work.
_BUSY_SECONDS = 15.0
_REQUEST = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Database:
    """A pool of connections to one database.

    Args:
        url: `postgresql://…`
        size: most connections at once.
        patience: seconds to wait for a free one before asking whether the database is there at all.
    """

    def __init__(self, url: str, *, size: int = 10, patience: float = 5.0, statement_seconds: float = 30.0) -> None:
        self.url = url
        self._away_until = 0.0
        self._errors = 0
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            timeout=patience,
            kwargs={
                "autocommit": True,
                # What the URL says of timeouts and the like holds; the time zone is ours.
                "options": f"-c statement_timeout={int(statement_seconds * 1000)} -c lock_timeout=10000 {_options(url)} -c timezone=UTC",
                "application_name": "bethink",
            },
            configure=_configured,
            check=ConnectionPool.check_connection,
            open=False,
        )
        self._pool.open()

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def transaction(self, access: Access | None, *, read_only: bool = False) -> Iterator[Connection]:
        """A transaction in which the database itself lets nothing through but what `access` may see.

        None is the server's own work, such as making vectors, across all owners.
        """
        with translated(), self._connection() as connection, connection.transaction():
            if access is None and read_only:
                connection.execute("SET TRANSACTION READ ONLY")
            if access is not None:
                rights = ("on" if read_only else "off", _listed(access.readable), _listed(access.writable), _granted(access))
                connection.execute(f"{_comment()}{_AS_APPLICATION}".encode(), rights)
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection of the pool; while the database is away, an error at once instead of a queue of callers."""
        if time.monotonic() < self._away_until:
            raise StoreError(_AWAY, hint=_AWAY_HINT)
        connection = self._taken(time.monotonic() + _BUSY_SECONDS)
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    def _taken(self, end: float) -> Connection:
        """A free connection. When the database is there and only busy, waiting longer helps."""
        while True:
            try:
                return self._pool.getconn()
            except PoolTimeout as error:
                stats = self._pool.get_stats()
                if stats.get("pool_size", 0) == 0 or stats.get("connections_errors", 0) > self._errors:
                    self._errors = stats.get("connections_errors", 0)
                    self._away_until = time.monotonic() + _AWAY_SECONDS
                    raise StoreError(_AWAY, hint=_AWAY_HINT) from error
                if time.monotonic() > end:
                    raise

    def stats(self) -> dict[str, int]:
        """The pool's counters."""
        return dict(self._pool.get_stats())


def _options(url: str) -> str:
    """What the URL itself asks of each session, such as a search_path."""
    try:
        return str(conninfo_to_dict(url).get("options", ""))
    except psycopg.ProgrammingError:
        # Connecting says better what is wrong with it.
        return ""


def _configured(connection: Connection) -> None:
    register_vector(connection)


def _comment() -> str:
    """The request that a transaction is for, as a comment before its first statement."""
    request = REQUEST.get()
    return f"/* request={request} */ " if _REQUEST.fullmatch(request) else ""


def _granted(access: Access) -> str:
    return json.dumps([dataclasses.asdict(grant) for grant in access.grants])


def _listed(names: tuple[str, ...]) -> str:
    if any(_SEPARATOR in name for name in names):
        raise StoreError("An owner's name holds a control character.")
    return _SEPARATOR.join(names)


@contextmanager
def translated() -> Iterator[None]:
    """PostgreSQL's errors inside become Bethink's."""
    try:
        yield
    except BethinkError:
        raise
    except PoolTimeout as error:
        raise StoreBusy("No connection to the database became free in time, or it cannot be reached.") from error
    except psycopg.errors.DiskFull as error:
        raise StoreFull("The database's disk is full: nothing was stored.") from error
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled) as error:
        raise StoreBusy(f"The database did not finish in time: {error.diag.message_primary}.") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(f"The database refuses: {error.diag.message_primary}.") from error
    except psycopg.OperationalError as error:
        raise StoreError(
            f"The database cannot be reached: {str(error).splitlines()[0] if str(error) else error}",
            hint="Check DATABASE_URL and that PostgreSQL runs.",
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"PostgreSQL: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
