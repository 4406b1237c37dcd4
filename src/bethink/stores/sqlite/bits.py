"""The signs of all vectors, packed so that a question is compared with every one of them in one pass.

The nearest by the share of equal signs are nearly the nearest by cosine (Charikar 2002, SimHash); a few times as many as
are wanted are taken and scored again exactly. An entry is changed in place, so that a write costs a page or two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import apsw

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: A chunk's number, the places of its entries, and their signs.
Chunk = tuple[int, bytes, bytes]
#: Entries of a chunk.
CHUNK = 2048
_PLACE = 4


class Bits:
    """Writes entries; keeps the chunk of the last one open, as neighbours are mostly written together."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._open: tuple[int, apsw.Blob, apsw.Blob] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

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


def chunks(db: apsw.Connection) -> Iterable[Chunk]:
    """All entries, as they are read."""
    rows: Iterable[Chunk] = db.execute("SELECT number, places, bits FROM vector_chunks")
    return rows


def nearest(entries: Iterable[Chunk], vector: npt.NDArray[np.float32], allowed: Collection[int]) -> Callable[[int], Sequence[int]]:
    """Compares a vector with every entry in one of the allowed places; answers a function that names the n nearest slots, nearest first."""
    import numpy as np

    signs = np.packbits(vector > 0).tobytes()
    words = _width(len(signs)) // 8
    # As long as a chunk, as NumPy is slow at repeating six numbers.
    question = np.tile(np.frombuffer(signs.ljust(words * 8, b"\0"), np.uint64), CHUNK)
    furthest = 64 * words + 1
    # The last entry stands for every place that is unknown.
    away = np.full(max(allowed, default=0) + 2, furthest, np.float32)
    away[list(allowed)] = 0
    away[0] = furthest
    ones = np.ones(words, np.float32)
    differing = np.empty_like(question)
    counts = np.empty((CHUNK, words), np.uint8)
    numbers: list[int] = []
    distances = [np.empty(0, np.uint16)]
    for number, places, bits in entries:
        if len(bits) != CHUNK * words * 8:
            continue
        np.bitwise_xor(np.frombuffer(bits, np.uint64), question, out=differing)
        np.bitwise_count(differing, out=counts.reshape(-1))
        distance = counts.astype(np.float32) @ ones
        distance += away.take(np.frombuffer(places, np.uint32), mode="clip")
        distances.append(distance.astype(np.uint16))
        numbers.append(number)
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
