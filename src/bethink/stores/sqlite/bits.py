"""The signs of all vectors, packed so that a question is compared with every one of them in one pass.

The nearest by the share of equal signs are nearly the nearest by cosine (Charikar 2002, SimHash); a few times as many as
are wanted are taken and scored again exactly. An entry is changed in place, so that a write costs a page or two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from types import TracebackType
from typing import TYPE_CHECKING, Self

import apsw

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Numbers of chunks, the places of their entries, and their signs, the first 64 of each entry, then the next …
Block = tuple[list[int], "npt.NDArray[np.uint32]", "npt.NDArray[np.uint64]"]
#: Entries of a chunk.
CHUNK = 2048
#: Chunks of a block: it should stay in a core's cache, and many small ones cost NumPy more than the comparing.
_TOGETHER = 8
#: Most chunks that are held between questions: 11 MB, 200,000 vectors.
_HELD = 100
_PLACE = 4


class Bits:
    """Writes entries; keeps the chunk of the last one open, as neighbours are mostly written together."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._open: tuple[int, apsw.Blob, apsw.Blob] | None = None
        self._changed: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()
        if error is None:
            self._db.executemany(
                "INSERT INTO chunk_versions (number, version) VALUES (?, random()) "
                "ON CONFLICT (number) DO UPDATE SET version = excluded.version",
                [(number,) for number in self._changed],
            )

    def write(self, slot: int, signs: bytes, place: int) -> None:
        """Fills a slot."""
        width = _width(len(signs))
        if self._db.execute("SELECT 1 FROM vector_chunks WHERE number = ?", (slot // CHUNK,)).get is None:
            self._db.execute(
                "INSERT INTO vector_chunks (number, places, bits) VALUES (?, zeroblob(?), zeroblob(?))",
                (slot // CHUNK, CHUNK * _PLACE, CHUNK * width),
            )
        places, bits = self._chunk(slot // CHUNK)
        bits.seek(slot % CHUNK * width)
        bits.write(signs.ljust(width, b"\0"))
        _put_place(places, slot, place)

    def place(self, slot: int, place: int) -> None:
        """Says where the vector in a slot belongs now."""
        _put_place(self._chunk(slot // CHUNK)[0], slot, place)

    def clear(self, slot: int) -> None:
        """Empties a slot; nothing of it stays readable."""
        places, bits = self._chunk(slot // CHUNK)
        width = bits.length() // CHUNK
        bits.seek(slot % CHUNK * width)
        bits.write(bytes(width))
        _put_place(places, slot, 0)

    def _chunk(self, number: int) -> tuple[apsw.Blob, apsw.Blob]:
        if self._open is None or self._open[0] != number:
            self._close()
            self._changed.add(number)
            places = self._db.blob_open("main", "vector_chunks", "places", number, True)
            self._open = (number, places, self._db.blob_open("main", "vector_chunks", "bits", number, True))
        return self._open[1:]

    def _close(self) -> None:
        if self._open is not None:
            for blob in self._open[1:]:
                blob.close()
            self._open = None


def clear(db: apsw.Connection, slots: Iterable[int]) -> None:
    """Empties slots."""
    with Bits(db) as bits:
        for slot in slots:
            bits.clear(slot)


def _put_place(blob: apsw.Blob, slot: int, place: int) -> None:
    blob.seek(slot % CHUNK * _PLACE)
    blob.write(place.to_bytes(_PLACE, "little"))


def _width(size: int) -> int:
    """Bytes of an entry: whole words of 64 bits."""
    return -(-size // 8) * 8


class Signs:
    """What is held of the chunks between questions, so that only those that were changed are read again. For any number of threads."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[list[tuple[int, int]], Block]] = {}

    def blocks(self, db: apsw.Connection) -> Iterable[Block]:
        """All entries; those of a large store are read one block after the other."""
        versions: list[tuple[int, int]] = db.execute("SELECT number, version FROM chunk_versions ORDER BY number").fetchall()
        if len(versions) > _HELD:
            self._held = {}
            return (_block(db, at) for at in range(versions[0][0] // _TOGETHER, versions[-1][0] // _TOGETHER + 1))
        held: dict[int, tuple[list[tuple[int, int]], Block]] = {}
        for at, group in groupby(versions, lambda each: each[0] // _TOGETHER):
            states, known = list(group), self._held.get(at)
            held[at] = known if known is not None and known[0] == states else (states, _block(db, at))
        self._held = held
        return [block for _, block in held.values()]


def _block(db: apsw.Connection, at: int) -> Block:
    import numpy as np

    sql = "SELECT number, places, bits FROM vector_chunks WHERE number BETWEEN ? AND ? ORDER BY number"
    rows = db.execute(sql, (at * _TOGETHER, at * _TOGETHER + _TOGETHER - 1)).fetchall()
    words = len(rows[0][2]) // CHUNK // 8 if rows else 0
    rows = [row for row in rows if len(row[2]) == CHUNK * words * 8]
    planes = np.empty((words, len(rows) * CHUNK), np.uint64)
    for index, (_, _, bits) in enumerate(rows):
        planes[:, index * CHUNK : (index + 1) * CHUNK] = np.frombuffer(bits, np.uint64).reshape(CHUNK, words).T
    return [row[0] for row in rows], np.frombuffer(b"".join(row[1] for row in rows), np.uint32), planes


def nearest(blocks: Iterable[Block], vector: npt.NDArray[np.float32], allowed: Collection[int]) -> Callable[[int], Sequence[int]]:
    """Compares a vector with every entry in one of the allowed places; answers a function that names the n nearest slots, nearest first."""
    import numpy as np

    signs = np.packbits(vector > 0).tobytes()
    question = np.frombuffer(signs.ljust(_width(len(signs)), b"\0"), np.uint64)
    furthest = 64 * len(question) + 1
    # The last entry stands for every place that is unknown.
    away = np.full(max(allowed, default=0) + 2, furthest, np.uint16)
    away[list(allowed)] = 0
    away[0] = furthest
    differing = np.empty(_TOGETHER * CHUNK, np.uint64)
    counts = np.empty(_TOGETHER * CHUNK, np.uint8)
    numbers: list[int] = []
    distances = [np.empty(0, np.uint16)]
    for chunks, places, planes in blocks:
        if len(planes) != len(question):
            continue
        size = len(places)
        distance = away.take(places, mode="clip")
        for plane, word in zip(planes, question, strict=True):
            np.bitwise_xor(plane, word, out=differing[:size])
            np.bitwise_count(differing[:size], out=counts[:size])
            np.add(distance, counts[:size], out=distance)
        distances.append(distance)
        numbers += chunks
    distance = np.concatenate(distances)
    first = np.array(numbers, np.int64) * CHUNK
    #: How many entries are at most so far away.
    within = np.cumsum(np.bincount(distance, minlength=furthest + 1)[:furthest])

    def best(count: int) -> Sequence[int]:
        chosen = np.flatnonzero(distance <= min(int(np.searchsorted(within, count)), furthest - 1))
        chosen = chosen[np.argsort(distance[chosen], kind="stable")][:count]
        answer: list[int] = (first[chosen // CHUNK] + chosen % CHUNK).tolist()
        return answer

    return best
