"""The nouns: what a memory is, what is asked, what is answered. Values only, no IO."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from bethink.errors import InvalidInput, UnknownCategory
from bethink.ids import new_id as new_id

CATEGORIES = (
    "facts",
    "preferences",
    "decisions",
    "projects",
    "people",
    "observations",
    "entities",
    "relations",
    "patterns",
    "behaviors",
    "summaries",
    "notes",
)
#: Other names that are accepted for a category: singulars, and the words of systems people come from.
CATEGORY_ALIASES = {
    **{name.removesuffix("s"): name for name in CATEGORIES if name.endswith("s")},
    "person": "people",
    "entity": "entities",
    "summary": "summaries",
    "behaviour": "behaviors",
    "behaviours": "behaviors",
    "core_identity": "preferences",
    "project_context": "projects",
    "task_instruction": "decisions",
    "episodic": "observations",
    "user": "preferences",
    "feedback": "preferences",
    "reference": "facts",
    "references": "facts",
    "gotcha": "facts",
    "gotchas": "facts",
    "lesson": "facts",
    "lessons": "facts",
    "session": "summaries",
    "sessions": "summaries",
}

STATUSES = ("active", "candidate", "quarantined", "superseded", "completed", "parked")
#: From most to least trusted.
TRUSTS = ("user_stated", "agent_inferred", "imported", "external")
LINK_TYPES = (
    "supersedes",
    "refines",
    "supports",
    "contradicts",
    "depends_on",
    "implements",
    "example_of",
    "part_of",
    "resolved_by",
    "see_also",
    "derived_from",
)

ScopeKind = Literal["global", "project", "task"]
SortBy = Literal["relevance", "importance", "recency"]
Mode = Literal["hybrid", "keyword", "semantic", "rrf"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def category_of(name: str) -> str:
    """The category that `name` or one of its aliases means.

    Raises:
        UnknownCategory: there is none.
    """
    plain = name.strip().lower().replace("-", "_")
    found = plain if plain in CATEGORIES else CATEGORY_ALIASES.get(plain)
    if found is None:
        raise UnknownCategory(f"No category {name!r}.", hint="Choose one of: " + ", ".join(CATEGORIES) + ".")
    return found


def one_of(value: str, allowed: tuple[str, ...], what: str) -> str:
    """`value`, if it is one of `allowed`.

    Raises:
        InvalidInput: it is not.
    """
    if value not in allowed:
        raise InvalidInput(f"No {what} {value!r}.", hint=f"Choose one of: {', '.join(allowed)}.")
    return value


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a memory holds: everywhere, in one project, or in one task of a project (or of none)."""

    kind: ScopeKind = "global"
    project: str | None = None
    task: str | None = None

    @classmethod
    def of(cls, project: str | None = None, task: str | None = None) -> Scope:
        """The narrowest scope that the given names describe."""
        if task:
            return cls("task", project or None, task)
        return cls("project", project) if project else cls()


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that is remembered. Times are aware datetimes in UTC; importance is 0..1."""

    id: str
    owner: str
    content: str
    category: str = "facts"
    tags: tuple[str, ...] = ()
    expanded_keywords: str = ""
    importance: float = 0.5
    scope: Scope = Scope()
    source: str = "user"
    trust: str = "user_stated"
    status: str = "active"
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    expires_at: datetime | None = None
    deleted_at: datetime | None = None
    superseded_at: datetime | None = None
    client: str | None = None
    agent: str | None = None
    session: str | None = None
    #: Where it was read: {"file": …, "start": …, "end": …, "quote": …}
    origin: Mapping[str, Any] | None = None
    sensitive: bool = False
    #: Kinds of secret that were sealed out of this memory, such as ("github-pat",)
    sealed: tuple[str, ...] = ()
    content_hash: str = ""
    version: int = 1
    #: The server's order; None until a server has given one.
    seq: int | None = None
    #: Why somebody should look at it again; "" when nobody needs to.
    needs_review: str = ""
    #: Fields of a newer version, kept as they came.
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_(self, **changes: Any) -> Memory:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody asks to have remembered; the service completes and judges it."""

    content: str
    category: str = "facts"
    tags: tuple[str, ...] = ()
    expanded_keywords: str = ""
    importance: float = 0.5
    scope: Scope = Scope()
    id: str | None = None
    source: str = "user"
    trust: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    expires_at: datetime | None = None
    #: Since when it no longer holds, where the status is superseded: from an export.
    superseded_at: datetime | None = None
    client: str | None = None
    agent: str | None = None
    session: str | None = None
    origin: Mapping[str, Any] | None = None
    sensitive: bool = False
    #: Id of the memory that this one corrects, when the caller knows.
    supersedes: str | None = None
    #: Ids of the memories that this one was made from.
    derived_from: tuple[str, ...] = ()
    #: A person typed it: suspicious text is only warned about.
    by_hand: bool = False
    #: Whose it becomes: the writer's, or a space's that the writer may write to.
    owner: str | None = None
    #: It was judged when it was first stored, such as an exported memory: the write guard leaves it as it is.
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """An edit; None leaves a field as it is."""

    content: str | None = None
    category: str | None = None
    tags: tuple[str, ...] | None = None
    expanded_keywords: str | None = None
    importance: float | None = None
    status: str | None = None
    scope: Scope | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    expires_at: datetime | None = None
    #: True seals the whole content, also where it stood before.
    sensitive: bool | None = None
    #: Refuse with VersionConflict unless the memory still has this version.
    if_version: int | None = None


