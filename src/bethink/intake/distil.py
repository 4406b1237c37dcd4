"""Sessions become memories: windows of the archive are read by a model, and what it says counts only with a quote.

The archive is read, not the transcript: it is still there when the assistant has deleted its files, and its secrets are sealed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bethink.errors import NotFound
from bethink.intake import lessons
from bethink.intake.asking import MOST_NOTED, SCHEMA, SYSTEM, asked, remember, windows
from bethink.intake.evidence import KINDS, Item, Proved, Row, proved, share
from bethink.intake.importing import SESSIONS
from bethink.intake.models import Budget, Model, Refused, Spent, Unavailable
from bethink.intake.turns import named
from bethink.model import EVERYWHERE, Filter, Memory

if TYPE_CHECKING:
    from bethink.service.memories import Memories

T = TypeVar("T")

NAMESPACE: Final = "distil"
HEURISTICS: Final = "heuristics"
MAX_FAILURES: Final = 3
#: Share of the words of one that are in the other, when both quote the same words and say the same.
_SAME: Final = 0.6
#: Turns before the new ones that are read again, so that nothing is cut in two.
_CONTEXT_TURNS: Final = 4


@dataclass(slots=True)
class DistilReport:
    """What a run did. `over` counts what a later part of a session took back; `rejected` says why items were not believed;
    `problems` what went wrong, by session."""

    sessions: int = 0
    windows: int = 0
    items: int = 0
    stored: int = 0
    merged: int = 0
    superseding: int = 0
    over: int = 0
    waiting: int = 0
    capped: int = 0
    failed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    model: str = ""
    rejected: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, str]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        names = (
            "sessions",
            "windows",
            "items",
            "stored",
            "merged",
            "superseding",
            "over",
            "waiting",
            "capped",
            "failed",
            "tokens",
            "seconds",
            "model",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "rejected": dict(self.rejected.most_common()),
            "problems": self.problems,
            "notes": self.notes,
            "found": self.found,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is done."""

    project: str | None = None
    dry_run: bool = False
    workers: int = 4
    min_messages: int = 5
    #: Size of a window in tokens, question and rules aside.
    window_tokens: int = 6000


def available(models: Iterable[Model], *, probe: Callable[[Model], bool] | None = None) -> list[Model]:
    """The models of the chain that answer now, in order."""
    asks = probe or (lambda model: bool(getattr(model, "answers", lambda: True)()))
    return [model for model in models if asks(model)]


def pending(memories: Memories, plan: Plan, *, has_model: bool) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """The sessions that hold something new, oldest first, with what is known of each; and how many are capped by failures.

    What was only looked through by patterns is read again once a model is there.
    """
    done = memories.states(NAMESPACE)
    wanted, capped = [], 0
    for session, facts in memories.states(SESSIONS).items():
        state = done.get(session, {})
        if not named(facts.get("project"), plan.project):
            continue
        by_patterns = has_model and state.get("model") == HEURISTICS
        if str(facts.get("last", "")) <= str(state.get("through", "")) and not by_patterns:
            continue
        if int(state.get("failures", 0)) >= MAX_FAILURES:
            capped += 1
            continue
        wanted.append((session, {**facts, "state": {} if by_patterns else state}))
    return sorted(wanted, key=lambda pair: str(pair[1].get("last", ""))), capped


def reset_failures(memories: Memories, session: str | None = None) -> int:
    """Lets sessions be tried again that failed too often: those whose id begins so, or all; answers how many."""
    count = 0
    for id, state in memories.states(NAMESPACE).items():
        if state.get("failures") and (session is None or id.startswith(session)):
            memories.change_state(NAMESPACE, id, lambda was: {**(was or {}), "failures": 0, "error": ""})
            count += 1
    return count


def run(
    memories: Memories,
    models: Sequence[Model],
    plan: Plan,
    budget: Budget,
    progress: Callable[[int, int], None] | None = None,
) -> DistilReport:
    """Distils every session that holds something new; what fails is tried again by a later run, three times at most.

    Raises:
        StoreError, SealError: what was stored stays.
    """
    started = time.monotonic()
    report = DistilReport(model=models[0].name if models else HEURISTICS)
    if not models:
        report.notes.append("No model answers: only what is said plainly is found, by patterns (English, German, French, Spanish).")
    sessions, report.capped = pending(memories, plan, has_model=bool(models))
    distiller = _Distiller(memories, models, plan, budget, report)
    spread(sessions, distiller.session, plan.workers, progress)
    report.waiting = len(sessions) - distiller.ended
    report.tokens = budget.tokens
    report.seconds = round(time.monotonic() - started, 2)
    return report


def spread(work: Sequence[T], do: Callable[[T], None], workers: int, progress: Callable[[int, int], None] | None) -> None:
    """Does each piece of work, some at a time; the first error ends it."""
    ended = 0
    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="distil") as pool:
        running: set[Future[None]] = set()
        rest = iter(work)
        while True:
            for each in rest:
                running.add(pool.submit(do, each))
                if len(running) >= workers:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for one in finished:
                one.result()
                ended += 1
                if progress:
                    progress(ended, len(work))


