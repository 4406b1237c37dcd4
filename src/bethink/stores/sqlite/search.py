"""From a question to candidates: keywords by FTS5, meaning by vectors, both under the same predicate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import apsw

from bethink import text
from bethink.model import Access, Memory
from bethink.rank import Candidate, Found
from bethink.stores import words
from bethink.stores.base import Plan
from bethink.stores.sqlite import bits, vectors
from bethink.stores.sqlite.connection import TOKENIZER
from bethink.stores.sqlite.rows import SELECT, memory_of, moment
from bethink.stores.sqlite.transaction import DIALECT
from bethink.stores.where import Where, matching, visible

#: content, keywords, tags, category, extra
WEIGHTS = (1.0, 0.8, 0.7, 0.3, 0.6)
#: About how many rows a question's rarest words may bring for each candidate that is wanted; each of them is scored.
ROWS = 40
#: About how many occurrences of all words are counted for each of them, to score these rows.
COUNTED = 200
#: How much more is looked at when a filter leaves nearly nothing of that.
WIDER = 16
#: Most terms of one question; a pasted page asks with its rarest words.
MAX_TERMS = 64
#: A filter that leaves at most this many rows is searched row by row instead of through all vectors.
FEW_ROWS = 5_000
#: Most vectors that are looked at for a filter that the table of bits does not know.
MOST_VECTORS = 50_000
#: A word in more memories than this is counted once, not at every question.
_COMMON = 8


#: Key, memory, how often it was used and when last.
Row = tuple[int, Memory, int, int | None]


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the question and how many memories hold its stem."""

    word: str
    documents: int


def conditions(access: Access, plan: Plan) -> Where:
    """Who may see what, and what was asked for."""
    where = Where(DIALECT)
    visible(where, access)
    matching(where, plan.where, plan.now)
    return where


