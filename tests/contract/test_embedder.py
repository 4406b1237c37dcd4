"""What every embedder promises, asked of each of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from tests.unit.embed.endpoint import serving

from bethink.embed.base import MAX_WINDOWS, Embedder, ManyQuestions
from bethink.embed.lazy import LazyEmbedder
from bethink.embed.onnx import OnnxEmbedder
from bethink.embed.remote import RemoteEmbedder

REAL = OnnxEmbedder(threads=1)


@pytest.fixture(params=["onnx", "lazy", "without-tokens", "openai", "ollama", "tei"])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    if request.param == "onnx":
        yield REAL
    elif request.param in ("lazy", "without-tokens"):
        yield LazyEmbedder(request.param == "lazy")
    else:
        with serving(REAL) as endpoint:
            yield RemoteEmbedder(request.param, endpoint.url)


def test_vectors_are_unit_and_as_wide_as_the_identity_says(embedder: Embedder) -> None:
    identity = embedder.identity
    question = embedder.query("where is the harbour?")
    assert question.vector.shape == (identity.dims,)
    assert question.vector.dtype == np.float32
    assert np.linalg.norm(question.vector) == pytest.approx(1, abs=1e-4)
    for (passage,) in embedder.passages(["the harbour is in the north", "Anna prefers tabs"]):
        assert passage.vector.shape == (identity.dims,)
        assert passage.vector.dtype == np.float32
        assert np.linalg.norm(passage.vector) == pytest.approx(1, abs=1e-4)


def test_token_vectors_are_there_exactly_when_the_identity_says(embedder: Embedder) -> None:
    identity = embedder.identity
    question = embedder.query("where is the harbour?")
    ((passage,),) = embedder.passages(["the harbour is in the north"])
    assert passage.tokens.dtype == np.int8
    if not identity.token_dims:
        assert not passage.tokens.size
        return
    assert question.tokens.shape == (len(question.words), identity.token_dims)
    assert passage.tokens.shape[1] == identity.token_dims
    assert np.linalg.norm(passage.tokens.astype(np.float32), axis=1) == pytest.approx(127, abs=3)


def test_meaning_is_found(embedder: Embedder) -> None:
    question = embedder.query("which way of indenting code does she like?").vector
    (near,), (far,) = embedder.passages(["Anna prefers tabs to spaces in source files", "the ferry leaves at noon"])
    assert question @ near.vector > question @ far.vector + 0.1


def test_answers_are_in_order_and_repeatable(embedder: Embedder) -> None:
    texts = [f"note number {number} " * (1 + number % 7) for number in range(40)]
    first, second = embedder.passages(texts), embedder.passages(list(reversed(texts)))
    for (one, *_), (other, *_) in zip(first, reversed(second), strict=True):
        assert one.vector @ other.vector == pytest.approx(1, abs=1e-4)


def test_nothing_in_nothing_out(embedder: Embedder) -> None:
    assert embedder.passages([]) == []


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud83d", "😀", "日本語", "a" * 3000, "'; DROP TABLE memories; --"])
def test_any_text_is_embedded(embedder: Embedder, text: str) -> None:
    assert np.isfinite(embedder.query(text).vector).all()
    (windows,) = embedder.passages([text])
    assert windows
    assert all(np.isfinite(window.vector).all() for window in windows)


def test_a_long_text_has_windows_up_to_the_bound(embedder: Embedder) -> None:
    (windows,) = embedder.passages(["The ledger service writes JSON lines to standard output. " * 60])
    assert 1 < len(windows) <= MAX_WINDOWS


def test_the_identity_stays_and_tells_embedders_apart(embedder: Embedder) -> None:
    before = embedder.identity
    embedder.query("hello")
    assert embedder.identity == before
    assert before.name
    assert before.revision


def test_several_threads_may_ask_at_once(embedder: Embedder) -> None:
    wanted = embedder.query("hello there").vector
    answers: list[float] = []

    def ask() -> None:
        answers.extend(float(embedder.query("hello there").vector @ wanted) for _ in range(3))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == pytest.approx([1.0] * 12, abs=1e-4)


def test_many_questions_at_once_are_answered_as_each_alone(embedder: Embedder) -> None:
    assert isinstance(embedder, ManyQuestions)
    asked = ["which port?", "where do the backups of the billing database go when the bucket is full", "\ud800 日本語"]
    together = embedder.queries(asked)
    for question, answer in zip(asked, together, strict=True):
        alone = embedder.query(question)
        assert float(alone.vector @ answer.vector) > 0.9999
        assert alone.words == answer.words and alone.tokens.shape == answer.tokens.shape
    assert embedder.queries([]) == []
