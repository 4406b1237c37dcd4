"""Which tier seals, what waits, and how secrets move, without any store."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from bethink.errors import SealDenied, SealUnavailable
from bethink.seal.chain import Chain, Moved, Row, build
from bethink.seal.vault import VaultSettings

NOWHERE = VaultSettings("http://127.0.0.1:9", "t", timeout=(0.5, 0.5))


def rows(chain: Chain, count: int = 5) -> list[Row]:
    made = []
    for number in range(count):
        sealed = chain.seal("alice", f"m{number}", "password", f"s{number}")
        made.append(Row("alice", f"m{number}", "password", sealed.blob, sealed.meta))
    return made


def after(moved: list[Moved]) -> list[Row]:
    return [m.row if m.sealed is None else m.row._replace(blob=m.sealed.blob, meta=m.sealed.meta) for m in moved]


def test_the_best_configured_tier_seals(tmp_path: Path) -> None:
    assert build(tmp_path, use_keyring=False).name == "local"
    assert build(tmp_path, encryption_key="k" * 20, use_keyring=False).name == "aes"
    assert build(tmp_path, encryption_key="k" * 20, vault=NOWHERE, use_keyring=False).name == "vault"
    assert build(tmp_path, encryption_key="", use_keyring=False).name == "local"


def test_vault_down_queues_sealed_or_refuses(tmp_path: Path) -> None:
    chain = build(tmp_path, vault=NOWHERE, use_keyring=False)
    sealed = chain.seal("alice", "m", "n", "clear" + "text")
    assert sealed.tier == "local" and chain.is_queued(sealed.meta) and not chain.is_current(sealed.meta)
    assert b"cleartext" not in sealed.blob and "cleartext" not in str(sealed.meta)
    with pytest.raises(SealUnavailable):
        build(tmp_path, vault=NOWHERE, use_keyring=False, queue=False).seal("alice", "m", "n", "s")


def test_when_the_fallback_fails_too_the_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in the way")
    with pytest.raises(SealUnavailable):
        build(tmp_path, vault=NOWHERE, use_keyring=False).seal("alice", "m", "n", "s")


def test_a_tier_that_is_no_longer_configured_is_named(tmp_path: Path) -> None:
    (row,) = rows(build(tmp_path, encryption_key="k" * 20, use_keyring=False), 1)
    with pytest.raises(SealDenied) as caught:
        build(tmp_path, use_keyring=False).open(*row)
    assert "MEMORY_ENCRYPTION_KEY" in caught.value.hint
    with pytest.raises(SealDenied):
        build(tmp_path, use_keyring=False).open("alice", "m", "n", b"", {})


def test_what_the_row_holds_is_erased_without_its_key(tmp_path: Path) -> None:
    """What is kept in a Vault that is not configured is not said to be erased."""
    (row,) = rows(build(tmp_path, encryption_key="k" * 20, use_keyring=False), 1)
    chain = build(tmp_path, use_keyring=False)
    chain.erase(*row)
    with pytest.raises(SealDenied) as caught:
        chain.erase("alice", "m", "n", b"", {"tier": "vault"})
    assert "VAULT_ADDR" in caught.value.hint


def test_migrating_is_lazy_resumable_and_keeps_what_it_cannot_move(tmp_path: Path) -> None:
    old = rows(build(tmp_path, use_keyring=False))
    chain = build(tmp_path, encryption_key=secrets.token_hex(32), use_keyring=False)
    first = next(chain.migrate(iter(old)))
    assert first.sealed is not None and first.sealed.tier == "aes"
    broken = old[2]._replace(blob=old[2].blob[:-1])
    half = [*after([first]), old[1], broken, *old[3:]]
    moved = list(chain.migrate(half))
    assert [(m.sealed is not None, m.error is not None) for m in moved] == [
        (False, False),
        (True, False),
        (False, True),
        (True, False),
        (True, False),
    ]
    now = after(moved)
    assert now[2] == broken
    assert [chain.open(*row) for i, row in enumerate(now) if i != 2] == ["s0", "s1", "s3", "s4"]
    assert not any(m.sealed for m in chain.migrate(now))
    with pytest.raises(SealDenied):
        list(chain.migrate(now, to="nowhere"))


def test_rotating_the_local_key(tmp_path: Path) -> None:
    chain = build(tmp_path, use_keyring=False)
    old = rows(chain)
    assert not any(m.sealed for m in chain.rotate(old))
    fresh = chain.new_local_key()
    new = after(list(chain.rotate(old)))
    assert {row.meta["key"] for row in new} == {fresh}
    assert [chain.open(*row) for row in new] == [f"s{i}" for i in range(5)]
    assert not any(m.sealed for m in chain.rotate(new))


def test_rotating_the_given_key_and_keeping_the_queue(tmp_path: Path) -> None:
    one, two = secrets.token_hex(32), "a passphrase this time"
    old = rows(build(tmp_path, encryption_key=one, use_keyring=False))
    chain = build(tmp_path, encryption_key=two, old_keys=[one], use_keyring=False)
    new = after(list(chain.rotate(old)))
    assert [build(tmp_path, encryption_key=two, use_keyring=False).open(*row) for row in new] == [f"s{i}" for i in range(5)]
    waiting = build(tmp_path, vault=NOWHERE, use_keyring=False)
    queued = rows(waiting, 1)
    waiting.new_local_key()
    (again,) = after(list(waiting.rotate(queued)))
    assert waiting.is_queued(again.meta) and again.meta["key"] != queued[0].meta["key"]


def test_rotation_reports_rows_it_cannot_open(tmp_path: Path) -> None:
    chain = build(tmp_path, use_keyring=False)
    (moved,) = chain.rotate([Row("alice", "m", "n", b"", {"tier": "aes"})])
    assert isinstance(moved.error, SealDenied)


def test_a_chain_describes_itself_without_secrets(tmp_path: Path) -> None:
    key = secrets.token_hex(32)
    chain = build(tmp_path, encryption_key=key, vault=VaultSettings("http://127.0.0.1:9", "tok" + "en-xyz"), use_keyring=False)
    told = str(chain.describe())
    assert key not in told and "token-xyz" not in told
    assert not chain.healthy().ok
