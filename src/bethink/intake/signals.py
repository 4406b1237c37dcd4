"""Signals without a model: corrections that hold later too, and per project how work is done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bethink.errors import Conflict, InvalidInput
from bethink.intake.commands import stem
from bethink.intake.evidence import Row
from bethink.intake.importing import POSITIONS, SESSIONS
from bethink.intake.lessons import correction
from bethink.intake.turns import named
from bethink.model import Draft, Scope
from bethink.project import short
from bethink.service.archiving import derived_id

if TYPE_CHECKING:
    from bethink.service.memories import Memories

NAMESPACE: Final = "signals"
#: A command or file is a habit when it came up so often, in so many sessions.
_TIMES, _SESSIONS = 3, 2
_MOST_COMMANDS, _MOST_FILES = 8, 10
#: What tools are for, by the beginnings of their names.
_USES: Final = {
    "running commands": ("bash", "shell", "exec", "run", "task", "kill"),
    "editing files": ("edit", "write", "multiedit", "notebook", "apply_patch", "replace", "create_file"),
    "reading and searching": ("read", "grep", "glob", "ls", "search", "find", "view", "list"),
    "the web": ("web", "fetch", "browser"),
    "planning": ("todo", "plan", "exitplan", "askuser", "update_plan"),
    "other agents": ("agent", "delegate", "subagent"),
}


@dataclass(slots=True)
class SignalsReport:
    """What a run found. `found` lists what was stored, or would be."""

    sessions: int = 0
    corrections: int = 0
    patterns: int = 0
    stored: int = 0
    known: int = 0
    seconds: float = 0.0
    found: list[dict[str, Any]] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("sessions", "corrections", "patterns", "stored", "known", "seconds", "found")}


def run(
    memories: Memories, *, project: str | None = None, dry_run: bool = False, progress: Callable[[int, int], None] | None = None
) -> SignalsReport:
    """Looks through what was imported: new sessions for corrections, every project for its habits.

    Raises:
        StoreError: what was stored stays; running it again goes on.
    """
    started = time.monotonic()
    report = SignalsReport()
    done = memories.states(NAMESPACE)
    sessions = {id: facts for id, facts in memories.states(SESSIONS).items() if named(facts.get("project"), project)}
    for number, (session, facts) in enumerate(sessions.items()):
        if done.get(session, {}).get("through", "") < str(facts.get("last", "")):
            _corrections(memories, session, report, dry_run)
            if not dry_run:
                last = str(facts.get("last", ""))
                memories.change_state(NAMESPACE, session, lambda was, last=last: {"through": last})  # type: ignore[misc]  # bound now
        if progress:
            progress(number + 1, len(sessions))
    for name, text_ in _patterns(memories, project):
        _pattern(memories, name, text_, report, dry_run)
    report.seconds = round(time.monotonic() - started, 2)
    return report


def _corrections(memories: Memories, session: str, report: SignalsReport, dry_run: bool) -> None:
    report.sessions += 1
    for memory in memories.turns(session):
        row = Row.of(memory)
        if row.role != "user" or row.origin.get("agent_id") or not row.origin.get("after") or memory.status != "active":
            continue
        wish = correction(row.text)
        if wish is None:
            continue
        report.corrections += 1
        report.found.append({"category": "preferences", "content": wish, "session": session, "project": memory.scope.project})
        if dry_run:
            continue
        draft = Draft(
            wish,
            category="preferences",
            tags=("correction",),
            importance=0.5,
            scope=memory.scope,
            id=derived_id(memory.owner, "signals", memory.id),
            source="signals",
            trust=memory.trust,
            created_at=memory.created_at,
            session=session,
            agent=memory.agent,
            origin={**row.origin, "quote": wish},
            derived_from=(memory.id,),
        )
        try:
            stored = memories.remember(draft)
        except (InvalidInput, Conflict):
            report.known += 1
            continue
        report.stored += stored.action == "added"
        report.known += stored.action != "added"


def _patterns(memories: Memories, project: str | None) -> list[tuple[tuple[str, str], str]]:
    """(project, kind) and text of each habit."""
    by_project: dict[str, list[Mapping[str, Any]]] = {}
    for record in memories.states(POSITIONS).values():
        name = record.get("project")
        if name and record.get("tally") and named(name, project):
            by_project.setdefault(name, []).append(record)
    found = []
    for name, records in sorted(by_project.items()):
        for kind, said in (("workflow", _workflow(records)), ("commands", _commands(records)), ("hotspots", _hotspots(records))):
            if said:
                found.append(((name, kind), f"{short(name)}: {said}"))
    return found


def _workflow(records: list[Mapping[str, Any]]) -> str:
    tools, _ = _summed(records, "tools")
    uses: Counter[str] = Counter()
    for tool, count in tools.items():
        uses[_use(tool)] += count
    total = sum(uses.values())
    if total < 20 or len({record.get("session") for record in records}) < _SESSIONS:
        return ""
    shares = ", ".join(f"{name} {round(100 * count / total)} %" for name, count in uses.most_common(4) if count * 20 >= total)
    return f"work in past sessions was {shares} (of {total:,} tool uses)."


def _commands(records: list[Mapping[str, Any]]) -> str:
    """The usual commands: as they are mostly given, or by what they are about where every time they are given otherwise."""
    counts, sessions = _summed(records, "commands")
    about: dict[str, list[str]] = {}
    for step in counts:
        about.setdefault(stem(step), []).append(step)
    _, of_stems = _summed([{**record, "tally": {"commands": _stems(record)}} for record in records], "commands")
    usual: Counter[str] = Counter()
    for name, forms in about.items():
        total = sum(counts[form] for form in forms)
        if total < _TIMES or of_stems[name] < _SESSIONS:
            continue
        often = [form for form in forms if counts[form] >= _TIMES and sessions[form] >= _SESSIONS]
        for form in often:
            usual[form] = counts[form]
        if sum(counts[form] for form in often) * 2 < total:
            usual[f"{name} …"] = total - sum(counts[form] for form in often)
    listed = "; ".join(f"`{name}` ({count}×)" for name, count in usual.most_common(_MOST_COMMANDS))
    return f"commands that work here: {listed}" if listed else ""


def _stems(record: Mapping[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for step, count in record["tally"].get("commands", {}).items():
        found[stem(step)] += int(count)
    return found


def _hotspots(records: list[Mapping[str, Any]]) -> str:
    counts, sessions = _summed(records, "files")
    usual = [name for name, count in counts.most_common() if count >= _TIMES and sessions[name] >= _SESSIONS][:_MOST_FILES]
    return "files that are changed again and again: " + ", ".join(f"`{name}` ({counts[name]}×)" for name in usual) if usual else ""


def _summed(records: list[Mapping[str, Any]], name: str) -> tuple[Counter[str], Counter[str]]:
    """How often each was counted, and in how many sessions."""
    counts: Counter[str] = Counter()
    sessions: dict[str, set[str]] = {}
    for record in records:
        for key, count in record["tally"].get(name, {}).items():
            counts[key] += int(count)
            sessions.setdefault(key, set()).add(str(record.get("session")))
    # The same order on every run, whatever order the records came in.
    ordered = Counter(dict(sorted(counts.items())))
    return ordered, Counter({key: len(value) for key, value in sessions.items()})


def _use(tool: str) -> str:
    plain = tool.lower()
    return next((use for use, begins in _USES.items() if plain.startswith(begins)), "tools of servers" if "__" in plain else "other")


def _pattern(memories: Memories, name: tuple[str, str], said: str, report: SignalsReport, dry_run: bool) -> None:
    project, kind = name
    report.patterns += 1
    report.found.append({"category": "patterns", "content": said, "session": None, "project": project})
    if dry_run:
        return
    # Counted, not concluded, and only from several sessions: nothing here waits for a confirmation.
    draft = Draft(
        said,
        category="patterns",
        tags=(kind,),
        importance=0.4,
        scope=Scope.of(project),
        source="signals",
        trust="imported",
        status="active",
        session=None,
        origin={"made": "counted from imported sessions"},
    )
    before = memories.store.get(memories.access, [derived_id(memories.access.writable[0], "pattern", project, kind)])
    kept = memories.keep_current(draft, "pattern", project, kind)
    changed = kept is not None and all(memory.content != kept.content for memory in before.values())
    report.stored += changed
    report.known += not changed
