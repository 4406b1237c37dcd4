"""Secrets between machines that share a Vault with their server, on a real OpenBao: sealed over plain HTTP, or they wait."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bethink.errors import NotFound, SealDenied
from bethink.model import Changes
from bethink.seal.vault import VaultSeal, VaultSettings
from bethink.service.people import People
from bethink.sync.status import standing
from kit import openbao
from kit.canary import Canary, flock, traces
from kit.chaos import Chaos
from kit.replicas import Machine, Private, Server, Tapped
from kit.storm import BETHINK, Served, Writer

TOKEN = next(canary for canary in flock(seed=41) if canary.kind == "github token")
KEY = "33" * 32


@pytest.fixture(scope="module")
def bao() -> Iterator[openbao.Bao]:
    with openbao.running() as made:
        yield made


def vault(bao: openbao.Bao, prefix: str, *, replica: str | None = None, token: str | None = None, **more: Any) -> VaultSettings:
    return VaultSettings(bao.addr, token or bao.root, prefix=prefix, rest=0.0, timeout=(2.0, 3.0), replica=replica, **more)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Each test has a part of the Vault for itself."""
    return "bethink/" + request.node.name.replace("[", "-").replace("]", "")


def kept(bao: openbao.Bao, path: str) -> dict[str, Any]:
    found = bao.client().secrets.kv.v2.read_secret_version(path, mount_point="secret", raise_on_deleted_version=True)
    return dict(found["data"]["data"])


def listed(bao: openbao.Bao, path: str) -> list[str]:
    """Names under a path; none where nothing is left."""
    from hvac.exceptions import InvalidPath

    try:
        return list(bao.client().secrets.kv.v2.list_secrets(path, mount_point="secret")["data"]["keys"])
    except InvalidPath:
        return []


def heard(*machines: Machine) -> str:
    return "".join(word for machine in machines for word in machine.peer.heard)


def say(machine: Machine, canary: Canary = TOKEN) -> str:
    return machine.say(canary.sentence).id


def shows(machine: Machine) -> dict[str, Any]:
    return standing(machine.replica, machine.path.parent / "none.json", is_on=True, now=machine.clock())


