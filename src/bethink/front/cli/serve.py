"""Commands of a team's server: serve, migrate."""

from __future__ import annotations

from typing import Annotated

import typer

from bethink.errors import ConfigError, InvalidInput
from bethink.front.cli import shown
from bethink.front.cli.asked import Json, settings_of

_INSTALL = "Install bethink[server]."


def register(app: typer.Typer) -> None:
    for command in (serve, migrate):
        app.command(command.__name__)(command)


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; beyond this machine credentials are needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8420,
) -> None:
    """Serve memories over HTTP: REST under /api, MCP under /mcp, documentation under /docs. Ends on SIGTERM or Ctrl-C."""
    try:
        from bethink.front.http.serve import serve as run
    except ImportError as error:
        raise ConfigError(f"The server needs {error.name}.", hint=_INSTALL) from error
    raise typer.Exit(run(settings_of(), host, port))


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the migrations as SQL and change nothing.")] = False, as_json: Json = False
) -> None:
    """Bring the PostgreSQL schema of DATABASE_URL up to date. The server does this itself when it starts."""
    try:
        from bethink.stores.postgres import schema
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs {error.name}.", hint="Install bethink[postgres].") from error
    if sql:
        shown.say(schema.as_sql())
        return
    url = settings_of()["DATABASE_URL"]
    if not url:
        raise InvalidInput("DATABASE_URL is not set.", hint="The SQLite store is migrated when it is opened.")
    schema.migrate(url)
    if as_json:
        shown.json({"schema": schema.current(url)})
    else:
        shown.say(f"The schema is {schema.current(url)}.")
