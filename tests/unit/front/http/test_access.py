"""Nobody reads or changes what is not theirs: every route and every tool, with every kind of credential, about every kind of memory.

The table is made from the routes themselves: a route without a row fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.routing import APIRoute
from httpx2 import Response

from bethink.front.http import pages
from bethink.front.http.app import PARTS
from bethink.front.http.auth import ADMIN, READ, SECRETS, WRITE
from bethink.front.http.deps import Needs
from bethink.front.http.mcp import scope_of, table

from .conftest import World

ALL = frozenset({READ, WRITE, SECRETS})


@dataclass(frozen=True)
class Row:
    """What a route needs, and what it answers about memories of several kinds."""

    #: None where no credentials are needed.
    scope: str | None
    body: Any = None
    query: str = ""
    #: About one memory: own, foreign, lent (readable, not writable), forgotten.
    own: int = 200
    foreign: int = 404
    lent: int = 200
    forgotten: int = 200
    by_id: bool = True


def one(scope: str, **more: Any) -> Row:
    return Row(scope, **more)


def many(scope: str, **more: Any) -> Row:
    return Row(scope, by_id=False, **more)


_ID = "/api/memories/{id}"
ROWS: dict[tuple[str, str], Row] = {
    ("GET", "/health"): many(None),  # type: ignore[arg-type]  # open
    ("GET", "/.well-known/oauth-protected-resource"): many(None),  # type: ignore[arg-type]  # open
    ("GET", "/.well-known/oauth-protected-resource/mcp"): many(None),  # type: ignore[arg-type]  # open
    ("GET", "/metrics"): Row(None, by_id=False, own=401),
    **{("GET", f"/docs{part}"): many("") for part in ("", "/swagger-ui-bundle.js", "/swagger-ui.css", "/favicon.png")},
    ("GET", "/openapi.json"): many(""),
    ("GET", "/api/auth-check"): many(READ),
    ("POST", "/cache/invalidate"): many(ADMIN),
    ("POST", "/api/recall"): many(READ, body={"query": "mark", "scope": "all", "limit": 100}),
    ("POST", "/api/memories/recall"): many(READ, body={"context": "mark", "scope": "all"}),
    ("POST", "/api/memories/check"): many(READ, body={"content": "a mark is left"}),
    ("GET", "/api/context"): many(READ),
    ("GET", "/api/memories/sync"): many(READ),
    ("GET", "/api/sync/hello"): many(READ),
    ("POST", "/api/sync/push"): many(WRITE, body={"changes": []}),
    ("GET", "/api/sync/changes"): many(READ),
    ("GET", "/api/sync/digest"): many(READ, query="owner=carol&parts=0", own=403),
    ("GET", "/api/sync/marks"): many(READ, query="owner=carol&parts=0", own=403),
    ("POST", "/api/sync/fetch"): one(READ, body={"ids": ["{id}"]}, foreign=200),
    ("GET", "/api/sync/secret"): one(SECRETS, query="id={id}", own=404, lent=404, forgotten=404),
    ("GET", "/api/preferences"): many(READ),
    ("GET", "/api/export"): many(READ),
    ("POST", "/api/memories/import"): many(WRITE, body=[{"content": "an imported line"}]),
    ("GET", "/api/stats"): many(READ),
    ("GET", "/api/projects"): many(READ),
    ("GET", "/api/tags"): many(READ),
    ("GET", "/api/categories"): many(READ),
    ("GET", "/api/duplicates"): many(READ),
    ("GET", "/api/entities"): many(READ),
    ("POST", "/api/entities"): many(WRITE, body={"name": "Thing"}, own=201),
    ("GET", "/api/review"): many(READ),
    ("POST", "/api/review/accept"): one(WRITE, body={"ids": ["{id}"]}, own=409, lent=409, forgotten=404),
    ("POST", "/api/review/reject"): one(WRITE, body={"ids": ["{id}"]}, lent=403),
    ("GET", "/api/users"): many(ADMIN),
    ("POST", "/api/users"): many(ADMIN, body={"name": "{name}"}, own=201),
    ("POST", "/api/users/{name}/rotate"): many(ADMIN, own=404),
    ("DELETE", "/api/users/{name}"): many(ADMIN, own=404),
    ("DELETE", "/api/keys/{id}"): many(ADMIN, own=404),
    ("GET", "/api/spaces"): many(READ),
    ("POST", "/api/spaces"): many(WRITE, body={"name": "{name}"}, own=201),
    ("GET", "/api/spaces/{space}/members"): many(READ, own=404),
    ("POST", "/api/spaces/{space}/members"): many(WRITE, body={"user": "bob"}, own=404),
    ("DELETE", "/api/spaces/{space}/members/{user}"): many(WRITE, own=404),
    ("POST", "/api/spaces/{space}/accept"): many(WRITE, own=404),
    ("GET", "/api/shares"): many(READ),
    ("POST", "/api/share"): one(WRITE, body={"to": "late", "id": "{id}"}, lent=403, forgotten=404),
    ("POST", "/api/unshare"): one(WRITE, body={"id": "{id}"}, own=404, lent=403, forgotten=404),
    ("GET", "/api/memories/shared-with-me"): many(READ),
    ("GET", "/api/memories/my-shares"): many(READ),
    ("POST", "/api/memories/share-tag"): many(WRITE, body={"tag": "x", "shared_with": "late"}),
    ("DELETE", "/api/memories/share-tag"): many(WRITE, query="tag=nothing&shared_with=late", own=404),
    ("POST", f"{_ID}/share"): one(WRITE, body={"shared_with": "late"}, lent=403, forgotten=404),
    ("DELETE", f"{_ID}/share/{{user}}"): one(WRITE, own=404, lent=403, forgotten=404),
    ("POST", "/api/memories/migrate-secrets"): many(ADMIN, body={}),
    ("POST", "/api/memories"): many(WRITE, body={"content": "{new}"}, own=201),
    ("GET", "/api/memories"): many(READ, query="limit=1000"),
    ("DELETE", "/api/memories"): many(WRITE, query="tag=nothing-has-this"),
    ("GET", _ID): one(READ, forgotten=404),
    ("PUT", _ID): one(WRITE, body={"importance": 0.9}, lent=403, forgotten=404),
    ("PATCH", _ID): one(WRITE, body={"importance": 0.8}, lent=403, forgotten=404),
    ("DELETE", _ID): one(WRITE, lent=403),
    ("POST", f"{_ID}/restore"): one(WRITE, own=409, lent=409),
    ("POST", f"{_ID}/purge"): one(WRITE, own=409, lent=409),
    ("POST", f"{_ID}/secret"): one(SECRETS, own=404, lent=404, forgotten=404),
    ("GET", f"{_ID}/history"): one(READ),
    ("GET", f"{_ID}/why"): one(READ),
    ("GET", f"{_ID}/related"): one(READ, forgotten=404),
    ("GET", f"{_ID}/links"): one(READ, forgotten=404),
    ("POST", f"{_ID}/links"): one(WRITE, body={"target_id": "{other}", "link_type": "see_also"}, own=201, lent=403, forgotten=404),
    ("POST", "/api/links"): one(WRITE, body={"links": [{"source_id": "{id}", "target_id": "{other}"}]}, foreign=200),
    ("POST", "/api/rollback"): many(WRITE, body={"session": "nothing-was-said-there"}),
    ("POST", "/api/rollback/{batch}/undo"): many(WRITE, own=404),
    ("POST", "/api/tidy"): many(WRITE, body={}),
    ("DELETE", f"{_ID}/links/{{target}}/{{type}}"): one(WRITE, own=404, lent=404, forgotten=404),
    ("POST", f"{_ID}/undo"): one(WRITE, own=409, lent=409, forgotten=409),
}
#: Not REST; looked at below.
ELSEWHERE = frozenset({"/mcp", "/sse", "/messages/{tools}"})


@dataclass(frozen=True)
class Proof:
    """A credential: whose it is, what it allows; nobody's when it is not accepted."""

    name: str
    headers: dict[str, str]
    owner: str | None = None
    scopes: frozenset[str] = field(default=frozenset())


