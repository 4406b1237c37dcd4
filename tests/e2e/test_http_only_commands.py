"""Every command in http-only mode: it answers what it answers with a store here, or says why it cannot. Made from the list of commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bethink.front.cli import app
from bethink.front.cli.commands import COMMANDS
from kit.lines import Line, authority
from kit.serve import Serving

KEY = "-".join(("a", "key", "for", "tests", "only", "0123456789"))
SHOP = "github.com/acme/shop"


def _id(number: int) -> str:
    return f"0198c0de-0000-7000-8000-{number:012d}"


#: What both stores hold before: the same ids, so that both are asked the same.
BEFORE: list[dict[str, Any]] = [
    {"content": "The ferry leaves at nine", "tags": ["ferry", "times"], "created_at": "2020-01-01", "session": "s-1"},
    {"content": "The ferry leaves at ten", "tags": ["ferry"], "created_at": "2022-01-01", "project": SHOP},
    {"content": "Herons stand on one leg while they sleep", "tags": ["birds"], "created_at": "2021-01-01"},
    {"content": "Herons stand on one leg while they sleep.", "tags": ["birds"], "created_at": "2021-02-01"},
    {"content": "Deploys go out on Tuesdays", "category": "decisions", "project": SHOP, "task": "release"},
    {"content": "We like tabs", "category": "preferences", "trust": "user_stated"},
    {"content": "The harbour closes in January", "status": "candidate"},
    {"content": "The harbour opens in March", "status": "candidate"},
    {"content": "Soup is served at noon", "derived_from": [_id(0)], "links": [{"target": _id(9), "type": "see_also", "note": "a note"}]},
    {"content": "Bread is baked at four", "links": [{"target": _id(8), "type": "supports"}, {"target": "nobody", "type": "see_also"}]},
    {"content": "Of another kind", "source": "web", "session": "s-2", "links": [{"target": _id(1), "type": "no-such-type"}]},
]
ENTRIES = [{"id": _id(number), **entry} for number, entry in enumerate(BEFORE)]
#: What differs between two stores that hold the same.
VOLATILE = {
    *("took_ms", "why", "score", "created_at", "updated_at", "superseded_at", "deleted_at", "at", "owner", "actor", "client", "agent"),
    *("digest", "number", "db_bytes", "batch", "tokens", "seq"),
}


@dataclass(frozen=True)
class Case:
    """Commands that are run one after the other on either side; `{file}` is a file of memories, `{batch}` the last rollback."""

    commands: tuple[tuple[str, ...], ...]
    #: Whether only the form is compared, not the values.
    loosely: bool = False


def case(*commands: str, loosely: bool = False) -> Case:
    import shlex

    return Case(tuple(tuple(shlex.split(command)) for command in commands), loosely)


WORKS: dict[str, Case] = {
    "add": case("add 'Trains leave on time' -t rail --id 0198c0de-0000-7000-8000-0000000000aa", "add 'Trains leave on time'", loosely=True),
    "import": case("import {file}", "import {file}", "import {lines} -t more -p acme/other", "list --all-projects", loosely=True),
    "edit": case(f"edit {_id(2)} --content 'Herons sleep on one leg' -i 0.9", f"edit {_id(2)} -i 7", "edit nobody -i 0.1"),
    "delete": case(f"delete {_id(2)}", f"delete {_id(2)}", f"show {_id(2)}", "list --deleted"),
    "restore": case(f"delete {_id(2)}", f"restore {_id(2)}", f"restore {_id(2)}", f"show {_id(2)}"),
    "purge": case(f"purge {_id(2)} --yes", f"delete {_id(2)}", f"purge {_id(2)}", f"purge {_id(2)} --yes", f"show {_id(2)}"),
    "recall": case(
        "recall ferry",
        "recall ferry --as-of 2021-01-01",
        "recall 'when does the ferry leave' -p shop",
        "recall harbour --status candidate",
        "recall ferry -t ferry -t times",
        "recall ferry --since whenever",
    ),
    "list": case(
        "list --all-projects -n 1000000",
        "list --all-projects -t ferry -t times",
        "list --all-projects --as-of 2021-01-15",
        "list --all-projects --session s-2",
        "list -p shop --task release",
        "list --all-projects --status any --sort oldest --offset 2 -n 3",
        "list --as-of never",
    ),
    "show": case(
        f"show {_id(8)}",
        f"edit {_id(0)} --content 'The ferry leaves at eight'",
        f"show {_id(0)} --as-of 2021-01-01",
        f"show {_id(0)} --as-of 2019-01-01",
        f"delete {_id(0)}",
        f"show {_id(0)} --as-of 2021-01-01",
        f"show {_id(0)}",
    ),
    "context": case("context -p shop", "context -p shop --task release", "context --global"),
    "tags": case("tags --all-projects", "tags -p shop", "tags -c preferences"),
    "stats": case("stats", "stats --injections"),
    "export": case("export", "export --every-status -t ferry", "export -p shop", loosely=True),
    "check": case("check 'The ferry leaves at nine'", "check 'Nothing like it was said'", "check x -c nonsense"),
    "history": case(f"edit {_id(2)} -i 0.9", f"history {_id(2)}", f"delete {_id(2)}", f"history {_id(2)}", "history nobody"),
    "why": case(f"why {_id(8)}", "why nobody", loosely=True),
    "link": case(f"link {_id(2)} {_id(3)} --type depends-on --note n", f"link {_id(2)} {_id(2)}", f"link {_id(2)} nobody"),
    "unlink": case(f"link {_id(2)} {_id(3)}", f"unlink {_id(2)} {_id(3)}", f"unlink {_id(2)} {_id(3)}", f"links {_id(2)}"),
    "links": case(f"links {_id(8)}", "links nobody"),
    "undo": case(f"link {_id(2)} {_id(3)} --type supersedes", f"undo {_id(2)}", f"undo {_id(2)}", "undo nobody"),
    "rollback": case("rollback --session s-2", "rollback", "rollback --session s-2 --yes", "list --all-projects", "undo {batch}"),
    "review": case(
        "review",
        f"review --accept {_id(6)} --content 'The harbour closes in winter'",
        f"review --reject {_id(7)}",
        f"review --accept {_id(6)}",
        "review --accept-all --yes",
    ),
    "duplicates": case("duplicates --threshold 0.7", "duplicates --threshold 0.7 -p shop", "duplicates --threshold 0.1"),
    "bulk-delete": case("bulk-delete -t birds", "bulk-delete", "bulk-delete -t birds --yes", "list --all-projects"),
    "tidy": case("tidy", "tidy --accept nothing-of-it", "tidy --yes"),
    "entities": case("entities --add Heron --alias grey --description 'a bird'", "entities", "entities heron", loosely=True),
    "preferences": case("preferences", "preferences --all-projects"),
    "profile": case("profile"),
    "users": case("users add mia", "users list", "users rotate mia", "users revoke mia", loosely=True),
    "spaces": case("spaces add {space}", "spaces", "spaces members {space}", "spaces leave {space}", loosely=True),
    "share": case(f"share {_id(2)} --with ben", "share --list", loosely=True),
    "unshare": case(f"share {_id(2)} --with ben", f"unshare {_id(2)}", f"unshare {_id(2)}", loosely=True),
}
#: Commands that ask for no memory, and what they show instead of it.
HERE = {
    "sync": ("sync --status", "mode"),
    "doctor": ("doctor", "mode"),
    "project": ("project", "scope"),
    "schedule": ("schedule", ""),
    "setup": ("setup --check", ""),
    "session": ("session --session x", "memory"),
    "migrate": ("migrate --sql", ""),
    **dict.fromkeys(("mcp", "hook", "serve"), ("", "")),
}
#: Refused, and why that is right.
REFUSED = {
    "audit": ("audit", "the log is chained over everybody's entries, and only the server can check it"),
    "reindex": ("reindex", "the vectors are the server's"),
    "backup": ("backup {file}.copy", "the file is the server's"),
    "secrets": ("secrets rotate", "the keys are the server's; `secrets show` asks it for one memory's, over https"),
    "conflicts": ("conflicts", "a machine without a copy makes none"),
    "distil": ("distil", "reads past sessions, which are archived where a copy is kept"),
    "signals": ("signals", "as distil"),
    "behave": ("behave", "as distil"),
    "drain": ("drain", "as distil"),
    "archive": ("archive", "as distil"),
}
#: Of commands that work, what is refused all the same.
REFUSED_TOO = {
    "import": "import --claude-code",
    "secrets": "secrets list",
    "sync": "sync",
}


class Side:
    """The command line on one machine, in this process."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = {"MEMORY_HOME": str(folder / "home"), "MEMORY_EMBEDDER": "none", "HOME": str(folder), "NO_PROXY": "127.0.0.1", **env}
        self.names = {"file": str(folder / "before.json"), "lines": str(folder / "more.jsonl"), "space": "team", "batch": "none"}
        folder.mkdir()
        (folder / "before.json").write_text(json.dumps(ENTRIES))
        lines = ('{"content": "one more line"}', "not json", '{"content": ""}', "7", '{"content": "x", "colour": "red"}')
        (folder / "more.jsonl").write_text("\n".join(lines))

    def run(self, words: tuple[str, ...]) -> tuple[int, Any]:
        command = [word.format(**self.names) for word in words]
        done = CliRunner().invoke(app, [*command, *(() if command[0] == "export" else ("--json",))], env=self.env)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        shape = json.loads(done.stdout)
        if isinstance(shape, dict) and shape.get("batch"):
            self.names["batch"] = shape["batch"]
        return done.exit_code, shape


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Side, Side]]:
    """A machine with a store, one with a server's address; both hold the same."""
    monkeypatch.chdir(tmp_path)
    people = {"API_KEYS": json.dumps({"ann": {"key": KEY, "scopes": _SCOPES}, "ben": KEY[::-1]}), "MEMORY_USER": "ann"}
    with Serving(tmp_path / "server", **people) as server:
        env = {"MEMORY_API_URL": server.url, "MEMORY_API_KEY": KEY, "MEMORY_SYNC_DISABLE": "1"}
        local, remote = Side(tmp_path / "local", **people), Side(tmp_path / "remote", **env)
        for side in (local, remote):
            code, told = side.run(("import", "{file}"))
            assert (code, told["added"], told["links"], told["links_without_end"]) == (0, len(ENTRIES), 2, 2), told
        yield local, remote
        assert not list((tmp_path / "remote").rglob("*.db"))


