"""What the doctor leaves behind, and what it sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access
from bethink.stores.sqlite import SQLiteStore
from kit.cli import Add, Run, answered


def contents(home: Path) -> dict[str, list[Any]]:
    """All that the tables hold which a server, or a reader of the log, would ever see."""
    store = SQLiteStore(home / "memory.db")
    tables = ("memories", "pending_ops", "tombstones", "audit", "counters", "replica", "state", "revisions", "pending_vectors", "scopes")
    found = {table: store._db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    store.close()
    return found


@pytest.mark.parametrize("bound", [True, False])
def test_the_doctor_leaves_no_trace(run: Run, add: Add, home: Path, bound: bool) -> None:
    add("the port is 5432")
    if bound:
        store = SQLiteStore(home / "memory.db")
        with store.write(Access.local("local")) as tx:
            tx.log.bind({"server": "s", "principal": "ann", "user": "local", "url": "http://127.0.0.1:9", "owners": ["local"]})
        store.close()
    before = contents(home)
    report = answered(run("doctor", "--json"))
    assert any(check["name"] == "round trip" and "erased again" in check["detail"] for check in report["checks"])
    assert contents(home) == before


def test_the_doctor_sees_that_nothing_can_be_found(run: Run, add: Add, home: Path) -> None:
    add("the port is 5432")
    store = SQLiteStore(home / "memory.db")
    # As after a bad repair: rows go in and the index does not take them.
    store._db.execute("DROP VIEW memories_indexed")
    store._db.execute("CREATE VIEW memories_indexed AS SELECT key, '' content, '' keywords, '' tags, '' category, '' extra FROM memories")
    store.close()
    (bad,) = [check for check in json.loads(run("doctor", "--json").stdout)["checks"] if not check["ok"]]
    assert bad["name"] == "round trip" and "not found again" in bad["detail"] and bad["hint"]


@pytest.mark.parametrize("url", ["not an address", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_bad(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MEMORY_API_URL", url)
    monkeypatch.setenv("MEMORY_API_KEY", "k" * 40)
    examined = run("doctor", "--json")
    (bad,) = [check for check in json.loads(examined.stdout)["checks"] if not check["ok"]]
    assert examined.exit_code == 3 and bad["name"] == "sync" and "MEMORY_API_URL" in bad["detail"] and bad["hint"]
