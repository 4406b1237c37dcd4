"""Dates that a model made of what was said: believed only where they follow from it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bethink.intake.dates import undated
from bethink.intake.evidence import Item, Proved, Row, proved
from bethink.model import EPOCH

AT = datetime(2026, 5, 8, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "said", "left"),
    [
        ("Ann moved to Lisbon on 2026-05-07.", "I moved to Lisbon yesterday", "Ann moved to Lisbon ."),
        ("Ann moved to Lisbon on 2026-05-08.", "I moved to Lisbon", "Ann moved to Lisbon ."),
        ("Ann moves to Lisbon in 2026-06.", "I move to Lisbon next month", "Ann moves to Lisbon ."),
        ("Ann moved to Lisbon in 2025.", "I moved to Lisbon last year", "Ann moved to Lisbon ."),
        ("Ann has lived there since about 2022.", "four years now, I mean years", "Ann has lived there since ."),
        ("Ann joined the club on 2026-05-05.", "I joined it last Tues.", "Ann joined the club ."),
        ("Ann zog am 2026-05-07 um.", "Ich bin gestern umgezogen", "Ann zog am  um."),
        # Not said, too far away, no such day, no date at all.
        ("Ann moved to Lisbon on 2026-05-07.", "I moved to Lisbon", "Ann moved to Lisbon on 2026-05-07."),
        ("Ann moved to Lisbon on 2025-05-07.", "I moved to Lisbon yesterday", "Ann moved to Lisbon on 2025-05-07."),
        ("Ann moved to Lisbon on 2026-02-31.", "I moved to Lisbon yesterday", "Ann moved to Lisbon on 2026-02-31."),
        ("Ann moved to Lisbon in 1066.", "I moved to Lisbon years ago", "Ann moved to Lisbon in 1066."),
        ("The server listens on port 2026.", "Since last year the server listens", "The server listens on port 2026."),
        ("The build is 2026.5.8 now.", "today", "The build is 2026.5.8 now."),
    ],
)
def test_only_what_follows_is_taken_out(content: str, said: str, left: str) -> None:
    assert undated(content, said, AT) == left
    assert undated(content, said, EPOCH) == content


def test_an_item_may_say_when() -> None:
    row = Row("1", "user", "We moved the staging cluster to Frankfurt last Friday.", AT)
    quote = "We moved the staging cluster to Frankfurt last Friday"
    believed = proved(Item("fact", "The staging cluster was moved to Frankfurt on 2026-05-01.", quote), [row])
    assert isinstance(believed, Proved)
    made_up = proved(Item("fact", "The staging cluster was moved to Frankfurt on 2024-05-01.", quote), [row])
    assert made_up == "not in what was said"
