"""Likeness of texts, against the library whose figures it gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz import fuzz, utils

from bethink import likeness

WORDS = st.lists(st.text("abcd", max_size=6), max_size=7).map(" ".join)
ANY = st.text(max_size=30)


@settings(max_examples=500, deadline=None)
@given(st.one_of(WORDS, ANY), st.one_of(WORDS, ANY))
def test_figures_are_the_librarys(one: str, other: str) -> None:
    assert likeness.ratio(one, other) == pytest.approx(fuzz.ratio(one, other))
    assert likeness.sorted_ratio(one, other) == pytest.approx(fuzz.token_sort_ratio(one, other))
    assert likeness.weighted(one, other) == pytest.approx(fuzz.WRatio(one, other))


@given(st.text("abcXYZ019 .,-_/#äßπ中文\n\t", max_size=20))
def test_plain_form_is_the_librarys(text: str) -> None:
    assert likeness.plain(text) == utils.default_process(text)


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("", "", 0, 0),
        ("a", "", 0, 0),
        ("same", "same", 100, 100),
        ("payment service", "service, payment", 80, 99),
        ("redis", "redis cache", 89, 91),
    ],
)
def test_weighted(one: str, other: str, least: float, most: float) -> None:
    assert least <= likeness.weighted(one, other) <= most


def test_long_texts_take_a_moment() -> None:
    one, other = "the parser reads " * 250, "a reader parses the " * 210
    assert 0 < likeness.sorted_ratio(one, other) < 100


def test_the_most_alike_come_first_and_equals_in_order() -> None:
    names = ["Kubernetes", "PostgreSQL", "postgresql", "Redis", "Postgres"]
    assert [index for _, index in likeness.most_alike("postgresql", names, least=60, limit=3)] == [1, 2, 4]
    assert likeness.most_alike("zzz", names, least=60, limit=3) == []
    assert likeness.most_alike("x", [], least=0, limit=3) == []
