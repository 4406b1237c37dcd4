"""The server behind HTTP. What does not look like its answer is no data, whoever sent it."""

from __future__ import annotations

import gzip
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bethink import errors
from bethink.errors import BethinkError, ConfigError, Conflict, Forbidden, Forgotten, InvalidInput, NotFound
from bethink.sync.peer import Json, NotTheServer, RequestFailed, RequestRefused, Unauthorized, Unreachable

#: Seconds for one answer as a whole, however slowly it trickles.
DEADLINE = 60.0
_CONNECT = 10.0
_READ = 20.0
#: An answer longer than this is none of ours.
_MAX_ANSWER = 256 << 20
#: Bodies shorter than this are not worth compressing.
_SHORT = 1024
#: Longest time that a server asks to be left alone for and is obeyed here, and how often for one request.
_PATIENCE, _WAITS = 60.0, 3
_TRUST = "Set SSL_CERT_FILE to a file with the certificate of the authority that signed it. Everything is kept locally and sent later."
_AWAY = frozenset((408, 425, 429, 502, 503, 504, 507))
_REFUSED = frozenset((400, 403, 409, 413, 415, 422))
_PLAIN: dict[int, type[BethinkError]] = {403: Forbidden, 409: Conflict, 422: InvalidInput}


class HttpPeer:
    """Implements `Peer` on a server's address. Proxies and CA files of the environment are respected.

    Args:
        url: where the server is, such as https://memory.example.org.
        key: sent as a bearer token.
        client: name of this machine, for the server's log.
        wait: waits as long as a server asks for that has too much to do; without it that is an error at once.

    Raises:
        ConfigError: it is no HTTP address.
    """

    def __init__(
        self, url: str, key: str, *, client: str = "", deadline: float = DEADLINE, wait: Callable[[Unreachable, float], None] | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("MEMORY_API_URL is no HTTP address.", hint="Write https://host or http://host:port.")
        self._base = url.rstrip("/")
        self._deadline = deadline
        self._wait = wait
        #: Bytes of bodies as they passed, compressed or not.
        self.sent_bytes = self.received_bytes = 0
        port = f":{parts.port}" if parts.port else ""
        self.address = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        self.confidential = parts.scheme == "https"
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        if client and client.isascii() and client.isprintable():
            headers["X-Client-ID"] = client
        try:
            self._http = httpx2.Client(
                headers=headers,
                timeout=httpx2.Timeout(_READ, connect=_CONNECT),
                # Reads SSL_CERT_FILE and SSL_CERT_DIR as well.
                verify=ssl.create_default_context(),
                follow_redirects=False,
            )
        except (ValueError, OSError) as error:
            raise ConfigError(f"MEMORY_API_KEY or the proxy's settings cannot be used: {type(error).__name__}.") from error

    def close(self) -> None:
        self._http.close()

    def hello(self) -> Json:
        try:
            answer = self._get("hello", {})
        except RequestRefused as error:
            if error.status == 403:
                raise Unauthorized(error.message) from error
            raise
        return _with(answer, "server", "principal", "protocol", "owners")

    def push(self, changes: Sequence[Json]) -> Json:
        return _with(self._post("push", {"protocol": 1, "changes": list(changes)}), "answers")

    def changes(self, cursor: str | None, limit: int) -> Json:
        asked = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        return _with(self._get("changes", asked), "items", "gone", "cursor")

    def digest(self, owner: str) -> Json:
        return _with(self._get("digest", {"owner": owner}), "buckets")

    def marks(self, owner: str, buckets: Sequence[int]) -> Json:
        return _with(self._get("marks", {"owner": owner, "parts": ",".join(map(str, buckets))}), "marks")

    def fetch(self, ids: Sequence[str]) -> Json:
        return _with(self._post("fetch", {"ids": list(ids)}), "items")

    def secret(self, id: str) -> Json:
        """A memory's secrets; only where nobody on the way can read them.

        Raises:
            PeerError
        """
        if not self.confidential:
            raise RequestRefused(
                "Secrets are not asked for over plain HTTP.",
                hint="Use https, or the same MEMORY_ENCRYPTION_KEY or Vault on both sides; then `bethink sync` fetches them.",
            )
        return _with(self._get("secret", {"id": id}), "secrets")

    def rest(self, method: str, path: str, body: Json | Sequence[Json] | None = None, **headers: str) -> Json:
        """The answer of any route; what the server says no to is the error that it would be here.

        Args:
            body: sent as JSON.
            headers: sent as well; `_` stands for `-`.

        Returns:
            The object that was answered; a list that was, under `items`.

        Raises:
            NotFound, Forbidden, Conflict, InvalidInput, PeerError
        """
        raw = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        sent = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
        if raw:
            sent["Content-Type"] = b"application/json"
        try:
            return self._asked(method, self._base + path, content=raw, headers=sent)
        except RequestRefused as error:
            kind = _PLAIN.get(error.status)
            if kind is None:
                raise
            exact = getattr(errors, error.kind, kind)
            kind = exact if isinstance(exact, type) and issubclass(exact, kind) else kind
            raise kind(error.message, hint=error.hint) from error
        except Missing as error:
            raise (Forgotten if error.forgotten else NotFound)(error.message, hint=error.hint) from error

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a long answer, as they come.

        Raises:
            PeerError
        """
        try:
            with self._http.stream("GET", self._base + path) as response:
                if response.status_code != 200:
                    self._judged(response.status_code, response.headers, response.read())
                rest = b""
                for part in response.iter_bytes():
                    *whole, rest = (rest + part).split(b"\n")
                    yield from filter(None, whole)
                if rest:
                    yield rest
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            raise self._away(error) from error

    def _get(self, name: str, asked: dict[str, str]) -> Json:
        return self._asked("GET", f"{self._base}/api/sync/{name}", params=asked)

    def _post(self, name: str, body: Json) -> Json:
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        if len(raw) >= _SHORT:
            raw, headers["Content-Encoding"] = gzip.compress(raw, 5), "gzip"
        return self._asked("POST", f"{self._base}/api/sync/{name}", content=raw, headers=headers)

    def _asked(self, method: str, url: str, **request: Any) -> Json:
        for _ in range(_WAITS if self._wait else 0):
            try:
                return self._asked_once(method, url, **request)
            except Unreachable as error:
                if not error.retry_after or error.retry_after > _PATIENCE:
                    raise
                assert self._wait is not None
                self._wait(error, error.retry_after)
        return self._asked_once(method, url, **request)

    def _asked_once(self, method: str, url: str, **request: Any) -> Json:
        end = time.monotonic() + self._deadline
        body = bytearray()
        self.sent_bytes += len(request.get("content") or b"")
        try:
            with self._http.stream(method, url, **request) as response:
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() > end or len(body) > _MAX_ANSWER:
                        raise Unreachable(f"{self.address} answers too slowly.")
                self.received_bytes += response.num_bytes_downloaded
                status, headers = response.status_code, response.headers
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            raise self._away(error) from error
        return self._judged(status, headers, bytes(body))

    def _away(self, error: Exception) -> Unreachable:
        """Why there is no answer: nobody is there, or nobody whom this machine trusts."""
        untrusted = _certificate(error)
        if untrusted is None:
            return Unreachable(f"{self.address} cannot be reached ({type(error).__name__}).")
        return Unreachable(f"The certificate of {self.address} is not trusted: {untrusted}.", hint=_TRUST)

    def _judged(self, status: int, headers: Mapping[str, str], body: bytes) -> Json:
        """The answer, if it is one; else the error that it tells of."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        data: Any = None
        if kind in ("application/json", "application/problem+json"):
            try:
                data = json.loads(body)
            except (ValueError, RecursionError):
                data = None
        ours = isinstance(data, dict)
        if status in (200, 201):
            if isinstance(data, list):
                return {"items": data}
            if not ours:
                raise NotTheServer(f"{self.address} answers with something else than a Bethink server would.")
            return dict(data)
        said = data if ours else {}
        message = str(said.get("detail") or f"{self.address} answers {status}.")
        hint, code = str(said.get("hint") or "") or None, str(said.get("code") or "")
        if status == 401:
            raise Unauthorized(message)
        if status in _AWAY:
            raise Unreachable(message, hint=hint, retry_after=_seconds(headers.get("retry-after")))
        if status in _REFUSED:
            raise RequestRefused(message, hint=hint, status=status, code=code)
        if status >= 500:
            raise RequestFailed(message, hint=hint)
        if status == 404 and code in ("NotFound", "Forgotten"):
            raise Missing(message, hint=hint, forgotten=code == "Forgotten")
        raise NotTheServer(f"{self.address} answers {status}.")


class Missing(NotTheServer):
    """The server does not know what was asked for, or not the route; or it is forgotten."""

    def __init__(self, message: str, *, hint: str | None = None, forgotten: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.forgotten = forgotten


def _with(answer: Json, *names: str) -> Json:
    """The answer, if it has what it must have."""
    if any(name not in answer for name in names):
        raise NotTheServer("The answer is none of a Bethink server's.")
    return answer


def _certificate(error: BaseException) -> str | None:
    """What is wrong with the server's certificate, if that is what is behind an error."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLCertVerificationError):
        seen = seen.__cause__ or seen.__context__
    return None if seen is None else seen.verify_message.rstrip(".")


def _seconds(value: str | None) -> float | None:
    try:
        return min(3600.0, max(0.0, float(value))) if value else None
    except ValueError:
        return None