class _Distiller:
    """Distils one session after another, from several threads."""

    def __init__(self, memories: Memories, models: Sequence[Model], plan: Plan, budget: Budget, report: DistilReport) -> None:
        self._memories = memories
        self._models = models
        self._plan = plan
        self._budget = budget
        self._report = report
        self._lock = Lock()
        self._spent = Event()
        self.ended = 0

    def session(self, pair: tuple[str, dict[str, Any]]) -> None:
        """Distils what is new in one session."""
        session, facts = pair
        if self._spent.is_set():
            return
        state = facts["state"]
        rows = _new_rows(self._memories, session, str(state.get("through", "")))
        if sum(1 for row in rows if row.text) < self._plan.min_messages and not state.get("through"):
            self._end(session, facts, "too short", 0)
            return
        noted = self._noted(session) if self._models else []
        try:
            found, over, name = self._read(rows, noted)
        except Spent as spent:
            self._spent.set()
            with self._lock:
                if str(spent) not in self._report.notes:
                    self._report.notes.append(f"Stopped: {spent}.")
            return
        except Refused as error:
            self._failed(session, str(error))
            return
        stored = self._store(session, found)
        self._withdraw(over)
        self._end(session, facts, name, stored)

    def _noted(self, session: str) -> list[Memory]:
        """What was found in a session before, and nobody has confirmed yet; the oldest first."""
        where = Filter(reach=EVERYWHERE, session=session, source="distil", statuses=("candidate",), owner=self._memories.access.writable[0])
        return list(reversed(self._memories.list(where, limit=MOST_NOTED).memories))

    def _withdraw(self, over: Sequence[Memory]) -> None:
        """Forgets candidates that a later part of their session took back; `restore` brings one back."""
        with self._lock:
            self._report.over += len(over)
        for memory in over if not self._plan.dry_run else ():
            with suppress(NotFound):
                self._memories.forget(memory.id)

    def _read(self, rows: Sequence[Row], noted: Sequence[Memory]) -> tuple[list[Proved], list[Memory], str]:
        """What the first model that answers finds in all windows, and what it takes back of what was noted; patterns when none does.

        Raises:
            Spent, Refused
        """
        for model in self._models:
            try:
                return *self._by_model(model, rows, noted), model.name
            except Unavailable as error:
                with self._lock:
                    if str(error) not in self._report.notes:
                        self._report.notes.append(str(error))
        items = lessons.found_in(rows)
        return self._believed(items, rows), [], HEURISTICS

    def _by_model(self, model: Model, rows: Sequence[Row], noted: Sequence[Memory]) -> tuple[list[Proved], list[Memory]]:
        known: list[Memory | Proved] = list(noted)
        taken: list[Memory] = []
        dropped = 0
        for window in windows(rows, self._plan.window_tokens):
            shown = known[-MOST_NOTED:]
            items, over = asked(model, window, self._budget, SYSTEM, SCHEMA, [_content(one) for one in shown])
            gone = [shown[at] for at in over]
            known = [one for one in known if all(one is not each for each in gone)]
            taken += [one for one in gone if not isinstance(one, Proved)]
            dropped += sum(isinstance(one, Proved) for one in gone)
            with self._lock:
                self._report.windows += 1
            for new in self._believed(items, window):
                if not any(_again(new, one) for one in (*known, *gone) if isinstance(one, Proved)):
                    known.append(new)
        with self._lock:
            self._report.over += dropped
        return [one for one in known if isinstance(one, Proved)], taken

    def _believed(self, items: Sequence[Item], rows: Sequence[Row]) -> list[Proved]:
        believed = []
        for item in items:
            answer = proved(item, rows)
            with self._lock:
                self._report.items += 1
                if isinstance(answer, str):
                    self._report.rejected[answer] += 1
                    continue
            believed.append(answer)
        return believed

    def _store(self, session: str, found: Sequence[Proved]) -> int:
        count = 0
        for one in found:
            with self._lock:
                self._report.found.append(_told(one, session))
            if self._plan.dry_run:
                continue
            stored = remember(self._memories, one, source="distil")
            if stored is None:
                continue
            action, superseded = stored
            count += action == "added"
            with self._lock:
                self._report.stored += action == "added"
                self._report.merged += action != "added"
                self._report.superseding += superseded
        return count

    def _end(self, session: str, facts: Mapping[str, Any], model: str, stored: int) -> None:
        with self._lock:
            self._report.sessions += 1
            self.ended += 1
        if not self._plan.dry_run:
            through = str(facts.get("last", ""))
            self._memories.change_state(
                NAMESPACE,
                session,
                lambda was: {"through": through, "failures": 0, "model": model, "items": int((was or {}).get("items", 0)) + stored},
            )

    def _failed(self, session: str, why: str) -> None:
        with self._lock:
            self._report.failed += 1
            self.ended += 1
            self._report.problems.append({"session": session, "error": why})
        if not self._plan.dry_run:
            self._memories.change_state(
                NAMESPACE, session, lambda was: {**(was or {}), "failures": int((was or {}).get("failures", 0)) + 1, "error": why[:300]}
            )


def _new_rows(memories: Memories, session: str, through: str) -> list[Row]:
    """The turns of the main conversation after a moment, and a few before it."""
    before: list[Row] = []
    new: list[Row] = []
    since = datetime.fromisoformat(through) if through else None
    for memory in memories.turns(session):
        row = Row.of(memory)
        if memory.status != "active" or row.origin.get("agent_id"):
            continue
        if since is not None and memory.created_at <= since:
            before = [*before[-_CONTEXT_TURNS + 1 :], row]
        else:
            new.append(row)
    return [*before, *new] if new else []


def _content(one: Memory | Proved) -> str:
    return one.item.content if isinstance(one, Proved) else one.content


def _again(new: Proved, old: Proved) -> bool:
    """Whether both say the same of the same words, as two windows that overlap do."""
    if new.item.content.casefold() == old.item.content.casefold():
        return True
    overlap = new.row.id == old.row.id and new.start < old.end and old.start < new.end
    return overlap and new.item.kind == old.item.kind and share(new.item.content, old.item.content) >= _SAME


def _told(one: Proved, session: str) -> dict[str, Any]:
    return {
        "category": KINDS[one.item.kind][0],
        "content": one.item.content,
        "quote": one.row.text[one.start : one.end],
        "session": session,
        "project": one.row.scope.project,
    }
