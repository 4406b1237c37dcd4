"""The commands about people: on the store here, and on the server that it is kept equal with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.cli import Add, Run, answered
from kit.serve import Serving


class TestHere:
    def test_users(self, run: Run) -> None:
        made = run("users", "add", "alice", "--label", "laptop")
        key = made.stdout.strip()
        assert made.exit_code == 0 and key.startswith("bth_") and "\n" not in key
        bot = answered(run("users", "add", "bot", "--scope", "memory:read", "--only-project", "p", "--expires", "90d", "--json"))
        assert bot["project"] == "p" and bot["key"].startswith("bth_")
        listed = {user["name"]: user for user in answered(run("users", "list", "--json"))["users"]}
        assert listed["bot"]["keys"][0]["scopes"] == ["memory:read"] and listed["bot"]["keys"][0]["expires_at"]
        shown = run("users", "list").stdout
        assert "alice" in shown and "laptop" in shown and key not in shown and "hash" not in shown
        assert answered(run("users", "rotate", "alice", "--json"))["key"] != key
        assert answered(run("users", "revoke", "bot", "--json")) == {"name": "bot", "action": "revoked"}
        number = answered(run("users", "list", "--json"))["users"][0]["keys"][-1]["id"]
        assert answered(run("users", "revoke", "--key", number, "--json")) == {"id": number, "action": "revoked"}
        assert "no key" in run("users", "list").stdout and "revoked" in run("users", "list").stdout

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["users", "add", "a b"], 2),
            (["users", "add", "a", "--scope", "all"], 2),
            (["users", "add", "a", "--expires", "soon"], 2),
            (["users", "revoke"], 2),
            (["users", "revoke", "nobody"], 1),
            (["users", "rotate", "nobody"], 1),
            (["spaces", "members", "none"], 1),
            (["spaces", "accept", "none"], 1),
            (["spaces", "create", "@x"], 2),
            (["spaces", "list", "--as", "space:x"], 2),
            (["spaces", "create", "team", "--as", "nobody"], 1),
            (["share", "--tag", "x"], 2),
            (["share", "--with", "local", "--tag", "x"], 2),
            (["share", "nothing", "--with", "nobody"], 1),
            (["unshare", "--tag", "x"], 1),
            (["unshare"], 2),
        ],
    )
    def test_what_goes_wrong_has_its_code_and_a_hint(self, run: Run, arguments: list[str], code: int) -> None:
        plain = run(*arguments)
        assert plain.exit_code == code and plain.stderr.startswith("Error: ")
        as_json = run(*arguments, "--json")
        assert as_json.exit_code == code and {"error", "hint", "code"} <= set(json.loads(as_json.stdout))

    def test_a_space_from_beginning_to_end(self, run: Run, add: Add) -> None:
        run("users", "add", "bob")
        for command in (
            ["spaces", "create", "team"],
            ["spaces", "invite", "team", "bob"],
            ["spaces", "accept", "team", "--as", "bob"],
            ["spaces", "role", "team", "bob", "admin"],
        ):
            assert run(*command).exit_code == 0, command
        add("the port is 5433", "--space", "team")
        add("the port of mine is 5555")
        assert answered(run("spaces", "list", "--as", "bob", "--json"))["spaces"] == [
            {"space": "team", "user": "bob", "role": "admin", "accepted": True}
        ]
        assert {one["user"] for one in answered(run("spaces", "members", "team", "--json"))["members"]} == {"local", "bob"}
        assert [one["content"] for one in answered(run("list", "--space", "team", "--json"))["memories"]] == ["the port is 5433"]
        hits = answered(run("recall", "port", "--json"))["hits"]
        assert {hit["owner"] for hit in hits} == {"space:team", "local"}
        table = run("recall", "port").stdout
        assert table.count("of space:team") == 1 and "of local" not in table
        assert "of space:team" in run("list").stdout and "of space:team" in run("recall", "port", "--space", "team").stdout
        assert run("spaces", "leave", "team").exit_code == 0
        assert run("spaces", "remove", "team", "bob").exit_code == 1
        assert answered(run("recall", "5433", "--json"))["hits"] == []

    def test_sharing(self, run: Run, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
        run("users", "add", "bob")
        run("users", "add", "cid")
        id = add("the port is 5433", "-t", "net")
        assert [one["to"] for one in answered(run("share", id[:13], "--with", "bob", "--with", "cid", "--json"))["shared"]] == [
            "bob",
            "cid",
        ]
        assert run("share", "--tag", "net", "--with", "bob", "--write").exit_code == 0
        listed = run("share", "--list").stdout
        assert "bob" in listed and "write" in listed and id in listed
        monkeypatch.setenv("MEMORY_USER", "cid")
        assert "of local" in run("recall", "port").stdout
        assert [one["owner"] for one in answered(run("share", "--list", "--json"))["received"]] == ["local"]
        monkeypatch.setenv("MEMORY_USER", "local")
        taken = answered(run("unshare", id, "--json"))["taken"]
        assert sorted(one["to"] for one in taken) == ["bob", "cid"]
        monkeypatch.setenv("MEMORY_USER", "cid")
        assert answered(run("recall", "port", "--json"))["hits"] == []


class TestOnTheServer:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Serving]:
        # Made up here: keys of users have another form.
        scopes = {"ann": ["memory:read", "memory:write"], "boss": ["memory:read", "memory:admin"]}
        given = {name: {"key": f"{name}-" + "k" * 20, "scopes": each} for name, each in scopes.items()}
        with Serving(tmp_path / "server", API_KEYS=json.dumps(given)) as made:
            yield made

    def test_a_replica_asks_the_server(self, run: Run, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
        def as_(name: str) -> None:
            monkeypatch.setenv("MEMORY_API_KEY", f"{name}-" + "k" * 20)

        monkeypatch.setenv("MEMORY_API_URL", server.url)
        as_("boss")
        key = answered(run("users", "add", "bob", "--json"))["key"]
        assert [user["name"] for user in answered(run("users", "list", "--json"))["users"]] == ["bob"]
        as_("ann")
        assert run("users", "list").exit_code == 2
        assert run("spaces", "create", "team").exit_code == 0
        assert run("spaces", "create", "team").exit_code == 2
        assert run("spaces", "invite", "team", "bob", "--role", "writer").exit_code == 0
        assert run("spaces", "members", "none").exit_code == 1
        assert run("spaces", "list", "--as", "bob").exit_code == 2
        _, stored = server.ask("POST", "/api/memories", {"content": "the port is 5433"}, key="ann-" + "k" * 20)
        assert run("share", stored["id"], "--with", "bob").exit_code == 0
        monkeypatch.setenv("MEMORY_API_KEY", key)
        assert answered(run("spaces", "accept", "team", "--json"))["accepted"] is True
        assert [one["value"] for one in answered(run("share", "--list", "--json"))["received"]] == [stored["id"]]
        assert run("spaces", "leave", "team").exit_code == 0
        monkeypatch.setenv("MEMORY_API_URL", "http://127.0.0.1:9")
        assert run("spaces", "list").exit_code == 3

    def test_a_memory_that_is_here_is_lent_through_the_log(
        self, run: Run, add: Add, server: Serving, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMORY_API_URL", server.url)
        monkeypatch.setenv("MEMORY_API_KEY", "ann-" + "k" * 20)
        assert run("sync").exit_code == 0
        id = add("the port is 5433")
        told = run("share", id[:13], "--with", "boss")
        assert told.exit_code == 0 and told.stdout == "Shared with boss.\n"
        # A wrong name is told at once, and nothing of it waits.
        wrong = run("share", id, "--with", "boos", "--json")
        assert wrong.exit_code == 1 and json.loads(wrong.stdout)["code"] == "NotFound"
        assert answered(run("sync", "--status", "--json"))["refused"] == 0
        assert answered(run("unshare", id, "--json")) == {
            "action": "unshared",
            "taken": [{"owner": "ann", "kind": "memory", "value": id, "to": "boss", "permission": "read"}],
        }
        assert run("unshare", id).exit_code == 1

    def test_what_is_lent_while_the_server_is_away(self, run: Run, add: Add, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMORY_API_KEY", "ann-" + "k" * 20)
        monkeypatch.setenv("MEMORY_API_URL", server.url)
        assert run("sync").exit_code == 0
        server.stop()
        id = add("the port is 5433", "-t", "net")
        told = run("share", id, "--with", "boss", "--with", "boos")
        assert told.exit_code == 0 and told.stdout.count("when it can be sent") == 2 and "sync --status" in told.stdout
        (waits,) = answered(run("share", id, "--with", "boss", "--write", "--json"))["shared"]
        assert (waits["to"], waits["permission"]) == ("boss", "write") and "cannot be reached" in waits["waits"]
        # What the server alone knows is not kept for later, and that is said.
        for command in (["share", "--tag", "net", "--with", "boss"], ["unshare", "--tag", "net"], ["spaces", "create", "team"]):
            failed = run(*command)
            assert failed.exit_code == 3 and "Nothing was changed" in failed.stderr and "sent later" not in failed.stderr
        assert "ask again" in run("share", "--list").stderr
        server.start()
        assert run("sync").exit_code == 1
        assert "not sent: share" in (status := run("sync", "--status").stdout) and "boos" in status
        given = answered(run("share", "--list", "--json"))["given"]
        assert [(one["value"], one["to"], one["permission"]) for one in given] == [(id, "boss", "write")]
        # Taking back what was refused ends it.
        assert run("unshare", id, "--with", "boos").exit_code == 0
        assert run("sync").exit_code == 0
