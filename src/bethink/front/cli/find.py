"""Commands that read: recall, list, show, context, tags, stats, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any

import typer

from bethink.errors import InvalidInput
from bethink.front import fields, shapes
from bethink.front.cli import shown, stream
from bethink.front.cli.asked import (
    ASKED,
    AllProjects,
    Before,
    Category,
    Client,
    Global,
    Id,
    Json,
    Limit,
    Offset,
    Project,
    Session,
    Since,
    Source,
    Space,
    Tags,
    Task,
    opened,
    scope_named,
    settings_of,
)
from bethink.model import Filter, Memory, one_of
from bethink.project import short as short_name
from bethink.service.core import present
from bethink.service.memories import Memories

Status = Annotated[str | None, typer.Option("--status", help="candidate, quarantined, superseded, completed, parked, or any.")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="As it was known then.")]
ORDERS = ("recency", "importance", "oldest")
_EXPORTED_AT_ONCE = 200


def register(app: typer.Typer) -> None:
    app.command("recall")(recall)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("context")(context)
    app.command("tags")(tags)
    app.command("stats")(stats)
    app.command("export")(export)


def recall(
    query: Annotated[str | None, typer.Argument(metavar="TEXT", help="The question; - reads it from stdin.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="Most hits.")] = 10,
    mode: Annotated[str, typer.Option("-m", "--mode", help="hybrid, keyword, semantic or rrf.")] = "hybrid",
    category: Category = None,
    tag: Tags = None,
    keywords: Annotated[list[str] | None, typer.Option("-k", "--keywords", help="More words to look for.")] = None,
    project: Project = None,
    is_global: Global = False,
    all_projects: AllProjects = False,
    task: Task = None,
    space: Space = None,
    client: Client = None,
    source: Source = None,
    session: Session = None,
    since: Since = None,
    before: Before = None,
    as_of: AsOf = None,
    status: Status = None,
    sort_by: Annotated[str, typer.Option("--sort", help="relevance, importance or recency.")] = "relevance",
    keyword_weight: Annotated[float | None, typer.Option("--keyword-weight", help="Weight of words, 0 to 1.")] = None,
    semantic_weight: Annotated[float | None, typer.Option("--semantic-weight", help="Weight of meaning, 0 to 1.")] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Leave out hits below this score.")] = None,
    budget_tokens: Annotated[int | None, typer.Option("--budget-tokens", min=1, help="Most tokens of all contents together.")] = None,
    follow_links: Annotated[bool, typer.Option("--follow-links", help="Add what the best hits are linked with.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the part that each signal gave.")] = False,
    stdin_jsonl: Annotated[bool, typer.Option("--stdin-jsonl", help="Read one question a line as JSON, answer each.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is remembered, by meaning and by word.

    In a project it looks there and at what holds everywhere.

    bethink recall "when may I ship?" -c decisions --explain
    """
    given: dict[str, Any] = {
        "expanded_query": keywords,
        "limit": limit,
        "mode": mode,
        "category": category,
        "tags": tag,
        "scope": scope_named(project, is_global, all_projects),
        "task": task,
        "space": space,
        "client": client,
        "source": source,
        "session": session,
        "since": since,
        "before": before,
        "as_of": as_of,
        "status": status,
        "sort_by": sort_by,
        "keyword_weight": keyword_weight,
        "semantic_weight": semantic_weight,
        "min_score": min_score,
        "budget_tokens": budget_tokens,
        "follow_links": follow_links,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if stdin_jsonl:
        if query is not None:
            raise InvalidInput("--stdin-jsonl takes no TEXT.", hint='Write {"query": "…"}, one a line.')
        with opened(project) as memories:
            raise typer.Exit(stream.recall(memories, stream.stdin(), given))
    question = _question(query)
    with opened(project, embedder=mode != "keyword") as memories:
        answer = memories.recall(fields.query_of({**given, "query": question}, memories))
    if as_json:
        shown.json(shapes.recalled(answer))
    else:
        shown.hits(answer, explain)


def list_(
    limit: Limit = 20,
    offset: Offset = 0,
    category: Category = None,
    tag: Tags = None,
    project: Project = None,
    is_global: Global = False,
    all_projects: AllProjects = False,
    task: Task = None,
    space: Space = None,
    client: Client = None,
    source: Source = None,
    session: Session = None,
    since: Since = None,
    before: Before = None,
    as_of: AsOf = None,
    status: Status = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="What was deleted and can be restored.")] = False,
    order: Annotated[str, typer.Option("--sort", help="recency, importance or oldest.")] = "recency",
    as_json: Json = False,
) -> None:
    """List memories, newest first."""
    given = {
        "category": category,
        "tags": tag,
        "scope": scope_named(project, is_global, all_projects),
        "task": task,
        "space": space,
        "client": client,
        "source": source,
        "session": session,
        "since": since,
        "before": before,
        "as_of": as_of,
        "status": status,
    }
    with opened(project, embedder=False) as memories:
        where = replace(fields.filter_of(given, memories), deleted=deleted)
        page = memories.list(where, limit=limit, offset=offset, order=one_of(order.strip().lower(), ORDERS, "order"))
    if as_json:
        shown.json(shapes.page(page))
        return
    if page.memories:
        shown.memories(page.memories)
    shown.say(f"{len(page.memories)} of {page.total}." + ("" if page.total or all_projects else " `--all-projects` looks everywhere."))


