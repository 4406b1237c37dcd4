"""The guard's sieve: what it passes over, the guard would have left alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bethink.guard import _weighed
from bethink.guard.reading import read
from bethink.guard.sieve import related, sentences

FOLDER = Path(__file__).parents[2] / "bench" / "change_handling"
PAIRS = [
    (case[0], case[1])
    for half in ("dev", "held")
    for cases in json.loads((FOLDER / f"{half}.json").read_text("utf-8")).values()
    for case in cases
    if isinstance(case[0], str) and isinstance(case[1], str)
]


def passed_over(new: str, old: str) -> bool:
    return not related(sentences(new), sentences(old))


def test_no_finding_of_the_benchmark_is_passed_over() -> None:
    assert len(PAIRS) > 300
    assert [(old, new) for old, new in PAIRS if _weighed(read(new), read(old), 0.8)[0].kind != "other" and passed_over(new, old)] == []


def test_nor_one_among_other_sentences() -> None:
    chance = random.Random(3)
    found = 0
    for _ in range(300):
        old, new = chance.choice(PAIRS)
        many = [" ".join(chance.sample([text, *(chance.choice(PAIRS)[0] for _ in range(3))], 4)) for text in (old, new)]
        if _weighed(read(many[1]), read(many[0]), 0.8)[0].kind != "other":
            found += 1
            assert not passed_over(many[1], many[0]), many
    assert found > 50


def test_most_of_what_has_nothing_to_do_with_it_is_passed_over() -> None:
    chance = random.Random(5)
    over = [passed_over(chance.choice(PAIRS)[1], chance.choice(PAIRS)[0]) for _ in range(1000)]
    assert sum(over) > 800


def test_scripts_without_spaces_are_always_read() -> None:
    assert not passed_over("数据库端口是5433。", "数据库端口是5432。")
    assert not passed_over("", "Anything at all.")


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_raises_and_equal_ones_are_related(one: str, other: str) -> None:
    related(sentences(one), sentences(other))
    assert not passed_over(one, one)
