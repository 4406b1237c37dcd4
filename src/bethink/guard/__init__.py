"""The write guard: is a new content new, a correction of something known, or the same again? Deterministic, no model of language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bethink.model import Memory, Verdict
from bethink.text import words

__all__ = ["NOOP", "UPDATE", "Neighbour", "judge"]

#: From this agreement on, what only differs in wording is the same again.
NOOP = 0.92
#: From this agreement on, what differs in a value is a correction.
UPDATE = 0.75


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An old memory that is near a new content."""

    memory: Memory
    #: Cosine of the embeddings; None without a model.
    similarity: float | None = None
    #: The store's keyword score, higher is nearer.
    keyword: float = 0.0


def judge(new: str, neighbours: Sequence[Neighbour], *, noop: float = NOOP, update: float = UPDATE) -> Verdict:
    """What storing `new` beside `neighbours` would do."""
    said = words(new)
    for neighbour in neighbours:
        if words(neighbour.memory.content) == said:
            return Verdict("NOOP", 1.0, neighbour.memory, "It says the same as what is known.")
    return Verdict("ADD", reason="Nothing known says the same or is corrected by it.")