def show(id: Id, as_of: AsOf = None, project: Project = None, as_json: Json = False) -> None:
    """Show one memory with every field, and its links."""
    with opened(project, embedder=False) as memories:
        at = fields.moment({"as_of": as_of}, "as_of", memories.now())
        memory = present(memories.as_of(id, at)) if at else memories.live(id)
        links = memories.links(memory.id, at)
    if as_json:
        shown.json({**shapes.memory(memory), "links": [shapes.link(one) for one in links]})
        return
    shown.whole(memory)
    if links:
        shown.say()
    for link in links:
        shown.say(shown.edge(link))


def context(
    project: Project = None,
    is_global: Global = False,
    task: Task = None,
    budget: Annotated[int | None, typer.Option("--budget-tokens", min=1, help="Most tokens.")] = None,
    as_json: Json = False,
) -> None:
    """What somebody who starts to work here should know."""
    with opened(project, embedder=False) as memories:
        brief = memories.context(task=task, budget_tokens=budget, only_global=is_global)
    if as_json:
        shown.json(shapes.context(brief))
        return
    for title, many in brief.sections:
        shown.say(f"{title}")
        for memory in many:
            shown.say(f"  - {shown.line(memory, 2000)}  ({shown.age(memory.created_at)}, {shown.short(memory.id)}{shown.whose(memory)})")
    if not brief.sections:
        shown.say("Nothing is remembered here yet.")


def tags(
    category: Category = None,
    project: Project = None,
    is_global: Global = False,
    all_projects: AllProjects = False,
    as_json: Json = False,
) -> None:
    """List tags and how many memories carry each."""
    with opened(project, embedder=False) as memories:
        scope = scope_named(project, is_global, all_projects)
        counts = memories.tags(fields.filter_of({"category": category, "scope": scope}, memories))
    if as_json:
        shown.json({"tags": counts})
    elif not counts:
        shown.say("No tags here.")
    else:
        shown.table(["Tag", "Memories"], [[shown.clean(tag), str(count)] for tag, count in counts.items()], wide="Tag", right=("Memories",))


