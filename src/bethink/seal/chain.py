"""Chooses where a secret is sealed and finds it again: Vault, then MEMORY_ENCRYPTION_KEY, then this machine's key.

There is no clear-text tier. When Vault fails, a secret is sealed with this machine's key and marked ``queued_for: vault``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bethink.errors import SealDenied, SealError
from bethink.seal.aesgcm import AesGcmSeal
from bethink.seal.base import Health, Seal, Sealed
from bethink.seal.keys import GivenKeys, LocalKeys
from bethink.seal.shared import SharedKeys
from bethink.seal.vault import VaultSeal, VaultSettings


class Row(NamedTuple):
    """A sealed secret as the store has it."""

    owner: str
    memory: str
    name: str
    blob: bytes
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a row. `sealed` is what to store instead; None when it stays as it is (already there, or `error`).

    Call `release` after the new value is committed: it removes the old one from where it was kept.
    """

    row: Row
    sealed: Sealed | None = None
    error: SealError | None = None
    release: Callable[[], None] = field(default=lambda: None, repr=False)


class Chain:
    """The tiers in order of preference. `fallback` takes over when the first one fails.

    Args:
        shared: what seals for the wire, with keys that another machine may have as well, by name and in order of preference.
    """

    def __init__(self, tiers: Sequence[Seal], *, fallback: Seal | None = None, shared: Mapping[str, AesGcmSeal] | None = None) -> None:
        if not tiers:
            raise ValueError("a chain needs a tier")
        self._first = tiers[0]
        self._fallback = fallback if fallback is not tiers[0] else None
        self.shared = dict(shared or {})
        self.tiers: dict[str, Seal] = {tier.name: tier for tier in (*tiers, *([fallback] if fallback else ()))}

    @property
    def name(self) -> str:
        """The tier that seals when all is well."""
        return self._first.name

    def seal(self, owner: str, memory: str, name: str, secret: str, *, apart: bool = False) -> Sealed:
        """Seals with the first tier, or queues the secret sealed with the fallback; see `Seal.seal`.

        Raises:
            SealUnavailable, SealDenied: nothing could seal it; the write must be refused.
        """
        try:
            return self._first.seal(owner, memory, name, secret, apart=apart)
        except SealError as error:
            if self._fallback is None:
                raise
            kept = self._fallback.seal(owner, memory, name, secret)
            return Sealed(kept.tier, kept.blob, {**kept.meta, "queued_for": self._first.name, "reason": error.message})

    def open(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> str:
        """Gives a secret back from wherever it is.

        Raises:
            SealUnavailable, SealDenied
        """
        return self._tier(meta).open(owner, memory, name, blob, meta)

    def erase(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> None:
        """Removes what is kept outside the store.

        Raises:
            SealUnavailable, SealDenied: what is kept outside cannot be removed now.
        """
        if blob and meta.get("tier") not in self.tiers:
            # The row holds everything: no key is needed to remove it.
            return
        self._tier(meta).erase(owner, memory, name, blob, meta)

    def is_queued(self, meta: Mapping[str, Any]) -> bool:
        """True when the secret waits for a better tier."""
        return bool(meta.get("queued_for"))

    def is_current(self, meta: Mapping[str, Any]) -> bool:
        """True when it is sealed as it would be now."""
        return not self.is_queued(meta) and self._first.is_current(meta)

    def healthy(self) -> Health:
        """The first tier's health."""
        return self._first.healthy()

    def describe(self) -> dict[str, Any]:
        """The tiers and their settings, without anything secret."""
        return {"tier": self.name, "tiers": [tier.describe() for tier in self.tiers.values()]}

    def _tier(self, meta: Mapping[str, Any]) -> Seal:
        name = str(meta.get("tier", ""))
        if name not in self.tiers:
            hints = {"vault": "Set VAULT_ADDR and VAULT_TOKEN (or VAULT_ROLE).", "aes": "Set MEMORY_ENCRYPTION_KEY."}
            raise SealDenied(
                f"This secret is sealed in the tier {name or '?'!r}, which is not configured.",
                hint=hints.get(name, "Restore the row from a backup."),
            )
        return self.tiers[name]

    def migrate(self, rows: Iterable[Row], to: str | None = None) -> Iterator[Moved]:
        """Moves secrets to the tier `to` (the preferred one by default), one after the other.

        Rows that are there already come back unchanged, so that a broken run is simply started again. A row that cannot
        be moved comes back with its error and stays where it is.
        """
        if to is not None and to not in self.tiers:
            raise SealDenied(f"There is no tier {to!r} here.", hint="Configured: " + ", ".join(self.tiers) + ".")
        target = self.tiers[to] if to is not None else self._first
        for row in rows:
            if not self.is_queued(row.meta) and target.is_current(row.meta):
                yield Moved(row)
            else:
                yield self._again(row, target, {})

    def rotate(self, rows: Iterable[Row]) -> Iterator[Moved]:
        """Seals every row that its own tier would seal otherwise now (an older key) again with the newest key."""
        for row in rows:
            try:
                tier = self._tier(row.meta)
                current = tier.is_current(row.meta)
            except SealError as error:
                yield Moved(row, error=error)
                continue
            waits = {k: row.meta[k] for k in ("queued_for", "reason") if k in row.meta}
            yield Moved(row) if current else self._again(row, tier, waits)

    def new_local_key(self) -> str | None:
        """Makes a new key for the local tier and gives its id; None where this machine's key is not in use."""
        tier = self.tiers.get("local")
        if isinstance(tier, AesGcmSeal) and isinstance(tier.keys, LocalKeys):
            return tier.keys.rotate().id.hex()
        return None

    def _again(self, row: Row, target: Seal, marks: Mapping[str, Any]) -> Moved:
        try:
            source = self._tier(row.meta)
            secret = source.open(*row)
            # Apart: nobody else's value is overwritten, whatever becomes of the row meanwhile.
            sealed = target.seal(row.owner, row.memory, row.name, secret, apart=True)
            # What cannot be opened again has not been moved.
            if target.open(row.owner, row.memory, row.name, sealed.blob, sealed.meta) != secret:
                raise SealDenied("The secret did not come back from its new place; it stays where it was.")
        except SealError as error:
            return Moved(row, error=error)
        sealed = Sealed(sealed.tier, sealed.blob, {**sealed.meta, **marks})
        if source is target and _place(row.meta) == _place(sealed.meta):
            return Moved(row, sealed)
        return Moved(row, sealed, release=lambda: source.erase(*row))


def _place(meta: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return meta.get("mount"), meta.get("path"), meta.get("field")


def build(
    home: Path,
    *,
    encryption_key: str | None = None,
    old_keys: Sequence[str] = (),
    vault: VaultSettings | None = None,
    use_keyring: bool = True,
    queue: bool = True,
) -> Chain:
    """The chain for these settings.

    Args:
        home: MEMORY_HOME; this machine's key is in ``keys/`` under it unless the OS keyring has it.
        encryption_key: MEMORY_ENCRYPTION_KEY.
        old_keys: earlier values of it, for opening only.
        queue: seal with this machine's key when Vault fails; False refuses the write instead.

    Raises:
        ConfigError: a setting is wrong.
    """
    folder = home / "keys"
    local = AesGcmSeal("local", LocalKeys(folder, use_keyring=use_keyring))
    tiers: list[Seal] = []
    shared: dict[str, AesGcmSeal] = {}
    if encryption_key:
        shared["aes"] = AesGcmSeal("aes", GivenKeys(encryption_key, folder, tuple(old_keys)))
    if vault is not None:
        kept = VaultSeal(vault)
        tiers.append(kept)
        shared["vault"] = AesGcmSeal("wire", SharedKeys(kept), hint="Both sides need the same Vault, mount and prefix.")
    if encryption_key:
        tiers.append(shared["aes"])
    tiers.append(local)
    return Chain(tiers, fallback=local if vault is not None and queue else None, shared=shared)
