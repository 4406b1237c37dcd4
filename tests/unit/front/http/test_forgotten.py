"""What is forgotten is shown by no door, each says why and what to do, and the ways back stay open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from bethink.front.cli import app as commands
from bethink.front.cli.shown import short
from bethink.front.http.app import create_app

from .conftest import settings

_PATCH: dict[str, Any] = {"importance": 0.7}
#: (what is asked of REST, of the command line, of MCP); None where a door does not have it.
Doors = tuple[tuple[str, str, Any] | None, tuple[str, ...] | None, tuple[str, dict[str, Any]] | None]
REFUSED: dict[str, Doors] = {
    "read": (("GET", "", None), ("show", "{id}"), ("memory_get", {"id": "{id}"})),
    "fetch": (None, None, ("fetch", {"id": "{id}"})),
    "edit": (("PATCH", "", _PATCH), ("edit", "{id}", "-i", "0.7"), ("memory_update", {"id": "{id}", **_PATCH})),
    "replace": (("PUT", "", _PATCH), None, None),
    "related": (("GET", "/related", None), None, None),
    "links": (("GET", "/links", None), ("links", "{id}"), None),
    "link": (
        ("POST", "/links", {"target_id": "{other}"}),
        ("link", "{id}", "{other}"),
        ("memory_link", {"source": "{id}", "target": "{other}", "type": "see_also"}),
    ),
    "secret": (("POST", "/secret", None), ("secrets", "show", "{id}"), ("secret_get", {"id": "{id}"})),
    "share": (("POST", "/share", {"shared_with": "ben"}), ("share", "{id}", "--with", "ben"), None),
}
OPEN: dict[str, Doors] = {
    "history": (("GET", "/history", None), ("history", "{id}"), ("memory_history", {"id": "{id}"})),
    "why": (("GET", "/why", None), ("why", "{id}"), ("memory_why", {"id": "{id}"})),
    "forget again": (("DELETE", "", None), ("delete", "{id}"), ("memory_delete", {"id": "{id}"})),
    "restore": (("POST", "/restore", None), ("restore", "{id}"), ("memory_restore", {"id": "{id}"})),
    "purge": (("POST", "/purge", None), ("purge", "{id}", "--yes"), ("memory_purge", {"id": "{id}"})),
}


class House:
    """One store with three doors."""

    def __init__(self, folder: Path, client: TestClient) -> None:
        self.client = client
        self.env = {"MEMORY_HOME": str(folder), "MEMORY_EMBEDDER": "none"}

    def forgotten(self, mark: str) -> dict[str, str]:
        secret = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
        ids = {}
        for name, content in (("id", f"the {mark} token is {secret}"), ("other", f"a heron stands beside {mark}")):
            ids[name] = self.client.post("/api/memories", json={"content": content}).json()["id"]
        assert self.client.delete(f"/api/memories/{ids['id']}").status_code == 200
        return ids

    def rest(self, ids: dict[str, str], method: str, part: str, body: Any) -> tuple[int, Any]:
        raw = None if body is None else filled(json.dumps(body), ids)
        told = self.client.request(method, f"/api/memories/{ids['id']}{part}", content=raw, headers={"Content-Type": "application/json"})
        return told.status_code, told.json()

    def command(self, ids: dict[str, str], *words: str) -> tuple[int, Any]:
        done = CliRunner().invoke(commands, [*(filled(word, ids) for word in words), "--json"], env=self.env)
        return done.exit_code, json.loads(done.stdout)

    def tool(self, ids: dict[str, str], name: str, arguments: dict[str, Any]) -> Any:
        params = {"name": name, "arguments": json.loads(filled(json.dumps(arguments), ids))}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return self.client.post("/mcp?tools=all", json=call, headers=headers).json()["result"]


def filled(words: str, ids: dict[str, str]) -> str:
    return words.replace("{id}", ids["id"]).replace("{other}", ids["other"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("home")
    application = create_app(settings(folder))
    with TestClient(application, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield House(folder, client)


@pytest.mark.parametrize("what", REFUSED)
def test_every_door_says_that_it_is_forgotten(house: House, what: str) -> None:
    ids = house.forgotten(what)
    rest, command, tool = REFUSED[what]
    if rest:
        status, told = house.rest(ids, *rest)
        assert (status, told["code"]) == (404, "Forgotten") and f"restore {ids['id']}" in told["hint"]
    if command:
        code, told = house.command(ids, *command)
        assert (code, told["code"]) == (1, "Forgotten") and f"restore {ids['id']}" in told["hint"]
    if tool:
        told = house.tool(ids, *tool)
        assert told["isError"] and "is forgotten" in json.dumps(told) and f"restore {ids['id']}" in json.dumps(told)
        assert f"the {what} token" not in json.dumps(told)


@pytest.mark.parametrize("what", OPEN)
def test_the_ways_back_are_open(house: House, what: str) -> None:
    rest, command, tool = OPEN[what]
    assert rest and command and tool
    assert house.rest(house.forgotten(f"{what} by rest"), *rest)[0] == 200
    assert house.command(house.forgotten(f"{what} by command"), *command)[0] == 0
    assert not house.tool(house.forgotten(f"{what} by tool"), *tool)["isError"]


@pytest.mark.parametrize("what", ["links", "why"])
def test_an_edge_shows_nothing_of_a_forgotten_end(house: House, what: str) -> None:
    mark = f"the kingfisher of {what}"
    body = {"content": f"{mark} is seen {'again and ' * 12}again, and dives at dawn", "trust": "external", "status": "active"}
    gone = house.client.post("/api/memories", json=body).json()["id"]
    stays = house.client.post("/api/memories", json={"content": f"a stork of {what}", "derived_from": [gone]}).json()["id"]
    before = house.client.get(f"/api/memories/{stays}/why").json()
    assert [one["id"] for one in before["lineage"]] == [gone] and before["forgotten"] == []
    house.client.delete(f"/api/memories/{gone}")
    ids = {"id": stays, "other": gone}
    told: list[Any] = [house.rest(ids, "GET", f"/{what}", None)[1], house.command(ids, what, "{id}")[1]]
    told.append(CliRunner().invoke(commands, [what, stays], env=house.env).stdout)
    told.append(house.tool(ids, "memory_why" if what == "why" else "memory_get", {"id": "{id}"}))
    for each in told:
        assert short(gone) in json.dumps(each) and "dives at dawn" not in json.dumps(each)
    if what == "why":
        assert told[0]["forgotten"] == [gone] and told[0]["lineage"] == [] and told[0]["trust"] == before["trust"] == "external"
    else:
        assert [one["id"] for one in told[0]["memories"]] == [stays]


def test_as_it_was_before(house: House) -> None:
    id = house.client.post("/api/memories", json={"content": "the ferry leaves at nine", "created_at": "2020-01-01"}).json()["id"]
    house.client.delete(f"/api/memories/{id}")
    then = house.client.get(f"/api/memories/{id}?as_of=2021-01-01")
    assert then.status_code == 200 and then.json()["content"] == "the ferry leaves at nine"
    assert house.client.get(f"/api/memories/{id}?as_of=2019-01-01").json()["code"] == "NotFound"
    assert house.client.get(f"/api/memories/{id}?as_of=0s").json()["code"] == "Forgotten"
    assert house.client.get(f"/api/memories/{id}/history").json()["memory"]["deleted_at"]
