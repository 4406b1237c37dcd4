"""Late interaction against its definition, written out."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from bethink import maxsim, rank
from bethink.embed.base import QueryVectors
from bethink.model import Memory, new_id
from bethink.rank import Candidate, Found

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RANDOM = np.random.default_rng(3)


def unit(rows: int, dims: int = 16) -> np.ndarray:
    vectors = RANDOM.normal(size=(rows, dims)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def question(*words: str) -> QueryVectors:
    return QueryVectors(unit(1)[0], unit(len(words)), words)


def candidate(tokens: np.ndarray | None, content: str = "a note", position: int | None = None) -> Candidate:
    stored = None if tokens is None else np.rint(tokens * 127).astype(np.int8)
    return Candidate(Memory(new_id(), "me", content, created_at=NOW, updated_at=NOW, session="s"), tokens=stored, position=position)


def found(*candidates: Candidate) -> Found:
    return Found(candidates, {"harbour": 2, "closed": 40}, 100)


def test_it_is_the_weighted_sum_of_the_best_cosines() -> None:
    asked = question("harbour", "closed", "unheard")
    texts = [unit(count) for count in (1, 7, 30)]
    where = found(*(candidate(each) for each in texts))
    weights = np.array([rank.word_weight(word, where) for word in asked.words])
    scores = maxsim.late_scores(asked, where)
    for each, text in zip(where.candidates, texts, strict=True):
        wanted = sum(weight * max(float(q @ d) for d in text) for weight, q in zip(weights, asked.tokens, strict=True)) / weights.sum()
        assert scores[each.memory.id] == pytest.approx(wanted, abs=0.02)


def test_a_text_that_holds_the_question_scores_one() -> None:
    asked = question("harbour", "closed")
    where = found(candidate(np.concatenate([unit(5), asked.tokens])), candidate(unit(5)))
    full, other = maxsim.late_scores(asked, where).values()
    assert full == pytest.approx(1, abs=0.01)
    assert other < 0.9


def test_stop_words_and_punctuation_do_not_count() -> None:
    asked = question("the", "", "harbour")
    where = found(candidate(asked.tokens[2:]))
    assert maxsim.late_scores(asked, where)[where.candidates[0].memory.id] == pytest.approx(1, abs=0.01)


def test_rare_words_count_more() -> None:
    asked = question("harbour", "closed")
    where = found(candidate(asked.tokens[:1]), candidate(asked.tokens[1:]))
    rare, common = maxsim.late_scores(asked, where).values()
    assert rare > common


def test_what_has_no_token_vectors_has_no_score() -> None:
    asked = question("harbour")
    where = found(candidate(None), candidate(np.empty((0, 16), np.float32)), candidate(unit(3)))
    assert set(maxsim.late_scores(asked, where)) == {where.candidates[2].memory.id}
    assert maxsim.late_scores(question("the"), where) == {}
    assert maxsim.late_scores(QueryVectors(unit(1)[0], np.empty((0, 16), np.float32), ()), where) == {}
    assert maxsim.late_scores(asked, found()) == {}


def test_a_turn_is_read_with_the_turn_before_it() -> None:
    asked = question("harbour", "closed")
    before = candidate(asked.tokens[:1], "Ann: Which harbour?", 7)
    answer = candidate(asked.tokens[1:], "Ben: The closed one", 8)
    scores = maxsim.late_scores(asked, found(before, answer))
    alone = maxsim.late_scores(asked, found(answer))
    assert scores[answer.memory.id] > alone[answer.memory.id] + 0.2
    assert scores[answer.memory.id] > scores[before.memory.id] or rank.CONTEXT[0] < 0.9


def test_many_long_texts_are_multiplied_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unit(4)
    texts = [np.rint(unit(count) * 127).astype(np.int8) for count in (3, 50, 1, 1, 200, 2)]
    whole = maxsim.best_matches(asked, texts)
    monkeypatch.setattr(maxsim, "_SLAB", 40)
    assert np.allclose(maxsim.best_matches(asked, texts), whole, atol=1e-6)
    assert whole.shape == (4, 6)
