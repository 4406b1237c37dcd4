"""What every route has in common: errors, limits, repeated writes, the log, where the server listens."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from bethink import config
from bethink.embed.base import Identity, Passage, QueryVectors
from bethink.errors import ConfigError, EmbedderUnavailable
from bethink.front.http import logs, metrics
from bethink.front.http.app import create_app
from bethink.front.http.embedding import QueuedEmbedder
from bethink.front.http.idempotency import Answers, operation_id
from bethink.front.http.server import Server
from bethink.model import Access, new_id
from bethink.stores.base import REQUEST
from bethink.stores.postgres import PostgresStore
from kit import postgres

from .conftest import World, settings

Serve = Callable[..., TestClient]
SECRET = "test" + "-key-in-no-log"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server in this process with some settings; its client."""
    open_: list[TestClient] = []

    def start(**values: Any) -> TestClient:
        app = create_app(settings(tmp_path, **values))
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.__enter__()
        open_.append(client)
        return client

    yield start
    for client in open_:
        client.__exit__()


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "code"),
        [
            ("GET", "/api/memories/00000000", None, 404, "NotFound"),
            ("GET", "/nowhere", None, 404, "NotFound"),
            ("POST", "/api/tags", {}, 405, "MethodNotAllowed"),
            ("POST", "/api/memories", {"content": "x", "category": "nonsense"}, 422, "UnknownCategory"),
            ("POST", "/api/memories", {"content": "  "}, 422, "InvalidInput"),
            ("POST", "/api/memories", {"text": "x"}, 422, "InvalidInput"),
            ("POST", "/api/memories", {"content": "x\x00y"}, 422, "InvalidInput"),
            ("POST", "/api/memories", {"content": "x", "created_at": "soon"}, 422, "BadTime"),
            ("POST", "/api/recall", {}, 422, "InvalidInput"),
            ("GET", "/api/memories?since=whenever", None, 422, "BadTime"),
            ("GET", "/api/memories?limit=-1", None, 422, "InvalidInput"),
            ("GET", "/api/memories?tag=%00", None, 422, "InvalidInput"),
            ("GET", "/.well-known/oauth-protected-resource", None, 404, "NotFound"),
        ],
    )
    def test_one_shape(self, serve: Serve, method: str, path: str, body: Any, status: int, code: str) -> None:
        answer = serve().request(method, path, json=body)
        shape = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, shape["status"], shape["code"]) == (status, status, code)
        assert {"type", "title", "detail", "hint"} <= set(shape) and shape["detail"]

    def test_a_value_is_never_repeated(self, serve: Serve) -> None:
        answer = serve().post("/api/memories", json={"content": "x", "importance": SECRET, "unknown": SECRET})
        assert answer.status_code == 422 and SECRET not in answer.text

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b'{"content": "\\ud800"}'])
    def test_what_is_no_json_object(self, serve: Serve, body: bytes) -> None:
        answer = serve().post("/api/memories", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422) and answer.json()["code"]

    def test_what_should_not_happen_says_where_to_look(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        client = serve()
        monkeypatch.setattr(Server, "memories", lambda *_: 1 / 0)
        answer = client.get("/api/tags", headers={"X-Request-ID": "look-here"})
        assert answer.status_code == 500 and "look-here" in answer.json()["hint"] and "division" not in answer.text

    def test_too_large_announced_or_not(self, serve: Serve) -> None:
        client = serve()
        large = b'{"content": "' + b"x" * (5 << 20) + b'"}'
        assert client.post("/api/memories", content=large).status_code == 413

        def parts() -> Iterator[bytes]:
            for at in range(0, len(large), 1 << 16):
                yield large[at : at + (1 << 16)]

        assert client.post("/api/memories", content=parts()).status_code == 413


class TestRepeated:
    def test_done_once_and_answered_alike(self, world: World) -> None:
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": "first-of-alice"}
        body = {"content": "stored once by alice"}
        first = world.client.post("/api/memories", json=body, headers=headers)
        again = world.client.post("/api/memories", json=body, headers=headers)
        assert (first.status_code, first.json()) == (201, again.json())
        assert again.status_code == 201 and again.headers["idempotency-replayed"] == "true"
        other = world.client.post("/api/memories", json={"content": "something else"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "KeyReused")
        bob = {"X-API-Key": world.keys["bob"], "Idempotency-Key": "first-of-alice"}
        assert world.client.post("/api/memories", json={"content": "bob's own"}, headers=bob).status_code == 201

    def test_at_the_same_time(self, world: World) -> None:
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": "many-at-once"}
        body = {"content": "stored once although many ask at once", "tags": ["at-once"]}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: world.client.post("/api/memories", json=body, headers=headers), range(8)))
        assert {each.status_code for each in answers} <= {201, 409}
        assert len({each.json()["id"] for each in answers if each.status_code == 201}) == 1
        listed = world.client.get("/api/memories?tag=at-once", headers={"X-API-Key": world.keys["alice"]}).json()
        assert listed["total"] == 1

    def test_a_failure_may_be_tried_again(self, world: World) -> None:
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": "first-wrong"}
        assert world.client.post("/api/memories", json={"content": ""}, headers=headers).status_code == 422
        assert world.client.post("/api/memories", json={"content": "then right"}, headers=headers).status_code == 201

    def test_a_try_that_died_leaves_one_memory(self, world: World) -> None:
        """The process died between storing and answering: the memory has the id that the key gives."""
        id = operation_id("alice", "died")
        world.stored("alice", "stored and never answered", id=id)
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": "died"}
        answer = world.client.post("/api/memories", json={"content": "stored and never answered"}, headers=headers)
        assert (answer.status_code, answer.json()["id"]) == (200, id)

    def test_no_content_is_kept_and_old_answers_go(self, world: World) -> None:
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": "kept"}
        id = world.client.post("/api/memories", json={"content": "a content of its own"}, headers=headers).json()["id"]
        edit = {**headers, "Idempotency-Key": "kept-edit"}
        world.client.patch(f"/api/memories/{id}", json={"content": "another content"}, headers=edit)
        gone = {**headers, "Idempotency-Key": "kept-delete"}
        assert "another content" in world.client.delete(f"/api/memories/{id}", headers=gone).text
        assert "another content" in world.client.delete(f"/api/memories/{id}", headers=gone).text
        answers = Answers(world.server.store, "alice", "kept")
        kept = [world.server.store.state(answers._access, namespace) for namespace in ("idempotency", "idempotency-part")]
        assert all(len(each) >= 3 for each in kept)
        assert not any(word in json.dumps(kept) for word in ("content", id, "kept-delete"))
        from bethink.front.http.idempotency import KEPT
        from bethink.service.core import utc_now

        Answers(world.server.store, "alice", "kept", lambda: utc_now() + 2 * KEPT).sweep()
        assert [world.server.store.state(answers._access, namespace) for namespace in ("idempotency", "idempotency-part")] == [{}, {}]

    @pytest.mark.parametrize("key", ["", "x" * 256, "line\tfeed"])
    def test_what_is_no_key(self, world: World, key: str) -> None:
        headers = {"X-API-Key": world.keys["alice"], "Idempotency-Key": key}
        assert world.client.post("/api/memories", json={"content": "never stored"}, headers=headers).status_code == 422


