"""An export in http-only mode is whole, or it is an error: a server that is busy, and one that breaks off."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bethink.front import shapes
from bethink.front.cli import app
from bethink.model import Memory, Scope

LINES = [json.dumps(shapes.memory(Memory(id=f"m-{n}", owner="ann", content=f"line {n}", scope=Scope()))).encode() for n in range(3)]
Answer = Callable[[Any, int], None]


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[int]]]:
    """A server that answers every GET so; its address, and the count of requests."""
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(1)
            answer(self, len(asked))

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def busy(status: int, first: int) -> Answer:
    """Asks to wait at the first so many requests; then answers whole."""

    def answer(handler: Any, number: int) -> None:
        body = b"\n".join(LINES) + b"\n"
        if number <= first:
            body = b'{"detail": "Busy.", "hint": "Wait.", "code": "Busy"}'
        handler.send_response(status if number <= first else 200)
        handler.send_header("Content-Type", "application/json" if number <= first else "application/x-ndjson")
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def broken(handler: Any, number: int) -> None:
    """Ends after two whole lines, without saying that this was all."""
    part = LINES[0] + b"\n" + LINES[1] + b"\n"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.close_connection = True


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.chdir(tmp_path)
    settings = {"MEMORY_HOME": str(tmp_path), "MEMORY_API_KEY": "k" * 32, "MEMORY_SYNC_DISABLE": "1", "NO_PROXY": "127.0.0.1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def run(url: str) -> Any:
        monkeypatch.setenv("MEMORY_API_URL", url)
        return CliRunner().invoke(app, ["export"])

    return run


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_and_nothing_is_left_out(export: Callable[[str], Any], status: int) -> None:
    with answering(busy(status, 2)) as (url, asked):
        done = export(url)
    assert done.exit_code == 0 and [one["content"] for one in json.loads(done.stdout)] == ["line 0", "line 1", "line 2"]
    assert len(asked) == 3


def test_a_server_that_stays_busy_is_an_error(export: Callable[[str], Any]) -> None:
    with answering(busy(503, 99)) as (url, asked):
        done = export(url)
    assert done.exit_code != 0 and len(asked) == 5


def test_an_answer_that_breaks_off_is_an_error(export: Callable[[str], Any]) -> None:
    with answering(broken) as (url, asked):
        done = export(url)
    assert done.exit_code != 0 and "broke off" in done.stderr and len(asked) == 1
