"""Keys: made once by whoever is first, for their owner's eyes alone, kept when rotated, and never guessed."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import ConfigError, SealDenied, SealUnavailable
from bethink.seal import keys as keys_module
from bethink.seal.aesgcm import AesGcmSeal
from bethink.seal.keys import GivenKeys, LocalKeys

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX files")


def local(folder: Path, **more: Any) -> AesGcmSeal:
    return AesGcmSeal("local", LocalKeys(folder, **{"use_keyring": False, **more}))


def given(value: str, folder: Path, *old: str) -> AesGcmSeal:
    return AesGcmSeal("aes", GivenKeys(value, folder, old))


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    seal = local(tmp_path / "keys")
    seal.describe()
    with pytest.raises(SealDenied):
        seal.open("a", "m", "n", given(secrets.token_hex(32), tmp_path).seal("a", "m", "n", "s").blob, {})
    assert not (tmp_path / "keys").exists()


@posix
def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        local(tmp_path / "keys").seal("a", "m", "n", "s")
        given("a passphrase", tmp_path / "keys").seal("a", "m", "n", "s")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "keys").iterdir()}
    assert modes["local.key"] == modes["passphrase.salt"] == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert not [name for name in modes if name.startswith(".new-")]


def test_processes_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from bethink.seal.aesgcm import AesGcmSeal; from bethink.seal.keys import LocalKeys\n"
        "import cryptography.hazmat.primitives.ciphers.aead\n"
        "home = Path(sys.argv[1]); print('ready', flush=True); sys.stdin.readline()\n"
        "seal = AesGcmSeal('local', LocalKeys(home, use_keyring=False))\n"
        "print(seal.seal('a', 'm', 'n', f'from {os.getpid()}').blob.hex())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "keys")]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    blobs = [bytes.fromhex(worker.communicate(timeout=60)[0]) for worker in workers]
    assert len((tmp_path / "keys" / "local.key").read_text().split()) == 1
    assert {local(tmp_path / "keys").open("a", "m", "n", blob, {}) for blob in blobs} == {f"from {w.pid}" for w in workers}


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    for seal in (local(tmp_path / "keys"), given(secrets.token_hex(32), tmp_path), given("a passphrase", tmp_path)):
        blob = seal.seal("a", "m", "n", "top" + "secret").blob
        for index in range(len(blob)):
            changed = blob[:index] + bytes([blob[index] ^ 1]) + blob[index + 1 :]
            if seal.name == "aes" and 13 <= index < 32 and blob[4] == 1 and index not in (13, 14, 20):
                continue  # a derivation for every bit of salt would take a minute
            with pytest.raises(SealDenied):
                seal.open("a", "m", "n", changed, {})
        for cut in (b"", blob[:3], blob[:20], blob[:-1], blob + b"x"):
            with pytest.raises(SealDenied):
                seal.open("a", "m", "n", cut, {})


def test_a_tampered_cost_does_not_eat_the_memory(tmp_path: Path) -> None:
    seal = given("a passphrase", tmp_path)
    blob = bytearray(seal.seal("a", "m", "n", "s").blob)
    blob[13] = 31
    with pytest.raises(SealDenied, match="absurd"):
        seal.open("a", "m", "n", bytes(blob), {})


def test_the_same_secret_never_looks_the_same(tmp_path: Path) -> None:
    seal = local(tmp_path)
    assert len({seal.seal("a", "m", "n", "s").blob for _ in range(50)}) == 50


def test_a_passphrase_opens_on_another_machine(tmp_path: Path) -> None:
    sealed = given("correct horse 日本", tmp_path / "one").seal("a", "m", "n", "s")
    assert given(" correct horse 日本 ", tmp_path / "two").open("a", "m", "n", sealed.blob, sealed.meta) == "s"
    with pytest.raises(SealDenied) as caught:
        given("correct horse", tmp_path / "two").open("a", "m", "n", sealed.blob, sealed.meta)
    assert "MEMORY_ENCRYPTION_KEY" in caught.value.hint


def test_hex_keys_are_keys_in_either_case_and_old_ones_still_open(tmp_path: Path) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    sealed = given(old, tmp_path).seal("a", "m", "n", "s")
    phrase = given("phrase", tmp_path).seal("a", "m", "n", "p")
    assert given(old.upper(), tmp_path).open("a", "m", "n", sealed.blob, sealed.meta) == "s"
    both = given(new, tmp_path, old, "phrase")
    assert both.open("a", "m", "n", sealed.blob, sealed.meta) == "s"
    assert both.open("a", "m", "n", phrase.blob, phrase.meta) == "p"
    assert not both.is_current(sealed.meta)
    with pytest.raises(SealDenied):
        given(new, tmp_path).open("a", "m", "n", sealed.blob, sealed.meta)


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_key_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError):
        GivenKeys(value, tmp_path)


def test_a_rotated_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    seal = local(tmp_path / "keys")
    old = seal.seal("a", "m", "n", "s")
    running = local(tmp_path / "keys")
    assert running.open("a", "m", "n", old.blob, old.meta) == "s"
    assert isinstance(seal.keys, LocalKeys)
    seal.keys.rotate()
    new = seal.seal("a", "m", "n", "t")
    assert new.meta["key"] != old.meta["key"]
    assert seal.open("a", "m", "n", old.blob, old.meta) == "s"
    # A process that was running meanwhile finds the new key when it meets it.
    assert running.open("a", "m", "n", new.blob, new.meta) == "t"


@pytest.mark.parametrize("content", ["", "zz", "ab" * 31, "\0" * 64])
def test_a_damaged_key_file_is_never_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "local.key").write_text(content)
    with pytest.raises(SealUnavailable) as caught:
        local(tmp_path).seal("a", "m", "n", "s")
    assert "backup" in caught.value.hint
    assert (tmp_path / "local.key").read_text() == content


def test_a_folder_that_cannot_be_made_refuses_the_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SealUnavailable):
        local(tmp_path / "file" / "keys").seal("a", "m", "n", "s")


def test_keys_do_not_show_in_representations(tmp_path: Path) -> None:
    key = secrets.token_hex(32)
    made = GivenKeys(key, tmp_path).current()
    assert key not in repr(made) and bytes.fromhex(key).hex() not in repr(made)
    assert key not in json.dumps(GivenKeys(key, tmp_path).describe())


class _Ring:
    """A keyring in memory, as the `keyring` package knows backends."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, user: str) -> str | None:
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, text: str) -> None:
        self.kept[(service, user)] = text


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> _Ring:
    import keyring

    made = _Ring()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "set")
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    return made


