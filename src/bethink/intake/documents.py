"""Text and Markdown files as memories: cut by their structure, brought up to date when the file changes."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bethink import text
from bethink.errors import Conflict, InvalidInput, NotFound
from bethink.intake.importing import Report
from bethink.model import Draft, Scope
from bethink.project import project_of
from bethink.service.archiving import derived_id

if TYPE_CHECKING:
    from bethink.service.memories import Memories

DOCUMENTS: Final = "documents"
#: A file beyond this is no text that somebody wrote.
MAX_BYTES: Final = 64 * 1024 * 1024
_CHUNK, _OVERLAP = 1500, 200
_OF_PROJECT: Final = (
    *("CLAUDE.md", "CLAUDE.local.md", ".claude/CLAUDE.md", "AGENTS.md", "GEMINI.md", "MEMORY.md"),
    ".github/copilot-instructions.md",
)
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
#: What we write into such files ourselves (`bethink profile --patch`).
PROFILE_BEGIN, PROFILE_END = "<!-- bethink:profile -->", "<!-- /bethink:profile -->"
_PROFILE = re.compile(re.escape(PROFILE_BEGIN) + r".*?(?:" + re.escape(PROFILE_END) + r"|\Z)", re.DOTALL)
_PREFERENCES = re.compile(r"prefer|style|convention|rule|habit|always|never|workflow|guideline", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document: its headings from the top, its text, and where it begins."""

    headings: tuple[str, ...]
    content: str
    line: int


def pieces(content: str, size: int = _CHUNK, overlap: int = _OVERLAP) -> Iterator[Piece]:
    """The sections of a Markdown or plain text, long ones in overlapping parts; each says under which headings it stands."""
    for headings, body, line in _sections(content):
        for part in text.chunks(body, size, overlap):
            if any(each.isalnum() for each in part):
                yield Piece(headings, part, line)


def _sections(content: str) -> Iterator[tuple[tuple[str, ...], str, int]]:
    path: list[tuple[int, str]] = []
    body: list[str] = []
    start = 1
    fenced = False
    for number, line in enumerate(content.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading:
            yield tuple(name for _, name in path), "\n".join(body), start
            level = len(heading[1])
            path = [*((depth, name) for depth, name in path if depth < level), (level, heading[2])]
            body, start = [], number
        else:
            body.append(line)
    yield tuple(name for _, name in path), "\n".join(body), start


def memory_files(folder: Path, user_home: Path | None = None) -> list[tuple[Path, Scope]]:
    """The files in which assistants keep what they should know, with where each holds.

    Those of the project that `folder` is in, the user's own, and the auto-memory of Claude Code of every project.
    """
    home = user_home or Path.home()
    project = project_of(folder)
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    here = Scope.of(project)
    listed: list[tuple[Path, Scope]] = []
    for name in (
        "CLAUDE.md",
        "CLAUDE.local.md",
        ".claude/CLAUDE.md",
        "AGENTS.md",
        "GEMINI.md",
        "MEMORY.md",
        ".github/copilot-instructions.md",
    ):
        listed.append((root / name, here))
    for name in (".claude/CLAUDE.md", ".codex/AGENTS.md", ".gemini/GEMINI.md", ".config/opencode/AGENTS.md"):
        listed.append((home / name, Scope()))
    listed += [(path, Scope()) for path in sorted((home / ".claude" / "rules").glob("*.md"))]
    for path in sorted((home / ".claude" / "projects").glob("*/memory/*.md")):
        listed.append((path, _auto_memory(path, root, here)))
    unique = {path.resolve(): (path, scope) for path, scope in listed if path.is_file()}
    return list(unique.values())


def _auto_memory(path: Path, root: Path, here: Scope) -> Scope:
    """Claude Code's folder names say which folder they are for only by every other character being a dash."""
    folder = path.parent.parent.name
    if folder == re.sub(r"[^A-Za-z0-9]", "-", str(root)):
        return here
    return Scope.of(folder)


class Documents:
    """Imports files of text into `memories`."""

    def __init__(self, memories: Memories, *, dry_run: bool = False) -> None:
        self._memories = memories
        self._dry_run = dry_run
        self._client = memories.writer.client or ""
        self.report = Report()

    def run(
        self, files: Iterable[tuple[Path, Scope]], *, category: str = "notes", tags: tuple[str, ...] = (), by_heading: bool = False
    ) -> Report:
        """Imports each file; one that cannot be read is reported and stops nothing.

        Args:
            by_heading: a section whose heading speaks of preferences becomes preferences, any other facts.
        """
        started = time.monotonic()
        for path, scope in files:
            self.report.files += 1
            try:
                self._file(path.expanduser().absolute(), Draft("", category, tags, scope=scope, source="file", verbatim=True), by_heading)
            except OSError as error:
                self.report.problems.append(f"{path}: {error.strerror or error}")
        self.report.seconds += time.monotonic() - started
        return self.report

    def _file(self, path: Path, like: Draft, by_heading: bool) -> None:
        if path.stat().st_size > MAX_BYTES:
            self.report.problems.append(f"{path}: larger than {MAX_BYTES:,} bytes")
            return
        data = path.read_bytes()
        if b"\x00" in data[:4096]:
            self.report.problems.append(f"{path}: not a text")
            return
        digest = hashlib.sha256(data).hexdigest()
        key = f"{self._client}:{path}"
        known = self._memories.states(DOCUMENTS).get(key, {})
        if known.get("digest") == digest:
            self.report.unchanged += 1
            return
        try:
            content = _PROFILE.sub("", text.mended(data.decode("utf-8-sig")))
        except UnicodeDecodeError:
            self.report.problems.append(f"{path}: not UTF-8")
            return
        ids = [self._piece(path, piece, like, by_heading) for piece in pieces(content)]
        if self._dry_run:
            return
        kept = [id for id in ids if id]
        for gone in set(known.get("ids", ())) - set(kept):
            self._forget(gone)
        self._memories.change_state(DOCUMENTS, key, lambda was: {"digest": digest, "ids": kept})

    def _piece(self, path: Path, piece: Piece, like: Draft, by_heading: bool) -> str | None:
        self.report.turns += 1
        said = "\n".join([*([" › ".join(piece.headings)] if piece.headings else []), piece.content])
        category = like.category
        if by_heading:
            category = "preferences" if any(_PREFERENCES.search(name) for name in piece.headings) else "facts"
        id = derived_id(self._memories.access.writable[0], "file", str(path), text.content_hash(said))
        if self._memories.store.get(self._memories.access, [id]):
            self.report.known += 1
            return id
        if self._dry_run:
            self.report.memories += 1
            return None
        draft = replace(like, content=said, category=category, id=id, origin={"file": str(path), "line": piece.line})
        try:
            stored = self._memories.remember(draft)
        except (InvalidInput, Conflict) as error:
            self.report.reasons[error.message[:80]] += 1
            return None
        self.report.memories += stored.action == "added"
        self.report.known += stored.action != "added"
        self.report.sealed += bool(stored.sealed)
        self.report.quarantined += stored.memory.status == "quarantined"
        self.report.bytes += len(said.encode())
        return stored.memory.id if stored.action == "added" else None

    def _forget(self, id: str) -> None:
        """The file no longer says it."""
        try:
            self._memories.forget(id)
            self.report.reasons["no longer in its file"] += 1
        except NotFound:
            pass
