"""Many entries at once, and the edges between them: what cannot be stored or joined is told, and stops nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Self

from bethink.errors import BethinkError, Conflict, Forbidden, InvalidInput, NotFound
from bethink.model import Draft, Stored

if TYPE_CHECKING:
    from bethink.service.memories import Memories

#: Bytes of waiting edges that are kept in memory; what is beyond waits on disk.
_IN_MEMORY = 1 << 20
#: What is wrong with an entry or an edge; what is wrong with the store or the seal ends an import.
REFUSED = (InvalidInput, Conflict, NotFound, Forbidden)
#: (start, end, type, note) of a link.
Edge = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be stored, and (other end, type, note) of the edges that start at it."""

    draft: Draft
    edges: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an entry; entries are counted from 1."""

    number: int
    entry: Entry | BethinkError
    answer: Stored | BethinkError


@dataclass(frozen=True, slots=True)
class Joined:
    """How many edges of an entry were made, and how many could not be."""

    number: int
    made: int
    without_end: int


class Waiting:
    """Edges that wait until every entry is stored: the other end of one may come later."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed by __exit__, when the import ends
        #: Ids that entries came with, and those that they were stored under: what says the same is stored once.
        self._renamed: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, number: int, given: str | None, kept: str, edges: Sequence[tuple[str, str, str]]) -> None:
        """Notes under which id an entry was stored, and its edges."""
        if given and given != kept:
            self._renamed[given] = kept
        if edges:
            self._file.write(json.dumps([number, kept, edges]).encode() + b"\n")

    def __iter__(self) -> Iterator[tuple[int, list[Edge]]]:
        """The edges of each entry that has some, in order, between the ids that are stored."""
        self._file.seek(0)
        for line in self._file:
            number, kept, edges = json.loads(line)
            yield number, [(kept, self._renamed.get(target, target), kind, note) for target, kind, note in edges]


def take_in(memories: Memories, entries: Iterable[Entry | BethinkError], *, new_ids: bool = False) -> Iterator[Taken | Joined]:
    """Stores every entry, in order, and then joins what they say is joined.

    Args:
        entries: an error stands for an entry that could not be read.
        new_ids: ids that entries come with join them only; each is stored under a new one.

    Returns:
        One `Taken` for each entry; after the last, one `Joined` for each that names edges and was stored.

    Raises:
        StoreError, SealError: the store or the seal is in trouble; what came before is stored.
    """
    with Waiting() as waiting:
        for number, entry in enumerate(entries, 1):
            answer = _stored(memories, entry, new_ids)
            if isinstance(entry, Entry) and isinstance(answer, Stored):
                waiting.add(number, entry.draft.id, answer.memory.id, entry.edges)
            yield Taken(number, entry, answer)
        for number, edges in waiting:
            made = sum(_joined(memories, edge) for edge in edges)
            yield Joined(number, made, len(edges) - made)


def _stored(memories: Memories, entry: Entry | BethinkError, new_ids: bool) -> Stored | BethinkError:
    if isinstance(entry, BethinkError):
        return entry
    try:
        return memories.remember(replace(entry.draft, id=None) if new_ids else entry.draft)
    except REFUSED as error:
        return error


def _joined(memories: Memories, edge: Edge) -> bool:
    """Joins what is there; the other end of a link may not have been exported."""
    try:
        memories.link(*edge)
    except REFUSED:
        return False
    return True
