"""Further tools for looking after a memory: what waits, what is doubled, where something comes from, and the ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bethink import text
from bethink.errors import InvalidInput, NotFound
from bethink.front import fields, shapes
from bethink.front.mcp.table import Answer, Json, Param, Tool
from bethink.front.mcp.tools import ALL_PROJECTS, ID, changes_of, fitted, placed, quoted, titles
from bethink.model import LINK_TYPES
from bethink.service.core import present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bethink.front.mcp.desk import Desk
    from bethink.model import Memory
    from bethink.service.entities import Entity
    from bethink.service.memories import Memories

#: What must be a person's own decision.
_ASK: Json = {"anthropic/requiresUserInteraction": True}


def stats(desk: Desk, given: Json) -> Answer:
    counted = desk.memories().stats()
    groups = ("by_category", "by_project", "by_source", "by_status")
    lines = [f"{counted['total']} memories, {counted['deleted']} deleted, {counted['pending_vectors']} wait for a vector."]
    lines += [
        f"{group}: {', '.join(f'{name} {count}' for name, count in counted[group].items())}" for group in groups if counted.get(group)
    ]
    return Answer("\n".join(lines), counted)


def tags(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    found = memories.tags(fields.filter_of(placed(memories, given), memories))
    return Answer(", ".join(f"{name} {count}" for name, count in found.items()) or "No tags yet.", {"tags": found})


def restore(desk: Desk, given: Json) -> Answer:
    memory = desk.memories().restore(given["id"])
    return Answer(f"Restored {memory.id}.", {"id": memory.id, "action": "restored"})


def purge(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    id = memories.get(given["id"]).id
    receipt = memories.purge(id)
    return Answer(f"Erased {id} for good.", {"id": id, "action": "purged", "erased": receipt})


def bulk_delete(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    answer = memories.bulk_delete(
        tag=given.get("tag"), project=_one_project(given), source=given.get("source"), dry_run=given["dry_run"]
    )  # fmt: skip
    head = f"Deleted {answer.total}." if answer.done else f"{answer.total} would be deleted; repeat with dry_run false to do it."
    return Answer(_with(head, answer.preview, memories), shapes.bulk_deleted(answer))


def find_duplicates(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    clusters = memories.find_duplicates(
        given["threshold"], limit=given["limit"], project=_one_project(given), scan_limit=given["scan_limit"]
    )  # fmt: skip
    shape = {"clusters": [{**shapes.cluster(one), "memories": fitted(one.memories)} for one in clusters]}
    if not clusters:
        return Answer("No duplicates.", shape)
    return Answer("\n".join(f"Alike by {one.similarity:.2f}:\n{titles(one.memories, memories)}" for one in clusters), shape)


def check(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    verdict = memories.check(given["content"], category=given["category"], scope=fields.scope_of(placed(memories, given), memories.here))
    target = f"\n{quoted([verdict.target], memories)}" if verdict.target else ""
    return Answer(f"{verdict.action}: {verdict.reason or 'nothing similar is known.'}{target}", shapes.verdict(verdict))


def export(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    where = fields.filter_of(placed(memories, given), memories)
    limit, offset = given["limit"], given["offset"]
    page = memories.list(where, limit=limit, offset=offset, order="oldest")
    last = offset + len(page.memories)
    more = f" More with offset={last}." if last < page.total else ""
    return Answer(
        f"{len(page.memories)} of {page.total} memories.{more} `bethink export` writes all of them to a file.\n"
        + quoted(page.memories, memories),
        shapes.page(page),
    )


def link(desk: Desk, given: Json) -> Answer:
    edge = desk.memories().link(given["source"], given["target"], given["type"], given.get("note", ""))
    return Answer(f"Linked: {edge.source} {edge.type} {edge.target}", {"action": "linked", **shapes.link(edge)})


def unlink(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    if not memories.unlink(given["source"], given["target"], given["type"]):
        raise NotFound(f"There is no link {given['type']} from {given['source']} to {given['target']}.", hint="memory_get shows links.")
    return Answer("Unlinked.", {"action": "unlinked"})


def entities(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    project = _one_project(given)
    if query := given.get("query"):
        found = memories.search_entities(query, limit=given["limit"], project=project)
        shape = {"entities": [{**shapes.entity(entity), "score": score} for entity, score in found]}
        return Answer("\n".join(_tree(entity) for entity, _ in found) or f"No entity is called like {query!r}.", shape)
    trees = memories.list_entities(project)
    return Answer("\n".join(map(_tree, trees)) or "No entities yet.", {"entities": [shapes.entity(entity) for entity in trees]})


def register_entity(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    scope = fields.scope_of(placed(memories, given), memories.here)
    entity = memories.register_entity(
        given["name"], given.get("description", ""), aliases=fields.several(given, "aliases"), parent=given.get("parent"), scope=scope
    )
    desk.wrote()
    return Answer(f"Registered {entity.name} ({entity.memory.id}).", {"action": "registered", **shapes.entity(entity)})


def review(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    items = memories.review(project=_one_project(given), limit=given["limit"], offset=given["offset"])
    lines = [f"{item.memory.id}: {item.reason}" for item in items]
    if not items:
        return Answer("Nothing waits.", {"items": []})
    shape = {"items": [{**one, "reason": item.reason} for one, item in zip(fitted(item.memory for item in items), items, strict=True)]}
    return Answer("\n".join([*lines, titles([item.memory for item in items], memories)]), shape)


def decide(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    ids = fields.several(given, "ids")
    if given["accept"]:
        changes = {name: value for name, value in given.items() if name == "content"}
        if changes and len(ids) != 1:
            raise InvalidInput("content is given for more than one id.", hint="Accept that one alone.")
        done = memories.accept(ids, changes_of(changes) if changes else None)
        desk.wrote()
    else:
        done = memories.reject(ids)
    action = "accepted" if given["accept"] else "rejected"
    return Answer(f"{action.capitalize()} {len(done)}.", {"action": action, "ids": [memory.id for memory in done]})


def history(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    if at := given.get("as_of"):
        memory = present(memories.as_of(given["id"], text.moment(at, memories.now())))
        return Answer(quoted([memory], memories), {"id": memory.id, "memory": shapes.memory(memory), "history": []})
    memory = memories.get(given["id"])
    revisions = memories.history(memory.id)
    lines = [f"{one.at:%Y-%m-%d %H:%M} {one.op} by {one.agent or one.actor or 'unknown'}" for one in revisions]
    shape = {"id": memory.id, "history": [shapes.revision(one) for one in revisions]}
    before = [memory.with_(content=str(one.before["content"]), created_at=one.at) for one in revisions if "content" in one.before]
    return Answer("\n".join([*lines, *(["It said before:", quoted(before, memories)] if before else [])]), shape)


def conflicts(desk: Desk, given: Json) -> Answer:
    from bethink.sync import conflicts as kept

    memories = desk.memories()
    if (id := given.get("dismiss")) is not None:
        one = kept.dismiss(memories, id)
        desk.wrote()
        return Answer(f"Dismissed: {one['operation']}; the history keeps it.", {"action": "dismissed", "conflict": one})
    if (id := given.get("reapply")) is not None:
        memory = kept.reapply(memories, id)
        desk.wrote()
        return Answer(f"Made again: {memory.id}, now version {memory.version}.", {"action": "reapplied", "memory": shapes.memory(memory)})
    every = kept.listed(memories, memories.get(given["id"]).id if "id" in given else None)
    page = every[given["offset"] :][: given["limit"]]
    shape = {"total": len(every), "conflicts": page}
    lines = []
    notes = []
    for number, one in enumerate(page, 1):
        deleted = bool((one["now"] or {}).get("deleted_at"))
        lines.append(
            f"{number}. {one['memory']}, {one['at'][:16]} on {one['client'] or 'unknown'}: {one['reason']}; {', '.join(one['fields'])}. "
            f"Operation {one['operation']}." + (" The memory is deleted." if deleted else "")
        )
        lost = one["fields"].get("content")
        if isinstance(lost, str) and one["now"] is not None:
            memory = memories.get(one["memory"])
            notes += [*([] if deleted else [memory]), memory.with_(content=lost)]
    if not every:
        return Answer("No change was lost to another machine's.", shape)
    return Answer("\n".join([*lines, *(["What stands, then what lost:", quoted(notes, memories)] if notes else [])]), shape)


def why(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    answer = memories.why(given["id"])
    memory = answer.memory
    stored = f"stored {text.ago(memory.created_at, memories.now())} by {memory.agent or 'unknown'} on {memory.client or 'unknown'}"
    lines = [
        f"From {memory.source}, trust {memories.trust_of(memory)}, {stored}, session {memory.session or 'unknown'}.",
        *(f"Made from {gone}, which is forgotten." for gone in answer.forgotten),
        *(f"Link: {edge.source} {edge.type} {edge.target}" for edge in answer.links),
        *(f"{event.at:%Y-%m-%d %H:%M} {event.action} by {event.actor}" for event in answer.events[-20:]),
    ]
    return Answer("\n".join([*lines, quoted([memory, *answer.lineage], memories)]), shapes.why(answer))


def undo(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    back = memories.undo(given["id"])
    desk.wrote()
    return Answer(_with("In recall again:", back, memories), {"action": "undone", "ids": [memory.id for memory in back]})


def rollback(desk: Desk, given: Json) -> Answer:
    memories = desk.memories()
    since = text.moment(given["since"], memories.now()) if given.get("since") else None
    answer = memories.rollback(session=given.get("session"), source=given.get("source"), since=since, do_it=not given["dry_run"])
    head = f"Took out {len(answer.memories)}." if answer.done else f"{len(answer.memories)} would go; repeat with dry_run false to do it."
    return Answer(_with(head, answer.memories[:50], memories), shapes.rolled_back(answer))


def _one_project(given: Json) -> str | None:
    project: str | None = given.get("project")
    return None if project == ALL_PROJECTS else project


def _with(head: str, memories: Sequence[Memory], service: Memories) -> str:
    return f"{head}\n{titles(memories, service)}" if memories else head


def _tree(entity: Entity, depth: int = 0) -> str:
    aliases = f" ({', '.join(entity.aliases)})" if entity.aliases else ""
    about = f": {entity.description}" if entity.description else ""
    return "\n".join(
        [f"{'  ' * depth}{entity.name}{aliases}{about} [{entity.memory.id}]", *(_tree(one, depth + 1) for one in entity.children)]
    )


_PROJECT = Param("project", about='Only this one; "*" for all.')
_LIMIT = Param("limit", "integer", default=20)
_OFFSET = Param("offset", "integer", default=0)
_DRY_RUN = Param("dry_run", "flag", "Only show what would happen.", default=True)
_LINK = (
    Param("source", about="Id it starts at.", required=True),
    Param("target", about="Id it leads to.", required=True),
    Param("type", default="see_also", choices=LINK_TYPES),
)

_OBJECT: Json = {"type": "object"}
_ACTION: Json = {"type": "object", "properties": {"action": {"type": "string"}}, "required": ["action"]}

TOOLS: tuple[Tool, ...] = (
    Tool("memory_stats", "Statistics", "Counts by category, project, source and status, and sizes.", stats, (), _OBJECT, read_only=True),
    Tool("memory_tags", "Tags", "Every tag with how many memories carry it.", tags, (Param("category"), _PROJECT), _OBJECT, read_only=True),
    Tool("memory_restore", "Restore", "Brings a deleted memory back.", restore, (ID,), _ACTION, idempotent=True),
    Tool(
        "memory_purge",
        "Erase for good",
        "Erases a deleted memory everywhere, for good.",
        purge,
        (ID,),
        _ACTION,
        destructive=True,
        meta=_ASK,
    ),
    Tool(
        "memory_bulk_delete",
        "Delete many",
        "Deletes everything with a tag, of a project, or from a source. Shows first.",
        bulk_delete,
        (Param("tag"), Param("project"), Param("source"), _DRY_RUN),
        _ACTION,
        destructive=True,
    ),
    Tool(
        "memory_find_duplicates",
        "Find duplicates",
        "Groups of memories that say nearly the same.",
        find_duplicates,
        (
            Param("threshold", "number", "Least likeness, 0.5 to 1.", default=0.85),
            _LIMIT,
            _PROJECT,
            Param("scan_limit", "integer", "How many of the newest to look at.", default=500),
        ),
        _OBJECT,
        read_only=True,
    ),
    Tool(
        "memory_check",
        "Check before storing",
        "What storing a text would do: ADD it, UPDATE (correct) a memory, or NOOP, as it is known.",
        check,
        (
            Param("content", required=True),
            Param("category", default="facts"),
            Param("project"),
            Param("scope", choices=("global", "project", "task")),
        ),
        _ACTION,
        read_only=True,
    ),
    Tool(
        "memory_export",
        "Export",
        "Memories with all their fields, oldest first, a page at a time.",
        export,
        (
            Param("category"),
            Param("tags", "texts"),
            _PROJECT,
            Param("since"),
            Param("before"),
            Param("limit", "integer", default=100),
            _OFFSET,
        ),
        _OBJECT,
        read_only=True,
        meta={"anthropic/maxResultSizeChars": 500_000},
    ),
    Tool("memory_link", "Link", "Joins two memories by a typed link.", link, (*_LINK, Param("note")), _ACTION, idempotent=True),
    Tool("memory_unlink", "Unlink", "Removes a link.", unlink, _LINK, _ACTION, destructive=True, idempotent=True),
    Tool(
        "memory_entities",
        "Entities",
        "The people, services and things known by name, as a tree; or those with a name like the query.",
        entities,
        (Param("query"), _LIMIT, _PROJECT),
        _OBJECT,
        read_only=True,
    ),
    Tool(
        "memory_register_entity",
        "Register an entity",
        "Stores something by its name, or adds to the one of that name.",
        register_entity,
        (
            Param("name", required=True),
            Param("description"),
            Param("aliases", "texts", "Other names."),
            Param("parent", about="What it is part of."),
            Param("project"),
            Param("scope", choices=("global", "project")),
        ),
        _ACTION,
        idempotent=True,
    ),
    Tool(
        "memory_review",
        "What waits for review",
        "Memories that a person should decide on: quarantined, learned by themselves, or left without ground.",
        review,
        (_PROJECT, _LIMIT, _OFFSET),
        _OBJECT,
        read_only=True,
    ),
    Tool(
        "memory_decide",
        "Decide a review",
        "Lets memories into recall (accept) or deletes them, as the person has decided.",
        decide,
        (
            Param("ids", "texts", required=True),
            Param("accept", "flag", "false rejects them.", required=True),
            Param("content", about="What the accepted one shall say."),
        ),
        _ACTION,
        destructive=True,
        meta=_ASK,
    ),
    Tool(
        "memory_history",
        "History",
        "Every change of a memory; or, with as_of, what it said then.",
        history,
        (ID, Param("as_of", about="A date, time or age.")),
        _OBJECT,
        read_only=True,
    ),
    Tool(
        "memory_why",
        "Where it comes from",
        "Source, lineage, links, changes, and where a memory was shown.",
        why,
        (ID,),
        _OBJECT,
        read_only=True,
    ),
    Tool(
        "memory_conflicts",
        "Conflicts",
        "Changes that lost against another machine's, with what stands now; reapply makes one after all, dismiss takes it off the list.",
        conflicts,
        (
            Param("id", about="Only of this memory."),
            Param("reapply", about="Operation (or id of a memory with one conflict) that shall be made again."),
            Param("dismiss", about="The same, of what shall not be listed any more."),
            _LIMIT,
            _OFFSET,
        ),
        _OBJECT,
        idempotent=True,
    ),
    Tool("memory_undo", "Undo a correction", "Takes back a supersession that was wrong.", undo, (ID,), _ACTION, idempotent=False),
    Tool(
        "memory_rollback",
        "Roll back",
        "Takes out everything that one session or source wrote. Shows first; can be undone.",
        rollback,
        (Param("session"), Param("source"), Param("since"), _DRY_RUN),
        _OBJECT,
        destructive=True,
    ),
)
