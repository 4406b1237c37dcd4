"""Every message as it was first spoken: what an old client sends is understood, and what it reads is still there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bethink import exchange
from bethink.model import Draft
from kit.replicas import Machine, Server

GOLDEN = Path(__file__).parents[2] / "golden" / "sync"


def calls(name: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / f"{name}.json").read_text("utf-8")))


def shape_of(value: Any) -> Any:
    """The names in a message, whatever their values."""
    if isinstance(value, dict):
        return {name: shape_of(each) for name, each in value.items()}
    return None


def test_the_changes_of_an_old_client_are_made(tmp_path: Path) -> None:
    serving = Server(tmp_path).serving()()
    for call in calls("push"):
        (changes,) = call["asked"]
        answers = serving.push({"protocol": 1, "changes": changes})["answers"]
        for answer, golden in zip(answers, call["answered"]["answers"], strict=True):
            assert answer["result"] == golden["result"]
            assert golden.keys() <= answer.keys()


@pytest.mark.parametrize("name", ["hello", "changes", "fetch", "digest"])
def test_what_an_old_client_reads_is_still_told(tmp_path: Path, name: str) -> None:
    server = Server(tmp_path)
    memory = server.memories().remember(Draft("x", verbatim=True)).memory
    serving = server.serving()()
    told: Any = {
        "hello": serving.hello, "changes": lambda: serving.changes(None), "fetch": lambda: serving.fetch([memory.id]),
        "digest": lambda: serving.digest("ann"),
    }[name]()  # fmt: skip
    for call in calls(name):
        assert shape_of(call["answered"]).keys() <= told.keys()


def test_the_memories_of_an_old_server_are_understood(tmp_path: Path) -> None:
    one = Machine(tmp_path, "one", Server(tmp_path))
    one.sync()
    for call in calls("changes"):
        one.replica.absorb({**call["answered"], "owners": one.peer.hello()["owners"]})
        for item in call["answered"]["items"]:
            wanted = exchange.unpacked(item["memory"]).with_(owner="local")
            assert one.memories.get(wanted.id) == wanted
