"""Past sessions become the archive: streamed, resumable, each turn once, secrets sealed on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bethink.errors import InvalidInput
from bethink.hosts.transcripts import Position, Skipped, TranscriptFile, Turn, found, reader
from bethink.intake.echo import Echoes
from bethink.intake.turns import ERRAND, Projects, Tally, drafts_of, named
from bethink.model import Draft
from bethink.service.archiving import Guarded

if TYPE_CHECKING:
    from bethink.service.memories import Memories

#: Kinds that are found on this machine by themselves; the word after ``bethink import --``.
FOUND: Final = ("claude-code", "codex", "gemini", "cursor", "opencode", "copilot")
#: Shortest turn that is kept, in characters: "Use pnpm." is one.
MIN_LENGTH: Final = 8
POSITIONS: Final = "transcripts"
SESSIONS: Final = "sessions"
#: One transaction holds at most so many turns, or so many characters.
_TURNS, _CHARACTERS = 400, 1_000_000
#: Beyond this a batch is written although the reader has something unfinished.
_TURNS_AT_LAST = 4 * _TURNS
#: Other importers of the same file may be faster so often.
_RACES: Final = 50
#: A file whose first turns are all of other projects is left.
_FOREIGN: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the transcripts is wanted."""

    project: str | None = None
    since: datetime | None = None
    min_length: int = MIN_LENGTH
    dry_run: bool = False


@dataclass(slots=True)
class Report:
    """What an import did. `reasons` says why something was passed over."""

    files: int = 0
    unchanged: int = 0
    turns: int = 0
    memories: int = 0
    known: int = 0
    sealed: int = 0
    quarantined: int = 0
    broken_lines: int = 0
    bytes: int = 0
    seconds: float = 0.0
    session_ids: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        return {
            "sessions": len(self.session_ids),
            "turns": self.turns,
            "memories": self.memories,
            "skipped": sum(self.reasons.values()),
            "broken_lines": self.broken_lines,
            "sealed": self.sealed,
            "seconds": round(self.seconds, 2),
            "files": self.files,
            "unchanged": self.unchanged,
            "known": self.known,
            "quarantined": self.quarantined,
            "bytes": self.bytes,
            "reasons": dict(self.reasons.most_common()),
            "problems": self.problems,
        }


#: Called with the file at hand and how many bytes of it have been read.
Progress = Callable[[TranscriptFile, int], None]


def discovered(kinds: Iterable[str], roots: Mapping[str, Path] | None = None, home: Path | None = None) -> list[tuple[str, TranscriptFile]]:
    """The transcripts of some kinds, oldest first within a kind. `roots` names a folder or file to look at instead.

    Raises:
        InvalidInput: a named place does not exist, or such a kind has no folder.
    """
    listed: list[tuple[str, TranscriptFile]] = []
    for kind in kinds:
        root = (roots or {}).get(kind)
        if root is None:
            listed += [(kind, each) for each in reader(kind).discover(home)]
        elif not root.exists():
            raise InvalidInput(f"There is no {root}.", hint="Name a folder of transcripts, or a file.")
        elif root.is_file():
            one = found(kind, root)
            listed += [(kind, one)] if one else []
        elif kind == "claude-code":
            from bethink.hosts import claude_transcripts

            listed += [(kind, each) for each in claude_transcripts.within(root)]
        else:
            files = (found(kind, path) for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in (".json", ".jsonl", ".zst"))
            listed += [(kind, each) for each in files if each]
    return listed


