"""Commands that store, change and remove: add, import, edit, delete, restore, purge."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from bethink.errors import InvalidInput
from bethink.front import fields, shapes
from bethink.front.cli import shown, stream
from bethink.front.cli.asked import (
    Category,
    Client,
    Global,
    Id,
    Json,
    Project,
    Session,
    Source,
    Space,
    Tags,
    Task,
    Yes,
    opened,
    place,
)
from bethink.model import Changes, Scope

Keywords = Annotated[list[str] | None, typer.Option("-k", "--keywords", help="More words to find it by; may be repeated.")]
Importance = Annotated[float | None, typer.Option("-i", "--importance", help="From 0 to 1; 0.5 unless given.")]
From = Annotated[str | None, typer.Option("--valid-from", metavar="TIME", help="Since when it is true.")]
Until = Annotated[str | None, typer.Option("--valid-until", metavar="TIME", help="Until when it is true.")]
Ttl = Annotated[str | None, typer.Option("--ttl", metavar="AGE", help="Hide it after so long: 30d, 12h, 6mo.")]


def register(app: typer.Typer) -> None:
    app.command("add")(add)
    app.command("import")(import_)
    app.command("edit")(edit)
    app.command("delete")(delete)
    app.command("restore")(restore)
    app.command("purge")(purge)


def add(
    content: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to remember; - reads it from stdin.")] = None,
    category: Category = None,
    tag: Tags = None,
    keywords: Keywords = None,
    importance: Importance = None,
    project: Project = None,
    is_global: Global = False,
    task: Task = None,
    space: Space = None,
    source: Source = None,
    session: Session = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="JSON", help="Where it was read: a JSON object or a file's name.")
    ] = None,
    ttl: Ttl = None,
    supersedes: Annotated[str | None, typer.Option("--supersedes", metavar="ID", help="The memory that this one corrects.")] = None,
    derived_from: Annotated[list[str] | None, typer.Option("--derived-from", metavar="ID", help="A memory it was made from.")] = None,
    sensitive: Annotated[bool, typer.Option("--sensitive", "--force-sensitive", help="Seal the whole content as a secret.")] = False,
    valid_from: From = None,
    valid_until: Until = None,
    created_at: Annotated[str | None, typer.Option("--created-at", metavar="TIME", help="When it was learned; now unless given.")] = None,
    client: Client = None,
    id: Annotated[str | None, typer.Option("--id", help="An id of your own, for storing again without doubling.")] = None,
    stdin_jsonl: Annotated[bool, typer.Option("--stdin-jsonl", help="Read one JSON object a line, answer each.")] = False,
    as_json: Json = False,
) -> None:
    """Remember something.

    Inside a git checkout it belongs to that project unless you say --global.

    bethink add "Deploys go out on Tuesdays; never on Fridays" -c decisions -t release
    """
    given: dict[str, Any] = {
        "category": category,
        "tags": tag,
        "keywords": keywords,
        "importance": importance,
        "space": space,
        "source": source,
        "session": session,
        "origin": _origin(origin),
        "ttl": ttl,
        "supersedes": supersedes,
        "derived_from": derived_from,
        "sensitive": sensitive or None,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "created_at": created_at,
        "client": client,
        "id": id,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if stdin_jsonl:
        if content is not None or id is not None or supersedes is not None:
            raise InvalidInput("--stdin-jsonl takes no TEXT, --id or --supersedes.", hint="They are fields of each line.")
        with opened(project, embedder=False) as memories:
            raise typer.Exit(stream.add(memories, stream.stdin(), place(memories, project, is_global, task), given))
    typed = content != "-" or sys.stdin.isatty()
    plain = _content(content)
    with opened(project, embedder=False) as memories:
        here = place(memories, project, is_global, task)
        draft = fields.draft_of({**given, "content": plain}, here, memories.now(), source="cli", by_hand=typed and source is None)
        answer = memories.remember(draft)
    if as_json:
        shown.json(shapes.stored(answer))
    else:
        shown.stored(answer)


def import_(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="What `export` wrote, or an array of {content, …}; - is stdin. Or what a flag says."),
    ] = None,
    claude_code: Annotated[bool, typer.Option("--claude-code", help="Sessions of Claude Code; a folder may follow.")] = False,
    codex: Annotated[bool, typer.Option("--codex", help="Sessions of Codex.")] = False,
    gemini: Annotated[bool, typer.Option("--gemini", help="Sessions of Gemini CLI.")] = False,
    cursor: Annotated[bool, typer.Option("--cursor", help="Sessions of Cursor.")] = False,
    opencode: Annotated[bool, typer.Option("--opencode", help="Sessions of opencode.")] = False,
    copilot: Annotated[bool, typer.Option("--copilot", help="Sessions of Copilot CLI.")] = False,
    claude_ai: Annotated[str | None, typer.Option("--claude-ai", metavar="FILE", help="conversations.json of claude.ai's export.")] = None,
    chatgpt: Annotated[str | None, typer.Option("--chatgpt", metavar="FILE", help="conversations.json of ChatGPT's export.")] = None,
    is_text: Annotated[bool, typer.Option("--text", help="The files hold prose: store it in parts, as notes.")] = False,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Store under new ids, such as for another user of the same server.")] = False,
    memory_md: Annotated[bool, typer.Option("--memory-md", help="CLAUDE.md, AGENTS.md, MEMORY.md and auto-memory files.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Whatever of these is found on this machine.")] = False,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Turns from then on: 2026-01-31, 30d.")] = None,
    min_length: Annotated[int, typer.Option("--min-length", min=1, help="Shortest turn that is kept, in characters.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count; store nothing.")] = False,
    category: Category = None,
    tag: Tags = None,
    project: Project = None,
    is_global: Global = False,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Store what files hold, or keep past sessions of assistants as an archive.

    Ids, times, status and links of an export are kept; importing anything twice changes nothing. A file that ends in .jsonl
    holds one object a line. Options hold for entries that do not say otherwise. For sessions, -p takes those of one project.

    bethink import memories.json

    bethink import --claude-code --since 30d
    """
    from bethink.front.cli import importing, transcripts

    flags = {"claude-code": claude_code, "codex": codex, "gemini": gemini, "cursor": cursor, "opencode": opencode, "copilot": copilot}
    named = files or []
    prose = is_text and named != ["-"]
    sources = transcripts.sources_of([kind for kind, on in flags.items() if on], named, claude_ai, chatgpt, prose, memory_md, every)
    if sources:
        code = transcripts.run(
            sources,
            project=project,
            since=since,
            dry_run=dry_run,
            min_length=min_length,
            is_global=is_global,
            category=category,
            tags=tuple(tag or ()),
            as_json=as_json,
        )
        raise typer.Exit(code)
    if len(named) != 1 or dry_run or since:
        raise InvalidInput("Import what?", hint="Name one file that `bethink export` wrote, or give --claude-code, --all, --text FILES …")
    defaults: dict[str, Any] = {"source": source or "import"}
    if category or is_text:
        defaults["category"] = category or "notes"
    if tag:
        defaults["tags"] = tag
    with opened(project, embedder=False) as memories:
        outcome = importing.import_file(memories, named[0], place(memories, project, is_global), defaults, is_text=is_text, new_ids=new_ids)
    if as_json:
        shown.json(outcome.shape())
    else:
        outcome.show()
    if outcome.failed:
        raise typer.Exit(2)


