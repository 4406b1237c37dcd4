"""What goes wrong, as HTTP says it: problem+json (RFC 9457) with our hint and code beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from bethink.errors import (
    BethinkError,
    Conflict,
    EmbedderError,
    Forbidden,
    InvalidInput,
    NotFound,
    PeerError,
    SealDenied,
    SealError,
    StoreBusy,
    StoreError,
    StoreFull,
)
from bethink.front.http import metrics

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a client may try again what failed for a reason that passes.
RETRY_SECONDS = 2
#: The first that fits counts.
_STATUS: Sequence[tuple[type[BethinkError], int]] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (StoreFull, 507),
    (StoreBusy, 503),
    (StoreError, 503),
    (SealDenied, 409),
    (SealError, 503),
    (EmbedderError, 503),
    (PeerError, 502),
)
_log = logging.getLogger("bethink.api")


class Unauthenticated(BethinkError):
    """Credentials are needed."""

    default_hint = "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`."

    def __init__(self, message: str | None = None, *, hint: str | None = None, reason: str = "missing") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class InsufficientScope(Forbidden):
    """The credentials do not allow this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}.", hint=f"Use a key or a token with {scope}.")
        self.scope = scope


class TooManyRequests(BethinkError):
    """Too many requests."""

    def __init__(self, limit: str, seconds: int) -> None:
        super().__init__(f"More than {limit}.", hint=f"Try again in {seconds} s.")
        self.seconds = seconds


class TooLarge(InvalidInput):
    """The request is too large."""


def status_of(error: BethinkError) -> int:
    """The HTTP status of an error of ours."""
    match error:
        case Unauthenticated():
            return 401
        case TooManyRequests():
            return 429
        case TooLarge():
            return 413
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(status: int, detail: str, hint: str, code: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """An error as a response."""
    shape = {"type": f"urn:bethink:problem:{code}", "title": _title(status), "status": status, "detail": detail, "hint": hint, "code": code}
    body = json.dumps({**shape, **more}, ensure_ascii=True).encode()
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def of(error: BethinkError, challenge: str = "") -> Response:
    """The response to an error of ours.

    Args:
        challenge: the WWW-Authenticate header of 401 and of a 403 that other credentials would mend.
    """
    status = status_of(error)
    headers = {}
    if status in (503, 507):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.seconds)
    if challenge and (status == 401 or isinstance(error, InsufficientScope)):
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, SealError):
        metrics.SEAL_ERRORS.inc()
    return problem(status, error.message, error.hint, error.code, headers)


def install(app: FastAPI, challenge: Callable[[Request, BethinkError], str], allowed: Callable[[Scope], str]) -> None:
    """Has every error of the routes answered in the one shape.

    Args:
        challenge: the WWW-Authenticate header of an error.
        allowed: the Allow header of an address.
    """

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, BethinkError)
        return of(error, challenge(request, error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Only where and what, never the value: it may be a secret.
        errors = [{"loc": [str(part) for part in each["loc"]], "msg": _said(each["msg"])} for each in error.errors()[:20]]
        first = errors[0] if errors else {"loc": ["body"], "msg": "not valid"}
        where = ".".join(first["loc"])
        return problem(422, f"{where}: {first['msg']}.", "See /docs for what is accepted.", "InvalidInput", errors=errors)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, BethinkError):
            # FastAPI takes what stops the reading of a body for a broken body.
            return await ours(request, error.__cause__)
        hints = {404: "See /docs for what there is.", 405: "See /docs for what can be done with this address."}
        code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "HttpError")
        headers = {"Allow": allowed(request.scope)} if error.status_code == 405 else error.headers
        return problem(error.status_code, str(error.detail), hints.get(error.status_code, ""), code, headers)

    app.add_exception_handler(BethinkError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def unexpected(error: BaseException, request_id: str) -> Response:
    """The answer to what should not happen; the log says what it was, the client only where to look."""
    _log.error("unexpected %s, request %s", type(error).__name__, request_id, exc_info=error)
    return problem(500, f"Unexpected {type(error).__name__}.", f"The server's log says more about request {request_id}.", "Unexpected")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _said(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")[:300]
