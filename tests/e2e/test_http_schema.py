"""The running server against its own OpenAPI document: schemathesis with all its checks, also along links between operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kit.serve import Serving

pytestmark = pytest.mark.slow
KEY = "test" + "-key-of-the-schema"
#: What a schema cannot say (that a time exists, that it ends after it begins) is answered 422 about values that it allows.
CONFIG = """
# DELETE forgets: what was forgotten can be read and restored until it is purged.
[checks.use_after_free]
enabled = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]
"""


def test_every_operation_keeps_to_its_description(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with Serving(tmp_path, API_KEY=KEY) as server:
        tool = [str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run", f"{server.url}/openapi.json"]
        options = ["-H", f"Authorization: Bearer {KEY}", "--checks", "all", "--max-examples", "20", "--continue-on-failure", "--seed", "1"]
        done = subprocess.run([*tool, *options], capture_output=True, text=True, timeout=280, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-6000:]
        log = server.told()
    assert "| 500 |" not in log and "Traceback" not in log
    assert KEY not in log
