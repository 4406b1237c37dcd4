"""The schema's versions: Alembic migrations, run by one process at a time."""

from __future__ import annotations

import io
from importlib.resources import as_file, files
from typing import Any

from bethink.errors import StoreError, StoreTooNew

#: The newest revision in `migrations/versions`.
REVISION = "0008"
#: Key of the advisory lock that migrating processes queue for.
_LOCK = 0x4274686B


def migrate(url: str) -> None:
    """Brings the schema up to date; processes that start at once wait for the one that does it.

    Raises:
        StoreTooNew: a newer Bethink migrated the database.
        StoreError: a migration failed; nothing of it remains.
    """
    import sqlalchemy

    engine = sqlalchemy.create_engine(_sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({_LOCK})"))
            connection.commit()
            try:
                _refuse_newer(connection)
                _upgrade(connection)
                connection.commit()
            finally:
                connection.rollback()
                connection.execute(sqlalchemy.text(f"SELECT pg_advisory_unlock({_LOCK})"))
                connection.commit()
    except sqlalchemy.exc.OperationalError as error:
        raise StoreError(f"The database cannot be reached: {_brief(error)}", hint="Check DATABASE_URL and that PostgreSQL runs.") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StoreError(
            f"Migrating the database failed: {_brief(error)}", hint="`bethink migrate --sql` prints what would be run."
        ) from error
    finally:
        engine.dispose()


def as_sql() -> str:
    """The migrations as SQL, for those who run such things by hand."""
    from alembic import command

    output = io.StringIO()
    with as_file(files("bethink.stores.postgres") / "migrations") as folder:
        configuration = _configuration(str(folder))
        configuration.attributes["output"] = output
        command.upgrade(configuration, "head", sql=True)
    return output.getvalue()


def current(url: str) -> str | None:
    """The revision of a database, None when it has no schema of ours."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(_sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            return _revision(connection)
    finally:
        engine.dispose()


def _upgrade(connection: Any) -> None:
    from alembic import command

    with as_file(files("bethink.stores.postgres") / "migrations") as folder:
        configuration = _configuration(str(folder))
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def _configuration(folder: str) -> Any:
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", folder.replace("%", "%%"))
    configuration.set_main_option("sqlalchemy.url", "postgresql://")
    return configuration


def _refuse_newer(connection: Any) -> None:
    found = _revision(connection)
    if found is not None and found > REVISION:
        raise StoreTooNew(f"The database has schema {found}; this Bethink knows {REVISION}.")


def _revision(connection: Any) -> str | None:
    import sqlalchemy

    if connection.execute(sqlalchemy.text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def _sqlalchemy_url(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0]
