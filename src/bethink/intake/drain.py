"""After a turn: what hooks spooled is stored as it was said, and then learned from, one exchange at a time.

Runs inside a process that is there anyway, or by `bethink drain`; it starts none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bethink import text
from bethink.errors import BethinkError, InvalidInput
from bethink.hosts.transcripts import said, without_ours
from bethink.intake import injections, lessons, spool
from bethink.intake.asking import SCHEMA, SYSTEM, asked, remember
from bethink.intake.echo import Echoes
from bethink.intake.evidence import Item, Row, proved
from bethink.intake.importing import SESSIONS
from bethink.intake.models import Budget, Model, Refused, Spent, Unavailable
from bethink.intake.turns import parts
from bethink.model import EVERYWHERE, Draft, Filter, Scope
from bethink.service.archiving import SOURCE, derived_id

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.service.memories import Memories

NAMESPACE: Final = "learn"
INJECTIONS: Final = "injections"
#: Every so many turns of a session, so many exchanges are looked at together.
DEEP_EVERY: Final = 5
#: Lines of the log that are looked at again, since several processes write to it.
_REREAD_SECONDS: Final = 10.0


@dataclass(slots=True)
class DrainReport:
    """What a drain did."""

    records: int = 0
    archived: int = 0
    learned: int = 0
    merged: int = 0
    rejected: int = 0
    failed: int = 0
    left: int = 0
    injections: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        names = ("records", "archived", "learned", "merged", "rejected", "failed", "left", "injections", "seconds", "notes")
        return {name: getattr(self, name) for name in names}


def drain(
    memories: Memories,
    home: Path,
    settings: Settings,
    *,
    limit: int = 100,
    models: Sequence[Model] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DrainReport:
    """Empties the spool, oldest first, at most `limit` records. Several processes may drain at once.

    Args:
        models: asked in order what to learn; None means those that the settings name and that answer.
        stop: asked between records.

    Raises:
        StoreError: what was drained is stored, what was not is still in the spool.
    """
    started = time.monotonic()
    report = DrainReport()
    spool.recover(home)
    drainer: _Drainer | None = None
    while report.records < limit and not stop():
        held = spool.claim_next(home)
        if held is None:
            break
        drainer = drainer or _Drainer(memories, home, settings, models, report)
        drainer.one(held)
    report.injections = note_injections(memories, home)
    report.left = len(spool.pending(home))
    report.seconds = round(time.monotonic() - started, 2)
    return report


class _Drainer:
    def __init__(self, memories: Memories, home: Path, settings: Settings, models: Sequence[Model] | None, report: DrainReport) -> None:
        self._memories = memories
        self._home = home
        self._settings = settings
        self._given = models
        self._report = report
        self._echoes = Echoes(memories, home)
        self._budget = Budget(memories, day=settings["DISTILL_MAX_TOKENS"])

    def one(self, held: spool.Claim) -> None:
        try:
            record = spool.read(held)
        except ValueError as error:
            spool.fail(self._home, held, str(error))
            self._report.failed += 1
            return
        try:
            rows = self._archive(held.id, record)
        except InvalidInput as error:
            spool.fail(self._home, held, error.message)
            self._report.failed += 1
            return
        except (BethinkError, OSError) as error:
            # The store is busy or away: later.
            spool.release(self._home, held, str(error), counted=False)
            raise
        spool.refresh(held)
        if self._settings["MEMORY_LEARN"] and record.get("event") == "stop" and rows:
            self._learn(held, record, rows)
        spool.done(held)
        self._report.records += 1

    def _archive(self, id: str, record: dict[str, Any]) -> list[Row]:
        """Stores what was said, as it was said; answers the turns that it consists of."""
        session = _text(record, "session")[:500]
        at = _moment(record.get("at"))
        agent = _text(record, "agent_id")
        spoken: list[tuple[str, str]] = []
        if record.get("event") not in ("subagent_stop",):
            spoken.append(("user", said(text.mended(_text(record, "user")))))
        spoken.append(("assistant", without_ours(text.mended(_text(record, "assistant")))))
        kept = record.get("kept")
        if isinstance(kept, list):
            spoken.append(("summary", text.mended("\n".join(str(line) for line in kept))))
        drafts: list[Draft] = []
        for role, words in spoken:
            words = self._echoes.without(session, words)
            drafts += self._drafts(id, record, role, words, session, at, agent)
        if not drafts:
            return []
        answer = self._memories.archive(drafts)
        self._report.archived += answer.written
        last = at.isoformat()
        facts = {"host": _text(record, "host"), "project": _text(record, "project") or None, "title": "", "kind": "hook"}
        if session:
            self._memories.change_state(SESSIONS, session, lambda was: {**facts, **(was or {}), "last": max(last, _last(was))})
        stored = self._memories.store.get(self._memories.access, [draft.id or "" for draft in drafts])
        return [_row(draft, stored.get(draft.id or "")) for draft in drafts if not agent]

    def _drafts(self, id: str, record: dict[str, Any], role: str, words: str, session: str, at: datetime, agent: str) -> list[Draft]:
        project = _text(record, "project")[:500]
        origin: dict[str, Any] = {"host": _text(record, "host"), "role": role, "spool": id, "file": _text(record, "transcript_path")}
        if agent:
            origin["agent_id"] = agent[:200]
        owner = self._memories.access.writable[0]
        return [
            Draft(
                content=piece,
                category="notes",
                scope=Scope.of(project or None),
                id=derived_id(owner, "spool", id, role, str(place)),
                source=SOURCE,
                trust="imported",
                status="active",
                created_at=at,
                importance=0.3,
                agent=_text(record, "host") or None,
                session=session or None,
                origin=origin,
            )
            for place, piece in parts(words)
        ]

    def _learn(self, held: spool.Claim, record: dict[str, Any], rows: list[Row]) -> None:
        session = _text(record, "session")[:500]
        turn = self._turn(session, held.id)
        deep = turn % DEEP_EVERY == 0
        window = self._window(session) if deep else rows
        items = self._asked(held, window)
        lines = self._echoes.lines(session)
        for item in items:
            answer = proved(item, window)
            # What was shown to the model and came back is known already.
            if isinstance(answer, str) or " ".join(item.content.split()).casefold() in lines:
                self._report.rejected += 1
                continue
            outcome = remember(self._memories, answer, source="auto-learn")
            if outcome is not None:
                self._report.learned += outcome[0] == "added"
                self._report.merged += outcome[0] != "added"

    def _asked(self, held: spool.Claim, window: list[Row]) -> list[Item]:
        for model in self._models():
            try:
                items = asked(model, window, self._budget, SYSTEM, SCHEMA).items
                spool.refresh(held)
                return items
            except (Unavailable, Refused, Spent) as error:
                if str(error) not in self._report.notes:
                    self._report.notes.append(str(error))
        return lessons.found_in(window)

    def _models(self) -> Sequence[Model]:
        if self._given is None:
            from bethink.intake.chain import models_of

            self._given = models_of(self._settings, seconds=60.0)
        return self._given

    def _turn(self, session: str, id: str) -> int:
        """The number of this turn in its session; the same when a record is drained twice."""

        def count(was: dict[str, Any] | None) -> dict[str, Any]:
            known = was or {"turns": 0, "last": ""}
            return known if known["last"] == id else {"turns": int(known["turns"]) + 1, "last": id}

        return int((self._memories.change_state(NAMESPACE, session, count) or {"turns": 0})["turns"])

    def _window(self, session: str) -> list[Row]:
        """The last exchanges of a session."""
        where = Filter(reach=EVERYWHERE, session=session, source=SOURCE)
        page = self._memories.store.page(self._memories.access, where, self._memories.now(), limit=2 * DEEP_EVERY, offset=0)
        rows = [Row.of(memory) for memory in reversed(page.memories)]
        return [row for row in rows if not row.origin.get("agent_id")]


def note_injections(memories: Memories, home: Path) -> int:
    """Brings what was put before models into the audit log, each memory once; answers how many entries."""
    known = memories.states(INJECTIONS).get("log", {})
    through = float(known.get("through", 0.0))
    seen = set(known.get("seen", ()))
    entries = []
    for entry in injections.read(home):
        at = float(entry["at"])
        digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]
        if at >= through - _REREAD_SECONDS and digest not in seen:
            entries.append((at, digest, entry))
    if not entries:
        return 0
    latest = max(through, *(at for at, _, _ in entries))
    recent = [digest for at, digest, _ in entries if at >= latest - _REREAD_SECONDS]
    count = 0
    with memories.store.write(memories.access) as tx:
        if tx.state_get(INJECTIONS, "log") != (known or None):
            # Another process is at it.
            return 0
        for at, _, entry in entries:
            moment = datetime.fromtimestamp(at, UTC)
            detail = {"session": str(entry.get("session", "")), "event": str(entry.get("event", "")), "tokens": entry.get("tokens")}
            for id in entry.get("ids") or ():
                tx.append_audit(moment, "hook", "inject", str(id), detail)
                count += 1
        tx.state_put(INJECTIONS, "log", {"through": latest, "seen": sorted({*recent, *(seen if latest == through else ())})})
    return count


def _row(draft: Draft, stored: Any) -> Row:
    """A turn as it was stored: secrets are placeholders there."""
    if stored is not None:
        return Row.of(stored)
    # It was there before, under another id; a text that may hold a secret is not learned from.
    from bethink.seal import detect

    clean = detect.scrub([draft.content]).texts[0]
    return Row("", str((draft.origin or {}).get("role")), clean, draft.created_at or datetime.now(UTC), draft.session or "", draft.scope)


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _last(was: dict[str, Any] | None) -> str:
    return str((was or {}).get("last", ""))
