"""A model endpoint on loopback that speaks OpenAI's APIs from a script: `/responses` (Codex), `/chat/completions`, `/models`.

It keeps every request body. The same server stands for any OpenAI-compatible one, with `fail` for its bad days.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: One answer: plain text, or a tool to use: {"name", "arguments", optional "namespace"}.
Answer = str | dict[str, Any]
Script = Callable[[dict[str, Any]], Answer]


def tool(name: str, namespace: str = "", **arguments: Any) -> dict[str, Any]:
    """An answer that uses a tool; Codex puts the tools of an MCP server into a namespace."""
    return {"name": name, "arguments": arguments, **({"namespace": namespace} if namespace else {})}


@dataclass
class FakeOpenAI:
    """`with FakeOpenAI(["hello"]) as model: … model.url … model.requests`; the last answer is repeated.

    `fail` is sent as HTTP status instead of an answer when it is not 0; `delay` seconds pass before each answer.
    """

    script: Script | list[Answer] | Answer = "ok"
    fail: int = 0
    delay: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> FakeOpenAI:
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
        """The base address, with ``/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def seen(self) -> str:
        """All request bodies as one text, to search in."""
        return json.dumps(self.requests, ensure_ascii=False)

    def answer(self, body: dict[str, Any]) -> Answer:
        """The next answer of the script."""
        with self._lock:
            self.requests.append(body)
            if callable(self.script):
                return self.script(body)
            if not isinstance(self.script, list):
                return self.script
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def _handler(fake: FakeOpenAI) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            answer = fake.answer(body)
            time.sleep(fake.delay)
            if fake.fail:
                return self._send(json.dumps({"error": {"message": "scripted"}}).encode(), "application/json", fake.fail)
            responses = self.path.rstrip("/").endswith("/responses")
            if not body.get("stream"):
                value = _response(answer, body) if responses else _completion(answer, body)
                return self._send(json.dumps(value).encode(), "application/json")
            if responses:
                parts = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _response_events(answer, body)]
            else:
                parts = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(answer, body)] + ["data: [DONE]\n\n"]
            return self._send("".join(parts).encode(), "text/event-stream")

        def do_GET(self) -> None:
            models = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
            self._send(json.dumps(models).encode(), "application/json")

        def _send(self, data: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Tests read the requests, not a log."""

    return Handler


def _item(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, str):
        content = [{"type": "output_text", "text": answer, "annotations": []}]
        return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    call = {"type": "function_call", "id": "fc_1", "call_id": f"call_{id(answer):x}", "status": "completed"}
    return {**call, **answer, "arguments": json.dumps(answer["arguments"])}


def _response(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    details: dict[str, Any] = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, **details}
    model = body.get("model", "scripted")
    return {"id": "resp_1", "object": "response", "status": "completed", "model": model, "output": [_item(answer)], "usage": usage}


def _response_events(answer: Answer, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    whole, item = _response(answer, body), _item(answer)
    yield {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}}
    if isinstance(answer, str):
        yield {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": answer}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": whole}


def _message(answer: Answer) -> tuple[dict[str, Any], str]:
    if isinstance(answer, str):
        return {"role": "assistant", "content": answer}, "stop"
    function = {"name": answer["name"], "arguments": json.dumps(answer["arguments"])}
    call = {"index": 0, "id": f"call_{id(answer):x}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _completion(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    message, reason = _message(answer)
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "chat_1", "object": "chat.completion", "model": body.get("model", "scripted"), "choices": [choice], "usage": _USAGE}


def _chunks(answer: Answer, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message, reason = _message(answer)
    frame = {"id": "chat_1", "object": "chat.completion.chunk", "model": body.get("model", "scripted")}
    yield {**frame, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": _USAGE}
