"""The default tools: few, plainly named, each saying when it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bethink import text
from bethink.errors import BadTime, Forbidden, InvalidInput
from bethink.front import fields, shapes
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.model import CATEGORIES, Changes, Hit, Memory
from bethink.project import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bethink.front.mcp.desk import Desk
    from bethink.render import Purpose, Rendered
    from bethink.service.memories import Memories

#: Most tokens (estimated) of the notes in one answer; hosts warn at 10,000 and cut at 25,000.
ANSWER_TOKENS = 8_000
NOTHING = "No memories match; continue without."
#: As a project: all of them.
ALL_PROJECTS = "*"
WAITING = ("candidate", "quarantined")
#: What others wrote starts with less trust; "assistant" is what the model itself concluded or was told.
SOURCES = ("assistant", "web", "document", "email", "tool")

_ID: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": {"type": "string"}}
_WRITTEN: Json = {"type": "object", "properties": {"id": _ID, "action": {"type": "string"}}, "required": ["id", "action"]}
_MEMORY: Json = {
    "type": "object",
    "properties": {"id": _ID, "content": {"type": "string"}, "category": {"type": "string"}, "tags": _TEXTS},
    "required": ["id", "content", "category"],
}
_MEMORIES: Json = {"type": "array", "items": _MEMORY}


def store(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    given = placed(memories, given)
    expires = given.pop("expires_at", None)
    if expires is not None:
        given["ttl" if _is_length(expires) else "expires_at"] = expires
    stored = memories.remember(fields.draft_of(given, memories.here, memories.now(), source="assistant"))
    desk.wrote()
    shape = shapes.stored(stored)
    said = {"added": "Stored", "merged": "Known already, merged into", "queued": "Queued"}.get(stored.action, stored.action.capitalize())
    where = f"project {stored.memory.scope.project}" if stored.memory.scope.project else "everywhere"
    lines = [f"{said} {stored.memory.id} ({stored.memory.category}, {where})."]
    lines += [f"It supersedes {old}, which is no longer recalled." for old in stored.superseded]
    if stored.sealed:
        lines.append(f"Sealed out of it: {', '.join(stored.sealed)}; only secret_get gives that back.")
    return Answer("\n".join([*lines, *stored.notes]), shape)


def recall(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, given)
    asked["query"] = asked.pop("context")
    recalled = memories.recall(fields.query_of(asked, memories))
    shape = shapes.recalled(recalled)
    if not recalled.hits:
        return Answer("\n".join([NOTHING, *recalled.notes]), shape)
    rendered = notes(recalled.hits, memories, "tool", ANSWER_TOKENS)
    shown = frozenset(rendered.ids)
    for hit in shape["hits"]:
        if hit["id"] not in shown:
            hit.update(content=text.title(hit["content"], 200), truncated=True)
    return Answer("\n".join([rendered.text, *recalled.notes]), shape)


def get(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    memory = memories.live(given["id"])
    links = memories.links(memory.id)
    shape = {**shapes.memory(memory), "links": [shapes.link(link) for link in links]}
    lines = [quoted([memory], memories)]
    lines += [f"Linked: {link.source} {link.type} {link.target}" for link in links]
    return Answer("\n".join(lines), shape)


def list_(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    asked = placed(memories, given)
    limit, offset = asked.pop("limit"), asked.pop("offset")
    if tag := asked.pop("tag", None):
        asked["tags"] = [tag]
    page = memories.list(fields.filter_of(asked, memories), limit=limit, offset=offset)
    shape = {**shapes.page(page), "memories": fitted(page.memories)}
    if not page.memories:
        return Answer(NOTHING if page.total == 0 else f"Nothing after {page.total} memories.", shape)
    last = offset + len(page.memories)
    more = f" More with offset={last}." if last < page.total else ""
    return Answer(f"{len(page.memories)} of {page.total} memories.{more}\n{titles(page.memories, memories)}", shape)


def update(desk: Desk, given: Json) -> Answer:
    after = revised(desk, given["id"], changes_of(given))
    return Answer(
        f"Updated {after.id}, now version {after.version}.", {"id": after.id, "action": "updated", "memory": shapes.memory(after)}
    )


def delete(desk: Desk, given: Json) -> Answer:
    gone = desk.memories().forget(given["id"])
    return Answer(
        f"Deleted {gone.id}. `bethink restore {gone.id}` brings it back.",
        {"id": gone.id, "action": "deleted", "preview": text.title(gone.content)},
    )


def context(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    if given.get("project") == ALL_PROJECTS:
        raise InvalidInput("A brief is about one project.", hint="Leave project out, or name one.")
    budget = given.get("budget_tokens")
    if budget is not None and budget < 1:
        raise InvalidInput(f"budget_tokens is {budget}.", hint="Ask for at least 1; 800 is usual.")
    project = given.get("project")
    brief = memories.context(whole(memories, project) if project else None, task=given.get("task"), budget_tokens=budget)
    shape = shapes.context(brief)
    if not brief.memories:
        return Answer("Nothing is known here yet; continue without.", shape)
    return Answer(quoted(brief.memories, memories), shape)


def count(desk: Desk, given: Json) -> Answer:
    stats = desk.memories().stats()
    shape = {name: stats[name] for name in ("total", "by_category", "by_project", "deleted", "pending_vectors")}
    parts = ", ".join(f"{name} {number}" for name, number in stats["by_category"].items() if number)
    said = f"{stats['total']} memories" + (f": {parts}." if parts else ".")
    standing = desk.standing()
    if standing or "sync" in stats:
        # Before the first contact with the server everything waits.
        counted = stats.get("sync") or {"pending": stats["total"] + stats["deleted"], "refused": 0}
        sync = shape["sync"] = {"mode": "local", **counted, **(standing or {})}
        said += f" Not yet on the server: {sync['pending']}, refused by it: {sync['refused']}."
        if standing:
            sync["waiting"] = desk.held()
            said += "".join(sorted({f" {one['message']} {one['hint']}" for one in sync["waiting"]}))
        if error := sync.get("last_error"):
            said += f" The server: {error['message']}"
    return Answer(said, shape)


def secret(desk: Desk, given: Json) -> Answer:
    opened = desk.memories().secret(given["id"])
    lines = [f"{name}: {value}" for name, value in opened["secrets"].items() if name != "content"]
    return Answer("\n".join([opened["content"], *lines]), opened)


def placed(memories: Memories, given: Json) -> Json:
    """The arguments with a project's short name made whole, and the name for all projects made a scope."""
    asked = dict(given)
    project = asked.get("project")
    if project == ALL_PROJECTS:
        if "content" in asked:
            raise InvalidInput("A memory belongs to one project.", hint='Leave project out, name one, or give scope "global".')
        del asked["project"]
        asked["scope"] = "all"
    elif project:
        asked["project"] = whole(memories, project)
    return asked


