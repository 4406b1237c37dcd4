"""A content that is sealed as a whole, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bethink.errors import Conflict
from bethink.model import Changes, Draft, Filter
from bethink.service.memories import Memories
from bethink.service.sealing import Sealing
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


def test_what_was_missed_leaves_the_history_also_where_it_is_said_no_more(
    make: Callable[..., Memories], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = make(seal=seal_in(tmp_path))
    with monkeypatch.context() as patched:
        # As a version before kept it, which did not know this kind of secret.
        patched.setattr(Sealing, "_sealed", lambda self, memory, rows=None: (memory, ()))
        patched.setattr(Sealing, "_hush_before", lambda *_: None)
        memory = memories.remember(Draft(f"The token of the mirror is {_token('Zq8v')}")).memory
        other = memories.remember(Draft("Trains leave at noon")).memory
        memories.revise(memory.id, Changes(content="The mirror needs no token"))
        memories.revise(other.id, Changes(content="Trains leave at one"))
    assert _token("Zq8v") in str(memories.history(memory.id))
    assert memories.seal_missed() == 1 and memories.seal_missed() == 0
    assert _token("Zq8v") not in str(memories.history(memory.id)) and "Trains leave at noon" in str(memories.history(other.id))
    assert memories.get(memory.id).content == "The mirror needs no token"


def test_an_edit_of_what_held_an_unknown_secret_leaves_it_in_no_history(
    make: Callable[..., Memories], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = make(seal=seal_in(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(Sealing, "_sealed", lambda self, memory, rows=None: (memory, ()))
        memory = memories.remember(Draft(f"The token of the mirror is {_token('Zq8v')}")).memory
    memories.revise(memory.id, Changes(importance=0.9))
    assert _token("Zq8v") not in str(memories.history(memory.id))
    # What held none stays.
    memories.revise(memory.id, Changes(content="The mirror is closed"))
    assert "The token of the mirror is [REDACTED" in str(memories.history(memory.id))


@pytest.mark.parametrize("end", ["sealed", "purged"])
def test_what_is_sealed_or_purged_is_told_by_no_audit_and_no_dependent(make: Callable[..., Memories], tmp_path: Path, end: str) -> None:
    memories = make(seal=seal_in(tmp_path))
    memory = memories.remember(Draft("The quokka feeds the deploy robot every Friday evening")).memory
    again = memories.remember(Draft("The quokka feeds the deploy robot every Friday evening, always."))
    assert (again.action, again.memory.id) == ("merged", memory.id)
    corrected = memories.remember(Draft("The quokka is a marsupial", verbatim=True)).memory
    depending = [
        memories.remember(Draft(f"robot {each}", verbatim=True, derived_from=(each,))).memory for each in (memory.id, corrected.id)
    ]
    memories.remember(Draft("A quokka is a macropod", verbatim=True, supersedes=corrected.id))
    memories.forget(memory.id)
    memories.forget(corrected.id)
    for each in (memory, corrected):
        if end == "purged":
            memories.purge(each.id)
        else:
            memories.restore(each.id)
            memories.revise(each.id, Changes(sensitive=True))
    assert all(memories.get(each.id).needs_review for each in depending)
    told = str([memories.audit(), *(memories.history(each.id) for each in depending), memories.list(Filter()), memories.review()])
    assert "quokka feeds" not in told and "marsupial" not in told


def test_the_review_names_what_somebody_may_read(memories: Memories) -> None:
    base = memories.remember(Draft("basalt is the base image", verbatim=True)).memory
    near = memories.remember(Draft("a container on basalt", verbatim=True, derived_from=(base.id,))).memory
    memories.remember(Draft("granite is the base image", verbatim=True, supersedes=base.id))
    [item] = memories.review()
    assert item.memory.id == near.id
    assert item.reason.startswith(f"{base.id} was superseded by") and item.reason.endswith(": basalt is the base image")
    memories.forget(base.id)
    [item] = memories.review()
    assert "basalt is the base" not in item.reason
