"""Distilling against an endpoint with a script: good days and bad ones."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bethink.intake import behave, distil
from bethink.intake.asking import items_in, windows
from bethink.intake.distil import MAX_FAILURES, Plan
from bethink.intake.evidence import Row
from bethink.intake.importing import Importer, discovered
from bethink.intake.models import Budget, ClaudeCode, Endpoint, Refused, Unavailable
from bethink.model import Filter
from bethink.service.memories import Memories
from kit.fake_openai import FakeOpenAI

from .conftest import Talk

QUOTE = "We decided to use PostgreSQL 16 for the billing service"
GOOD = {
    "kind": "decision",
    "content": "The billing service uses PostgreSQL 16.",
    "quote": QUOTE,
    "tags": ["Data Base", "billing"],
    "keywords": "postgres sql storage",
}


def reply(*items: dict[str, Any]) -> str:
    return json.dumps({"items": list(items)})


def conversation(root: Path, session: str = "s1") -> Talk:
    talk = Talk(root, session)
    talk.user(f"{QUOTE} because SQLite locks under load.")
    talk.assistant("Understood, I will set up PostgreSQL.")
    talk.user("The connection pool should have a size of 20.")
    talk.assistant("The pool is configured.")
    talk.user("Thank you, that is all for now.")
    return talk


def imported(memories: Memories, root: Path, home: Path) -> None:
    Importer(memories, home).run(discovered(["claude-code"], {"claude-code": root}))


def run(memories: Memories, url: str, *, seconds: float = 20, run_tokens: int | None = None, **plan: Any) -> distil.DistilReport:
    models = [Endpoint(url, "m", seconds=seconds)]
    return distil.run(memories, models, Plan(workers=2, **plan), Budget(memories, run=run_tokens))


def found(memories: Memories) -> list[Any]:
    return list(memories.store.walk(memories.access, Filter(source="distil", statuses=()), memories.now()))


def test_what_is_proved_becomes_a_candidate_with_its_quote(memories: Memories, transcripts: Path, home: Path) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD)) as model:
        report = run(memories, model.url)
        assert (report.sessions, report.stored, report.failed, report.waiting) == (1, 1, 0, 0)
        assert report.tokens > 0 and memories.states("spend")
        body = model.requests[0]["body"] if "body" in model.requests[0] else model.requests[0]
        assert "json_schema" in json.dumps(body)
        [memory] = found(memories)
        assert (memory.category, memory.status, memory.trust, memory.session) == ("decisions", "candidate", "imported", "s1")
        assert memory.tags == ("data-base", "billing") and "postgres" in memory.expanded_keywords
        origin = dict(memory.origin or {})
        assert origin["quote"] == QUOTE
        [link] = [link for link in memories.links(memory.id) if link.type == "derived_from"]
        assert memories.get(link.target).content.startswith(QUOTE)
        assert memory.created_at == memories.get(link.target).created_at
        # Again: nothing is new, nothing is asked.
        asked = len(model.requests)
        assert run(memories, model.url).sessions == 0 and len(model.requests) == asked


def test_the_same_from_another_session_confirms_it(memories: Memories, transcripts: Path, home: Path) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD)) as model:
        run(memories, model.url)
        conversation(transcripts, "s2")
        imported(memories, transcripts, home)
        assert run(memories, model.url).merged == 1
    [memory] = found(memories)
    assert memory.status == "active"


def test_lies_are_not_believed(memories: Memories, transcripts: Path, home: Path) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    lies = [{**GOOD, "quote": "We chose MySQL 8 for billing"}, {**GOOD, "content": "The billing service uses PostgreSQL 17."}]
    with FakeOpenAI(reply(*lies)) as model:
        report = run(memories, model.url)
    assert report.stored == 0 and report.rejected == {"quote not found": 1, "not in what was said": 1}
    assert found(memories) == []


@pytest.mark.parametrize(
    "answer", ["I cannot help with that.", '{"items": [{"kind": ', "[]", '{"things": 1}', "", '{"items": "none"}', "{" * 5000]
)
def test_what_is_no_answer_fails_the_session_three_times_at_most(memories: Memories, transcripts: Path, home: Path, answer: str) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    with FakeOpenAI(answer) as model:
        for failures in range(1, MAX_FAILURES + 1):
            report = run(memories, model.url)
            assert report.failed == 1 and report.problems[0]["session"] == "s1"
            assert memories.states("distil")["s1"]["failures"] == failures
        asked = len(model.requests)
        assert run(memories, model.url).capped == 1 and len(model.requests) == asked
    assert distil.reset_failures(memories, "nobody") == 0
    assert distil.reset_failures(memories, "s") == 1
    with FakeOpenAI(reply(GOOD)) as model:
        assert run(memories, model.url).stored == 1


def test_an_endpoint_that_refuses_is_passed_over_and_asked_again_when_it_is_back(memories: Memories, transcripts: Path, home: Path) -> None:
    talk = conversation(transcripts)
    talk.user("Always use pnpm instead of npm in this repo.")
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD), fail=500) as model:
        report = run(memories, model.url)
        assert report.failed == 0 and any("HTTP 500" in note for note in report.notes)
    assert memories.states("distil")["s1"]["model"] == "heuristics"
    assert {memory.content for memory in found(memories)} == {
        "Always use pnpm instead of npm in this repo.",
        f"{QUOTE} because SQLite locks under load.",
    }
    with FakeOpenAI(reply(GOOD)) as model:
        assert run(memories, model.url).sessions == 1
    assert memories.states("distil")["s1"]["model"].startswith("m at")


def hanging(answer: Callable[[socket.socket], None]) -> tuple[str, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1", listener


def silent(connection: socket.socket) -> None:
    connection.recv(65_536)
    threading.Event().wait(30)
    connection.close()


def dripping(connection: socket.socket) -> None:
    connection.recv(65_536)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(300):
            connection.sendall(b" ")
            threading.Event().wait(0.1)
    except OSError:
        pass
    connection.close()


@pytest.mark.parametrize("answer", [silent, dripping])
def test_an_endpoint_that_hangs_costs_its_time_and_no_more(
    memories: Memories, transcripts: Path, home: Path, answer: Callable[[socket.socket], None]
) -> None:
    for session in ("s1", "s2", "s3", "s4", "s5", "s6"):
        conversation(transcripts, session)
    imported(memories, transcripts, home)
    url, listener = hanging(answer)
    try:
        report = run(memories, url, seconds=0.6)
    finally:
        listener.close()
    # After three silences it is taken to be down, and patterns take over.
    assert 3 <= report.failed <= 4 and report.failed + report.sessions == 6
    assert "no answer within 1 s" in report.problems[0]["error"]


def test_a_budget_ends_the_run_and_the_rest_waits(memories: Memories, transcripts: Path, home: Path) -> None:
    for session in ("s1", "s2", "s3"):
        conversation(transcripts, session)
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD)) as model:
        report = run(memories, model.url, run_tokens=10)
        assert (report.sessions, report.waiting, report.tokens, model.requests) == (0, 3, 0, [])
        assert "budget of 10 tokens" in report.notes[0]
        assert run(memories, model.url).sessions == 3
        spent = memories.states("spend").popitem()[1]["tokens"]
        conversation(transcripts, "s4")
        imported(memories, transcripts, home)
        capped = distil.run(memories, [Endpoint(model.url, "m")], Plan(), Budget(memories, day=spent + 10))
        assert capped.waiting == 1


def test_a_dry_run_stores_nothing(memories: Memories, transcripts: Path, home: Path) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD)) as model:
        report = run(memories, model.url, dry_run=True)
    assert [one["content"] for one in report.found] == [GOOD["content"]]
    assert found(memories) == [] and memories.states("distil") == {}


def test_a_session_that_goes_on_is_read_from_there(memories: Memories, transcripts: Path, home: Path) -> None:
    talk = conversation(transcripts)
    imported(memories, transcripts, home)
    with FakeOpenAI(reply(GOOD)) as model:
        run(memories, model.url)
        for number in range(20):
            talk.assistant(f"Filler number {number}")
        imported(memories, transcripts, home)
        run(memories, model.url)
        last = json.dumps(model.requests[-1])
        assert "Filler number 19" in last and QUOTE not in last


def test_what_is_noted_is_shown_and_what_is_over_is_withdrawn(memories: Memories, transcripts: Path, home: Path) -> None:
    task = {
        **GOOD,
        "kind": "task",
        "content": "The connection pool still needs a size of 20.",
        "quote": "connection pool should have a size of 20",
    }
    talk = conversation(transcripts)
    imported(memories, transcripts, home)

    def script(body: dict[str, Any]) -> str:
        said = body["messages"][1]["content"]
        if "Filler" not in said:
            return reply(GOOD, task)
        shown = said[said.index("Written down already") :]
        number = next(line.split(".")[0] for line in shown.splitlines() if task["content"] in line)
        assert "over" in body["response_format"]["json_schema"]["schema"]["required"]
        return json.dumps({"items": [], "over": [int(number), 99]})

    with FakeOpenAI(script) as model:
        assert run(memories, model.url).stored == 2
        assert "[2026-10-01]" in model.requests[0]["messages"][1]["content"]
        talk.assistant("Filler: the pool has a size of 20 now.")
        imported(memories, transcripts, home)
        assert run(memories, model.url, dry_run=True).over == 1
        report = run(memories, model.url)
    assert (report.over, report.stored) == (1, 0)
    assert {
        one.content: one.deleted_at is None
        for one in memories.store.walk(memories.access, Filter(source="distil", statuses=(), deleted=True), memories.now())
    } == {task["content"]: False}
    assert [one.content for one in found(memories)] == [GOOD["content"]]


def test_windows_that_overlap_bring_a_finding_once(memories: Memories, transcripts: Path, home: Path) -> None:
    talk = conversation(transcripts)
    for number in range(12):
        talk.assistant(f"Filler number {number} " + "word " * 30)
    talk.user(f"{QUOTE}, as I said; and the pool may grow.")
    imported(memories, transcripts, home)
    counted = iter(range(100))

    def script(body: dict[str, Any]) -> str:
        return reply({**GOOD, "content": f"The billing service runs PostgreSQL 16, as was decided{'.' * (next(counted) + 1)}"})

    with FakeOpenAI(script) as model:
        report = run(memories, model.url, window_tokens=400)
    assert report.windows > 1
    # Once for each of the two messages that say so, however often they were read.
    assert report.stored + report.merged <= 2


def test_windows_cover_everything_and_overlap() -> None:
    rows = [Row(str(number), "user", f"Sentence {number} " + "word " * (2000 if number == 7 else 20)) for number in range(40)]
    listed = list(windows(rows, 300))
    covered = {row.id for window in listed for row in window}
    assert covered == {str(number) for number in range(40)} and len(listed) > 3
    assert any(set(one[-1].id) & set(two[0].id) for one, two in pairwise(listed))
    assert sum(len(row.text) for window in listed for row in window if row.id == "7") >= len(rows[7].text.strip())
    assert list(windows([], 300)) == []


def test_an_answer_that_was_cut_off_keeps_its_whole_items() -> None:
    whole = reply(GOOD, GOOD)
    assert len(items_in(whole)) == 2
    assert len(items_in(whole[:-40])) == 1
    assert len(items_in(f"Sure! Here it is:\n```json\n{whole}\n```")) == 2
    assert (
        items_in('{"items": [{"kind": 3}, null, {"kind": "fact", "content": "a", "quote": "b", "tags": "x", "keywords": 3}]}')[0].tags == ()
    )
    with pytest.raises(Refused):
        items_in(whole[:30])


def test_behaviour_is_read_from_the_users_words_only(memories: Memories, transcripts: Path, home: Path) -> None:
    conversation(transcripts)
    imported(memories, transcripts, home)
    seen = {
        "kind": "behavior",
        "content": "The user sizes the connection pool explicitly, at 20.",
        "quote": "The connection pool should have a size of 20",
        "tags": [],
        "keywords": "",
    }
    lie = {**seen, "content": "The user has the pool configured by others.", "quote": "The pool is configured."}
    with FakeOpenAI(reply(seen, lie)) as model:
        models = [Endpoint(model.url, "m")]
        assert behave.run(memories, models, Plan(), Budget(memories)).sessions == 0
        run(memories, model.url)
        report = behave.run(memories, models, Plan(), Budget(memories))
        assert (report.sessions, report.stored) == (1, 1)
        assert behave.run(memories, models, Plan(), Budget(memories)).sessions == 0
        assert behave.run(memories, models, Plan(dry_run=True), Budget(memories), force=True).sessions == 1
    [memory] = memories.store.walk(memories.access, Filter(source="behave", statuses=()), memories.now())
    assert (memory.category, memory.status) == ("behaviors", "candidate")
    assert behave.run(memories, [], Plan(), Budget(memories)).notes


def test_claude_is_started_without_hooks_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "claude"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, sys\n"
        "sys.stdin.read()\n"
        "seen = {'child': os.environ['BETHINK_CHILD'], 'cwd': os.getcwd(), 'args': sys.argv[1:], 'in': 'CLAUDECODE' in os.environ}\n"
        "print(json.dumps({'result': json.dumps(seen), 'is_error': False, 'usage': {'input_tokens': 5, 'output_tokens': 2}}))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("CLAUDECODE", "1")
    claude = ClaudeCode(str(program))
    assert claude.answers()
    answer = claude.ask("system", "user", {}, 100)
    seen = json.loads(answer.text)
    assert answer.tokens == 7 and seen["child"] == "1" and not seen["in"] and "bethink-errand-" in seen["cwd"]
    assert json.loads(seen["args"][seen["args"].index("--settings") + 1]) == {"disableAllHooks": True}
    assert not Path(seen["cwd"]).exists()
    # Never from within an errand.
    monkeypatch.setenv("BETHINK_CHILD", "1")
    assert not claude.answers()
    with pytest.raises(Unavailable):
        claude.ask("s", "u", {}, 10)
