"""Vectors in the same file: sign bits for a quick scan, int8 for exact scores, token vectors for reranking.

The scan is exact over the bits (`bits.py`); its best are scored again with the int8 vectors. NumPy is loaded on first
use, so that keyword recall never pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import apsw

from bethink.errors import EmbedderMismatch
from bethink.model import Memory
from bethink.stores.sqlite.bits import Bits, clear
from bethink.stores.sqlite.rows import packed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage

#: Numbers reserved for the windows of one memory.
WINDOWS = 64
_SPAN = f"v.window BETWEEN j.value * {WINDOWS} AND j.value * {WINDOWS} + {WINDOWS - 1}"


def stored_identity(db: apsw.Connection) -> Identity | None:
    """Whose vectors the file holds."""
    import json

    from bethink.embed.base import Identity

    value = db.execute("SELECT value FROM facts WHERE name = 'embedder'").get
    return Identity(**json.loads(value)) if value else None


def scope_number(db: apsw.Connection, owner: str, project: str | None) -> int:
    """The number that stands for an owner's project in the table of bits."""
    db.execute("INSERT OR IGNORE INTO scopes (owner, project) VALUES (?, ?)", (owner, project or ""))
    return int(db.execute("SELECT number FROM scopes WHERE owner = ? AND project = ?", (owner, project or "")).get)


def is_live(memory: Memory) -> bool:
    """Whether plain recall may find it."""
    return memory.status == "active" and memory.deleted_at is None


def place_of(number: int, live: bool) -> int:
    """What the table of bits says of a vector: whose and which project's it is, and whether plain recall may find it."""
    return number * 2 + live


def _windows(db: apsw.Connection, key: int) -> list[tuple[int, int]]:
    """(window, slot) of a memory's vectors."""
    span = (key * WINDOWS, key * WINDOWS + WINDOWS - 1)
    rows: list[tuple[int, int]] = db.execute("SELECT window, slot FROM vectors WHERE window BETWEEN ? AND ?", span).fetchall()
    return rows


def forget_vectors(db: apsw.Connection, key: int) -> int:
    """Removes a memory's vectors; answers how many windows there were."""
    windows = _windows(db, key)
    if windows:
        clear(db, [slot for _, slot in windows])
        for table in ("vectors", "token_vectors"):
            db.executemany(f"DELETE FROM {table} WHERE window = ?", ((window,) for window, _ in windows))
        db.executemany("INSERT INTO free_slots (slot) VALUES (?)", ((slot,) for _, slot in windows))
    return len(windows)


def place_vectors(db: apsw.Connection, key: int, memory: Memory) -> None:
    """Notes in the table of bits that a memory moved or left plain recall."""
    windows = _windows(db, key)
    if windows:
        place = place_of(scope_number(db, memory.owner, memory.scope.project), is_live(memory))
        with Bits(db) as bits:
            for _, slot in windows:
                bits.place(slot, place)


