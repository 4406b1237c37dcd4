"""Memories on a server, where nothing is kept on this machine (http-only mode): what the commands ask of `Memories`, over its REST API."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote, urlencode

from bethink import exchange
from bethink.errors import BethinkError, ConfigError, Forbidden, InvalidInput, PeerError
from bethink.front.fields import SPACE
from bethink.model import Changes, Draft, Filter, Hit, Link, Memory, Page, Query, Reach, Recalled, Scope, Stored, new_id
from bethink.project import short
from bethink.service.context import Brief
from bethink.service.core import utc_now
from bethink.sync.peer import RequestRefused, Unauthorized, Unreachable

if TYPE_CHECKING:
    from bethink.service.core import Limits
    from bethink.sync.http import HttpPeer

Json = dict[str, Any]
_FIELDS = frozenset(each.name for each in dataclasses.fields(Memory)) - {"extra"}
#: Times that a request is made again when the server asks to wait, and the longest wait it may ask for, in seconds.
_TRIES, _LONGEST = 5, 60.0
_AWAY_HINT = "MEMORY_SYNC_DISABLE=1 keeps nothing on this machine; without it Bethink works offline and sends later."
_PLAIN_HINT = "Use an https address in MEMORY_API_URL."
_LOCAL_HINT = "Run it on the server, or unset MEMORY_SYNC_DISABLE to keep a copy of the memories here."


class RemoteMemories:
    """As much of `Memories` as the server's REST API offers; anything else says that it needs a store on this machine.

    Args:
        peer: the server.
        here: where the caller stands.
        limits: how secrets are recognised; they are not sent where somebody on the way could read them.
    """

    def __init__(self, peer: HttpPeer, here: Scope, limits: Limits) -> None:
        self.here = here
        self._peer = peer
        self._limits = limits
        self._known: list[str] | None = None
        self._links: dict[str, list[Link]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConfigError("This cannot be done over the server's API (http-only mode).", hint=_LOCAL_HINT)

    def now(self) -> datetime:
        return utc_now()

    def reach(self, project: str | None = None, *, task: str | None = None, everywhere: bool = False, only_global: bool = False) -> Reach:
        """As `Core.reach`."""
        if everywhere:
            return Reach(projects=None)
        if only_global:
            return Reach(projects=())
        name = project or self.here.project
        return Reach(projects=(self._whole(name),) if name else (), task=task or self.here.task)

    def remember(self, draft: Draft) -> Stored:
        given = _given(draft, "by_hand", "verbatim", "sensitive", "owner", "scope", "superseded_at")
        given["content"] = draft.content
        given |= _place(draft.scope) | ({"space": draft.owner.removeprefix(SPACE)} if draft.owner else {})
        if draft.sensitive:
            given["force_sensitive"] = True
            self._must_be_private()
        # The client's id makes it the same memory if the answer is lost and the command is repeated by the loop below.
        given.setdefault("id", new_id())
        self._must_not_leak(draft.content, *_texts(given))
        told = self._ask("POST", "/api/memories", given)
        memory = Memory(
            id=told["id"],
            owner=draft.owner or "",
            content=draft.content,
            category=told["category"],
            tags=draft.tags,
            importance=told["importance"],
            scope=Scope(told["scope"], told["project"], draft.scope.task if told["scope"] == "task" else None),
            status=told["status"],
        )
        return Stored(memory, told["action"], tuple(told["superseded"]), tuple(told["sealed"]), tuple(told.get("notes", ())))

    def recall(self, query: Query) -> Recalled:
        asked = {
            **_asked(query.where),
            "query": query.text,
            "expanded_query": query.expanded or None,
            "mode": query.mode,
            "sort_by": query.sort_by,
            "limit": query.limit,
            "keyword_weight": query.keyword_weight,
            "semantic_weight": query.semantic_weight,
            "min_score": query.floor or None,
            "budget_tokens": query.budget_tokens,
            "follow_links": query.follow_links or None,
        }
        told = self._ask("POST", "/api/memories/recall", {name: value for name, value in asked.items() if value is not None})
        hits = tuple(Hit(memory_of(one), one["score"], one["why"]) for one in told["memories"])
        return Recalled(hits, told["took_ms"], tuple(told.get("notes", ())))

    def list(self, where: Filter, *, limit: int = 20, offset: int = 0, order: str = "recency") -> Page:
        asked = {**_listed(where), "deleted": "true" if where.deleted else None, "limit": limit, "offset": offset, "order": order}
        told = self._ask("GET", _path("/api/memories", asked))
        return Page(tuple(map(memory_of, told["memories"])), told["total"], told["limit"], told["offset"])

    def get(self, id: str) -> Memory:
        told = self._ask("GET", _path(f"/api/memories/{quote(id, safe='')}"))
        memory = memory_of(told)
        self._links[memory.id] = [_link(one) for one in told["links"]]
        return memory

    def links(self, id: str) -> Sequence[Link]:
        if id not in self._links:
            id = self.get(id).id
        return self._links[id]

    def revise(self, id: str, changes: Changes) -> Memory:
        given = _given(changes, "scope")
        if changes.tags is not None:
            given["tags"] = list(changes.tags)
        if changes.scope is not None:
            given |= _place(changes.scope)
        if changes.sensitive and changes.content:
            self._must_be_private()
        self._must_not_leak(changes.content, *_texts(given))
        return self.get(self._ask("PATCH", f"/api/memories/{quote(id, safe='')}", given)["id"])

    def forget(self, id: str) -> Memory:
        return self._stub(self._ask("DELETE", f"/api/memories/{quote(id, safe='')}"))

    def restore(self, id: str) -> Memory:
        return self._stub(self._ask("POST", f"/api/memories/{quote(id, safe='')}/restore"))

    def purge(self, id: str) -> dict[str, int]:
        return dict(self._ask("POST", f"/api/memories/{quote(id, safe='')}/purge")["removed"])

    def secret(self, id: str) -> Json:
        self._must_be_private()
        return self._ask("POST", f"/api/memories/{quote(id, safe='')}/secret")

    def context(self, *, task: str | None = None, budget_tokens: int | None = None, only_global: bool = False) -> Brief:
        project = None if only_global else self.here.project
        told = self._ask("GET", _path("/api/context", {"project": project, "task": task, "budget_tokens": budget_tokens}))
        sections = tuple((one["title"], tuple(map(memory_of, one["memories"]))) for one in told["sections"])
        return Brief(Scope(told["scope"], told["project"], told["task"]), sections, told["tokens"])

    def tags(self, where: Filter | None = None) -> dict[str, int]:
        asked = _listed(where or Filter())
        told = self._ask("GET", _path("/api/tags", {name: asked[name] for name in ("category", "project", "scope")}))
        return {one["tag"]: one["count"] for one in told["tags"]}

    def stats(self) -> Json:
        told = self._ask("GET", "/api/stats")
        return {name: value for name, value in told.items() if name not in ("active", "projects", "storage_mb")}

    def export(self, where: Filter) -> Iterator[Memory]:
        """Every memory that matches, oldest first."""
        asked = {**_listed(where), "archive": None if where.archive else "false"}
        lines = self._told(lambda: self._peer.lines(_path("/api/export", asked)))
        while (line := self._told(lambda: next(lines, None))) is not None:
            try:
                told = json.loads(line)
            except ValueError:
                raise PeerError("The export ended early.", hint="Repeat it.") from None
            memory = memory_of(told)
            self._links[memory.id] = [_link(one) for one in told.get("links", ())]
            yield memory

    @property
    def store(self) -> Self:
        """What commands ask of the store itself."""
        return self

    @property
    def access(self) -> None:
        """The server knows who asks."""

    def links_of(self, access: None, ids: Sequence[str]) -> Sequence[Link]:
        """The edges of memories that were just exported."""
        return [link for id in ids for link in self._links.pop(id, ())]

    def close(self) -> None:
        self._peer.close()

    def flush_uses(self) -> None:
        """The server writes them down."""

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        return dict(self._told(lambda: self._peer.rest(method, path, body)))

    def _told(self, ask: Callable[[], Any]) -> Any:
        """What the server answers; it is given the time that it asks for."""
        for left in reversed(range(_TRIES)):
            try:
                return ask()
            except Unreachable as error:
                wait = error.retry_after
                if not left or wait is None or wait > _LONGEST:
                    raise PeerError(error.message, hint=_away(error)) from error
                sys.stderr.write(f"The server asks to wait for {wait:.0f} s.\n")
                time.sleep(wait)
            except RequestRefused as error:
                raise InvalidInput(error.message, hint=error.hint) from error
            except PeerError as error:
                raise type(error)(error.message, hint=_away(error)) from error
        raise AssertionError("unreachable")

    def _whole(self, name: str) -> str:
        """`name` itself, or the one known project whose id ends so."""
        if "/" in name:
            return name
        if self._known is None:
            self._known = [one["name"] for one in self._ask("GET", "/api/projects")["projects"]]
        ending = [project for project in self._known if short(project) == name]
        return name if name in self._known or len(ending) != 1 else ending[0]

    def _stub(self, told: Mapping[str, Any]) -> Memory:
        return Memory(id=told["id"], owner="", content=str(told.get("preview", "")))

    def _must_be_private(self) -> None:
        if not self._peer.confidential:
            raise Forbidden("A secret would travel in the clear over plain HTTP.", hint=_PLAIN_HINT)

    def _must_not_leak(self, *texts: str | None) -> None:
        """Raises:
        Forbidden: a secret would be readable on its way.
        """
        if self._peer.confidential:
            return
        from bethink.seal import detect

        policy = detect.Policy(self._limits.secret_threshold, self._limits.secret_allow)
        for one in texts:
            if one and detect.scan(one, policy):
                raise Forbidden("It holds a secret, which would travel in the clear over plain HTTP.", hint=_PLAIN_HINT)


def memory_of(shape: Mapping[str, Any]) -> Memory:
    """The memory that `shapes.memory` or `shapes.hit` described.

    Raises:
        PeerError: it is none.
    """
    known = {name: shape[name] for name in _FIELDS & shape.keys()}
    known["scope"] = {"kind": shape.get("scope"), "project": shape.get("project"), "task": shape.get("task")}
    try:
        return Memory(**{"owner": "", **exchange.checked(known)})
    except (BethinkError, TypeError) as error:
        raise PeerError(f"The server's answer cannot be read: {error}.", hint="Its version may differ much from this one.") from error


def _link(shape: Mapping[str, Any]) -> Link:
    at = exchange.checked({"created_at": shape["created_at"]})["created_at"]
    return Link(str(shape["source"]), str(shape["target"]), str(shape["type"]), at, str(shape.get("note") or ""))


def _given(noun: Draft | Changes, *without: str) -> Json:
    """The fields of a noun that say something, as JSON can hold them."""
    every = {each.name: getattr(noun, each.name) for each in dataclasses.fields(noun) if each.name not in without}
    return exchange.plain({name: value for name, value in every.items() if value is not None and value not in ("", ())})


def _texts(given: Json) -> tuple[str, ...]:
    """Everything in it but the content that could hold a secret."""
    return (
        str(given.get("expanded_keywords", "")),
        " ".join(given.get("tags", ())),
        json.dumps(given.get("origin") or "", ensure_ascii=False),
    )


def _place(scope: Scope) -> Json:
    named = {"scope": scope.kind, "project": scope.project, "task": scope.task}
    return {name: value for name, value in named.items() if value is not None}


def _asked(where: Filter) -> Json:
    """A filter as the API's bodies name it."""
    reach = where.reach
    scope = "all" if reach.projects is None else "global" if not reach.projects and not reach.task else None
    return {
        "category": where.category,
        "tags": list(where.tags) or None,
        "project": (reach.projects or (None,))[0],
        "task": reach.task,
        "scope": scope,
        "client": where.client,
        "source": where.source,
        "session": where.session,
        "since": _time(where.since),
        "before": _time(where.before),
        "as_of": _time(where.as_of),
        "status": "any" if not where.statuses else where.statuses[0],
        "space": where.owner.removeprefix(SPACE) if where.owner else None,
    }


def _listed(where: Filter) -> Json:
    """A filter as the API's addresses name it.

    Raises:
        ConfigError: they have no name for a part of it.
    """
    asked = _asked(where)
    tags = asked.pop("tags") or [None]
    for name in ("session", "as_of", "task"):
        if asked.pop(name) is not None:
            raise ConfigError(f"A list cannot be narrowed by {name} over the server's API.", hint="`bethink recall` can. " + _LOCAL_HINT)
    if len(tags) > 1:
        raise ConfigError("A list can be narrowed by one tag only over the server's API.", hint=_LOCAL_HINT)
    return {**asked, "tag": tags[0]}


def _path(path: str, asked: Mapping[str, Any] | None = None) -> str:
    named = urlencode({name: value for name, value in (asked or {}).items() if value is not None})
    return f"{path}?{named}" if named else path


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _away(error: PeerError) -> str:
    if isinstance(error, Unauthorized):
        return "Check MEMORY_API_KEY."
    return _AWAY_HINT if error.hint == PeerError.default_hint else error.hint
