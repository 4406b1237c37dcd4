"""Embedding models behind HTTP: OpenAI-compatible ``/v1/embeddings``, Ollama ``/api/embed``, Text Embeddings Inference ``/embed``.

They give one vector a text and no token vectors, so recall works without late interaction. Which weights an endpoint
serves cannot be seen from outside: its identity is the address, the model's name and the number of dimensions, learnt at the first call.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from bethink.embed.base import MAX_WINDOWS, Identity, Passage, QueryVectors
from bethink.errors import ConfigError, EmbedderUnavailable
from bethink.text import chunks

#: Texts sent in one request; most endpoints take at least that many.
BATCH = 32
#: Characters of one window. Endpoints cut what is too long for their model without saying so.
WINDOW = 1200
_OVERLAP = 150
#: An answer longer than this is not a list of vectors.
_MOST_BYTES = 256 * 1024 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HINT = "Check MEMORY_EMBEDDER_URL and that the server runs; until then recall uses keywords."


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of endpoint is spoken to."""

    default_url: str
    path: str
    default_model: str
    body: Callable[[str, Sequence[str]], dict[str, Any]]
    vectors: Callable[[Any], Any]


DIALECTS = {
    "openai": Dialect(
        "https://api.openai.com",
        "/v1/embeddings",
        "text-embedding-3-small",
        lambda model, texts: {"model": model, "input": list(texts), "encoding_format": "float"},
        lambda answer: [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: int(entry["index"]))],
    ),
    "ollama": Dialect(
        "http://127.0.0.1:11434",
        "/api/embed",
        "nomic-embed-text",
        lambda model, texts: {"model": model, "input": list(texts), "truncate": True},
        lambda answer: answer["embeddings"],
    ),
    "tei": Dialect(
        "http://127.0.0.1:8080",
        "/embed",
        "",
        lambda model, texts: {"inputs": list(texts), "normalize": True, "truncate": True},
        lambda answer: answer,
    ),
}


