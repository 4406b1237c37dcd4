"""What goes wrong between machines that keep their secrets in Vault, and must lose none of them; on a real OpenBao."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hvac.exceptions import InvalidPath

from bethink import Draft, open_memories
from bethink.config import load
from bethink.errors import SealDenied
from bethink.model import Changes, Filter
from bethink.seal.vault import VaultSeal, VaultSettings
from bethink.sync.status import standing
from kit import openbao
from kit.canary import flock
from kit.faulty import Unheard, sealed_after_its_twin_took_it_in
from kit.replicas import Machine, Server, Tapped


@pytest.fixture(scope="module")
def bao() -> Iterator[openbao.Bao]:
    with openbao.running() as made:
        yield made


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Each test has a part of the Vault for itself."""
    return "bethink/" + request.node.name


def vault(bao: openbao.Bao, prefix: str, replica: str | None = None) -> VaultSettings:
    return VaultSettings(bao.addr, bao.root, prefix=prefix, rest=0.0, timeout=(2.0, 3.0), replica=replica)


def fields(bao: openbao.Bao, path: str) -> dict[str, Any]:
    found = bao.client().secrets.kv.v2.read_secret_version(path, mount_point="secret", raise_on_deleted_version=True)
    return dict(found["data"]["data"])


def test_what_comes_never_displaces_what_was_not_sent_yet(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    first, second = (canary for canary in flock(seed=60) + flock(seed=61) if canary.kind == "github token")
    server = Server(tmp_path, vault=vault(bao, prefix))
    one, two = (Machine(tmp_path, name, server, vault=vault(bao, prefix, name), wrap=Unheard) for name in ("one", "two"))
    id = one.say("nothing secret yet").id
    for machine in (one, two):
        assert machine.sync().ok
    one.memories.revise(id, Changes(content=first.sentence))
    two.memories.revise(id, Changes(content=second.sentence))
    assert one.sync().ok
    two.peer.down = True
    assert not two.sync().ok
    # What came has the same name.
    assert list(two.memories.secret(id)["secrets"].values()) == [second.secret]
    two.peer.down = False
    for machine in (two, one, two):
        machine.clock.at += timedelta(days=1)
        assert machine.sync().ok
    everywhere = [place.memories.secret(id)["secrets"] for place in (one, two)] + [server.memories().secret(id)["secrets"]]
    assert sorted(everywhere[0].values()) == sorted([first.secret, second.secret])
    assert everywhere[0] == everywhere[1] == everywhere[2]
    # Nothing stays behind in the Vault, neither now nor when it is purged.
    for machine in (one, two):
        assert len(fields(bao, f"{prefix}/.replicas/{machine.name}/local/{id}")) == 2
    one.memories.forget(id)
    one.memories.purge(id)
    for machine in (one, two):
        assert machine.sync().ok
        with pytest.raises(InvalidPath):
            fields(bao, f"{prefix}/.replicas/{machine.name}/local/{id}")


@pytest.mark.parametrize("unheard", [True, False])
@pytest.mark.parametrize("away", [True, False])
def test_what_a_twin_took_in_keeps_its_secret(prefix: str, tmp_path: Path, away: bool, unheard: bool) -> None:
    """Sealed as a whole, before another machine's memory of the same words was known; the Vault may be away at that moment."""
    with openbao.running() as bao:
        server = Server(tmp_path, vault=vault(bao, prefix))
        one, two = (Machine(tmp_path, name, server, vault=vault(bao, prefix, name), wrap=Unheard) for name in ("one", "two"))
        mine = sealed_after_its_twin_took_it_in(one, two)
        if away:
            bao.stop()
        one.peer.lost = unheard
        one.sync()
        if away:
            # It cannot go over yet, and so it stays where it can be had.
            assert one.store.secrets_of(one.replica.access, mine.id)
            one.clock.at += timedelta(days=1)
            assert one.sync().ok and one.store.secrets_of(one.replica.access, mine.id)
            bao.start()
        for machine in (one, two, one, two):
            machine.clock.at += timedelta(days=1)
            assert machine.sync().ok
        [told] = server.memories().list(Filter()).memories
        assert told.id != mine.id and one.store.log.summary()["pending"] == 0
        for each in (server.memories(), one.memories, two.memories):
            assert each.secret(told.id)["secrets"] == {"content": "the same on both"}
        with pytest.raises(InvalidPath):
            fields(bao, f"{prefix}/.replicas/one/local/{mine.id}")
        for machine in (one, two):
            assert len(fields(bao, f"{prefix}/.replicas/{machine.name}/local/{told.id}")) == 1


def test_a_place_of_its_own_is_of_one_secret_alone(bao: openbao.Bao, prefix: str) -> None:
    seal = VaultSeal(vault(bao, prefix, "one"))
    mine, theirs = seal.seal("ann", "m", "token", "mine"), seal.seal("ann", "m", "token", "theirs", apart=True)
    assert seal.open("ann", "m", "token", b"", mine.meta) == "mine"
    assert seal.open("ann", "m", "token", b"", theirs.meta) == "theirs"
    with pytest.raises(SealDenied):
        seal.open("ann", "m", "password", b"", theirs.meta)
    seal.erase("ann", "m", "token", b"", theirs.meta)
    assert seal.open("ann", "m", "token", b"", mine.meta) == "mine"


def test_a_key_that_was_replaced_costs_no_machine_a_secret(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    token = next(canary for canary in flock(seed=62) if canary.kind == "github token")
    server = Server(tmp_path, vault=vault(bao, prefix))
    one = Machine(tmp_path, "one", server, vault=vault(bao, prefix, "one"), wrap=Tapped)
    id = one.say(token.sentence).id
    assert one.sync().ok
    # As docs/how-to/keep-secrets.md says; the server has the old one in mind for up to ten minutes.
    bao.client().secrets.kv.v2.create_or_update_secret(f"{prefix}/.wire/key", {"key": "cd" * 32}, mount_point="secret")
    two = Machine(tmp_path, "two", server, vault=vault(bao, prefix, "two"), wrap=Tapped)
    assert two.sync().ok
    assert standing(two.replica, tmp_path / "none.json", is_on=True, now=two.clock())["secrets_missing"] == 1
    # Ten minutes later.
    server.seal.chain.shared["vault"].keys.forget()  # type: ignore[attr-defined]  # a Vault's key is looked up by SharedKeys, not by every `Keys`
    two.clock.at += timedelta(hours=1)
    assert two.sync().ok
    assert list(two.memories.secret(id)["secrets"].values()) == [token.secret]
    assert standing(two.replica, tmp_path / "none.json", is_on=True, now=two.clock())["secrets_missing"] == 0


def test_a_purge_reaches_the_vault_after_the_machine_was_renamed(
    bao: openbao.Bao, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [canary for seed in (63, 64) for canary in flock(seed=seed) if canary.kind == "github token"]
    environment = {
        "MEMORY_HOME": str(tmp_path),
        "VAULT_ADDR": bao.addr,
        "VAULT_TOKEN": bao.root,
        "VAULT_PREFIX": prefix,
        "MEMORY_API_URL": "http://127.0.0.1:9",
        "MEMORY_API_KEY": "a-key-of" + "-no-server",
    }
    monkeypatch.setattr("platform.node", lambda: "before")
    settings = load(environment=environment)
    with open_memories(settings=settings, with_embedder=False) as memories:
        first, second = (memories.remember(Draft(token.sentence)).memory for token in tokens)
        name = memories.store.secrets_of(memories.access, second.id)[0][0]
        # As an earlier version called the place.
        old = VaultSeal(vault(bao, prefix, "before-0123abcd")).seal("local", second.id, name, tokens[1].secret)
        with memories.store.write(memories.access) as tx:
            tx.put_secret(second.id, name, old.blob, dict(old.meta))
        places = [str(memories.store.secrets_of(memories.access, one.id)[0][2]["path"]) for one in (first, second)]
    assert "before" not in places[0] and "before" in places[1]
    monkeypatch.setattr("platform.node", lambda: "after")
    with open_memories(settings=load(environment=environment), with_embedder=False) as memories:
        for one, token, place in zip((first, second), tokens, places, strict=True):
            assert list(memories.secret(one.id)["secrets"].values()) == [token.secret]
            assert fields(bao, place)
            memories.forget(one.id)
            memories.purge(one.id)
            with pytest.raises(InvalidPath):
                fields(bao, place)
        again = memories.remember(Draft(tokens[0].sentence)).memory
        place = str(memories.store.secrets_of(memories.access, again.id)[0][2]["path"])
        assert place.split("/")[:4] == places[0].split("/")[:4]
