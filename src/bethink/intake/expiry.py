"""Sessions that an assistant will delete by itself, and that no import has read to their end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bethink.hosts import claude_transcripts
from bethink.intake.importing import POSITIONS

if TYPE_CHECKING:
    from bethink.service.memories import Memories

#: Days that Claude Code keeps a session unless `cleanupPeriodDays` says otherwise.
KEPT_DAYS: Final = 30
#: What is deleted within so many days is deleted soon: one may be away for a week.
SOON_DAYS: Final = 7
_DAY: Final = 86_400.0
#: A session that is going on is not overdue.
_QUIET_DAYS: Final = 1


@dataclass(frozen=True, slots=True)
class Expiry:
    """How many sessions wait for an import, how many of these are deleted soon, and in how many days the first one is."""

    waiting: int
    soon: int
    days_left: int
    kept_days: int

    def told(self) -> str:
        """In a sentence, with the command that helps."""
        if not self.waiting:
            return "no session of Claude Code waits to be imported"
        said = "1 session" if self.waiting == 1 else f"{self.waiting:,} sessions"
        said += " of Claude Code not imported yet"
        if self.soon:
            when = f"within {self.days_left} days" if self.days_left > 1 else "today or tomorrow"
            said += f"; it deletes {self.soon:,} of them soon, the first {when} (it keeps them for {self.kept_days} days)"
        return f"{said}: bethink import --claude-code"


def expiring(memories: Memories, home: Path | None = None, env: Mapping[str, str] = os.environ, now: float | None = None) -> Expiry:
    """What of Claude Code's transcripts is not in the archive yet. Looks at sizes and times alone; nothing is read.

    Args:
        home: the user's home folder.
        now: seconds since 1970.

    Raises:
        StoreError: the store cannot be read.
    """
    clock = time.time() if now is None else now
    kept = kept_days(home, env)
    read = memories.states(POSITIONS)
    client = memories.writer.client or ""
    ages = [
        (clock - file.modified) / _DAY
        for file in claude_transcripts.discover(home, env)
        if not file.agent_id and not _is_read(read.get(f"{client}:{file.path.absolute()}"), file.size)
    ]
    ages = [age for age in ages if age > _QUIET_DAYS]
    left = [max(0, int(kept - age)) for age in ages]
    return Expiry(len(ages), sum(days <= SOON_DAYS for days in left), min(left, default=kept), kept)


def kept_days(home: Path | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Days that Claude Code keeps sessions on this machine: `cleanupPeriodDays` of the user's settings, else 30."""
    folder = Path(env.get("CLAUDE_CONFIG_DIR") or (home or Path.home()) / ".claude")
    try:
        settings = json.loads((folder / "settings.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return KEPT_DAYS
    given = settings.get("cleanupPeriodDays") if isinstance(settings, dict) else None
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else KEPT_DAYS


def _is_read(record: Mapping[str, Any] | None, size: int) -> bool:
    """Whether a transcript was imported to its end."""
    return record is not None and int(record.get("position", {}).get("offset", 0)) >= size
