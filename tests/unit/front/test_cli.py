"""The commands that store and find: their JSON shapes and scopes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.cli import Add, Run, answered, checkout

HIT = {"id", "content", "category", "tags", "importance", "scope", "project", "created_at", "score", "why"}


def test_add_answers_id_and_action(run: Run) -> None:
    first = answered(run("add", "the harbour is closed in May", "-c", "fact", "-t", "port", "-k", "ship dock", "-i", "0.8", "--json"))
    assert first["action"] == "added"
    assert len(first["id"]) == 36
    again = answered(run("add", "the harbour is closed in May", "-t", "sea", "--json"))
    assert (again["id"], again["action"]) == (first["id"], "merged")
    memory = answered(run("show", first["id"], "--json"))
    assert memory["category"] == "facts"
    assert memory["tags"] == ["port", "sea"]
    assert memory["importance"] == 0.8
    assert memory["source"] == "cli"
    assert memory["trust"] == "user_stated"


def test_every_option_of_add_is_kept(run: Run) -> None:
    given = [
        *("-p", "acme/shop", "--task", "t1", "--source", "tool", "--session", "s1", "--origin", '{"file": "a.md", "start": 3}'),
        *("--ttl", "30d", "--valid-from", "2026-01-01", "--valid-until", "2999-02-01", "--created-at", "2026-01-05T10:00:00+01:00"),
        *("--client", "laptop", "--id", "mine-1"),
    ]
    assert answered(run("add", "a fact with everything", *given, "--json"))["id"] == "mine-1"
    memory = answered(run("show", "mine-1", "--json"))
    assert (memory["scope"], memory["project"], memory["task"]) == ("task", "acme/shop", "t1")
    assert (memory["source"], memory["session"], memory["client"]) == ("tool", "s1", "laptop")
    assert memory["origin"] == {"file": "a.md", "start": 3}
    assert memory["created_at"] == "2026-01-05T09:00:00+00:00"
    assert memory["valid_from"] == "2026-01-01T00:00:00+00:00"
    assert memory["expires_at"] is not None


def test_recall_answers_hits_with_why(run: Run, add: Add) -> None:
    id = add("the harbour is closed in May", "-t", "port")
    answer = answered(run("recall", "harbour", "--json"))
    assert answer["took_ms"] >= 0
    assert [hit["id"] for hit in answer["hits"]] == [id]
    assert set(answer["hits"][0]) >= HIT
    assert 0 < answer["hits"][0]["score"] <= 1
    assert answer["hits"][0]["why"]


def test_recall_of_nothing_says_so(run: Run) -> None:
    assert answered(run("recall", "harbour", "--json"))["hits"] == []
    told = run("recall", "harbour")
    assert told.exit_code == 0
    assert "Nothing relevant is remembered." in told.stdout


def test_recall_for_people_shows_score_age_category_and_why(run: Run, add: Add) -> None:
    id = add("the harbour is closed in May", "-c", "decisions")
    told = run("recall", "harbour", "--explain").stdout
    assert "the harbour is closed in May" in told
    assert "decisions" in told
    assert "just now" in told
    assert "why:" in told
    assert id[:18] in told


def test_recall_filters(run: Run, add: Add) -> None:
    old = add("the harbour of old", "-c", "notes", "-t", "a", "-t", "b", "--created-at", "2020-05-01", "--client", "box")
    new = add("the harbour of today", "-t", "a")

    def found(*options: str) -> list[str]:
        return sorted(hit["id"] for hit in answered(run("recall", "harbour", *options, "--json"))["hits"])

    assert found() == sorted([old, new])
    assert found("-c", "note") == [old]
    assert found("-t", "a", "-t", "b") == [old]
    assert found("--client", "box") == [old]
    assert found("--since", "30d") == [new]
    assert found("--before", "2021-01-01") == [old]
    assert found("--as-of", "2021-01-01") == [old]
    assert len(found("-n", "1")) == 1
    assert found("--min-score", "1") == []


def test_outside_of_a_checkout_everything_is_global(run: Run, add: Add) -> None:
    id = add("global without asking")
    assert answered(run("show", id, "--json"))["scope"] == "global"
    assert answered(run("project", "--json"))["project"] is None


def test_in_a_checkout_its_project_is_meant(run: Run, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout(tmp_path / "shop", "git@github.com:acme/shop.git"))
    mine = add("the harbour of the shop")
    everywhere = add("the harbour of everybody", "--global")
    other = add("the harbour of another", "-p", "acme/other")
    assert answered(run("show", mine, "--json"))["project"] == "github.com/acme/shop"
    assert answered(run("show", everywhere, "--json"))["project"] is None

    def found(*options: str) -> set[str]:
        return {hit["id"] for hit in answered(run("recall", "harbour", *options, "--json"))["hits"]}

    assert found() == {mine, everywhere}
    assert found("--global") == {everywhere}
    assert found("--all-projects") == {mine, everywhere, other}
    assert found("-p", "acme/other") == {everywhere, other}
    assert {hit["id"] for hit in answered(run("-p", "acme/other", "recall", "harbour", "--json"))["hits"]} == {everywhere, other}
    assert answered(run("project", "--json")) == {"project": "github.com/acme/shop", "found_by": "git remote", "scope": "project"}


def test_a_known_project_is_meant_by_its_last_part(run: Run, add: Add) -> None:
    add("one thing of the shop", "-p", "github.com/acme/shop")
    id = add("another thing of the shop", "-p", "shop")
    assert answered(run("show", id, "--json"))["project"] == "github.com/acme/shop"


def test_memory_project_names_the_project(run: Run, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_PROJECT", "from-env")
    assert answered(run("show", add("in the environment's project"), "--json"))["project"] == "from-env"
    assert "MEMORY_PROJECT (environment)" in run("project").stdout
    assert answered(run("-p", "before", "project", "--json"))["project"] == "before"
    assert answered(run("-p", "before", "project", "-p", "after", "--json"))["project"] == "after"
