"""Language models that can be asked: an OpenAI-compatible endpoint, and Claude Code started for one answer."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from bethink import text
from bethink.intake.turns import ERRAND

if TYPE_CHECKING:
    from bethink.service.memories import Memories

#: An answer longer than this is no answer.
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_PROBE_SECONDS: Final = 2.0
#: So many silences in a row, and the endpoint is taken to be down for this run.
_SILENCES: Final = 3
SPEND: Final = "spend"


class Unavailable(Exception):
    """The model cannot be asked now; the next in the chain is."""


class Refused(Exception):
    """The model answered with something that is no answer, or too late."""


class Spent(Exception):
    """The budget does not allow another question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said. `tokens` counts the question too."""

    text: str
    tokens: int
    seconds: float


class Model(Protocol):
    """Something that answers a question with JSON."""

    name: str

    def ask(self, system: str, user: str, schema: Mapping[str, Any], max_tokens: int) -> Answer:
        """The answer to one question.

        Raises:
            Unavailable, Refused
        """
        ...


class Endpoint:
    """An OpenAI-compatible chat endpoint, such as Ollama's, llama.cpp's, vLLM's or a provider's.

    Args:
        url: with ``/v1``.
        seconds: most time that one answer may take in all, however slowly it drips.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, seconds: float = 120.0) -> None:
        self.name = f"{model} at {urlsplit(url).netloc}"
        self._url = url.rstrip("/")
        self._model = model
        self._key = key
        self._seconds = seconds
        self._formatted = True
        self._silences = 0

    def answers(self) -> bool:
        """Whether something is there that speaks the protocol."""
        try:
            status, _ = self._call("GET", "/models", None, _PROBE_SECONDS)
        except (Unavailable, Refused):
            return False
        return status < 500

    def ask(self, system: str, user: str, schema: Mapping[str, Any], max_tokens: int) -> Answer:
        if self._silences >= _SILENCES:
            raise Unavailable(f"{self.name} did not answer {_SILENCES} times in a row")
        started = time.monotonic()
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": 0,
            "max_tokens": max_tokens,
            "stream": False,
        }
        formatted = {"type": "json_schema", "json_schema": {"name": "items", "strict": True, "schema": schema}}
        status, data = self._call("POST", "/chat/completions", {**body, "response_format": formatted} if self._formatted else body)
        if status in (400, 422) and self._formatted:
            # Older servers know no schema; the question asks for JSON as well.
            self._formatted = False
            status, data = self._call("POST", "/chat/completions", body)
        if status in (401, 403, 404, 429) or status >= 500:
            raise Unavailable(f"{self.name} answered HTTP {status}")
        if status != 200:
            raise Refused(f"HTTP {status}")
        return self._answer(data, text.tokens(system + user), time.monotonic() - started)

    def _answer(self, data: bytes, asked: int, seconds: float) -> Answer:
        try:
            reply = json.loads(data)
            said = reply["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise Refused("the reply is not what the protocol says") from None
        if not isinstance(said, str):
            raise Refused("no text came back")
        usage = reply.get("usage")
        counted = usage.get("total_tokens") if isinstance(usage, dict) else None
        return Answer(said, counted if isinstance(counted, int) else asked + text.tokens(said), seconds)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float | None = None) -> tuple[int, bytes]:
        parts = urlsplit(self._url + path)
        limit = seconds or self._seconds
        end = time.monotonic() + limit
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "localhost", parts.port, timeout=limit)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self._key}"} if self._key else {})}
        try:
            try:
                connection.request(method, parts.path, json.dumps(body) if body is not None else None, headers)
            except (OSError, http.client.HTTPException) as error:
                raise Unavailable(f"{self.name} cannot be reached: {error}") from None
            try:
                status, data = self._read(connection, end)
            except TimeoutError:
                self._silences += 1
                raise Refused(f"no answer within {limit:.0f} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise Refused(f"the connection broke: {error}") from None
            self._silences = 0
            return status, data
        finally:
            connection.close()

    def _read(self, connection: http.client.HTTPConnection, end: float) -> tuple[int, bytes]:
        reply = connection.getresponse()
        pieces: list[bytes] = []
        size = 0
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
            piece = reply.read1(65_536)
            if not piece:
                return reply.status, b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_ANSWER_BYTES:
                raise Refused("the answer never ends")


class ClaudeCode:
    """`claude -p`: the user's own subscription. It runs without hooks, tools and MCP servers, in a folder of its own."""

    def __init__(self, program: str = "claude", *, model: str = "haiku", seconds: float = 120.0) -> None:
        self.name = f"claude -p ({model})"
        self._program = program
        self._model = model
        self._seconds = seconds

    def answers(self) -> bool:
        """Whether the program is there, and we were not started by it on an errand of ours."""
        return not os.environ.get("BETHINK_CHILD") and shutil.which(self._program) is not None

    def ask(self, system: str, user: str, schema: Mapping[str, Any], max_tokens: int) -> Answer:
        program = shutil.which(self._program)
        if program is None or os.environ.get("BETHINK_CHILD"):
            raise Unavailable(f"{self._program} is not installed")
        started = time.monotonic()
        prompt = f"{system}\n\nAnswer with one JSON object of this schema and nothing else:\n{json.dumps(schema)}\n\n{user}"
        quiet = json.dumps({"disableAllHooks": True})
        command = [program, "-p", "--model", self._model, "--output-format", "json", "--max-turns", "1", "--strict-mcp-config"]
        command += ["--tools", "", "--no-session-persistence"]
        environment = {name: value for name, value in os.environ.items() if name not in ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT")}
        environment |= {"BETHINK_CHILD": "1", "MEMORY_HOOK_CHILD": "1"}
        with tempfile.TemporaryDirectory(prefix=ERRAND) as folder:
            try:
                done = subprocess.run(
                    [*command, "--settings", quiet],
                    input=prompt.encode("utf-8", "replace"),
                    capture_output=True,
                    cwd=folder,
                    env=environment,
                    timeout=self._seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise Refused(f"no answer within {self._seconds:.0f} s") from None
            except OSError as error:
                raise Unavailable(f"{self._program} cannot be started: {error.strerror}") from None
        if done.returncode:
            raise Unavailable(f"{self._program} ended with {done.returncode}")
        said, counted = _of_claude(done.stdout)
        return Answer(said, counted or text.tokens(prompt + said), time.monotonic() - started)


def _of_claude(output: bytes) -> tuple[str, int]:
    try:
        reply = json.loads(output)
        said = reply["result"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused("the reply is not what `--output-format json` says") from None
    if not isinstance(said, str) or reply.get("is_error"):
        raise Refused("it reports an error")
    usage = reply.get("usage")
    counts = (
        [value for name, value in usage.items() if name.endswith("_tokens") and isinstance(value, int)] if isinstance(usage, dict) else []
    )
    return said, sum(counts)


class Budget:
    """How many tokens may be spent: in this run and per day. Safe for several threads and processes."""

    def __init__(self, memories: Memories, *, run: int | None = None, day: int | None = None) -> None:
        self._memories = memories
        self._run = run
        self._day = day
        self._lock = threading.Lock()
        self.tokens = 0
        self.calls = 0
        self.seconds = 0.0
        #: Asked and not answered yet.
        self._promised = 0

    def reserve(self, tokens: int) -> None:
        """Sets tokens aside for a question.

        Raises:
            Spent: they are not there.
        """
        with self._lock:
            spent = self.tokens + self._promised + tokens
            if self._run is not None and spent > self._run:
                raise Spent(f"the run's budget of {self._run:,} tokens is spent")
            if self._day is not None and self.today()["tokens"] + self._promised + tokens > self._day:
                raise Spent(f"the day's budget of {self._day:,} tokens is spent")
            self._promised += tokens

    def settle(self, reserved: int, answer: Answer | None) -> None:
        """Books what a question cost; nothing when it was not answered."""
        with self._lock:
            self._promised -= reserved
            if answer is None:
                return
            self.tokens += answer.tokens
            self.calls += 1
            self.seconds += answer.seconds
            self._memories.change_state(SPEND, _today(), lambda was: _added(was, answer))

    def today(self) -> dict[str, Any]:
        """What was spent today, by every process."""
        return {"tokens": 0, "calls": 0, "seconds": 0.0, **self._memories.states(SPEND).get(_today(), {})}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _added(was: dict[str, Any] | None, answer: Answer) -> dict[str, Any]:
    spent = was or {}
    return {
        "tokens": int(spent.get("tokens", 0)) + answer.tokens,
        "calls": int(spent.get("calls", 0)) + 1,
        "seconds": round(float(spent.get("seconds", 0.0)) + answer.seconds, 2),
    }