_SCOPES = ["memory:read", "memory:write", "memory:secrets", "memory:admin"]


def plain(shape: Any, loosely: bool) -> Any:
    """An answer without what differs by itself; loosely, without values."""
    match shape:
        case dict():
            return {name: plain(value, loosely) for name, value in shape.items() if name not in VOLATILE}
        case list():
            return [plain(value, loosely) for value in shape]
    return None if loosely else shape


def test_every_command_is_in_one_of_the_tables() -> None:
    assert {*WORKS, *HERE, *REFUSED} == set(COMMANDS)
    assert len(WORKS) + len(HERE) + len(REFUSED) == len(COMMANDS)


@pytest.mark.parametrize("command", WORKS)
def test_it_answers_the_same_as_with_a_store_here(sides: tuple[Side, Side], command: str) -> None:
    local, remote = sides
    for words in WORKS[command].commands:
        here, there = local.run(words), remote.run(words)
        loosely = WORKS[command].loosely or "error" in here[1]
        assert there[0] == here[0], (words, here, there)
        assert plain(there[1], loosely) == plain(here[1], loosely), words
        if "error" in here[1]:
            assert there[1]["code"] in (here[1]["code"], "InvalidInput"), (words, here, there)


def test_what_is_refused_says_why_and_what_to_do(sides: tuple[Side, Side]) -> None:
    _, remote = sides
    for line in (*(line for line, _ in REFUSED.values()), *REFUSED_TOO.values()):
        code, told = remote.run(tuple(line.split()))
        assert code == 2 and "http-only" in told["error"] and told["hint"], (line, told)
    assert all(why for _, why in REFUSED.values())


