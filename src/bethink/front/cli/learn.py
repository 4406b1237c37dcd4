"""Commands that learn from what was said: distil, signals, behave, drain, archive, preferences, profile, schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bethink import text
from bethink.config import Settings
from bethink.errors import BethinkError, InvalidInput
from bethink.front.cli import shown
from bethink.front.cli.asked import ASKED, AllProjects, Json, Project, Yes, opened, settings_of
from bethink.service.memories import Memories

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be stored; store nothing.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Instead of DISTILL_MODEL.")]
Claude = Annotated[bool | None, typer.Option("--claude/--no-claude", help="Ask `claude -p` first; off unless DISTILL_CLAUDE is set.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="Most tokens of this run; DISTILL_MAX_TOKENS is the day's.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, max=64, help="Sessions at once, instead of DISTILL_WORKERS.")]
_SHOWN = 200


def register(app: typer.Typer) -> None:
    for command in (distil, signals, behave, drain, archive, preferences, profile, schedule):
        app.command(command.__name__)(command)


def distil(
    dry_run: DryRun = False,
    model: Model = None,
    claude: Claude = None,
    workers: Workers = None,
    max_tokens: MaxTokens = None,
    reset_failures: Annotated[bool, typer.Option("--reset-failures", help="Try again what failed three times: [ID] or all.")] = False,
    session: Annotated[str | None, typer.Argument(metavar="[ID]", help="With --reset-failures: the session's id or its beginning.")] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Have a model read past sessions: decisions, root causes, preferences, open tasks, each with the quote that proves it.

    What it finds waits as candidates (`bethink review`), and is confirmed by being found again in another session. Without a
    model only what is said plainly is found.
    """
    from bethink.intake import distil as distilling

    settings = settings_of(None)
    with opened(project, embedder=True) as memories:
        if reset_failures:
            count = distilling.reset_failures(memories, session)
            if as_json:
                shown.json({"reset": count})
            else:
                shown.say(f"{count} sessions will be tried again.")
            return
        if session is not None:
            raise InvalidInput("A session is named only with --reset-failures.")
        models, plan, budget = _how(memories, settings, project, dry_run, model, claude, workers, max_tokens)
        with _bar("Distilling") as progress:
            report = distilling.run(memories, models, plan, budget, progress)
        spent = budget.today()
    _report({**report.shape(), "today": spent}, as_json, dry_run)


