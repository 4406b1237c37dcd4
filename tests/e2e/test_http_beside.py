"""What stands beside the server: Redis that counts for several, a collector of traces, a database that is slow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bethink.errors import ConfigError
from bethink.front.http.limits import Limiter
from kit import postgres
from kit.redis import Redis
from kit.serve import Serving

KEY = "test" + "-key-of-a-team"
KEYS = {"API_KEYS": json.dumps({"ann": KEY, "bob": KEY + "-2"})}


class TestRedis:
    def test_servers_count_together_and_go_on_without_it(self, tmp_path: Path) -> None:
        with Redis() as redis:
            given = {**KEYS, "REDIS_URL": redis.url, "RATE_LIMIT_READ": "3/hour", "RATE_LIMIT_WRITE": "0"}
            with Serving(tmp_path / "a", **given) as one, Serving(tmp_path / "b", **given) as other:

                def ask(server: Serving, key: str = KEY) -> int:
                    return server.ask("GET", "/api/tags", key=key)[0]

                assert [ask(one), ask(other), ask(one), ask(other), ask(one)] == [200, 200, 200, 429, 429]
                assert ask(other, KEY + "-2") == 200
                status, said = other.ask("POST", "/mcp", _called("memory_count"), KEY, Accept="application/json, text/event-stream")
                assert (status, said["code"]) == (429, "TooManyRequests")
                redis.kill()
                # Each counts for itself until it is back, and answers.
                assert [ask(one) for _ in range(4)] == [200, 200, 200, 429]
                assert "rate limits are counted by this process alone" in one.told()

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1", "redis//x", "memory://"])
    def test_what_is_no_redis(self, url: str) -> None:
        with pytest.raises(ConfigError, match="REDIS_URL"):
            Limiter("1/second", "1/second", url)


def _called(name: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


class Collector:
    """An OpenTelemetry collector: takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: set[str] = set()
        self.came = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sent = ExportTraceServiceRequest.FromString(body)
                for resource in sent.resource_spans:
                    outer.resources |= {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
                    outer.spans += [span for scope in resource.scope_spans for span in scope.spans]
                outer.came.set()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_request_is_traced_down_to_the_search(tmp_path: Path) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with collecting() as collector:
        env = {**KEYS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_SERVICE_NAME": "team-memory"}
        with Serving(tmp_path, **env) as server:
            server.ask("POST", "/api/memories", {"content": "a walrus that nobody may know of"}, KEY)
            headers = {"traceparent": f"00-{trace}-{parent}-01", "X-Request-ID": "req-7"}
            status, _ = server.ask("POST", "/api/recall", {"query": "walrus"}, KEY, **headers)
            assert status == 200
            assert server.ask("GET", "/api/entities?query=walrus", key=KEY)[0] == 200
            assert server.ask("POST", "/api/recall", {"query": 7, "walrus": 1}, KEY)[0] == 422
            called = {"Accept": "application/json, text/event-stream"}
            assert server.ask("POST", "/mcp", _called("memory_recall", context="walrus"), KEY, **called)[0] == 200
        # What was not sent yet is sent when the server ends.
        ours = [span for span in collector.spans if span.trace_id.hex() == trace]
        assert collector.resources == {"team-memory"}
        by_name = {span.name: span for span in ours}
        assert len(by_name) == len(ours)
        root = by_name["POST /api/recall"]
        assert root.parent_span_id.hex() == parent
        told = attributes(root)
        assert (told["http.route"], told["http.response.status_code"], told["bethink.request_id"]) == ("/api/recall", 200, "req-7")
        total, search = by_name["recall total"], by_name["recall search"]
        assert total.parent_span_id == root.span_id and search.parent_span_id == total.span_id
        assert {span.name for span in collector.spans} >= {"POST /api/memories", "GET /health"}
        # Spans hold neither contents nor questions nor keys.
        assert not any(word in str(collector.spans) for word in ("walrus", KEY))


def test_a_query_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with postgres.database() as url:
        slow = f"{url}&options=-c%20statement_timeout%3D300"
        with Serving(tmp_path, **KEYS, DATABASE_URL=slow) as server:
            assert server.ask("POST", "/api/memories", {"content": "the walrus sleeps"}, KEY)[0] == 201
            with psycopg.connect(url) as other:
                # Nobody else reads the table until this transaction ends.
                other.execute("LOCK TABLE memories IN ACCESS EXCLUSIVE MODE")
                for method, path, body in (
                    ("POST", "/api/recall", {"query": "walrus"}),
                    ("GET", "/api/memories", None),
                    ("POST", "/api/memories", {"content": "another one"}),
                ):
                    status, said = server.ask(method, path, body, KEY)
                    assert (status, said["code"]) == (503, "StoreBusy"), said
                    assert said["hint"] and "walrus" not in json.dumps(said)
            assert len(server.ask("POST", "/api/recall", {"query": "walrus"}, KEY)[1]) == 1
            assert server.ask("GET", "/api/memories", key=KEY)[1]["total"] == 1