def test_what_asks_for_no_memory_works(sides: tuple[Side, Side]) -> None:
    _, remote = sides
    for line, name in HERE.values():
        if name:
            code, told = remote.run(tuple(line.split()))
            assert code == 0 and name in told, (line, told)


def test_a_long_file_keeps_its_links_and_sends_no_secret_over_plain_http(sides: tuple[Side, Side]) -> None:
    """More entries than are sent at once: the other end of a link is in another request."""
    _, remote = sides
    canary = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    entries = [
        {
            "id": _id(1000 + number),
            "content": f"Line {number} of a long file",
            "links": [{"target": _id(1000 + 249 - number), "type": "see_also"}],
        }
        for number in range(250)
    ]
    entries.append({"content": f"the deploy token is {canary}"})
    entries.append({"id": _id(2000), "content": "Line 7 of a long file", "links": [{"target": _id(2), "type": "refines"}]})
    Path(remote.names["file"]).write_text(json.dumps({"memories": entries}))
    code, told = remote.run(("import", "{file}"))
    assert (code, told["refused"], told["links"], told["links_without_end"]) == (2, 1, 251, 0), told
    assert told["errors"][0]["code"] == "Forbidden" and told["errors"][0]["entry"] == 251
    assert (told["added"], told["merged"]) == (250, 1)
    ends = [(one["source"], one["target"]) for one in remote.run(("links", _id(1000)))[1]["links"]]
    assert set(ends) == {(_id(1000), _id(1249)), (_id(1249), _id(1000))}
    assert {one["source"] for one in remote.run(("links", _id(2)))[1]["links"]} == {_id(1007)}