def test_the_keyring_keeps_the_key_where_there_is_one(tmp_path: Path, ring: _Ring) -> None:
    seal = local(tmp_path, use_keyring=True)
    sealed = seal.seal("a", "m", "n", "s")
    assert not (tmp_path / "local.key").exists()
    assert len(ring.kept) == 1
    assert local(tmp_path, use_keyring=True).open("a", "m", "n", sealed.blob, sealed.meta) == "s"
    assert isinstance(seal.keys, LocalKeys)
    seal.keys.rotate()
    assert seal.open("a", "m", "n", sealed.blob, sealed.meta) == "s"
    assert not (tmp_path / "local.key").exists()
    assert "keyring" in str(seal.describe())


def test_two_homes_have_two_keys_in_one_keyring(tmp_path: Path, ring: _Ring) -> None:
    one = local(tmp_path / "one", use_keyring=True).seal("a", "m", "n", "s")
    two = local(tmp_path / "two", use_keyring=True)
    two.seal("a", "m", "n", "s")
    with pytest.raises(SealDenied):
        two.open("a", "m", "n", one.blob, one.meta)


def test_a_keyring_that_went_away_is_named(tmp_path: Path, ring: _Ring) -> None:
    sealed = local(tmp_path, use_keyring=True).seal("a", "m", "n", "s")
    ring.kept.clear()
    away = local(tmp_path, use_keyring=True)
    with pytest.raises(SealDenied) as caught:
        away.open("a", "m", "n", sealed.blob, sealed.meta)
    assert "keyring" in caught.value.hint


def test_a_keyring_that_waits_for_a_dialogue_does_not_block(tmp_path: Path, ring: _Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    forever = threading.Event()
    monkeypatch.setattr(keys_module._Keyring, "_PATIENCE", 0.1)
    monkeypatch.setattr(ring, "set_password", lambda *_: forever.wait(30))
    try:
        sealed = local(tmp_path, use_keyring=True).seal("a", "m", "n", "s")
    finally:
        forever.set()
    assert (tmp_path / "local.key").exists()
    assert local(tmp_path).open("a", "m", "n", sealed.blob, sealed.meta) == "s"


def test_a_keyring_that_loses_what_it_was_given_is_not_trusted(tmp_path: Path, ring: _Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "set_password", lambda *_: None)
    local(tmp_path, use_keyring=True).seal("a", "m", "n", "s")
    assert (tmp_path / "local.key").exists()
