"""Ranking: scores, floors, priors, collapse, budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink import rank
from bethink.model import Memory, Query, Scope, new_id
from bethink.rank import Candidate, Found

NOW = datetime(2026, 11, 21, tzinfo=UTC)
#: A store in which every word of a question is rare.
RARE = {"port": 3, "staging": 3, "database": 4}


def memory(content: str = "The staging database listens on port 5433.", **fields: Any) -> Memory:
    at = fields.pop("at", NOW)
    return Memory(fields.pop("id", new_id()), "me", content, created_at=at, updated_at=at, **fields)


def candidate(content: str = "a note", *, keyword: float = 0.0, cosine: float | None = None, **fields: Any) -> Candidate:
    extra = {name: fields.pop(name) for name in ("uses", "position") if name in fields}
    return Candidate(memory(content, **fields), keyword, cosine, **extra)


def found(*candidates: Candidate, frequencies: dict[str, int] | None = None, documents: int = 1000) -> Found:
    return Found(tuple(candidates), RARE if frequencies is None else frequencies, documents)


def contents(hits: list[Any]) -> list[str]:
    return [hit.memory.content for hit in hits]


def test_keyword_and_meaning_are_added() -> None:
    both = candidate("both", keyword=10, cosine=0.6)
    word = candidate("word", keyword=10, cosine=0.1)
    meaning = candidate("meaning", cosine=0.6)
    hits = rank.order(found(word, meaning, both), Query("staging database port"), NOW)
    assert contents(hits)[0] == "both"
    assert {"keyword", "semantic", "confidence"} <= hits[0].why.keys()
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_late_interaction_decides_where_it_is_there() -> None:
    one, other = candidate("one", keyword=5, cosine=0.5), candidate("other", keyword=5, cosine=0.5)
    late = {one.memory.id: 0.3, other.memory.id: 0.8}
    hits = rank.order(found(one, other), Query("staging database port"), NOW, late)
    assert contents(hits) == ["other", "one"]
    assert hits[0].why["late"] == 0.8


def test_modes_use_their_signals() -> None:
    word, meaning = candidate("word", keyword=12, cosine=0.3), candidate("meaning", keyword=1, cosine=0.8)
    where = found(word, meaning)

    def first(**asked: Any) -> str:
        return contents(rank.order(where, Query("staging database port", **asked), NOW))[0]

    assert first(mode="keyword") == "word"
    assert first(mode="semantic") == "meaning"
    assert first(keyword_weight=1.0) == "word"
    assert first(semantic_weight=1.0) == "meaning"
    assert first(mode="hybrid", keyword_weight=0.0, semantic_weight=0.0)
    assert first(mode="rrf") in ("word", "meaning")


def test_rank_fusion_puts_first_what_both_signals_put_first() -> None:
    both, word, meaning = candidate("both", keyword=9, cosine=0.9), candidate("word", keyword=5), candidate("meaning", cosine=0.5)
    hits = rank.order(found(word, meaning, both), Query("staging port", mode="rrf"), NOW)
    assert contents(hits)[0] == "both"
    assert hits[0].why["keyword_rank"] == 1
    assert hits[0].why["semantic_rank"] == 1


def test_a_memory_that_waits_for_its_vector_is_not_forgotten() -> None:
    waiting = candidate("waiting", keyword=20)
    other = candidate("other", cosine=0.35)
    assert contents(rank.order(found(waiting, other), Query("staging database port"), NOW))[0] == "waiting"


def test_nothing_relevant_is_an_empty_answer() -> None:
    assert rank.order(found(), Query("staging"), NOW) == []
    assert rank.order(found(candidate(cosine=0.05)), Query("staging"), NOW) == []
    assert rank.order(found(candidate(keyword=0.0)), Query("staging", mode="keyword"), NOW) == []


def test_the_floor_is_about_confidence() -> None:
    sure, unsure = candidate("sure", keyword=20, cosine=0.7), candidate("unsure", keyword=2, cosine=0.3)
    late = {sure.memory.id: 0.8, unsure.memory.id: 0.25}
    query = Query("staging database port", floor=rank.INJECT_FLOOR)
    assert contents(rank.order(found(sure, unsure), query, NOW, late)) == ["sure"]


def test_one_ordinary_word_in_common_never_puts_a_memory_before_a_model() -> None:
    note = candidate("We continue the rollout on Monday.", keyword=50)
    assert rank.order(found(note, frequencies={"continue": 1}), Query("ok continue", floor=rank.INJECT_FLOOR), NOW) == []
    code = candidate("The service listens on 18443.", keyword=50)
    assert rank.order(found(code, frequencies={"18443": 1}), Query("18443?", floor=rank.INJECT_FLOOR), NOW)


def test_keyword_scores_mean_the_same_for_short_and_long_questions() -> None:
    mass = sum(rank.word_weight(word, found()) for word in RARE)
    whole = rank.keyword_shares(found(candidate(keyword=mass)), "staging database port")
    third = rank.keyword_shares(found(candidate(keyword=mass / 3)), "staging database port")
    assert 0.7 < whole[0] < 0.8
    assert 0.3 < third[0] < 0.35


def test_small_stores_count_words_themselves() -> None:
    # SQLite's bm25() gives next to nothing for a word that most rows hold.
    good = candidate("The staging database listens on port 5433.", keyword=1e-6)
    poor = candidate("The staging area is on the second floor.", keyword=1e-6)
    tiny = found(good, poor, frequencies={"staging": 2, "database": 1, "port": 1}, documents=2)
    hits = rank.order(tiny, Query("which port has the staging database?", mode="keyword"), NOW)
    assert contents(hits)[0] == good.memory.content
    assert hits[0].score > 0.6 > hits[1].score


def test_a_store_that_counts_no_words_is_ranked_by_its_own_scores() -> None:
    hits = rank.order(Found((candidate("a", keyword=2), candidate("b", keyword=4))), Query("staging", mode="keyword"), NOW)
    assert contents(hits) == ["b", "a"]


def test_stop_words_weigh_nothing() -> None:
    assert rank.word_weight("the", found()) == 0
    assert rank.word_weight("", found()) == 0
    assert rank.word_weight("unheard", found()) > rank.word_weight("staging", found()) > 0


@pytest.mark.parametrize(
    "better",
    [{"importance": 1.0}, {"at": NOW}, {"scope": Scope.of("repo")}, {"trust": "user_stated"}, {"uses": 9}],
)
def test_priors_settle_ties(better: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"importance": 0.5, "at": NOW - timedelta(days=400), "trust": "external", "keyword": 5.0, "cosine": 0.5}
    one, other = candidate("better", **{**plain, **better}), candidate("plain", **plain)
    hits = rank.order(found(other, one), Query("staging port", here=Scope.of("repo")), NOW)
    assert contents(hits) == ["better", "plain"]


@given(st.floats(0.05, 0.8), st.floats(0.0, 1.0), st.integers(0, 1000), st.booleans())
def test_no_prior_outranks_a_match(cosine: float, importance: float, days: int, archive: bool) -> None:
    strong = candidate(
        "strong",
        keyword=5,
        cosine=cosine + 0.2,
        importance=importance,
        at=NOW - timedelta(days=days),
        source="transcript" if archive else "user",
    )
    weak = candidate("weak", keyword=0.5, cosine=cosine / 1.5, importance=1.0, uses=100, scope=Scope.of("repo", "task"))
    hits = rank.order(found(weak, strong), Query("staging port", here=Scope.of("repo", "task")), NOW)
    assert contents(hits)[0] == "strong"


def test_preferences_and_decisions_do_not_fade() -> None:
    old = NOW - timedelta(days=3000)
    assert rank.recency(memory(category="decisions", at=old), NOW) == 1
    assert rank.recency(memory(category="preferences", at=old), NOW) == 1
    assert rank.recency(memory(category="notes", at=NOW - timedelta(days=90)), NOW) == pytest.approx(0.5)
    assert rank.recency(memory(category="notes", at=NOW + timedelta(days=90)), NOW) == 1


def test_the_archive_stands_below_what_was_kept() -> None:
    archived = candidate("said", keyword=5, cosine=0.5, source="transcript")
    kept = candidate("kept", keyword=5, cosine=0.5)
    assert contents(rank.order(found(archived, kept), Query("staging port"), NOW)) == ["kept", "said"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The staging database listens on port 5433.", "the staging database listens on port 5433", True),
        ("The staging database listens on port 5433.", "The staging database listens on port 5432.", False),
        ("Deploy on Fridays.", "Do not deploy on Fridays.", False),
        ("Alice manages Bob.", "Bob manages Alice.", False),
        ("We use tabs.", "We use tabs!", True),
        ("日本語のメモ", "中国語のメモ", False),
        ("🎉", "🎈", False),
        (
            "The nightly job copies invoices receipts ledgers contracts payslips orders quotes reports archives photos and letters.",
            "The nightly job copies invoices receipts ledgers contracts payslips orders quotes reports archives photos and also letters.",
            True,
        ),
    ],
)
def test_near_duplicates_collapse_and_different_values_do_not(one: str, other: str, same: bool) -> None:
    first, second = candidate(one, keyword=5, cosine=0.6), candidate(other, keyword=5, cosine=0.5)
    hits = rank.order(found(first, second), Query("staging port"), NOW)
    assert len(hits) == (1 if same else 2)
    assert hits[0].why.get("collapsed") == ([second.memory.id] if same else None)


def test_limit_and_budget_take_whole_items() -> None:
    many = [candidate(f"note {number} " + "word " * 50, keyword=5, cosine=0.9 - number / 20) for number in range(8)]
    assert len(rank.order(found(*many), Query("staging port", limit=3), NOW)) == 3
    hits = rank.order(found(*many), Query("staging port", budget_tokens=150), NOW)
    assert len(hits) == 2
    assert all(len(hit.memory.content) > 200 for hit in hits)
    assert rank.order(found(*many), Query("staging port", budget_tokens=0), NOW) == []


def test_a_big_item_does_not_keep_smaller_ones_out_of_the_budget() -> None:
    big, small = candidate("big " * 500, keyword=5, cosine=0.9), candidate("small note", keyword=5, cosine=0.8)
    assert contents(rank.order(found(big, small), Query("staging port", budget_tokens=50), NOW)) == ["small note"]


def test_other_orders_take_only_what_matches_well() -> None:
    best = candidate("best", keyword=9, cosine=0.8, importance=0.2, at=NOW - timedelta(days=9))
    good = candidate("good", keyword=8, cosine=0.7, importance=0.9, at=NOW - timedelta(days=99))
    poor = candidate("poor", keyword=0.5, cosine=0.2, importance=1.0, at=NOW)
    where = found(poor, good, best)
    assert contents(rank.order(where, Query("staging port", sort_by="importance"), NOW)) == ["good", "best"]
    assert contents(rank.order(where, Query("staging port", sort_by="recency"), NOW)) == ["best", "good"]


@pytest.mark.parametrize(
    ("content", "turn"),
    [
        ("Caroline: I went to the harbour yesterday", True),
        ("user: hello", True),
        ("Dr. O'Neil-Smith: thanks", True),
        ("Decision: use tabs", False),
        ("note: use tabs", False),
        ("We use tabs because: style", False),
        ("https://example.org is down", False),
        ("12: a numbered line", False),
        ("", False),
    ],
)
def test_turns_are_told_from_notes(content: str, turn: bool) -> None:
    assert rank.is_turn(memory(content)) is turn
    assert rank.is_turn(memory(content, source="transcript"))


def test_a_turn_knows_the_turns_before_it_in_its_conversation() -> None:
    turns = [candidate(f"Ann: line {n}", position=n, session="s", id=f"{n}") for n in range(4)]
    other = candidate("Ann: elsewhere", position=4, session="t")
    note = candidate("a note", position=5, session="t")
    assert rank.before_it([*turns, other, note]) == [[], [(0, 0.9)], [(1, 0.9), (0, 0.8)], [(2, 0.9), (1, 0.8)], [], []]


def test_turns_without_a_session_belong_together_by_time() -> None:
    one = candidate("Ann: one", position=1)
    soon = candidate("Ben: two", position=2, at=NOW + timedelta(minutes=5))
    later = candidate("Ann: three", position=3, at=NOW + timedelta(days=2))
    assert rank.before_it([one, soon, later]) == [[], [(0, 0.9)], []]
    assert rank.before_it([candidate("Ann: one"), candidate("Ben: two")]) == [[], []]


def test_a_conversation_that_answers_elsewhere_too_comes_first() -> None:
    alone = candidate("Ann: alone", keyword=5, cosine=0.5, session="a")
    among = candidate("Ann: among", keyword=5, cosine=0.5, session="b")
    others = [candidate(f"Ben: other {n}", keyword=3, cosine=0.45, session="b") for n in range(3)]
    hits = rank.order(found(alone, among, *others), Query("staging port"), NOW)
    assert contents(hits)[0] == "Ann: among"
    assert hits[0].why["company"] > 0


def test_company_does_not_touch_notes() -> None:
    note = candidate("a note", keyword=5, cosine=0.5, session="b")
    others = [candidate(f"Ben: other {n}", keyword=3, cosine=0.45, session="b") for n in range(3)]
    (hit, *_) = rank.order(found(note, *others), Query("staging port"), NOW)
    assert hit.memory.content == "a note"
    assert "company" not in hit.why


@given(
    st.lists(st.tuples(st.floats(0, 60), st.one_of(st.none(), st.floats(-1, 1)), st.floats(-0.3, 1.0), st.booleans()), max_size=12),
    st.sampled_from(["hybrid", "keyword", "semantic", "rrf"]),
    st.text(max_size=30),
    st.integers(0, 50),
)
def test_whatever_comes_in_the_answer_is_ordered_bounded_and_without_repetition(
    signals: list[tuple[float, float | None, float, bool]], mode: Any, question: str, documents: int
) -> None:
    candidates = [
        candidate(f"{'Ann: ' if turn else ''}content{n}", keyword=keyword, cosine=cosine, position=n)
        for n, (keyword, cosine, _, turn) in enumerate(signals)
    ]
    late = {c.memory.id: value for c, (_, cosine, value, _) in zip(candidates, signals, strict=True) if cosine is not None}
    hits = rank.order(found(*candidates, documents=documents), Query(question, mode=mode, limit=5), NOW, late)
    assert len(hits) <= 5
    assert len({hit.memory.id for hit in hits}) == len(hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 and 0 <= hit.why["confidence"] <= 1 for hit in hits)
    assert [
        hit.memory.id for hit in rank.order(found(*candidates, documents=documents), Query(question, mode=mode, limit=5), NOW, late)
    ] == [hit.memory.id for hit in hits]
