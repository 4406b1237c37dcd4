"""A content that is sealed as a whole, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bethink.model import Changes, Draft
from bethink.service.memories import Memories
from kit.replicas import seal_in


def test_each_wording_of_a_sealed_content_is_the_one_that_is_shown(make: Callable[..., Memories], tmp_path: Path) -> None:
    memories = make(seal=seal_in(tmp_path))
    memory = memories.remember(Draft("the first wording", sensitive=True)).memory
    for wording in ("the second wording", "the third wording"):
        memories.revise(memory.id, Changes(content=wording))
        assert memories.secret(memory.id)["content"] == wording
    # What else is changed seals no placeholder.
    memories.revise(memory.id, Changes(importance=0.9))
    told = memories.secret(memory.id)
    assert (told["content"], len(told["secrets"])) == ("the third wording", 3)
