"""The one service: everything that can be done with memories, whatever door one comes through."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from bethink.service.archiving import Archiving
from bethink.service.context import Briefing
from bethink.service.entities import Entities
from bethink.service.hygiene import Hygiene
from bethink.service.reading import Reading
from bethink.service.review import Review
from bethink.service.sharing import Sharing


class Memories(Archiving, Review, Hygiene, Entities, Sharing, Reading, Briefing):
    """A principal's memories in one store. Made by `bethink.open_memories`; safe to use from several threads."""

    def close(self) -> None:
        """Writes down what was only kept in mind, and closes the store."""
        self.flush_uses()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
