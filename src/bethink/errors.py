"""Every error Bethink raises on purpose.

    BethinkError
    ├── InvalidInput            the caller's values are wrong           exit 2
    │   ├── UnknownCategory
    │   ├── ContentTooLong
    │   └── BadTime
    ├── NotFound                no such memory, or not yours            exit 1
    │   └── Forgotten
    ├── Conflict                the state forbids it                    exit 2
    │   ├── VersionConflict
    │   └── NotForgotten
    ├── Forbidden               the principal may not                   exit 2
    ├── ConfigError             a setting is wrong                      exit 2
    ├── StoreError              the database is in trouble              exit 3
    │   ├── StoreBusy
    │   ├── StoreFull
    │   ├── StoreCorrupt
    │   └── StoreTooNew
    ├── EmbedderError           vectors cannot be had                   exit 3
    │   ├── EmbedderUnavailable
    │   └── EmbedderMismatch
    ├── SealError               a secret cannot be sealed or opened     exit 3
    │   ├── SealUnavailable
    │   └── SealDenied
    └── PeerError               the server cannot be reached or refuses exit 3

The docstring is the default message. `hint` says what to do about it; the CLI prints it, HTTP and
MCP return it.
"""

from __future__ import annotations

from typing import ClassVar


class BethinkError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 3
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = self.default_hint if hint is None else hint
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The error's stable name for programs, such as ``NotFound``."""
        return type(self).__name__


class InvalidInput(BethinkError):
    """A value is not acceptable."""

    exit_code = 2


class UnknownCategory(InvalidInput):
    """No such category."""


class ContentTooLong(InvalidInput):
    """The content is too long."""

    default_hint = "Store the conclusion, or split the text; `bethink import --text FILE` splits a file for you."


class BadTime(InvalidInput):
    """Not a date or time."""

    default_hint = "Write 2026-01-31, 2026-01-31T12:00:00+01:00, or an age such as 30d, 12h, 2w."


class NotFound(BethinkError):
    """No such memory."""

    exit_code = 1
    default_hint = "Ids are printed by `bethink list` and `bethink recall`."


class Forgotten(NotFound):
    """The memory is forgotten."""

    default_hint = "`bethink restore ID` brings it back; `bethink history ID` shows what it was."


class Conflict(BethinkError):
    """The memory's state does not allow this."""

    exit_code = 2


class VersionConflict(Conflict):
    """The memory was changed by somebody else meanwhile."""

    default_hint = "Read it again and repeat the change."


class NotForgotten(Conflict):
    """Only a forgotten memory can be purged."""

    default_hint = "Delete it first (`bethink delete ID`); purging is final."


class Forbidden(BethinkError):
    """You may not do this."""

    exit_code = 2
    default_hint = "Ask who runs the space or the server for a role or a key that may."


class ConfigError(BethinkError):
    """A setting is wrong."""

    exit_code = 2
    default_hint = "`bethink doctor` prints every setting and where it came from."


class StoreError(BethinkError):
    """The store is in trouble."""

    default_hint = "`bethink doctor` examines the store."


class StoreBusy(StoreError):
    """The store is locked by another process."""

    default_hint = "Nothing was lost; try again in a moment."


class StoreFull(StoreError):
    """The disk is full: nothing was stored."""

    default_hint = "Free some space and repeat the command; what was acknowledged earlier is safe."


class StoreCorrupt(StoreError):
    """The store's file is damaged or is not a Bethink store."""

    default_hint = "Keep the file, move it aside, and restore a backup; `bethink doctor` shows details."


class StoreTooNew(StoreError):
    """The store was written by a newer Bethink."""

    default_hint = "Upgrade Bethink; the store was left untouched."


class EmbedderError(BethinkError):
    """Vectors cannot be computed."""

    default_hint = "Recall goes on with keywords; `bethink doctor` says what is missing."


class EmbedderUnavailable(EmbedderError):
    """The embedding model cannot be used."""


class EmbedderMismatch(EmbedderError):
    """The stored vectors were made by another embedder."""

    default_hint = "Run `bethink reindex` to embed everything again; until then recall uses keywords."


class SealError(BethinkError):
    """A secret cannot be sealed or opened."""


class SealUnavailable(SealError):
    """The place where secrets are kept cannot be reached."""

    default_hint = "Nothing was stored in the clear. Check VAULT_ADDR and VAULT_TOKEN, then repeat."


class SealDenied(SealError):
    """The secret cannot be opened with this key."""

    default_hint = "The key it was sealed with is needed: check MEMORY_ENCRYPTION_KEY or the Vault token's policy."


class PeerError(BethinkError):
    """The server cannot be reached or refused the request."""

    default_hint = "Everything is kept locally and sent later; `bethink sync --status` shows what waits."
