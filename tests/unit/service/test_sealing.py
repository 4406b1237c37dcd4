"""A content that is sealed as a whole, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bethink.errors import Conflict
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


def _token(letters: str) -> str:
    return "ghp_" + letters * 9


def test_an_id_that_a_sealed_memory_has_is_no_leave_to_lose_another_content(make: Callable[..., Memories], tmp_path: Path) -> None:
    memories = make(seal=seal_in(tmp_path))
    said = f"The token of the mirror is {_token('Zq8v')}"
    kept = memories.remember(Draft(said, id="m-1")).memory
    assert kept.sealed
    # What was said before, as it was said and as it is exported.
    for again in (said, kept.content):
        assert memories.remember(Draft(again, id="m-1")).action == "merged"
    for other in ("Trains leave at noon", f"The token of the gate is {_token('Zq8v')}", f"The token of the mirror is {_token('K2mN')}"):
        with pytest.raises(Conflict):
            memories.remember(Draft(other, id="m-1"))
    whole = memories.remember(Draft("nobody reads this", id="m-2", sensitive=True)).memory
    assert memories.remember(Draft("nobody reads this", id="m-2", sensitive=True)).memory.id == whole.id
    with pytest.raises(Conflict):
        memories.remember(Draft("nobody reads that", id="m-2", sensitive=True))


def test_an_operation_that_comes_back_stores_what_it_says(make: Callable[..., Memories], tmp_path: Path) -> None:
    memories = make(seal=seal_in(tmp_path))
    said = f"The token of the mirror is {_token('Zq8v')}"
    first = memories.remember_once(Draft(said), "op-1")
    assert (first.memory.id, first.action) == ("op-1", "added")
    assert memories.remember_once(Draft(said), "op-1").memory.id == "op-1"
    other = memories.remember_once(Draft("Trains leave at noon"), "op-1")
    assert other.action == "added" and other.memory.id != "op-1" and memories.live(other.memory.id).content == "Trains leave at noon"
    plain = memories.remember_once(Draft("Soup is served at one"), "op-2").memory
    assert memories.remember_once(Draft("Bread is baked at four"), "op-2").action == "added"
    # What was forgotten since is said anew.
    memories.forget(plain.id)
    back = memories.remember_once(Draft("Soup is served at one"), "op-2")
    assert back.action == "added" and back.memory.deleted_at is None


def test_what_changes_while_secrets_move_stays_as_it_was_changed(make: Callable[..., Memories], tmp_path: Path) -> None:
    memories = make(seal=seal_in(tmp_path))
    said = {
        letters: memories.remember(Draft(f"The token of {letters} is {_token(letters)}")).memory for letters in ("Zq8v", "K2mN", "pL4x")
    }
    moving = memories.rotate_secrets()
    first = next(moving).row.memory
    gone, edited = [memory for memory in said.values() if memory.id != first]
    memories.forget(gone.id)
    memories.purge(gone.id)
    # As a pull does it: the same name, another secret.
    [(name, _, _)] = memories.store.secrets_of(memories.access, edited.id)
    other = memories._chain().seal(edited.owner, edited.id, name, _token("Wx7c"))
    with memories.store.write(memories.access) as tx:
        tx.put_secret(edited.id, name, other.blob, {"tier": other.tier, **other.meta})
    assert [moved.sealed for moved in moving] == [None, None]
    assert list(memories.secret(edited.id)["secrets"].values()) == [_token("Wx7c")]
    assert memories.secret(first)["secrets"]
    assert [moved.error for moved in memories.rotate_secrets()] == [None, None]
