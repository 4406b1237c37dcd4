"""What to do next, and when. Pure: chance is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Mark = tuple[int, int]
#: Source, target, type.
Edge = tuple[str, str, str]
#: Failures after which a change waits in the slow lane.
QUICK_TRIES = 5
#: Seconds between two tries in the slow lane.
SLOW = 300.0
#: The longest pause between two rounds that fail, in seconds.
LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class Repair:
    """What makes two replicas equal."""

    #: To be fetched: the server's is newer, or is not here, or is linked otherwise.
    pull: tuple[str, ...] = ()
    #: To be sent as new: the server does not have it.
    store: tuple[str, ...] = ()
    #: To be sent over an older state of the server, with that state's version.
    again: tuple[tuple[str, int], ...] = ()
    #: Edges to be sent again: the server has lost them.
    links: tuple[Edge, ...] = ()
    #: Memories whose secrets are to be sent again: the server may have lost them.
    secrets: tuple[str, ...] = ()
    #: The server's order of changes has lost its end, as after a backup was restored.
    went_back: bool = False

    def __bool__(self) -> bool:
        return bool(self.pull or self.store or self.again or self.links or self.secrets or self.went_back)


def repair(
    mine: Mapping[str, Mark],
    theirs: Mapping[str, Mark],
    busy: Collection[str] = (),
    here: Collection[Edge] = (),
    there: Collection[Edge] = (),
) -> Repair:
    """Compares (version, seq) by id. What is in `busy` has changes on the way, which will set it right.

    Args:
        here, there: edges that only one side shows, and no change on the way is about. Their memories may be the same: who may read more
            than before sees more of their edges.
    """
    linked = {source for source, _, _ in (*here, *there) if mine.get(source) == theirs.get(source)}
    # An edge raises its memory's number alone, not the version; so does a secret.
    links = [edge for edge in here if edge[0] in theirs and theirs[edge[0]][1] < mine.get(edge[0], (0, 0))[1]]
    pull = [id for id, mark in theirs.items() if id in linked or (id not in busy and _newer(mark, mine.get(id)))]
    store = [id for id in mine if id not in theirs and id not in busy]
    again = [(id, theirs[id][0]) for id, mark in mine.items() if id in theirs and id not in busy and theirs[id][0] < mark[0]]
    secrets = [id for id, mark in mine.items() if id in theirs and theirs[id][0] == mark[0] and theirs[id][1] < mark[1]]
    went_back = any(id in theirs and theirs[id][1] < mark[1] for id, mark in mine.items())
    return Repair(tuple(sorted(pull)), tuple(sorted(store)), tuple(sorted(again)), tuple(sorted(links)), tuple(sorted(secrets)), went_back)


def _newer(theirs: Mark, mine: Mark | None) -> bool:
    return mine is None or theirs[0] > mine[0] or (theirs[0] == mine[0] and theirs[1] != mine[1])


def differing(mine: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """The parts whose digests differ."""
    return [number for number, (one, other) in enumerate(zip(mine, theirs, strict=True)) if one != other]


def batches(sized: Sequence[tuple[T, int]], count: int, size: int) -> list[list[T]]:
    """Consecutive groups of at most `count` entries and `size` bytes; what is larger stands alone."""
    groups: list[list[T]] = []
    room = 0
    for entry, weight in sized:
        if not groups or len(groups[-1]) >= count or weight > room:
            groups.append([])
            room = size
        groups[-1].append(entry)
        room -= weight
    return groups


def pause_of_change(tries: int, chance: float) -> float:
    """Seconds until a change that failed `tries` times is tried again; `chance` is 0..1."""
    if tries >= QUICK_TRIES:
        return SLOW * (1 + chance)
    return float(2**tries) * (0.5 + chance)


def pause_of_round(failures: int, interval: float, chance: float) -> float:
    """Seconds until the next round: the interval when all is well, longer and longer when the server is away."""
    if not failures:
        return interval * (0.8 + 0.4 * chance)
    return min(LONGEST, max(1.0, float(2 ** min(failures, 12)))) * (0.5 + chance)
