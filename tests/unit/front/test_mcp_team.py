"""The tools about other people, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp_types import CallToolResult

from bethink.front.mcp import server, toolsets
from bethink.front.mcp.desk import Desk
from bethink.model import Draft
from bethink.service.lending import Fate
from bethink.service.people import People, Principal


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    made = Desk({"MEMORY_EMBEDDER": "none"})
    People(made.memories().store).add_user("bob")
    yield made
    made.close()


def ask(desk: Desk, name: str, /, **arguments: Any) -> CallToolResult:
    tool = next(tool for tool in toolsets.named("team") if tool.name == name)
    result = server.call(tool, desk, arguments)
    if tool.output is not None and not result.is_error:
        jsonschema.validate(result.structured_content, tool.output)
    return result


def said(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content)


def data(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, said(result)
    assert result.structured_content is not None
    return result.structured_content


def test_the_default_tools_know_of_no_space_and_this_set_does() -> None:
    default, team = ({tool.name: tool for tool in toolsets.named(name)} for name in ("default", "team"))
    assert set(default) < set(team)
    for name in ("memory_store", "memory_recall"):
        assert "space" not in default[name].schema()["properties"]
        assert "space" in team[name].schema()["properties"]
    asking = {name for name, tool in team.items() if (tool.meta or {}).get("anthropic/requiresUserInteraction")}
    assert {"memory_share", "memory_space_invite", "memory_space_create", "memory_space_join"} <= asking


def test_what_is_shared_is_said(desk: Desk) -> None:
    stored = data(ask(desk, "memory_store", content="The port is 5433", scope="global"))
    assert data(ask(desk, "memory_share", to="bob", id=stored["id"]))["permission"] == "read"
    assert data(ask(desk, "memory_shared"))["given"][0]["value"] == stored["id"]
    assert "with bob" in said(ask(desk, "memory_shared"))
    assert ask(desk, "memory_share", to="nobody", id=stored["id"]).is_error
    assert ask(desk, "memory_share", to="bob").is_error
    assert data(ask(desk, "memory_unshare", id=stored["id"]))["taken"][0]["to"] == "bob"
    assert ask(desk, "memory_unshare", id=stored["id"]).is_error


def test_a_space_and_whose_its_memories_are(desk: Desk) -> None:
    assert data(ask(desk, "memory_space_create", space="team"))["role"] == "admin"
    assert data(ask(desk, "memory_space_invite", space="team", user="bob", role="writer"))["accepted"] is False
    people = People(desk.memories().store)
    people.accept("team", "bob")
    assert {one["user"] for one in data(ask(desk, "memory_spaces", space="team"))["members"]} == {"local", "bob"}
    # Whoever may write the space may see it at the next opening: the rights of a session are looked up once.
    desk.memories().access = people.access(Principal("local"))
    data(ask(desk, "memory_store", content="The port of staging is 5433", scope="global", space="team"))
    data(ask(desk, "memory_store", content="The port at home is 5555", scope="global"))
    recalled = ask(desk, "memory_recall", context="which port?")
    assert {hit["owner"] for hit in data(recalled)["hits"]} == {"space:team", "local"}
    assert said(recalled).count("of space:team") == 1 and "of local" not in said(recalled)
    only = data(ask(desk, "memory_recall", context="which port?", space="team"))["hits"]
    assert [hit["owner"] for hit in only] == ["space:team"]
    assert ask(desk, "memory_store", content="Something else", space="other").is_error
    assert ask(desk, "memory_space_leave", space="team").is_error
    assert data(ask(desk, "memory_space_leave", space="team", user="bob"))["user"] == "bob"
    assert ask(desk, "memory_space_join", space="team").is_error is False


def test_a_replica_leaves_that_to_its_server(desk: Desk) -> None:
    memories = desk.memories()
    stored = memories.remember(Draft("The port is 5433")).memory
    memories.elsewhere = lambda id: {"secrets": {}}
    refused = ask(desk, "memory_share", to="bob", tag="net")
    assert refused.is_error and "server" in said(refused)
    # A single memory of its own is lent through the log; what became of that is said.
    fates = [Fate({}, "The server is away."), Fate({"result": "applied"}), Fate({}, "", {"code": "NotFound", "message": "No user 'bob'."})]
    memories.carry = lambda operation: fates.pop(0)
    waits = ask(desk, "memory_share", to="bob", id=stored.id)
    assert data(waits)["waits"] and "Will be shared" in said(waits)
    assert data(ask(desk, "memory_share", to="bob", id=stored.id))["action"] == "shared"
    refused = ask(desk, "memory_share", to="bob", id=stored.id)
    assert refused.is_error and "No user" in said(refused)
