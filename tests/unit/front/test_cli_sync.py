"""`bethink sync` and what a replica shows, with a server's people and spaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.cli import Add, Run, answered
from kit.serve import Serving


def key_of(name: str) -> str:
    return f"{name}-" + "k" * 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    keys = {name: {"key": key_of(name), "scopes": ["memory:read", "memory:write"]} for name in ("ann", "bob")}
    with Serving(tmp_path / "server", API_KEYS=json.dumps(keys)) as made:
        for path, body in (("/api/spaces", {"name": "team"}), ("/api/spaces/team/members", {"user": "bob", "role": "writer"})):
            assert made.ask("POST", path, body, key=key_of("ann"))[0] in (200, 201)
        yield made


@pytest.fixture
def bob(server: Serving, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Bob's machine, as the settings name it."""
    monkeypatch.setenv("MEMORY_API_URL", server.url)
    monkeypatch.setenv("MEMORY_API_KEY", key_of("bob"))
    return monkeypatch


def test_a_space_is_there_at_once_when_it_was_accepted(run: Run, add: Add, server: Serving, bob: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert run("sync").exit_code == 0
        assert run("spaces", "accept", "team").exit_code == 0
        assert answered(run("sync", "--json"))["owners"] == ["local", "space:team"]
        add("the port is 5433", "--space", "team")
        assert run("sync").exit_code == 0
        assert run("spaces", "leave", "team").exit_code == 0
        assert answered(run("sync", "--json"))["owners"] == ["local"]
        server.ask("POST", "/api/spaces/team/members", {"user": "bob", "role": "writer"}, key=key_of("ann"))


def test_without_the_key_what_is_in_spaces_stays(run: Run, add: Add, server: Serving, bob: pytest.MonkeyPatch) -> None:
    run("spaces", "accept", "team")
    run("sync")
    id = add("the port is 5433", "--space", "team")
    assert run("sync").exit_code == 0
    bob.delenv("MEMORY_API_KEY")
    assert [one["id"] for one in answered(run("list", "--json"))["memories"]] == [id]
    assert [one["owner"] for one in answered(run("recall", "port", "--json"))["hits"]] == ["space:team"]
    later = add("the host is db1", "--space", "team")
    server.ask("POST", "/api/spaces/team/members", {"user": "bob", "role": "reader"}, key=key_of("ann"))
    bob.setenv("MEMORY_API_KEY", key_of("bob"))
    assert json.loads(run("sync", "--json").stdout)["pending"] == 1
    bob.delenv("MEMORY_API_KEY")
    assert run("add", "the user is app", "--space", "team").exit_code == 2
    assert run("delete", later).exit_code == 2
    assert len(answered(run("list", "--json"))["memories"]) == 2


def test_what_waits_of_a_space_that_was_left_is_given_up(run: Run, add: Add, server: Serving, bob: pytest.MonkeyPatch) -> None:
    run("spaces", "accept", "team")
    run("sync")
    id = add("the port is 5433", "--space", "team")
    assert run("spaces", "leave", "team").exit_code == 0
    refused = json.loads(run("sync", "--json").stdout)["refusals"]
    assert f"bethink sync --give-up {id}" in refused[0]["hint"] and "--give-up" in run("sync", "--status").stdout
    assert "--give-up" in run("doctor", "--json").stdout
    bob.delenv("MEMORY_API_KEY")
    asked = run("sync", "--give-up", id[:18])
    assert asked.exit_code == 2 and "the port is 5433" in asked.stdout and "--yes" in asked.stderr
    told = answered(run("sync", "--give-up", id[:18], "--yes", "--json"))
    assert (told["id"], told["then"], told["memory"]["content"]) == (id, "erased", "the port is 5433")
    assert [one["op"] for one in told["changes"]] == ["store"]
    bob.setenv("MEMORY_API_KEY", key_of("bob"))
    assert run("sync").exit_code == 0 and run("sync", "--give-up", id, "--yes").exit_code == 1


def test_an_edit_is_given_up_for_what_the_server_says(run: Run, add: Add, bob: pytest.MonkeyPatch) -> None:
    id = add("the port is 5433")
    assert run("sync").exit_code == 0
    assert run("edit", id, "--content", "the port is 5434").exit_code == 0
    told = run("sync", "--give-up", id, "--yes")
    assert told.exit_code == 0 and "the port is 5434" in told.stdout and "what the server says" in told.stdout
    assert answered(run("show", id, "--json"))["content"] == "the port is 5433"
    unsent = add("mine alone")
    never = run("sync", "--give-up", unsent, "--yes")
    assert never.exit_code == 2 and f"bethink edit {unsent}" in never.stderr


def test_memories_go_to_another_user_of_the_same_server(run: Run, add: Add, bob: pytest.MonkeyPatch, tmp_path: Path) -> None:
    id = add("the port is 5433")
    assert run("sync").exit_code == 0
    exported = tmp_path / "exported.json"
    exported.write_text(run("export").stdout, "utf-8")
    bob.setenv("MEMORY_API_KEY", key_of("ann"))
    refused = run("sync", "--rebind", "--yes")
    assert refused.exit_code == 3 and "'bob'" in refused.stderr and "bethink import --new-ids" in refused.stderr
    bob.setenv("MEMORY_DB", str(tmp_path / "ann.db"))
    assert run("import", "--new-ids", str(exported)).exit_code == 0
    assert run("sync").exit_code == 0
    (mine,) = answered(run("list", "--json"))["memories"]
    assert mine["content"] == "the port is 5433" and mine["id"] != id
    # Without a store here, straight into the server.
    bob.setenv("MEMORY_SYNC_DISABLE", "1")
    assert answered(run("import", "--new-ids", str(exported), "--json"))["refused"] == 0