def test_an_odd_link_stops_no_other_of_its_file(sides: tuple[Side, Side]) -> None:
    _, remote = sides
    odd = [
        {"target": _id(1), "type": "see_also", "note": "n" * 800},
        {"target": _id(1), "type": "refines", "note": "n" * 200_000},
        {"target": "i" * 200_000, "type": "refines"},
        {"target": _id(2), "type": "depends_on"},
    ]
    entries = [{"id": _id(4000), "content": "An entry with odd links", "links": odd}, {"content": "Of no space", "space": "nobodys"}]
    for side in sides:
        Path(side.names["file"]).write_text(json.dumps(entries))
        code, told = side.run(("import", "{file}"))
        assert (code, told["added"], told["refused"], told["links"], told["links_without_end"]) == (2, 1, 1, 2, 2), told
        assert [one["code"] for one in told["errors"]] == ["Forbidden"]
        assert {one["target"] for one in side.run(("links", _id(4000)))[1]["links"]} == {_id(1), _id(2)}
    # A note that would be read on its way stays here, and holds nothing up.
    links = [
        {"target": _id(1), "type": "see_also", "note": "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"},
        {"target": _id(2), "type": "refines"},
    ]
    Path(remote.names["file"]).write_text(json.dumps([{"id": _id(4001), "content": "An entry with a note", "links": links}]))
    code, told = remote.run(("import", "{file}"))
    assert (code, told["added"], told["links"], told["links_without_end"]) == (0, 1, 1, 1), told


def test_secrets_over_tls(sides: tuple[Side, Side], tmp_path: Path) -> None:
    """Sent to the server's seal and asked for again, as with a store here."""
    local, remote = sides
    canary = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    ca, context = authority(tmp_path / "ca")
    port = int(remote.env["MEMORY_API_URL"].rpartition(":")[2])
    plain_url = remote.env["MEMORY_API_URL"]
    with Line(port, context) as line:
        remote.env |= {"MEMORY_API_URL": f"https://127.0.0.1:{line.port}", "SSL_CERT_FILE": str(ca)}
        for side in sides:
            Path(side.names["file"]).write_text(json.dumps([{"id": _id(3000), "content": f"the deploy token is {canary}"}]))
        for words in (("import", "{file}"), ("secrets", "show", _id(3000)), ("show", _id(3000)), ("secrets", "show", _id(2))):
            here, there = local.run(words), remote.run(words)
            assert there[0] == here[0] and plain(there[1], "error" in here[1]) == plain(here[1], "error" in here[1]), (words, here, there)
        assert canary in remote.run(("secrets", "show", _id(3000)))[1]["secrets"].values()
    remote.env["MEMORY_API_URL"] = plain_url
    code, told = remote.run(("secrets", "show", _id(3000)))
    assert (code, told["code"]) == (2, "Forbidden") and "https" in told["hint"]
