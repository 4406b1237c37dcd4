"""The running server against its own OpenAPI document: schemathesis with all its checks, also along links between operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kit.serve import Serving

pytestmark = pytest.mark.slow
KEY = "test" + "-key-of-the-schema"
#: Every check is on, as it is by default. What a schema cannot say (that a time exists, that it ends after it begins) is answered 422 about
#: values that it allows.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]

# What was forgotten can be restored, so that its past is not gone with it.
[[operations]]
include-name = "GET /api/memories/{id}/history"
checks.use_after_free.enabled = false

# Where it came from is a part of its past.
[[operations]]
include-name = "GET /api/memories/{id}/why"
checks.use_after_free.enabled = false
"""
#: Memories that are accepted, so that the links from storing one lead on: of random bodies hardly any is.
LIVES = """
hooks = "hooks.py"

[phases.stateful.generation]
max-examples = 300
"""
HOOKS = """
import itertools

import schemathesis

KEPT = {
    "POST /api/memories": ("content", "tags", "importance"),
    "PUT /api/memories/{id}": ("importance", "tags"),
    "PATCH /api/memories/{id}": ("importance",),
}
NUMBERS = itertools.count()


@schemathesis.hook
def map_body(context, body):
    kept = KEPT.get(context.operation.label)
    if kept is None or not isinstance(body, dict):
        return body
    body = {name: value for name, value in body.items() if name in kept}
    if "content" in kept:
        body["content"] = f"Memory {next(NUMBERS)} is not like any other."
    return body


@schemathesis.hook
def map_query(context, query):
    return {name: value for name, value in (query or {}).items() if name == "limit"}
"""
OF_ONE_MEMORY = r"^/api/memories(/\{id\}(/(history|why|related|links|secret|restore|purge|undo))?)?$"


def examined(folder: Path, config: str, *options: str) -> str:
    """What the server logged meanwhile."""
    settings = folder / "schemathesis.toml"
    settings.write_text(config)
    with Serving(folder, API_KEY=KEY) as server:
        tool = [str(Path(sys.executable).with_name("st")), "--config-file", str(settings), "run", f"{server.url}/openapi.json"]
        usual = ["-H", f"Authorization: Bearer {KEY}", "--continue-on-failure", "--seed", "1"]
        done = subprocess.run([*tool, *usual, *options], capture_output=True, text=True, timeout=280, cwd=folder)
        assert done.returncode == 0, done.stdout[-6000:]
        log = server.told()
    assert "| 500 |" not in log and "Traceback" not in log
    assert KEY not in log
    return log


def test_every_operation_keeps_to_its_description(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    examined(tmp_path, CONFIG, "--max-examples", "20")


def test_the_lives_of_memories(tmp_path: Path) -> None:
    """Stored, deleted, asked for again: what was deleted is not there, what was stored is."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    (tmp_path / "hooks.py").write_text(HOOKS)
    log = examined(tmp_path, LIVES + CONFIG, "--phases", "stateful", "--mode", "positive", "--include-path-regex", OF_ONE_MEMORY)
    lines = log.splitlines()
    for method, end in (("DELETE", "| 200 |"), ("GET", "/history | 200 |"), ("GET", "/links | 404 |"), ("GET", "/related | 404 |")):
        assert any(f"| {method} /api/memories/" in line and end in line for line in lines), (method, end)