def proofs(world: World) -> Iterator[Proof]:
    keys, issuer = world.keys, world.issuer

    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    yield Proof("no credential", {})
    yield Proof("wrong key", bearer("f" * 32))
    yield Proof("empty key", {"X-API-Key": ""})
    yield Proof("another scheme", {"Authorization": f"Basic {keys['alice']}"})
    yield Proof("part of a key", bearer(keys["alice"][:-1]))
    yield Proof("expired key of the environment", bearer(keys["expired"]))
    yield Proof("expired key of a person", bearer(keys["late"]))
    yield Proof("revoked key", bearer(keys["revoked"]))
    yield Proof("token for others", bearer(issuer.token(aud="https://elsewhere.example.org")))
    yield Proof("token without audience", bearer(issuer.token(aud=None)))
    yield Proof("token of another issuer", bearer(issuer.token(iss="https://evil.example.org")))
    yield Proof("expired token", bearer(issuer.token(exp=int(time.time()) - 120)))
    yield Proof("token that never expires", bearer(issuer.token(exp=None)))
    yield Proof("token of tomorrow", bearer(issuer.token(nbf=int(time.time()) + 3600)))
    yield Proof("token of nobody", bearer(issuer.token(sub=None)))
    yield Proof("token signed by somebody else", bearer(issuer.token(key=rsa.generate_private_key(65537, 2048))))
    yield Proof("unsigned token", bearer(issuer.token(algorithm="none", secret="")))
    yield Proof("token signed by a shared secret", bearer(issuer.token(algorithm="HS256", secret="s" * 64)))
    yield Proof("token cut short", bearer(issuer.token()[:-8]))
    yield Proof("right key", bearer(keys["alice"]), "alice", ALL)
    yield Proof("right key in the other header", {"X-API-Key": keys["alice"]}, "alice", ALL)
    yield Proof("member of the space", bearer(keys["bob"]), "bob", ALL)
    yield Proof("reader's key", bearer(keys["reader"]), "rob", frozenset({READ}))
    yield Proof("administrator's key", bearer(keys["admin"]), "local", ALL | {ADMIN})
    yield Proof("right token", bearer(issuer.token(sub="olga", nickname="olga")), "olga", frozenset({READ, WRITE}))
    yield Proof("right token that may only read", bearer(issuer.token(sub="olga", scope="memory:read openid")), "olga", frozenset({READ}))
    yield Proof("token without our scopes", bearer(issuer.token(sub="olga", scope="openid")), "olga", frozenset())


