"""What happens to replicas: processes end in the middle, and lines lose, double and delay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bethink.model import Access, Changes, Memory
from bethink.sync.peer import Json, Peer, RequestFailed, Unreachable
from kit.replicas import Machine, Tapped


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


class Unheard(Tapped):
    """A line that others can read, on which what is sent can get lost, or the answer to the next push, or every answer."""

    down = lost = deaf = False

    def push(self, changes: Sequence[Json]) -> Json:
        if self.down:
            raise Unreachable("503")
        answer = super().push(changes)
        if self.lost or self.deaf:
            self.lost = False
            raise Unreachable("the answer was lost")
        return answer

    def changes(self, cursor: str | None, limit: int) -> Json:
        if self.deaf:
            raise Unreachable("the answer was lost")
        return super().changes(cursor, limit)


def sealed_after_its_twin_took_it_in(one: Machine, two: Machine) -> Memory:
    """Stored on both, and sealed as a whole on one that has not heard yet that its memory is the other's now."""
    for each in (one, two):
        assert each.sync().ok
    two.say("the same on both")
    mine = one.say("the same on both")
    assert two.sync().ok
    one.peer.deaf = True
    assert not one.sync().ok
    one.peer.deaf = False
    one.memories.revise(mine.id, Changes(sensitive=True))
    return mine