class Frequencies:
    """In how many memories a word is. Counting is a pass over them: for common words it holds until the store has grown by a twentieth."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._stems: dict[str, list[bytes]] = {}
        self._documents = 0

    def at(self, documents: int) -> None:
        """Says how large the store is now."""
        if abs(documents - self._documents) > self._documents // 20 or len(self._known) > 20_000:
            self._known.clear()
            self._documents = documents

    def stems(self, db: apsw.Connection, word: str) -> list[bytes]:
        """What the index keeps of a word."""
        known = self._stems.get(word)
        if known is None:
            split = db.fts5_tokenizer("porter", list(TOKENIZER))
            pieces = split(word.encode("utf-8", "replace"), apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False)
            if len(self._stems) > 20_000:
                self._stems.clear()
            known = self._stems[word] = [piece[0].encode("utf-8", "replace") for piece in pieces]
        return known

    def of(self, db: apsw.Connection, stem: bytes) -> int:
        known = self._known.get(stem)
        if known is None:
            known = int(db.execute("SELECT doc FROM memories_terms WHERE term = ?", (stem.decode("utf-8", "replace"),)).get or 0)
            if known > _COMMON:
                self._known[stem] = known
        return known


def search(db: apsw.Connection, access: Access, plan: Plan, frequencies: Frequencies, signs: bits.Signs) -> Found:
    """See `stores.base.Store.search`."""
    documents = indexed(db)
    frequencies.at(documents)
    terms = _terms(db, f"{plan.text}\n{plan.expanded}", frequencies)
    where = conditions(access, plan)
    scores: dict[int, float] = {}
    if plan.use_keywords:
        if plan.nearly:
            # What words miss, meaning finds; and each row that is looked at takes time from the model.
            budget = ROWS * plan.k // (1 if plan.vector_to_come is None else 2)
            scores = _by_shared_words(db, where, terms, plan.k, documents, budget)
        else:
            scores = _by_keywords(db, where, terms, plan.k, documents)
    keys = dict.fromkeys(scores)
    blocks: Iterable[bits.Block] | None = None
    rows: list[Row] = []
    if plan.vector_to_come is not None:
        # Read while the vector is made.
        blocks, rows = list(signs.blocks(db)), _rows(db, where, list(keys))
        plan = plan.settled([memory for _, memory, _, _ in rows])
    cosines: Mapping[int, float] = {}
    tokens: dict[int, Any] = {}
    if plan.vector is not None:
        near = _by_meaning(db, access, plan, where, documents, signs.blocks(db) if blocks is None else blocks)
        keys.update(dict.fromkeys(near))
        identity = vectors.stored_identity(db)
        if plan.with_vectors and identity is not None:
            both = vectors.with_tokens(db, plan.vector, list(keys), identity.token_dims)
            cosines = {key: pair[0] for key, pair in both.items()}
            tokens = {key: pair[1] for key, pair in both.items() if identity.token_dims}
        else:
            cosines = near | vectors.best_cosines(db, plan.vector, [key for key in keys if key not in near])
    known = {row[0] for row in rows}
    candidates = [
        Candidate(memory, scores.get(key, 0.0), cosines.get(key), tokens.get(key), uses, moment(used), key)
        for key, memory, uses, used in [*rows, *_rows(db, where, [key for key in keys if key not in known])]
    ]
    return Found(tuple(candidates), {term.word: term.documents for term in terms}, documents)


def indexed(db: apsw.Connection) -> int:
    """How many memories the index holds, from the head of its record of averages (SQLite, fts5_index.c): counting them is a scan."""
    record = db.execute("SELECT block FROM memories_fts_data WHERE id = 1").get or b"\0"
    number = 0
    for byte in record[:8]:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return number


def _rows(db: apsw.Connection, where: Where, keys: Sequence[int]) -> list[Row]:
    """The memories with these keys; the conditions are asked again, so that no signal can bring what they forbid."""
    # CROSS JOIN, here and below: the planner would rather begin with an index on what all rows have in common.
    sql = (
        f"SELECT m.key, coalesce(u.uses, 0), u.last_used_at, {SELECT} FROM json_each(:keys) j "
        f"CROSS JOIN memories m ON m.key = j.value LEFT JOIN usage u ON u.key = m.key WHERE {where.sql}"
    )
    rows = db.execute(sql, {**where.values, "keys": vectors.packed_keys(keys)})
    return [(row[0], memory_of(row[3:]), row[1], row[2]) for row in rows]


def _terms(db: apsw.Connection, question: str, frequencies: Frequencies) -> list[Term]:
    """The question's terms with how many memories hold them, rarest first."""
    terms = []
    for word in text.query_terms(question)[: MAX_TERMS * 4]:
        counts = [frequencies.of(db, stem) for stem in frequencies.stems(db, word)]
        if counts:
            terms.append(Term(word, min(counts)))
    return sorted(terms, key=lambda term: term.documents)


def _by_keywords(db: apsw.Connection, where: Where, terms: Sequence[Term], k: int, documents: int) -> dict[int, float]:
    """Key → BM25 (higher is better) of rows that hold the rarest of the terms, and of rows that hold several of the others."""
    present = [term for term in terms if term.documents][:MAX_TERMS]
    if not present:
        return {}
    for factor in (min(k, 100), min(k, 100) * WIDER):
        # All words never bring more rows than there are; a single word is asked for whatever it costs.
        rare = present if documents <= ROWS * factor else _affordable(present, ROWS * factor) or present[: len(present) == 1]
        others = present[len(rare) :]
        counted = _affordable(others, COUNTED * factor - sum(term.documents for term in rare)) if len(rare) < words.ENOUGH else []
        found = _match(db, where, rare, counted, k, documents) if rare else {}
        _add_held_together(db, where, others, found, k, documents)
        if len(found) >= min(k, 20) or not others:
            break
    return found


