"""A write that is sent twice with one Idempotency-Key is done once, whichever route it is: the table is made from the routes themselves."""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from httpx2 import Response
from starlette.testclient import TestClient

from bethink.errors import InvalidInput
from bethink.front.http import idempotency
from bethink.front.http.app import PARTS, create_app
from bethink.front.http.idempotency import (
    ABANDONED,
    EXEMPT,
    KEPT,
    STREAMED,
    TOLD_ONCE,
    Answers,
    IdempotentRoute,
    KeyReused,
    StillRunning,
)
from bethink.front.http.routes import files
from bethink.service.core import utc_now
from bethink.service.memories import Memories

from .conftest import World, settings
from .test_access import ELSEWHERE, ROWS

WRITES = ("POST", "PUT", "PATCH", "DELETE")
#: Routes that are not REST, and how they keep a write from being made twice.
NOT_REST = {
    "/mcp": "JSON-RPC has ids of its own; what is stored with an id is stored once, what says the same is merged",
    "/sse": "as /mcp",
    "/messages/{tools}": "as /mcp",
}
Asked = tuple[str, Any]
_numbers = itertools.count()


def _fresh(what: str) -> str:
    return f"{what}{next(_numbers)}{secrets.token_hex(4)}"


def _user(world: World) -> str:
    name = _fresh("u")
    world.server.people.add_user(name)
    return name


def _space(world: World, *, owner: str = "local") -> str:
    name = _fresh("s")
    world.server.people.add_space(name, owner)
    return name


def _invited(world: World) -> str:
    space = _space(world, owner="sam")
    world.server.people.invite(space, "local", "writer", "sam")
    return space


def _lent(world: World, **what: str) -> dict[str, str]:
    post(world, "/api/share", {"to": "bob", **what})
    return what


def _unlink(world: World) -> Asked:
    one, other = world.stored("local"), world.stored("local")
    post(world, f"/api/memories/{one}/links", {"target_id": other})
    return f"/api/memories/{one}/links/{other}/see_also", None


def _corrected(world: World) -> str:
    old = world.stored("local")
    post(world, "/api/memories", {"content": f"{_fresh('a word')} that corrects it", "supersedes": old})
    return old


def _batch(world: World) -> str:
    session = _fresh("session")
    world.stored("local", session=session)
    return str(post(world, "/api/rollback", {"session": session, "dry_run": False}).json()["batch"])


def _sealed(world: World) -> str:
    return world.stored("local", f"the token of {_fresh('x')} is ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa")


def _shared(world: World) -> str:
    id = world.stored("local")
    _lent(world, id=id)
    return id


def _tagged(world: World) -> str:
    tag = _fresh("tag")
    _lent(world, tag=tag)
    return tag


