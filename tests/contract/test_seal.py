"""What every place for secrets must do, on each of them: AES with a hex key, a passphrase, this machine's key; Vault."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bethink.errors import SealDenied
from bethink.seal.aesgcm import AesGcmSeal
from bethink.seal.base import Seal
from bethink.seal.chain import build
from bethink.seal.keys import GivenKeys, LocalKeys
from bethink.seal.vault import VaultSeal, VaultSettings
from kit import openbao

SECRET = "hunter" + "2-日本語-😀-\ud800-\0-" + "x" * 5000
MEMORY = "0199f3c2-7b1e-7000-8000-000000000001"

KINDS = ("hex", "passphrase", "local", "vault", "chain")


@pytest.fixture(scope="module")
def bao() -> Iterator[openbao.Bao]:
    with openbao.running() as server:
        yield server


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Seal]:
    """A function that makes the seal anew, as the next process would."""
    kind = request.param
    if kind == "vault":
        server = request.getfixturevalue("bao")
        token = server.token(policy="contract", rules=openbao.POLICY)
        return lambda: VaultSeal(VaultSettings(server.addr, token))
    key = {"hex": secrets.token_hex(32), "passphrase": "correct horse " + "battery staple 日本"}.get(kind, "")
    if kind == "chain":
        return lambda: build(tmp_path, use_keyring=False)  # type: ignore[return-value]  # a chain seals and opens like a seal
    if kind == "local":
        return lambda: AesGcmSeal("local", LocalKeys(tmp_path / "keys", use_keyring=False))
    return lambda: AesGcmSeal("aes", GivenKeys(key, tmp_path / "keys"))


def test_what_was_sealed_comes_back_in_the_next_process(make: Callable[[], Seal]) -> None:
    sealed = make().seal("alice", MEMORY, "password", SECRET)
    assert sealed.meta["tier"] == sealed.tier
    assert make().open("alice", MEMORY, "password", sealed.blob, json.loads(json.dumps(dict(sealed.meta)))) == SECRET


def test_an_empty_secret_is_a_secret_too(make: Callable[[], Seal]) -> None:
    sealed = make().seal("alice", MEMORY, "content", "")
    assert make().open("alice", MEMORY, "content", sealed.blob, sealed.meta) == ""


def test_nothing_of_the_secret_is_in_what_is_stored(make: Callable[[], Seal]) -> None:
    value = "distinctive" + "-value-4711"
    sealed = make().seal("alice", MEMORY, "password", value)
    assert value.encode() not in sealed.blob
    assert value not in json.dumps(dict(sealed.meta)) + repr(sealed)


@pytest.mark.parametrize(
    ("owner", "memory", "name"),
    [
        ("bob", MEMORY, "password"),
        ("alice", MEMORY[:-1] + "2", "password"),
        ("alice", MEMORY, "token"),
        ("alic", "e" + MEMORY, "password"),
        ("", "", ""),
    ],
)
def test_only_its_owner_memory_and_name_open_it(make: Callable[[], Seal], owner: str, memory: str, name: str) -> None:
    sealed = make().seal("alice", MEMORY, "password", SECRET)
    with pytest.raises(SealDenied) as caught:
        make().open(owner, memory, name, sealed.blob, sealed.meta)
    assert caught.value.hint
    assert "hunter" not in str(caught.value) + caught.value.hint


def test_several_secrets_of_one_memory_live_side_by_side(make: Callable[[], Seal]) -> None:
    seal = make()
    one = seal.seal("alice", "several", "password", "first")
    two = seal.seal("alice", "several", "password_2", "second")
    assert seal.open("alice", "several", "password", one.blob, one.meta) == "first"
    assert seal.open("alice", "several", "password_2", two.blob, two.meta) == "second"
    seal.erase("alice", "several", "password", one.blob, one.meta)
    assert seal.open("alice", "several", "password_2", two.blob, two.meta) == "second"
    seal.erase("alice", "several", "password_2", two.blob, two.meta)
    seal.erase("alice", "several", "password_2", two.blob, two.meta)


def test_it_says_how_it_is_without_secrets(make: Callable[[], Seal]) -> None:
    seal = make()
    assert seal.healthy().ok
    assert seal.is_current(seal.seal("alice", "m", "n", "s").meta)
    assert not seal.is_current({"tier": "elsewhere"})
    assert json.dumps(seal.describe())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    owner=st.text(max_size=20),
    memory=st.text(max_size=20),
    name=st.text(alphabet="abcdefghij_0123456789", min_size=1),
    secret=st.text(max_size=200),
)
def test_any_owner_id_and_secret_come_back(make: Callable[[], Seal], owner: str, memory: str, name: str, secret: str) -> None:
    seal = make()
    sealed = seal.seal(owner, memory, name, secret)
    assert seal.open(owner, memory, name, sealed.blob, sealed.meta) == secret