def test_secrets_cross_sealed_with_the_key_in_the_vault(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    server = Server(tmp_path, vault=vault(bao, prefix))
    one, two = (Machine(tmp_path, name, server, vault=vault(bao, prefix, replica=name), wrap=Tapped) for name in ("one", "two"))
    ids = {canary: say(one, canary) for canary in flock(seed=40)}
    for machine in (one, two):
        report = machine.sync()
        assert report.ok, report.errors
    assert one.store.log.summary()["pending"] == 0 and one.store.log.refused() == []
    for canary, id in ids.items():
        secrets = two.memories.secret(id)["secrets"]
        assert secrets == server.memories().secret(id)["secrets"] == one.memories.secret(id)["secrets"]
        assert any(canary.secret in each or each in canary.secret for each in secrets.values()), canary.kind
    assert traces(ids, heard(one, two)) == []
    key = kept(bao, f"{prefix}/.wire/key")["key"]
    assert key not in heard(one, two)
    for machine in (one, two):
        assert key.encode() not in machine.path.read_bytes()
    # Each keeps its own, and an edit finds its way back.
    assert set(listed(bao, f"{prefix}/.replicas")) == {"one/", "two/"}
    some = next(iter(ids.values()))
    two.memories.revise(some, Changes(content="the token is " + TOKEN.secret[::-1], sensitive=True))
    for machine in (two, one):
        assert machine.sync().ok
    assert TOKEN.secret[::-1] in one.memories.secret(some)["content"]
    assert TOKEN.secret[::-1] not in heard(one, two)


def test_two_that_make_the_key_at_once_have_one(bao: openbao.Bao, prefix: str) -> None:
    seals = [VaultSeal(vault(bao, prefix)) for _ in range(6)]
    start = threading.Barrier(len(seals))

    def made(seal: VaultSeal) -> bytes | None:
        start.wait()
        return seal.wire_key(make=True)

    assert VaultSeal(vault(bao, prefix)).wire_key(make=False) is None
    with ThreadPoolExecutor(len(seals)) as pool:
        keys = set(pool.map(made, seals))
    assert len(keys) == 1 and keys == {VaultSeal(vault(bao, prefix)).wire_key(make=False)}


def test_no_owner_has_the_path_of_the_key(bao: openbao.Bao, prefix: str) -> None:
    seal = VaultSeal(vault(bao, prefix))
    key = seal.wire_key(make=True)
    for owner in (".wire", ".replicas", "=wire"):
        sealed = seal.seal(owner, "key", "key", "not a key")
        assert sealed.meta["path"] != f"{prefix}/.wire/key"
    assert VaultSeal(vault(bao, prefix)).wire_key(make=True) == key


def test_two_vaults_are_none_in_common(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    with openbao.running() as another:
        server = Server(tmp_path, vault=vault(another, prefix))
        one = Machine(tmp_path, "one", server, vault=vault(bao, prefix, replica="one"), wrap=Tapped)
        two = Machine(tmp_path, "two", server, vault=vault(another, prefix, replica="two"), wrap=Tapped)
        id, other = say(one), one.say("nothing secret").id
        assert one.sync().ok and two.sync().ok
        assert two.memories.get(other).content == "nothing secret"
        (withheld,) = shows(one)["refusals"]
        assert withheld["code"] == "SecretWithheld" and "the same Vault" in withheld["hint"]
        assert traces([TOKEN], heard(one, two)) == []
        with pytest.raises(NotFound):
            server.memories().secret(id)
        # Inside TLS it goes as it is, into the seal of the other side.
        one.peer = Private(one.peer.inner)
        one.replica.try_all()
        assert one.sync().ok and two.sync().ok and shows(one)["refusals"] == []
        assert TOKEN.secret in two.memories.secret(id)["secrets"].values()
        assert traces([TOKEN], heard(two)) == []


def test_a_secret_waits_for_the_vault_and_nothing_else_does(prefix: str, tmp_path: Path) -> None:
    with openbao.running() as bao:
        server = Server(tmp_path, vault=vault(bao, prefix))
        one, two = (Machine(tmp_path, name, server, vault=vault(bao, prefix, replica=name), wrap=Tapped) for name in ("one", "two"))
        for machine in (one, two):
            assert machine.sync().ok
        bao.stop()
        id, other = say(one), one.say("nothing secret").id
        one.memories.revise(id, Changes(importance=0.9))
        one.memories.revise(id, Changes(importance=0.8))
        assert one.sync().ok and two.sync().ok
        assert two.memories.get(other).content == "nothing secret"
        assert two.memories.get(id).importance == 0.8
        assert one.store.revisions_named(one.replica.access, "conflict") == []
        told = shows(one)
        assert (told["pending"], told["refused"]) == (1, 0)
        (waits,) = told["waiting"]
        assert (waits["memory"], waits["op"], waits["code"]) == (id, "secret", "SealUnavailable")
        assert "cannot be reached" in waits["message"]
        for _ in range(8):
            one.clock.at += timedelta(hours=1)
            assert one.sync().ok
        assert shows(one)["pending"] == 1
        bao.start()
        one.clock.at += timedelta(hours=1)
        assert one.sync().ok and shows(one)["pending"] == 0 and shows(one)["waiting"] == []
        assert two.sync().ok
        assert TOKEN.secret in two.memories.secret(id)["secrets"].values()
        assert traces([TOKEN], heard(one, two)) == []


@pytest.mark.parametrize("side", ["server", "machine"])
def test_a_machine_gets_what_it_could_not_get_while_the_vault_was_away(side: str, prefix: str, tmp_path: Path) -> None:
    """A snapshot whose secrets cannot be opened at the server, or on the new machine."""
    with openbao.running() as bao:
        server = Server(tmp_path, vault=vault(bao, prefix))
        one = Machine(tmp_path, "one", server, vault=vault(bao, prefix, replica="one"), wrap=Tapped)
        ids = [say(one, canary) for canary in flock(seed=44)]
        purged = say(one, flock(seed=45)[2])
        assert one.sync().ok
        at = vault(bao, prefix, replica="two")
        if side == "machine":
            # The server keeps them elsewhere, and has the key for the wire in mind.
            for moved in server.memories().migrate_secrets("local"):
                assert moved.error is None
            away = VaultSettings("http://127.0.0.1:9", "t", prefix=prefix, rest=0.0, replica="two")
        else:
            bao.stop()
            away = at
        two = Machine(tmp_path, "two", server, vault=away, wrap=Tapped)
        report = two.sync()
        assert report.ok, report.errors
        assert shows(two)["secrets_missing"] == len(ids) + 1
        assert two.memories.get(ids[0]).sealed
        # Asked again later and later, in vain.
        asked = len(two.peer.heard)
        assert two.sync().ok and len(two.peer.heard) == asked + 1
        server.memories().forget(purged)
        two_again = two
        if side == "machine":
            two.store.close()
            two_again = Machine(tmp_path, "two", server, vault=at, wrap=Tapped)
        else:
            bao.start()
        server.memories().purge(purged)
        two_again.clock.at += timedelta(hours=1)
        assert two_again.sync().ok and shows(two_again)["secrets_missing"] == 0
        for id in ids:
            assert two_again.memories.secret(id)["secrets"] == server.memories().secret(id)["secrets"]
        assert traces(flock(seed=44), heard(one, two, two_again)) == []


def test_a_token_that_may_not_read_the_key_is_told_what_it_needs(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    rules = openbao.POLICY.replace("bethink/*", f"{prefix}/*") + f'path "secret/data/{prefix}/.wire/*" {{ capabilities = ["deny"] }}'
    token = bao.token(policy="no-wire", rules=rules)
    server = Server(tmp_path, vault=vault(bao, prefix))
    one = Machine(tmp_path, "one", server, vault=vault(bao, prefix, replica="one", token=token), wrap=Tapped)
    id = say(one)
    assert one.sync().ok
    (withheld,) = shows(one)["refusals"]
    assert withheld["code"] == "SecretWithheld" and f"secret/data/{prefix}/.wire/key" in withheld["hint"]
    assert one.memories.secret(id) and token not in json.dumps(withheld)
    # The same at the server.
    strict = Server(tmp_path / "strict", vault=vault(bao, prefix, token=token))
    two = Machine(tmp_path, "two", strict, vault=vault(bao, prefix, replica="two"), wrap=Tapped)
    say(two)
    assert two.sync().ok
    (withheld,) = shows(two)["refusals"]
    assert withheld["code"] == "SecretWithheld" and traces([TOKEN], heard(one, two)) == []
    # A key that somebody broke is not used, and not thrown away unasked.
    bao.client().secrets.kv.v2.create_or_update_secret(f"{prefix}/.wire/key", {"key": "short"}, mount_point="secret")
    with pytest.raises(SealDenied, match="no key"):
        VaultSeal(vault(bao, prefix)).wire_key(make=True)


def test_the_key_of_the_settings_comes_first_and_the_vaults_where_it_differs(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY, vault=vault(bao, prefix))
    same = Machine(tmp_path, "same", server, key=KEY, vault=vault(bao, prefix, replica="same"), wrap=Tapped)
    id = say(same)
    assert same.sync().ok
    assert '"by"' not in same.peer.heard[0]
    other = Machine(tmp_path, "other", server, key="44" * 32, vault=vault(bao, prefix, replica="other"), wrap=Tapped)
    bare = Machine(tmp_path, "bare", server, vault=vault(bao, prefix, replica="bare"), wrap=Tapped)
    old = Machine(tmp_path, "old", server, key=KEY, wrap=Tapped)
    for machine in (other, bare, old):
        assert machine.sync().ok
        assert TOKEN.secret in machine.memories.secret(id)["secrets"].values(), machine.name
    again = say(other, flock(seed=46)[2])
    for machine in (other, bare, old, same):
        assert machine.sync().ok
    assert other.store.log.summary()["pending"] == 0 and other.store.log.refused() == []
    for machine in (bare, old, same):
        assert machine.memories.secret(again)["secrets"] == other.memories.secret(again)["secrets"]
    assert traces([TOKEN, flock(seed=46)[2]], heard(same, other, bare, old)) == []


def test_a_key_that_was_replaced_is_found_again(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    server = Server(tmp_path, vault=vault(bao, prefix))
    one = Machine(tmp_path, "one", server, vault=vault(bao, prefix, replica="one"), wrap=Tapped)
    say(one)
    assert one.sync().ok
    bao.client().secrets.kv.v2.create_or_update_secret(f"{prefix}/.wire/key", {"key": "ab" * 32}, mount_point="secret")
    # This one had no key before; the server still has the old one in mind and looks again when it is shown another.
    two = Machine(tmp_path, "two", server, vault=vault(bao, prefix, replica="two"), wrap=Tapped)
    new = say(two, flock(seed=47)[2])
    assert two.sync().ok and two.store.log.summary()["pending"] == 0 and two.store.log.refused() == []
    # And the machine that was told that its key is unknown looks again as well.
    late = say(one, flock(seed=48)[2])
    assert one.sync().ok and one.store.log.summary()["pending"] == 0 and one.store.log.refused() == []
    assert two.sync().ok
    assert two.memories.secret(late) and one.memories.secret(new)
    assert traces(flock(seed=47) + flock(seed=48), heard(one, two)) == []


def test_a_vault_that_both_sides_get_later_brings_what_is_missing(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    at = vault(bao, prefix)
    first = Server(tmp_path)
    one = Machine(tmp_path, "one", first, wrap=Private)
    id = say(one)
    assert one.sync().ok
    two = Machine(tmp_path, "two", first, wrap=Tapped)
    assert two.sync().ok and shows(two)["secrets_missing"] == 0
    with pytest.raises(NotFound):
        two.memories.secret(id)
    first.close()
    two.store.close()
    server = Server(tmp_path, vault=at)
    two = Machine(tmp_path, "two", server, vault=vault(bao, prefix, replica="two"), wrap=Tapped)
    assert two.sync().ok
    assert TOKEN.secret in two.memories.secret(id)["secrets"].values()
    assert traces([TOKEN], heard(two)) == []


def test_what_a_machine_moves_or_loses_is_its_own(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    server = Server(tmp_path, vault=vault(bao, prefix))
    people = People(server.store, clock=server.clock)
    principals = {}
    for name in ("ann", "bob"):
        _, key = people.add_user(name)
        principals[name] = people.by_key(key)
    people.add_space("team", "ann")
    people.invite("team", "bob", "writer", "ann")
    people.accept("team", "bob")
    ann, bob = (
        # Users of the same name on both sides: one owner's path in one Vault.
        Machine(tmp_path, f"of-{name}", server, user=name, principal=name, vault=vault(bao, prefix, replica=name), wrap=Tapped,
                access=partial(people.access, principals[name]))
        for name in ("ann", "bob")
    )  # fmt: skip
    for machine in (ann, bob):
        assert machine.sync().ok
    mine, ours = say(ann), ann.say(flock(seed=49)[2].sentence, owner="space:team").id
    for machine in (ann, bob):
        assert machine.sync().ok
    assert listed(bao, f"{prefix}/.replicas/bob") == ["space=3Ateam/"]
    assert bob.memories.secret(ours)["secrets"] == ann.memories.secret(ours)["secrets"]
    for moved in ann.memories.migrate_secrets("local"):
        assert moved.error is None
    space = people.access(principals["ann"])
    assert server.memories("ann", space).secret(mine)["secrets"] == ann.memories.secret(mine)["secrets"]
    people.leave("team", "bob")
    assert bob.sync().ok
    assert listed(bao, f"{prefix}/.replicas/bob") == []
    assert server.memories("ann", space).secret(ours)
    for moved in ann.memories.migrate_secrets("vault"):
        assert moved.error is None
    server.memories("ann", space).forget(mine)
    server.memories("ann", space).purge(mine)
    assert ann.sync().ok
    assert listed(bao, f"{prefix}/.replicas/ann") == ["space=3Ateam/"]
    assert ann.memories.secret(ours)


def test_a_vault_that_hangs_holds_up_no_write(bao: openbao.Bao, prefix: str, tmp_path: Path) -> None:
    """What came is opened and sealed before the store's transaction begins."""
    server = Server(tmp_path, key=KEY)
    server.memories()
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Tapped)
    say(one)
    assert one.sync().ok
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        hangs = VaultSettings(f"http://127.0.0.1:{port}", "t", prefix=prefix, timeout=(30.0, 30.0), replica="two")
        two = Machine(tmp_path, "two", server, key=KEY, vault=hangs, wrap=Tapped)
        syncing = threading.Thread(target=two.sync)
        syncing.start()
        connection, _ = silent.accept()
        # The round is asking the Vault, and will go on doing so until we hang up.
        assert two.say("written meanwhile").content == "written meanwhile"
        assert syncing.is_alive()
        connection.close()
    syncing.join(120)
    assert not syncing.is_alive()
    assert two.memories.count()["total"] == 2


def test_programs_over_plain_http(bao: openbao.Bao, tmp_path: Path) -> None:
    """Three processes and a line that everybody reads; the settings are all there is."""
    canaries = flock(seed=50)
    key = "-".join(("a", "key", "for", "tests", "only", "0123456789"))
    token = bao.token(policy="bethink", rules=openbao.POLICY)
    settings = {"VAULT_ADDR": bao.addr, "VAULT_TOKEN": token}
    served = Served(tmp_path / "server", key)
    served.kill()
    served.environment.update(settings)
    served.start()
    chaos = Chaos(served.port, rate=0.0)
    try:
        served.wait()
        one, two, bare = (Writer(tmp_path / name, name, chaos.url, key) for name in ("one", "two", "bare"))
        lines = "".join(json.dumps({"content": canary.sentence}) + "\n" for canary in canaries)
        environment = {**one.environment, **settings}
        command = [*BETHINK, "add", "--stdin-jsonl", "--global"]
        added = subprocess.run(command, env=environment, input=lines, capture_output=True, text=True, timeout=120, check=False)
        assert added.returncode == 0, added.stdout + added.stderr
        ids = [json.loads(line)["id"] for line in added.stdout.splitlines()]
        for writer in (one, two):
            done = writer.bethink("sync", "--json", **settings)
            assert done.returncode == 0, done.stdout + done.stderr
        assert b"/api/sync/push" in chaos.heard
        for canary, id in list(zip(canaries, ids, strict=True))[2:5]:
            opened = two.bethink("secrets", "show", id, "--json", **settings)
            assert opened.returncode == 0, opened.stdout + opened.stderr
            secrets = json.loads(opened.stdout)["secrets"].values()
            assert any(canary.secret in each or each in canary.secret for each in secrets), canary.kind
        # A machine without the Vault is told nothing, and says what is missing.
        assert bare.bethink("sync", "--json").returncode == 0
        refused = bare.bethink("secrets", "show", ids[0])
        assert refused.returncode != 0 and "Vault" in refused.stderr
        status = json.loads(two.bethink("sync", "--status", "--json", **settings).stdout)
        assert (status["pending"], status["refused"], status["secrets_missing"], status["waiting"]) == (0, 0, 0, [])
        assert traces(canaries, bytes(chaos.heard)) == []
        wire_key = kept(bao, "bethink/.wire/key")["key"]
        for place in (tmp_path / "one", tmp_path / "two", tmp_path / "server"):
            assert not any(wire_key.encode() in file.read_bytes() for file in place.rglob("*") if file.is_file())
        bao.stop()
        late = flock(seed=51)[2]
        assert one.bethink("add", late.sentence, "--global", **settings).returncode == 0
        waiting = one.bethink("sync", **settings)
        assert waiting.returncode == 1 and "waits: secret" in waiting.stdout and "cannot be reached" in waiting.stdout
        bao.start()
        assert one.bethink("sync", **settings).returncode == 0 and two.bethink("sync", **settings).returncode == 0
        assert traces([late], bytes(chaos.heard)) == []
    finally:
        chaos.close()
        served.kill()
