"""Opening the file: pragmas, SQLite's errors as ours, and the schema's versions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bethink.errors import BethinkError, StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreTooNew

#: "Bthk": tells our files from other SQLite files.
APPLICATION_ID = 0x4274686B
SCHEMA_VERSION = 6
#: How the index splits text below the stemmer, as in the migrations: vowel signs belong to their words.
TOKENIZER = ("unicode61", "remove_diacritics", "2", "categories", "L* N* Co Mn Mc")

# apsw reports statement caching and busy retries to nobody by default; keep SQLite's own log off stderr.
_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA recursive_triggers = ON;
PRAGMA journal_size_limit = 67108864;
PRAGMA mmap_size = 268435456;
PRAGMA cache_size = -16384;
PRAGMA secure_delete = ON;
"""


def connect(path: Path, *, busy_ms: int, read_only: bool = False) -> apsw.Connection:
    """An open connection to the store at `path`, which is made unless `read_only`.

    Raises:
        StoreError: the file cannot be opened, is damaged, or is no store.
    """
    with translated(path):
        if read_only:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(busy_ms)
            connection.execute("PRAGMA mmap_size = 268435456; PRAGMA query_only = ON").fetchall()
            return connection
        _make_folder(path)
        _refuse_garbage(path)
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(busy_ms)
        # Before anything is set, as setting writes.
        up_to_date(connection, path)
        _enable_wal(connection)
        connection.execute(_PRAGMAS).fetchall()
        return connection


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Made by us first, so that the file is never readable for others, not even for a moment.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except FileExistsError:
        raise StoreError(f"{path.parent} is not a folder.", hint="Set MEMORY_HOME or MEMORY_DB to another place.") from None
    except OSError as error:
        raise _from_os(error, path) from error


def _refuse_garbage(path: Path) -> None:
    # SQLite takes a file that is shorter than its header for an empty one, and writes over it.
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise _from_os(error, path) from error
    if start and start != b"SQLite format 3\0":
        raise StoreCorrupt(f"{path} is damaged or is not a Bethink store.")


def _from_os(error: OSError, path: Path) -> StoreError:
    if error.errno in (28, 122):
        return StoreFull()
    return StoreError(f"Cannot write {path}: {error.strerror}.", hint="Set MEMORY_HOME or MEMORY_DB to a place you can write to.")


def _enable_wal(connection: apsw.Connection) -> None:
    # Switching the mode needs the file for itself and does not wait by the busy timeout, so ask first.
    if connection.execute("PRAGMA journal_mode").get != "wal":
        for _ in range(200):
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
                return
            except apsw.BusyError:
                apsw.sleep(25)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors inside become Bethink's."""
    try:
        yield
    except BethinkError:
        raise
    except apsw.BusyError as error:
        raise StoreBusy() from error
    except apsw.FullError as error:
        raise StoreFull() from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(f"{path} is damaged or is not a Bethink store ({error}).") from error
    except apsw.IOError as error:
        if error.extendedresult in (apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_SHMSIZE):
            raise StoreFull(f"The store cannot be written; is the disk full? ({error})") from error
        raise StoreError(f"Reading or writing {path} failed: {error}.") from error
    except apsw.CantOpenError as error:
        raise StoreError(f"Cannot open {path}: {error}.", hint="Set MEMORY_HOME or MEMORY_DB to a place you can write to.") from error
    except apsw.ReadOnlyError as error:
        raise StoreError(f"{path} is read-only.", hint="Check the file's permissions.") from error
    except apsw.Error as error:
        raise StoreError(f"SQLite: {error}") from error


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Brings the schema up to date; several processes may do this at once.

    Raises:
        StoreTooNew: a newer Bethink wrote the file.
        StoreCorrupt: it is another program's database.
    """
    with translated(path):
        if up_to_date(connection, path):
            return
        with connection:  # a savepoint: nested, so that the upgrade below is one transaction
            pass
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not up_to_date(connection, path):
                for version in range(connection.pragma("user_version") + 1, SCHEMA_VERSION + 1):
                    connection.execute(_script(version)).fetchall()
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}").fetchall()
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}").fetchall()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def up_to_date(connection: apsw.Connection, path: Path) -> bool:
    """Whether the schema is this version's; False when it is older or not there yet.

    Raises:
        StoreTooNew, StoreCorrupt: see `migrate`.
    """
    version: int = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(f"{path} has schema {version}; this Bethink knows {SCHEMA_VERSION}.")
    is_empty = version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    # Asked last: another process may make the store between two questions, and whose it is comes with the tables.
    application: Any = connection.pragma("application_id")
    if not is_empty and application != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a database of another program.", hint="Set MEMORY_DB to another file.")
    return version == SCHEMA_VERSION


def _script(version: int) -> str:
    folder = Path(__file__).with_name("migrations")
    name = next(entry.name for entry in folder.iterdir() if entry.name.startswith(f"{version:03d}_"))
    return (folder / name).read_text("utf-8")
