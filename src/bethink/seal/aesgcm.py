"""Secrets sealed with AES-256-GCM (NIST SP 800-38D) under a key of this machine or of the settings.

Blob: magic ``BTS``, version 1, kind of key (0 raw, 1 scrypt), key id (8), for scrypt log2 N, r, p and salt (16), nonce (12),
ciphertext with tag. Everything before the ciphertext, the owner, the memory's id and the secret's name are authenticated.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import Any

from bethink.errors import BethinkError, SealDenied
from bethink.seal.base import Health, Sealed
from bethink.seal.keys import SALT_BYTES, Key, Keys, LocalKeys, key_id

_MAGIC = b"BTS\x01"
_RAW, _SCRYPT = 0, 1
_NONCE = 12
_TAG = 16


def _bound(header: bytes, owner: str, memory: str, name: str) -> bytes:
    parts = [part.encode("utf-8", "surrogatepass") for part in (owner, memory, name)]
    # Lengths keep ("ab", "c") apart from ("a", "bc").
    return header + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _header(key: Key) -> bytes:
    if key.salt:
        return _MAGIC + bytes([_SCRYPT]) + key.id + bytes(key.cost) + key.salt
    return _MAGIC + bytes([_RAW]) + key.id


def _split(blob: bytes) -> tuple[bytes, bytes, bytes, tuple[int, int, int], bytes, bytes]:
    """(header, key id, salt, cost, nonce, ciphertext) of a blob.

    Raises:
        SealDenied: it is not one of ours.
    """
    kind = blob[4] if len(blob) > 4 else -1
    size = 13 if kind == _RAW else 16 + SALT_BYTES
    if blob[:4] != _MAGIC or kind not in (_RAW, _SCRYPT) or len(blob) < size + _NONCE + _TAG:
        raise SealDenied("The sealed secret is damaged.", hint="Restore the row from a backup.")
    cost, salt = (0, 0, 0), b""
    if kind == _SCRYPT:
        cost, salt = (blob[13], blob[14], blob[15]), blob[16:size]
    return blob[:size], blob[5:13], salt, cost, blob[size : size + _NONCE], blob[size + _NONCE :]


class AesGcmSeal:
    """Seals into the row itself. `name` is ``aes`` (key from the settings) or ``local`` (key made on first use).

    Args:
        hint: what to do where the key is missing.
    """

    def __init__(self, name: str, keys: Keys, *, hint: str | None = None) -> None:
        self._name = name
        self.keys = keys
        self._missing = hint

    @property
    def name(self) -> str:
        return self._name

    def seal(self, owner: str, memory: str, name: str, secret: str, *, apart: bool = False) -> Sealed:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self.keys.current()
        header = _header(key)
        nonce = os.urandom(_NONCE)
        text = secret.encode("utf-8", "surrogatepass")
        blob = header + nonce + AESGCM(key.material).encrypt(nonce, text, _bound(header, owner, memory, name))
        return Sealed(self._name, blob, {"tier": self._name, "key": key.id.hex()})

    def open(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> str:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        header, id, salt, cost, nonce, ciphertext = _split(bytes(blob))
        key = self.keys.find(id, salt, cost)
        if key is None:
            raise SealDenied(f"The key {id.hex()} that this secret was sealed with is not here.", hint=self._hint())
        try:
            text = AESGCM(key.material).decrypt(nonce, ciphertext, _bound(header, owner, memory, name))
        except InvalidTag:
            raise SealDenied("The sealed secret belongs to another memory or was changed.", hint="Restore the row from a backup.") from None
        return text.decode("utf-8", "surrogatepass")

    def _hint(self) -> str:
        if self._missing is not None:
            return self._missing
        if isinstance(self.keys, LocalKeys):
            if self.keys.lives_in_keyring():
                return "The key is in the OS keyring; open it from a session that can reach the keyring."
            return "Restore keys/local.key under MEMORY_HOME from a backup, or open it on the machine that sealed it."
        return "Set MEMORY_ENCRYPTION_KEY to the value it had when this was stored, or give it as an old key."

    def erase(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> None:
        """The row holds everything."""

    def is_current(self, meta: Mapping[str, Any]) -> bool:
        return meta.get("tier") == self._name and key_id(meta) == self.keys.current().id.hex()

    def healthy(self) -> Health:
        try:
            sealed = self.seal("probe", "probe", "probe", "probe")
            ok = self.open("probe", "probe", "probe", sealed.blob, sealed.meta) == "probe"
        except BethinkError as error:
            return Health(False, error.message)
        return Health(ok, f"AES-256-GCM, key {sealed.meta['key']}")

    def describe(self) -> dict[str, Any]:
        return {"tier": self._name, "cipher": "AES-256-GCM", **self.keys.describe()}
