"""What clients send and are answered, as Pydantic models: the source of the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bethink.model import CATEGORIES, LINK_TYPES, STATUSES

#: Longest names, filters and the like; contents have a limit of their own.
Name = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
Words = Annotated[str, StringConstraints(max_length=100_000)]
Tags = list[Annotated[str, StringConstraints(max_length=200)]] | Words
When = Annotated[
    str, StringConstraints(max_length=64), Field(description="A date, a time with offset, or an age such as 30d.", examples=["2026-01-31"])
]
ScopeName = Literal["global", "project", "task"]
_CATEGORY = Field(
    default=None,
    description="An alias of a category, such as its singular, is accepted too.",
    json_schema_extra={"enum": [*CATEGORIES, None]},
)
_STATUS = Field(default=None, json_schema_extra={"enum": [*STATUSES, None]})


class Asked(BaseModel):
    """What a client sends: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent and are not null."""
        return self.model_dump(exclude_unset=True, exclude_none=True)


class NewMemory(Asked):
    content: Annotated[
        str, Field(description="The fact, clear on its own; up to 64 KB.", max_length=70_000, examples=["The port is 5433."])
    ]
    category: Name | None = _CATEGORY
    tags: Tags | None = None
    expanded_keywords: Words | None = Field(default=None, description="Other words that somebody may search it by.")
    importance: float | None = Field(default=None, ge=0, le=1)
    force_sensitive: bool | None = Field(default=None, description="Seal the whole content.")
    project: Name | None = None
    task: Name | None = None
    scope: ScopeName | None = None
    id: Annotated[str, StringConstraints(max_length=128)] | None = Field(default=None, description="A UUID made by the client.")
    source: Name | None = None
    trust: Literal["user_stated", "agent_inferred", "imported", "external"] | None = None
    status: Name | None = _STATUS
    session: Name | None = None
    client: Name | None = None
    agent: Name | None = None
    origin: dict[str, Any] | Name | None = None
    created_at: When | None = None
    valid_from: When | None = None
    valid_until: When | None = None
    expires_at: When | None = None
    ttl: Annotated[str, StringConstraints(max_length=32)] | None = Field(default=None, description="Forget it after this long: 30d.")
    supersedes: Name | None = Field(default=None, description="Id of the memory that this one corrects.")
    derived_from: Tags | None = None
    space: Name | None = Field(default=None, description="The space that it becomes part of, instead of one's own memories.")


class Edit(Asked):
    content: Annotated[str, Field(min_length=1, max_length=70_000)] | None = None
    category: Name | None = _CATEGORY
    tags: Tags | None = None
    expanded_keywords: Words | None = None
    importance: float | None = Field(default=None, ge=0, le=1)
    status: Name | None = _STATUS
    sensitive: bool | None = None
    project: Name | None = Field(default=None, description="Moves it into a project.")
    task: Name | None = None
    scope: ScopeName | None = None
    valid_from: When | None = None
    valid_until: When | None = None
    expires_at: When | None = None
    if_version: int | None = Field(default=None, ge=1, le=2**31, description="Refuse with 409 unless it still has this version.")


class Question(Asked):
    query: Words | None = Field(default=None, description="The question in full.", examples=["Which port does the database use?"])
    context: Words | None = Field(default=None, description="The same as query.")
    expanded_query: Words | None = Field(default=None, description="Synonyms and related terms.")
    category: Name | None = _CATEGORY
    tags: Tags | None = None
    project: Name | None = None
    task: Name | None = None
    scope: Literal["global", "project", "task", "all"] | None = Field(
        default=None, description="all: every project; global: only what holds everywhere."
    )
    client: Name | None = None
    source: Name | None = None
    session: Name | None = None
    space: Name | None = Field(default=None, description="Only what is in this space.")
    since: When | None = None
    before: When | None = None
    as_of: When | None = Field(default=None, description="As it was known then.")
    status: Name | None = _STATUS
    mode: Literal["hybrid", "keyword", "semantic", "rrf"] | None = None
    sort_by: Literal["relevance", "importance", "recency"] | None = None
    limit: int | None = Field(default=None, ge=1, le=10_000)
    keyword_weight: float | None = Field(default=None, ge=0, le=1)
    semantic_weight: float | None = Field(default=None, ge=0, le=1)
    min_score: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = Field(default=None, ge=0, le=1, description="The same as min_score.")
    budget_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    follow_links: bool | None = None


class Candidate(Asked):
    content: Annotated[str, Field(min_length=1, max_length=70_000)]
    category: Name | None = _CATEGORY
    project: Name | None = None
    task: Name | None = None
    scope: ScopeName | None = None


class NewLink(Asked):
    target_id: Name
    link_type: Literal[LINK_TYPES] = "see_also"  # type: ignore[valid-type]  # the names of the model, not written twice
    note: Words = ""


class NewEdge(Asked):
    """One of many: the service judges each alone, so that an odd one does not stop the others."""

    source_id: Words
    target_id: Words
    link_type: Words = Field(default="see_also", description="As in `POST /api/memories/{id}/links`.")
    note: Words = ""


class NewEdges(Asked):
    links: Annotated[list[NewEdge], Field(min_length=1, max_length=1000)]


class Origin(Asked):
    session: Name | None = None
    source: Name | None = None
    since: When | None = None
    dry_run: bool = Field(default=True, description="Only say what would leave recall.")


class Tidying(Asked):
    accept: list[Name] = Field(default_factory=list, max_length=1000, description="Proposals to carry out, by their ids.")
    all: bool = Field(default=False, description="Carry out all of them.")


class NewEntity(Asked):
    name: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    description: Words = ""
    aliases: list[Name] = Field(default_factory=list, max_length=64)
    parent: Name | None = None


class Chosen(Asked):
    ids: Annotated[list[Name], Field(min_length=1, max_length=1000)]


class NewUser(Asked):
    name: Annotated[str, StringConstraints(max_length=63)] = Field(examples=["alice"])
    scopes: list[Literal["memory:read", "memory:write", "memory:secrets", "memory:admin"]] | None = Field(
        default=None, min_length=1, description="What the key is good for; read, write and secrets unless given."
    )
    label: Name = ""
    project: Name | None = Field(default=None, description="Makes it a service account that sees this project alone.")
    expires_at: When | None = Field(default=None, description="When the key ends: a date, or a length such as 90d.")
    again: bool = Field(default=False, description="Let in a user who was revoked, with what they stored before.")


class Renewal(Asked):
    expires_at: When | None = Field(default=None, description="When the new key ends: a date, or a length such as 90d.")


class NewSpace(Asked):
    name: Annotated[str, StringConstraints(max_length=63)] = Field(examples=["backend"])


class Place(Asked):
    user: Name
    role: Literal["reader", "writer", "admin"] = "reader"


class Returned(Asked):
    to: Name | None = Field(default=None, description="A user, or `space:NAME`; all of them unless given.")
    id: Name | None = None
    tag: Name | None = None
    project: Name | None = None


class Loan(Returned):
    to: Name = Field(description="A user, or `space:NAME`.")
    permission: Literal["read", "write"] = "read"


class SharedWith(Asked):
    shared_with: Name
    permission: Literal["read", "write"] = "read"


class TagSharedWith(SharedWith):
    tag: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class Migration(Asked):
    to: Literal["vault", "aes", "local"] | None = Field(default=None, description="The tier to move to; the preferred one unless named.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str
    code: str = Field(description="The error's stable name.")


class Answered(BaseModel):
    """What the server answers; later versions may add fields."""

    model_config = ConfigDict(extra="allow")


class Written(Answered):
    id: str
    action: str


class StoredMemory(Written):
    category: str
    importance: float
    scope: str
    project: str | None
    status: str
    superseded: list[str] = Field(description="Ids of the memories that this one corrects.")
    sealed: list[str] = Field(description="Kinds of secret that were sealed out of it.")
    notes: list[str] = Field(default_factory=list)


class OneMemory(Answered):
    id: str
    content: str
    category: str
    tags: list[str]
    importance: float
    owner: str
    created_at: datetime
    updated_at: datetime
    is_sensitive: bool


class Listed(Answered):
    memories: list[OneMemory]
    total: int
    limit: int
    offset: int


class Found(Answered):
    id: str
    content: str
    title: str
    snippet: str
    tags: list[str]
    project: str | None
    created_at: datetime
    sim: float = Field(description="How well it answers, 0 to 1; the same as score.")


class Recalled(Answered):
    memories: list[dict[str, Any]]
    took_ms: float
    notes: list[str] = Field(default_factory=list, description="What was degraded, such as that no vectors were used.")


class Health(Answered):
    status: Literal["ok", "degraded"]
    database: str
    version: str
    timestamp: datetime
    sync: dict[str, Any] | None = Field(None, description="How the served store stands with its own server, where it is a replica.")