def whole(memories: Memories, project: str) -> str:
    """The id of the project that a short name means: the current one before all others."""
    here = memories.here.project
    if here is not None and here != project and project == short(here):
        return here
    return (memories.reach(project).projects or (project,))[0]


def changes_of(given: Json) -> Changes:
    """The edit that arguments describe; what is not given stays."""
    names = ("content", "category", "expanded_keywords", "importance", "status")
    tags = fields.several(given, "tags") if "tags" in given else None
    return Changes(**{name: given[name] for name in names if name in given}, tags=tags)


def revised(desk: Desk, id: str, changes: Changes) -> Memory:
    """Edits a memory for a model, which may not let into recall what waits for a person."""
    memories = desk.memories()
    before = memories.live(id)
    if before.status in WAITING and changes.status is not None:
        raise Forbidden(f"The memory {before.id} waits for a person's review.", hint="Ask the person to run `bethink review`.")
    after = memories.revise(before.id, changes)
    desk.wrote()
    return after


def quoted(memories: Iterable[Memory], service: Memories) -> str:
    """Memories as notes for a model, whole."""
    return notes([Hit(memory, 1.0) for memory in memories], service, "brief").text


def notes(hits: Sequence[Hit], service: Memories, purpose: Purpose, budget_tokens: int | None = None) -> Rendered:
    """Hits as notes for a model."""
    # Its rules take longer to compile than the answer to `initialize` may wait.
    from bethink.render import render

    return render(hits, now=service.now(), budget_tokens=budget_tokens, purpose=purpose, reader=service.access.principal)


def titles(memories: Iterable[Memory], service: Memories) -> str:
    """Memories as notes for a model, each on one line and shortened."""
    short = [memory.with_(content=text.title(memory.content, 160) or memory.content[:160]) for memory in memories]
    return quoted(short, service)


def fitted(memories: Iterable[Memory]) -> list[Json]:
    """Memories as data; contents are cut from where together they would be too long for an answer."""
    left = ANSWER_TOKENS
    shapes_: list[Json] = []
    for memory in memories:
        shape = shapes.memory(memory)
        size = text.tokens(memory.content)
        if size > left:
            shape.update(content=text.title(memory.content, 200), truncated=True)
        left -= min(size, left)
        shapes_.append(shape)
    return shapes_


def _is_length(value: str) -> bool:
    try:
        text.duration(value)
    except BadTime:
        return False
    return True


ID = Param("id", about="Id of the memory; its first characters do.", required=True)
_SINCE = Param("since", about="Stored since: a date, time, or age (30d).")
_BEFORE = Param("before")
_PROJECT = Param("project", about='Instead of the current one; "*" for all.')
_TAGS = Param("tags", "texts")