def routes(world: World) -> Iterator[tuple[str, str, str | None]]:
    """Every (method, path, needed scope) of the application."""
    for part in PARTS:
        for route in part.routes:
            assert isinstance(route, APIRoute)
            needs = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]
            # The door asks for credentials where nobody asks for a scope.
            usual = "" if part is pages.routes else None
            for method in route.methods or ():
                yield method, route.path, needs[0].scope if needs else usual
    included = 0
    for route in world.app.routes:
        path = getattr(route, "path", None)
        if path is None:
            included += 1
        elif not any(path == row for _, row in ROWS if row.startswith("/api")):
            for method in getattr(route, "methods", None) or {"POST"}:
                if method != "HEAD" and path not in ELSEWHERE:
                    yield method, path, ""
    assert included == len(PARTS), "a router is in the application and not in PARTS"


def test_every_route_has_a_row_and_needs_what_the_row_says(world: World) -> None:
    found = {(method, path): scope for method, path, scope in routes(world)}
    assert found == {key: row.scope for key, row in ROWS.items()}


def test_the_whole_table_of_answers(world: World) -> None:
    expected: dict[tuple[str, str, str, str], int] = {}
    actual: dict[tuple[str, str, str, str], int] = {}
    world.stored("carol")
    for proof in proofs(world):
        for (method, path), row in ROWS.items():
            for kind in ("own", "foreign", "lent", "forgotten") if row.by_id else ("own",):
                key = (proof.name, method, path, kind)
                expected[key] = wanted(proof, row, kind)
                response = asked(world, proof, method, path, row, kind)
                actual[key] = response.status_code
                assert proof.owner == "carol" or "carol-mark" not in response.text, key
                if response.status_code == 401 and path != "/metrics":
                    assert response.headers["www-authenticate"].startswith("Bearer "), key
                if response.status_code == 403 and row.scope not in ("", *proof.scopes):
                    assert f'scope="{row.scope}"' in response.headers["www-authenticate"], key
    assert {key: (actual[key], expected[key]) for key in expected if actual[key] != expected[key]} == {}
    assert len(actual) > 1500


