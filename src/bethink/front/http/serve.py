"""`bethink serve`: the server process, from the settings to the last answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from bethink.front.http import logs, tracing
from bethink.front.http.app import create_app

if TYPE_CHECKING:
    from bethink.config import Settings

#: Seconds that running requests get when the process is asked to end.
DRAIN_SECONDS = 20
#: Connections beyond this are answered 503 instead of waiting.
MOST_CONNECTIONS = 1000


def serve(settings: Settings, host: str, port: int) -> int:
    """Serves until the process is asked to end (SIGTERM, SIGINT), then finishes what runs; answers the exit code.

    Raises:
        ConfigError: a setting is wrong, or everybody could read the memories.
        StoreError: the database cannot be reached or migrated.
    """
    logs.configure(settings["LOG_FORMAT"])
    tracing.configure()
    app = create_app(settings, host, at_end=tracing.end)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=30,
        limit_concurrency=MOST_CONNECTIONS,
        # uvicorn's own limit for the head of a request
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    logs.say(f"listening on http://{host}:{port}; {_who(app.state.server.needs_credentials)}")
    if (upstream := app.state.server.upstream) is not None:
        logs.say(f"the store is a replica; it is kept equal with {upstream.address}")
    server.run()
    return 0 if server.started else 3


def _who(needs_credentials: bool) -> str:
    return "credentials are needed" if needs_credentials else "the one local user is served without credentials"
