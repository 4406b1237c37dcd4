"""What Bethink itself put before a model, so that it is not taken for something new when it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bethink.intake import injections

if TYPE_CHECKING:
    from bethink.service.memories import Memories

#: Shorter lines are anybody's words.
_SHORTEST = 20
_QUOTES = "|>*-# \t\u2502\u23bf"


class Echoes:
    """Knows by session which memories were shown there. Looks into the log of injections once."""

    def __init__(self, memories: Memories, home: Path) -> None:
        self._memories = memories
        self._shown: dict[str, set[str]] = {}
        for entry in injections.read(home):
            self._shown.setdefault(str(entry.get("session", "")), set()).update(map(str, entry.get("ids") or ()))
        self._lines: dict[str, frozenset[str]] = {}

    def without(self, session: str, said: str) -> str:
        """`said` less the lines that are those of memories shown in that session."""
        lines = self.lines(session)
        if not lines:
            return said
        kept = [line for line in said.split("\n") if _plain(line) not in lines]
        return "\n".join(kept).strip() if len(kept) < said.count("\n") + 1 else said

    def lines(self, session: str) -> frozenset[str]:
        """The lines of the memories that were shown in a session, in a form to compare by."""
        if session not in self._lines:
            ids = self._shown.get(session)
            found = self._memories.store.get(self._memories.access, sorted(ids)) if ids else {}
            lines = (_plain(line) for memory in found.values() for line in memory.content.splitlines())
            self._lines[session] = frozenset(line for line in lines if len(line) >= _SHORTEST)
        return self._lines[session]


def _plain(line: str) -> str:
    return " ".join(line.strip(_QUOTES).split()).casefold()