def wanted(proof: Proof, row: Row, kind: str) -> int:
    if row.scope is None:
        return row.own
    if proof.owner is None:
        return 401
    if row.scope and row.scope not in proof.scopes:
        return 403
    status: int = getattr(row, kind)
    # Only members of the space are lent something.
    if kind == "lent" and proof.owner not in ("bob", "rob"):
        return row.foreign
    return status


def asked(world: World, proof: Proof, method: str, path: str, row: Row, kind: str) -> Response:
    ids = {}
    if row.by_id:
        changes = row.scope == WRITE and proof.owner is not None
        ids = {"id": target(world, proof, kind, changes), "other": target(world, proof, "other", False)}
    # A space and a user that none of them has anything to do with.
    names = {"name": "nobody", "space": "secret-space", "user": "carol", "batch": "nothing"}
    address = path.format(id=ids.get("id", "none"), target=ids.get("other", ""), type="see_also", **names)
    body = json.dumps(row.body).replace("{id}", ids.get("id", "")).replace("{other}", ids.get("other", ""))
    body = body.replace("{name}", f"n{time.time_ns()}").replace("{new}", f"a new line of {proof.name} at {time.time_ns()}")
    headers = {**proof.headers, "Content-Type": "application/json"}
    content = body if row.body is not None else None
    query = row.query.replace("{id}", ids.get("id", ""))
    return world.client.request(method, f"{address}?{query}", content=content, headers=headers)


def target(world: World, proof: Proof, kind: str, changes: bool) -> str:
    """A memory of some kind; a new one where the request may change it."""
    owner = proof.owner or "alice"
    if kind == "forgotten":
        make = lambda: world.forgotten(owner)  # noqa: E731  # one of two ways to make one
    else:
        whose = {"foreign": "carol", "lent": "space:team"}.get(kind, owner)
        make = lambda: world.stored(whose)  # noqa: E731  # likewise
    # What is not the caller's must stay as it is, so that one serves all.
    if changes and kind in ("own", "forgotten"):
        return make()
    key = (kind, owner if kind not in ("foreign", "lent") else "")
    return world.targets[key] if key in world.targets else world.targets.setdefault(key, make())