def _by_shared_words(db: apsw.Connection, where: Where, terms: Sequence[Term], k: int, documents: int, budget: int) -> dict[int, float]:
    """Key → BM25 of the rows, about as many as the budget allows, that hold a rare one of the terms or two of the others."""
    present = [term for term in terms if term.documents][:MAX_TERMS]
    rare = present if documents <= budget else _affordable(present, budget)
    query = [f'"{term.word}"' for term in rare]
    if len(rare) < words.ENOUGH:
        others = [(term.documents, term.word) for term in present[len(rare) :]]
        query += [f'("{one}" AND "{other}")' for one, other in words.pairs(others, budget, documents)]
    # A single word is asked for whatever it costs.
    query = query or [f'"{term.word}"' for term in present[:1]]
    return _ranked(db, where, " OR ".join(query), k, most=budget * words.ASTRAY) if query else {}


def _affordable(terms: Sequence[Term], budget: int) -> list[Term]:
    """The rarest terms that together touch at most `budget` rows."""
    spent = 0
    for count, term in enumerate(terms):
        spent += term.documents
        if spent > budget:
            return list(terms[:count])
    return list(terms)


def _match(db: apsw.Connection, where: Where, rare: Sequence[Term], others: Sequence[Term], k: int, documents: int) -> dict[int, float]:
    """The best rows that hold a rare term; the other terms add to their scores."""
    query = _any(rare)
    factor = 1.0
    if others:
        # A row needs the first half to match; bm25() counts what matches of both halves, so the rare terms count double.
        query = f"({query}) AND ({_any([*rare, *others])})"
        mass = sum(_weight(term, documents) for term in rare)
        factor = 1 / (1 + mass / max(mass + sum(_weight(term, documents) for term in others), 1e-9))
    return _ranked(db, where, query, k, factor)


def _ranked(db: apsw.Connection, where: Where, query: str, k: int, factor: float = 1.0, most: int | None = None) -> dict[int, float]:
    """Key → score of the best rows; with `most` only the newest so many are scored."""
    weights = ", ".join(map(str, WEIGHTS))
    sql = (
        f"SELECT m.key AS key, -bm25(memories_fts, {weights}) * :factor AS score FROM memories_fts "
        f"CROSS JOIN memories m ON m.key = memories_fts.rowid WHERE memories_fts MATCH :query AND {where.sql}"
    )
    if most is not None:
        sql = f"SELECT key, score FROM ({sql} ORDER BY memories_fts.rowid DESC LIMIT :most)"
    found = db.execute(
        f"{sql} ORDER BY score DESC, key DESC LIMIT :k", {**where.values, "query": query, "k": k, "factor": factor, "most": most}
    )
    return dict(found.fetchall())


def _add_held_together(db: apsw.Connection, where: Where, others: Sequence[Term], found: dict[int, float], k: int, documents: int) -> None:
    """Fills up with the newest rows that hold all of the common terms, then any two of the rarest three of them."""
    sql = (
        "SELECT m.key FROM memories_fts CROSS JOIN memories m ON m.key = memories_fts.rowid "
        f"WHERE memories_fts MATCH :query AND {where.sql} ORDER BY memories_fts.rowid DESC LIMIT :k"
    )
    for together in (others, *combinations(others[:3], 2)):
        if len(found) >= k or not together:
            return
        score = sum(_weight(term, documents) for term in together)
        query = " AND ".join(f'"{term.word}"' for term in together)
        for (key,) in db.execute(sql, {**where.values, "query": query, "k": k - len(found)}):
            found.setdefault(key, score)


def _any(terms: Sequence[Term]) -> str:
    # The words are letters and digits only (`text.query_terms`), and quoted: no word is read as syntax.
    return " OR ".join(f'"{term.word}"' for term in terms)


def _weight(term: Term, documents: int) -> float:
    """The inverse document frequency as bm25() reckons it."""
    holding = min(term.documents, documents)
    return max(math.log((documents - holding + 0.5) / (holding + 0.5)), 1e-6)


