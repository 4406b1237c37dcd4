"""Turns out of lines: one message may be several lines, and a tool's result comes lines after its call.

Turns leave in the order they began. What is unfinished stays inside, and `floor` says from where a later reading
must start to see it whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bethink.hosts.transcripts import Role, Skipped, ToolCall, Turn, answered

#: A side conversation whose end never comes must not hold everything else in memory.
_MOST_WAITING: Final = 200


@dataclass(slots=True)
class Strand:
    """A turn in the making."""

    key: str
    role: Role
    start: int
    end: int
    facts: dict[str, Any]
    parts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    closed: bool = False

    def say(self, text: str) -> None:
        """Add words; the same words twice in a row are one saying, told by two records."""
        if text and text not in self.parts[-1:]:
            self.parts.append(text)

    def use(self, call_id: str, call: ToolCall) -> None:
        """Add a tool call."""
        self.calls.append(call)
        self.ids.append(call_id)


class Weaver:
    """Joins the lines of one transcript. `chain` tells conversations apart that share a file."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._waiting: deque[Strand] = deque()
        self._current: dict[str, Strand] = {}
        self._calls: dict[str, tuple[Strand, int]] = {}

    def strand(self, chain: str, key: str, role: Role, start: int, end: int, **facts: Any) -> Strand:
        """The turn `key` of a chain: the one being made, or a new one, which ends the one before."""
        current = self._current.get(chain)
        if current is not None and key and current.key == key and not current.closed:
            current.end = end
            return current
        if current is not None:
            current.closed = True
        strand = Strand(key, role, start, end, facts)
        self._waiting.append(strand)
        self._current[chain] = strand
        return strand

    def called(self, strand: Strand, call_id: str, call: ToolCall) -> None:
        """The strand's turn uses a tool."""
        strand.use(call_id, call)
        if call_id:
            self._calls[call_id] = (strand, len(strand.calls) - 1)

    def result(self, call_id: str, text: str, end: int, is_error: bool = False) -> bool:
        """Pair a result with its call by id; False when that call is not here."""
        place = self._calls.pop(call_id, None)
        if place is None:
            return False
        strand, index = place
        strand.calls[index] = answered(strand.calls[index], text, is_error)
        strand.end = max(strand.end, end)
        return True

    def current(self, chain: str) -> Strand | None:
        """The turn that a chain is in, if any."""
        strand = self._current.get(chain)
        return None if strand is None or strand.closed else strand

    def close(self, chain: str) -> None:
        """Nothing will be added to what this chain said."""
        if chain in self._current:
            self._current[chain].closed = True

    def close_all(self) -> None:
        """Nothing will be added to anything that was said so far."""
        for strand in self._current.values():
            strand.closed = True

    def floor(self, end: int) -> int:
        """Where a later reading must start: before the oldest unfinished turn, or at `end`."""
        return self._waiting[0].start if self._waiting else end

    def ready(self, end: int) -> Iterator[Turn | Skipped]:
        """The turns that are finished, up to the first that is not. `end` is where reading stands."""
        while self._waiting and (self._waiting[0].closed or len(self._waiting) > _MOST_WAITING):
            yield self._turn(end)

    def finish(self, end: int, settled: bool, prompts: bool = True) -> Iterator[Turn | Skipped]:
        """The last turns: all of them when the transcript is at rest, otherwise those that cannot grow any more.

        `prompts` says that a prompt is complete with its line.
        """
        if not settled and prompts:
            for strand in self._waiting:
                strand.closed = strand.closed or strand.role == "user"
        while self._waiting and (settled or self._waiting[0].closed):
            yield self._turn(end)

    def _turn(self, end: int) -> Turn | Skipped:
        strand = self._waiting.popleft()
        strand.closed = True
        for call_id in strand.ids:
            self._calls.pop(call_id, None)
        resume = self.floor(end)
        if not strand.parts and not strand.calls:
            return Skipped("empty", strand.start, strand.end, resume)
        return Turn(
            host=self._host,
            role=strand.role,
            text="\n\n".join(strand.parts).strip(),
            start=strand.start,
            end=strand.end,
            resume=resume,
            tools=tuple(strand.calls),
            **strand.facts,
        )