#: Requests that do something; of all other routes the access table's request does.
ASKED: dict[tuple[str, str], Callable[[World], Asked]] = {
    ("POST", "/api/memories/import"): lambda world: ("/api/memories/import", [{"content": f"{_fresh('an imported line')}"}]),
    ("POST", "/api/memories"): lambda world: ("/api/memories", {"content": f"{_fresh('a new line')} of its own"}),
    ("POST", "/api/users"): lambda world: ("/api/users", {"name": _fresh("u")}),
    ("POST", "/api/users/{name}/rotate"): lambda world: (f"/api/users/{_user(world)}/rotate", {"expires_at": "90d"}),
    ("DELETE", "/api/users/{name}"): lambda world: (f"/api/users/{_user(world)}", None),
    ("DELETE", "/api/keys/{id}"): lambda world: (f"/api/keys/{_key(world)}", None),
    ("POST", "/api/spaces"): lambda world: ("/api/spaces", {"name": _fresh("s")}),
    ("POST", "/api/spaces/{space}/members"): lambda world: (f"/api/spaces/{_space(world)}/members", {"user": "bob"}),
    ("DELETE", "/api/spaces/{space}/members/{user}"): lambda world: (f"/api/spaces/{_left(world)}/members/bob", None),
    ("POST", "/api/spaces/{space}/accept"): lambda world: (f"/api/spaces/{_invited(world)}/accept", None),
    ("POST", "/api/share"): lambda world: ("/api/share", {"to": "bob", "id": world.stored("local")}),
    ("POST", "/api/unshare"): lambda world: ("/api/unshare", {"id": _shared(world)}),
    ("POST", "/api/memories/share-tag"): lambda world: ("/api/memories/share-tag", {"tag": _fresh("tag"), "shared_with": "bob"}),
    ("DELETE", "/api/memories/share-tag"): lambda world: (f"/api/memories/share-tag?tag={_tagged(world)}&shared_with=bob", None),
    ("POST", "/api/memories/{id}/share"): lambda world: (f"/api/memories/{world.stored('local')}/share", {"shared_with": "bob"}),
    ("DELETE", "/api/memories/{id}/share/{user}"): lambda world: (f"/api/memories/{_shared(world)}/share/bob", None),
    ("POST", "/api/memories/{id}/restore"): lambda world: (f"/api/memories/{world.forgotten('local')}/restore", None),
    ("POST", "/api/memories/{id}/purge"): lambda world: (f"/api/memories/{world.forgotten('local')}/purge", None),
    ("POST", "/api/memories/{id}/secret"): lambda world: (f"/api/memories/{_sealed(world)}/secret", None),
    ("POST", "/api/memories/{id}/undo"): lambda world: (f"/api/memories/{_corrected(world)}/undo", None),
    ("DELETE", "/api/memories/{id}/links/{target}/{type}"): _unlink,
    ("POST", "/api/rollback/{batch}/undo"): lambda world: (f"/api/rollback/{_batch(world)}/undo", None),
    ("POST", "/api/review/accept"): lambda world: ("/api/review/accept", {"ids": [world.stored("local", status="candidate")]}),
}


def _key(world: World) -> str:
    name = _user(world)
    keys = world.server.people.keys()
    return next(key.id for key in keys if key.user == name)


def _left(world: World) -> str:
    space = _space(world)
    world.server.people.invite(space, "bob", "writer", "local")
    world.server.people.accept(space, "bob")
    return space


def post(world: World, path: str, body: Any, key: str | None = None) -> Response:
    return sent(world, "POST", path, body, key)


def sent(world: World, method: str, path: str, body: Any, key: str | None) -> Response:
    headers = {"X-API-Key": world.keys["admin"], "Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
    return world.client.request(method, path, content=None if body is None else json.dumps(body), headers=headers)


def written() -> list[tuple[str, str, APIRoute]]:
    """Every writing route."""
    routes = [route for part in PARTS for route in part.routes if isinstance(route, APIRoute)]
    return [(method, route.path, route) for route in routes for method in sorted(route.methods or ()) if method in WRITES]


def request_of(world: World, method: str, path: str) -> Asked:
    if (method, path) in ASKED:
        return ASKED[method, path](world)
    row = ROWS[method, path]
    ids = {"{id}": world.stored("local"), "{other}": world.stored("local"), "{name}": _fresh("n"), "{new}": _fresh("line")}
    body = json.dumps(row.body)
    for name, value in ids.items():
        body = body.replace(name, value)
    return f"{path.replace('{id}', ids['{id}'])}?{row.query.replace('{id}', ids['{id}'])}", json.loads(body)


def test_every_writing_route_honours_the_key_or_says_why_not() -> None:
    found = written()
    assert {(method, path) for method, path, _ in found} == {key for key in ROWS if key[0] in WRITES}
    assert [path for _, path, route in found if not isinstance(route, IdempotentRoute)] == []
    paths = {path for _, path, _ in found}
    assert set(EXEMPT) | TOLD_ONCE | STREAMED <= paths and all(EXEMPT.values())
    # Named here as well, so that the list does not grow unseen.
    assert set(EXEMPT) == {
        *("/api/recall", "/api/memories/recall", "/api/memories/check", "/api/memories/{id}/secret"),
        *("/api/sync/fetch", "/api/sync/push"),
    }
    assert set(NOT_REST) == set(ELSEWHERE)


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in written()])
def test_it_is_done_once(world: World, method: str, path: str) -> None:
    address, body = request_of(world, method, path)
    key = secrets.token_hex(16)
    first = sent(world, method, address, body, key)
    assert first.status_code < 300, first.text
    again = sent(world, method, address, body, key)
    answers = Answers(world.server.store, "local", key)
    if path in EXEMPT:
        assert "idempotency-replayed" not in again.headers and again.status_code < 300
        assert answers._row not in world.server.store.state(answers._access, "idempotency")
        return
    if path in TOLD_ONCE:
        assert (again.status_code, again.json()["code"]) == (409, "ToldOnce") and "rotate" in again.json()["hint"]
        assert f"{answers._row}:0" not in world.server.store.state(answers._access, "idempotency-part")
    else:
        assert (again.status_code, again.content) == (first.status_code, first.content), again.text
        assert again.headers["idempotency-replayed"] == "true"
    other = {**body, "another": 1} if isinstance(body, dict) else {"another": 1}
    differs = sent(world, method, address, other, key)
    assert (differs.status_code, differs.json()["code"]) == (422, "KeyReused")


