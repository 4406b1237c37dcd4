"""Replicas against chance: whatever is lost, doubled, late or interrupted, all end equal, and nothing acknowledged is missing.

Steps are counted in `steps`; BETHINK_SYNC_EXAMPLES and BETHINK_SYNC_STEPS make a run longer (see docs/reference/sync-protocol.md).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from bethink.errors import Conflict, Forgotten, NotFound
from bethink.model import Access, Changes
from bethink.sync.peer import Json, Peer, RequestFailed, Unreachable
from kit.replicas import Machine, Server, differences, everything, opened

KEY = "11" * 32
EXAMPLES = int(os.environ.get("BETHINK_SYNC_EXAMPLES", "250"))
STEPS = int(os.environ.get("BETHINK_SYNC_STEPS", "60"))
#: Crashes here are those of processes, so that files may lie in memory.
FOLDER = next((each for each in ("/dev/shm",) if os.access(each, os.W_OK)), None)
steps = 0


class Crash(BaseException):
    """The process ends here."""


class Mortal:
    """A store whose process ends before a certain transaction."""

    def __init__(self, inner: Any, transactions: int) -> None:
        self.inner = inner
        self.left = transactions

    def write(self, access: Access) -> Any:
        self.left -= 1
        if self.left < 0:
            raise Crash
        return self.inner.write(access)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Faulty:
    """A peer on a bad line: requests and answers get lost, come twice, or come when nobody waits for them any more."""

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address, self.confidential = inner.address, inner.confidential
        self.cut = False
        #: What happens to the next requests, in order; None lets one through.
        self.faults: list[str | None] = []
        self.late: list[list[Json]] = []

    def _next(self) -> str | None:
        if self.cut:
            return "lost"
        return self.faults.pop(0) if self.faults else None

    def _ask(self, name: str, *given: Any) -> Any:
        fault = self._next()
        if fault == "lost":
            raise Unreachable("lost on the way")
        if fault == "failed":
            raise RequestFailed("500")
        if fault == "late" and name == "push":
            self.late.append(list(given[0]))
            raise Unreachable("lost on the way, for now")
        for late in self.late if fault == "doubled" else []:
            self.inner.push(late)
        answer = getattr(self.inner, name)(*given)
        if fault == "doubled" and name == "push":
            answer = self.inner.push(*given)
        if fault == "unanswered":
            raise Unreachable("the answer was lost")
        if fault == "crash":
            raise Crash
        if fault == "shuffled" and name == "push":
            answer["answers"].reverse()
        return answer

    def hello(self) -> Json:
        return self.inner.hello()

    def push(self, changes: Sequence[Json]) -> Json:
        return dict(self._ask("push", changes))

    def changes(self, cursor: str | None, limit: int) -> Json:
        return dict(self._ask("changes", cursor, min(limit, 3)))

    def digest(self, owner: str) -> Json:
        return dict(self._ask("digest", owner))

    def marks(self, owner: str, buckets: Sequence[int]) -> Json:
        return dict(self._ask("marks", owner, buckets))

    def fetch(self, ids: Sequence[str]) -> Json:
        return dict(self._ask("fetch", ids))

    def close(self) -> None:
        self.inner.close()


FAULTS = st.lists(st.sampled_from([None, "lost", "failed", "late", "doubled", "unanswered", "crash", "shuffled"]), max_size=4)
MACHINE = st.integers(0, 4)
NUMBER = st.integers(0, 10_000)


class Replication(RuleBasedStateMachine):
    """Machines that write, edit, forget, purge, link; and a line between them and the server that does what it wants."""

    @initialize(count=st.integers(3, 5))
    def begin(self, count: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bethink-sync-", dir=FOLDER))
        self.server = Server(self.folder, key=KEY)
        self.machines = [Machine(self.folder, f"m{n}", self.server, key=KEY, wrap=Faulty) for n in range(count)]
        for machine in self.machines:
            machine.sync()
        #: What somebody was told is stored: id → words that must be somewhere.
        self.said: dict[str, set[str]] = {}
        self.purged: set[str] = set()
        #: Sealing takes what was said before out of the history as well.
        self.sealed: set[str] = set()
        self.words = 0

    def _machine(self, number: int) -> Machine:
        global steps
        steps += 1
        return self.machines[number % len(self.machines)]

    def _some(self, machine: Machine, number: int) -> str | None:
        ids = sorted(machine.store.log.ids_of(machine.user))
        return ids[number % len(ids)] if ids else None

    def _word(self) -> str:
        self.words += 1
        return f"word{self.words:05d}"

    @rule(machine=MACHINE, same=st.booleans())
    def store(self, machine: int, same: bool) -> None:
        one = self._machine(machine)
        content = f"the same {self.words % 3}" if same else self._word()
        memory = one.say(content)
        self.said.setdefault(memory.id, set()).add(content)

    @rule(machine=MACHINE, which=NUMBER)
    def revise(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            word = self._word()
            with suppress(Conflict, Forgotten):
                one.memories.revise(id, Changes(content=word))
                self.said.setdefault(id, set()).add(word)

    @rule(machine=MACHINE, which=NUMBER, value=st.integers(0, 9))
    def mark(self, machine: int, which: int, value: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(Forgotten):
                one.memories.revise(id, Changes(importance=value / 10, tags=(f"t{value}",)))

    @rule(machine=MACHINE, which=NUMBER, status=st.sampled_from(["active", "parked", "completed", "candidate"]))
    def decide(self, machine: int, which: int, status: str) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(Conflict, Forgotten):
                one.memories.revise(id, Changes(status=status))

    @rule(machine=MACHINE, which=NUMBER)
    def seal(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(Conflict, Forgotten):
                one.memories.revise(id, Changes(sensitive=True))
                self.sealed.add(id)

    @rule(machine=MACHINE, which=NUMBER)
    def forget(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            one.memories.forget(id)

    @rule(machine=MACHINE, which=NUMBER)
    def restore(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(Conflict):
                one.memories.restore(id)

    @rule(machine=MACHINE, which=NUMBER)
    def purge(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        id = self._some(one, which)
        if id and one.memories.get(id).deleted_at is not None:
            one.memories.purge(id)
            self.purged.add(id)

    @rule(machine=MACHINE, which=NUMBER, other=NUMBER, cut=st.booleans())
    def link(self, machine: int, which: int, other: int, cut: bool) -> None:
        one = self._machine(machine)
        source, target = self._some(one, which), self._some(one, other)
        if source and target and source != target:
            with suppress(NotFound):
                if cut:
                    one.memories.unlink(source, target, "supports")
                else:
                    one.memories.link(source, target, "supports")

    @rule(machine=MACHINE, faults=FAULTS, verify=st.booleans(), lives=st.none() | st.integers(0, 12))
    def sync(self, machine: int, faults: list[str | None], verify: bool, lives: int | None) -> None:
        one = self._machine(machine)
        one.peer.faults = list(faults)
        if lives is not None:
            one.replica.store = Mortal(one.store, lives)
        try:
            one.sync(verify=verify)
        except Crash:
            one.reopen()
        one.replica.store = one.store
        one.peer.faults = []

    @rule(machine=MACHINE, cut=st.booleans())
    def line(self, machine: int, cut: bool) -> None:
        self._machine(machine).peer.cut = cut

    @rule(machine=MACHINE, hours=st.integers(-2, 2))
    def clock(self, machine: int, hours: int) -> None:
        self._machine(machine).clock.wrong = timedelta(hours=hours)

    @rule(hours=st.integers(-2, 2))
    def server_clock(self, hours: int) -> None:
        self.server.clock.wrong = timedelta(hours=hours)

    @rule(machine=MACHINE)
    def crash(self, machine: int) -> None:
        self._machine(machine).reopen()

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self._heal()
            self._judge()
        finally:
            for machine in self.machines:
                machine.store.close()
            self.server.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _heal(self) -> None:
        for machine in self.machines:
            machine.peer.cut, machine.peer.faults = False, []
            for late in machine.peer.late:
                # What was delayed on the way arrives at last.
                machine.peer.inner.push(late)
            machine.peer.late = []
        for _ in range(4):
            for machine in self.machines:
                machine.clock.at += timedelta(days=1)
                with machine.store.write(machine.replica.access) as tx:
                    tx.log.retry_all()
                report = machine.sync(verify=True)
                assert report.ok, report.errors

    def _judge(self) -> None:
        server = everything(self.server.store, Access.local("ann"), own="ann")
        for machine in self.machines:
            assert machine.store.log.summary()["pending"] == 0, machine.store.log.due(machine.clock(), 10)
            assert machine.store.log.refused() == []
            assert differences(everything(machine.store, machine.replica.access, own="local"), server) == [], machine.name
        self._nothing_lost(server)
        for id in [id for id, shape in server.items() if shape["sealed"]]:
            told = opened(self.server, Access.local("ann"), id)
            assert told and all(opened(machine, machine.replica.access, id) == told for machine in self.machines), id
        assert all(shape["version"] >= 1 for shape in server.values())

    def _nothing_lost(self, server: dict[str, dict[str, Any]]) -> None:
        """Every word is what a memory says, or said, or was displaced and is kept."""
        access = Access.local("ann")
        kept = " ".join(
            [str(shape["content"]) for shape in server.values()]
            + [f"{revision.before} {revision.note}" for id in server for revision in self.server.store.revisions(access, id)]
        )
        with self.server.store.write(access) as tx:

            def heir_of(id: str) -> str:
                while (stone := tx.tombstone_of("ann", id)) is not None and stone.twin:
                    id = stone.twin
                return id

            # A seal reaches the twin that took a memory in, also where that memory's id was purged since.
            sealed = {*map(heir_of, self.sealed), *(id for id, shape in server.items() if shape["sensitive"])}
            for id, words in self.said.items():
                heir = heir_of(id)
                if heir in server and (heir in sealed or id in self.purged):
                    # Its words were erased on purpose; what took it in was somebody else's.
                    continue
                if heir in server:
                    missing = {word for word in words if word not in kept}
                    assert not missing, (id, missing)
                else:
                    assert tx.tombstone_of("ann", heir) is not None, id
                    assert self.purged & {id, heir}, id


def play(examples: int, length: int) -> None:
    run_state_machine_as_test(
        Replication,
        settings=settings(
            max_examples=examples, stateful_step_count=length, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
        ),
    )
    print(f"{steps} steps")


def test_whatever_happens_all_end_equal_and_nothing_is_lost() -> None:
    """More than ten thousand steps."""
    play(EXAMPLES, STEPS)
    assert steps >= 10_000 or (EXAMPLES, STEPS) != (250, 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_happens_in_a_hundred_thousand_steps() -> None:
    play(max(EXAMPLES, 1200), max(STEPS, 100))
