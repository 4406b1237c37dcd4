"""A write that is sent twice with one Idempotency-Key is done once: the second is given the first's answer.

Answers are kept by principal in the store for a day, under a hash of the key and enciphered with another: who reads the database reads
neither answers nor keys. Answers that hold a credential are not kept at all; a repeat is told that it was done.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bethink.errors import BethinkError, Conflict, InvalidInput
from bethink.front.http.auth import CALLER
from bethink.model import Access
from bethink.service.core import utc_now
from bethink.stores.base import Store, Transaction

HEADER = "idempotency-key"
_MAX_KEY = 255
_NAMESPACE = "idempotency"
_PARTS = "idempotency-part"
#: Bytes of an answer that are kept as one object.
PART = 1 << 18
#: How long an answer is kept.
KEPT = timedelta(hours=24)
#: After this a request that was begun and neither answered nor said to go on is taken for dead.
ABANDONED = timedelta(seconds=60)
#: Seconds between two signs of life of a request.
SAID_EVERY = 20.0
#: Headers that decide where something is stored, or are stored with it.
TELLING = ("x-project-id", "x-client-id", "x-session-id")
#: Old answers are removed at every so manieth new one.
_SWEPT_EVERY = 64
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: Routes whose requests mean the same with and without a key, and why.
EXEMPT = {
    "/api/recall": "it only reads",
    "/api/memories/recall": "it only reads",
    "/api/memories/check": "it only reads",
    "/api/memories/{id}/secret": "it only reads, and nothing of its answer is kept",
    "/api/sync/fetch": "it only reads",
    "/api/sync/push": "each change in it has an id by which it is made once",
}
#: Routes whose answers hold a credential.
TOLD_ONCE = frozenset({"/api/users", "/api/users/{name}/rotate"})
#: Routes that read their bodies as they come, and ask `Once` themselves.
STREAMED = frozenset({"/api/memories/import"})


class KeyReused(InvalidInput):
    """The Idempotency-Key was used for another request."""

    default_hint = "Make a new key for every request; repeat one only with the very same request."


class StillRunning(Conflict):
    """The first request with this Idempotency-Key is still running."""

    default_hint = "Try again in a moment."


class ToldOnce(Conflict):
    """This was done, and the credential in the answer was shown then; it is kept nowhere."""

    default_hint = "`POST /api/users/{name}/rotate` with another Idempotency-Key makes a new one."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was answered."""

    status: int
    #: How many parts its body is kept in; None when it is not kept.
    parts: int | None