def drop_vectors(db: apsw.Connection) -> None:
    """Forgets every vector and queues every memory."""
    for table in ("vectors", "token_vectors", "vector_chunks", "chunk_versions", "free_slots"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM facts WHERE name = 'embedder'")
    db.execute("INSERT OR IGNORE INTO pending_vectors (key) SELECT key FROM memories")


def put_vectors(db: apsw.Connection, identity: Identity, vectors: Iterable[tuple[int, str, Sequence[Passage]]]) -> int:
    """Stores vectors of memories whose text is still the one that was embedded; answers how many memories."""
    import dataclasses

    import numpy as np

    stored = stored_identity(db)
    if stored is None:
        db.execute("INSERT INTO facts (name, value) VALUES ('embedder', ?)", (packed(dataclasses.asdict(identity)),))
    elif stored != identity:
        raise EmbedderMismatch(f"The store's vectors were made by {stored}, not by {identity}.")
    count = 0
    with Bits(db) as bits:
        for key, text, passages in vectors:
            row = db.execute(
                "SELECT content, owner, project, status = 'active' AND deleted_at IS NULL FROM memories WHERE key = ?", (key,)
            ).fetchone()
            if row is not None:
                content, owner, project, live = row
                if content != text:
                    continue
                forget_vectors(db, key)
                place = place_of(scope_number(db, owner, project), live)
                for index, passage in enumerate(passages[:WINDOWS]):
                    window, slot = key * WINDOWS + index, _new_slot(db)
                    db.execute("INSERT INTO vectors (window, slot, vector) VALUES (?, ?, ?)", (window, slot, quantised(passage.vector)))
                    if passage.tokens.size:
                        db.execute("INSERT INTO token_vectors (window, tokens) VALUES (?, ?)", (window, passage.tokens.tobytes()))
                    bits.write(slot, np.packbits(passage.vector > 0).tobytes(), place)
                count += 1
            db.execute("DELETE FROM pending_vectors WHERE key = ?", (key,))
    return count


def _new_slot(db: apsw.Connection) -> int:
    """A slot that a removed vector left, else the one behind the last."""
    free = db.execute("SELECT slot FROM free_slots LIMIT 1").get
    if free is not None:
        db.execute("DELETE FROM free_slots WHERE slot = ?", (free,))
        return int(free)
    return int(db.execute("SELECT coalesce(max(slot) + 1, 0) FROM vectors").get)


def quantised(vector: npt.NDArray[np.float32]) -> bytes:
    """A vector as int8, scaled so that its largest part fills the range (a cosine does not see the scale)."""
    import numpy as np

    scaled: bytes = np.rint(vector * (127.0 / max(float(np.abs(vector).max()), 1e-9))).astype(np.int8).tobytes()
    return scaled


def unit(blob: bytes) -> npt.NDArray[np.float32]:
    """The unit vector that `quantised` made these bytes of."""
    import numpy as np

    vector = np.frombuffer(blob, dtype=np.int8).astype(np.float32)
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))


def cosines_in(db: apsw.Connection, vector: npt.NDArray[np.float32], slots: Sequence[int]) -> dict[int, float]:
    """Memory key → cosine of its best window among those in these slots."""
    sql = "SELECT v.window, v.vector FROM json_each(?) j CROSS JOIN vectors v ON v.slot = j.value"
    return _best(db.execute(sql, (packed_keys(slots),)), vector)


def best_cosines(db: apsw.Connection, vector: npt.NDArray[np.float32], keys: Sequence[int]) -> dict[int, float]:
    """Memory key → cosine of its best window."""
    rows = db.execute(f"SELECT v.window, v.vector FROM json_each(?) j CROSS JOIN vectors v ON {_SPAN}", (packed_keys(keys),)).fetchall()
    return _best(rows, vector)


def with_tokens(
    db: apsw.Connection, vector: npt.NDArray[np.float32], keys: Sequence[int], width: int
) -> dict[int, tuple[float, npt.NDArray[np.int8]]]:
    """Memory key → (cosine of its best window, token vectors of all its windows)."""
    import numpy as np

    sql = (
        "SELECT v.window, v.vector, coalesce(t.tokens, x'') FROM json_each(?) j "
        f"CROSS JOIN vectors v ON {_SPAN} LEFT JOIN token_vectors t ON t.window = v.window"
    )
    rows = db.execute(sql, (packed_keys(keys),)).fetchall()
    best = _best(((row[0], row[1]) for row in rows), vector)
    parts: dict[int, list[bytes]] = {}
    for window, _, tokens in rows:
        parts.setdefault(window // WINDOWS, []).append(tokens)
    return {
        key: (best[key], np.frombuffer(b"".join(blobs), dtype=np.int8).reshape(-1, width or 1))
        for key, blobs in parts.items()
        if key in best
    }


def packed_keys(keys: Sequence[int]) -> str:
    """Keys as a JSON array, each once."""
    return "[" + ",".join(map(str, dict.fromkeys(keys))) + "]"


def _best(rows: Iterable[tuple[int, bytes]], vector: npt.NDArray[np.float32]) -> dict[int, float]:
    import numpy as np

    found = list(rows)
    if not found:
        return {}
    matrix = np.frombuffer(b"".join(row[1] for row in found), dtype=np.int8).reshape(len(found), -1).astype(np.float32)
    if matrix.shape[1] != vector.shape[0]:
        return {}
    cosines = matrix @ vector / np.maximum(np.linalg.norm(matrix, axis=1), 1e-9)
    best: dict[int, float] = {}
    for (window, _), cosine in zip(found, cosines.tolist(), strict=True):
        key = window // WINDOWS
        if cosine > best.get(key, -2.0):
            best[key] = cosine
    return best