def behave(
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Also sessions that were looked at before.")] = False,
    model: Model = None,
    claude: Claude = None,
    workers: Workers = None,
    max_tokens: MaxTokens = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Have a model read how you work from distilled sessions: habits, style, what you check before work is done."""
    from bethink.intake import behave as behaving

    settings = settings_of(None)
    with opened(project, embedder=True) as memories:
        models, plan, budget = _how(memories, settings, project, dry_run, model, claude, workers, max_tokens)
        with _bar("Reading") as progress:
            report = behaving.run(memories, models, plan, budget, force=force, progress=progress)
        spent = budget.today()
    _report({**report.shape(), "today": spent}, as_json, dry_run)


def signals(dry_run: DryRun = False, project: Project = None, as_json: Json = False) -> None:
    """Find corrections and habits in imported sessions, without a model.

    Corrections ("no, don't …", "actually …" after something was done) wait as candidates; English, German, French and Spanish
    are known. What is counted per project (commands that work, files, kinds of work) is brought up to date.
    """
    from bethink.intake import signals as signalling

    with opened(project, embedder=True) as memories, _bar("Reading") as progress:
        report = signalling.run(memories, project=project or ASKED.project, dry_run=dry_run, progress=progress)
    _report(report.shape(), as_json, dry_run)


def drain(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Most records.")] = 1000,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Store and learn from what hooks captured and no server has taken up yet."""
    from bethink.intake import drain as draining

    settings = settings_of(None)
    with opened(project, embedder=True) as memories:
        report = draining.drain(memories, settings.home, settings, limit=limit)
    _report(report.shape(), as_json, False)


def archive(
    action: Annotated[str, typer.Argument(metavar="[show|prune]", help="show counts it; prune erases it or a part.")] = "show",
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="Said before: 2026-01-31, or an age: 90d.")] = None,
    every: Annotated[bool, typer.Option("--everything", help="The whole archive.")] = False,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Show how large the archive of past sessions is, or erase a part of it for good.

    What was distilled from it stays. What was pruned by age is not imported again.
    """
    if action not in ("show", "prune"):
        raise InvalidInput(f"There is no `bethink archive {action}`.", hint="Use show or prune.")
    only = project or ASKED.project
    if action == "prune" and not (before or only or every):
        raise InvalidInput("Prune what?", hint="Give --before TIME, -p PROJECT, or --everything.")
    with opened(project, embedder=False) as memories:
        moment = text.moment(before) if before else None
        answer = memories.prune_archive(before=moment, project=only, do_it=yes and action == "prune")
        sessions = len(memories.states("sessions"))
    if as_json:
        shown.json({"memories": answer.memories, "bytes": answer.bytes, "sessions": sessions, "done": answer.done})
    elif answer.done:
        shown.say(f"Erased {answer.memories:,} turns ({answer.bytes:,} bytes).")
    elif action == "prune":
        shown.say(
            f"{answer.memories:,} turns ({answer.bytes:,} bytes) would be erased." + (" Repeat with --yes." if answer.memories else "")
        )
    else:
        shown.say(f"{answer.memories:,} turns of {sessions:,} sessions, {answer.bytes:,} bytes of text.")


def preferences(all_projects: AllProjects = False, project: Project = None, as_json: Json = False) -> None:
    """List what is known of your preferences: said by you, from your corrections, inferred; with how sure that is."""
    from bethink.intake import profile as profiling

    with opened(project, embedder=False) as memories:
        found = profiling.preferences(memories, project or ASKED.project, everywhere=all_projects)
    if as_json:
        shown.json(profiling.shape(found))
        return
    if not found:
        shown.say("No preferences are known.")
        return
    rows = [
        [one.tier, f"{one.confidence:.2f}", one.memory.source, shown.place(one.memory), shown.line(one.memory), shown.short(one.memory.id)]
        for one in found
    ]
    shown.table(["Tier", "Sure", "Source", "Where", "Memory", "Id"], rows, wide="Memory", right=("Sure",))


def profile(
    into: Annotated[Path | None, typer.Option("--write", metavar="FILE", help="Keep it in a section of this file: CLAUDE.md.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="With --write: take the section out.")] = False,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Print a page about how you work; or keep it up to date in CLAUDE.md or AGENTS.md, the change shown first.

    bethink profile --write ~/.claude/CLAUDE.md --yes
    """
    from bethink.intake import profile as profiling

    with opened(project, embedder=False) as memories:
        page = profiling.page(memories, project or ASKED.project)
    if into is None:
        if as_json:
            shown.json({"profile": page})
        else:
            shown.say(page or "Nothing is known yet: `bethink add -c preferences TEXT`, `bethink signals`, `bethink behave`.")
        return
    path = into.expanduser()
    try:
        before = path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Cannot read {path}: {error}.") from None
    after = profiling.patched(before, "" if remove else page)
    change = profiling.difference(before, after, str(path))
    done = bool(change) and yes
    if done:
        profiling.write(path, after)
    if as_json:
        shown.json({"file": str(path), "diff": change, "written": done})
        return
    shown.say("\n".join(shown.clean(line) for line in change.splitlines()) or f"{path} is up to date.")
    if change:
        shown.say(f"Wrote {path}." if done else "Repeat with --yes to write it.")


