"""Commands about what is true and how it came to be: check, history, why, link, unlink, links, undo, rollback, audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from bethink.errors import NotFound, StoreCorrupt
from bethink.front import fields, shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import Category, Global, Id, Json, Project, Session, Since, Source, Task, Yes, opened, place
from bethink.model import Revision
from bethink.service.conflicts import in_words

LinkType = Annotated[str, typer.Option("--type", help="supersedes, refines, supports, contradicts, depends_on, part_of, see_also, …")]
From = Annotated[str, typer.Argument(metavar="FROM", help="Id of the memory that the link starts at.")]
To = Annotated[str, typer.Argument(metavar="TO", help="Id of the memory that it leads to.")]
#: Longest that is shown of a replaced value, and of a line about a conflict, in characters.
_OLD = 70
_LINE = 120


def register(app: typer.Typer) -> None:
    for command in (check, history, why, link, unlink, links, undo, rollback, audit):
        app.command(command.__name__)(command)


def check(
    content: Annotated[str, typer.Argument(metavar="TEXT", help="What might be stored.")],
    category: Category = None,
    project: Project = None,
    is_global: Global = False,
    task: Task = None,
    as_json: Json = False,
) -> None:
    """Say what storing a text would do: ADD it, UPDATE a memory that it corrects, or NOOP, as it is known."""
    with opened(project) as memories:
        verdict = memories.check(content, category=category or "facts", scope=place(memories, project, is_global, task))
    if as_json:
        shown.json(shapes.verdict(verdict))
        return
    shown.say(f"{verdict.action}  {shown.clean(verdict.reason)}")
    if verdict.target:
        shown.say(f"  {verdict.similarity:.2f}  {verdict.target.id}  {shown.line(verdict.target)}")


def history(id: Id, project: Project = None, as_json: Json = False) -> None:
    """Show every change of a memory: when, what, by whom, and what it said before."""
    with opened(project, embedder=False) as memories:
        memory = memories.get(id)
        revisions = memories.history(memory.id)
    if as_json:
        shown.json({"id": memory.id, "history": [shapes.revision(one) for one in revisions]})
        return
    rows = [[f"{one.at:%Y-%m-%d %H:%M}", one.op, _by(one), _was(one)] for one in revisions]
    shown.table(["When (UTC)", "What", "Who", "Before"], rows, wide="Before")
    shown.say(f"Now: {shown.line(memory)}")


def why(id: Id, project: Project = None, as_json: Json = False) -> None:
    """Tell where a memory comes from: source, lineage, links, changes, and where it was shown."""
    with opened(project, embedder=False) as memories:
        answer = memories.why(id)
        trust = memories.trust_of(answer.memory)
    memory = answer.memory
    if as_json:
        shown.json({**shapes.why(answer), "trust": trust})
        return
    shown.say(shown.line(memory))
    told = {
        "id": memory.id,
        "source": memory.source,
        "trust": trust if trust == memory.trust else f"{trust} (by its lineage; itself {memory.trust})",
        "stored": f"{memory.created_at:%Y-%m-%d %H:%M} UTC, {shown.age(memory.created_at)}",
        "client": memory.client,
        "agent": memory.agent,
        "session": memory.session,
        "origin": shown.dumps(dict(memory.origin)) if memory.origin else None,
        "to be looked at": memory.needs_review or None,
    }
    for name, value in told.items():
        if value:
            shown.say(f"  {name + ':':<17}{shown.clean(value)}")
    for parent in answer.lineage:
        shown.say(f"  made from        {shown.short(parent.id)}  {shown.line(parent, 100)}")
    for gone in answer.forgotten:
        shown.say(f"  made from        {shown.short(gone)}  (forgotten)")
    for edge in answer.links:
        shown.say(f"  link             {shown.edge(edge)}")
    for event in answer.events:
        detail = ", ".join(f"{name} {value}" for name, value in event.detail.items())
        shown.say(
            f"  {event.at:%Y-%m-%d %H:%M} {event.action} by {shown.clean(event.actor)}" + (f" ({shown.clean(detail)})" if detail else "")
        )


def link(
    source: From,
    target: To,
    type: LinkType = "see_also",
    note: Annotated[str, typer.Option("--note", help="A word about it.")] = "",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Join two memories by a typed link.

    bethink link 0198c0de-1 0198c0de-2 --type depends_on
    """
    with opened(project, embedder=False) as memories:
        edge = memories.link(source, target, type, note)
    if as_json:
        shown.json(shapes.link(edge))
    else:
        shown.say(shown.edge(edge))


