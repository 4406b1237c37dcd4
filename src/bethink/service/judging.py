"""Before a write: is it new, does it correct something, does it say what is known, is it poison?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bethink import rank, text
from bethink.errors import EmbedderError
from bethink.model import Draft, Filter, Memory, Reach, Scope, Verdict
from bethink.service.core import Core
from bethink.stores.base import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from bethink.rank import Candidate

    Vector = npt.NDArray[np.float32]

#: Old memories that a new one is compared with.
NEIGHBOURS = 6
#: A question for neighbours is asked with the beginning of a long content.
_ASKED = 1500
#: Up to so many characters neighbours are looked for by meaning, too. What is longer shares telling words with what it corrects or
#: repeats, and takes a model 20 ms and more to read.
_BRIEF = 240
ADD = Verdict("ADD")


class Judging(Core):
    """The part of `Memories` that compares a new content with what is known."""

    def check(self, content: str, *, category: str = "facts", scope: Scope | None = None) -> Verdict:
        """What storing this would do: ADD it, UPDATE (correct) a memory, or NOOP (say again what one says)."""
        clean = text.checked_content(content)
        draft = Draft(clean, category=category, scope=scope or self.here)
        memory = Memory("", self.access.principal, clean, category, scope=draft.scope, created_at=self.now(), updated_at=self.now())
        return self._verdict(memory, draft)

    def _verdict(self, memory: Memory, draft: Draft) -> Verdict:
        # An archive keeps what was said as it was said.
        if memory.source == "transcript" or memory.status == "quarantined" or len(memory.content) > 4000:
            return ADD
        if memory.sensitive or draft.verbatim:
            return ADD
        # What somebody said in a conversation stays said, whatever is said next.
        if draft.session and rank.is_turn(memory):
            return ADD
        near = self._near(memory)
        if not near:
            return Verdict("ADD", reason="Nothing similar is known.")
        from bethink import guard

        neighbours = [guard.Neighbour(one.memory, one.cosine, one.keyword) for one in near]
        return guard.judge(memory.content, neighbours, noop=self.limits.noop, update=self.limits.update)

    def _near(self, memory: Memory) -> list[Candidate]:
        """The memories of the same scope that a new one may correct or repeat."""
        scope = memory.scope
        reach = Reach((scope.project,) if scope.project else (), scope.task, include_global=scope.kind == "global")
        where = Filter(reach=reach, statuses=("active", "candidate"), owner=memory.owner, archive=False)
        brief = len(memory.content) <= _BRIEF
        soon = self._vector_soon(memory.content) if brief else None
        plan = Plan(memory.content[:_ASKED], "", where, self.now(), k=NEIGHBOURS, nearly=True, vector_to_come=soon)
        found = [one for one in self.store.search(self.access, plan).candidates if one.memory.scope == scope and not one.memory.sealed]
        if not brief and self._embeds and self._repeated(memory.content, found):
            return self._with_cosines(memory.content, found)
        return found

    @staticmethod
    def _repeated(content: str, found: Sequence[Candidate]) -> bool:
        """Whether one of them may say nearly the same; how nearly, the model tells."""
        from bethink import guard

        words = guard.sentences(content)
        return any(guard.alike(words, guard.sentences(one.memory.content)) for one in found)

    def _with_cosines(self, content: str, found: Sequence[Candidate]) -> list[Candidate]:
        vector = self._vector(content)
        if vector is None:
            return list(found)
        known = self.store.vectors_of(self.access, [one.memory.id for one in found])
        return [replace(one, cosine=float(known[one.memory.id] @ vector)) if one.memory.id in known else one for one in found]

    @property
    def _embeds(self) -> bool:
        """Whether a loaded model can make vectors that fit the store's; a write never waits for a model to load."""
        return self.embedder is not None and self.embedder.ready and self.store.embedder() == self.embedder.identity

    def _vector_soon(self, content: str) -> Callable[[Sequence[Memory]], Vector | None] | None:
        """Begins to make the content's vector; None when that cannot be done now. Who waits for it reads what words found meanwhile."""
        if not self._embeds:
            return None
        from concurrent.futures import ThreadPoolExecutor

        from bethink import guard

        with_one_thread = ThreadPoolExecutor(1, thread_name_prefix="bethink-judging")
        made = with_one_thread.submit(self._vector, content)
        with_one_thread.shutdown(wait=False)

        def vector(found: Sequence[Memory]) -> Vector | None:
            for memory in found:
                if made.done():
                    break
                guard.prepare(content, memory.content)
            return made.result()

        return vector

    def _vector(self, content: str) -> Vector | None:
        assert self.embedder is not None
        try:
            return self.embedder.query(content[:_ASKED]).vector
        except EmbedderError:
            return None

    def _screened(self, memory: Memory, by_hand: bool) -> tuple[Memory, tuple[str, ...]]:
        """Puts what looks like an attack on the assistant into quarantine; what a person types is only remarked on."""
        from bethink import scan

        labels = f"{memory.expanded_keywords}\n{' '.join(memory.tags)}".strip()
        found = [*scan.inspect(memory.content), *(scan.inspect(labels) if labels else [])]
        if not found:
            return memory, ()
        kinds = ", ".join(dict.fromkeys(each.kind for each in found))
        if by_hand:
            return memory, (f"This reads like an instruction to an assistant ({kinds}); it was stored because you typed it.",)
        if memory.status == "superseded":
            return memory, ()
        return memory.with_(status="quarantined"), (
            f"Quarantined ({kinds}): it is kept, and not recalled until `bethink review` accepts it.",
        )
