"""The commands on the store as a whole: export and import, secrets, backup, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.cli import Add, Run, answered


def test_stats_tags_and_context(run: Run, add: Add) -> None:
    add("prefers short answers", "-c", "preferences", "-t", "style")
    gone = add("to be forgotten", "-p", "acme/shop")
    run("delete", gone)
    stats = answered(run("stats", "--json"))
    assert {"total", "by_category", "by_project", "by_source", "deleted", "pending_vectors", "db_bytes"} <= set(stats)
    assert (stats["total"], stats["by_category"], stats["by_source"], stats["deleted"]) == (1, {"preferences": 1}, {"cli": 1}, 1)
    assert answered(run("tags", "--json")) == {"tags": {"style": 1}}
    brief = answered(run("context", "--json"))
    assert [(one["title"], one["memories"][0]["content"]) for one in brief["sections"]] == [("Preferences", "prefers short answers")]
    assert brief["tokens"] > 0
    for command in ("stats", "tags", "context"):
        assert run(command).exit_code == 0


def test_what_is_exported_comes_back_as_it_was(run: Run, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = add("port 5432 of the first", "-p", "acme/shop", "-c", "decisions", "-t", "db", "-k", "postgres", "-i", "0.9")
    other = add("a fact for everybody: 日本語 🎉 «…»", "--created-at", "2020-01-01", "--client", "box", "--origin", "notes.md")
    run("link", one, other, "--type", "see_also", "--note", "compare")
    exported = run("export", "--json").stdout
    assert len(json.loads(exported)) == 2
    file = tmp_path / "out.json"
    file.write_text(exported, "utf-8")
    monkeypatch.setenv("MEMORY_HOME", str(tmp_path / "elsewhere"))
    outcome = answered(run("import", str(file), "--json"))
    assert (outcome["added"], outcome["links"], outcome["errors"]) == (2, 1, [])
    same = ("id", "content", "category", "tags", "expanded_keywords", "importance", "scope", "project", "source", "trust", "status")
    times = ("created_at", "client", "origin", "links")
    back = json.loads(run("export").stdout)
    assert [{name: each.get(name) for name in (*same, *times)} for each in back] == [
        {name: each.get(name) for name in (*same, *times)} for each in json.loads(exported)
    ]
    again = answered(run("import", str(file), "--json"))
    assert (again["added"], again["merged"]) == (0, 2)
    assert len(json.loads(run("export").stdout)) == 2


def test_near_duplicates_of_an_export_are_not_judged_again(run: Run, add: Add, tmp_path: Path) -> None:
    contents = ["the staging database listens on port 5432", "the staging database listens on port 5433"]
    file = tmp_path / "two.json"
    file.write_text(json.dumps([{"id": f"id-{n}", "content": content} for n, content in enumerate(contents)]))
    assert answered(run("import", str(file), "--json"))["added"] == 2
    assert answered(run("list", "--json"))["total"] == 2


def test_import_of_a_plain_array_reports_what_it_refuses(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plain.json"
    entries: list[Any] = [
        {"content": "one", "category": "fact", "embedding": [1, 2]},
        {"content": "two words", "tags": "a, b", "importance": 1},
        {"content": ""},
        "text",
        {"content": "x", "category": "zebra"},
    ]
    file.write_text("\ufeff\n" + json.dumps(entries), "utf-8")
    result = run("import", str(file), "--json")
    outcome = json.loads(result.stdout)
    assert result.exit_code == 2
    assert (outcome["added"], outcome["refused"]) == (2, 3)
    assert outcome["ignored_fields"] == {"embedding": 1}
    assert [(one["entry"], one["code"]) for one in outcome["errors"]] == [(3, "InvalidInput"), (4, "InvalidInput"), (5, "UnknownCategory")]
    assert answered(run("stats", "--json"))["by_source"] == {"import": 2}
    assert "Entry 3: The content is empty." in run("import", str(file)).stderr


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "holds no JSON array"),
        (b"hello", "holds no JSON array"),
        (b'[{"content": "before the fault"}, {"conte', "is not JSON after entry 1"),
        (b'{"content": "a lone object"}', "holds an object without memories"),
        (b'[{"content": "\xff\xfe"}]', "not"),
    ],
)
def test_import_of_what_is_no_list(run: Run, tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(data)
    result = run("import", str(file))
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_entry_that_may_not_be_stored_stops_no_other(run: Run, tmp_path: Path) -> None:
    links = [{"target": "m-3", "type": "see_also"}, {"target": "half \ud83d", "type": "see_also"}, {"target": "a\0b", "type": "refines"}]
    entries = [
        {"id": "m-1", "content": "before", "links": links},
        {"content": "of a space that is not mine", "space": "nobodys"},
        {"id": "m-3", "content": "after", "links": [{"target": "m-1", "type": "refines", "note": "n" * 800}]},
    ]
    file = tmp_path / "some.json"
    file.write_text(json.dumps(entries))
    result = run("import", str(file), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["added"], told["refused"], told["links"], told["links_without_end"]) == (2, 2, 1, 2, 2)
    assert [(one["entry"], one["code"]) for one in told["errors"]] == [(2, "Forbidden")]


def test_import_reads_an_object_lines_and_stdin(run: Run, tmp_path: Path) -> None:
    assert answered(run("import", "-", "--json", input='{"memories": [{"content": "in an object"}]}'))["added"] == 1
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"content": "first line"}\nbroken\n{"content": "third line"}\n')
    outcome = json.loads(run("import", str(lines), "--json").stdout)
    assert (outcome["added"], outcome["refused"]) == (2, 1)
    assert run("import", str(tmp_path / "missing.json")).exit_code == 2


def test_export_filters_and_markdown(run: Run, add: Add) -> None:
    task = add("in a task of the shop", "-p", "acme/shop", "--task", "t1")
    shop = add("in the shop as a whole", "-p", "acme/shop", "-t", "x")
    everywhere = add("for everybody in the world", "--created-at", "2020-01-01")
    waits = add("from the web, unconfirmed", "--source", "web")

    def exported(*options: str) -> set[str]:
        return {one["id"] for one in json.loads(run("export", *options).stdout)}

    assert exported() == {task, shop, everywhere}
    assert exported("-p", "acme/shop") == {task, shop}
    assert exported("--global") == {everywhere}
    assert exported("-t", "x") == {shop}
    assert exported("--before", "2021-01-01") == {everywhere}
    assert exported("--since", "30d") == {task, shop}
    assert exported("--every-status") == {task, shop, everywhere, waits}
    markdown = run("export", "--format", "markdown").stdout
    assert markdown.startswith("# Memories\n\n## facts\n")
    assert "- in the shop as a whole `x`" in markdown
    assert run("export", "--format", "yaml").exit_code == 2


def test_backup_is_a_store(run: Run, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id = add("to be kept")
    copy = tmp_path / "copy.db"
    assert answered(run("backup", str(copy), "--json"))["bytes"] == copy.stat().st_size
    assert run("backup", str(copy)).exit_code == 2
    assert run("backup", str(tmp_path / "no" / "copy.db")).exit_code == 2
    monkeypatch.setenv("MEMORY_DB", str(copy))
    assert answered(run("show", id, "--json"))["content"] == "to be kept"


def test_audit(run: Run, add: Add, home: Path) -> None:
    import apsw

    id = add("written down")
    assert [entry["subject"] for entry in answered(run("audit", "--json"))["entries"]] == [id]
    assert answered(run("audit", "--verify", "--json")) == {"entries": 1, "intact": True, "first_broken": None}
    db = apsw.Connection(str(home / "memory.db"))
    db.execute("UPDATE audit SET actor = 'somebody else'")
    db.close()
    broken = run("audit", "--verify")
    assert broken.exit_code == 3
    assert "changed at entry 1" in broken.stderr
    assert run("audit", "--verify", "--json").exit_code == 3


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDER", "onnx")
    report = answered(run("doctor", "--json"))
    assert report["ok"] is True
    assert {check["name"] for check in report["checks"]} == {
        "settings",
        "round trip",
        "store",
        "audit",
        "embedder",
        "seal",
        "detection",
        "captured",
        "sync",
        "sessions",
    }
    assert {one["name"]: one["origin"] for one in report["settings"]}["MEMORY_HOME"] == "environment"
    assert report["unknown_variables"] == [{"name": "MEMORY_EMBEDER", "did_you_mean": "MEMORY_EMBEDDER"}]
    assert report["store"]["integrity"] == "ok"
    stats = answered(run("stats", "--json"))
    assert (stats["total"], stats["deleted"]) == (0, 0)
    told = run("doctor").stdout
    assert "Did you mean MEMORY_EMBEDDER?" in told
    assert "erased again" in told


def test_doctor_names_what_is_broken(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "memory.db").write_bytes(b"this is not a database at all" * 100)
    broken = run("doctor", "--json")
    assert broken.exit_code == 3
    report = json.loads(broken.stdout)
    assert report["ok"] is False
    assert report["settings"]
    monkeypatch.setenv("MEMORY_CONTEXT_TOKENS", "many")
    assert "MEMORY_CONTEXT_TOKENS" in run("doctor").stdout


def test_secrets_are_sealed_and_shown_one_at_a_time(run: Run) -> None:
    key = "ghp_" + "Zx9" * 12
    stored = answered(run("add", f"the deploy token is {key}", "--json"))
    assert stored["sealed"]
    for command in (
        ("show", stored["id"]),
        ("recall", "deploy token"),
        ("export",),
        ("list",),
        ("history", stored["id"]),
        ("why", stored["id"]),
    ):
        assert key not in run(*command).output
    listed = answered(run("secrets", "list", "--json"))
    assert [one["id"] for one in listed["secrets"]] == [stored["id"]]
    assert key in json.dumps(answered(run("secrets", "show", stored["id"], "--json"))["secrets"])
    assert any(entry["action"] == "read-secret" for entry in answered(run("audit", "--json"))["entries"])
    assert answered(run("secrets", "rotate", "--json")) == {"moved": 1, "unchanged": 0, "failed": 0, "errors": []}
    assert answered(run("secrets", "migrate", "--json"))["failed"] == 0
    assert key in run("secrets", "show", stored["id"]).stdout
    whole = answered(run("add", "the safe is behind the picture", "--force-sensitive", "--json"))
    assert answered(run("show", whole["id"], "--json"))["content"] == "[REDACTED:content]"
    assert "behind the picture" in run("secrets", "show", whole["id"]).stdout
    assert run("secrets", "show", answered(run("add", "nothing secret", "--json"))["id"]).exit_code == 1
    assert answered(run("secrets", "scan", "--json")) == {"sealed": 0}


def test_an_export_of_many_is_whole(run: Run) -> None:
    ids = [f"id-{n}" for n in range(450)]
    given = "".join(json.dumps({"id": id, "content": f"{id} stands for itself", "source": "transcript"}) + "\n" for id in ids)
    run("add", "--stdin-jsonl", input=given)
    assert json.loads(run("export").stdout) == []
    assert [one["id"] for one in json.loads(run("export", "--archive").stdout)] == ids


def test_import_of_prose_stores_it_in_parts(run: Run, tmp_path: Path) -> None:
    paragraphs = [
        f"Paragraph {n} is about {word}. " + f"It says a lot of {word}. " * 40 for n, word in enumerate(("tides", "winds", "locks"))
    ]
    file = tmp_path / "book.md"
    file.write_text("\n\n".join(paragraphs))
    outcome = answered(run("import", "--text", str(file), "-t", "book", "--json"))
    stored = json.loads(run("export").stdout)
    assert outcome["memories"] == len(stored) >= 3
    assert {one["category"] for one in stored} == {"notes"}
    assert all(one["tags"] == ["book"] for one in stored)
    assert stored[0]["origin"] == {"file": str(file), "line": 1}
    assert answered(run("import", "--text", str(file), "--json"))["memories"] == 0
    file.write_bytes(b"\xff\xfe")
    assert run("import", "--text", str(file)).exit_code == 2


def test_since_when_something_is_superseded_survives_an_export(run: Run, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = add("the port is 5432", "--created-at", "2026-01-01")
    add("the port is 5433", "--created-at", "2026-02-01", "--supersedes", old)
    before = answered(run("show", old, "--json"))
    assert (before["status"], before["superseded_at"]) == ("superseded", "2026-02-01T00:00:00+00:00")
    file = tmp_path / "every.json"
    file.write_text(run("export", "--every-status").stdout)
    monkeypatch.setenv("MEMORY_HOME", str(tmp_path / "another"))
    assert answered(run("import", str(file), "--json"))["added"] == 2
    after = answered(run("show", old, "--json"))
    assert {**after, "links": [], "seq": 0, "updated_at": ""} == {
        **before,
        "links": [],
        "seq": 0,
        "updated_at": "",
        "version": after["version"],
    }
    asked = ("list", "--as-of", "2026-01-15", "--json")
    assert [one["content"] for one in answered(run(*asked))["memories"]] == ["the port is 5432"]