def test_a_long_import_is_answered_alike_and_held_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", 4096)
    lines = b"".join(json.dumps({"content": f"line {n} of {_fresh('a long file')}"}).encode() + b"\n" for n in range(120))
    headers = {"X-API-Key": world.keys["admin"], "Idempotency-Key": secrets.token_hex(16)}

    def parts() -> Any:
        for at in range(0, len(lines), 1000):
            yield lines[at : at + 1000]

    first = world.client.post("/api/memories/import", content=parts(), headers=headers)
    again = world.client.post("/api/memories/import", content=lines, headers=headers)
    assert first.status_code == again.status_code == 200 and len(first.content) > 3 * 4096
    assert again.content == first.content and {one["action"] for one in again.json()} == {"added"}
    assert again.headers["idempotency-replayed"] == "true"
    # Without the key it is done again, which stores nothing.
    del headers["Idempotency-Key"]
    assert {one["action"] for one in world.client.post("/api/memories/import", content=lines, headers=headers).json()} == {"merged"}


def test_keys_are_each_persons_own(world: World) -> None:
    key = secrets.token_hex(16)
    for who in ("alice", "bob"):
        headers = {"X-API-Key": world.keys[who], "Idempotency-Key": key}
        told = world.client.post("/api/memories/import", json=[{"content": f"{who} brings a line of {key}"}], headers=headers)
        assert told.json()[0]["action"] == "added" and "idempotency-replayed" not in told.headers


