"""Remote embedders against a real server, in order and out of order."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from tests.unit.embed.endpoint import PATHS, Endpoint, serving

from bethink.embed.onnx import OnnxEmbedder
from bethink.embed.remote import BATCH, DIALECTS, RemoteEmbedder
from bethink.errors import ConfigError, EmbedderUnavailable

# Made at run time, so that nothing in this file looks like a key.
KEY = "-".join(("not", "a", "secret"))


@pytest.fixture(scope="module")
def model() -> OnnxEmbedder:
    return OnnxEmbedder(threads=1)


@pytest.fixture
def endpoint(model: OnnxEmbedder) -> Iterator[Endpoint]:
    with serving(model) as server:
        yield server


@pytest.mark.parametrize("dialect", DIALECTS)
def test_speaks_its_dialect(endpoint: Endpoint, model: OnnxEmbedder, dialect: str) -> None:
    embedder = RemoteEmbedder(dialect, endpoint.url, "some-model", KEY)
    assert not embedder.ready
    ((passage,), (other,)) = embedder.passages(["the harbour is closed", "tabs, not spaces"])
    assert embedder.ready
    assert passage.vector @ model.query("the harbour is closed").vector == pytest.approx(1, abs=1e-5)
    assert passage.vector @ other.vector < 0.9
    assert passage.tokens.size == 0
    path, body, authorization = endpoint.seen[-1]
    assert path == PATHS[dialect]
    assert authorization == f"Bearer {KEY}"
    assert body.get("model") == (None if dialect == "tei" else "some-model")


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/embeddings"])
def test_takes_the_address_with_or_without_its_path(endpoint: Endpoint, suffix: str) -> None:
    RemoteEmbedder("openai", endpoint.url + suffix).query("hello")
    assert {path for path, _, _ in endpoint.seen} == {"/v1/embeddings"}


def test_sends_many_texts_in_batches(endpoint: Endpoint) -> None:
    answer = RemoteEmbedder("tei", endpoint.url).passages([f"note {number}" for number in range(BATCH * 2 + 1)])
    assert len(answer) == BATCH * 2 + 1
    assert [len(body["inputs"]) for _, body, _ in endpoint.seen[1:]] == [BATCH, BATCH, 1]


@pytest.mark.parametrize("fault", ["500", "401", "redirect", "garbage", "html", "short", "nan", "zero", "cut"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_broken_endpoint_is_named(endpoint: Endpoint, dialect: str, fault: str) -> None:
    embedder = RemoteEmbedder(dialect, endpoint.url, key=KEY)
    endpoint.fault = fault
    with pytest.raises(EmbedderUnavailable) as caught:
        embedder.passages(["one", "two"])
    assert "127.0.0.1" in caught.value.message
    assert KEY not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint
    assert all(path != "/elsewhere" for path, _, _ in endpoint.seen)
    endpoint.fault = ""
    assert len(embedder.passages(["one", "two"])) == 2


def test_a_refused_key_says_so(endpoint: Endpoint) -> None:
    endpoint.fault = "401"
    with pytest.raises(EmbedderUnavailable) as caught:
        RemoteEmbedder("openai", endpoint.url).query("hello")
    assert "401" in caught.value.message
    assert "MEMORY_EMBEDDER_KEY" in caught.value.hint


def test_other_dimensions_than_before_are_refused(endpoint: Endpoint) -> None:
    embedder = RemoteEmbedder("ollama", endpoint.url)
    assert embedder.identity.dims == 384
    endpoint.fault = "narrow"
    with pytest.raises(EmbedderUnavailable, match="100 dimensions, earlier 384"):
        embedder.query("hello")


def test_a_hanging_endpoint_is_given_up(endpoint: Endpoint) -> None:
    endpoint.fault = "hang"
    with pytest.raises(EmbedderUnavailable, match="did not answer within"):
        RemoteEmbedder("tei", endpoint.url, timeout=0.2).query("hello")


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EmbedderUnavailable, match="cannot be reached"):
        RemoteEmbedder("ollama", f"http://127.0.0.1:{port}", timeout=1).query("hello")


def test_a_proxy_is_not_asked_for_this_machine(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert RemoteEmbedder("tei", endpoint.url).query("hello").vector.shape == (384,)


@pytest.mark.parametrize("url", ["127.0.0.1:80", "file:///etc/passwd", "ftp://somewhere", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="MEMORY_EMBEDDER_URL"):
        RemoteEmbedder("openai", url)


def test_an_unknown_dialect_is_refused_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        RemoteEmbedder("cohere")
    assert "openai, ollama, tei" in caught.value.hint


def test_identities_differ_by_address_and_model(endpoint: Endpoint) -> None:
    one, other = RemoteEmbedder("openai", endpoint.url, "a"), RemoteEmbedder("openai", endpoint.url, "b")
    assert one.identity != other.identity
    assert one.identity.token_dims == 0
    assert np.isfinite(one.query("").vector).all()
