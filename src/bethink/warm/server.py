"""The warm process's side: holds the lock, loads the model, answers hooks and sibling processes, makes missing vectors."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bethink.errors import BethinkError
from bethink.warm.client import uses_unix
from bethink.warm.embedder import packed
from bethink.warm.lock import FileLock

if TYPE_CHECKING:
    from bethink.embed.base import Embedder
    from bethink.embed.lazy import LazyEmbedder
    from bethink.service.memories import Memories

#: Seconds between two looks whether the lock has become free.
_LOOK = 2.0
_MAX_REQUEST = 1 << 20
Handler = Callable[[dict[str, Any]], dict[str, Any]]


class WarmServer:
    """A thread that serves the socket as long as this process holds the lock.

    Args:
        home: MEMORY_HOME.
        memories: what hooks ask.
        embedder: this process's own model, loaded once the lock is held.
        on_turn: called in the background when the lock is held and now and then after, for work that one process does for all.
    """

    def __init__(
        self, home: Path, memories: Memories, embedder: LazyEmbedder | Embedder | None, on_turn: Callable[[], None] | None = None
    ) -> None:
        self._home = home
        self._memories = memories
        self._embedder = embedder
        self._on_turn = on_turn
        self._stopped = threading.Event()
        self._token = secrets.token_urlsafe(32)
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="bethink-warm", daemon=True)
        self.holds_lock = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Gives the lock back; the socket's file goes first, so that nobody asks in vain."""
        self._stopped.set()
        if self._listener is not None:
            with suppress(OSError):
                self._listener.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        folder = self._home / "run"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(folder / "warm.lock")
            while not lock.acquire():
                if self._stopped.wait(_LOOK):
                    return
        except OSError:
            return
        self.holds_lock = True
        try:
            self._serve(folder)
        finally:
            self.holds_lock = False
            for name in ("warm.sock", "warm.json"):
                with suppress(OSError):
                    (folder / name).unlink(missing_ok=True)
            lock.release()

    def _serve(self, folder: Path) -> None:
        load = getattr(self._embedder, "load", None)
        if load is not None:
            with suppress(BethinkError):
                load()
        try:
            listener = self._listener = self._listening(folder)
        except OSError:
            return
        listener.settimeout(_LOOK)
        while not self._stopped.is_set():
            if self._on_turn is not None:
                self._on_turn()
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _listening(self, folder: Path) -> socket.socket:
        path = folder / "warm.sock"
        if uses_unix(path):
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            target = folder / "warm.json"
            target.unlink(missing_ok=True)
            with os.fdopen(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
                json.dump({"port": listener.getsockname()[1], "token": self._token}, file)
        listener.listen(32)
        return listener

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(2)
            data = b""
            while not data.endswith(b"\n") and len(data) < _MAX_REQUEST:
                chunk = connection.recv(1 << 16)
                if not chunk:
                    break
                data += chunk
            connection.sendall(json.dumps(self._handled(data)).encode())

    def _handled(self, data: bytes) -> dict[str, Any]:
        try:
            request = json.loads(data)
            if connection_needs_token(self._listener) and not hmac.compare_digest(str(request.get("token", "")), self._token):
                return {"error": "not allowed"}
            handlers: dict[str, Handler] = {"ping": lambda _: {"ok": True}, "query": self._query, "prompt": self._prompt}
            return handlers[request["op"]](request)
        except (BethinkError, ValueError, KeyError, TypeError, AttributeError) as error:
            return {"error": type(error).__name__}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._embedder is None or str(self._embedder.identity) != request["identity"]:
            return {"error": "another embedder"}
        return packed(self._embedder.query(str(request["text"])))

    def _prompt(self, request: dict[str, Any]) -> dict[str, Any]:
        from bethink.service.injecting import for_prompt

        rendered = for_prompt(
            self._memories,
            str(request["prompt"]),
            project=request.get("project"),
            seen=frozenset(request.get("seen", ())),
            budget_tokens=int(request.get("budget", 600)),
        )
        return {"text": rendered.text, "ids": list(rendered.ids), "tokens": rendered.tokens}


def connection_needs_token(listener: socket.socket | None) -> bool:
    """Whether who connects must show the token: on a Unix socket the file's mode keeps others out."""
    return listener is None or listener.family == socket.AF_INET
