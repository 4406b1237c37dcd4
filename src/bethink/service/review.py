"""What waits for a person: candidates, quarantined memories, and what lost its ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bethink import text
from bethink.errors import Conflict
from bethink.model import Changes, Filter, Memory, Page, Reach
from bethink.service.writing import Writing

WAITING = ("candidate", "quarantined")


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A memory and why somebody should look at it: candidate, quarantined, or the reason that was noted."""

    memory: Memory
    reason: str


class Review(Writing):
    """The part of `Memories` in which a person decides."""

    def review(self, *, project: str | None = None, limit: int = 50, offset: int = 0) -> tuple[ReviewItem, ...]:
        """What waits, newest first: first what is in quarantine, then what lost its ground, then candidates."""
        reach = Reach(projects=None) if project is None else self.reach(project)
        where = Filter(reach=reach, archive=False)
        items = [
            *(ReviewItem(memory, "quarantined") for memory in self._waiting(replace(where, statuses=("quarantined",)))),
            *self._shaken(self._waiting(replace(where, needs_review=True))),
            *(ReviewItem(memory, "candidate") for memory in self._waiting(replace(where, statuses=("candidate",)))),
        ]
        unique = {item.memory.id: item for item in reversed(items)}
        ordered = [item for item in items if unique[item.memory.id] is item]
        return tuple(ordered[offset : offset + limit])

    def accept(self, ids: Sequence[str], changes: Changes | None = None) -> list[Memory]:
        """Lets memories into recall (edited first, when changes are given) and takes their marks off.

        Raises:
            Conflict: one waits for nothing.
        """
        accepted = []
        for id in ids:
            memory = self.live(id)
            if changes is not None:
                memory = self.revise(memory.id, changes)
            if memory.status not in WAITING and not memory.needs_review:
                raise Conflict(f"The memory {memory.id} waits for nothing.", hint="`bethink review` lists what does.")
            status = "active" if memory.status in WAITING else memory.status
            with self.store.write(self.access) as tx:
                accepted.append(self._change(tx, memory, "accept", self.now(), status=status, needs_review="", trust="user_stated"))
        return accepted

    def reject(self, ids: Sequence[str]) -> list[Memory]:
        """Forgets memories that waited; `restore` brings one back."""
        return [self.forget(id) for id in ids]

    def _shaken(self, memories: Sequence[Memory]) -> list[ReviewItem]:
        """Memories that lost their ground, with the title of the memory for which they did, unless that is forgotten."""
        named = {memory.id: memory.needs_review.split(" ", 1)[0] for memory in memories}
        found = self.store.get(self.access, list(dict.fromkeys(named.values())))
        titles = {id: f": {text.title(one.content, 60)}" for id, one in found.items() if one.deleted_at is None}
        return [ReviewItem(memory, memory.needs_review + titles.get(named[memory.id], "")) for memory in memories]

    def _waiting(self, where: Filter) -> tuple[Memory, ...]:
        page: Page = self.store.page(self.access, where, self.now(), limit=1000, offset=0)
        return page.memories