class TestFiles:
    @pytest.mark.parametrize("form", ["ndjson", "json"])
    def test_what_goes_out_comes_in_again(self, world: World, form: str) -> None:
        mine = {"X-API-Key": world.keys["admin"]}
        for number in range(30):
            world.stored("local", f"line {number} of the {form} export 日本 😀 “quoted”")
        out = world.client.get(f"/api/export?format={form}", headers=mine)
        assert out.status_code == 200
        back = world.client.post("/api/memories/import", content=out.content, headers=mine)
        assert {each["action"] for each in back.json()} == {"merged"}
        assert len(back.json()) == world.client.get("/api/memories?limit=0&status=any", headers=mine).json()["total"]

    def test_a_bad_entry_stops_nothing(self, world: World) -> None:
        mine = {"X-API-Key": world.keys["bob"]}
        answers = world.client.post(
            "/api/memories/import",
            json=[{"content": "the first of the file"}, {}, 7, {"content": "something quite different"}],
            headers=mine,
        ).json()
        assert [each.get("action") or each["code"] for each in answers] == ["added", "InvalidInput", "InvalidInput", "added"]
        lines = b'{"content": "a line"}\n\nnot json\n{"content": "the last line"}'
        answers = world.client.post("/api/memories/import", content=lines, headers=mine).json()
        assert [each.get("action") or each["code"] for each in answers] == ["added", "InvalidInput", "added"]
        broken = world.client.post("/api/memories/import", content=b'[{"content": "before the break"}, {"con', headers=mine).json()
        assert [each.get("action") or each["code"] for each in broken] == ["added", "InvalidInput"]

    def test_links_come_in_with_the_file(self, world: World) -> None:
        mine = {"X-API-Key": world.keys["bob"]}
        here, foreign = world.stored("bob"), world.stored("carol")
        one, other = new_id(), new_id()
        said = f"An end that is stored already {one}"
        twin = world.stored("bob", said)
        ends = [
            (other, "supports"),
            (here, "refines"),
            (new_id(), "part_of"),
            (foreign, "refines"),
            ("nobody", "see_also"),
            (here, "nonsense"),
        ]
        file = [
            {"id": one, "content": f"A start {one}", "links": [{"target": id, "type": kind, "note": "n"} for id, kind in ends]},
            {"id": other, "content": said, "links": [{"source": one, "target": other, "type": "supports"}, 7, {"target": 7}]},
            {"content": f"Without an id {one}", "links": [{"target": one, "type": "derived_from"}]},
            {"content": f"With what are no links {one}", "links": "none"},
        ]
        first = world.client.post("/api/memories/import", json=file, headers=mine)
        assert [(each["links"], each["links_without_end"]) for each in first.json() if "links" in each] == [(2, 4), (1, 0)]
        assert first.json()[1]["id"] == twin and first.json()[1]["action"] == "merged"
        made = world.client.get(f"/api/memories/{one}/links", headers=mine).json()["links"]
        found = {(each["source"], each["target"], each["type"], each["note"]) for each in made}
        assert found == {(one, twin, "supports", "n"), (one, here, "refines", "n"), (first.json()[2]["id"], one, "derived_from", "")}
        again = world.client.post("/api/memories/import", json=file, headers=mine)
        assert {each["action"] for each in again.json()} == {"merged"}
        assert len(world.client.get(f"/api/memories/{one}/links", headers=mine).json()["links"]) == 3

    @pytest.mark.parametrize("body", [b"", b"   ", b"7", b'"text"', b"\x00"])
    def test_what_is_no_file_of_memories(self, world: World, body: bytes) -> None:
        answer = world.client.post("/api/memories/import", content=body, headers={"X-API-Key": world.keys["bob"]})
        assert answer.status_code == 422


