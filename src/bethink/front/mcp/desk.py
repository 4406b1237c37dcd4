"""Where tools work: the memories of one client, opened at the first call, with what goes on beside the calls."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bethink.errors import BethinkError, Forbidden, StoreBusy

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.embed.base import Embedder
    from bethink.service.memories import Memories
    from bethink.sync.engine import Engine
    from bethink.warm.server import WarmServer

#: Seconds that a call waits for the store to be opened before it says so.
OPEN_SECONDS = 8.0
#: Seconds between two times that uses are written down.
_FLUSH_SECONDS = 30.0
#: Variables in which a host tells its session.
_SESSIONS = ("CLAUDE_SESSION_ID", "CLAUDE_CODE_SESSION_ID")


class Desk:
    """The memories of the one client of a stdio server.

    Args:
        flags: settings given on the command line.
        environment: instead of the process's.

    Attributes:
        agent: the client's name for itself, recorded with what it stores.
    """

    def __init__(self, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> None:
        from bethink.model import new_id

        self._flags = dict(flags or {})
        self._env = os.environ if environment is None else environment
        self.session = next((self._env[name] for name in _SESSIONS if self._env.get(name)), None) or new_id()
        self.agent: str | None = None
        self._lock = threading.Lock()
        self._memories: Memories | None = None
        self._opening: _Opening | None = None
        self._warm: WarmServer | None = None
        self._sync: Engine | None = None
        self._embedder: Embedder | None = None
        self._embedder_lock = threading.Lock()
        self._greeted = False
        self._closing = False
        self._settings: Settings | None = None
        self._flushed = time.monotonic()

    @property
    def settings(self) -> Settings:
        """Raises ConfigError as long as a setting is wrong."""
        if self._settings is None:
            from bethink.config import load

            self._settings = load(self._flags, self._env, project_root=self.folder)
        return self._settings

    @property
    def folder(self) -> Path:
        """Where the assistant works: what the host says, else where the server was started."""
        given = self._env.get("CLAUDE_PROJECT_DIR")
        return Path(given) if given else Path.cwd()

    def memories(self) -> Memories:
        """The client's memories, opened at the first call and again after a failure.

        Raises:
            Forbidden: the person made this session private.
            BethinkError: the settings are wrong or the store cannot be opened.
        """
        self._refuse_when_private()
        with self._lock:
            opening = self._opening
            if self._memories is None and opening is None:
                opening = self._opening = _Opening(self)
        if self._memories is None and opening is not None:
            try:
                opened = opening.wait(OPEN_SECONDS)
            except BethinkError as error:
                if not isinstance(error, _StillOpening):
                    with self._lock:
                        self._opening = None
                raise
            with self._lock:
                if self._memories is None:
                    self._memories, self._opening = opened, None
        memories = self._memories
        assert memories is not None
        if memories.writer.agent != self.agent:
            memories.writer = replace(memories.writer, agent=self.agent)
        return memories

    def standing(self) -> dict[str, Any] | None:
        """How this machine stands with the server that its store is kept equal with; None without one."""
        from bethink import wire

        if not wire.is_replica(self.settings):
            return None
        from bethink.sync.status import read_status

        said = read_status(wire.sync_status_file(self.settings))
        return {"mode": self.settings.mode, **{name: said.get(name) for name in ("last_ok", "last_error", "next_try")}}

    def held(self) -> list[dict[str, str]]:
        """Changes that wait for a reason, with what to do about it."""
        from bethink.service.core import utc_now
        from bethink.sync.waiting import Waiting

        log = getattr(self.memories().store, "log", None)
        return Waiting(log, utc_now).outgoing() if log is not None else []

    def greeted(self) -> None:
        """The client has been answered: from now on there is time for what goes on beside the calls."""
        if not self._greeted:
            self._greeted = True
            threading.Thread(target=self._warm_up, name="bethink-warm-up", daemon=True).start()

    def wrote(self) -> None:
        """Something was stored: its vector can be made."""
        if self._warm is not None:
            self._warm.wrote()
        if self._sync is not None:
            self._sync.nudge()

    def called(self) -> None:
        """A call has ended: what is only kept in mind is written down now and then."""
        if self._memories is not None and time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flushed = time.monotonic()
            with suppress(BethinkError):
                self._memories.flush_uses()

    def close(self) -> None:
        """Writes down what was kept in mind and closes the store."""
        self._closing = True
        if self._warm is not None:
            self._warm.withdraw()
        if self._memories is not None:
            with suppress(BethinkError):
                self._memories.close()
        if self._sync is not None:
            self._sync.stop(patience=0.2)
        if self._warm is not None:
            self._warm.stop()

    def open(self) -> Memories:
        """Opens the store as the settings say; called in a thread of its own."""
        from bethink import wire
        from bethink.service.core import Writer

        settings = self.settings
        writer = Writer(settings.client, self.agent, self.session, "assistant")
        project = wire.here(settings, self.folder)
        embedder = self._embedder_of(settings)
        return wire.open_memories(settings=settings, project=project, writer=writer, embedder=embedder, with_embedder=embedder is not None)

    def _embedder_of(self, settings: Settings) -> Embedder | None:
        """One for all that this process does."""
        from bethink import wire

        with self._embedder_lock:
            if self._embedder is None:
                self._embedder = wire.embedder_of(settings)
            return self._embedder

    def _warm_up(self) -> None:
        """Takes part in keeping a model loaded for all processes of this store, hooks among them."""
        from bethink import wire

        with suppress(BethinkError):
            settings = self.settings
            if not settings["MEMORY_PRIVATE"]:
                self._warm = wire.warm_server(settings, self._embedder_of(settings), self._take_in)
                self._warm.start()
                self._sync = wire.sync_engine(settings)
                if self._sync is not None:
                    self._sync.start()

    def _take_in(self, memories: Memories) -> None:
        """What hooks captured becomes memories; one server process does that for all."""
        from bethink.intake import spool

        home = self.settings.home
        if spool.pending(home):
            from bethink.intake.drain import drain

            drain(memories, home, self.settings, stop=self._stops)

    def _stops(self) -> bool:
        """Whether what goes on in the background shall end; before it goes on, those who wait for an answer get theirs."""
        if self._warm is not None:
            self._warm.give_way()
        return self._closing

    def _refuse_when_private(self) -> None:
        from bethink.hosts import switch

        if self.settings["MEMORY_PRIVATE"] or switch.state(self.settings.home, self.session, self._env) == "private":
            raise Forbidden("This session is private: its memory neither tells nor keeps anything.", hint="Go on without it.")


class _StillOpening(StoreBusy):
    """The store does not answer."""


class _Opening:
    """The store being opened in the background: a file system that hangs must not take the calls with it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._done = threading.Event()
        self._result: Memories | None = None
        self._error: BethinkError | None = None
        threading.Thread(target=self._run, name="bethink-open", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._desk.open()
        except BethinkError as error:
            self._error = error
        except Exception as error:
            self._error = BethinkError(f"The store cannot be opened: {type(error).__name__}: {error}", hint="`bethink doctor` says more.")
        finally:
            self._done.set()

    def wait(self, seconds: float) -> Memories:
        if not self._done.wait(seconds):
            raise _StillOpening(f"The store did not answer for {seconds:.0f} seconds.", hint="Go on without memory; try again later.")
        if self._result is None:
            raise self._error or BethinkError()
        return self._result