def edit(
    id: Id,
    content: Annotated[str | None, typer.Option("--content", metavar="TEXT", help="New content; - reads it from stdin.")] = None,
    category: Category = None,
    tag: Annotated[list[str] | None, typer.Option("-t", "--tag", help="New tags instead of the old; may be repeated.")] = None,
    keywords: Keywords = None,
    importance: Importance = None,
    status: Annotated[str | None, typer.Option("--status", help="active, completed, parked, candidate, quarantined.")] = None,
    move_to: Annotated[str | None, typer.Option("--move-to", metavar="PROJECT", help="Let it hold in another project.")] = None,
    is_global: Annotated[bool, typer.Option("--global", help="Let it hold everywhere.")] = False,
    valid_from: From = None,
    valid_until: Until = None,
    ttl: Ttl = None,
    if_version: Annotated[int | None, typer.Option("--if-version", help="Refuse unless the memory still has this version.")] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Change a memory; what it said before stays in its history.

    bethink edit 0198c0de --content "The staging database listens on port 5434"
    """
    if move_to and is_global:
        raise InvalidInput("--move-to and --global exclude each other.")
    with opened(project) as memories:
        now = memories.now()
        times = {"valid_from": valid_from, "valid_until": valid_until}
        changes = Changes(
            content=None if content is None else _content(content),
            category=category,
            tags=None if tag is None else tuple(part for one in tag if (part := one.strip())),
            expanded_keywords=None if keywords is None else " ".join(keywords),
            importance=importance,
            status=status,
            scope=Scope() if is_global else place(memories, move_to, False) if move_to else None,
            valid_from=fields.moment(times, "valid_from", now),
            valid_until=fields.moment(times, "valid_until", now),
            expires_at=fields.expiry(ttl, now) if ttl else None,
            if_version=if_version,
        )
        memory = memories.revise(id, changes)
    if as_json:
        shown.json(shapes.memory(memory))
    else:
        shown.say(f"Changed {memory.id} (version {memory.version}).")


def delete(id: Id, project: Project = None, as_json: Json = False) -> None:
    """Forget a memory; `restore` brings it back."""
    with opened(project) as memories:
        memory = memories.forget(id)
    _done(memory.id, "deleted", f"Deleted {memory.id}. `bethink restore {shown.short(memory.id)}` brings it back.", as_json)


def restore(id: Id, project: Project = None, as_json: Json = False) -> None:
    """Bring a deleted memory back."""
    with opened(project) as memories:
        memory = memories.restore(id)
    _done(memory.id, "restored", f"Restored {memory.id}.", as_json)


def purge(id: Id, yes: Yes = False, project: Project = None, as_json: Json = False) -> None:
    """Erase a deleted memory everywhere, for good.

    Only what was deleted can be purged. Without --yes it is only shown.
    """
    with opened(project) as memories:
        memory = memories.get(id)
        if not yes:
            if as_json:
                shown.json({"id": memory.id, "action": "dry_run", "deleted": memory.deleted_at is not None})
            else:
                shown.say(f"Would erase {memory.id}: {shown.line(memory)}")
                shown.say("Delete it first." if memory.deleted_at is None else "Repeat with --yes; it cannot be undone.")
            return
        receipt = memories.purge(memory.id)
    if as_json:
        shown.json({"id": memory.id, "action": "purged", "erased": receipt})
    else:
        removed = ", ".join(f"{count} {kind}" for kind, count in receipt.items() if count)
        shown.say(f"Purged {memory.id}: {removed}.")


def _done(id: str, action: str, sentence: str, as_json: bool) -> None:
    if as_json:
        shown.json({"id": id, "action": action})
    else:
        shown.say(sentence)


def _content(content: str | None) -> str:
    """The text that was given, or what stdin holds."""
    if content is None:
        raise InvalidInput("There is nothing to remember.", hint='Write bethink add "…", or bethink add - to read stdin.')
    if content != "-":
        return content
    from bethink.text import MAX_CONTENT_BYTES

    # One more than may be stored is enough to be told so, and a whole disk is not read for it.
    data = stream.stdin().read(MAX_CONTENT_BYTES * 4)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start > MAX_CONTENT_BYTES:
            return data[: error.start].decode("utf-8-sig", "replace")
        raise InvalidInput(f"The input is not UTF-8 (byte {error.start}).", hint="Convert it first, for example with iconv.") from None


def _origin(origin: str | None) -> dict[str, Any] | None:
    if origin is None:
        return None
    if not origin.lstrip().startswith("{"):
        return {"file": origin}
    try:
        return dict(json.loads(origin))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"--origin is not JSON: {error}.", hint="""Write --origin '{"file": "notes.md", "start": 3}'.""") from None
