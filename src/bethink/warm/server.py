"""The warm process's side: holds the lock, loads the model, answers hooks and sibling processes, makes missing vectors."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bethink.errors import BethinkError
from bethink.warm import packing
from bethink.warm.client import ask
from bethink.warm.embedder import BorrowedEmbedder
from bethink.warm.lock import FileLock
from bethink.warm.spot import Spot

if TYPE_CHECKING:
    from bethink.embed.base import Embedder
    from bethink.service.indexing import Indexer
    from bethink.service.memories import Memories

#: Seconds between two looks whether the lock has become free.
_LOOK = 1.0
#: Seconds between two turns of the work that one process does for all.
_TURN = 5.0
#: Seconds that a request may take to arrive.
_PATIENCE = 2.0
_MAX_REQUEST = 32 << 20
#: Threads that answer. They stay, as each has a connection to the store.
_WORKERS = 6
#: Seconds that work for all steps back at most, and looks again.
_STEP_BACK, _GLANCE = 2.0, 0.02
#: Seconds that telling the warm process something may hold up the teller.
_NUDGE = 0.05
Request = dict[str, Any]


class WarmServer:
    """Takes part in keeping one model warm: waits for the lock, and serves the socket as long as this process holds it.

    Args:
        spot: where the processes of this store meet.
        open: opens memories that stand in no project, for hooks and for making vectors; called when the lock is held.
        embedder: this process's embedder; a borrowing one is told to lend.
        on_turn: work that one process does for all, called now and then in a thread of its own while the lock is held.
    """

    def __init__(
        self, spot: Spot, open: Callable[[], Memories], embedder: Embedder | None = None, on_turn: Callable[[Memories], None] | None = None
    ) -> None:
        self._spot = spot
        self._open = open
        self._embedder = embedder
        self._on_turn = on_turn
        self._stopped = threading.Event()
        self._token = secrets.token_urlsafe(32)
        self._listener: socket.socket | None = None
        self._memories: Memories | None = None
        self._indexer: Indexer | None = None
        self._opening = threading.Lock()
        #: Requests that are being answered: one entry each, as appending and removing need no lock.
        self._answering: list[bool] = []
        self._thread = threading.Thread(target=self._run, name="bethink-warm", daemon=True)
        #: Whether this process is the one.
        self.holds_lock = False

    def start(self) -> None:
        self._thread.start()

    def withdraw(self) -> None:
        """Says that this process ends, without waiting: the socket's file goes, so that nobody asks in vain."""
        self._stopped.set()
        if self.holds_lock:
            self._clear()
        if self._listener is not None:
            # Closing alone does not wake a thread that waits in accept.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Gives the lock back."""
        self.withdraw()
        if self._thread.is_alive():
            self._thread.join(timeout=3)

    def give_way(self) -> None:
        """Called by the work for all between two pieces: waits while somebody is being answered, though not for long.

        A lower priority of the thread would be worse: it would keep the interpreter from the answers while it waits for its turn.
        """
        end = time.monotonic() + _STEP_BACK
        while self._answering and time.monotonic() < end and not self._stopped.wait(_GLANCE):
            pass

    def wrote(self) -> None:
        """Something was stored by this process: whoever holds the lock makes its vector."""
        if self._indexer is not None:
            self._indexer.wake()
        elif not self.holds_lock:
            ask(self._spot, {"op": "wake"}, _NUDGE)

    def _run(self) -> None:
        lock = FileLock(self._spot.lock)
        try:
            self._spot.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while not lock.acquire():
                if self._stopped.wait(_LOOK):
                    return
        except OSError:
            # A home that cannot be written: vectors are made, nobody is served.
            self._work()
            return
        self.holds_lock = True
        try:
            self._work()
            self._serve()
        finally:
            self.holds_lock = False
            self._clear()
            lock.release()
            self._close()

    def _work(self) -> None:
        """Loads the model and starts what goes on in the background."""
        if isinstance(self._embedder, BorrowedEmbedder):
            with suppress(BethinkError):
                self._embedder.lend()
        with suppress(BethinkError):
            # The first question compiles and imports what all others use.
            self._prompt({"prompt": "xylographic quintessence"})
        threading.Thread(target=self._turns, name="bethink-turns", daemon=True).start()

    def _turns(self) -> None:
        while not self._stopped.is_set():
            # A store that could not be opened at first can later; and whatever goes wrong in a turn, there is a next one.
            with suppress(Exception):
                memories = self._ours()
                memories.flush_uses()
                if self._on_turn is not None:
                    self._on_turn(memories)
            self._stopped.wait(_TURN)

    def _ours(self) -> Memories:
        with self._opening:
            if self._memories is None:
                self._memories = self._open()
                if self._memories.embedder is not None:
                    from bethink.service.indexing import Indexer

                    # A prompt makes no vectors first: that would write, and so wait for whoever else writes.
                    self._memories.limits = replace(self._memories.limits, embed_first=0)
                    self._indexer = Indexer(self._memories.store, self._memories.embedder, give_way=self.give_way)
                    self._indexer.start()
            return self._memories

    def _serve(self) -> None:
        try:
            listener = self._listener = self._listening()
        except OSError:
            self._stopped.wait()
            return
        # Making vectors goes on beside the answers: they shall not wait for each other by Python's usual 5 ms.
        sys.setswitchinterval(0.0005)
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="bethink-answer")
        listener.settimeout(_LOOK)
        while not self._stopped.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._stopped.wait(0.1):
                    break
                continue
            workers.submit(self._answer, connection)
        listener.close()
        workers.shutdown(wait=False, cancel_futures=True)

    def _listening(self) -> socket.socket:
        self._clear()
        if self._spot.uses_unix:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # The file's mode is all that keeps others out; there is no moment without it.
            before = os.umask(0o177)
            try:
                listener.bind(str(self._spot.socket))
            finally:
                os.umask(before)
            listener.listen(64)
            return listener
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        with os.fdopen(os.open(self._spot.address, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            json.dump({"port": listener.getsockname()[1], "token": self._token}, file)
        return listener

    def _clear(self) -> None:
        """Removes what we, or a holder that was killed, left; only called while the lock is held."""
        for path in (self._spot.socket, self._spot.address):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._indexer is not None:
            self._indexer.stop()
        if self._memories is not None:
            with suppress(BethinkError):
                self._memories.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            data = _line(connection)
            connection.settimeout(_PATIENCE)
            self._answering.append(True)
            try:
                answer = self._handled(data)
            finally:
                self._answering.pop()
            connection.sendall(json.dumps(answer).encode())

    def _handled(self, data: bytes) -> dict[str, Any]:
        try:
            request = json.loads(data)
            if not self._spot.uses_unix and not hmac.compare_digest(str(request.get("token", "")).encode(), self._token.encode()):
                return {"error": "not allowed"}
            if request["store"] != self._spot.store:
                return {"error": "another store"}
            return self._operation(str(request["op"]), request)
        except Exception as error:
            # Whatever came in: the next one is answered.
            return {"error": type(error).__name__}

    def _operation(self, op: str, request: Request) -> dict[str, Any]:
        match op:
            case "ping":
                return {"ok": True, "pid": os.getpid()}
            case "wake":
                if self._indexer is not None:
                    self._indexer.wake()
                return {"ok": True}
            case "query":
                return packing.question(self._lent(request).query(str(request["text"])))
            case "passages":
                return packing.passages(self._lent(request).passages([str(text) for text in request["texts"]]))
            case "prompt":
                return self._prompt(request)
            case _:
                return {"error": "no such operation"}

    def _lent(self, request: Request) -> Embedder:
        if self._embedder is None or str(self._embedder.identity) != request["identity"]:
            raise LookupError("another embedder")
        return self._embedder

    def _prompt(self, request: Request) -> dict[str, Any]:
        from bethink.service.injecting import for_prompt

        rendered = for_prompt(
            self._ours(),
            str(request["prompt"]),
            project=request.get("project"),
            seen=frozenset(request.get("seen", ())),
            budget_tokens=int(request.get("budget", 600)),
            session=str(request.get("session", "")),
            briefed=float(request.get("briefed", 0.0)),
        )
        return {"text": rendered.text, "ids": list(rendered.ids), "tokens": rendered.tokens}


def _line(connection: socket.socket) -> bytes:
    """The request: one line, however slowly it comes, but not for long.

    Raises:
        OSError: it takes too long or is too much.
    """
    end = time.monotonic() + _PATIENCE
    chunks: list[bytes] = []
    size = 0
    while not chunks or not chunks[-1].endswith(b"\n"):
        connection.settimeout(max(end - time.monotonic(), 0.001))
        chunk = connection.recv(1 << 18)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_REQUEST or time.monotonic() > end:
            raise TimeoutError
    return b"".join(chunks)
