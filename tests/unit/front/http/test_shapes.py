"""Routes that other memory servers had first answer in their shapes; ours may say more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bethink.front.http.app import create_app

from .conftest import settings

SHAPES = json.loads((Path(__file__).parents[3] / "golden" / "http" / "seeds.json").read_text("utf-8"))
KINDS: dict[str, tuple[type, ...]] = {"text": (str,), "number": (int, float), "flag": (bool,)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    application = create_app(settings(tmp_path_factory.mktemp("home")))
    with TestClient(application, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        contents = {
            "id": {"content": "The ferry leaves at nine in the morning.", "category": "facts", "tags": ["ferry"]},
            "other": {"content": "Herons stand on one leg.", "tags": ["birds"]},
            "sealed": {"content": "the deploy token is ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"},
            "liked": {"content": "We like tabs.", "category": "preferences"},
        }
        ids = {name: client.post("/api/memories", json=body).json()["id"] for name, body in contents.items()}
        assert client.post(f"/api/memories/{ids['id']}/links", json={"target_id": ids["liked"]}).status_code == 201
        yield client, ids


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape['method']} {shape['path'].partition('?')[0]} of {shape['of']}")
def test_a_client_of_another_server_finds_what_it_looks_for(served: tuple[TestClient, dict[str, str]], shape: dict[str, Any]) -> None:
    client, ids = served
    told = client.request(shape["method"], shape["path"].format(**ids), json=shape.get("body"))
    assert told.status_code in (200, 201), told.text
    assert lacking(told.json(), shape["answer"]) == []


def lacking(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Where an answer does not have what it should; the first entry of a list stands for all."""
    match wanted:
        case dict():
            if not isinstance(found, dict):
                return [f"{where} is no object"]
            return [each for name, kind in wanted.items() for each in lacking(found.get(name, lacking), kind, f"{where}.{name}")]
        case [kind]:
            if not isinstance(found, list) or not found:
                return [f"{where} is no list, or empty"]
            return [each for one in found for each in lacking(one, kind, f"{where}[]")]
        case []:
            return [] if isinstance(found, list) else [f"{where} is no list"]
    if wanted.endswith("?") and found is None:
        return []
    return [] if isinstance(found, KINDS[wanted.rstrip("?")]) else [f"{where} is not {wanted}"]


def test_what_a_recall_lacks_is_said_in_either_shape(served: tuple[TestClient, dict[str, str]]) -> None:
    client, _ = served
    array = client.post("/api/recall", json={"query": "ferry"})
    whole = client.post("/api/memories/recall", json={"query": "ferry"})
    assert array.json() == whole.json()["memories"] != []
    assert array.headers["bethink-notes"] == " ".join(whole.json()["notes"]) != ""
    assert client.post("/api/recall", json={"query": "quantum chromodynamics"}).json() == []