class RemoteEmbedder:
    """Implements `Embedder` over HTTP. Nothing is sent before the first call.

    Args:
        dialect: a key of `DIALECTS`.
        url: the server's address, with or without the dialect's path; None takes the dialect's usual one.
        model: the model's name; None takes the dialect's usual one.
        key: sent as a bearer token; None sends none.
        timeout: seconds to wait for a connection and for each part of an answer.

    Raises:
        ConfigError: there is no such dialect, or the address is none.
    """

    def __init__(
        self, dialect: str, url: str | None = None, model: str | None = None, key: str | None = None, *, timeout: float = 30.0
    ) -> None:
        if dialect not in DIALECTS:
            raise ConfigError(f"No embedder {dialect!r}.", hint=f"Choose one of: {', '.join(DIALECTS)}.")
        self._dialect = DIALECTS[dialect]
        self._name = dialect
        base = (url or self._dialect.default_url).rstrip("/")
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"MEMORY_EMBEDDER_URL is not an http address: {base!r}.", hint="Write it like http://127.0.0.1:11434.")
        self._url = _address(base, self._dialect.path)
        self._model = model or self._dialect.default_model
        self._key = key
        self._timeout = timeout
        self._dims: int | None = None
        self._lock = threading.Lock()
        # A proxy meant for the world is not asked for what runs on this machine.
        proxies: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})] if parts.hostname in _LOOPBACK else []
        # Vectors come from where the settings say, and nowhere else: a redirect would carry texts and key to another place.
        self._opener = urllib.request.build_opener(_NoRedirect, *proxies)

    @property
    def identity(self) -> Identity:
        """Address, model and dimensions; the first call asks the endpoint how many dimensions there are.

        Raises:
            EmbedderUnavailable: it does not answer.
        """
        with self._lock:
            if self._dims is None:
                self._dims = self._embed(["dimensions"]).shape[1]
        revision = hashlib.sha256(f"{self._url} {self._model}".encode()).hexdigest()
        return Identity(f"{self._name}:{self._model}" if self._model else self._name, revision, self._dims)

    @property
    def ready(self) -> bool:
        """Whether the endpoint has answered before."""
        return self._dims is not None

    def load(self) -> None:
        """Asks the endpoint once.

        Raises:
            EmbedderUnavailable: it does not answer.
        """
        _ = self.identity

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        """For each text its windows in order, at most `MAX_WINDOWS`; a text beyond that is cut.

        Raises:
            EmbedderUnavailable: the endpoint cannot be used now; nothing of the batch is answered.
        """
        windows = [(chunks(text, WINDOW, _OVERLAP) or [" "])[:MAX_WINDOWS] for text in texts]
        flat = [window for each in windows for window in each]
        if not flat:
            return []
        dims = self.identity.dims
        made = np.concatenate([self._checked(flat[first : first + BATCH], dims) for first in range(0, len(flat), BATCH)])
        vectors = iter(made)
        none = np.empty((0, 0), np.int8)
        return [[Passage(next(vectors), none) for _ in each] for each in windows]

    def query(self, text: str) -> QueryVectors:
        """Embeds a question's beginning.

        Raises:
            EmbedderUnavailable: the endpoint cannot be used now.
        """
        (vectors,) = self.queries([text])
        return vectors

    def queries(self, texts: Sequence[str]) -> list[QueryVectors]:
        """Embeds the beginnings of several questions with one request.

        Raises:
            EmbedderUnavailable: the endpoint cannot be used now.
        """
        if not texts:
            return []
        vectors = self._checked([text[:WINDOW] or " " for text in texts], self.identity.dims)
        return [QueryVectors(vector, np.empty((0, 0), np.float32), ()) for vector in vectors]

    def _checked(self, texts: Sequence[str], dims: int) -> npt.NDArray[np.float32]:
        vectors = self._embed(texts)
        if vectors.shape[1] != dims:
            raise EmbedderUnavailable(
                f"The embedder at {self._place} answered {vectors.shape[1]} dimensions, earlier {dims}.",
                hint="Its model was changed; restart Bethink, then run `bethink reindex`.",
            )
        return vectors

    def _embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors, one a text, shape (texts, whatever the endpoint's dimensions are)."""
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        answer = self._post(self._dialect.body(self._model, clean))
        try:
            vectors = np.asarray(self._dialect.vectors(answer), np.float32)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise EmbedderUnavailable(f"The embedder at {self._place} did not answer vectors: {error!r:.200}.", hint=_HINT) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.shape[1]:
            raise EmbedderUnavailable(f"The embedder at {self._place} answered {vectors.shape} for {len(texts)} texts.", hint=_HINT)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise EmbedderUnavailable(f"The embedder at {self._place} answered vectors without a direction.", hint=_HINT)
        return np.asarray(vectors / norms, np.float32)

    def _post(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "bethink"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The scheme was checked when this was made.
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(300).decode("utf-8", "replace")
            hint = "Check MEMORY_EMBEDDER_KEY." if error.code in (401, 403) else _HINT
            raise EmbedderUnavailable(f"The embedder at {self._place} answered {error.code}: {told or error.reason}.", hint=hint) from error
        except TimeoutError as error:
            raise EmbedderUnavailable(f"The embedder at {self._place} did not answer within {self._timeout:g} s.", hint=_HINT) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise EmbedderUnavailable(f"The embedder at {self._place} cannot be reached: {reason}.", hint=_HINT) from error
        try:
            return json.loads(content)
        except ValueError as error:
            raise EmbedderUnavailable(f"The embedder at {self._place} did not answer JSON.", hint=_HINT) from error

    @property
    def _place(self) -> str:
        """The address without user names or passwords, for messages."""
        parts = urlsplit(self._url)
        return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _address(base: str, path: str) -> str:
    """The endpoint's whole address: `base` may end in the path or in a beginning of it."""
    pieces = path.split("/")[1:]
    for count in range(len(pieces), 0, -1):
        if base.endswith("/" + "/".join(pieces[:count])):
            return base + "".join(f"/{piece}" for piece in pieces[count:])
    return base + path