def test_pages_are_whole_and_end_empty(world: World) -> None:
    mine = {"X-API-Key": world.keys["bob"]}
    long = "a long content " * 3000
    for number in range(5):
        world.stored("bob", f"{long}{number}", tags=("paged",))
    seen = []
    for offset in range(0, 8, 2):
        page = world.client.get(f"/api/memories?tag=paged&limit=2&offset={offset}", headers=mine).json()
        assert page["total"] == 5 and all(len(each["content"]) > len(long) for each in page["memories"])
        seen += [each["id"] for each in page["memories"]]
    assert len(seen) == len(set(seen)) == 5
    assert world.client.get(f"/api/memories?offset={2**53}", headers=mine).json()["memories"] == []


def test_lists_are_narrowed_by_every_tag_and_shown_as_they_were(world: World) -> None:
    mine = {"X-API-Key": world.keys["bob"]}
    old = world.stored(
        "bob", "the quarry opens at nine", tags=("quarry", "times"), created_at=datetime(2020, 1, 1, tzinfo=UTC), session="s-9"
    )
    world.stored("bob", "the quarry closes at nine", tags=("quarry",), created_at=datetime(2022, 1, 1, tzinfo=UTC))
    world.client.patch(f"/api/memories/{old}", json={"content": "the quarry opens at ten", "tags": ["quarry", "times"]}, headers=mine)

    def listed(query: str) -> list[str]:
        return [each["content"] for each in world.client.get(f"/api/memories?{query}", headers=mine).json()["memories"]]

    assert listed("tag=quarry&tag=times") == listed("session=s-9") == ["the quarry opens at ten"]
    assert len(listed("tag=quarry")) == 2 and listed("tag=quarry&tag=nothing") == []
    assert len(listed("tag=quarry&as_of=2021-01-01")) == 1
    assert len(listed("tag=quarry&status=active&status=candidate")) == 2
    then = world.client.get(f"/api/memories/{old}?as_of=2021-01-01", headers=mine).json()
    assert then["content"] == "the quarry opens at nine" and then["links"] == []
    asked = {"query": "when does the quarry open", "as_of": "2021-01-01", "scope": "all"}
    assert [each["id"] for each in world.client.post("/api/recall", json=asked, headers=mine).json()] == [old]
    assert world.client.get("/api/memories?status=nonsense&status=active", headers=mine).status_code == 422


