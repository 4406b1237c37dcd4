"""After a turn: raw first, then what was learned; and never what Bethink itself had said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bethink import render
from bethink.config import Settings
from bethink.intake import injections, spool
from bethink.intake.drain import DrainReport, drain, note_injections
from bethink.intake.importing import Importer, discovered
from bethink.intake.models import Endpoint
from bethink.model import Draft, Filter, Hit
from bethink.service.memories import Memories
from kit.fake_openai import FakeOpenAI

from .conftest import Talk


def spooled(home: Path, user: str, assistant: str, session: str = "s1", **more: Any) -> None:
    record: Mapping[str, Any] = {
        "host": "claude",
        "event": "stop",
        "session": session,
        "cwd": "/home/u/app",
        "project": "github.com/u/app",
        "user": user,
        "assistant": assistant,
        "transcript_path": "",
        "agent_id": "",
        "at": 1_790_000_000 + spooled.__dict__.setdefault("count", 0),
        **more,
    }
    spooled.__dict__["count"] += 1
    spool.write(home, record)


def run(memories: Memories, home: Path, settings: Settings, **more: Any) -> DrainReport:
    return drain(memories, home, settings, **{"models": [], **more})


def stored(memories: Memories, source: str) -> list[Any]:
    return list(memories.store.walk(memories.access, Filter(source=source, statuses=()), memories.now()))


def test_an_exchange_is_kept_as_it_was_said_and_learned_from(memories: Memories, settings: Settings, home: Path) -> None:
    spooled(home, "Always use pnpm instead of npm in this repo.", "Noted, I will use pnpm from here on.")
    report = run(memories, home, settings)
    assert (report.records, report.archived, report.learned, report.left) == (1, 2, 1, 0)
    assert [memory.content for memory in stored(memories, "transcript")] == [
        "Always use pnpm instead of npm in this repo.",
        "Noted, I will use pnpm from here on.",
    ]
    [learned] = stored(memories, "auto-learn")
    assert (learned.category, learned.status, learned.session) == ("preferences", "candidate", "s1")
    assert learned.scope.project == "github.com/u/app" and dict(learned.origin or {})["quote"]
    # In another session it is confirmed; in the same it is not.
    spooled(home, "Always use pnpm instead of npm in this repo!", "Yes.")
    assert run(memories, home, settings).learned == 0
    assert stored(memories, "auto-learn")[0].status == "candidate"
    spooled(home, "Always use pnpm instead of npm in this repo.", "Yes.", session="s2")
    assert run(memories, home, settings).merged == 1
    assert stored(memories, "auto-learn")[0].status == "active"


def test_learning_can_be_turned_off(memories: Memories, settings: Settings, home: Path) -> None:
    off = Settings(MappingProxyType({**settings.values, "MEMORY_LEARN": False}), settings.origins)
    spooled(home, "Always use pnpm instead of npm in this repo.", "Fine.")
    report = run(memories, home, off)
    assert (report.archived, report.learned) == (2, 0)


def test_every_fifth_turn_looks_at_five_exchanges(memories: Memories, settings: Settings, home: Path) -> None:
    with FakeOpenAI('{"items": []}') as model:
        for number in range(1, 6):
            spooled(home, f"Question number {number} about gears", f"Answer number {number} about gears")
        run(memories, home, settings, models=[Endpoint(model.url, "m")])
        asked = [json.dumps(body) for body in model.requests]
    assert len(asked) == 5
    assert "Question number 1" not in asked[3] and all(f"Question number {n}" in asked[4] for n in range(1, 6))


def test_a_model_that_fails_costs_nothing_but_its_answer(memories: Memories, settings: Settings, home: Path) -> None:
    with FakeOpenAI("no JSON at all") as model:
        spooled(home, "Always use pnpm instead of npm in this repo.", "Fine.")
        report = run(memories, home, settings, models=[Endpoint(model.url, "m")])
    assert (report.archived, report.learned, report.left) == (2, 1, 0) and report.notes


def test_what_a_subagent_said_is_kept_and_not_learned_from(memories: Memories, settings: Settings, home: Path) -> None:
    said = "The root cause was a stale `auth_token` entry in session_store.py that never expired."
    spooled(home, "find the bug", said, event="subagent_stop", agent_id="a1")
    report = run(memories, home, settings)
    assert (report.archived, report.learned) == (1, 0)


def test_broken_records_are_set_aside_and_stop_nothing(memories: Memories, settings: Settings, home: Path) -> None:
    (home / "spool").mkdir(parents=True)
    (home / "spool" / "00000000-broken.json").write_text("{nothing")
    (home / "spool" / "00000001-odd.json").write_text('{"session": 3, "at": "x", "user": null, "kept": {"a": 1}, "event": ["stop"]}')
    spooled(home, "A sentence that is kept", "An answer that is kept")
    report = run(memories, home, settings)
    assert (report.failed, report.archived, report.left) == (1, 2, 0)
    assert len(spool.failed(home)) == 1


def test_secrets_of_a_turn_are_in_no_file(memories: Memories, settings: Settings, home: Path) -> None:
    canary = "ghp_" + "Qw8Kq2Lm9Rt4Wv7Yb1Nc" + "5Hd3Jf6Sg0Pa2Qe4"
    spooled(home, f"Always use the token {canary} for pushing to origin.", f"I will push with {canary}.")
    run(memories, home, settings)
    memories.close()
    assert [path for path in home.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()] == []


def test_a_record_that_is_drained_twice_changes_nothing(memories: Memories, settings: Settings, home: Path) -> None:
    spooled(home, "Always use pnpm instead of npm in this repo.", "Noted, I will use pnpm from here on.")
    [path] = spool.pending(home)
    data = path.read_bytes()
    run(memories, home, settings)
    before = memories.stats()["total"]
    path.write_bytes(data)
    assert run(memories, home, settings).records == 1
    assert memories.stats()["total"] == before and memories.states("learn")["s1"]["turns"] == 1


def test_the_hooks_capture_and_the_transcript_are_one(memories: Memories, settings: Settings, transcripts: Path, home: Path) -> None:
    talk = Talk(transcripts)
    talk.user("How is the gearbox of the harvester oiled?")
    talk.assistant("With oil of grade 75, every 200 hours.")
    spooled(home, "How is the gearbox of the harvester oiled?", "With oil of grade 75, every 200 hours.")
    run(memories, home, settings)
    report = Importer(memories, home).run(discovered(["claude-code"], {"claude-code": transcripts}))
    assert (report.memories, report.known) == (0, 2)


def test_what_was_injected_is_audited_once(memories: Memories, home: Path) -> None:
    memory = memories.remember(Draft("The staging database listens on port 5433.")).memory
    for session in ("s1", "s2"):
        injections.note(home, event="prompt", session=session, project=None, ids=[memory.id], tokens=9, milliseconds=1, warm=False)
    assert note_injections(memories, home) == 2
    assert note_injections(memories, home) == 0
    assert [entry.action for entry in memories.why(memory.id).events] == ["store", "inject", "inject"]
    assert memories.verify_audit() is None


def test_five_rounds_of_recall_and_capture_add_no_memory(memories: Memories, settings: Settings, transcripts: Path, home: Path) -> None:
    facts = ["Always deploy the shop with the script deploy.sh.", "We decided to use PostgreSQL 16 for the billing service."]
    made = [memories.remember(Draft(fact, scope=memories.place_of("github.com/u/app"))).memory for fact in facts]
    before = memories.stats()
    for number in range(5):
        session = f"round-{number}"
        block = render.render([Hit(memory, 0.9) for memory in made], now=memories.now()).text
        ids = [memory.id for memory in made]
        injections.note(home, event="prompt", session=session, project=None, ids=ids, tokens=9, milliseconds=1, warm=False)
        prompt = f"{block}\n\nhow do I deploy?"
        answer = "\n".join(["I remember:", *(f"> {fact}" for fact in facts), *(f"- {fact}" for fact in facts)])
        spooled(home, prompt, answer, session=session)
        talk = Talk(transcripts, session)
        talk.user(prompt)
        talk.assistant(answer, ("mcp__bethink__memory_recall", {"context": "deploy"}, block))
        run(memories, home, settings)
        Importer(memories, home).run(discovered(["claude-code"], {"claude-code": transcripts}))
        from bethink.intake import distil, signals
        from bethink.intake.models import Budget

        signals.run(memories)
        distil.run(memories, [], distil.Plan(min_messages=1), Budget(memories))
    after = memories.stats()
    assert {k: v for k, v in after["by_source"].items() if k != "transcript"} == before["by_source"]
    assert all(memories.get(memory.id).version == memory.version for memory in made)
    said = {memory.content for memory in stored(memories, "transcript")}
    assert not any(fact in content for fact in facts for content in said)