def _by_meaning(
    db: apsw.Connection, access: Access, plan: Plan, where: Where, documents: int, blocks: Iterable[bits.Block]
) -> dict[int, float]:
    """Key → cosine of the nearest memories that satisfy the conditions; `blocks` are the signs of all vectors."""
    assert plan.vector is not None
    if db.execute("SELECT 1 FROM facts WHERE name = 'embedder'").get is None:
        return {}
    narrow = _narrow(plan)
    keys = _few(db, where) if narrow and (documents <= 4 * FEW_ROWS or _has_index(plan)) else None
    if keys is not None:
        return _best(vectors.best_cosines(db, plan.vector, keys), plan.k)
    nearest = bits.nearest(blocks, plan.vector, _places(db, access, plan))
    pool = plan.k * 4 if plan.nearly else plan.k * 3 + 50
    while True:
        slots = nearest(pool)
        near = vectors.cosines_in(db, plan.vector, slots)
        found = _best(near, plan.k) if not narrow else _best_matching(db, where, near, plan.k)
        if len(found) >= plan.k or len(slots) < pool or pool >= MOST_VECTORS:
            return found
        pool *= 4


def _best(cosines: Mapping[int, float], k: int) -> dict[int, float]:
    return {key: cosines[key] for key in sorted(cosines, key=lambda key: -cosines[key])[:k]}


def _best_matching(db: apsw.Connection, where: Where, near: Mapping[int, float], k: int) -> dict[int, float]:
    """The best that satisfy the conditions, which are asked for a few at a time."""
    keys = list(_best(near, len(near)))
    found: list[int] = []
    step = 3 * k
    for first in range(0, len(keys), step):
        matching = _matching(db, where, keys[first : first + step])
        found += [key for key in keys[first : first + step] if key in matching]
        if len(found) >= k:
            break
    return {key: near[key] for key in found[:k]}


def _narrow(plan: Plan) -> bool:
    """Whether the filter asks for what the table of bits does not know."""
    wanted = plan.where
    reach = wanted.reach
    return bool(
        wanted.category
        or wanted.tags
        or wanted.client
        or wanted.source
        or wanted.session
        or wanted.since
        or wanted.before
        or wanted.as_of
        or wanted.deleted
        or wanted.owner
        or not wanted.archive
        or wanted.needs_review
        or wanted.expired
        or wanted.statuses != ("active",)
        or (reach.projects is not None and reach.task)
    )


def _has_index(plan: Plan) -> bool:
    """Whether the rows that the filter leaves are found without looking at all of them."""
    wanted = plan.where
    return bool(wanted.category or wanted.session or wanted.since or wanted.needs_review)


def _few(db: apsw.Connection, where: Where) -> list[int] | None:
    """The keys of all rows that match, or None when they are many."""
    sql = f"SELECT m.key FROM memories m WHERE {where.sql} LIMIT {FEW_ROWS + 1}"
    keys = [row[0] for row in db.execute(sql, where.values)]
    return keys if len(keys) <= FEW_ROWS else None


def _matching(db: apsw.Connection, where: Where, keys: Sequence[int]) -> set[int]:
    sql = f"SELECT m.key FROM json_each(:keys) j CROSS JOIN memories m ON m.key = j.value WHERE {where.sql}"
    return {row[0] for row in db.execute(sql, {**where.values, "keys": vectors.packed_keys(keys)})}


def _places(db: apsw.Connection, access: Access, plan: Plan) -> list[int]:
    """What the table of bits calls the owners' projects that are in reach."""
    wanted = plan.where
    reach = wanted.reach
    # What is lent is narrowed down by the conditions on the rows.
    owners = {*access.readable, *(grant.owner for grant in access.grants)}
    live_only = wanted.statuses == ("active",) and wanted.as_of is None and not wanted.deleted
    return [
        vectors.place_of(number, live)
        for number, owner, project in db.execute("SELECT number, owner, project FROM scopes")
        if owner in owners
        and (access.project is None or project == access.project)
        and (reach.projects is None or (not project and (reach.include_global or reach.task)) or project in reach.projects)
        for live in ((True,) if live_only else (True, False))
    ]