class TestLimits:
    def test_each_principal_has_its_own(self, serve: Serve) -> None:
        keys = {"alice": "a" * 32, "bob": "b" * 32}
        client = serve(API_KEYS=json.dumps(keys), RATE_LIMIT_WRITE="2/minute", RATE_LIMIT_READ="3/minute")

        def ask(who: str, method: str, path: str, body: Any = None) -> Any:
            return client.request(method, path, json=body, headers={"X-API-Key": keys[who]})

        writes = [ask("alice", "POST", "/api/memories", {"content": f"{n}"}).status_code for n in range(3)]
        assert writes == [201, 201, 429]
        limited = ask("alice", "POST", "/api/memories", {"content": "x"})
        assert 1 <= int(limited.headers["retry-after"]) <= 60 and limited.json()["code"] == "TooManyRequests"
        assert ask("bob", "POST", "/api/memories", {"content": "x"}).status_code == 201
        assert [ask("alice", "GET", "/api/tags").status_code for _ in range(4)] == [200, 200, 200, 429]
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "memory_count", "arguments": {}}}
        assert ask("alice", "POST", "/mcp", call).status_code == 429

    def test_replication_has_a_limit_of_its_own(self, serve: Serve) -> None:
        keys = {"alice": "a" * 32, "bob": "b" * 32}
        client = serve(API_KEYS=json.dumps(keys), RATE_LIMIT_WRITE="1/hour", RATE_LIMIT_READ="1/hour", RATE_LIMIT_SYNC="6/hour")

        def ask(who: str, method: str, path: str, body: Any = None) -> Any:
            return client.request(method, path, json=body, headers={"X-API-Key": keys[who]})

        def round() -> list[int]:
            asked = (("GET", "hello", None), ("POST", "push", {"changes": []}), ("GET", "changes", None))
            return [ask("alice", method, f"/api/sync/{path}", body).status_code for method, path, body in asked]

        assert [round() for _ in range(3)] == [[200] * 3, [200] * 3, [429] * 3]
        limited = ask("alice", "GET", "/api/sync/hello")
        assert limited.headers["retry-after"] and "6 requests of replication" in limited.json()["detail"]
        # The others are counted apart, and so are other people.
        assert [ask("alice", "GET", "/api/tags").status_code for _ in range(2)] == [200, 429]
        assert ask("bob", "GET", "/api/sync/hello").status_code == 200

    def test_a_machine_that_writes_every_second_is_not_limited(self, serve: Serve) -> None:
        keys = {"alice": "a" * 32}
        client = serve(API_KEYS=json.dumps(keys), RATE_LIMIT_SYNC=str(config.load({}, {})["RATE_LIMIT_SYNC"]))
        answers = [client.get("/api/sync/hello", headers={"X-API-Key": keys["alice"]}).status_code for _ in range(180)]
        assert set(answers) == {200}

    @pytest.mark.parametrize("name", ["RATE_LIMIT_READ", "RATE_LIMIT_SYNC"])
    @pytest.mark.parametrize("given", ["often", "-1/minute", "10/fortnight"])
    def test_what_is_no_limit(self, serve: Serve, name: str, given: str) -> None:
        with pytest.raises(ConfigError):
            serve(**{name: given})


