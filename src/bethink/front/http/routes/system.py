"""The server itself: health, who one is, metrics, caches, where tokens are had."""

from __future__ import annotations

import hmac
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from bethink.errors import BethinkError, NotFound
from bethink.front.http import metrics
from bethink.front.http.deps import ERRORS, Reads, Rules, answer, caller_of, router, server_of
from bethink.front.http.door import address
from bethink.front.http.errors import Unauthenticated
from bethink.front.http.models import Health
from bethink.front.http.server import LOOPBACK
from bethink.service.core import utc_now
from bethink.service.people import SCOPES

routes = router("system")
#: Reached without credentials.
open_routes = APIRouter(tags=["system"], responses={code: ERRORS[code] for code in (400, 403, 404)})


@open_routes.get("/health", response_model=Health, responses={503: {"model": Health, "description": "The database is away."}})
def health(request: Request) -> Response:
    """Whether the server can answer: the database is reached and its schema is the one this server knows."""
    shape: dict[str, Any] = {"status": "ok", "database": "ok", "version": version("bethink"), "timestamp": utc_now().isoformat()}
    # As claude-memory has it.
    shape.update(db="ok", db_error=None)
    server = server_of(request)
    try:
        server.check()
        if server.upstream is not None:
            # A server above that is away is no fault of this one: its status stays what it is.
            shape["sync"] = server.upstream.health()
    except BethinkError as error:
        # Strangers may read this: what is wrong, not where.
        shape.update(
            status="degraded", database=error.code, db="error", db_error=error.code, hint="The server's log and `bethink doctor` say more."
        )
        return answer(shape, 503)
    return answer(shape)


@open_routes.get("/.well-known/oauth-protected-resource")
@open_routes.get("/.well-known/oauth-protected-resource/mcp")
def protected_resource(request: Request) -> Response:
    """Where tokens for this server are had (RFC 9728)."""
    server = server_of(request)
    if server.tokens is None:
        raise NotFound("This server accepts no tokens.", hint="Use an API key.")
    base = address(server.settings, request.scope, request.headers)
    return answer(
        {
            "resource": base + ("/mcp" if request.url.path.endswith("/mcp") else ""),
            "resource_name": "Bethink",
            "authorization_servers": [server.tokens.issuer],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_documentation": f"{base}/docs",
        }
    )


@routes.get("/api/auth-check")
def auth_check(memories: Reads, request: Request) -> Response:
    """Who one is for this server, and what one may do."""
    caller = caller_of(request)
    return answer(
        {
            "status": "ok",
            "user_id": caller.name,
            "scopes": sorted(caller.scopes),
            "project": caller.access.project,
            "readable": list(caller.access.readable),
            "expires_at": caller.expires_at.isoformat() if caller.expires_at else None,
        }
    )


@routes.post("/cache/invalidate")
def invalidate(memories: Rules) -> Response:
    """Forget what is kept to save time. Nothing that is answered is ever older than a minute."""
    store: Any = memories.store
    if hasattr(store, "forget_caches"):
        store.forget_caches()
    return answer({"status": "ok"})


@open_routes.get("/metrics", response_class=Response)
def show_metrics(request: Request) -> Response:
    """Prometheus metrics: by METRICS_TOKEN, or from this machine when there is none."""
    server = server_of(request)
    token: str | None = server.settings["METRICS_TOKEN"]
    if token:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode()):
            metrics.AUTH_FAILURES.labels("metrics").inc()
            raise Unauthenticated("Metrics have a token of their own.", hint="Send `Authorization: Bearer METRICS_TOKEN`.")
    elif request.client is None or request.client.host not in LOOPBACK:
        raise Unauthenticated("Metrics are for this machine only.", hint="Set METRICS_TOKEN to read them from elsewhere.")
    replica = server.upstream.metrics() if server.upstream is not None else b""
    return Response(metrics.text(server.counts) + replica, media_type=metrics.CONTENT_TYPE)
