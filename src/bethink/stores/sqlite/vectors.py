"""Vectors in the same file: sign bits for a quick scan, int8 for exact scores, token vectors for reranking.

The scan is exact over the bits (`sqlite-vec`), its best are scored again with the int8 vectors. NumPy and the
extension are loaded on first use, so that keyword recall never pays for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from bethink.errors import EmbedderMismatch
from bethink.model import Memory
from bethink.stores.sqlite.rows import packed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bethink.embed.base import Identity, Passage

#: Numbers reserved for the windows of one memory.
WINDOWS = 64
#: sqlite-vec answers at most this many neighbours.
MAX_NEIGHBOURS = 4096
_SPAN = f"v.window BETWEEN j.value * {WINDOWS} AND j.value * {WINDOWS} + {WINDOWS - 1}"


def load_extension(db: apsw.Connection) -> None:
    """Makes `vec0` tables usable on this connection."""
    import sqlite_vec

    try:
        db.execute("SELECT vec_version()").fetchall()
    except apsw.SQLError:
        db.enable_load_extension(True)
        db.load_extension(sqlite_vec.loadable_path())
        db.enable_load_extension(False)


def stored_identity(db: apsw.Connection) -> Identity | None:
    """Whose vectors the file holds."""
    import json

    from bethink.embed.base import Identity

    value = db.execute("SELECT value FROM facts WHERE name = 'embedder'").get
    return Identity(**json.loads(value)) if value else None


def scope_number(db: apsw.Connection, owner: str, project: str | None) -> int:
    """The number that stands for an owner's project in the vector table."""
    db.execute("INSERT OR IGNORE INTO scopes (owner, project) VALUES (?, ?)", (owner, project or ""))
    return int(db.execute("SELECT number FROM scopes WHERE owner = ? AND project = ?", (owner, project or "")).get)


def is_live(memory: Memory) -> bool:
    """Whether plain recall may find it."""
    return memory.status == "active" and memory.deleted_at is None


def _windows(db: apsw.Connection, key: int) -> list[int]:
    return [
        row[0]
        for row in db.execute("SELECT window FROM vectors WHERE window BETWEEN ? AND ?", (key * WINDOWS, key * WINDOWS + WINDOWS - 1))
    ]


def forget_vectors(db: apsw.Connection, key: int) -> int:
    """Removes a memory's vectors; answers how many windows there were."""
    windows = _windows(db, key)
    if windows:
        load_extension(db)
        db.executemany("DELETE FROM vectors WHERE window = ?", ((window,) for window in windows))
        db.executemany("DELETE FROM memories_vec WHERE window = ?", ((window,) for window in windows))
    return len(windows)


def place_vectors(db: apsw.Connection, key: int, memory: Memory) -> None:
    """Notes in the vector table that a memory moved or left plain recall."""
    windows = _windows(db, key)
    if windows:
        load_extension(db)
        number = scope_number(db, memory.owner, memory.scope.project)
        db.executemany(
            "UPDATE memories_vec SET scope = ?, live = ? WHERE window = ?", ((number, is_live(memory), window) for window in windows)
        )


def drop_vectors(db: apsw.Connection) -> None:
    """Forgets every vector and queues every memory."""
    load_extension(db)
    db.execute("DROP TABLE IF EXISTS memories_vec")
    db.execute("DELETE FROM vectors")
    db.execute("DELETE FROM facts WHERE name = 'embedder'")
    db.execute("INSERT OR IGNORE INTO pending_vectors (key) SELECT key FROM memories")


def put_vectors(db: apsw.Connection, identity: Identity, vectors: Iterable[tuple[int, str, Sequence[Passage]]]) -> int:
    """Stores vectors of memories whose text is still the one that was embedded; answers how many memories."""
    import dataclasses

    import numpy as np

    load_extension(db)
    stored = stored_identity(db)
    if stored is None:
        db.execute("INSERT INTO facts (name, value) VALUES ('embedder', ?)", (packed(dataclasses.asdict(identity)),))
        db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS memories_vec USING vec0 (window INTEGER PRIMARY KEY, bits bit[{identity.dims}], "
            "scope INTEGER, live INTEGER)"
        )
    elif stored != identity:
        raise EmbedderMismatch(f"The store's vectors were made by {stored}, not by {identity}.")
    count = 0
    for key, text, passages in vectors:
        row = db.execute(
            "SELECT content, owner, project, status = 'active' AND deleted_at IS NULL FROM memories WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            db.execute("DELETE FROM pending_vectors WHERE key = ?", (key,))
            continue
        content, owner, project, live = row
        if content != text:
            continue
        forget_vectors(db, key)
        number = scope_number(db, owner, project)
        for index, passage in enumerate(passages[:WINDOWS]):
            window = key * WINDOWS + index
            db.execute(
                "INSERT INTO vectors (window, vector, tokens) VALUES (?, ?, ?)",
                (window, quantised(passage.vector), passage.tokens.tobytes()),
            )
            bits = np.packbits(passage.vector > 0, bitorder="little").tobytes()
            db.execute("INSERT INTO memories_vec (window, bits, scope, live) VALUES (?, vec_bit(?), ?, ?)", (window, bits, number, live))
        db.execute("DELETE FROM pending_vectors WHERE key = ?", (key,))
        count += 1
    return count


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


def neighbours(
    db: apsw.Connection, vector: npt.NDArray[np.float32], k: int, scopes: Sequence[int] | None, live_only: bool
) -> list[tuple[int, float]]:
    """(memory key, cosine) of the nearest memories, best first: bits first, then exact on three times as many."""
    import numpy as np

    load_extension(db)
    values: dict[str, Any] = {"bits": np.packbits(vector > 0, bitorder="little").tobytes(), "k": min(k * 3 + 50, MAX_NEIGHBOURS)}
    sql = "SELECT window FROM memories_vec WHERE bits MATCH vec_bit(:bits) AND k = :k"
    if live_only:
        sql += " AND live = 1"
    if scopes is not None:
        names = [f"s{index}" for index in range(len(scopes))]
        values.update(zip(names, scopes, strict=True))
        sql += f" AND scope IN ({', '.join(':' + name for name in names)})"
    windows = [row[0] for row in db.execute(sql, values)]
    scored = best_cosines(db, vector, [window // WINDOWS for window in windows])
    return sorted(scored.items(), key=lambda pair: -pair[1])[:k]


def best_cosines(db: apsw.Connection, vector: npt.NDArray[np.float32], keys: Sequence[int]) -> dict[int, float]:
    """Memory key → cosine of its best window."""
    rows = db.execute(f"SELECT v.window, v.vector FROM json_each(?) j JOIN vectors v ON {_SPAN}", (packed_keys(keys),)).fetchall()
    return _best(rows, vector)


def with_tokens(
    db: apsw.Connection, vector: npt.NDArray[np.float32], keys: Sequence[int], width: int
) -> dict[int, tuple[float, npt.NDArray[np.int8]]]:
    """Memory key → (cosine of its best window, token vectors of all its windows)."""
    import numpy as np

    sql = f"SELECT v.window, v.vector, v.tokens FROM json_each(?) j JOIN vectors v ON {_SPAN}"
    rows = db.execute(sql, (packed_keys(keys),)).fetchall()
    best = _best(((row[0], row[1]) for row in rows), vector)
    parts: dict[int, list[bytes]] = {}
    for window, _, tokens in rows:
        parts.setdefault(window // WINDOWS, []).append(tokens)
    return {key: (best[key], np.frombuffer(b"".join(blobs), dtype=np.int8).reshape(-1, width or 1)) for key, blobs in parts.items()}


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
