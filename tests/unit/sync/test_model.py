"""Replicas against chance: whatever is lost, doubled, late or interrupted, all end equal, and nothing acknowledged is missing.

Steps are counted in `steps`; BETHINK_SYNC_EXAMPLES and BETHINK_SYNC_STEPS make a run longer (see docs/reference/sync-protocol.md).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bethink.errors import Conflict, Forbidden, Forgotten, NotFound
from bethink.model import Access, Changes
from bethink.service.people import SCOPES, People, Principal
from bethink.sync import conflicts
from kit.faulty import Crash, Faulty, Mortal
from kit.loans import Loans
from kit.replicas import Machine, Server, differences, everything, opened

KEY = "11" * 32
#: A space that Ann made; Bob comes and goes.
TEAM = "space:team"
USERS = ("ann", "bob")
ROLES = ("writer", "reader")
EXAMPLES = int(os.environ.get("BETHINK_SYNC_EXAMPLES", "280"))
STEPS = int(os.environ.get("BETHINK_SYNC_STEPS", "60"))
#: Crashes here are those of processes, so that files may lie in memory.
FOLDER = next((each for each in ("/dev/shm",) if os.access(each, os.W_OK)), None)
steps = 0


#: What a person may be answered, who then does something else.
NOT_NOW = (Conflict, Forbidden, Forgotten, NotFound)


FAULTS = st.lists(st.sampled_from([None, "lost", "failed", "late", "doubled", "unanswered", "crash", "shuffled"]), max_size=4)
MACHINE = st.integers(0, 4)
NUMBER = st.integers(0, 10_000)


class Replication(RuleBasedStateMachine):
    """Machines that write, edit, forget, purge, link; and a line between them and the server that does what it wants.

    In a crowd the last machines are somebody else's, who shares a space with the first one's user and is lent single memories.
    """

    @initialize(
        count=st.integers(3, 5),
        crowd=st.booleans(),
        at_last=st.none() | st.sampled_from(ROLES),
        early=st.booleans(),
        compares=st.booleans(),
    )
    def begin(self, count: int, crowd: bool, at_last: str | None, early: bool, compares: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bethink-sync-", dir=FOLDER))
        self.server = Server(self.folder, key=KEY)
        self.crowd = crowd
        #: What becomes of Bob in the end, before the last rounds or between them.
        self.at_last, self.early = at_last, early
        #: Whether digests are compared in the last rounds: sending and fetching alone make all equal.
        self.compares = compares
        self.access = {"ann": Access.local("ann")}
        #: What Bob may do in the space; None while he is not in it.
        self.role: str | None = None
        if crowd:
            self._gather()
        whose = [USERS[crowd and n >= count - 2] for n in range(count)]
        self.machines = [
            Machine(self.folder, f"m{n}", self.server, principal=name, access=self._access_of(name), key=KEY, wrap=Faulty)
            for n, name in enumerate(whose)
        ]
        #: The server's name of whoever owns a memory, and of whoever alone may read a word.
        self.owner: dict[str, str] = {}
        self.private: dict[str, str] = {}
        #: What somebody was told is stored: id → words that must be somewhere.
        self.said: dict[str, set[str]] = {}
        self.purged: set[str] = set()
        #: Sealing takes what was said before out of the history as well.
        self.sealed: set[str] = set()
        self.words = 0
        for machine in self.machines:
            machine.sync()
            for owner in (machine.user, TEAM) if crowd else ():
                self._say(machine, self._word(), owner)

    def _gather(self) -> None:
        self.people = self.server.people = People(self.server.store, known=USERS, clock=self.server.clock)
        self.loans = Loans(self.server, self.people)
        self.people.add_space("team", "ann")
        self._join("writer")

    def _join(self, role: str) -> None:
        if self.role is None:
            self.people.invite("team", "bob", role, "ann")
            self.people.accept("team", "bob")
        else:
            self.people.role("team", "bob", role, "ann")
        self.role = role
        self._look()

    def _look(self) -> None:
        """What each may see now; kept, as asking costs more than all else."""
        self.access = {name: self.people.access(Principal(name, frozenset(SCOPES))) for name in USERS}

    def _access_of(self, name: str) -> Callable[[], Access]:
        return lambda: self.access[name]

    def _say(self, machine: Machine, content: str, owner: str, *, same: bool = False) -> None:
        memory = machine.say(content, owner=owner if owner in machine.memories.access.writable else machine.user)
        self.owner[memory.id] = machine.principal if memory.owner == machine.user else memory.owner
        self.said.setdefault(memory.id, set()).add(content)
        if not same and memory.owner != TEAM:
            self.private[content] = machine.principal

    def _said(self, id: str, word: str) -> None:
        owner = self.owner[id]
        self.said.setdefault(id, set()).add(word)
        if owner != TEAM:
            self.private[word] = owner

    def _machine(self, number: int) -> Machine:
        global steps
        steps += 1
        return self.machines[number % len(self.machines)]

    def _some(self, machine: Machine, number: int) -> str | None:
        ids = sorted(id for owner in machine.replica.access.readable for id in machine.store.log.ids_of(owner))
        return ids[number % len(ids)] if ids else None

    def _word(self) -> str:
        self.words += 1
        return f"word{self.words:05d}"

    @rule(machine=MACHINE, same=st.booleans(), shared=st.booleans())
    def store(self, machine: int, same: bool, shared: bool) -> None:
        one = self._machine(machine)
        self._say(one, f"the same {self.words % 3}" if same else self._word(), TEAM if shared else one.user, same=same)

    @rule(machine=MACHINE, which=NUMBER)
    def revise(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            word = self._word()
            with suppress(*NOT_NOW):
                one.memories.revise(id, Changes(content=word))
                self._said(id, word)

    @rule(machine=MACHINE, which=NUMBER, value=st.integers(0, 9))
    def mark(self, machine: int, which: int, value: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(*NOT_NOW):
                one.memories.revise(id, Changes(importance=value / 10, tags=(f"t{value}",)))

    @rule(machine=MACHINE, which=NUMBER, status=st.sampled_from(["active", "parked", "completed", "candidate"]))
    def decide(self, machine: int, which: int, status: str) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(*NOT_NOW):
                one.memories.revise(id, Changes(status=status))

    @rule(machine=MACHINE, which=NUMBER)
    def seal(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(*NOT_NOW):
                one.memories.revise(id, Changes(sensitive=True))
                self.sealed.add(id)

    @rule(machine=MACHINE, which=NUMBER)
    def forget(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(*NOT_NOW):
                one.memories.forget(id)

    @rule(machine=MACHINE, which=NUMBER)
    def restore(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        if id := self._some(one, which):
            with suppress(*NOT_NOW):
                one.memories.restore(id)

    @rule(machine=MACHINE, which=NUMBER)
    def purge(self, machine: int, which: int) -> None:
        one = self._machine(machine)
        id = self._some(one, which)
        if id and one.memories.get(id).deleted_at is not None:
            with suppress(*NOT_NOW):
                one.memories.purge(id)
                self.purged.add(id)

    @rule(machine=MACHINE, which=NUMBER, other=NUMBER, cut=st.booleans())
    def link(self, machine: int, which: int, other: int, cut: bool) -> None:
        one = self._machine(machine)
        source, target = self._some(one, which), self._some(one, other)
        if source and target and source != target:
            with suppress(*NOT_NOW):
                if cut:
                    one.memories.unlink(source, target, "supports")
                else:
                    one.memories.link(source, target, "supports")

    @rule(machine=MACHINE, which=NUMBER, again=st.booleans())
    def deal(self, machine: int, which: int, again: bool) -> None:
        """A conflict is made again, or taken off the list."""
        one = self._machine(machine)
        if found := conflicts.listed(one.memories):
            operation = found[which % len(found)]["operation"]
            with suppress(*NOT_NOW):
                (conflicts.reapply if again else conflicts.dismiss)(one.memories, operation)

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

    @precondition(lambda self: self.crowd)
    @rule(owner=st.sampled_from(USERS), which=NUMBER, space=st.booleans(), back=st.booleans())
    def lend(self, owner: str, which: int, space: bool, back: bool) -> None:
        """A single memory is lent, or taken back, by a machine that holds it; replicas of others hold none of it."""
        self._machine(0)
        ids = sorted(id for id, whose in self.owner.items() if whose == owner)
        to = TEAM if space else USERS[owner == "ann"]
        if not ids:
            return
        id = ids[which % len(ids)]
        with suppress(*NOT_NOW):
            self.loans.lend(self.machines, owner, id, to, back=back)
        self._look()

    @precondition(lambda self: self.crowd)
    @rule(role=st.none() | st.sampled_from(ROLES))
    def move(self, role: str | None) -> None:
        """Bob comes, goes, or may do something else."""
        self._machine(0)
        self._become(role)

    def _become(self, role: str | None) -> None:
        if role is not None:
            self._join(role)
        elif self.role is not None:
            self.people.leave("team", "bob")
            self.role = None
            self._look()

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
        for number in range(5 if self.crowd and not self.early else 4):
            if self.crowd and number == (0 if self.early else 1):
                self._become(self.at_last)
            for machine in self.machines:
                machine.clock.at += timedelta(days=1)
                with machine.store.write(machine.replica.access) as tx:
                    tx.log.retry_all()
                report = machine.sync(verify=self.compares)
                assert report.ok, report.errors

    def _judge(self) -> None:
        unsent = {id for machine in self.machines for id in self._held(machine)}
        for machine in self.machines:
            mine = self.access[machine.principal]
            told = Access(mine.principal, mine.readable, mine.writable)
            server = everything(self.server.store, told, own=machine.principal)
            held = self._held(machine)
            found = everything(machine.store, machine.replica.access, own="local")
            wrong = [each for each in differences(found, server) if each[0] not in held]
            assert wrong == [], machine.name
            # Who left holds nothing of the space but what was never sent.
            assert all(id in held for id in machine.store.log.ids_of(TEAM) if TEAM not in mine.readable), machine.name
            self._nothing_leaked(machine)
            for id in [id for id, shape in server.items() if shape["sealed"] and id not in held]:
                secrets = opened(self.server, told, id)
                # Who left may have taken along what was sealed, with the sealing itself sent before.
                assert secrets or id in unsent, id
                assert opened(machine, machine.replica.access, id) == secrets, id
        every = Access("ann", (*USERS, TEAM), (*USERS, TEAM))
        server = everything(self.server.store, every, own="ann")
        assert all(shape["version"] >= 1 for shape in server.values())
        self._nothing_lost(server, every, unsent)
        if self.crowd:
            self.loans.judge(self.machines, self.purged)
        self._nothing_left(server, every, unsent)

    def _held(self, machine: Machine) -> set[str]:
        """Memories with changes that stay on a machine; only somebody who may not write in the space any more has some."""
        log = machine.store.log
        # What was forgotten, and who left the space, lends nothing there: that is refused and shown.
        stays = [each for id in log.waiting() for each in log.pending(id) if each.op != "share" or each.refused is None]
        if machine.principal == "bob" and self.role != "writer":
            # An edge may end at what stays.
            assert all(change.owner == TEAM or change.op == "link" for change in stays), stays
        else:
            assert stays == []
        return {change.memory for change in stays}

    def _nothing_leaked(self, machine: Machine) -> None:
        """No byte of what another user keeps for himself is in a machine's files, not even in what was erased."""
        data = b"".join(file.read_bytes() for file in machine.path.parent.iterdir() if file.is_file())
        assert [word for word, owner in self.private.items() if owner != machine.principal and word.encode() in data] == []

    def _nothing_lost(self, server: dict[str, dict[str, Any]], every: Access, unsent: set[str]) -> None:
        """Every word is what a memory says, or said, or was displaced and is kept."""

        def texts(store: Any, access: Access, ids: Iterable[str]) -> list[str]:
            contents = [memory.content for memory in store.get(access, list(ids)).values()]
            return contents + [f"{one.before} {one.note}" for id in ids for one in store.revisions(access, id)]

        kept = texts(self.server.store, every, server)
        for machine in self.machines:
            kept += texts(machine.store, Access("local", (TEAM,), (TEAM,)), sorted(self._held(machine)))
        whole = " ".join(kept)
        heirs = self._heirs(every)
        # A seal reaches the twin that took a memory in, also where that memory's id was purged since.
        sealed = {*(heirs[id] for id in self.sealed), *(id for id, shape in server.items() if shape["sensitive"])}
        erased_on_purpose = {id: heirs[id] for id in self.said if heirs[id] not in server and id not in unsent}
        with self.server.store.write(every) as tx:
            for id, heir in erased_on_purpose.items():
                assert tx.tombstone_of(self.owner[id], heir) is not None, id
                assert self.purged & {id, heir}, id
        for id in self.said.keys() - erased_on_purpose.keys():
            # Words that were sealed or purged are erased on purpose; what took them in was somebody else's.
            erased = id in self.purged or heirs[id] in sealed
            missing = {word for word in self.said[id] if word not in whole}
            assert erased or not missing, (id, missing)

    def _heirs(self, every: Access) -> dict[str, str]:
        """The memory that each became, or itself."""
        with self.server.store.write(every) as tx:

            def heir_of(id: str) -> str:
                while (stone := tx.tombstone_of(self.owner[id], id)) is not None and stone.twin:
                    id = stone.twin
                return id

            return {id: heir_of(id) for id in self.said}

    def _nothing_left(self, server: dict[str, dict[str, Any]], every: Access, unsent: set[str]) -> None:
        """What was purged or sealed is in no file any more."""
        heirs = self._heirs(every)
        gone = {
            word
            for id, words in self.said.items()
            if not {id, heirs[id]} & unsent and (heirs[id] not in server or server[heirs[id]]["sensitive"])
            for word in words
            if word.startswith("word")
        }
        for place in (self.server, *self.machines):
            folder = place.path.parent if isinstance(place, Machine) else self.folder
            data = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
            assert [word for word in gone if word.encode() in data] == [], folder


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
    assert steps >= 10_000 or (EXAMPLES, STEPS) != (280, 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_happens_in_a_hundred_thousand_steps() -> None:
    play(max(EXAMPLES, 1200), max(STEPS, 100))
