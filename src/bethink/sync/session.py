"""One round of replication with a server: send, fetch, compare. Sending and fetching do not depend on each other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bethink import exchange
from bethink.errors import BethinkError, InvalidInput, PeerError
from bethink.service.replicating import PROTOCOL
from bethink.stores.log import Change
from bethink.sync import plan
from bethink.sync.mending import rescue
from bethink.sync.peer import REFUSED, Json, Peer, RequestFailed, RequestRefused
from bethink.sync.replica import WITHHELD, Replica
from bethink.sync.secrets import Waits, Withheld, keys_of

#: Most changes and bytes in one request.
_CHANGES = 500
_BYTES = 1 << 20
#: Memories fetched at once.
PAGE = 1000
#: Memories asked for at once whose secrets are missing: a server may have to ask its Vault for each.
_SECRETS = 50
#: Pages or batches of one round that may bring nothing before it is called off.
_IDLE = 3
_WITHHELD_HINT = "Give both sides the same MEMORY_ENCRYPTION_KEY or the same Vault, or use https; then `bethink sync` sends it."


@dataclass(slots=True)
class Report:
    """What a round did."""

    sent: int = 0
    fetched: int = 0
    repaired: int = 0
    #: What went wrong, by part of the round.
    errors: dict[str, BethinkError] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.errors


class Session:
    """A replica in touch with its server.

    Args:
        told: called with (what, done so far, of how many) as work goes on; None when nobody knows of how many.
        stop: asked between two requests; True ends the round.
    """

    def __init__(
        self,
        replica: Replica,
        peer: Peer,
        *,
        told: Callable[[str, int, int | None], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.replica = replica
        self.peer = peer
        self._told = told or (lambda what, count, total: None)
        self._stop = stop
        self._chance = chance
        self._keys: tuple[str, ...] = ()
        #: Whether the server turned out to have lost some of its past.
        self._missed = False

    def round(self, *, verify: bool = False) -> Report:
        """Says hello, sends, fetches, and compares when asked to.

        What fails is in the report, a store that is busy too; nothing is raised.
        """
        report = Report()
        self._missed = False
        try:
            self.connect()
        except BethinkError as error:
            report.errors["hello"] = error
            return report
        for name, part in (("push", self.push), ("pull", self.pull)):
            try:
                count = part()
            except BethinkError as error:
                report.errors[name] = error
                continue
            if name == "push":
                report.sent = count
            else:
                report.fetched = count
        if self._missed:
            self._send_missed(report)
        try:
            self.fetch_secrets()
        except BethinkError as error:
            report.errors["secrets"] = error
        try:
            if report.ok and (verify or self.replica.to_compare):
                report.repaired = self.verify()
                self.replica.compared()
                if report.repaired:
                    report.sent += self.push()
                    report.fetched += self.pull()
        except BethinkError as error:
            report.errors["verify"] = error
        return report

    def _send_missed(self, report: Report) -> None:
        """Sends what the server turned out to have lost."""
        try:
            report.sent += self.push()
        except BethinkError as error:
            report.errors.setdefault("push", error)

    def connect(self, *, again: bool = False) -> Json:
        """Makes sure that this is the server which the store belongs to; ties a new store to it.

        Raises:
            WrongServer, Unauthorized, Unreachable
        """
        hello = self.peer.hello()
        try:
            protocol = int(hello["protocol"])
            self.replica.bind(hello, self.peer.address, again=again)
            self._keys = keys_of(hello)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PeerError(f"The server's greeting cannot be read: {error}.") from error
        if protocol < PROTOCOL:
            raise PeerError(f"The server speaks version {protocol} of the protocol, this is {PROTOCOL}.", hint="Upgrade the server.")
        self.replica.meet(self._keys)
        return hello

    def push(self) -> int:
        """Sends what waits, in order; answers how much the server has taken."""
        done, idle = 0, 0
        held: set[str] = set()
        total = int(self.replica.store.log.summary()["pending"])
        while not self._stop():
            changes = self.replica.outgoing(_CHANGES)
            if not changes:
                break
            ready = self._ready(changes)
            stays = {change.operation for change in changes} - {change.operation for change, _ in ready}
            settled = 0
            for group in plan.batches([(pair, len(json.dumps(pair[1]))) for pair in ready], _CHANGES, _BYTES):
                settled += self._send(group)
            done += settled
            # What was held back for the first time makes room for others.
            idle = 0 if settled or stays - held else idle + 1
            held |= stays
            self._told("sent", done, total)
            if idle >= _IDLE:
                break
        return done

    def pull(self) -> int:
        """Fetches what changed on the server since the last time; answers how many memories it told of."""
        done = 0
        total = None
        log = self.replica.store.log
        while not self._stop():
            cursor = log.fact("cursor")
            page = self.peer.changes(cursor, PAGE)
            if page.get("reset") and cursor is not None:
                # The server has lost some of its past: what it lost is here, and is sent when the rest was fetched.
                self.verify(went_back=True)
                self._missed = True
                continue
            if isinstance(page.get("total"), int):
                total = done + page["total"]
            rescue(self.replica.store, self.replica.access, page)
            done += self.replica.absorb(page)
            self._told("fetched", done, total)
            if not page.get("has_more"):
                break
        return done

    def fetch_secrets(self) -> None:
        """Asks again for memories whose secrets were missing when they came."""
        while not self._stop() and (ids := self.replica.waiting.wanted()):
            page = self.peer.fetch(ids[:_SECRETS])
            self.replica.absorb(page, move_cursor=False)
            if not self.replica.found_secrets(ids[:_SECRETS], page, self._chance()):
                break

    def verify(self, *, went_back: bool = False) -> int:
        """Compares digests with the server and repairs what differs, both ways; answers how many memories differed.

        Args:
            went_back: it is known already that the server has lost some of its past.
        """
        differing = self.replica.upload_unknown()
        compared = self.compare()
        for found in compared.values():
            self.replica.mend(found)
        if went_back or any(found.went_back for found in compared.values()):
            # Numbers from a past that the server has lost would make its news look old.
            self.replica.rewind()
            differing += 1
        for owner, found in compared.items():
            differing += len(found.pull) + len(found.store) + len(found.again) + len(found.links)
            for start in range(0, len(found.pull), PAGE):
                page = self.peer.fetch(found.pull[start : start + PAGE])
                rescue(self.replica.store, self.replica.access, page)
                self.replica.absorb(page, move_cursor=False)
            self._told(f"compared {owner}", differing, None)
        return differing

    def compare(self) -> dict[str, plan.Repair]:
        """What differs, by owner. Only parts whose digests differ are looked at."""
        log = self.replica.store.log
        found = {}
        busy = log.busy()
        for owner in self.replica.access.readable:
            mine = {id: (version, seq) for id, version, seq in log.marks(owner)}
            edges = list(self.replica.store.edges(self.replica.access, owner))
            remote = self.replica.remote(owner)
            try:
                told = self.peer.digest(remote)
                wanted = set(plan.differing(exchange.digest((id, *mark) for id, mark in mine.items()), told["buckets"]))
                # A server from before tells nothing of edges.
                if "edges" in told:
                    wanted.update(plan.differing(exchange.digest(edges), told["edges"]))
                if not wanted:
                    continue
                told = self.peer.marks(remote, sorted(wanted))
                theirs = {str(id): (int(version), int(seq)) for id, version, seq in told["marks"]}
                linked = {(str(source), str(target), str(type)) for source, target, type in told.get("edges", ())}
            except (KeyError, TypeError, ValueError) as error:
                raise PeerError(f"The server's digest cannot be read: {error}.") from error
            some = {id: mark for id, mark in mine.items() if exchange.bucket_of(id) in wanted}
            shown = {edge for edge in edges if exchange.bucket_of(edge[0]) in wanted} if "edges" in told else linked
            settled = (shown ^ linked) - self._unsettled(shown ^ linked)
            if repair := plan.repair(some, theirs, busy, settled & shown, settled & linked):
                found[owner] = repair
        return found

    def _unsettled(self, edges: Collection[plan.Edge]) -> set[plan.Edge]:
        """Those of some edges that the server has to hear of: made, cut or erased here with one of their ends."""
        store = self.replica.store
        busy = {end for source, target, _ in edges for end in (source, target)} & store.log.waiting()
        erased = busy - store.get(self.replica.access, list(busy)).keys()
        said = [change for id in busy for change in store.log.pending(id) if change.op in ("link", "unlink")]
        told = {(one.memory, str((one.payload or {}).get("target")), str((one.payload or {}).get("type"))) for one in said}
        return {edge for edge in edges if edge in told or edge[1] in erased}

    def _ready(self, changes: Sequence[Change]) -> list[tuple[Change, Json]]:
        ready = []
        for change in changes:
            try:
                wire = self.replica.wire(change, keys=self._keys, confidential=self.peer.confidential)
            except Withheld as error:
                self.replica.refuse(change, WITHHELD, f"A secret was not sent: {error}", error.hint or _WITHHELD_HINT)
                continue
            except Waits as waits:
                self.replica.delay(change, self._later(change), waits.error)
                continue
            if wire is None:
                self.replica.drop(change)
            else:
                ready.append((change, wire))
        return ready

    def _send(self, group: Sequence[tuple[Change, Json]]) -> int:
        """Sends a group; one that is refused as a whole is split until only what is refused is left behind."""
        changes = [change for change, _ in group]
        try:
            answer = self.peer.push([wire for _, wire in group])
        except (RequestRefused, RequestFailed) as error:
            if isinstance(error, RequestRefused) and error.status in (401, 403):
                # Somebody on the way may refuse a content; who refuses the key refuses the greeting as well.
                self.peer.hello()
            if len(group) > 1:
                half = len(group) // 2
                return self._send(group[:half]) + self._send(group[half:])
            if isinstance(error, RequestRefused):
                hint = REFUSED if error.hint == error.default_hint else error.hint
                self.replica.refuse(changes[0], error.kind or f"HTTP{error.status}", error.message, hint)
            else:
                self.replica.delay(changes[0], self._later(changes[0]), error)
            return 0
        answers: Any = answer.get("answers") if isinstance(answer, Mapping) else None
        if not isinstance(answers, list):
            raise PeerError("The server's answer holds no answers.")
        return self._settled(changes, answers)

    def _settled(self, changes: Sequence[Change], answers: list[Any]) -> int:
        try:
            return self.replica.settle(changes, answers)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
            raise PeerError(f"The server's answer cannot be read: {error}.") from error

    def _later(self, change: Change) -> datetime:
        return self.replica.now() + timedelta(seconds=plan.pause_of_change(change.tries, self._chance()))
