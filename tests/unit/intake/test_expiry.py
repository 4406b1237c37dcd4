"""Sessions that would be lost are told of before they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bethink.intake.expiry import expiring, kept_days
from bethink.intake.importing import Importer, discovered
from bethink.service.memories import Memories

from .conftest import Talk

DAY = 86_400


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"CLAUDE_CONFIG_DIR": str(tmp_path)}


def session(tmp_path: Path, name: str, age: float) -> None:
    talk = Talk(tmp_path / "projects", name)
    talk.user(f"A word of session {name} that is long enough")
    os.utime(talk.path, (time.time() - age * DAY,) * 2)


def test_what_is_deleted_soon_is_told_and_what_is_imported_is_not(
    memories: Memories, tmp_path: Path, home: Path, env: dict[str, str]
) -> None:
    assert expiring(memories, env=env).told() == "no session of Claude Code waits to be imported"
    session(tmp_path, "s1", 27)
    session(tmp_path, "s2", 10)
    session(tmp_path, "s3", 0)
    found = expiring(memories, env=env)
    assert (found.waiting, found.soon, found.days_left, found.kept_days) == (2, 1, 2, 30)
    assert "deletes 1 of them soon, the first within 2 days" in found.told()
    Importer(memories, home).run(discovered(["claude-code"], {"claude-code": tmp_path / "projects"}))
    assert expiring(memories, env=env).waiting == 0
    session(tmp_path, "s1", 29.5)
    told = expiring(memories, env=env).told()
    assert told.startswith("1 session of Claude Code not imported yet; it deletes 1 of them soon, the first today or tomorrow")


@pytest.mark.parametrize(
    ("settings", "days"),
    [('{"cleanupPeriodDays": 90}', 90), ('{"cleanupPeriodDays": true}', 30), ('{"cleanupPeriodDays": -1}', 30), ("[", 30), ("[]", 30)],
)
def test_the_users_own_period_counts(tmp_path: Path, env: dict[str, str], settings: str, days: int) -> None:
    assert kept_days(env=env) == 30
    (tmp_path / "settings.json").write_text(settings)
    assert kept_days(env=env) == days
