"""People over REST: who is let in, and what each sees then."""

from __future__ import annotations

import time
from typing import Any

import pytest
from httpx2 import Response

from bethink.front.http import auth

from .conftest import World


def ask(world: World, key: str, method: str, path: str, body: Any = None, **headers: str) -> Response:
    return world.client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}", **headers})


@pytest.fixture
def boss(world: World) -> str:
    return world.keys["admin"]


def added(world: World, boss: str, **asked: Any) -> tuple[str, str]:
    """(name, key) of a new user."""
    name = f"u{time.time_ns()}"
    response = ask(world, boss, "POST", "/api/users", {"name": name, **asked})
    assert response.status_code == 201, response.text
    return name, response.json()["key"]


def test_a_key_from_its_making_to_its_end(world: World, boss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_KEPT_SECONDS", 0)
    name, key = added(world, boss, scopes=["memory:read"], label="laptop", expires_at="90d")
    told = ask(world, key, "GET", "/api/auth-check").json()
    assert (told["user_id"], told["scopes"], bool(told["expires_at"])) == (name, ["memory:read"], True)
    listed = next(user for user in ask(world, boss, "GET", "/api/users").json()["users"] if user["name"] == name)
    assert listed["keys"][0]["label"] == "laptop" and listed["keys"][0]["last_used_at"] and key not in str(listed)
    second = ask(world, boss, "POST", f"/api/users/{name}/rotate").json()["key"]
    assert [ask(world, each, "GET", "/api/auth-check").status_code for each in (key, second)] == [401, 200]
    assert ask(world, boss, "DELETE", f"/api/keys/{second.split('_')[1]}").status_code == 200
    assert ask(world, second, "GET", "/api/auth-check").status_code == 401
    third = ask(world, boss, "POST", f"/api/users/{name}/rotate", {"expires_at": "2999-01-01"}).json()["key"]
    assert ask(world, third, "GET", "/api/auth-check").status_code == 200
    assert ask(world, boss, "DELETE", f"/api/users/{name}").json() == {"name": name, "action": "revoked"}
    assert ask(world, third, "GET", "/api/auth-check").status_code == 401
    assert ask(world, boss, "POST", "/api/users", {"name": name}).status_code == 409
    assert ask(world, boss, "POST", "/api/users", {"name": name, "again": True}).status_code == 201


def test_no_key_is_kept_for_a_request_that_is_sent_again(world: World, boss: str) -> None:
    name = f"u{time.time_ns()}"
    first = ask(world, boss, "POST", "/api/users", {"name": name}, **{"Idempotency-Key": name})
    again = ask(world, boss, "POST", "/api/users", {"name": name}, **{"Idempotency-Key": name})
    assert (first.status_code, again.status_code) == (201, 409)
    key = first.json()["key"]
    from bethink.model import Access

    for owner in ("local", "@people"):
        for namespace in ("idempotency", "key", "user"):
            assert key not in str(world.server.store.state(Access.local(owner), namespace))


def test_a_space_and_whose_each_memory_is(world: World, boss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_KEPT_SECONDS", 0)
    (ann, ann_key), (ben, ben_key), (_, stranger) = (added(world, boss) for _ in range(3))
    space = f"s{time.time_ns()}"
    assert ask(world, ann_key, "POST", "/api/spaces", {"name": space}).json()["role"] == "admin"
    assert ask(world, ann_key, "POST", f"/api/spaces/{space}/members", {"user": ben, "role": "reader"}).json()["accepted"] is False
    ours = ask(world, ann_key, "POST", "/api/memories", {"content": f"the walrus of {space} sleeps", "space": space})
    assert ours.status_code == 201
    assert ask(world, ben_key, "GET", f"/api/memories/{ours.json()['id']}").status_code == 404
    assert ask(world, ben_key, "POST", f"/api/spaces/{space}/accept").status_code == 200
    ask(world, ben_key, "POST", "/api/memories", {"content": "the walrus at home eats clams"})
    hits = ask(world, ben_key, "POST", "/api/memories/recall", {"query": "walrus"}).json()["memories"]
    assert {hit["owner"] for hit in hits} == {f"space:{space}", ben}
    only = ask(world, ben_key, "POST", "/api/memories/recall", {"query": "walrus", "space": space}).json()["memories"]
    assert [hit["owner"] for hit in only] == [f"space:{space}"]
    listed = ask(world, ben_key, "GET", f"/api/memories?space={space}").json()
    assert (listed["total"], listed["memories"][0]["owner"]) == (1, f"space:{space}")
    brief = ask(world, ben_key, "GET", "/api/context").json()["text"]
    assert f"of space:{space}" in brief and f"of {ben}" not in brief
    # A reader stores nothing there, and a stranger does not learn that it exists.
    assert ask(world, ben_key, "POST", "/api/memories", {"content": "not mine to say", "space": space}).status_code == 403
    assert ask(world, stranger, "POST", "/api/memories", {"content": "not mine to say", "space": space}).status_code == 403
    assert ask(world, stranger, "GET", f"/api/spaces/{space}/members").status_code == 404
    assert ask(world, ann_key, "DELETE", f"/api/spaces/{space}/members/{ann}").status_code == 409
    assert ask(world, ann_key, "DELETE", f"/api/spaces/{space}/members/{ben}").status_code == 200
    assert ask(world, ben_key, "GET", f"/api/memories/{ours.json()['id']}").status_code == 404


def test_a_loan_and_its_end(world: World, boss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_KEPT_SECONDS", 0)
    (ann, ann_key), (ben, ben_key) = (added(world, boss) for _ in range(2))
    one = ask(world, ann_key, "POST", "/api/memories", {"content": "the heron stands still", "tags": ["birds"]}).json()["id"]
    read = lambda: ask(world, ben_key, "GET", f"/api/memories/{one}")  # noqa: E731  # asked again and again
    assert read().status_code == 404
    for what in ({"id": one}, {"tag": "birds"}):
        assert ask(world, ann_key, "POST", "/api/share", {"to": ben, **what}).json()["to"] == ben
        assert read().json()["owner"] == ann
        assert ask(world, ben_key, "PATCH", f"/api/memories/{one}", {"importance": 1}).status_code == 403
        assert ask(world, ben_key, "GET", "/api/shares").json()["received"][0]["owner"] == ann
        assert len(ask(world, ann_key, "POST", "/api/unshare", what).json()["taken"]) == 1
        assert read().status_code == 404
    # The same by the routes of claude-memory-mcp.
    for path, query, body in (
        (f"/api/memories/{one}/share", f"/{ben}", {}),
        ("/api/memories/share-tag", f"?tag=birds&shared_with={ben}", {"tag": "birds"}),
    ):
        assert ask(world, ann_key, "POST", path, {"shared_with": ben, **body}).json()["shared_with"] == ben
        assert [memory["shared_by"] for memory in ask(world, ben_key, "GET", "/api/memories/shared-with-me").json()["memories"]] == [ann]
        assert ask(world, ben_key, "POST", "/api/memories/recall", {"context": "heron"}).json()["memories"][0]["shared_by"] == ann
        assert len(ask(world, ann_key, "GET", "/api/memories/my-shares").json()["shares"]) == 1
        assert ask(world, ann_key, "DELETE", path + query).status_code == 200
        assert ask(world, ben_key, "GET", "/api/memories/shared-with-me").json() == {"memories": []}
    # Whom the environment names is a user, too.
    assert ask(world, ann_key, "POST", "/api/share", {"to": "alice", "id": one}).status_code == 200
    assert ask(world, world.keys["alice"], "GET", f"/api/memories/{one}").status_code == 200
    assert ask(world, ann_key, "POST", "/api/share", {"to": "nobody-here", "id": one}).status_code == 404


def test_the_sharing_tools_of_claude_memory_mcp(world: World, boss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_KEPT_SECONDS", 0)
    (ann, ann_key), (ben, ben_key) = (added(world, boss) for _ in range(2))
    one = ask(world, ann_key, "POST", "/api/memories", {"content": "the heron stands still", "tags": ["birds"]}).json()["id"]

    def call(key: str, tool: str, **arguments: Any) -> str:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        answer = ask(world, key, "POST", "/mcp?tools=claude-memory-mcp", message, **headers).json()["result"]
        return str(answer["content"][0]["text"])

    for share, unshare, what in (
        ("memory_share", "memory_unshare", {"id": f"#{one}"}),
        ("memory_share_tag", "memory_unshare_tag", {"tag": "birds"}),
    ):
        assert ben in call(ann_key, share, shared_with=ben, **what)
        assert f"(from {ann}) the heron" in call(ben_key, "memory_shared_with_me")
        assert ben in call(ann_key, "memory_my_shares")
        assert call(ann_key, share, shared_with="nobody-here", **what).startswith("Error: ")
        assert ben in call(ann_key, unshare, shared_with=ben, **what)
        assert call(ben_key, "memory_shared_with_me") == "No memories shared with you"
    assert call(ann_key, "memory_my_shares") == "You have not shared any memories"


def test_a_secret_says_where_it_was_kept_and_is_not_lent(world: World, boss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_KEPT_SECONDS", 0)
    (_, ann_key), (ben, ben_key) = (added(world, boss) for _ in range(2))
    secret = "ghp_" + "x7Qm2Lk9Rw4Tz8Vb1Nc6Yd3Hf5Jg0Ps1Ae2U"
    one = ask(world, ann_key, "POST", "/api/memories", {"content": f"the heron's token is {secret}"}).json()["id"]
    told = ask(world, ann_key, "POST", f"/api/memories/{one}/secret").json()
    assert told["source"] == "encrypted" and secret in told["secrets"].values()
    ask(world, ann_key, "POST", "/api/share", {"to": ben, "id": one, "permission": "write"})
    assert ask(world, ben_key, "GET", f"/api/memories/{one}").status_code == 200
    assert ask(world, ben_key, "POST", f"/api/memories/{one}/secret").status_code == 404


def test_a_caged_account_shares_nothing(world: World) -> None:
    for path, body in (("/api/share", {"to": "bob", "tag": "x"}), ("/api/spaces", {"name": "cagedspace"})):
        assert ask(world, world.keys["caged"], "POST", path, body).status_code == 403
