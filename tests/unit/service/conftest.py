"""A service on a file of its own, with a clock that tests turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Draft, Memory, Query
from bethink.service.memories import Memories
from bethink.stores.sqlite import SQLiteStore
from kit.memories import ANN, NOW, WordsEmbedder


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Memories]]:
    """Makes services on one store."""
    made: list[Memories] = []

    def one(access: Any = ANN, **parts: Any) -> Memories:
        made.append(Memories(SQLiteStore(tmp_path / "memory.db"), access, clock=clock, **parts))
        return made[-1]

    yield one
    for memories in made:
        memories.close()


@pytest.fixture
def memories(make: Callable[..., Memories]) -> Memories:
    """Without a model: keywords only."""
    return make()


@pytest.fixture
def semantic(make: Callable[..., Memories]) -> Memories:
    return make(embedder=WordsEmbedder())


def stored(memories: Memories, content: str, **fields: Any) -> Memory:
    return memories.remember(Draft(content, **fields)).memory


def recalled(memories: Memories, question: str, **fields: Any) -> list[str]:
    return [hit.memory.content for hit in memories.recall(Query(question, **fields)).hits]
