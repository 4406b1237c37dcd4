"""The nouns."""

from __future__ import annotations

import re
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink.errors import InvalidInput, UnknownCategory
from bethink.model import CATEGORIES, CATEGORY_ALIASES, Scope, category_of, new_id, one_of


def test_ids_are_uuid7_and_grow() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    one = uuid.UUID(ids[0])
    assert one.version == 7 and one.variant == uuid.RFC_4122
    assert before <= one.int >> 80 <= time.time_ns() // 1_000_000
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids[-1])


def test_threads_never_get_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda mine=mine: mine.extend(new_id() for _ in range(2_000))) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for mine in made for id in mine}) == 16_000
    assert all(mine == sorted(mine) for mine in made)


def test_a_clock_that_goes_back_makes_no_smaller_id(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert new_id() > first


def test_categories_and_their_other_names() -> None:
    assert {category_of(name) for name in CATEGORIES} == set(CATEGORIES)
    assert set(CATEGORY_ALIASES.values()) <= set(CATEGORIES)
    for said, meant in {
        "Fact": "facts",
        " decision ": "decisions",
        "person": "people",
        "core-identity": "preferences",
        "Entity": "entities",
    }.items():
        assert category_of(said) == meant


@given(st.text())
def test_any_other_category_is_refused_with_the_choices(name: str) -> None:
    try:
        assert category_of(name) in CATEGORIES
    except UnknownCategory as error:
        assert "facts, preferences" in error.hint


def test_one_of() -> None:
    assert one_of("a", ("a", "b"), "letter") == "a"
    with pytest.raises(InvalidInput, match="No letter 'c'") as caught:
        one_of("c", ("a", "b"), "letter")
    assert caught.value.hint == "Choose one of: a, b."


def test_scopes() -> None:
    assert Scope.of() == Scope.of("", "") == Scope("global")
    assert Scope.of("p") == Scope("project", "p")
    assert Scope.of("p", "t") == Scope("task", "p", "t")
    assert Scope.of(None, "t") == Scope("task", None, "t")
