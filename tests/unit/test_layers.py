"""What is loaded where: the layers' contracts are import-linter's, the weight of a start is measured here in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Each costs a hook more than it may take, or says that somebody took the wrong door.
HEAVY = {
    "asyncio", "betterleaks", "cryptography", "httpx2", "hvac", "keyring", "mcp", "mcp_types", "numpy", "onnxruntime", "pydantic",
    "rapidfuzz", "requests", "rich", "sqlite_vec", "tokenizers", "typer",
}  # fmt: skip


def loaded(code: str, home: Path) -> set[str]:
    """The top-level packages that are loaded after a new process has run `code`."""
    tail = "\nimport json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    environment = os.environ | {"MEMORY_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    ["errors", "model", "text", "rank", "config", "render", "scan", "guard", "project", "service", "stores.sqlite", "wire", "front.hook"],
)
def test_importing_the_hook_path_loads_nothing_heavy(module: str, home: Path) -> None:
    assert loaded(f"import bethink.{module}", home) & HEAVY == set()


def test_keyword_recall_loads_nothing_heavy(home: Path) -> None:
    store = "from bethink import Draft, open_memories\nm = open_memories()\nm.remember(Draft('the harbour is closed in May'))\n"
    loaded(store, home)
    recall = "from bethink import Query, open_memories\nm = open_memories()\nassert m.recall(Query('harbour', mode='keyword')).hits\n"
    assert loaded(recall, home) & HEAVY == set()
