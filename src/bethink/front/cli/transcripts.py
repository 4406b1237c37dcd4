"""Import of past sessions and of files of text: what stands behind the flags of `bethink import`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bethink import text
from bethink.errors import InvalidInput
from bethink.front.cli import shown
from bethink.front.cli.asked import ASKED, opened, place, settings_of
from bethink.hosts.transcripts import TranscriptFile
from bethink.intake.importing import FOUND, Importer, Report, Wanted, discovered

#: What is taken from a folder of texts.
_PROSE = (".md", ".markdown", ".txt", ".rst")


@dataclass(frozen=True, slots=True)
class Sources:
    """What the flags name."""

    kinds: tuple[str, ...]
    #: Kind → folder or file to read instead of the usual place.
    roots: dict[str, Path]
    texts: tuple[Path, ...] = ()
    memory_md: bool = False

    def __bool__(self) -> bool:
        return bool(self.kinds or self.texts or self.memory_md)


def sources_of(
    flags: Sequence[str], files: Sequence[str], claude_ai: str | None, chatgpt: str | None, is_text: bool, memory_md: bool, every: bool
) -> Sources:
    """The sources that the flags and what stands beside them name.

    Raises:
        InvalidInput: files are given and it is not clear what for.
    """
    kinds = list(FOUND) if every else list(flags)
    roots = {kind: Path(name).expanduser() for kind, name in (("claude-ai", claude_ai), ("chatgpt", chatgpt)) if name}
    texts: tuple[Path, ...] = ()
    if is_text:
        texts = tuple(Path(name).expanduser() for name in files)
        if not texts and not kinds and not roots:
            raise InvalidInput("--text needs files.", hint="bethink import --text notes.md")
    elif files and kinds:
        if len(files) > 1 or len(kinds) > 1:
            raise InvalidInput("One folder goes with one kind of transcripts.", hint="bethink import --claude-code FOLDER")
        roots[kinds[0]] = Path(files[0]).expanduser()
    missing = [str(path) for path in (*roots.values(), *texts) if not path.exists()]
    if missing:
        raise InvalidInput(f"There is no {missing[0]}.", hint="Check the name; a folder or a file is expected.")
    return Sources((*kinds, *(kind for kind in ("claude-ai", "chatgpt") if kind in roots)), roots, texts, memory_md or every)


def run(
    sources: Sources,
    *,
    project: str | None,
    since: str | None,
    dry_run: bool,
    min_length: int,
    is_global: bool,
    category: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Imports what the flags name and shows the summary; the exit code."""
    # With transcripts -p is a filter: each session says itself which project it was in.
    only = project or ASKED.project
    settings = settings_of(None)
    with opened(project, embedder=False) as memories:
        wanted = Wanted(only, text.moment(since) if since else None, min_length, dry_run)
        listed = discovered(sources.kinds, sources.roots)
        if wanted.since is not None:
            oldest = wanted.since.timestamp()
            listed = [(kind, file) for kind, file in listed if kind in ("claude-ai", "chatgpt", "opencode") or file.modified >= oldest]
        importer = Importer(memories, settings.home, wanted)
        with _bar(sum(file.size for _, file in listed)) as progress:
            report = importer.run(listed, progress)
        if sources.texts or sources.memory_md:
            _documents(memories, sources, place(memories, project, is_global), (category, tags), dry_run, report)
    if as_json:
        shown.json(report.shape())
    else:
        show(report, dry_run)
    return 2 if report.problems and not report.memories and not report.unchanged else 0


def _documents(
    memories: Any, sources: Sources, here: Any, labels: tuple[str | None, tuple[str, ...]], dry_run: bool, report: Report
) -> None:
    from bethink.intake.documents import Documents, memory_files

    documents = Documents(memories, dry_run=dry_run)
    if sources.texts:
        paths = [path for each in sources.texts for path in _texts(each)]
        documents.run([(path, here) for path in paths], category=labels[0] or "notes", tags=labels[1])
    if sources.memory_md:
        documents.run(memory_files(Path.cwd()), by_heading=True)
    done = documents.report
    for name in ("files", "unchanged", "turns", "memories", "known", "sealed", "quarantined", "bytes", "seconds"):
        setattr(report, name, getattr(report, name) + getattr(done, name))
    report.reasons.update(done.reasons)
    report.problems += done.problems


def _texts(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (
            each for each in sorted(path.rglob("*")) if each.is_file() and each.suffix.lower() in (".md", ".txt", ".markdown", ".rst")
        )
    else:
        yield path


def show(report: Report, dry_run: bool) -> None:
    """The summary, for people."""
    shape = report.shape()
    rows = [[name.replace("_", " "), _number(shape[name])] for name in _SHOWN if shape[name] or name in _ALWAYS_SHOWN]
    title = "Import (dry run)" if dry_run else "Import"
    shown.table([title, "Count"], rows, wide=title, right=("Count",))
    if report.reasons:
        shown.say("Passed over:")
        for reason, count in report.reasons.most_common():
            shown.say(f"  {count:>8,}  {shown.clean(reason)}")
    for problem in report.problems:
        shown.note(f"Not read: {problem}")
    if report.quarantined:
        shown.note("What reads like an instruction to an assistant is in quarantine: `bethink review`.")


_ALWAYS_SHOWN = ("sessions", "turns", "memories")
_SHOWN = (
    *("files", "unchanged", "sessions", "turns", "memories", "known", "skipped", "broken_lines"),
    *("sealed", "quarantined", "bytes", "seconds"),
)


def _number(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


@contextmanager
def _bar(total: int) -> Iterator[Callable[[TranscriptFile, int], None] | None]:
    """A bar on stderr with rate and time left, where somebody watches."""
    if not sys.stderr.isatty() or not total:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        done: dict[Path, int] = {}

        def step(file: TranscriptFile, place: int) -> None:
            # A reader may count something else than bytes; a finished file is finished.
            done[file.path] = max(done.get(file.path, 0), place)
            bar.update(task, completed=sum(done.values()))

        yield step