def test_a_repeat_needs_the_same_rights_and_is_counted(tmp_path: Path) -> None:
    keys = {"ann": "a" * 32, "reader": {"key": "r" * 32, "scopes": ["memory:read"]}}
    application = create_app(settings(tmp_path, API_KEYS=json.dumps(keys), RATE_LIMIT_WRITE="3/minute"))
    with TestClient(application, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        headers = {"X-API-Key": "a" * 32, "Idempotency-Key": "again-and-again"}
        answers = [client.post("/api/memories", json={"content": "said once"}, headers=headers) for _ in range(4)]
        assert [each.status_code for each in answers] == [201, 201, 201, 429]
        # The key of somebody who may read only, who was once allowed to write.
        once = Answers(application.state.server.store, "reader", "k")
        digest = hashlib.sha256(b'POST /api/memories?\n{"content": "x"}').hexdigest()
        once.begin(digest)
        once.finish(digest, 201, [b'{"id": "x"}'])
        lost = {"X-API-Key": "r" * 32, "Idempotency-Key": "k", "Content-Type": "application/json"}
        assert client.post("/api/memories", content=b'{"content": "x"}', headers=lost).status_code == 403


def test_what_goes_on_is_not_taken_for_dead(world: World) -> None:
    start = utc_now()
    clock = [start]
    answers = Answers(world.server.store, "alice", secrets.token_hex(8), lambda: clock[0])
    assert answers.begin("digest") is None
    clock[0] = start + 0.9 * ABANDONED
    answers.goes_on("digest")
    clock[0] = start + 1.8 * ABANDONED
    with pytest.raises(StillRunning):
        answers.begin("digest")
    with pytest.raises(KeyReused):
        answers.begin("another digest")
    clock[0] = start + 2.0 * ABANDONED
    assert answers.begin("digest") is None
    answers.finish("digest", 200, [b"one", b"two"])
    known = answers.begin("digest")
    assert known is not None and b"".join(answers.body(known)) == b"onetwo"


@pytest.mark.parametrize("first", ["the first line", "the token is ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"])
def test_a_key_that_is_used_again_after_its_answer_ended_loses_no_write(world: World, first: str) -> None:
    key, word = secrets.token_hex(16), _fresh("w")
    before = post(world, "/api/memories", {"content": f"{word} {first}"}, key)
    Answers(world.server.store, "local", key).drop()
    after = post(world, "/api/memories", {"content": f"{word} is another matter altogether"}, key)
    assert after.status_code == 201 and after.json()["id"] != before.json()["id"], after.text


@pytest.mark.parametrize("header", ["X-Project-ID", "X-Client-ID", "X-Session-ID"])
def test_a_request_from_another_place_is_another_request(world: World, header: str) -> None:
    key, body = secrets.token_hex(16), {"content": _fresh("a line of a place")}
    headers = {"X-API-Key": world.keys["admin"], "Idempotency-Key": key, header: "here"}
    assert world.client.post("/api/memories", json=body, headers=headers).status_code == 201
    assert "idempotency-replayed" in world.client.post("/api/memories", json=body, headers=headers).headers
    for place in ({header: "elsewhere"}, {header: ""}):
        told = world.client.post("/api/memories", json=body, headers={**headers, **place})
        assert (told.status_code, told.json()["code"]) == (422, "KeyReused")


def test_old_answers_leave_nothing_behind(world: World) -> None:
    start = utc_now()
    clock = [start]
    store = world.server.store
    answers = Answers(store, "dora", secrets.token_hex(8), lambda: clock[0])

    def kept() -> tuple[int, int]:
        return len(store.state(answers._access, "idempotency")), len(store.state(answers._access, "idempotency-part"))

    def died() -> Iterator[bytes]:
        yield from (b"one", b"two", b"three")
        raise RuntimeError

    assert answers.begin("digest") is None
    with pytest.raises(RuntimeError):
        answers.finish("digest", 200, died())
    assert kept() == (1, 3)
    # Taken for dead; the next one fails, and gives the key free.
    clock[0] = start + 2 * ABANDONED
    assert answers.begin("digest") is None
    answers.drop()
    assert kept() == (0, 0)
    # Ended after a day; the next answer is shorter.
    assert answers.begin("digest") is None
    answers.finish("digest", 200, [b"one", b"two", b"three"])
    clock[0] += KEPT + ABANDONED
    assert answers.begin("digest") is None
    answers.finish("digest", 200, [b"four"])
    assert kept() == (1, 1)
    # A row of an earlier version has no parts.
    with store.write(answers._access) as tx:
        tx.state_put("idempotency", "old", {"request": "x", "at": start.isoformat(), "status": 200})
    clock[0] += KEPT + ABANDONED
    answers.sweep()
    assert kept() == (0, 0)


def test_who_was_taken_for_dead_and_was_not_leaves_nothing_behind(world: World) -> None:
    start = utc_now()
    clock = [start]
    store = world.server.store
    answers = Answers(store, "emil", secrets.token_hex(8), lambda: clock[0])
    assert answers.begin("digest") is None

    def slow() -> Iterator[bytes]:
        yield from (b"one", b"two")
        clock[0] = start + 2 * ABANDONED
        assert answers.begin("digest") is None
        answers.goes_on("digest")
        yield b"three"

    answers.finish("digest", 200, slow())
    answers.drop()
    assert store.state(answers._access, "idempotency-part") == {} == store.state(answers._access, "idempotency")


@pytest.mark.parametrize("path", ["/api/tidy", "/api/memories/import"])
def test_a_long_request_is_not_begun_a_second_time(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(idempotency, "SAID_EVERY", 0.1)
    monkeypatch.setattr(idempotency, "ABANDONED", timedelta(seconds=0.6))
    begun = []

    def long(*_: Any, **__: Any) -> Any:
        begun.append(1)
        time.sleep(2)
        raise InvalidInput("Never mind.")

    monkeypatch.setattr(Memories, "tidy", long)
    monkeypatch.setattr(Memories, "remember", long)
    key, body = secrets.token_hex(16), [{"content": "a line"}] if path.endswith("import") else {}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, world, path, body, key)
        time.sleep(1.4)
        again = post(world, path, body, key)
        assert first.result().status_code in (200, 422)
    assert (again.status_code, again.json().get("code"), len(begun)) == (409, "StillRunning", 1)
