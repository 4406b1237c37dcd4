"""Commands that keep the memory in order: review, duplicates, bulk-delete, tidy, entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bethink.errors import InvalidInput
from bethink.front import shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import ASKED, Json, Limit, Offset, Project, Source, Yes, opened
from bethink.model import Changes
from bethink.service.entities import Entity
from bethink.service.memories import Memories


def register(app: typer.Typer) -> None:
    app.command("review")(review)
    app.command("duplicates")(duplicates)
    app.command("bulk-delete")(bulk_delete)
    app.command("tidy")(tidy)
    app.command("entities")(entities)


def review(
    accept: Annotated[list[str] | None, typer.Option("--accept", metavar="ID", help="Let it into recall; may be repeated.")] = None,
    reject: Annotated[list[str] | None, typer.Option("--reject", metavar="ID", help="Delete it; may be repeated.")] = None,
    content: Annotated[str | None, typer.Option("--content", metavar="TEXT", help="What the accepted one shall say.")] = None,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="Accept everything that is listed; needs --yes.")] = False,
    reject_all: Annotated[bool, typer.Option("--reject-all", help="Reject everything that is listed; needs --yes.")] = False,
    limit: Limit = 50,
    offset: Offset = 0,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Decide on what waits: learned by itself, in quarantine, or left without ground.

    bethink review --accept 0198c0de-1 --reject 0198c0de-2
    """
    if accept_all and reject_all:
        raise InvalidInput("--accept-all and --reject-all exclude each other.")
    if content is not None and len(accept or ()) != 1:
        raise InvalidInput("--content needs exactly one --accept.")
    with opened(project, embedder=False) as memories:
        if accept or reject:
            _decide(memories, accept or (), reject or (), content, as_json)
            return
        items = memories.review(project=project or ASKED.project, limit=limit, offset=offset)
        ids = [item.memory.id for item in items]
        if (accept_all or reject_all) and yes:
            _decide(memories, ids if accept_all else (), ids if reject_all else (), None, as_json)
            return
    if as_json:
        shown.json({"items": [shapes.review_item(item) for item in items], "total": len(items)})
        return
    if not items:
        shown.say("Nothing waits.")
        return
    cells = [
        (one.source, one.trust, f"{shown.line(one)}\n! {item.reason}", shown.short(one.id)) for item in items for one in (item.memory,)
    ]
    shown.table(["Source", "Trust", "Memory", "Id"], [[shown.clean(cell) for cell in row] for row in cells], wide="Memory")
    if accept_all or reject_all:
        shown.say(f"{len(items)} would be {'accepted' if accept_all else 'rejected'}. Repeat with --yes.")
    else:
        shown.say("`bethink review --accept ID`, `--reject ID`; `--accept-all --yes` for all of these.")


def _decide(memories: Memories, accept: Sequence[str], reject: Sequence[str], content: str | None, as_json: bool) -> None:
    accepted = memories.accept(accept, None if content is None else Changes(content=content))
    rejected = memories.reject(reject)
    if as_json:
        shown.json({"accepted": [one.id for one in accepted], "rejected": [one.id for one in rejected]})
        return
    for one in accepted:
        shown.say(f"Accepted {one.id}  {shown.line(one, 100)}")
    for one in rejected:
        shown.say(f"Rejected {one.id}; `bethink restore` brings it back.")