def stats(
    project: Project = None,
    of_injections: Annotated[
        bool, typer.Option("--injections", help="What was put before models unasked, by day and project, and what it cost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count what is remembered, by category, project, source and status."""
    if of_injections:
        _injections(project, as_json)
        return
    with opened(project, embedder=False) as memories:
        counts = memories.stats()
    if as_json:
        shown.json(counts)
        return
    for name, value in counts.items():
        title = name.removeprefix("by_").replace("_", " ")
        if isinstance(value, dict):
            shown.say(f"{title}:")
            for key, count in sorted(value.items(), key=lambda pair: -pair[1]):
                shown.say(f"  {count:>10,}  {shown.clean(str(key))}")
        else:
            shown.say(f"{title}: {value:,}" if isinstance(value, int) else f"{title}: {shown.clean(str(value))}")


def _injections(project: str | None, as_json: bool) -> None:
    """The log of what hooks told, by day and project."""
    from bethink.intake import injections

    with opened(project, embedder=False) as memories:
        days = injections.by_day(settings_of(project).home)
        named = project or ASKED.project
        if named:
            wanted = memories.reach(named).projects or ()
            days = [day for day in days if day["project"] in wanted]
        if as_json:
            shown.json({"days": days})
            return
        used = memories.store.get(memories.access, list(dict.fromkeys(id for day in days for id in day["memories"])))
    rows = []
    for day in days:
        best = [
            f"{count} × {shown.line(used[id], 60) if id in used else shown.short(id)}" for id, count in list(day["memories"].items())[:3]
        ]
        silent = "" if day["silent_share"] is None else f"{day['silent_share']:.0%}"
        place = shown.clean(short_name(day["project"]))
        rows.append([day["day"], place, str(day["prompts"]), silent, f"{day['tokens']:,}", f"{day['median_ms']:.0f} ms", "\n".join(best)])
    if rows:
        columns = ["Day", "Project", "Prompts", "Silent", "Tokens", "Median", "Most told"]
        shown.table(columns, rows, wide="Most told", right=("Prompts", "Silent", "Tokens", "Median"))
    else:
        shown.say("Nothing was put before a model yet.")


def export(
    form: Annotated[str, typer.Option("--format", help="json or markdown.")] = "json",
    project: Project = None,
    is_global: Global = False,
    category: Category = None,
    tag: Tags = None,
    since: Since = None,
    before: Before = None,
    every: Annotated[bool, typer.Option("--every-status", help="Also superseded ones, candidates and what is in quarantine.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="Also what was said in past sessions, verbatim.")] = False,
    as_json: Json = False,
) -> None:
    """Print every active memory, of all projects unless -p names one.

    Secrets stay placeholders. `bethink import` takes it back.

    bethink export > memories.json
    """
    form = one_of(form.strip().lower(), ("json", "markdown"), "format")
    if as_json and form != "json":
        raise InvalidInput("--json and --format markdown exclude each other.")
    only = project or ASKED.project
    with opened(project, embedder=False) as memories:
        given = {"category": category, "tags": tag, "since": since, "before": before, "status": "any" if every else None}
        where = replace(fields.filter_of({**given, "scope": "all"}, memories), archive=archive)
        if is_global and only:
            raise InvalidInput("Only one of -p and --global makes sense.", hint="Leave the other out.")
        projects = memories.reach(only).projects if only else None
        found = _exported(memories, where, projects, is_global)
        if form == "markdown":
            _markdown(found)
        else:
            _array(memories, found)


def _exported(memories: Memories, where: Filter, projects: tuple[str, ...] | None, is_global: bool) -> Iterator[Memory]:
    """What belongs to the projects; their tasks' memories as well."""
    for memory in memories.export(where):
        if (projects is None or memory.scope.project in projects) and not (is_global and memory.scope.kind != "global"):
            yield memory


def _array(memories: Memories, found: Iterator[Memory]) -> None:
    """A JSON array, one memory a line, written as it is read."""
    shown.say("[")
    first = True
    while batch := list(islice(found, _EXPORTED_AT_ONCE)):
        links = memories.store.links_of(memories.access, [memory.id for memory in batch])
        for memory in batch:
            shape = shapes.memory(memory)
            own = [{"type": link.type, "target": link.target, "note": link.note} for link in links if link.source == memory.id]
            sys.stdout.write(("" if first else ",\n") + shown.dumps({**shape, **({"links": own} if own else {})}))
            first = False
    shown.say("\n]" if not first else "]")


def _markdown(found: Iterator[Memory]) -> None:
    """Sections by category; a long store is held in memory for it."""
    by_category: dict[str, list[Memory]] = {}
    for memory in found:
        by_category.setdefault(memory.category, []).append(memory)
    shown.say("# Memories")
    for category, many in sorted(by_category.items()):
        shown.say(f"\n## {category}\n")
        for memory in many:
            tags = "".join(f" `{tag}`" for tag in memory.tags)
            content = "\n".join(("  " + line).rstrip() for line in memory.content.splitlines()).strip()
            shown.say(f"- {content}{tags}  \n  _{memory.created_at:%Y-%m-%d} · {shown.place(memory)} · {memory.id}_")


def _question(query: str | None) -> str:
    if query is None:
        raise InvalidInput("There is no question.", hint='Write bethink recall "…"; `bethink list` shows what is there.')
    return stream.stdin().read(stream.MAX_LINE).decode("utf-8", "replace") if query == "-" else query
