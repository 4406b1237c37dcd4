"""Memories that leave into their twins, and the secrets that only one machine has of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Changes, Filter
from bethink.service.core import Writer
from bethink.service.memories import Memories
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.peer import Unreachable
from kit.faulty import Unheard
from kit.replicas import Machine, Server

KEY = "11" * 32


def token(which: str) -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uV" + which


def pair(folder: Path, key: str | None = None) -> tuple[Server, Machine, Machine]:
    server = Server(folder, key=key)
    one, two = (Machine(folder, name, server, key=key, wrap=Unheard) for name in ("one", "two"))
    for each in (one, two):
        each.peer.confidential = True
        assert each.sync().ok
    return server, one, two


def stored_on_both(one: Machine, two: Machine) -> tuple[str, str]:
    """The ids of a memory that is to leave, and of its twin, which both machines know."""
    twin = two.say("the same on both")
    assert two.sync().ok
    mine = one.say("the same on both")
    session = one.session()
    session.connect()
    session.pull()
    return mine.id, twin.id


def rounds(*machines: Machine) -> None:
    for _ in range(3):
        for each in machines:
            each.clock.at += timedelta(days=1)
            each.replica.try_all()
            report = each.sync(verify=True)
            assert report.ok, report.errors


@pytest.mark.parametrize("withheld", [True, False])
def test_two_secrets_of_one_name_are_kept_apart(tmp_path: Path, withheld: bool) -> None:
    """Also where neither could be sent at first."""
    server, one, two = pair(tmp_path)
    mine, twin = stored_on_both(one, two)
    one.peer.confidential = not withheld
    one.memories.revise(twin, Changes(content=f"second is {token('B')}"))
    one.memories.revise(mine, Changes(content=f"first is {token('A')}"))
    one.sync()
    one.peer.confidential = True
    rounds(one, two)
    [told] = server.memories().list(Filter()).memories
    assert told.id == twin
    for place in (server.memories(), one.memories):
        assert sorted(place.secret(twin)["secrets"].values()) == [token("A"), token("B")]
    assert one.memories.secret(twin)["secrets"] == server.memories().secret(twin)["secrets"]


def test_what_waits_calls_its_secret_as_the_twin_does(tmp_path: Path) -> None:
    server, one, two = pair(tmp_path)
    mine, twin = stored_on_both(one, two)
    one.memories.revise(twin, Changes(content=f"second is {token('B')}"))
    one.peer.lost = True
    session = one.session()
    session.connect()
    with pytest.raises(Unreachable):
        session.push()
    # Said after its store was sent; what became of that comes by fetching.
    one.memories.revise(mine, Changes(content=f"first is {token('A')}"))
    session.pull()
    rounds(one, two)
    told = one.memories.secret(twin)
    by_name = told["secrets"]
    assert by_name == {"github_pat": token("B"), "github_pat_2": token("A")} == server.memories().secret(twin)["secrets"]
    wordings = [server.memories().get(twin).content, *[str(one.note) for one in server.memories().history(twin)]]
    assert any("first is [REDACTED:github_pat_2]" in each for each in wordings)


def test_a_memory_whose_twin_was_purged_goes_with_it(tmp_path: Path) -> None:
    server, one, two = pair(tmp_path, KEY)
    twin = two.say("the same on both")
    assert two.sync().ok
    mine = one.say("the same on both")
    one.memories.revise(mine.id, Changes(content=f"first is {token('A')}"))
    one.peer.lost = True
    session = one.session()
    session.connect()
    with pytest.raises(Unreachable):
        session.push()
    assert two.sync().ok
    two.memories.forget(twin.id)
    two.memories.purge(twin.id)
    rounds(two, one)
    for each in (server.memories(), one.memories, two.memories):
        assert each.list(Filter()).memories == ()
    assert one.store.log.summary()["pending"] == 0


def test_what_another_process_seals_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, one, two = pair(tmp_path, KEY)
    twin = two.say("the same on both")
    assert two.sync().ok
    mine = one.say("the same on both")
    other = Memories(SQLiteStore(one.path), one.replica.access, seal=one.seal, clock=one.clock, writer=Writer("hook"))
    carried: Callable[..., Any] = one.replica._carried
    done = []

    def between(moved: Any, coming: Any) -> Any:
        found = carried(moved, coming)
        if moved and not done:
            done.append(other.revise(mine.id, Changes(content=f"first is {token('A')}")))
        return found

    monkeypatch.setattr(one.replica, "_carried", between)
    rounds(one, two)
    other.store.close()
    assert done
    for each in (server.memories(), one.memories, two.memories):
        assert list(each.secret(twin.id)["secrets"].values()) == [token("A")]