class Answers:
    """The answers that one principal was given for one key."""

    def __init__(self, store: Store, principal: str, key: str, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        # Owner "alice" of memories, and these notes about alice, are kept apart by the namespace.
        self._access = Access.local(principal)
        self._now = now
        self._row = _derived(key, "row").hex()
        self._key = _derived(key, "seal")

    def begin(self, request: str) -> Answer | None:
        """Claims the key for a request; or answers what the same request was answered before.

        Args:
            request: the request's digest.

        Raises:
            KeyReused, StillRunning
        """
        now = self._now()
        digest = self._of(request)
        with self._store.write(self._access) as tx:
            known = tx.state_get(_NAMESPACE, self._row)
            if known is not None and datetime.fromisoformat(known["at"]) > now - KEPT:
                if known["request"] != digest:
                    raise KeyReused()
                if known["status"] is not None:
                    return Answer(known["status"], known.get("parts"))
                if datetime.fromisoformat(known["at"]) > now - ABANDONED:
                    raise StillRunning()
            self._clear(tx, known)
            # Who was taken for dead may still write parts: their number stays known.
            self._say(tx, digest, None, 0, _there(known))
        return None

    def goes_on(self, request: str) -> None:
        """Says that the request is not dead, unless it was answered meanwhile."""
        digest = self._of(request)
        with self._store.write(self._access) as tx:
            known = tx.state_get(_NAMESPACE, self._row)
            if known is not None and known["status"] is None and known["request"] == digest:
                self._say(tx, digest, None, 0, _there(known))

    def finish(self, request: str, status: int, body: Iterable[bytes] | None) -> None:
        """Keeps the answer; of None only that there was one."""
        digest = self._of(request)
        parts = None
        if body is not None:
            parts = 0
            for part in body:
                sealed = self._sealed(part, parts)
                with self._store.write(self._access) as tx:
                    # Known when it is there, so that what a crash leaves behind is swept.
                    self._say(tx, digest, None, 0, max(_there(tx.state_get(_NAMESPACE, self._row)), parts + 1))
                    tx.state_put(_PARTS, f"{self._row}:{parts}", {"sealed": sealed})
                parts += 1
        with self._store.write(self._access) as tx:
            self._clear(tx, tx.state_get(_NAMESPACE, self._row), parts or 0)
            self._say(tx, digest, status, parts, parts or 0)

    def body(self, answer: Answer) -> Iterator[bytes]:
        """What `finish` kept, part by part."""
        for number in range(answer.parts or 0):
            with self._store.write(self._access) as tx:
                kept = tx.state_get(_PARTS, f"{self._row}:{number}")
            yield self._opened(kept["sealed"], number) if kept else b""

    def drop(self) -> None:
        """Gives the key free: the request failed and may be sent again."""
        with self._store.write(self._access) as tx:
            self._clear(tx, tx.state_get(_NAMESPACE, self._row))
            tx.state_put(_NAMESPACE, self._row, None)

    def sweep(self) -> None:
        """Removes what is kept no longer, of every key of the principal."""
        end = self._now() - KEPT
        every = self._store.state(self._access, _NAMESPACE)
        for row, value in every.items():
            if datetime.fromisoformat(value["at"]) < end:
                with self._store.write(self._access) as tx:
                    self._clear(tx, value, row=row)
                    tx.state_put(_NAMESPACE, row, None)

    def _say(self, tx: Transaction, digest: str, status: int | None, parts: int | None, there: int) -> None:
        """Notes how far the request is, and how many parts of an answer there may be."""
        value = {"request": digest, "at": self._now().isoformat(), "status": status, "parts": parts, "there": there}
        tx.state_put(_NAMESPACE, self._row, value)

    def _clear(self, tx: Transaction, known: Mapping[str, Any] | None, start: int = 0, row: str | None = None) -> None:
        """Removes the parts that there may be, from a number on."""
        for number in range(start, _there(known)):
            tx.state_put(_PARTS, f"{row or self._row}:{number}", None)

    def _of(self, request: str) -> str:
        """A digest that says nothing about the request to who does not have the key."""
        return hmac.digest(self._key, request.encode(), "sha256").hex()

    def _sealed(self, part: bytes, number: int) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        sealed = AESGCM(self._key).encrypt(nonce, zlib.compress(part, 1), f"{self._row}:{number}".encode())
        return base64.b64encode(nonce + sealed).decode()

    def _opened(self, sealed: str, number: int) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = base64.b64decode(sealed)
        return zlib.decompress(AESGCM(self._key).decrypt(raw[:12], raw[12:], f"{self._row}:{number}".encode()))


class Once:
    """A request with an Idempotency-Key."""

    def __init__(self, request: Request, key: str) -> None:
        if not key or len(key) > _MAX_KEY or not key.isprintable():
            raise InvalidInput(f"The Idempotency-Key is not 1 to {_MAX_KEY} printable characters.")
        self._caller = CALLER.get().name
        self._key = key
        self._answers = Answers(request.app.state.server.store, self._caller, key)
        self._digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
        if told := {name: value for name in TELLING if (value := request.headers.get(name, "").strip())}:
            self._digest.update(f"{json.dumps(told)}\n".encode())

    @classmethod
    def of(cls, request: Request) -> Once | None:
        """None for a request without a key.

        Raises:
            InvalidInput: the key is none.
        """
        key = request.headers.get(HEADER)
        return None if key is None else cls(request, key)

    @property
    def operation(self) -> str:
        return operation_id(self._caller, self._key)

    def read(self, part: bytes) -> None:
        """Takes in a part of the body."""
        self._digest.update(part)

    async def known(self) -> Answer | None:
        """What the first was answered when this is a repeat; None when it has to be done.

        Raises:
            KeyReused, StillRunning
        """
        return await anyio.to_thread.run_sync(self._answers.begin, self._digest.hexdigest())

    async def again(self, known: Answer) -> Response:
        """The first one's answer.

        Raises:
            ToldOnce
        """
        if known.parts is None:
            raise ToldOnce()
        body = self._answers.body(known)
        headers = {"Idempotency-Replayed": "true"}
        if known.parts > 1:
            return StreamingResponse(body, known.status, headers, "application/json")
        return Response(await anyio.to_thread.run_sync(b"".join, body), known.status, headers, "application/json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While it is entered, the request says now and then that it goes on, however long it takes."""
        said = asyncio.create_task(self._say_on(self._digest.hexdigest()))
        try:
            yield
        finally:
            said.cancel()
            with suppress(asyncio.CancelledError):
                await said

    async def _say_on(self, request: str) -> None:
        # A thread of its own: those of the requests may all be busy.
        limiter = anyio.CapacityLimiter(1)
        while True:
            await asyncio.sleep(SAID_EVERY)
            with suppress(BethinkError):
                await anyio.to_thread.run_sync(self._answers.goes_on, request, limiter=limiter)

    def keep(self, status: int, body: Iterable[bytes] | None) -> None:
        """Keeps the answer of what was done; gives the key free after what was not."""
        if status >= 300:
            self._answers.drop()
            return
        request = self._digest.hexdigest()
        self._answers.finish(request, status, body)
        if int(request[:4], 16) % _SWEPT_EVERY == 0:
            self._answers.sweep()

    async def drop(self) -> None:
        await anyio.to_thread.run_sync(self._answers.drop)


class IdempotentRoute(APIRoute):
    """A route whose writes may be repeated with the same Idempotency-Key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        # A repeat needs the same rights, and is counted, although the route itself is not reached.
        admitting = [admit for each in self.dependant.dependencies if (admit := getattr(each.call, "admit", None))]

        async def answered(request: Request) -> Response:
            if request.method not in _WRITES or self.path in EXEMPT or self.path in STREAMED:
                return await handle(request)
            once = Once.of(request)
            if once is None:
                return await handle(request)
            once.read(await request.body())
            known = await once.known()
            if known is not None:
                for admit in admitting:
                    await admit(request)
                return await once.again(known)
            request.state.operation = once.operation
            try:
                async with once.running():
                    response = await handle(request)
            except BaseException:
                await once.drop()
                raise
            body = None if self.path in TOLD_ONCE else (bytes(response.body),)
            await anyio.to_thread.run_sync(once.keep, response.status_code, body)
            return response

        return answered


def operation_id(principal: str, key: str) -> str:
    """The id of a memory that is stored with this key: the same again when the first try died before it was answered."""
    digits = hashlib.sha256(json.dumps([principal, key]).encode()).hexdigest()
    # A UUID of version 8 (RFC 9562): made our own way.
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{'89ab'[int(digits[16], 16) % 4]}{digits[17:20]}-{digits[20:32]}"


def _there(known: Mapping[str, Any] | None) -> int:
    """How many parts there may be; rows of earlier versions say less."""
    return max((known or {}).get("parts") or 0, (known or {}).get("there") or 0)


def _derived(key: str, purpose: str) -> bytes:
    return hmac.digest(key.encode(), f"bethink idempotency {purpose}".encode(), "sha256")
