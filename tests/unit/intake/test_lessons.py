"""What patterns find, and above all what they leave alone."""

from __future__ import annotations

import pytest

from bethink.intake.evidence import Item, Row, proved
from bethink.intake.lessons import correction, found_in
from bethink.model import Scope

KEPT = [
    ("preference", "Always use pnpm instead of npm in this repo."),
    ("preference", "From now on, commit messages are in English."),
    ("preference", "I prefer tabs over spaces in Go code."),
    ("preference", "Please never push to the release branch without asking."),
    ("preference", "Ich bevorzuge kurze Antworten ohne Floskeln."),
    ("preference", "Immer pnpm statt npm verwenden."),
    ("preference", "Je préfère les réponses courtes."),
    ("preference", "Prefiero que uses tabuladores en Go."),
    ("decision", "We decided to use PostgreSQL 16 for the billing service."),
    ("fact", "Remember that the staging server is at port 5433."),
]
LEFT = [
    "never mind",
    "Always happy to help you!",
    "Never saw this coming.",
    "I never knew turtles could be so interesting until I met your turtles.",
    "Let's keep going and chase our dreams!",
    "I think we should use Redis maybe",
    "can you always use tabs?",
    "I prefer it this way",
    "Implement spotter-gqc",
    "continue with the remaining tasks",
    "Now let me run the full test suite and credo.",
    "",
    "```\nAlways use pnpm instead of npm in this repo.\n```",
    "Always use pnpm instead of npm in this repo. " + "A pasted document. " * 400,
]


@pytest.mark.parametrize(("kind", "said"), KEPT)
def test_what_is_said_plainly_is_found_as_it_was_said(kind: str, said: str) -> None:
    [item] = found_in([Row("1", "user", said)])
    assert (item.kind, item.content, item.quote) == (kind, said, said)
    assert not isinstance(proved(item, [Row("1", "user", said)]), str)


@pytest.mark.parametrize("said", LEFT)
def test_talk_is_left_alone(said: str) -> None:
    assert found_in([Row("1", "user", said), Row("2", "assistant", said)]) == []


def test_causes_and_tasks_are_the_assistants_too() -> None:
    said = (
        "The root cause was a stale `auth_token` entry in session_store.py that never expired.\n- [ ] Rewrite the migration of orders.sql"
    )
    assert [item.kind for item in found_in([Row("1", "assistant", said)])] == ["root_cause", "task"]
    assert found_in([Row("1", "assistant", said, origin={"agent_id": "a1"})]) == []


SUMMARY = """This session is being continued from a previous conversation that ran out of context.

Summary:
1. Primary Request and Intent:
   - **Orders**: the user wants `orders.sql` rewritten because PostgreSQL 16 must read it without a lock.

4. Errors and fixes:
   - **Timeouts in tests**: The pool of `db.py` held one connection for each of the workers. Fixed by using `NullPool` in conftest.py.
     - **More**: a detail of that which nobody should take for a finding of its own, because `db.py` says so.
   - **Unused variable**: Changed `row` to `_row` in orders.py because the linter of the repository complained about it.
   - **Attempts that all failed and are because of `db.py`, which must be looked at again by somebody**:
"""
NEXT = "- **Locked file**: SQLite doesn't let two writers in, so `PRAGMA busy_timeout` must be set in store.py.\n\n5. Pending:\n- **a**: b"


def test_a_summary_says_what_went_wrong_and_what_mended_it() -> None:
    rows = [Row("1", "summary", SUMMARY), Row("2", "summary", NEXT, origin={"from": 12_000})]
    items = found_in(rows)
    assert [item.content.split(":")[0] for item in items] == ["Timeouts in tests", "Locked file"]
    assert all(item.kind == "root_cause" and not isinstance(proved(item, rows), str) for item in items)
    assert found_in([Row("2", "summary", NEXT)]) == []


@pytest.mark.parametrize(
    "said",
    [
        "no, don't use npm here, use pnpm",
        "Actually, keep the tests in tests/unit, not beside the code",
        "don't add comments that restate the code",
        "never commit directly to main without asking me",
        "Nein, nimm lieber pnpm statt npm",
        "non, utilise pnpm au lieu de npm",
        "No, usa pnpm en vez de npm",
    ],
)
def test_a_correction_that_holds_later_is_a_wish(said: str) -> None:
    assert correction(said) == said


@pytest.mark.parametrize(
    "said",
    [
        "No, it still fails with the same error",
        "stop",
        "no",
        "wait, that is wrong",
        "Don't do that",
        "actually can you use tabs?",
        "Actually it works now, thanks",
        "wait for the build to finish",
        "No, use it instead of that",
        "いいえ、npm ではなく pnpm を使って",
        "no " * 200,
    ],
)
def test_a_correction_of_this_moment_is_none(said: str) -> None:
    assert correction(said) is None


ROWS = [
    Row("u1", "user", "We should   decide.\nLet’s use “PostgreSQL 16” for billing because SQLite locks under load.", scope=Scope.of("app")),
    Row("a1", "assistant", "The failing test was caused by a stale cache in session_store.py."),
]


def item(content: str, quote: str, kind: str = "decision") -> Item:
    return Item(kind, content, quote)


def test_a_quote_is_found_up_to_blank_space_case_and_quotation_marks() -> None:
    found = proved(item("Billing uses PostgreSQL 16 because SQLite locks under load.", 'let\'s use "postgresql 16" for\nbilling'), ROWS)
    assert not isinstance(found, str)
    assert found.row.id == "u1" and found.row.text[found.start : found.end] == "Let’s use “PostgreSQL 16” for billing"


@pytest.mark.parametrize(
    ("content", "quote", "kind", "reason"),
    [
        ("Billing uses MySQL 8 since it is faster under load.", "We chose MySQL 8 for billing", "decision", "quote not found"),
        ("Billing uses PostgreSQL 17 because SQLite locks.", "use “PostgreSQL 16” for billing", "decision", "not in what was said"),
        ("Kubernetes runs every frontend deployment pipeline.", "SQLite locks under load", "fact", "not in what was said"),
        ("The user asked for help with billing in PostgreSQL.", "use “PostgreSQL 16” for billing", "fact", "about the talk"),
        ("Billing uses PostgreSQL 16?", "use “PostgreSQL 16” for billing", "fact", "no statement"),
        ("Billing uses PostgreSQL 16 for load.", "load.", "fact", "quote too short"),
        ("The failing test was caused by a stale cache.", "caused by a stale cache", "preference", "quote not found"),
        ("Billing uses PostgreSQL 16 for load.", "use “PostgreSQL 16” for billing", "gossip", "unknown kind"),
        (
            "The stale cache in session_store failed the test.",
            "because SQLite locks under load",
            "fact",
            "the quote is about another thing",
        ),
    ],
)
def test_what_cannot_be_proved_is_not_believed(content: str, quote: str, kind: str, reason: str) -> None:
    assert proved(item(content, quote, kind), ROWS) == reason
