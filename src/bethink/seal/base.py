"""The port to places where secrets are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it may be stored: `blob` is ciphertext, or empty where the secret is kept elsewhere.

    `meta` is plain JSON without anything secret; it has ``tier`` and what that tier needs to open the blob again.
    """

    tier: str
    blob: bytes = field(repr=False)
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a tier can be used now, and a sentence about it."""

    ok: bool
    detail: str


class Seal(Protocol):
    """Keeps secrets of memories; a secret is addressed by owner, memory id and its name in the placeholder."""

    @property
    def name(self) -> str:
        """The tier: ``vault``, ``aes`` or ``local``."""
        ...

    def seal(self, owner: str, memory: str, name: str, secret: str, *, apart: bool = False) -> Sealed:
        """Puts a secret away.

        Args:
            apart: in a place of its own, so that nothing that was kept under the same name before is lost.

        Raises:
            SealUnavailable: the place cannot be reached; nothing was kept.
            SealDenied: the place refuses.
        """
        ...

    def open(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> str:
        """Gives a secret back.

        Raises:
            SealUnavailable: the place cannot be reached now.
            SealDenied: wrong key, owner, memory or name, or what is stored was changed.
        """
        ...

    def erase(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> None:
        """Removes what is kept outside the store; nothing to do where `blob` is everything. Erasing twice is fine.

        Raises:
            SealUnavailable, SealDenied
        """
        ...

    def is_current(self, meta: Mapping[str, Any]) -> bool:
        """True when this tier would seal the same way now (same key, same place)."""
        ...

    def healthy(self) -> Health: ...

    def describe(self) -> dict[str, Any]:
        """Settings for `bethink doctor`, without anything secret."""
        ...
