"""What is sealed stays readable in nobody's history, whoever sealed it, and all agree on what did not win."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bethink.model import Access, Changes, Filter, Memory
from bethink.service.sealing import Sealing
from bethink.stores.base import Store
from bethink.sync.conflicts import listed
from bethink.sync.peer import Unreachable
from kit.faulty import Unheard
from kit.replicas import Machine, Server, differences, everything

KEY = "11" * 32


def token(letter: str = "A") -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uV" + letter


def machines(folder: Path, server: Server, *names: str) -> list[Machine]:
    made = [Machine(folder, name, server, key=KEY, wrap=Unheard) for name in names]
    for each in made:
        assert each.sync().ok
    return made


def settled(*machines: Machine) -> None:
    for each in (*machines, *machines, *machines):
        each.clock.at += timedelta(days=1)
        assert each.sync(verify=True).ok


def agree(server: Server, *machines: Machine) -> bool:
    wanted = everything(server.store, Access.local("ann"), own="ann")
    found = {each.name: differences(everything(each.store, each.replica.access, own="local"), wanted) for each in machines}
    assert found == {each.name: [] for each in machines}
    return True


def readable(folder: Path, *words: str) -> list[tuple[str, str]]:
    """Which words stand in which files."""
    files = [file for file in folder.rglob("*.db*") if file.is_file()]
    return [(word, file.name) for file in files for word in words if word.encode() in file.read_bytes()]


def past(place: Server | Machine, id: str) -> str:
    memories = place.memories() if isinstance(place, Server) else place.memories
    return str([(one.before, one.note) for one in memories.history(id)])


def test_an_unsent_wording_of_what_was_sealed_elsewhere_stays_in_no_history(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    memory = two.say("the password is zebra")
    settled(one, two)
    one.memories.revise(memory.id, Changes(content="the password is giraffe"))
    two.memories.revise(memory.id, Changes(sensitive=True))
    assert two.sync().ok
    # What is to be sent does not get through in this round.
    session = one.session()
    session.connect()
    session.pull()
    assert one.memories.get(memory.id).sensitive
    settled(one, two)
    assert readable(tmp_path, "zebra", "giraffe") == [] and agree(server, one, two)
    assert sorted(one.memories.secret(memory.id)["secrets"].values()) == ["the password is giraffe", "the password is zebra"]
    assert [told["fields"]["content"] for told in listed(one.memories)] == ["[REDACTED:content_2]"]


def test_what_is_sealed_by_an_edit_after_it_came_sealed_stays_in_no_history(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    memory = two.say("the password is zebra")
    settled(one, two)
    one.memories.revise(memory.id, Changes(content="the password is giraffe"))
    two.memories.revise(memory.id, Changes(sensitive=True))
    assert two.sync().ok
    session = one.session()
    session.connect()
    session.pull()
    one.memories.revise(memory.id, Changes(importance=0.9))
    assert readable(tmp_path / "one", "giraffe") == []
    settled(one, two)
    assert readable(tmp_path, "zebra", "giraffe") == [] and agree(server, one, two)
    assert sorted(two.memories.secret(memory.id)["secrets"].values()) == ["the password is giraffe", "the password is zebra"]


def taken_in(one: Machine, two: Machine, how: str) -> Memory:
    """What one said and edited is two's memory, and sealed there, before one hears of it."""
    twin = two.say("the password is zebra")
    assert two.sync().ok
    mine = one.say("the password is zebra")
    one.memories.revise(mine.id, Changes(content="the password was giraffe"))
    session = one.session()
    session.connect()
    one.peer.lost = True
    with pytest.raises(Unreachable):
        session.push()
    assert two.sync().ok
    two.memories.revise(twin.id, Changes(sensitive=True))
    assert two.sync().ok
    if how == "tombstone":
        session.pull()
    return twin


@pytest.mark.parametrize("how", ["answer", "tombstone"])
def test_the_history_of_what_a_sealed_twin_took_in_is_not_readable(tmp_path: Path, kept_in: Store | None, how: str) -> None:
    server = Server(tmp_path, store=kept_in, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    twin = taken_in(one, two, how)
    settled(one, two)
    assert [memory.id for memory in one.memories.list(Filter()).memories] == [twin.id]
    assert readable(tmp_path, "zebra", "giraffe") == [] and agree(server, one, two)
    assert "zebra" not in past(server, twin.id) and "giraffe" not in past(server, twin.id)
    # That something changed stays.
    assert [revision.op for revision in one.memories.history(twin.id)].count("revise") == 1


@pytest.mark.parametrize("how", ["answer", "tombstone"])
def test_what_did_not_win_is_listed_still_when_a_history_is_moved_into_a_sealed_twin(tmp_path: Path, how: str) -> None:
    server = Server(tmp_path, key=KEY)
    one, two, three = machines(tmp_path, server, "one", "two", "three")
    twin = taken_in(one, two, how)
    assert three.sync().ok
    for each in (two, three):
        each.memories.revise(twin.id, Changes(tags=(each.name,)))
        assert each.sync().ok
    settled(one, two, three)
    assert agree(server, one, two, three)
    for each in (one, two, three):
        assert {"tags": ["three"]} in [told["fields"] for told in listed(each.memories)]


def unseeing(monkeypatch: pytest.MonkeyPatch, one: Machine, content: str) -> Memory:
    """Stored as a version before stored it, which did not know this kind of secret."""
    with monkeypatch.context() as patched:
        patched.setattr(Sealing, "_sealed", lambda self, memory, rows=None: (memory, ()))
        memory = one.say(content)
        assert one.sync().ok
    return memory


def test_a_scan_on_one_machine_takes_the_secret_out_of_every_history(
    tmp_path: Path, kept_in: Store | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, store=kept_in, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    with monkeypatch.context() as patched:
        patched.setattr(Sealing, "_sealed", lambda self, memory, rows=None: (memory, ()))
        memory = one.say(f"the token {token()}")
        for each in (one, two):
            assert each.sync().ok
        # A wording that lost holds one, too.
        one.memories.revise(memory.id, Changes(tags=("a",)))
        two.memories.revise(memory.id, Changes(tags=(f"b {token('B')}",)))
        settled(one, two)
    assert token("B") in past(server, memory.id)
    assert one.memories.seal_missed() == 1
    settled(one, two)
    for place in (server, one, two):
        assert "ghp_" not in past(place, memory.id)
    assert readable(tmp_path, token(), token("B")) == [] and agree(server, one, two)
    assert two.memories.secret(memory.id)["secrets"] == {"github_pat": token()}


def test_an_edit_takes_the_secret_that_it_finds_out_of_every_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    memory = unseeing(monkeypatch, one, f"the token {token()}")
    with monkeypatch.context() as patched:
        patched.setattr(Sealing, "_sealed", lambda self, memory, rows=None: (memory, ()))
        assert two.sync().ok
    one.memories.revise(memory.id, Changes(tags=("a",)))
    settled(one, two)
    assert readable(tmp_path, token()) == [] and agree(server, one, two)


def test_an_edit_that_brings_a_secret_leaves_the_history(tmp_path: Path) -> None:
    server = Server(tmp_path, key=KEY)
    one, two = machines(tmp_path, server, "one", "two")
    memory = one.say("the gate is open")
    settled(one, two)
    one.memories.revise(memory.id, Changes(content=f"the gate opens with {token()}"))
    settled(one, two)
    for place in (server, one, two):
        assert "the gate is open" in past(place, memory.id)
    assert readable(tmp_path, token()) == [] and agree(server, one, two)
