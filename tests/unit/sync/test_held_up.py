"""What cannot be sent, had or read holds up nothing else, and ends no round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from bethink.errors import PeerError, StoreBusy
from bethink.stores.sqlite import SQLiteStore
from bethink.sync.peer import Json
from kit.replicas import Machine, Private, Server, access_of, crowd, seal_in

KEY = "11" * 32


def token(letter: str = "A") -> str:
    return "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uV" + letter


class Answering(Private):
    """A line on which something is done to the answers of pushes."""

    done: Callable[[Json], None] = staticmethod(lambda answer: None)

    def push(self, changes: Sequence[Json]) -> Json:
        answer = super().push(changes)
        self.done(answer)
        return answer


def test_any_number_of_changes_that_may_not_be_sent_hold_up_no_other(tmp_path: Path) -> None:
    server = Server(tmp_path)
    people, let_in = crowd(server)
    let_in()
    bob = Machine(tmp_path, "two", server, principal="bob", access=access_of(people, "bob"))
    assert bob.sync().ok
    notes = [bob.say(f"note {number} for the team", owner="space:team") for number in range(3)]
    assert len(bob.replica.outgoing(2)) == 2
    people.role("team", "bob", "reader", "ann")
    own = bob.say("a note of his own")
    # A pull tells that the space is only read by now.
    bob.session().pull()
    assert [change.memory for change in bob.replica.outgoing(2)] == [own.id]
    assert bob.sync().sent == 1 and server.memories("bob").count()["total"] == 1
    assert bob.store.log.waiting() == {note.id for note in notes}
    people.role("team", "bob", "writer", "ann")
    assert bob.sync().ok and bob.sync().ok and bob.store.log.waiting() == set()


def test_secrets_that_cannot_be_had_do_not_starve_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bethink.sync.session._SECRETS", 2)
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Private)
    assert one.sync().ok
    ids = sorted(one.say(f"note {number} {token()}").id for number in range(5))
    assert one.sync().ok
    asked: list[str] = []

    def fetch(some: Sequence[str]) -> Json:
        asked.extend(some)
        return dict(one.peer.inner.fetch(some))

    monkeypatch.setattr(one.peer, "fetch", fetch)
    had = one.replica.secrets.taken

    def taken(items: Any, here: Any) -> Any:
        items = list(items)
        # Those that are first in line cannot be opened.
        return had(items, here)._replace(missing=frozenset(item[0] for item in items) & set(ids[:3]))

    monkeypatch.setattr(one.replica.secrets, "taken", taken)
    with one.store.write(one.replica.access) as tx:
        one.replica.waiting.want(tx.log, (), ids)
    for _ in range(3):
        one.replica.try_all()
        assert one.sync().ok
    assert set(asked) == set(ids) and sorted(one.replica.waiting.missing()) == ids[:3]


def test_a_store_that_is_busy_is_an_error_of_the_report(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Answering)
    assert one.sync().ok
    one.say("x")
    one.store.close()
    one.store = one.replica.store = SQLiteStore(one.path, busy_ms=50)
    one.replica.waiting._log = one.store.log
    with closing(apsw.Connection(str(one.path))) as other:
        one.peer.done = lambda answer: other.in_transaction or other.execute("BEGIN IMMEDIATE")
        report = one.sync()
        assert isinstance(report.errors["push"], StoreBusy) and report.errors["push"].hint
    one.peer.done = lambda answer: None
    assert one.sync().ok and one.store.log.summary()["pending"] == 0


@pytest.mark.parametrize("wrong", [{"version": "x"}, {"memory": {"id": "q"}}, None])
def test_answers_that_cannot_be_read_are_an_error_of_the_report(tmp_path: Path, wrong: Mapping[str, Any] | None) -> None:
    server = Server(tmp_path)
    one = Machine(tmp_path, "one", server, wrap=Answering)
    assert one.sync().ok
    one.say("x")

    def spoil(answer: Json) -> None:
        for each in answer["answers"]:
            each.pop("id") if wrong is None else each.update(wrong)

    one.peer.done = spoil
    report = one.sync()
    assert isinstance(report.errors["push"], PeerError)
    one.peer.done = lambda answer: None
    assert one.sync().ok and one.store.log.summary()["pending"] == 0 and server.memories().count()["total"] == 1


@pytest.mark.parametrize("where", ["server", "machine"])
def test_a_key_that_is_configured_no_more_keeps_no_purge_from_being_made(tmp_path: Path, where: str) -> None:
    """Nothing of the secret is kept outside of the store."""
    server = Server(tmp_path, key=KEY)
    one = Machine(tmp_path, "one", server, key=KEY, wrap=Private)
    assert one.sync().ok
    memory = one.say(f"the token {token()}")
    assert one.sync().ok and server.memories().secret(memory.id)["secrets"]
    if where == "server":
        server.seal = seal_in(tmp_path, None)
    else:
        one.seal = seal_in(tmp_path / "one", None)
        one.open()
    one.memories.forget(memory.id)
    one.memories.purge(memory.id)
    assert one.sync().ok and one.store.log.refused() == []
    assert server.memories().count()["total"] == 0 and server.store.secrets_of(server.memories().access, memory.id) == []