def schedule(
    action: Annotated[str, typer.Argument(metavar="install|remove|status|run", help="What to do.")] = "status",
    every: Annotated[int, typer.Option("--every", metavar="MINUTES", help="How often.")] = 60,
    system: Annotated[str | None, typer.Option("--system", help="systemd, launchd, cron or windows, instead of this system's.")] = None,
    home: Annotated[Path | None, typer.Option("--home", help="MEMORY_HOME of the run.", hidden=True)] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Import, distil, and find signals and habits by the clock: install the timer, remove it, see what it did.

    Runs at low priority, one at a time, and writes to logs/intake.log in MEMORY_HOME.
    """
    from bethink.intake import schedule as scheduling

    if home is not None:
        os.environ["MEMORY_HOME"] = str(home)
    settings = settings_of(None)
    if action == "run":
        raise typer.Exit(_run(settings, as_json))
    if action not in ("install", "remove", "status"):
        raise InvalidInput(f"There is no `bethink schedule {action}`.", hint="Use install, remove, status or run.")
    chosen: Any = system or scheduling.here()
    if chosen not in scheduling.SYSTEMS:
        raise InvalidInput(f"No scheduler {chosen!r}.", hint="Use one of: " + ", ".join(scheduling.SYSTEMS) + ".")
    job = scheduling.job(settings.home, every)
    shape: dict[str, Any] = {"system": chosen, "installed": scheduling.installed(job, chosen)}
    shape["files"] = {str(path): content for path, content in scheduling.files(job, chosen).items()}
    if chosen == "cron":
        shape["line"] = scheduling.cron_line(job)
    if action == "status":
        log = scheduling.log_path(settings.home)
        shape["log"] = log.read_text("utf-8", "replace").splitlines()[-5:] if log.exists() else []
    elif yes:
        shape["done"] = (scheduling.install if action == "install" else scheduling.remove)(job, chosen)
    _told_schedule(shape, action, as_json)


def _told_schedule(shape: dict[str, Any], action: str, as_json: bool) -> None:
    if as_json:
        shown.json(shape)
        return
    if action == "status":
        shown.say(f"{shape['system']}: {'installed' if shape['installed'] else 'not installed'}")
        for line in shape["log"]:
            shown.say("  " + shown.clean(line))
        return
    if "done" in shape:
        for line in shape["done"] or ["Nothing was there."]:
            shown.say(line)
        return
    for path, content in shape["files"].items():
        shown.say(f"{path}:\n{content}")
    if "line" in shape:
        shown.say(f"crontab: {shape['line']}")
    shown.say(f"Repeat with --yes to {action} it.")


def _run(settings: Settings, as_json: bool) -> int:
    """One scheduled run: each step by itself, so that one that fails does not cost the others."""
    from bethink.intake import behave as behaving
    from bethink.intake import distil as distilling
    from bethink.intake import schedule as scheduling
    from bethink.intake import signals as signalling
    from bethink.intake.drain import drain as draining
    from bethink.intake.importing import FOUND, Importer, discovered

    with scheduling.alone(settings.home) as mine:
        if not mine:
            scheduling.log(settings.home, "another run is at it")
            return 0
        done: dict[str, Any] = {}
        code = 0
        with opened(None) as memories:
            models, plan, budget = _how(memories, settings, None, False, None, None, None, None)
            steps: tuple[tuple[str, Callable[[], dict[str, Any]]], ...] = (
                ("drain", lambda: draining(memories, settings.home, settings, models=models).shape()),
                ("import", lambda: Importer(memories, settings.home).run(discovered(FOUND)).shape()),
                ("distil", lambda: distilling.run(memories, models, plan, budget).shape()),
                ("signals", lambda: signalling.run(memories).shape()),
                ("behave", lambda: behaving.run(memories, models, plan, budget).shape()),
            )
            for name, step in steps:
                try:
                    shape = {key: value for key, value in step().items() if key not in ("found", "reasons", "rejected") and value}
                except BethinkError as error:
                    shape, code = {"error": error.message}, 3
                done[name] = shape
                scheduling.log(settings.home, f"{name}: " + shown.dumps(shape))
    if as_json:
        shown.json(done)
    return code


def _how(
    memories: Memories,
    settings: Settings,
    project: str | None,
    dry_run: bool,
    model: str | None,
    claude: bool | None,
    workers: int | None,
    max_tokens: int | None,
) -> tuple[list[Any], Any, Any]:
    """The models that answer, the plan and the budget of a run."""
    from bethink.intake.chain import models_of
    from bethink.intake.distil import Plan
    from bethink.intake.models import Budget

    plan = Plan(
        project or ASKED.project,
        dry_run,
        workers or max(1, settings["DISTILL_WORKERS"]),
        settings["DISTILL_MIN_MESSAGES"],
        max(300, settings["DISTILL_WINDOW_TOKENS"]),
    )
    budget = Budget(memories, run=max_tokens, day=settings["DISTILL_MAX_TOKENS"])
    return models_of(settings, model=model, claude=claude), plan, budget


def _report(shape: dict[str, Any], as_json: bool, dry_run: bool) -> None:
    if as_json:
        shown.json(shape)
        return
    for one in shape.get("found", ())[:_SHOWN]:
        said = f"{one['category']}: {' '.join(str(one['content']).split())}"
        shown.say(shown.clean(said))
        if one.get("quote") and one["quote"] != one["content"]:
            shown.say(shown.clean(f"    “{' '.join(str(one['quote']).split())}”"))
    rows = []
    for name, value in shape.items():
        if (isinstance(value, int | float) and value) or (isinstance(value, str) and value):
            rows.append([name, f"{value:,}" if isinstance(value, int) else str(value)])
    title = "Dry run" if dry_run else "Done"
    shown.table([title, "Count"], rows or [["nothing new", ""]], wide=title, right=("Count",))
    for reason, count in shape.get("rejected", {}).items() if isinstance(shape.get("rejected"), dict) else ():
        shown.say(f"  not believed, {reason}: {count:,}")
    for problem in shape.get("problems", ()):
        shown.note(f"Session {problem['session']}: {problem['error']}")
    for note in shape.get("notes", ()):
        shown.note(note)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar over sessions on stderr, where somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
