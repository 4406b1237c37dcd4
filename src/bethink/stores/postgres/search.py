"""From a question to candidates: keywords by a weighted tsvector, meaning by HNSW, both under the same predicate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.model import Access
from bethink.rank import Candidate, Found
from bethink.stores import words
from bethink.stores.base import Plan
from bethink.stores.postgres.connection import Connection
from bethink.stores.postgres.rows import NAMES, SELECT, folded, memory_of
from bethink.stores.postgres.transaction import DIALECT, mend
from bethink.stores.where import Where, matching, visible

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Most terms of one question; a pasted page asks with its rarest words.
MAX_TERMS = 32
#: About how many rows an OR query may touch, in all and for each candidate that is wanted; beyond it the commonest terms are left out.
POSTINGS, ROWS = 2_000, 40
#: How much more is touched when that found too little, and how often.
_MORE, _TRIES = 4, 3
#: A term is counted up to here; what is commoner is simply common.
_COUNTED = 4_000
#: A store with fewer memories is counted anew each time. So is a word that nothing holds: a new memory must be found at once.
_WORTH_KEEPING = 500
#: A filter that leaves at most this many rows is compared with the question row by row, without the index.
FEW_ROWS = 4_000
#: BM25's saturation by length (Robertson and Zaragoza 2009), with one occurrence of each term.
_K1, _B = 1.2, 0.75
_USUAL_LENGTH = 30.0


@dataclass(slots=True)
class Frequencies:
    """How common words are and which filters leave many rows, kept for a minute: that changes slowly, and asking costs a scan."""

    seconds: float = 60.0
    _known: dict[tuple[tuple[str, ...], str], tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, owners: tuple[str, ...], word: str) -> int | None:
        found = self._known.get((owners, word))
        return found[1] if found and found[0] > time.monotonic() else None

    def put(self, owners: tuple[str, ...], word: str, count: int) -> None:
        if count < (1 if word else _WORTH_KEEPING):
            return
        with self._lock:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[owners, word] = (time.monotonic() + self.seconds, count)


def conditions(access: Access, plan: Plan) -> Where:
    """Who may see what, and what was asked for."""
    where = Where(DIALECT)
    visible(where, access)
    matching(where, plan.where, plan.now)
    mend(where)
    return where


def search(db: Connection, access: Access, plan: Plan, frequencies: Frequencies, token_dims: int) -> Found:
    """See `stores.base.Store.search`."""
    asked = text.query_terms(f"{plan.text}\n{plan.expanded}")[: MAX_TERMS * 2]
    documents = _documents(db, access, frequencies)
    counts = _counts(db, access, asked, frequencies)
    where = conditions(access, plan)
    few = (documents <= FEW_ROWS or _narrows(plan)) and _are_few(db, access, plan, where, frequencies)
    scores = _by_keywords(db, where, counts, documents, plan, few) if plan.use_keywords else {}
    keys = dict.fromkeys(scores)
    cosines: Mapping[tuple[str, str], float] = {}
    tokens: dict[tuple[str, str], Any] = {}
    if plan.vector is not None:
        keys.update(dict.fromkeys(_by_meaning(db, plan, where, few)))
        cosines, tokens = _vectors(db, plan, list(keys), token_dims)
    candidates = tuple(
        Candidate(memory, scores.get(key, 0.0), cosines.get(key), tokens.get(key), uses, used, number)
        for key, memory, uses, used, number in _rows(db, where, list(keys))
    )
    return Found(candidates, counts, documents)


def _documents(db: Connection, access: Access, frequencies: Frequencies) -> int:
    known = frequencies.get(access.readable, "")
    if known is None:
        where = Where(DIALECT)
        visible(where, access)
        row = db.execute(f"SELECT count(*) FROM memories m WHERE {where.sql}", where.values).fetchone()
        known = int(row[0]) if row else 0
        frequencies.put(access.readable, "", known)
    return known


def _counts(db: Connection, access: Access, asked: Sequence[str], frequencies: Frequencies) -> dict[str, int]:
    """Word → how many memories hold its stem, up to `_COUNTED`."""
    counts = {word: known for word in asked if (known := frequencies.get(access.readable, word)) is not None}
    missing = [word for word in asked if word not in counts]
    if missing:
        sql = (
            f"SELECT bethink_counted(plainto_tsquery('bethink_english', t.word), {_COUNTED}, %(cage)s) "
            "FROM unnest(%(words)s::text[]) WITH ORDINALITY AS t (word, place) ORDER BY t.place"
        )
        values = {"cage": access.project, "words": [folded(word) for word in missing]}
        for word, (count,) in zip(missing, db.execute(sql, values), strict=True):
            counts[word] = int(count)
            frequencies.put(access.readable, word, int(count))
    return counts


def _by_keywords(
    db: Connection, where: Where, counts: Mapping[str, int], documents: int, plan: Plan, few: bool
) -> dict[tuple[str, str], float]:
    """(owner, id) → an estimate of BM25 of the best rows that hold any of the terms."""
    k = plan.k
    present = sorted(((count, word) for word, count in counts.items() if count), key=lambda pair: pair[0])[:MAX_TERMS]
    if not present:
        return {}
    if few:
        # The rows are looked through as they are: the index would bring those of all other scopes, too.
        return _match(db, where, present, documents, k, by_index=False)
    if plan.nearly:
        rare = _affordable(present, ROWS * k) if present[0][0] <= ROWS * k else []
        together = words.pairs(present[len(rare) :], ROWS * k, documents) if len(rare) < words.ENOUGH else []
        return _match(db, where, present if together else rare or present[:1], documents, k, alone=len(rare), together=together)
    found: dict[tuple[str, str], float] = {}
    for attempt in range(_TRIES):
        chosen = _affordable(present, min(POSTINGS, ROWS * k) * _MORE**attempt)
        found = _match(db, where, chosen, documents, k)
        if len(found) >= min(k, 20) or len(chosen) == len(present):
            break
    return found


def _affordable(terms: Sequence[tuple[int, str]], budget: int) -> list[tuple[int, str]]:
    """The rarest terms that together touch about `budget` rows, at least one."""
    chosen = [terms[0]]
    spent = terms[0][0]
    for count, word in terms[1:]:
        spent += count
        if spent > budget:
            break
        chosen.append((count, word))
    return chosen


def _match(
    db: Connection,
    where: Where,
    terms: Sequence[tuple[int, str]],
    documents: int,
    k: int,
    *,
    by_index: bool = True,
    alone: int | None = None,
    together: Sequence[tuple[str, str]] = (),
) -> dict[tuple[str, str], float]:
    """(owner, id) → an estimate of BM25 of the best rows that hold one of the terms (of the first `alone`) or both words of a pair."""
    # Each word is a value of its own and is read by plainto_tsquery: no word is syntax.
    bound = Where(DIALECT, list(where.clauses), dict(where.values))
    parts, queries = [], {}
    for count, word in terms:
        query = f"plainto_tsquery('bethink_english', {bound.bind(folded(word))})"
        weight = math.log(1 + (documents - count + 0.5) / (count + 0.5)) if documents >= count else 0.01
        queries[word] = query
        parts.append(f"CASE WHEN m.search @@ {query} THEN {weight:.5f} ELSE 0 END")
    singly = [queries[word] for _, word in terms[: alone if together else None]]
    either = " || ".join([*singly, *(f"({queries[one]} && {queries[other]})" for one, other in together)])
    length = f"(1 + {_K1} * ({1 - _B} + {_B} * length(m.search) / {_USUAL_LENGTH}))"
    rows = f"bethink_found({either}) f JOIN memories m ON m.owner = f.owner AND m.id = f.id" if by_index else "memories m"
    matches = where.sql if by_index else f"{where.sql} AND m.search @@ ({either})"
    # ts_rank reads every position of every word: only what the weights chose is worth it.
    sql = (
        f"SELECT b.owner, b.id, b.weight + 0.3 * ts_rank(b.search, {either}) AS score FROM ("
        f"SELECT m.owner, m.id, m.number, m.search, ({' + '.join(parts)}) * {_K1 + 1} / {length} AS weight "
        f"FROM {rows} WHERE {matches} ORDER BY weight DESC, m.number DESC LIMIT {int(k) * 2}"
        f") b ORDER BY score DESC, b.number DESC LIMIT {int(k)}"
    )
    return {(owner, id): float(score) for owner, id, score in db.execute(sql, bound.values)}


def _by_meaning(db: Connection, plan: Plan, where: Where, few: bool) -> list[tuple[str, str]]:
    """(owner, id) of the nearest memories that satisfy the conditions."""
    assert plan.vector is not None
    values = {**where.values, "vector": _literal(plan.vector)}
    dims = len(plan.vector)
    distance = f"w.vector::halfvec({dims}) <=> %(vector)s::halfvec({dims})"
    if few:
        # Exact: a filter that leaves few rows must not depend on what an index happens to visit.
        sql = (
            f"WITH few AS MATERIALIZED (SELECT m.owner, m.id FROM memories m WHERE {where.sql}) "
            "SELECT w.owner, w.id FROM few f JOIN windows w ON w.owner = f.owner AND w.id = f.id "
            f"ORDER BY {distance} LIMIT {int(plan.k) * 2}"
        )
    else:
        db.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true)")
        sql = (
            f"SELECT w.owner, w.id FROM windows w JOIN memories m ON m.owner = w.owner AND m.id = w.id WHERE {where.sql} "
            f"ORDER BY {distance} LIMIT {int(plan.k)}"
        )
    return list(dict.fromkeys((owner, id) for owner, id in db.execute(sql, values)))[: plan.k]


def _narrows(plan: Plan) -> bool:
    """Whether a filter may leave a small part of the memories."""
    where = plan.where
    named = (where.category, where.client, where.source, where.session, where.since, where.before, where.as_of, where.owner)
    return where.reach.projects is not None or any(named) or bool(where.tags) or where.statuses != ("active",)


def _are_few(db: Connection, access: Access, plan: Plan, where: Where, frequencies: Frequencies) -> bool:
    """Whether at most `FEW_ROWS` rows match."""
    # No word has a space in it.
    name = f"rows of {plan.where}"
    if frequencies.get(access.readable, name):
        return False
    sql = f"SELECT count(*) FROM (SELECT 1 FROM memories m WHERE {where.sql} LIMIT {FEW_ROWS + 1}) x"
    row = db.execute(sql, where.values).fetchone()
    count = int(row[0]) if row else 0
    if count > FEW_ROWS:
        frequencies.put(access.readable, name, count)
    return count <= FEW_ROWS


def _vectors(
    db: Connection, plan: Plan, keys: Sequence[tuple[str, str]], token_dims: int
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], npt.NDArray[np.int8]]]:
    """The cosine of each memory's best window, and the token vectors of all its windows."""
    import numpy as np

    assert plan.vector is not None
    wanted = plan.with_vectors and token_dims > 0
    dims = len(plan.vector)
    sql = (
        f"SELECT w.owner, w.id, 1 - (w.vector::halfvec({dims}) <=> %(vector)s::halfvec({dims})), {'w.tokens' if wanted else 'NULL'} "
        "FROM unnest(%(owners)s::text[], %(ids)s::text[]) AS f (owner, id) "
        "JOIN windows w ON w.owner = f.owner AND w.id = f.id ORDER BY w.owner, w.id, w.place"
    )
    values = {"vector": _literal(plan.vector), "owners": [owner for owner, _ in keys], "ids": [id for _, id in keys]}
    cosines: dict[tuple[str, str], float] = {}
    parts: dict[tuple[str, str], list[bytes]] = {}
    for owner, id, cosine, tokens in db.execute(sql, values, binary=True):
        key = (owner, id)
        cosines[key] = max(float(cosine), cosines.get(key, -2.0))
        if wanted:
            parts.setdefault(key, []).append(bytes(tokens))
    matrices = {key: np.frombuffer(b"".join(blobs), dtype=np.int8).reshape(-1, token_dims) for key, blobs in parts.items()}
    return cosines, matrices


def _rows(db: Connection, where: Where, keys: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], Any, int, Any, int]]:
    """The memories with these keys; the conditions are asked again, so that no signal can bring what they forbid."""
    sql = (
        f"SELECT coalesce(u.uses, 0), u.last_used_at, m.number, {SELECT} "
        "FROM unnest(%(owners)s::text[], %(ids)s::text[]) AS f (owner, id) JOIN memories m ON m.owner = f.owner AND m.id = f.id "
        f"LEFT JOIN usage u ON u.owner = m.owner AND u.id = m.id WHERE {where.sql}"
    )
    rows = db.execute(sql, {**where.values, "owners": [owner for owner, _ in keys], "ids": [id for _, id in keys]}).fetchall()
    found = []
    for uses, used, number, *fields in rows:
        memory = memory_of(fields[: len(NAMES)])
        found.append(((memory.owner, memory.id), memory, uses, used, number))
    return found


def _literal(vector: npt.NDArray[np.float32]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{part:.6g}" for part in vector.tolist()) + "]"
