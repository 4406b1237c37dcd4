"""Reading memories: recall, lists, counts, export."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bethink import rank, text
from bethink.errors import EmbedderError, InvalidInput, StoreError
from bethink.model import Access, Filter, Hit, Memory, Page, Query, Recalled
from bethink.service.core import Core
from bethink.service.indexing import embed_pending
from bethink.stores.base import Plan

if TYPE_CHECKING:
    from bethink.embed.base import QueryVectors

#: Candidates that each signal brings to the ranking.
CANDIDATES = 100
#: Candidates, at least, when words alone decide: their order hardly changes any more.
WITHOUT_VECTORS = 30
#: As CANDIDATES, for answers of which only what is relevant for sure is shown: a fifth less work, and of a hundred right ones one is missed
#: (bench/injection.py).
UNASKED = 60
_SURE = 0.4
MAX_LIMIT = 1000
#: A question longer than this is a document; its beginning asks.
MAX_QUESTION = 8_000


class Reading(Core):
    """The part of `Memories` that answers questions."""

    def recall(self, query: Query) -> Recalled:
        """The memories that answer a question, best first; none when nothing is relevant. No text raises.

        Raises:
            InvalidInput: the limit or the weights make no sense.
        """
        started = time.perf_counter()
        query = _checked(query)
        if not query.text.strip() and not query.expanded.strip():
            return Recalled((), _milliseconds(started), ("The question is empty.",))
        vectors, notes = self._question(query)
        plan = Plan(
            query.text,
            query.expanded,
            query.where,
            self.now(),
            k=_candidates(query.limit, vectors is not None, query.floor),
            use_keywords=query.mode != "semantic",
            vector=vectors.vector if vectors else None,
            with_vectors=vectors is not None,
        )
        found = self.store.search(self.access, plan)
        late = None
        if vectors is not None and plan.with_vectors:
            from bethink import maxsim

            late = maxsim.late_scores(vectors, found)
        hits: Sequence[Hit] = rank.order(found, query, plan.now, late)
        if query.follow_links and hits:
            hits = self._followed(hits, query)
        self._note_use(hits)
        return Recalled(tuple(hits), _milliseconds(started), (*self.notes, *notes))

    def list(self, where: Filter, *, limit: int = 20, offset: int = 0, order: str = "recency") -> Page:
        """A page of memories, newest first unless `order` says importance or oldest."""
        if limit < 0 or offset < 0:
            raise InvalidInput("limit and offset cannot be negative.")
        return self.store.page(self.access, where, self.now(), limit=min(limit, 10_000), offset=offset, order=order)

    def count(self) -> dict[str, int]:
        """How many memories hold now, in all and by category."""
        counts = self.store.counts(self.access, self.now())
        return {"total": counts["total"], **counts["by_category"]}

    def stats(self) -> dict[str, Any]:
        """Counts by category, project, source and status, what is deleted, what waits for a vector, bytes on disk."""
        return self.store.counts(self.access, self.now())

    def tags(self, where: Filter | None = None) -> dict[str, int]:
        """Tag → how many memories carry it, commonest first."""
        return self.store.tags(self.access, where or Filter(), self.now())

    def export(self, where: Filter | None = None) -> Iterator[Memory]:
        """Every memory that matches, oldest first; secrets stay placeholders."""
        return self.store.walk(self.access, where or Filter(archive=False), self.now())

    def similar(self, id: str, limit: int = 3) -> tuple[Hit, ...]:
        """The memories nearest to one, by meaning where there are vectors, else by words."""
        memory = self.live(id)
        query = Query(memory.content[:MAX_QUESTION], where=Filter(reach=self.reach(everywhere=True)), limit=limit + 1)
        return tuple(hit for hit in self.recall(query).hits if hit.memory.id != memory.id)[:limit]

    def _question(self, query: Query) -> tuple[QueryVectors | None, tuple[str, ...]]:
        """The embedded question, or why there is none."""
        if query.mode == "keyword" or self.embedder is None:
            return None, () if query.mode == "keyword" else ("No embedder: keywords only.",)
        stored = self.store.embedder()
        try:
            if stored is not None and stored != self.embedder.identity:
                return None, (f"The vectors were made by {stored.name}: keywords only until `bethink reindex`.",)
            # A store that cannot be written now (locked, on a full disk) can be read all the same.
            with suppress(StoreError):
                embed_pending(self.store, self.embedder, limit=self.limits.embed_first)
            return self.embedder.query(query.text if not query.expanded else f"{query.text} {query.expanded}"), ()
        except EmbedderError as error:
            return None, (f"{error.message} Keywords only.",)

    def _followed(self, hits: Sequence[Hit], query: Query) -> Sequence[Hit]:
        """Adds what the best hits are linked with, below them, saying through which link it came."""
        best = {hit.memory.id: hit for hit in hits[:3]}
        links = [link for link in self.store.links_of(self.access, list(best)) if link.type != "supersedes"]
        ends = {link.target if link.source in best else link.source: link for link in links}
        shown = {hit.memory.id for hit in hits}
        where = replace(query.where, tags=(), category=None)
        linked = self.store.get(self.access, [id for id in ends if id not in shown])
        followed = []
        for id, memory in linked.items():
            if memory.deleted_at is not None or memory.status not in where.statuses:
                continue
            link = ends[id]
            via = link.source if link.source in best else link.target
            followed.append(Hit(memory, best[via].score * 0.5, {"via": {"link": link.type, "from": via}}))
        return sorted([*hits, *followed], key=lambda hit: -hit.score)[: query.limit]

    def _note_use(self, hits: Sequence[Hit]) -> None:
        """Remembers which memories were shown, for `flush_uses`."""
        if hits:
            self._uses.update(hit.memory.id for hit in hits[:3])

    def flush_uses(self) -> None:
        """Writes down which memories were used since the last time; never waits for long, and may be dropped."""
        if self._uses:
            used = list(self._uses)
            self._uses.clear()
            self.store.touch(self.access, used, self.now())

    @property
    def _uses(self) -> set[str]:
        uses: set[str] = self.__dict__.setdefault("_used", set())
        return uses


def _candidates(limit: int, with_vectors: bool, floor: float) -> int:
    """How many candidates each signal brings for an answer of `limit` hits."""
    few = min(max(3 * limit, WITHOUT_VECTORS), CANDIDATES)
    if not with_vectors:
        return max(limit, few)
    # What is far down by words and by meaning is not what nobody asked for and gets all the same.
    return max(limit, UNASKED if floor >= _SURE else CANDIDATES)


def _checked(query: Query) -> Query:
    if query.limit < 1:
        raise InvalidInput(f"limit is {query.limit}.", hint="Ask for at least 1.")
    for weight in (query.keyword_weight, query.semantic_weight):
        if weight is not None and not 0 <= weight <= 1:
            raise InvalidInput(f"A weight is {weight}.", hint="Weights are from 0 to 1.")
    return replace(
        query,
        text=text.mended(query.text[:MAX_QUESTION]),
        expanded=text.mended(query.expanded[:MAX_QUESTION]),
        limit=min(query.limit, MAX_LIMIT),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def hidden(memory: Memory, access: Access, now: datetime) -> bool:
    """Whether plain recall leaves a memory out."""
    if memory.owner not in access.readable or memory.deleted_at is not None or memory.status != "active":
        return True
    return any(end is not None and end <= now for end in (memory.expires_at, memory.valid_until))
