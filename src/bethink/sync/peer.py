"""The port to the server of a replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from bethink.errors import PeerError

Json = dict[str, Any]
#: What to do about a change that the server refused without saying it.
REFUSED = "It stays on this machine and is not sent as it is. Editing the memory sends it again; so does `bethink sync`."


class Unreachable(PeerError):
    """The server does not answer, or says that it cannot now."""

    def __init__(self, message: str | None = None, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class NotTheServer(Unreachable):
    """What answers at this address is no Bethink server."""

    default_hint = "Check MEMORY_API_URL; a network that wants a login first answers like that, too."


class Unauthorized(PeerError):
    """The server does not accept the key."""

    default_hint = "Check MEMORY_API_KEY. Everything is kept locally and sent when the key is right again."


class RequestRefused(PeerError):
    """The server does not take this request, whatever happens."""

    default_hint = "Nothing was changed there. Change what the message names, then repeat it."

    def __init__(self, message: str | None = None, *, hint: str | None = None, status: int = 0, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.kind = code


class RequestFailed(PeerError):
    """The server failed over this request."""


class WrongServer(PeerError):
    """This store is a replica of another server, or of another user there."""

    default_hint = "Set MEMORY_API_URL and MEMORY_API_KEY back, or `bethink sync --rebind --yes` to upload what is yours to the new one."


class Peer(Protocol):
    """A server, as a replica speaks with it. Every method may raise a `PeerError`."""

    @property
    def address(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def confidential(self) -> bool:
        """Nobody on the way can read what is sent."""
        ...

    def hello(self) -> Json: ...

    def push(self, changes: Sequence[Json]) -> Json: ...

    def changes(self, cursor: str | None, limit: int) -> Json: ...

    def digest(self, owner: str) -> Json: ...

    def marks(self, owner: str, buckets: Sequence[int]) -> Json: ...

    def fetch(self, ids: Sequence[str]) -> Json: ...

    def close(self) -> None: ...