class Importer:
    """Reads transcripts into the archive of `memories`."""

    def __init__(self, memories: Memories, home: Path, wanted: Wanted | None = None) -> None:
        self._memories = memories
        self._wanted = wanted or Wanted()
        self._projects = Projects()
        self._echoes = Echoes(memories, home)
        self._client = memories.writer.client or ""
        self._pruned = {key: str(value) for key, value in memories.states("archive").get("pruned", {}).items()}
        self.report = Report()

    def run(self, files: Iterable[tuple[str, TranscriptFile]], progress: Progress | None = None) -> Report:
        """Imports each file; one that cannot be read is reported and stops nothing.

        Raises:
            StoreError, SealError: what was imported so far stays; running it again goes on.
        """
        started = time.monotonic()
        for kind, file in files:
            self.report.files += 1
            try:
                self._file(kind, file, progress)
            except (OSError, ImportError) as error:
                self.report.problems.append(f"{file.path}: {getattr(error, 'strerror', None) or error}")
            if progress:
                progress(file, file.size)
        self.report.seconds += time.monotonic() - started
        return self.report

    def _file(self, kind: str, file: TranscriptFile, progress: Progress | None) -> None:
        key = f"{self._client}:{file.path.absolute()}"
        for _ in range(_RACES):
            record = self._memories.states(POSITIONS).get(key)
            start, base = self._start(kind, file.path, record)
            if start is None:
                self.report.unchanged += 1
                return
            if self._read(kind, file, key, record, start, base, progress):
                return
        self.report.problems.append(f"{file.path}: another import is reading it")

    def _start(self, kind: str, path: Path, record: dict[str, Any] | None) -> tuple[int | None, dict[str, Any]]:
        """Where to go on (None: nothing is new) and what is known of the file; from the beginning when more is wanted than was."""
        wanted = self._wanted
        fresh = {"since": wanted.since.isoformat() if wanted.since else None, "min_length": wanted.min_length}
        if record is None or _wider(fresh, record):
            return 0, fresh
        position = Position(**record["position"])
        base = {name: record.get(name) for name in ("since", "min_length", "tally", "project", "session", "acted")}
        if _whole(kind, path):
            status = path.stat()
            same = (status.st_size, status.st_mtime) == (position.size, position.modified) and record.get("complete")
            return (None if same else 0), fresh
        if kind == "opencode":
            return position.offset, base
        if position.unchanged(path):
            return None, base
        offset = position.resume(path)
        return offset, base if offset else fresh

    def _read(
        self,
        kind: str,
        file: TranscriptFile,
        key: str,
        record: dict[str, Any] | None,
        start: int,
        base: dict[str, Any],
        progress: Progress | None,
    ) -> bool:
        """Reads on from `start`; False when another process has moved the position meanwhile."""
        batch = _Batch(base, start, record)
        foreign = False
        for each in reader(kind).read(file.path, start):
            batch.take(each)
            if isinstance(each, Skipped):
                self.report.reasons[each.reason] += 1
                self.report.broken_lines += each.broken
            else:
                foreign = self._turn(file, each, batch) or foreign
                if foreign and batch.foreign == batch.seen >= _FOREIGN:
                    return True
            if progress and batch.seen % 50 == 0:
                progress(file, min(each.end, file.size))
            if batch.full(each) and not self._write(kind, file, key, batch, foreign, complete=False):
                return False
        return self._write(kind, file, key, batch, foreign, complete=True)

    def _turn(self, file: TranscriptFile, turn: Turn, batch: _Batch) -> bool:
        """Takes one turn into the batch; whether it belongs to a project that is not wanted."""
        report, wanted = self.report, self._wanted
        if ERRAND in turn.cwd:
            report.reasons["our own errand"] += 1
            return False
        project = self._projects.of(turn, batch.project(turn.session))
        if not named(project, wanted.project):
            report.reasons["other project"] += 1
            batch.foreign += 1
            return True
        report.turns += 1
        report.session_ids.add(turn.session)
        acted = batch.follow(turn)
        at = turn.at or batch.at or datetime.fromtimestamp(file.modified, UTC)
        batch.at = at
        said = self._echoes.without(turn.session, turn.text)
        reason = self._unwanted(turn, said, at, project)
        if reason:
            report.reasons[reason] += 1
            return False
        if said != turn.text:
            from dataclasses import replace

            turn = replace(turn, text=said)
        batch.drafts += drafts_of(turn, file.path.absolute(), self._memories.access.writable[0], project, at, acted)
        batch.size += len(said)
        batch.note_session(turn, project, at)
        return False

    def _unwanted(self, turn: Turn, said: str, at: datetime, project: str | None) -> str:
        wanted = self._wanted
        if not said:
            return "recalled, not said" if turn.text else "tools only"
        if len(said) < wanted.min_length:
            return "too short"
        if wanted.since is not None and at < wanted.since:
            return "before --since"
        horizon = max(self._pruned.get("", ""), self._pruned.get(project or "", ""))
        return "pruned before" if horizon and at.isoformat() < horizon else ""

    def _write(self, kind: str, file: TranscriptFile, key: str, batch: _Batch, foreign: bool, *, complete: bool) -> bool:
        """Writes the batch together with the position; False when another process was faster."""
        if self._wanted.dry_run:
            self._count(batch)
            return True
        # A file of which one project was taken must be read again for the others.
        after = batch.held if foreign else batch.record(file.path, complete)
        if not batch.drafts and (foreign or not batch.moved):
            return True
        answer = self._memories.archive(batch.drafts, Guarded(POSITIONS, key, batch.held, after, batch.merges(kind)))
        if answer.raced:
            return False
        self.report.memories += answer.written
        self.report.known += answer.known
        self.report.sealed += answer.sealed
        self.report.quarantined += answer.quarantined
        self.report.bytes += answer.bytes
        batch.begin()
        batch.held = after
        return True

    def _count(self, batch: _Batch) -> None:
        known = self._memories.store.get(self._memories.access, [draft.id or "" for draft in batch.drafts])
        self.report.known += len(known)
        self.report.memories += len(batch.drafts) - len(known)
        self.report.bytes += sum(len(draft.content.encode()) for draft in batch.drafts if draft.id not in known)
        batch.begin()