def duplicates(
    threshold: Annotated[float, typer.Option("--threshold", help="Least likeness, 0.5 to 1.")] = 0.85,
    limit: Limit = 20,
    scan_limit: Annotated[int, typer.Option("--scan-limit", min=1, max=100_000, help="How many of the newest to look at.")] = 500,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Find memories that say nearly the same, in groups."""
    with opened(project) as memories:
        clusters = memories.find_duplicates(threshold, limit=limit, project=project or ASKED.project, scan_limit=scan_limit)
    if as_json:
        shown.json({"clusters": [shapes.cluster(one) for one in clusters]})
        return
    for cluster in clusters:
        shown.say(f"{cluster.similarity:.2f}")
        for memory in cluster.memories:
            shown.say(f"  {shown.short(memory.id)}  {shown.line(memory, 120)}")
    shown.say(f"{len(clusters)} groups." + (" `bethink tidy` proposes what to merge." if clusters else ""))


def bulk_delete(
    tag: Annotated[str | None, typer.Option("-t", "--tag", help="Everything with this tag.")] = None,
    source: Source = None,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Delete everything with a tag, of a project, or from a source.

    Shows what that is; does it with --yes. Each can be restored.
    """
    with opened(project, embedder=False) as memories:
        answer = memories.bulk_delete(tag=tag, project=project or ASKED.project, source=source, dry_run=not yes)
    if as_json:
        shown.json(shapes.bulk_deleted(answer))
        return
    if answer.preview:
        shown.memories(answer.preview)
    if answer.done:
        shown.say(f"Deleted {answer.total}.")
    else:
        shown.say(f"{answer.total} would be deleted." + (" Repeat with --yes." if answer.total else ""))


def tidy(
    accept: Annotated[list[str] | None, typer.Option("--accept", metavar="PROPOSAL", help="Do this one; may be repeated.")] = None,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Propose merges and what has expired; do what is accepted, or all of it with --yes."""
    with opened(project) as memories:
        proposals = memories.tidy(accept=accept or (), accept_all=yes)
    chosen = {one.id for one in proposals if yes or one.id in (accept or ())}
    if missing := [id for id in accept or () if id not in chosen]:
        raise InvalidInput(f"No proposal {missing[0]!r}.", hint="`bethink tidy` lists them.")
    if as_json:
        shown.json({"proposals": [{**shapes.proposal(one), "done": one.id in chosen} for one in proposals]})
        return
    for one in proposals:
        shown.say(f"{'done  ' if one.id in chosen else ''}{one.id}  {shown.clean(one.reason)}")
        for memory in one.memories:
            shown.say(f"    {shown.short(memory.id)}  {shown.line(memory, 110)}")
    if not proposals:
        shown.say("Everything is tidy.")
    elif not chosen:
        shown.say("`bethink tidy --accept PROPOSAL` does one, --yes all of them.")


def entities(
    query: Annotated[str | None, typer.Argument(metavar="NAME", help="Find those with a name like this.")] = None,
    add: Annotated[str | None, typer.Option("--add", metavar="NAME", help="Store an entity, or add to the one of that name.")] = None,
    description: Annotated[str, typer.Option("--description", help="What it is.")] = "",
    alias: Annotated[list[str] | None, typer.Option("--alias", help="Another name; may be repeated.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="NAME", help="What it is part of.")] = None,
    limit: Limit = 20,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """List the people, services and things that are known by name, find one, or add one.

    bethink entities --add Heron --description "the billing service" --alias billing
    """
    with opened(project, embedder=False) as memories:
        if add is not None:
            entity = memories.register_entity(add, description, aliases=tuple(alias or ()), parent=parent)
            if as_json:
                shown.json(shapes.entity(entity))
            else:
                _tree(entity, 0)
            return
        if query is not None:
            found = memories.search_entities(query, limit=limit, project=project or ASKED.project)
            if as_json:
                shown.json({"entities": [{**shapes.entity(entity), "score": score} for entity, score in found]})
            for entity, score in () if as_json else found:
                shown.say(f"{score:.2f}  {_named(entity)}")
            return
        trees = memories.list_entities(project or ASKED.project)
    if as_json:
        shown.json({"entities": [shapes.entity(entity) for entity in trees]})
        return
    for entity in trees:
        _tree(entity, 0)
    if not trees:
        shown.say("No entities yet.")


def _tree(entity: Entity, depth: int) -> None:
    shown.say("  " * depth + _named(entity))
    for child in entity.children:
        _tree(child, depth + 1)


def _named(entity: Entity) -> str:
    others = f" ({', '.join(entity.aliases)})" if entity.aliases else ""
    about = f": {' '.join(entity.description.split())}" if entity.description else ""
    return shown.clean(f"{entity.name}{others}{about}") + f"  {shown.short(entity.memory.id)}"