TOOLS: tuple[Tool, ...] = (
    Tool(
        "memory_store",
        "Remember",
        "Use when the person states a preference, makes or changes a decision, corrects you, says 'remember', or when you found out "
        "something that took effort (a cause, a command, a path, a limit). One fact a memory, in a sentence that is clear on its own. "
        "What it corrects is superseded; what is known already is merged.",
        store,
        (
            Param("content", about="The fact, with names, numbers and the reason; up to 64 KB.", required=True),
            Param("category", about=f"One of {', '.join(CATEGORIES)}.", default="facts"),
            Param("tags", "texts", "Labels: a list, or text with commas."),
            Param("expanded_keywords", about="Five or more other words someone may search it by."),
            Param("importance", "number", "0 to 1.", default=0.5),
            Param("force_sensitive", "flag", "Seal the whole content.", default=False),
            Param("project", about="Instead of the current one."),
            Param("task"),
            Param("scope", about="global: holds everywhere. Default: the current project.", choices=("global", "project", "task")),
            Param("supersedes", about="Id of the memory this corrects."),
            Param("valid_from", about="Since when it is true."),
            Param("expires_at", about="When to forget it: a date, or a time from now (30d)."),
            Param("source", about="Who says so; not assistant when outsiders wrote it.", default="assistant", choices=SOURCES),
        ),
        _WRITTEN,
        idempotent=True,
    ),
    Tool(
        "memory_recall",
        "Recall",
        "Use before answering or deciding whenever earlier work may matter: 'as we decided', 'last time', 'my usual', a convention, "
        "a name you do not know, a familiar error. Finds by meaning and by word. An empty answer means nothing is known.",
        recall,
        (
            Param("context", about="The question in full, or what is being worked on.", required=True),
            Param("expanded_query", about="Synonyms and related terms."),
            Param("category"),
            Param("tags", "texts", "Only with all of these."),
            _PROJECT,
            Param("scope", about="global: only what holds everywhere.", choices=("global", "project", "task", "all")),
            Param("client", about="Only from this machine."),
            _SINCE,
            _BEFORE,
            Param("as_of", about="As it was known then."),
            Param("mode", default="hybrid", choices=("hybrid", "keyword", "semantic", "rrf")),
            Param("sort_by", default="relevance", choices=("relevance", "importance", "recency")),
            Param("limit", "integer", default=10),
            Param("task"),
        ),
        {"type": "object", "properties": {"hits": _MEMORIES, "took_ms": {"type": "number"}, "notes": _TEXTS}, "required": ["hits"]},
        read_only=True,
    ),
    Tool(
        "memory_get",
        "Read one memory",
        "Use to read one memory whole, with its links, when recall left it out as too long or named its id.",
        get,
        (ID,),
        _MEMORY,
        read_only=True,
        meta={"anthropic/maxResultSizeChars": 200_000},
    ),
    Tool(
        "memory_list",
        "List memories",
        "Use to show what is stored, newest first, when there is no question to ask.",
        list_,
        (
            Param("category"),
            Param("tag"),
            _PROJECT,
            _SINCE,
            _BEFORE,
            Param("status", default="active"),
            Param("limit", "integer", default=20),
            Param("offset", "integer", default=0),
        ),
        {"type": "object", "properties": {"memories": _MEMORIES, "total": {"type": "integer"}}, "required": ["memories", "total"]},
        read_only=True,
    ),
    Tool(
        "memory_update",
        "Edit a memory",
        "Use to mend a memory (wording, tags, category) or to mark it completed. When the truth changed, store the new truth instead.",
        update,
        (
            ID,
            Param("content"),
            Param("category"),
            Param("tags", "texts", "Replaces the old ones."),
            Param("expanded_keywords"),
            Param("importance", "number"),
            Param("status", choices=("active", "completed", "parked", "superseded")),
        ),
        _WRITTEN,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "memory_delete",
        "Forget a memory",
        "Use when the person asks to forget something. It can be restored.",
        delete,
        (ID,),
        _WRITTEN,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "memory_context",
        "Brief",
        "Use once when work starts: the preferences, decisions and recent work that hold in this project.",
        context,
        (Param("project"), Param("task"), Param("budget_tokens", "integer")),
        {
            "type": "object",
            "properties": {"sections": {"type": "array", "items": {"type": "object"}}, "tokens": {"type": "integer"}},
            "required": ["sections"],
        },
        read_only=True,
    ),
    Tool(
        "memory_count",
        "Count memories",
        "Use when asked how much is remembered.",
        count,
        (),
        {"type": "object", "properties": {"total": {"type": "integer"}, "by_category": {"type": "object"}}, "required": ["total"]},
        read_only=True,
    ),
    Tool(
        "secret_get",
        "Open a sealed secret",
        "Use only when the person asks for a secret that a memory shows as [REDACTED:…]. Each use is recorded.",
        secret,
        (ID,),
        {
            "type": "object",
            "properties": {"id": _ID, "content": {"type": "string"}, "secrets": {"type": "object"}},
            "required": ["id", "content", "secrets"],
        },
        read_only=True,
        meta={"anthropic/requiresUserInteraction": True},
    ),
)
