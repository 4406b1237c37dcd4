"""What cannot be stored or joined is answered with why, and stops nothing of what comes with it."""

from __future__ import annotations

import json
import secrets
from typing import Any

from bethink.service.drafts import MAX_NOTE

from .conftest import World


def _line(what: str) -> str:
    return f"{what} {secrets.token_hex(8)}"


def test_an_entry_that_may_not_be_stored_stops_no_other(world: World) -> None:
    mine = {"X-API-Key": world.keys["bob"]}
    file: list[dict[str, Any]] = [
        {"content": _line("before")},
        {"content": _line("not here"), "space": "team"},
        {"content": _line("after")},
    ]
    told = world.client.post("/api/memories/import", json=file, headers=mine)
    assert told.status_code == 200, told.text
    assert [each.get("code") or each["action"] for each in told.json()] == ["added", "Forbidden", "added"]


def _odd(one: str, other: str) -> list[dict[str, Any]]:
    """Edges, of which the first and the last can be made."""
    links = [
        {"target": other, "type": "see_also", "note": "n" * 800},
        {"target": other, "type": "supports", "note": "n" * (MAX_NOTE + 1)},
        {"target": "an\x00id", "type": "refines"},
        {"target": "half \ud83d", "type": "refines"},
        {"target": "i" * 5000, "type": "refines"},
        {"target": other, "type": "no such type"},
        {"target": other, "type": "depends_on", "note": "the last"},
    ]
    return [{"source": one, "note": "", **each} for each in links]


def test_an_odd_edge_of_an_import_stops_no_other(world: World) -> None:
    mine = {"X-API-Key": world.keys["bob"]}
    one, other = world.stored("bob"), world.stored("bob")
    entry = {"id": f"odd-{secrets.token_hex(4)}", "content": _line("with odd edges")}
    links = [{name: value for name, value in each.items() if name != "source"} for each in _odd(one, other)]
    body = json.dumps([{**entry, "links": links}])
    told = world.client.post("/api/memories/import", content=body, headers=mine)
    assert told.status_code == 200, told.text
    assert (told.json()[0]["links"], told.json()[0]["links_without_end"]) == (2, 5)
    made = world.client.get(f"/api/memories/{entry['id']}/links", headers=mine).json()["links"]
    assert sorted((each["type"], len(each["note"])) for each in made) == [("depends_on", 8), ("see_also", 800)]


def test_an_odd_edge_of_many_stops_no_other(world: World) -> None:
    mine = {"X-API-Key": world.keys["bob"], "Content-Type": "application/json"}
    one, other = world.stored("bob"), world.stored("bob")
    links = [
        {"source_id": each["source"], "target_id": each["target"], "link_type": each["type"], "note": each["note"]}
        for each in _odd(one, other)
        if "\ud83d" not in each["target"]
    ]
    told = world.client.post("/api/links", content=json.dumps({"links": links}), headers=mine)
    assert told.status_code == 200, told.text
    assert [each.get("code", "made") for each in told.json()["links"]] == [
        *("made", "InvalidInput", "NotFound", "NotFound", "InvalidInput", "made"),
    ]
    alone = {"target_id": other, "note": "n" * (MAX_NOTE + 1)}
    assert world.client.post(f"/api/memories/{one}/links", json=alone, headers=mine).status_code == 422