class TestPlace:
    def test_beyond_loopback_credentials_are_needed(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"0\.0\.0\.0"):
            create_app(settings(tmp_path), "0.0.0.0")  # what must be refused
        create_app(settings(tmp_path, API_KEY="k" * 20), "0.0.0.0").state.server.close()  # with a key it may

    def test_a_user_in_the_store_is_a_credential_too(self, serve: Serve) -> None:
        client = serve()
        assert client.get("/api/tags").status_code == 200
        _, key = client.app.state.server.people.add_user("alice")  # type: ignore[attr-defined]  # the application is ours
        again = serve()
        assert again.get("/api/tags").status_code == 401
        assert again.get("/api/tags", headers={"X-API-Key": key}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.evil.example.org", "localhost.evil:80", ""])
    def test_other_names_are_not_answered_on_loopback(self, serve: Serve, host: str) -> None:
        client = serve()
        assert client.get("/api/tags", headers={"Host": host}).status_code == 403
        assert client.post("/mcp", headers={"Host": host}, json={}).status_code == 403

    def test_pages_of_others_may_not_ask(self, serve: Serve) -> None:
        client = serve(CORS_ORIGINS="https://ui.example.org")
        assert client.get("/api/tags", headers={"Origin": "https://evil.example.org"}).status_code == 403
        assert client.get("/api/tags", headers={"Origin": "http://127.0.0.1"}).status_code == 200
        good = client.get("/api/tags", headers={"Origin": "https://ui.example.org"})
        assert good.headers["access-control-allow-origin"] == "https://ui.example.org"
        asked = {"Origin": "https://ui.example.org", "Access-Control-Request-Method": "POST"}
        assert client.options("/api/memories", headers=asked).status_code == 200

    def test_security_headers(self, serve: Serve) -> None:
        answer = serve().get("/api/tags")
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    @pytest.mark.parametrize(
        "values",
        [
            {"API_KEYS": "not json"},
            {"API_KEYS": "[]"},
            {"API_KEYS": '{"alice": ""}'},
            {"API_KEYS": '{"space:team": "k"}'},
            {"API_KEYS": '{"alice": {"key": "k", "scopes": ["everything"]}}'},
            {"API_KEYS": '{"alice": {"key": "k", "expires_at": "soon"}}'},
            {"OIDC_ISSUER": "https://issuer.example.org"},
            {"OIDC_AUDIENCE": "somebody"},
            {"OIDC_ISSUER": "http://issuer.example.org", "OIDC_AUDIENCE": "a"},
            {"PUBLIC_URL": "memory.example.org", "API_KEY": "k"},
            {"DATABASE_URL": "mysql://somewhere"},
        ],
    )
    def test_wrong_settings_are_named(self, tmp_path: Path, values: dict[str, str]) -> None:
        with pytest.raises(ConfigError) as caught, TestClient(create_app(settings(tmp_path, **values))) as client:
            client.get("/health")
        assert caught.value.hint

    def test_auth0s_names_mean_the_same(self) -> None:
        given = config.load({}, {"AUTH0_DOMAIN": "tenant.auth0.example", "AUTH0_API_AUDIENCE": "https://memory"})
        assert (given["OIDC_ISSUER"], given["OIDC_AUDIENCE"]) == ("tenant.auth0.example", "https://memory")


class TestLog:
    def test_a_line_for_each_request_without_what_is_in_it(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        client = serve(API_KEYS=json.dumps({"alice": SECRET}))
        with listening(logs.NAME, logs.TextFormat()) as lines:
            client.post("/api/memories", json={"content": "content of alice"}, headers={"Authorization": f"Bearer {SECRET}"})
            client.get(f"/api/memories?tag=query-{SECRET}", headers={"X-API-Key": SECRET, "X-Request-ID": "asked-1"})
            client.get("/api/tags%0a2026-01-01 | forged", headers={"X-API-Key": "wrong-" + SECRET})
        assert len(lines) == 3 and all(SECRET not in line and "content of" not in line and "\n" not in line for line in lines)
        assert " | bethink.api | INFO | POST /api/memories | 201 | " in lines[0] and "user=alice" in lines[0]
        assert lines[1].endswith("user=alice request=asked-1")
        assert "| 401 |" in lines[2] and "user=-" in lines[2]

    def test_as_json(self, serve: Serve) -> None:
        client = serve()
        with listening(logs.NAME, logs.JsonFormat()) as lines:
            client.get("/health")
        line = json.loads(lines[0])
        assert (line["method"], line["path"], line["status"], line["user"]) == ("GET", "/health", 200, "-")

    @pytest.mark.parametrize(("request_id", "comment"), [("trace-me", "/* request=trace-me */ "), ("bad */ DROP", ""), ("", "")])
    def test_the_request_reaches_the_database(self, request_id: str, comment: str) -> None:
        with postgres.database() as url:
            store = PostgresStore(url)
            token = REQUEST.set(request_id)
            with store._database.transaction(Access.local("alice")), psycopg.connect(url) as looking:
                seen = looking.execute("SELECT query FROM pg_stat_activity WHERE state = 'idle in transaction'").fetchall()
            REQUEST.reset(token)
            store.close()
        assert any(query.startswith(f"{comment}SELECT set_config") for (query,) in seen)


class TestMetrics:
    def test_counted_by_route_and_never_by_name(self, serve: Serve) -> None:
        client = serve(API_KEYS=json.dumps({"alice": SECRET}), METRICS_TOKEN="scrape")
        id = client.post("/api/memories", json={"content": "counted"}, headers={"X-API-Key": SECRET}).json()["id"]
        client.get(f"/api/memories/{id}", headers={"X-API-Key": SECRET})
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 401
        told = client.get("/metrics", headers={"Authorization": "Bearer scrape"}).text
        assert 'bethink_requests_total{method="GET",route="/api/memories/{id}",status="200"}' in told
        assert "bethink_recall_seconds" in told and id not in told and "alice" not in told

    def test_memories_are_counted_by_category_on_either_database(self, world: World) -> None:
        world.stored("alice", category="patterns")
        expected = world.server.store.totals()  # type: ignore[attr-defined]  # of both stores, not of the port
        counts = metrics.text(metrics.Counts(world.server.store)).decode()
        assert f'bethink_memories{{category="patterns"}} {float(expected["patterns"])}' in counts
        assert "bethink_pending_vectors " in counts
        assert ("bethink_database_pool" in counts) == (world.name == "postgres")


class TestDocs:
    def test_the_page_and_all_that_it_loads_come_from_here(self, serve: Serve) -> None:
        client = serve()
        page = client.get("/docs")
        assert page.status_code == 200 and "https:" not in page.text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(loaded) == 3 and all(each.startswith("/docs/") for each in loaded)
        for each in loaded:
            assert client.get(each).status_code == 200 and len(client.get(each).content) > 500
        policy = page.headers["content-security-policy"]
        assert "http" not in policy and "default-src 'none'" in policy
        (inline,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() in policy
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


class Slow:
    """An embedder that waits until it may."""

    identity = Identity("slow", "1", 2)
    ready = True

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: list[str] = []

    def passages(self, texts: Any) -> list[list[Passage]]:
        return [[] for _ in texts]

    def query(self, text: str) -> QueryVectors:
        import numpy as np

        self.asked.append(text)
        assert self.may.wait(20)
        return QueryVectors(np.ones(2, np.float32), np.ones((0, 0), np.float32), ())


class TestEmbedding:
    def test_a_full_queue_is_said_at_once_and_equal_questions_are_embedded_once(self) -> None:
        slow = Slow()
        queued = QueuedEmbedder(slow, size=4, patience=20)
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(queued.query, "first")
            while not slow.asked:
                pass
            waiting = [pool.submit(queued.query, "the same") for _ in range(4)]
            while queued._jobs.qsize() < 4:
                pass
            with pytest.raises(EmbedderUnavailable):
                queued.query("one too many")
            slow.may.set()
            assert all(each.result(20) is not None for each in (first, *waiting))
        assert slow.asked == ["first", "the same"]
        queued.close()

    def test_what_waits_goes_through_the_model_together(self) -> None:
        class Together(Slow):
            def __init__(self) -> None:
                super().__init__()
                self.batches: list[list[str]] = []

            def queries(self, texts: Sequence[str]) -> list[QueryVectors]:
                self.batches.append(list(texts))
                return [self.query(text) for text in texts]

        slow = Together()
        queued = QueuedEmbedder(slow, patience=20)
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(queued.query, "first")]
            while not slow.asked:
                pass
            answers += [pool.submit(queued.query, f"question {number}") for number in range(3)]
            while queued._jobs.qsize() < 3:
                pass
            slow.may.set()
            assert all(each.result(20) is not None for each in answers)
        assert [len(batch) for batch in slow.batches] == [1, 3]
        queued.close()

    def test_a_question_does_not_wait_for_ever(self) -> None:
        slow = Slow()
        queued = QueuedEmbedder(slow, patience=0.05)
        with pytest.raises(EmbedderUnavailable):
            queued.query("never answered")
        slow.may.set()
        queued.close()


@contextmanager
def listening(name: str, form: logging.Formatter) -> Iterator[list[str]]:
    """What a logger writes meanwhile, formatted."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(form.format(record))

    logger, handler = logging.getLogger(name), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
