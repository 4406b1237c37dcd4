"""From a transcript's turns to archive drafts, and to counts of what the assistant did."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bethink import text
from bethink.hosts.transcripts import Turn
from bethink.intake.checkpoint import commands_in
from bethink.model import Draft, Scope
from bethink.project import normalised, project_of, short
from bethink.service.archiving import derived_id

#: A longer turn is archived in parts of so many characters; whole ones would exceed what a memory holds.
PART: Final = 12_000
#: Folders in which Bethink itself starts an assistant; what is said there is no conversation of the user's.
ERRAND: Final = "bethink-errand-"
#: Commands and files that are counted per transcript; of more, the rare ones are dropped.
_MOST_COUNTED: Final = 300
_FILE_FIELDS: Final = ("file_path", "path", "notebook_path", "absolute_path", "filename", "target_file")
_EDITING: Final = re.compile(r"edit|write|patch|replace|create|notebook", re.IGNORECASE)
_SECRETIVE: Final = re.compile(
    r"token|secret|passw|api[-_]?key|authorization|bearer|credential|-----BEGIN|[A-Za-z0-9+/_=-]{32,}", re.IGNORECASE
)


@dataclass(slots=True)
class Tally:
    """What was done in one transcript, counted: uses of tools, commands that worked, files that were changed."""

    tools: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, kept: dict[str, Any] | None) -> Tally:
        values = kept or {}
        return cls(*(Counter({str(k): int(v) for k, v in (values.get(name) or {}).items()}) for name in ("tools", "commands", "files")))

    def add(self, turn: Turn) -> None:
        """Counts one turn's tools. What could hold a secret is left out: counts are not sealed."""
        for use in turn.tools:
            self.tools[use.name[:80]] += 1
            if _EDITING.search(use.name) and isinstance(use.input, dict):
                name = next((use.input[key] for key in _FILE_FIELDS if isinstance(use.input.get(key), str)), "")
                if 0 < len(name) <= 200 and not _SECRETIVE.search(name):
                    self.files[_below(name, turn.cwd)] += 1
        for command in commands_in(turn):
            if not _SECRETIVE.search(command) and not _finds_secret(command):
                self.commands[command] += 1

    def kept(self) -> dict[str, dict[str, int]]:
        """As JSON, the commonest only."""
        return {
            name: dict(sorted(counter.most_common(_MOST_COUNTED)))
            for name, counter in (("tools", self.tools), ("commands", self.commands), ("files", self.files))
        }


def _finds_secret(command: str) -> bool:
    from bethink.seal import detect

    return bool(detect.scan(command))


def _below(name: str, folder: str) -> str:
    """A path as seen from the session's folder."""
    return name.removeprefix(folder.rstrip("/") + "/") if folder else name


class Projects:
    """Which project a session's folder belongs to; asked once per folder."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str | None] = {}

    def of(self, turn: Turn) -> str | None:
        """The project's id. A folder that is gone, or is another machine's, is a project by its name."""
        key = (turn.remote, turn.cwd)
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, remote: str, cwd: str) -> str | None:
        if remote and (name := normalised(remote)):
            return name[:500]
        if not cwd:
            return None
        folder = Path(cwd)
        try:
            there = folder.is_dir()
            found = project_of(folder) if there else None
        except (OSError, ValueError):
            there, found = False, None
        return found if there else cwd.rstrip("/\\")[:500] or None


def named(project: str | None, asked: str | None) -> bool:
    """Whether a project is the one that was asked for, by its id or its last part."""
    return asked is None or (project is not None and asked in (project, short(project)))


def parts(content: str) -> Iterator[tuple[int, str]]:
    """Pieces of a long text with their start, cut at a line's or word's end where there is one."""
    start = 0
    while start < len(content):
        end = min(start + PART, len(content))
        if end < len(content):
            line = content.rfind("\n", start + PART // 2, end)
            cut = line if line > 0 else content.rfind(" ", start + PART // 2, end)
            end = cut + 1 if cut > start else end
        if piece := content[start:end].strip():
            yield start, piece
        start = end


def drafts_of(turn: Turn, path: Path, owner: str, project: str | None, at: datetime, acted: list[str]) -> Iterator[Draft]:
    """The archive's memories of one turn: one, or several of a long turn.

    Args:
        at: when it was said, as well as that is known.
        acted: tools that the assistant used since the user spoke last.
    """
    for place, piece in parts(text.mended(turn.text)):
        origin: dict[str, Any] = {
            "file": str(path),
            "start": turn.start,
            "end": turn.end,
            "host": turn.host,
            "uuid": turn.uuid[:200],
            "role": turn.role,
        }
        if place:
            origin["from"] = place
        if turn.sidechain or turn.agent_id:
            origin["agent_id"] = turn.agent_id or "side"
        if acted and turn.role == "user":
            origin["after"] = acted[-8:]
        yield Draft(
            content=piece,
            category="notes",
            scope=Scope.of(project),
            id=derived_id(owner, turn.host, turn.session, turn.uuid, str(place)),
            source="transcript",
            trust="imported",
            status="active",
            created_at=at,
            importance=0.3,
            agent=turn.host,
            session=turn.session[:500] or None,
            origin=origin,
        )
