"""`bethink conflicts`, and what `history` says of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bethink.model import Access, Revision
from bethink.stores.sqlite import SQLiteStore
from kit.cli import Add, Run, answered

OPERATIONS = ("0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002")


def lose(home: Path, id: str, operation: str, **fields: Any) -> None:
    """Another machine was faster."""
    note = json.dumps({"operation": operation, "reason": "changed elsewhere", "fields": fields})
    store = SQLiteStore(home / "memory.db")
    with store.write(Access.local("local")) as tx:
        tx.add_revision(Revision(id, 1, datetime.now(UTC), "conflict", {}, "ann", "laptop", None, None, note))
    store.close()


@pytest.fixture
def lost(home: Path, add: Add) -> str:
    """A memory of which two changes lost."""
    id = add("the port is 5432")
    for number, operation in enumerate(OPERATIONS):
        lose(home, id, operation, content=f"the port is {number}")
    return id


def test_conflicts_are_listed_by_their_operation(run: Run, lost: str) -> None:
    told = run("conflicts").stdout
    assert all(f"operation: {operation}" in told for operation in OPERATIONS)
    assert "2 conflicts." in told and "now: the port is 5432" in told


def test_one_is_made_again_and_one_dismissed(run: Run, lost: str) -> None:
    assert answered(run("conflicts", "--reapply", OPERATIONS[0], "--json"))["content"] == "the port is 0"
    (left,) = answered(run("conflicts", "--json"))["conflicts"]
    assert left["operation"] == OPERATIONS[1]
    gone = answered(run("conflicts", "--dismiss", OPERATIONS[1], "--json"))
    assert (gone["action"], [one["operation"] for one in gone["conflicts"]]) == ("dismissed", [OPERATIONS[1]])
    assert run("conflicts").stdout.startswith("0 conflicts.")
    assert answered(run("show", lost, "--json"))["content"] == "the port is 0"


def test_all_are_dismissed_at_once(run: Run, lost: str) -> None:
    assert "2 dismissed" in run("conflicts", "--dismiss-all").stdout
    assert answered(run("conflicts", "--json"))["conflicts"] == []
    assert run("conflicts", "--dismiss-all", "--dismiss", lost).exit_code == 2


@pytest.mark.parametrize("option", ["--reapply", "--dismiss"])
@pytest.mark.parametrize("id", ["", "0", "0198", "0198c0de"])
def test_an_id_that_names_no_conflict_alone_is_refused_with_those_there_are(run: Run, lost: str, option: str, id: str) -> None:
    run("delete", lost)
    refused = run("conflicts", option, id)
    assert refused.exit_code == 2 and all(operation in refused.stderr for operation in OPERATIONS)
    assert len(answered(run("conflicts", "--json"))["conflicts"]) == 2
    assert answered(run("list", "--json"))["total"] == 0


def test_of_a_deleted_memory_the_list_says_so_and_not_what_it_said(run: Run, lost: str) -> None:
    run("delete", lost)
    told = run("conflicts").stdout
    assert "now: deleted" in told and "5432" not in told


def test_the_history_says_in_words_what_lost(run: Run, lost: str) -> None:
    run("conflicts", "--dismiss", OPERATIONS[1])
    told = " ".join(run("history", lost).stdout.split())
    assert "changed elsewhere" in told and "not taken: content: the port is 1" in told and "{" not in told
    assert f"the change {OPERATIONS[1]}" in told