def rpc(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


_MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
#: Parameters that name a memory, in any toolset.
_IDS = frozenset({"id", "memory_id", "related_id", "source", "target", "source_id", "target_id", "ids", "batch", "supersedes"})


def arguments(schema: dict[str, Any], id: str) -> dict[str, Any]:
    """Arguments that a tool would accept: what it requires, and the id wherever it takes one."""
    made: dict[str, Any] = {}
    for name, shape in schema["properties"].items():
        kinds = shape.get("type", "string")
        if name in _IDS and "string" in kinds and "enum" not in shape:
            made[name] = id
        elif name in _IDS and "array" in kinds:
            made[name] = [id]
        elif name in schema.get("required", ()):
            made[name] = _value(shape)
    return made


def _value(shape: dict[str, Any]) -> Any:
    if "enum" in shape:
        return shape["enum"][0]
    kinds = shape.get("type", "string")
    by_kind = {"string": "mark", "number": 0.5, "integer": 1, "boolean": False, "array": [], "object": {}}
    return next(value for kind, value in by_kind.items() if kind in kinds)


def test_every_tool_with_every_credential(world: World) -> None:
    expected: dict[tuple[str, str, str], int] = {}
    actual: dict[tuple[str, str, str], int] = {}
    for proof in proofs(world):
        for name, tool in table("all" if world.name == "sqlite" else "curate").items():
            kinds = ("own", "foreign", "lent", "forgotten") if proof.owner else ("own",)
            for kind in kinds:
                key = (proof.name, name, kind)
                id = target(world, proof, kind, not tool.read_only and proof.owner is not None)
                before = snapshot(world, id) if kind in ("foreign", "lent") else None
                response = world.client.post(
                    "/mcp?tools=all",
                    json=rpc("tools/call", name=name, arguments=arguments(tool.schema(), id)),
                    headers={**_MCP, **proof.headers},
                )
                actual[key] = response.status_code
                expected[key] = 401 if proof.owner is None else 200 if scope_of(tool) in proof.scopes else 403
                assert "carol-mark" not in response.text, key
                assert "internal error" not in response.text.lower() and "failed inside Bethink" not in response.text, (key, response.text)
                if before is not None:
                    assert snapshot(world, id) == before, (key, response.text)
    assert {key: (actual[key], expected[key]) for key in expected if actual[key] != expected[key]} == {}


def snapshot(world: World, id: str) -> Any:
    """A memory of somebody else as it is stored, whoever looks."""
    from bethink.model import Access

    everybody = ("carol", "space:team")
    memory = world.server.store.get(Access("test", everybody, ()), [id]).get(id)
    return memory, len(world.server.store.links_of(Access("test", everybody, ()), [id]))


@pytest.mark.parametrize("path", ["/mcp", "/mcp?tools=curate", "/sse", "/messages/default", "/messages/all"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_no_other_door_is_open(world: World, method: str, path: str) -> None:
    for proof in proofs(world):
        if proof.owner is None:
            assert world.client.request(method, path, headers=proof.headers, json=rpc("tools/list")).status_code == 401, proof.name


@pytest.mark.parametrize("method", ["tools/list", "resources/list", "resources/read", "prompts/list"])
def test_a_token_without_our_scopes_learns_nothing_by_mcp(world: World, method: str) -> None:
    headers = {**_MCP, "Authorization": f"Bearer {world.issuer.token(sub='olga', scope='openid')}"}
    answer = world.client.post("/mcp", json=rpc(method, uri="memory://context"), headers=headers)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="memory:read"' in answer.headers["www-authenticate"]


def test_a_caged_key_stays_in_its_project(world: World) -> None:
    from bethink.model import Scope

    outside = world.stored("caged", "caged outside mark", scope=Scope.of("elsewhere"))
    nowhere = world.stored("caged", "caged global mark")
    inside = world.stored("caged", "caged inside mark", scope=Scope.of("cage"))
    headers = {"X-API-Key": world.keys["caged"], "X-Project-ID": "elsewhere"}
    statuses = {id: world.client.get(f"/api/memories/{id}", headers=headers).status_code for id in (outside, nowhere, inside)}
    assert statuses == {outside: 404, nowhere: 404, inside: 200}
    answer = world.client.post("/api/recall", json={"query": "caged mark", "scope": "all"}, headers=headers).json()
    assert [one["id"] for one in answer] == [inside]
    assert (
        world.client.post("/api/memories", json={"content": "out of the cage", "project": "elsewhere"}, headers=headers).status_code == 403
    )
