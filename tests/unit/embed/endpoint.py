"""A real HTTP server that speaks the three dialects, with the real model behind it, and can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bethink.embed.base import Embedder

PATHS = {"openai": "/v1/embeddings", "ollama": "/api/embed", "tei": "/embed"}


class Endpoint(ThreadingHTTPServer):
    """`fault` is one of "", "500", "401", "hang", "garbage", "html", "short", "narrow", "nan", "zero", "cut", "redirect"."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.embedder = embedder
        self.fault = ""
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body, self.headers.get("Authorization")))
        fault = self.server.fault
        if fault == "hang":
            time.sleep(2)
            return
        if fault in ("500", "401", "redirect"):
            self.send_response({"500": 500, "401": 401, "redirect": 307}[fault])
            self.send_header("Location", f"{self.server.url}/elsewhere")
            self.end_headers()
            self.wfile.write(b'{"error": "out of order"}')
            return
        texts = body.get("input", body.get("inputs"))
        vectors = [self.server.embedder.query(text).vector.tolist() for text in texts]
        if fault == "short":
            vectors = vectors[:-1]
        if fault == "narrow":
            vectors = [vector[:100] for vector in vectors]
        if fault in ("nan", "zero"):
            vectors = [[float("nan") if fault == "nan" else 0.0] * len(vector) for vector in vectors]
        answers: dict[str, Any] = {
            PATHS["openai"]: {"data": [{"index": i, "embedding": vector} for i, vector in reversed(list(enumerate(vectors)))]},
            PATHS["ollama"]: {"model": body.get("model"), "embeddings": vectors},
            PATHS["tei"]: vectors,
        }
        content = json.dumps(answers[self.path]).encode() if self.path in answers else b"{}"
        if fault == "garbage":
            content = b'{"data": "none", "embeddings": {"a": 1}}'
        if fault == "html":
            content = b"<html>Bad gateway</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-20] if fault == "cut" else content)


@contextmanager
def serving(embedder: Embedder) -> Iterator[Endpoint]:
    """An endpoint on a free port of the loopback, while the block runs."""
    server = Endpoint(embedder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