Action = Literal["added", "merged", "superseded", "queued"]


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to a write. `action` is "added" also when something was superseded (see `superseded`)."""

    memory: Memory
    action: Action
    superseded: tuple[str, ...] = ()
    #: Kinds of secret that were found and sealed.
    sealed: tuple[str, ...] = ()
    #: Sentences for the person or model who wrote.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """Which scopes a question sees. `projects=None` means all of them."""

    projects: tuple[str, ...] | None = ()
    task: str | None = None
    include_global: bool = True


EVERYWHERE = Reach(projects=None)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories are meant. Every field narrows; empty means no restriction."""

    reach: Reach = EVERYWHERE
    category: str | None = None
    #: A memory must carry all of them.
    tags: tuple[str, ...] = ()
    client: str | None = None
    source: str | None = None
    session: str | None = None
    #: By created_at: since <= created_at < before.
    since: datetime | None = None
    before: datetime | None = None
    #: As the store stood at that moment.
    as_of: datetime | None = None
    statuses: tuple[str, ...] = ("active",)
    deleted: bool = False
    owner: str | None = None
    #: False leaves the verbatim archive of transcripts out.
    archive: bool = True
    needs_review: bool = False
    #: Only what has expired and was not forgotten yet.
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the memory."""

    text: str
    #: More search terms, given by the model that asks.
    expanded: str = ""
    where: Filter = Filter()
    mode: Mode = "hybrid"
    sort_by: SortBy = "relevance"
    limit: int = 10
    #: Weights of the two signals in fusion; None means the calibrated ones.
    keyword_weight: float | None = None
    semantic_weight: float | None = None
    #: Least confidence, 0..1 (see `Hit.why`), that a hit has something to do with the question; hits below are not returned.
    floor: float = 0.0
    #: Most tokens (estimated) that the returned contents may take together; None means no bound.
    budget_tokens: int | None = None
    #: Where the asker stands: nearness is a mild prior. None when unknown.
    here: Scope | None = None
    #: Follow links one hop from the best hits.
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that answers a question. `score` is 0..1; `why` holds the part each signal gave."""

    memory: Memory
    score: float
    why: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer to a Query. `notes` says what was degraded, such as that no vectors were used."""

    hits: tuple[Hit, ...]
    took_ms: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list. `total` counts everything that matches."""

    memories: tuple[Memory, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Link:
    """A typed edge from one memory to another."""

    source: str
    target: str
    type: str
    created_at: datetime
    note: str = ""


#: The operation of a revision that keeps what another change displaced.
CONFLICT = "conflict"
#: Those of revisions that take such a conflict off the list; their note is the operation that lost.
SETTLING = ("reapply", "dismiss")
#: That of a revision which says that a memory of the same words came in.
TWIN = "twin"


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of one memory: what the changed fields were before it."""

    memory: str
    version: int
    at: datetime
    #: create, revise, merge, supersede, forget, restore, status, seal, undo …
    op: str
    before: Mapping[str, Any]
    actor: str = ""
    client: str | None = None
    agent: str | None = None
    session: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """Something that its owner lends to another user: one memory, everything with a tag, or a project."""

    owner: str
    kind: str
    value: str
    grantee: str
    permission: str = "read"


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks and whose memories that person may see and change. Built once per principal."""

    principal: str
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    #: A service account's cage: only this project, whatever is asked.
    project: str | None = None
    #: What others lend to the principal.
    grants: tuple[Grant, ...] = ()

    @classmethod
    def local(cls, user: str = "local") -> Access:
        """The single user of a local store."""
        return cls(user, (user,), (user,))

    def without_loans(self) -> Access:
        """What is not lent with a memory: its secrets, and what it said before."""
        return dataclasses.replace(self, grants=())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the write guard thinks of a new content."""

    action: Literal["ADD", "UPDATE", "NOOP"]
    similarity: float = 0.0
    target: Memory | None = None
    reason: str = ""
