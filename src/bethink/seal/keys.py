"""Keys for AES-256-GCM: given ones, derived from a passphrase, and the one made on first use."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bethink.errors import ConfigError, SealDenied, SealUnavailable

#: scrypt N=2^15, r=8, p=3: 32 MB and about a quarter of a second (OWASP Password Storage Cheat Sheet).
SCRYPT = (15, 8, 3)
_MOST_MEMORY = 256 * 1024 * 1024
KEY_BYTES = 32
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Key:
    """32 bytes and their name. `salt` and `cost` are set when it was derived from a passphrase."""

    material: bytes = field(repr=False)
    id: bytes
    salt: bytes = b""
    cost: tuple[int, int, int] = (0, 0, 0)


def named(material: bytes, salt: bytes = b"", cost: tuple[int, int, int] = (0, 0, 0)) -> Key:
    """The key with its fingerprint: eight bytes that say nothing about the key."""
    return Key(material, hmac.new(material, b"bethink key id", hashlib.sha256).digest()[:8], salt, cost)


class Keys(Protocol):
    """Where a tier gets its keys."""

    def current(self) -> Key:
        """The key for sealing; made when there is none and it may be made."""
        ...

    def find(self, id: bytes, salt: bytes, cost: tuple[int, int, int]) -> Key | None:
        """The key that a blob names, or None when it is not here."""
        ...

    def describe(self) -> dict[str, Any]: ...


class GivenKeys:
    """`MEMORY_ENCRYPTION_KEY`: 64 hex digits are the key; anything else is a passphrase, stretched with scrypt (RFC 7914).

    The salt is random, made once in `folder` and recorded in every blob, so that the passphrase alone opens a blob on another machine.
    """

    def __init__(self, value: str, folder: Path, old: tuple[str, ...] = ()) -> None:
        values = [value.strip(), *(v.strip() for v in old)]
        if not all(values):
            raise ConfigError("MEMORY_ENCRYPTION_KEY is empty.", hint="Give 64 hex digits (`openssl rand -hex 32`) or a passphrase.")
        self._raw = [named(bytes.fromhex(v)) for v in values if _is_hex_key(v)]
        self._phrases = [v.encode("utf-8", "surrogatepass") for v in values if not _is_hex_key(v)]
        self._derives = not _is_hex_key(values[0])
        self._salt_file = folder / "passphrase.salt"
        self._derived: dict[tuple[bytes, bytes, tuple[int, int, int]], Key] = {}
        self._lock = threading.Lock()

    def current(self) -> Key:
        if not self._derives:
            return self._raw[0]
        return self._derive(self._phrases[0], self._salt(), SCRYPT)

    def find(self, id: bytes, salt: bytes, cost: tuple[int, int, int]) -> Key | None:
        if not salt:
            return next((key for key in self._raw if hmac.compare_digest(key.id, id)), None)
        for phrase in self._phrases:
            key = self._derive(phrase, salt, cost)
            if hmac.compare_digest(key.id, id):
                return key
        return None

    def describe(self) -> dict[str, Any]:
        return {
            "source": "MEMORY_ENCRYPTION_KEY",
            "kind": "passphrase (scrypt)" if self._derives else "hex",
            "keys": len(self._raw) + len(self._phrases),
        }

    def _derive(self, phrase: bytes, salt: bytes, cost: tuple[int, int, int]) -> Key:
        log_n, r, p = cost
        # The numbers come from a stored blob: one that was tampered with must not eat the machine's memory.
        if not (1 <= log_n <= 20 and 1 <= r <= 32 and 1 <= p <= 16 and 128 * r * 2**log_n <= _MOST_MEMORY):
            raise SealDenied("The sealed secret asks for an absurd key derivation; it was changed.")
        name = (phrase, salt, cost)
        with self._lock:
            if name not in self._derived:
                material = hashlib.scrypt(phrase, salt=salt, n=2**log_n, r=r, p=p, maxmem=2 * _MOST_MEMORY, dklen=KEY_BYTES)
                self._derived[name] = named(material, salt, cost)
            return self._derived[name]

    def _salt(self) -> bytes:
        return _read_or_make(self._salt_file, lambda: secrets.token_bytes(SALT_BYTES).hex() + "\n", _parse_salt)


def _is_hex_key(value: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", value) is not None


def _parse_salt(text: str) -> bytes:
    salt = bytes.fromhex(text.strip())
    if len(salt) != SALT_BYTES:
        raise ValueError("wrong length")
    return salt


class LocalKeys:
    """A key made on first use: in the OS keyring where there is one, else in ``keys/local.key`` (0600) under the home.

    The newest key comes first; older ones stay for what they sealed. Keys of both places open, whichever was in use.
    """

    def __init__(self, folder: Path, *, use_keyring: bool = True) -> None:
        self._folder = folder
        self._file = folder / "local.key"
        self._ring = _Keyring(folder) if use_keyring else None
        self._cached: list[Key] | None = None
        self._lock = threading.Lock()

    def current(self) -> Key:
        with self._lock:
            if self._cached is None:
                self._cached = self._load() or self._make()
            return self._cached[0]

    def find(self, id: bytes, salt: bytes, cost: tuple[int, int, int]) -> Key | None:
        with self._lock:
            for fresh in (False, True):
                # Another process may have made or rotated the key meanwhile: look twice.
                if fresh or self._cached is None:
                    self._cached = self._load() or None
                for key in self._cached or ():
                    if hmac.compare_digest(key.id, id):
                        return key
        return None

    def rotate(self) -> Key:
        """Makes a new key for sealing; the old ones stay."""
        with self._lock, _exclusive(self._folder):
            fresh = secrets.token_bytes(KEY_BYTES)
            if self._file.exists() or not self._ring_has():
                text = self._file.read_text("ascii") if self._file.exists() else ""
                _write(self._file, fresh.hex() + "\n" + text)
            else:
                assert self._ring is not None
                self._ring.write([fresh, *self._ring.read()])
            self._cached = None
            self._cached = self._load()
            return self._cached[0]

    def describe(self) -> dict[str, Any]:
        if self._file.exists():
            place = str(self._file)
        elif self._ring is not None and self._ring.marked():
            place = "OS keyring"
        else:
            place = "not made yet"
        return {"source": place}

    def lives_in_keyring(self) -> bool:
        """True when the key was put into the OS keyring at some time."""
        return self._ring is not None and self._ring.marked()

    def _ring_has(self) -> bool:
        return self._ring is not None and self._ring.marked() and bool(self._ring.read())

    def _load(self) -> list[Key]:
        keys = [named(k) for k in _read_keys(self._file)] if self._file.exists() else []
        if self._ring is not None and self._ring.marked():
            keys += [named(k) for k in self._ring.read()]
        return keys

    def _make(self) -> list[Key]:
        with _exclusive(self._folder):
            # Another process may have been first.
            found = self._load()
            if found:
                return found
            fresh = secrets.token_bytes(KEY_BYTES)
            if not (self._ring is not None and self._ring.write([fresh])):
                _write(self._file, fresh.hex() + "\n")
            return [named(fresh)]


class _Keyring:
    """The OS keyring, if there is a real one that answers in time."""

    _PATIENCE = 3.0

    def __init__(self, folder: Path) -> None:
        self._user = "local-key-" + hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        # Says that the key is there, so that a start without one never wakes the keyring.
        self._marker = folder / "local.in-keyring"

    def marked(self) -> bool:
        return self._marker.exists()

    def read(self) -> list[bytes]:
        text = self._patiently(lambda ring: ring.get_password("bethink", self._user))
        if not text:
            return []
        try:
            return [bytes.fromhex(k) for k in json.loads(text)]
        except (ValueError, TypeError):
            return []

    def write(self, keys: list[bytes]) -> bool:
        """False when there is no keyring or it did not keep the keys."""
        text = json.dumps([k.hex() for k in keys])

        def store(ring: Any) -> bool:
            ring.set_password("bethink", self._user, text)
            return bool(ring.get_password("bethink", self._user) == text)

        if not self._patiently(store):
            return False
        _write(self._marker, "The key is in the OS keyring, service bethink.\n")
        return True

    def _patiently(self, ask: Callable[[Any], Any]) -> Any:
        """The answer, or None: a locked keyring may wait for a dialogue nobody sees, so it is asked in a thread."""
        if (
            sys.platform.startswith("linux")
            and not os.environ.get("DBUS_SESSION_BUS_ADDRESS")
            and not os.environ.get("PYTHON_KEYRING_BACKEND")
        ):
            return None
        answer: list[Any] = []

        def work() -> None:
            with contextlib.suppress(Exception):
                import keyring
                from keyring.backends import fail, null

                ring = keyring.get_keyring()
                if not isinstance(ring, (fail.Keyring, null.Keyring)) and ring.priority > 0:
                    answer.append(ask(ring))

        thread = threading.Thread(target=work, name="bethink-keyring", daemon=True)
        thread.start()
        thread.join(self._PATIENCE)
        return answer[0] if answer else None


def _read_keys(path: Path) -> list[bytes]:
    try:
        text = path.read_text("ascii")
        keys = [bytes.fromhex(line) for line in text.split()]
    except (OSError, ValueError) as error:
        raise SealUnavailable(
            f"The key file {path} cannot be read: {type(error).__name__}.",
            hint="Restore it from a backup; the secrets sealed with it need it.",
        ) from None
    if not keys or any(len(k) != KEY_BYTES for k in keys):
        raise SealUnavailable(f"The key file {path} is damaged.", hint="Restore it from a backup; the secrets sealed with it need it.")
    return keys


def _read_or_make(path: Path, make: Callable[[], str], parse: Callable[[str], bytes]) -> bytes:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return parse(path.read_text("ascii"))
    with _exclusive(path.parent):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return parse(path.read_text("ascii"))
        text = make()
        _write(path, text)
        return parse(text)


def _write(path: Path, text: str) -> None:
    """Writes a file only its owner can read, whole or not at all."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise SealUnavailable(f"The key could not be written to {path}: {error.strerror}.") from None


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One process at a time; the folder is made, for its owner alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix":
            folder.chmod(0o700)
        lock = (folder / ".lock").open("a+b")
    except OSError as error:
        raise SealUnavailable(
            f"The key folder {folder} cannot be used: {error.strerror}.",
            hint="Nothing was stored. Make it writable, or set MEMORY_ENCRYPTION_KEY.",
        ) from None
    with lock:
        if os.name == "posix":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        else:
            import msvcrt

            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
            try:
                yield
            finally:
                lock.seek(0)
                msvcrt.locking(lock.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only


def key_id(meta: Mapping[str, Any]) -> str:
    """The key's fingerprint in hex as a row's meta records it, or ''."""
    return str(meta.get("key", ""))
