"""A write that is sent twice with one Idempotency-Key is done once: the second is given the first's answer.

Answers are kept by principal in the store; they hold ids and counts, never a content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import anyio.to_thread
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from bethink.errors import Conflict, InvalidInput
from bethink.front.http.auth import CALLER
from bethink.model import Access
from bethink.service.core import utc_now
from bethink.stores.base import Store

HEADER = "idempotency-key"
_MAX_KEY = 255
_NAMESPACE = "idempotency"
#: How long an answer is kept.
KEPT = timedelta(hours=24)
#: After this a request that was begun and never answered is taken for dead.
ABANDONED = timedelta(seconds=60)
#: Old answers are removed at every so manieth new one.
_SWEPT_EVERY = 64


class KeyReused(InvalidInput):
    """The Idempotency-Key was used for another request."""

    default_hint = "Make a new key for every request; repeat one only with the very same request."


class StillRunning(Conflict):
    """The first request with this Idempotency-Key is still running."""

    default_hint = "Try again in a moment."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was answered."""

    status: int
    body: str


class Answers:
    """The answers that one principal was given."""

    def __init__(self, store: Store, principal: str, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        # Owner "alice" of memories, and these notes about alice, are kept apart by the namespace.
        self._access = Access.local(principal)
        self._now = now

    def begin(self, key: str, request: str) -> Answer | None:
        """Claims a key for a request; or answers what the same request was answered before.

        Raises:
            KeyReused, StillRunning
        """
        now = self._now()
        with self._store.write(self._access) as tx:
            known = tx.state_get(_NAMESPACE, key)
            if known is not None and datetime.fromisoformat(known["at"]) > now - KEPT:
                if known["request"] != request:
                    raise KeyReused()
                if known["status"] is not None:
                    return Answer(known["status"], known["body"])
                if datetime.fromisoformat(known["at"]) > now - ABANDONED:
                    raise StillRunning()
            tx.state_put(_NAMESPACE, key, {"request": request, "at": now.isoformat(), "status": None, "body": ""})
        return None

    def finish(self, key: str, request: str, answer: Answer) -> None:
        """Keeps the answer."""
        with self._store.write(self._access) as tx:
            value = {"request": request, "at": self._now().isoformat(), "status": answer.status, "body": answer.body}
            tx.state_put(_NAMESPACE, key, value)

    def drop(self, key: str) -> None:
        """Gives a key free: the request failed and may be sent again."""
        with self._store.write(self._access) as tx:
            tx.state_put(_NAMESPACE, key, None)

    def sweep(self) -> None:
        """Removes what is kept no longer."""
        end = self._now() - KEPT
        old = [key for key, value in self._store.state(self._access, _NAMESPACE).items() if datetime.fromisoformat(value["at"]) < end]
        if old:
            with self._store.write(self._access) as tx:
                for key in old:
                    tx.state_put(_NAMESPACE, key, None)


class IdempotentRoute(APIRoute):
    """A route whose writes may be repeated with the same Idempotency-Key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            key = request.headers.get(HEADER)
            # Deleting twice is deleting once; reading changes nothing.
            if key is None or request.method not in ("POST", "PUT", "PATCH"):
                return await handle(request)
            if not key or len(key) > _MAX_KEY or not key.isprintable():
                raise InvalidInput(f"The Idempotency-Key is not 1 to {_MAX_KEY} printable characters.")
            caller = CALLER.get()
            answers = Answers(request.app.state.server.store, caller.name)
            digest = _digest(request, await request.body())
            known = await anyio.to_thread.run_sync(answers.begin, key, digest)
            if known is not None:
                return Response(known.body, known.status, {"Idempotency-Replayed": "true"}, "application/json")
            request.state.operation = operation_id(caller.name, key)
            try:
                response = await handle(request)
            except BaseException:
                await anyio.to_thread.run_sync(answers.drop, key)
                raise
            await anyio.to_thread.run_sync(_keep, answers, key, digest, response)
            return response

        return answered


def operation_id(principal: str, key: str) -> str:
    """The id of a memory that is stored with this key: the same again when the first try died before it was answered."""
    digits = hashlib.sha256(json.dumps([principal, key]).encode()).hexdigest()
    # A UUID of version 8 (RFC 9562): made our own way.
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{'89ab'[int(digits[16], 16) % 4]}{digits[17:20]}-{digits[20:32]}"


def _keep(answers: Answers, key: str, digest: str, response: Response) -> None:
    body = response.body
    if response.status_code < 300 and isinstance(body, bytes):
        answers.finish(key, digest, Answer(response.status_code, body.decode()))
        if digest.startswith("00") or int(digest[:4], 16) % _SWEPT_EVERY == 0:
            answers.sweep()
    else:
        answers.drop(key)


def _digest(request: Request, body: bytes) -> str:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(head + body).hexdigest()
