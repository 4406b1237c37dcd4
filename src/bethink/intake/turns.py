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
from bethink.intake.checkpoint import worked
from bethink.intake.commands import secretive, steps
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
#: Longer commands are nobody's habit.
_LONGEST_COMMAND: Final = 120
#: Where worktrees are put beside or within a checkout; what is left is the checkout.
_WORKTREE: Final = re.compile(r"(?P<root>.*[^/\\])(?:[-.]worktrees|[/\\](?:\.claude[/\\]|\.git[/\\]|\.)worktrees)[/\\][^/\\]+(?:[/\\].*)?")


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
                below = _below(name, turn.cwd)
                if 0 < len(below) <= 200 and not secretive(below) and not _finds_secret(below):
                    self.files[below] += 1
        for line in worked(turn):
            if secretive(line) or _finds_secret(line):
                continue
            for step in steps(line):
                if len(step) <= _LONGEST_COMMAND:
                    self.commands[step] += 1

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
        #: Session → its folder that is gone, as a project.
        self._gone: dict[str, str] = {}

    def of(self, turn: Turn, before: str | None = None) -> str | None:
        """The project's id. A folder that is gone, or is another machine's, is a project by its name.

        Args:
            before: the project of the session's earlier turns, where that is known.
        """
        key = (turn.remote, turn.cwd)
        if key not in self._known:
            self._known[key] = self._find(*key)
        found = self._known[key]
        if found is None or turn.remote or found != checkout(turn.cwd):
            return found
        # A session that went into a folder below is where it was.
        root = self._gone.setdefault(turn.session, before if before and _within(found, before) else found)
        return root if _within(found, root) else found

    def _find(self, remote: str, cwd: str) -> str | None:
        if remote and (name := normalised(remote)):
            return name[:500]
        if not cwd:
            return None
        root = checkout(cwd)
        for folder in dict.fromkeys((Path(cwd), Path(root))):
            try:
                if folder.is_dir():
                    return project_of(folder)
            except (OSError, ValueError):
                continue
        return root or None


def checkout(folder: str) -> str:
    """A folder's path; that of the checkout when it is named as one of its worktrees. By its name alone, for what may be gone."""
    plain = folder.rstrip("/\\")[:500]
    found = _WORKTREE.fullmatch(plain)
    return found["root"] if found else plain


def _within(folder: str, root: str) -> bool:
    return folder == root or folder.startswith((root + "/", root + "\\"))


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
