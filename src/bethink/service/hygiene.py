"""Keeping the store tidy: duplicates, bulk deletes, what has expired. Shows first; does only what is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bethink import likeness, text
from bethink.errors import InvalidInput
from bethink.model import Filter, Memory, Reach
from bethink.service.writing import Writing
from bethink.stores.base import Plan

#: Memories compared with each one when duplicates are looked for.
_COMPARED = 8


@dataclass(frozen=True, slots=True)
class Cluster:
    """Memories that say nearly the same, the one to keep first. `similarity` is the least that joined them."""

    memories: tuple[Memory, ...]
    similarity: float


@dataclass(frozen=True, slots=True)
class BulkDeleted:
    """What a bulk delete forgot, or would."""

    total: int
    preview: tuple[Memory, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing that tidying would do. `id` names it when accepting."""

    id: str
    action: str
    memories: tuple[Memory, ...]
    reason: str


class Hygiene(Writing):
    """The part of `Memories` that cleans up."""

    def find_duplicates(
        self, threshold: float = 0.85, *, limit: int = 20, project: str | None = None, scan_limit: int = 500
    ) -> tuple[Cluster, ...]:
        """Clusters of near-duplicates among the newest `scan_limit` memories, each compared with its nearest only.

        Raises:
            InvalidInput: the threshold is not from 0.5 to 1.
        """
        if not 0.5 <= threshold <= 1:
            raise InvalidInput(f"threshold is {threshold}.", hint="Give a number from 0.5 to 1.")
        where = Filter(reach=self.reach(project) if project else Reach(projects=None), archive=False)
        scanned = self.store.page(self.access, where, self.now(), limit=scan_limit, offset=0).memories
        known = {memory.id: memory for memory in scanned}
        pairs: dict[tuple[str, str], float] = {}
        for memory in scanned:
            for other, similarity in self._alike(memory, where):
                if similarity >= threshold and other.id != memory.id and other.scope == memory.scope:
                    known.setdefault(other.id, other)
                    one, two = sorted((memory.id, other.id))
                    pairs[one, two] = max(similarity, pairs.get((one, two), 0.0))
        return tuple(_clusters(known, pairs)[:limit])

    def bulk_delete(
        self, *, tag: str | None = None, project: str | None = None, source: str | None = None, dry_run: bool = True
    ) -> BulkDeleted:
        """Forgets everything that carries a tag, belongs to a project or came from a source; a dry run unless told otherwise.

        Raises:
            InvalidInput: nothing narrows it down.
        """
        if not (tag or project or source):
            raise InvalidInput("Delete what?", hint="Give a tag, a project or a source.")
        reach = Reach(projects=self.reach(project).projects, include_global=False) if project else Reach(projects=None)
        where = Filter(reach=reach, tags=(tag,) if tag else (), source=source, statuses=())
        found = tuple(self.store.walk(self.access, where, self.now()))
        if not dry_run:
            for memory in found:
                self.forget(memory.id)
        return BulkDeleted(len(found), found[:50], not dry_run)

    def tidy(self, *, accept: Sequence[str] = (), accept_all: bool = False) -> tuple[Proposal, ...]:
        """What could be cleaned up; of that, does what is accepted by id (or all)."""
        proposals = (*self._expired(), *self._mergeable())
        for proposal in proposals:
            if accept_all or proposal.id in accept:
                self._apply(proposal)
        return proposals

    def sweep(self) -> int:
        """Forgets what has expired; recall hides it already."""
        expired = self._expired()
        for proposal in expired:
            self._apply(proposal)
        return len(expired)

    def _alike(self, memory: Memory, where: Filter) -> list[tuple[Memory, float]]:
        vectors = self.store.vectors_of(self.access, [memory.id])
        if memory.id in vectors:
            return self.store.similar(self.access, vectors[memory.id], where, self.now(), k=_COMPARED)
        plan = Plan(memory.content[:1500], "", where, self.now(), k=_COMPARED)
        found = self.store.search(self.access, plan).candidates
        return [(one.memory, likeness.sorted_ratio(memory.content[:4000], one.memory.content[:4000]) / 100) for one in found]

    def _expired(self) -> list[Proposal]:
        now = self.now()
        every = Filter(statuses=(), expired=True)
        return [
            Proposal(f"expire:{memory.id}", "forget", (memory,), f"It expired {text.ago(memory.expires_at, now)}.")
            for memory in self.store.walk(self.access, every, now)
            if memory.expires_at is not None
        ]

    def _mergeable(self) -> list[Proposal]:
        return [
            Proposal(
                f"merge:{cluster.memories[0].id}",
                "merge",
                cluster.memories,
                f"{len(cluster.memories)} memories say nearly the same ({cluster.similarity:.2f}).",
            )
            for cluster in self.find_duplicates(0.95)
        ]

    def _apply(self, proposal: Proposal) -> None:
        kept, *others = proposal.memories
        if proposal.action == "forget":
            self.forget(kept.id)
            return
        for other in others:
            with self.store.write(self.access) as tx:
                current = tx.get(kept.id)
                if current is not None:
                    kept = self._merge(tx, current, other, self.now())
            self.forget(other.id)


def _clusters(known: dict[str, Memory], pairs: dict[tuple[str, str], float]) -> list[Cluster]:
    """Joins pairs that share a memory; the most alike first, in each the one to keep first."""
    parent = {id: id for pair in pairs for id in pair}

    def root(id: str) -> str:
        while parent[id] != id:
            parent[id] = parent[parent[id]]
            id = parent[id]
        return id

    for one, other in pairs:
        parent[root(one)] = root(other)
    groups: dict[str, list[str]] = {}
    for id in parent:
        groups.setdefault(root(id), []).append(id)
    clusters = []
    for top, ids in groups.items():
        least = min(similarity for (one, _), similarity in pairs.items() if root(one) == top)
        members = sorted((known[id] for id in ids), key=lambda memory: (-memory.importance, memory.created_at))
        clusters.append(Cluster(tuple(members), least))
    return sorted(clusters, key=lambda cluster: -cluster.similarity)
