"""From a question to candidates: keywords by FTS5, meaning by vectors, both under the same predicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from bethink import text
from bethink.model import Access
from bethink.rank import Candidate, Found
from bethink.stores.base import Plan
from bethink.stores.sqlite import vectors
from bethink.stores.sqlite.rows import SELECT, memory_of, moment
from bethink.stores.sqlite.transaction import DIALECT
from bethink.stores.where import Where, matching, visible

#: content, keywords, tags, category, extra
WEIGHTS = (1.0, 0.8, 0.7, 0.3, 0.6)
#: About how many rows an OR query may touch; beyond it the commonest terms are left out.
POSTINGS = 6_000
#: Most terms of one question; a pasted page asks with its rarest words.
MAX_TERMS = 64
#: A filter that leaves at most this many rows is searched row by row instead of through the whole index.
FEW_ROWS = 5_000


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


def search(db: apsw.Connection, access: Access, plan: Plan) -> Found:
    """See `stores.base.Store.search`."""
    documents = int(db.execute("SELECT count(*) FROM memories_fts").get or 0) if plan.use_keywords else 0
    terms = _terms(db, f"{plan.text}\n{plan.expanded}")
    where = conditions(access, plan)
    scores: dict[int, float] = _by_keywords(db, where, terms, plan.k) if plan.use_keywords else {}
    keys = dict.fromkeys(scores)
    cosines: Mapping[int, float] = {}
    tokens: dict[int, Any] = {}
    if plan.vector is not None:
        keys.update(dict.fromkeys(_by_meaning(db, access, plan, where)))
        identity = vectors.stored_identity(db)
        if plan.with_vectors and identity is not None:
            both = vectors.with_tokens(db, plan.vector, list(keys), identity.token_dims)
            cosines = {key: pair[0] for key, pair in both.items()}
            tokens = {key: pair[1] for key, pair in both.items() if identity.token_dims}
        else:
            cosines = vectors.best_cosines(db, plan.vector, list(keys))
    candidates = [
        Candidate(memory, scores.get(key, 0.0), cosines.get(key), tokens.get(key), uses, moment(used), key)
        for key, memory, uses, used in _rows(db, where, list(keys))
    ]
    return Found(tuple(candidates), {term.word: term.documents for term in terms}, documents)


def _rows(db: apsw.Connection, where: Where, keys: Sequence[int]) -> list[tuple[int, Any, int, int | None]]:
    """The memories with these keys; the conditions are asked again, so that no signal can bring what they forbid."""
    sql = (
        f"SELECT m.key, coalesce(u.uses, 0), u.last_used_at, {SELECT} FROM json_each(:keys) j "
        f"JOIN memories m ON m.key = j.value LEFT JOIN usage u ON u.key = m.key WHERE {where.sql}"
    )
    rows = db.execute(sql, {**where.values, "keys": vectors.packed_keys(keys)})
    return [(row[0], memory_of(row[3:]), row[1], row[2]) for row in rows]


def _terms(db: apsw.Connection, question: str) -> list[Term]:
    """The question's terms that occur at all, rarest first."""
    stem = db.fts5_tokenizer("porter", ["unicode61", "remove_diacritics", "2"])
    terms = []
    for word in text.query_terms(question)[: MAX_TERMS * 4]:
        stems = stem(word.encode("utf-8", "replace"), apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False)
        counts = [db.execute("SELECT doc FROM memories_terms WHERE term = ?", (piece[0],)).get or 0 for piece in stems]
        if counts:
            terms.append(Term(word, min(counts)))
    return sorted(terms, key=lambda term: term.documents)


def _by_keywords(db: apsw.Connection, where: Where, terms: Sequence[Term], k: int) -> dict[int, float]:
    """Key → BM25 (higher is better) of the best rows that hold any of the terms."""
    present = [term for term in terms if term.documents][:MAX_TERMS]
    if not present:
        return {}
    budget = POSTINGS
    while True:
        chosen = _affordable(present, budget)
        found = _match(db, where, chosen, k)
        if len(found) >= k or len(chosen) == len(present):
            return found
        if budget > POSTINGS and len(found) >= min(k, 20):
            return found
        budget *= 16


def _affordable(terms: Sequence[Term], budget: int) -> list[Term]:
    """The rarest terms that together touch about `budget` rows, at least one."""
    chosen = [terms[0]]
    spent = terms[0].documents
    for term in terms[1:]:
        spent += term.documents
        if spent > budget:
            break
        chosen.append(term)
    return chosen


def _match(db: apsw.Connection, where: Where, terms: Sequence[Term], k: int) -> dict[int, float]:
    # The words are letters and digits only (`text.query_terms`), and quoted: no word is read as syntax.
    query = " OR ".join(f'"{term.word}"' for term in terms)
    weights = ", ".join(map(str, WEIGHTS))
    sql = (
        f"SELECT m.key, -bm25(memories_fts, {weights}) AS score FROM memories_fts JOIN memories m ON m.key = memories_fts.rowid "
        f"WHERE memories_fts MATCH :query AND {where.sql} ORDER BY score DESC, m.key DESC LIMIT :k"
    )
    return dict(db.execute(sql, {**where.values, "query": query, "k": k}).fetchall())


def _by_meaning(db: apsw.Connection, access: Access, plan: Plan, where: Where) -> list[int]:
    """Keys of the nearest memories that satisfy the conditions."""
    assert plan.vector is not None
    if db.execute("SELECT 1 FROM facts WHERE name = 'embedder'").get is None:
        return []
    few = _few(db, where) if _narrow(plan) else None
    if few is not None:
        cosines = vectors.best_cosines(db, plan.vector, few)
        return sorted(cosines, key=lambda key: -cosines[key])[: plan.k]
    wanted = plan.where
    live_only = wanted.statuses == ("active",) and wanted.as_of is None and not wanted.deleted
    pool = vectors.neighbours(db, plan.vector, plan.k * 8 if _narrow(plan) else plan.k, _scopes(db, access, plan), live_only)
    return [key for key, _ in pool]


def _narrow(plan: Plan) -> bool:
    """Whether the filter asks for what the vector table does not know."""
    wanted = plan.where
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
        or not wanted.archive
        or wanted.needs_review
        or wanted.statuses != ("active",)
    )


def _few(db: apsw.Connection, where: Where) -> list[int] | None:
    """The keys of all rows that match, or None when they are many."""
    sql = f"SELECT m.key FROM memories m WHERE {where.sql} LIMIT {FEW_ROWS + 1}"
    keys = [row[0] for row in db.execute(sql, where.values)]
    return keys if len(keys) <= FEW_ROWS else None


def _scopes(db: apsw.Connection, access: Access, plan: Plan) -> list[int] | None:
    """The numbers of the owners' projects that are in reach; None when that is all of them."""
    everything = db.execute("SELECT number, owner, project FROM scopes").fetchall()
    reach = plan.where.reach
    allowed = [
        number
        for number, owner, project in everything
        if owner in access.readable
        and (access.project is None or project == access.project)
        and (reach.projects is None or (not project and reach.include_global) or project in reach.projects or (not project and reach.task))
    ]
    return None if len(allowed) == len(everything) else allowed or [-1]