def unlink(source: From, target: To, type: LinkType = "see_also", project: Project = None, as_json: Json = False) -> None:
    """Remove a link; what a supersedes link hid stays hidden (see `undo`)."""
    with opened(project, embedder=False) as memories:
        if not memories.unlink(source, target, type):
            raise NotFound(f"There is no link {type} from {source} to {target}.", hint="`bethink links ID` lists them.")
    if as_json:
        shown.json({"action": "unlinked", "source": source, "target": target, "type": type})
    else:
        shown.say("Unlinked.")


def links(id: Id, project: Project = None, as_json: Json = False) -> None:
    """List the links of a memory."""
    with opened(project, embedder=False) as memories:
        edges = memories.links(id)
        ends = memories.ends(edges)
    if as_json:
        shown.json({"links": [shapes.link(edge) for edge in edges]})
        return
    for edge in edges:
        shown.say(shown.edge(edge))
    for end in ends:
        shown.say(f"  {shown.short(end.id)}  {shown.line(end, 100)}")
    if not edges:
        shown.say("No links.")


def undo(
    id: Annotated[str, typer.Argument(metavar="ID", help="A memory that replaced another or was replaced, or the batch of a rollback.")],
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Take back that a memory superseded another, or a whole rollback."""
    with opened(project, embedder=False) as memories:
        try:
            back = memories.undo(id)
        except NotFound as missing:
            try:
                count = memories.undo_rollback(id)
            except NotFound:
                raise missing from None
            _undone({"action": "undone", "batch": id, "restored": count}, f"Brought back {count} memories.", as_json)
            return
    shape = {"action": "undone", "restored": [one.id for one in back]}
    _undone(shape, "\n".join(f"In recall again: {one.id}  {shown.line(one)}" for one in back), as_json)


def rollback(
    session: Session = None,
    source: Source = None,
    since: Since = None,
    yes: Yes = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Take everything that one session or source wrote out of recall.

    Shows what that is; does it with --yes. `bethink undo BATCH` takes it back.
    """
    with opened(project, embedder=False) as memories:
        at = fields.moment({"since": since}, "since", memories.now())
        answer = memories.rollback(session=session, source=source, since=at, do_it=yes)
    if as_json:
        shown.json(shapes.rolled_back(answer))
        return
    if answer.memories:
        shown.memories(answer.memories)
    if not yes:
        shown.say(f"{len(answer.memories)} memories would leave recall." + (" Repeat with --yes." if answer.memories else ""))
    else:
        shown.say(f"{len(answer.memories)} memories left recall. `bethink undo {answer.batch}` brings them back.")


def audit(
    verify: Annotated[bool, typer.Option("--verify", help="Check that no entry was changed, added or removed.")] = False,
    after: Annotated[int, typer.Option("--after", min=0, help="Only entries after this number.")] = 0,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="The last so many entries.")] = 50,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Show what was done: writes, reads of secrets, rollbacks, erasures. Each entry seals the one before it."""
    with opened(project, embedder=False) as memories:
        entries = memories.audit(after)
        broken = memories.verify_audit() if verify else None
    if verify and as_json:
        shown.json({"entries": len(entries), "intact": broken is None, "first_broken": broken})
    elif verify and broken is None:
        shown.say(f"The log is whole: {len(entries):,} entries.")
    elif as_json:
        shown.json({"entries": [shapes.audit_entry(one) for one in entries[-limit:]]})
    elif not verify:
        rows = [[str(one.number), f"{one.at:%Y-%m-%d %H:%M:%S}", one.actor, one.action, one.subject] for one in entries[-limit:]]
        shown.table(["Number", "When (UTC)", "Who", "What", "Id"], [[shown.clean(cell) for cell in row] for row in rows], wide="Id")
    if broken is not None:
        problem = StoreCorrupt(f"The audit log was changed at entry {broken}.", hint="Compare with a backup; the rest cannot be trusted.")
        if not as_json:
            raise problem
        raise typer.Exit(problem.exit_code)


def _undone(shape: Mapping[str, object], sentence: str, as_json: bool) -> None:
    if as_json:
        shown.json(shape)
    else:
        shown.say(sentence)


def _by(one: Revision) -> str:
    return shown.clean(" ".join(part for part in (one.agent or one.actor, f"on {one.client}" if one.client else "") if part))


def _was(one: Revision) -> str:
    """What a change replaced, in short."""
    if (told := in_words(one)) is not None:
        return shown.clean("\n".join(line if len(line) <= _LINE else line[: _LINE - 1] + "…" for line in told.splitlines()))
    parts = []
    for name, value in one.before.items():
        if name not in ("content_hash", "updated_at", "version"):
            plain = " ".join(str(value).split())
            parts.append(f"{name}: {plain if len(plain) <= _OLD else plain[: _OLD - 1] + '…'}")
    if one.note:
        parts.append(f"({' '.join(one.note.split())[:_OLD]})")
    return shown.clean("\n".join(parts))
