"""A model endpoint on loopback that speaks Anthropic's Messages API from a script, for Claude Code without a network.

It keeps every request body, so that a test can see what reached the model.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: One answer: plain text, or a tool to use.
Answer = str | dict[str, Any]
Script = Callable[[dict[str, Any]], Answer]


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """An answer that uses a tool."""
    return {"name": name, "input": arguments}


@dataclass
class FakeAnthropic:
    """`with FakeAnthropic("hello") as model: … model.url … model.requests`.

    Answers come from the script, one a request; the last is repeated. A function is asked with each request body.
    """

    script: Script | list[Answer] | Answer = "ok"
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> FakeAnthropic:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def seen(self) -> str:
        """All request bodies as one text, to search in."""
        return json.dumps(self.requests, ensure_ascii=False)

    def conversations(self) -> list[dict[str, Any]]:
        """The requests of the conversation itself: not Claude Code's small errands, such as a title for the session."""
        return [body for body in self.requests if body.get("tools")]

    def answer(self, body: dict[str, Any]) -> Answer:
        """The next answer of the script."""
        with self._lock:
            self.requests.append(body)
            if callable(self.script):
                return self.script(body)
            if not isinstance(self.script, list):
                return self.script
            if not body.get("tools"):
                return "ok"
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def _handler(fake: FakeAnthropic) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if "count_tokens" in self.path:
                return self._json({"input_tokens": len(json.dumps(body)) // 4})
            if not self.path.startswith("/v1/messages"):
                return self._json({})
            answer = fake.answer(body)
            if body.get("stream"):
                events = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in _events(answer, body))
                return self._send(events, "text/event-stream")
            return self._json(_message(answer, body))

        def do_GET(self) -> None:
            self._json({"data": []})

        def do_HEAD(self) -> None:
            self._json({})

        def _json(self, value: Any) -> None:
            self._send(json.dumps(value).encode(), "application/json")

        def _send(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Tests read the requests, not a log."""

    return Handler


_USAGE = {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def _block(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"type": "text", "text": answer}
    return {"type": "tool_use", "id": f"toolu_{id(answer):x}", **answer}


def _message(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    reason = "end_turn" if isinstance(answer, str) else "tool_use"
    return {
        "id": f"msg_{id(body):x}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [_block(answer)],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": _USAGE,
    }


def _events(answer: Answer, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message = _message(answer, body)
    block = message["content"][0]
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    if block["type"] == "text":
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": block["text"]}}
    else:
        yield {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None}, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}