class _Batch:
    """Turns on their way into one transaction, and what is known of the file so far.

    Attributes:
        held: the file's entry as it stands in the store.
    """

    def __init__(self, base: dict[str, Any], start: int, held: dict[str, Any] | None) -> None:
        self._base = base
        self.held = held
        self.tally = Tally.of(base.get("tally"))
        self.acted: list[str] = list(base.get("acted") or ())
        self.resume = self._written = start
        self.seen = self.foreign = 0
        self.at: datetime | None = None
        self.sessions: dict[str, dict[str, Any]] = {}
        self.begin()

    def begin(self) -> None:
        """Starts the next transaction's turns."""
        self.drafts: list[Draft] = []
        self.size = 0
        self._written = self.resume
        self.sessions = {}

    @property
    def moved(self) -> bool:
        return self.resume != self._written

    def take(self, each: Turn | Skipped) -> None:
        self.resume = each.resume
        self.seen += 1

    def full(self, last: Turn | Skipped) -> bool:
        """Whether it is time to write, at a place where the reader has nothing unfinished if possible."""
        enough = len(self.drafts) >= _TURNS or self.size >= _CHARACTERS or (self.seen % 5000 == 0 and self.moved)
        return enough and (last.resume >= last.end or len(self.drafts) >= _TURNS_AT_LAST)

    def follow(self, turn: Turn) -> list[str]:
        """Counts what a turn did; answers which tools the assistant used before it."""
        self.tally.add(turn)
        if turn.sidechain:
            return []
        if turn.role != "user":
            self.acted = [*self.acted, *(use.name[:80] for use in turn.tools)][-8:]
            return []
        acted, self.acted = self.acted, []
        return acted

    def project(self, session: str) -> str | None:
        """The project of the turns before, where they are of the same session."""
        return self._base.get("project") if self._base.get("session") == session[:500] else None

    def note_session(self, turn: Turn, project: str | None, at: datetime) -> None:
        facts = self.sessions.setdefault(turn.session[:500], {"host": turn.host, "project": project, "last": "", "title": ""})
        facts["last"] = max(facts["last"], at.isoformat())
        facts["title"] = turn.title[:200] or facts["title"]
        self._base["project"], self._base["session"] = project, turn.session[:500]

    def record(self, path: Path, complete: bool) -> dict[str, Any]:
        position = asdict(Position.of(path, self.resume))
        return {**self._base, "position": position, "tally": self.tally.kept(), "acted": self.acted, "complete": complete}

    def merges(self, kind: str) -> list[tuple[str, str, Callable[[dict[str, Any] | None], dict[str, Any]]]]:
        return [(SESSIONS, session, _joined({**facts, "kind": kind})) for session, facts in self.sessions.items()]


def _joined(facts: dict[str, Any]) -> Callable[[dict[str, Any] | None], dict[str, Any]]:
    def merge(was: dict[str, Any] | None) -> dict[str, Any]:
        known = was or {}
        title = facts["title"] or known.get("title", "")
        return {**known, **facts, "last": max(facts["last"], str(known.get("last", ""))), "title": title}

    return merge


def _whole(kind: str, path: Path) -> bool:
    """Whether a file is one document, written anew each time, so that offsets in it mean nothing later."""
    return kind in ("claude-ai", "chatgpt") or (kind == "gemini" and path.suffix == ".json")


def _wider(fresh: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether more is wanted than was taken when the file was read."""
    since, had = fresh["since"], record.get("since")
    earlier = had is not None and (since is None or since < had)
    return earlier or int(fresh["min_length"]) < int(record.get("min_length") or 0)


def sizes(files: Iterable[tuple[str, TranscriptFile]]) -> Iterator[int]:
    """The size of each file in bytes."""
    return (file.size for _, file in files)
