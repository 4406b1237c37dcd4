"""Secrets of replicas when something goes wrong: a server from a backup, wrong settings, many at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from bethink.model import Access, Changes
from bethink.seal.vault import VaultSettings
from bethink.stores.sqlite import SQLiteStore
from kit.replicas import Machine, Server, Tapped, seal_in

KEY = "11" * 32


def canary() -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"


def test_a_restored_server_gets_the_secrets_again(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Tapped)
    old = one.say("in the backup")
    assert one.sync().ok
    server.store.backup(tmp_path / "backup.db")
    new = one.say(f"the deploy token is {canary()}")
    one.memories.revise(old.id, Changes(content=f"now with {canary()[::-1]}", sensitive=True))
    assert one.sync().ok
    wanted = [server.memories().secret(memory.id)["secrets"] for memory in (new, old)]
    assert all(wanted)
    server.store.close()
    for name in ("server.db-wal", "server.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "server.db")
    server.store = SQLiteStore(tmp_path / "server.db")
    for _ in range(3):
        assert one.sync(verify=True).ok
    assert one.store.log.summary()["pending"] == 0 and one.store.log.refused() == []
    assert [server.memories().secret(memory.id)["secrets"] for memory in (new, old)] == wanted
    # A change of a memory that the server does not know brings the whole of it.
    server.memories().forget(new.id)
    with server.store.write(Access.local("ann")) as tx:
        tx.erase(new.id)
    server.store._db.execute("DELETE FROM tombstones")
    one.memories.revise(new.id, Changes(importance=0.9))
    assert one.sync().ok and server.memories().secret(new.id)["secrets"] == wanted[0]


def test_a_purge_is_taken_in_where_the_seal_has_wrong_settings(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = (Machine(tmp_path, name, server, key=KEY) for name in ("one", "two"))
    memory = one.say(f"the deploy token is {canary()}")
    for each in (one, two):
        assert each.sync().ok
    assert two.memories.secret(memory.id)
    # VAULT_ADDR without a token.
    two.seal = seal_in(tmp_path / "two", KEY, VaultSettings("http://127.0.0.1:9"))
    two.open()
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    for each in (one, two):
        report = each.sync()
        assert report.ok, report.errors
    assert two.store.get(two.replica.access, [memory.id]) == {}
