"""Memories on a server, where nothing is kept on this machine (http-only mode): what the commands ask of `Memories`, over its REST API."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote

from bethink.errors import ConfigError, Forbidden, Forgotten, InvalidInput, PeerError
from bethink.front import fields
from bethink.front.cli import received, sent
from bethink.front.fields import SPACE
from bethink.model import (
    LINK_TYPES,
    Changes,
    Draft,
    Filter,
    Hit,
    Link,
    Memory,
    Page,
    Query,
    Reach,
    Recalled,
    Revision,
    Scope,
    Stored,
    Verdict,
    new_id,
)
from bethink.project import short
from bethink.service.context import Brief
from bethink.service.core import utc_now
from bethink.sync.peer import RequestRefused, Unauthorized, Unreachable

if TYPE_CHECKING:
    from bethink.service.core import Limits
    from bethink.service.entities import Entity
    from bethink.service.hygiene import BulkDeleted, Cluster, Proposal
    from bethink.service.review import ReviewItem
    from bethink.service.truth import RolledBack, Why
    from bethink.sync.http import HttpPeer

Json = dict[str, Any]
#: Most that the server lists at once, and most edges that it joins at once.
_MOST, _EDGES = 10_000, 500
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
        #: What came along with other answers: edges by memory, memories by id, the least trust in a lineage.
        self._links: dict[str, list[Link]] = {}
        self._ends: dict[str, Memory] = {}
        self._trust: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unavailable()

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
        given = sent.given(draft, "by_hand", "verbatim", "sensitive", "owner", "scope", "superseded_at")
        given["content"] = draft.content
        given |= sent.place(draft.scope) | ({"space": draft.owner.removeprefix(SPACE)} if draft.owner else {})
        if draft.sensitive:
            given["force_sensitive"] = True
            self._must_be_private()
        # The client's id makes it the same memory if the answer is lost and the command is repeated by the loop below.
        given.setdefault("id", new_id())
        self._must_not_leak(draft.content, *sent.texts(given))
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
            **sent.asked(query.where),
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
        self._must_not_leak(query.text, query.expanded)
        told = self._ask("POST", "/api/memories/recall", {name: value for name, value in asked.items() if value is not None})
        hits = tuple(Hit(received.memory(one), one["score"], one["why"]) for one in told["memories"])
        return Recalled(hits, told["took_ms"], tuple(told.get("notes", ())))

    def list(self, where: Filter, *, limit: int = 20, offset: int = 0, order: str = "recency") -> Page:
        asked = {**sent.listed(where), "deleted": "true" if where.deleted else None, "archive": None if where.archive else "false"}
        told = self._ask("GET", sent.path("/api/memories", {**asked, "limit": min(limit, _MOST), "offset": offset, "order": order}))
        return Page(tuple(map(received.memory, told["memories"])), told["total"], told["limit"], told["offset"])

    def live(self, id: str) -> Memory:
        return self._whole_memory(sent.path(sent.of(id)))

    def as_of(self, id: str, at: datetime) -> Memory:
        return self._whole_memory(sent.path(sent.of(id), {"as_of": sent.time(at)}))

    def get(self, id: str) -> Memory:
        """The memory with this id; forgotten ones too."""
        try:
            return self.live(id)
        except Forgotten:
            return received.memory(self._ask("GET", sent.of(id, "history"))["memory"])

    def links(self, id: str, at: datetime | None = None) -> Sequence[Link]:
        """Its edges; after `as_of` those of then."""
        if id not in self._links:
            told = self._ask("GET", sent.of(id, "links"))
            self._ends |= {one["id"]: received.memory(one) for one in told["memories"]}
            return [received.link(one) for one in told["links"]]
        return self._links[id]

    def ends(self, edges: Sequence[Link]) -> Sequence[Memory]:
        """As `Truth.ends`: what came along with the edges."""
        ids = dict.fromkeys(end for edge in edges for end in (edge.source, edge.target))
        return [self._ends[id] for id in ids if id in self._ends]

    def history(self, id: str) -> Sequence[Revision]:
        return [received.revision(id, one) for one in self._ask("GET", sent.of(id, "history"))["history"]]

    def why(self, id: str) -> Why:
        from bethink.service.truth import Why

        told = self._ask("GET", sent.of(id, "why"))
        memory = received.memory(told["memory"])
        self._trust[memory.id] = told["trust"]
        return Why(
            memory,
            tuple(map(received.link, told["links"])),
            tuple(map(received.memory, told["lineage"])),
            tuple(received.revision(memory.id, one) for one in told["history"]),
            tuple(map(received.event, told["events"])),
            tuple(told.get("forgotten", ())),
        )

    def trust_of(self, memory: Memory) -> str:
        """The least trust in the lineage of what `why` told."""
        return self._trust[memory.id]

    def check(self, content: str, *, category: str = "facts", scope: Scope | None = None) -> Verdict:
        self._must_not_leak(content)
        told = self._ask("POST", "/api/memories/check", {"content": content, "category": category, **sent.place(scope or self.here)})
        target = received.memory(told["target"]) if told["target"] else None
        return Verdict(told["action"], told["similarity"], target, told["reason"])

    def link(self, source: str, target: str, type: str, note: str = "") -> Link:
        self._must_not_leak(note)
        return received.link(self._ask("POST", sent.of(source, "links"), {"target_id": target, "link_type": sent.kind(type), "note": note}))

    def link_all(self, edges: Sequence[tuple[str, str, str, str]]) -> Iterator[bool]:
        """Joins many by (source, target, type, note); whether each could be, those of a known type that may be sent."""
        wanted = [edge for edge in edges if sent.kind(edge[2]) in LINK_TYPES and self._may_be_sent(edge[3])]
        for start in range(0, len(wanted), _EDGES):
            yield from self._joined(wanted[start : start + _EDGES])

    def _joined(self, edges: Sequence[tuple[str, str, str, str]]) -> Sequence[bool]:
        """One request; what the server does not take together it may take apart, all but what is odd."""
        asked = [{"source_id": one, "target_id": other, "link_type": sent.kind(kind), "note": note} for one, other, kind, note in edges]
        try:
            return ["error" not in each for each in self._ask("POST", "/api/links", {"links": asked}, key=new_id())["links"]]
        except InvalidInput:
            if len(edges) == 1:
                return [False]
            half = len(edges) // 2
            return [*self._joined(edges[:half]), *self._joined(edges[half:])]

    def _may_be_sent(self, text: str) -> bool:
        with suppress(Forbidden):
            self._must_not_leak(text)
            return True
        return False

    def unlink(self, source: str, target: str, type: str) -> bool:
        self._ask("DELETE", f"{sent.of(source, 'links')}/{quote(target, safe='')}/{quote(sent.kind(type), safe='')}")
        return True

    def undo(self, id: str) -> Sequence[Memory]:
        return [received.memory(one) for one in self._ask("POST", sent.of(id, "undo"))["memories"]]

    def rollback(
        self, *, session: str | None = None, source: str | None = None, since: datetime | None = None, do_it: bool = False
    ) -> RolledBack:
        from bethink.service.truth import RolledBack

        asked = {"session": session, "source": source, "since": sent.time(since), "dry_run": not do_it}
        told = self._ask("POST", "/api/rollback", {name: value for name, value in asked.items() if value is not None})
        return RolledBack(told["batch"] or "", tuple(map(received.memory, told["memories"])), told["done"])

    def undo_rollback(self, batch: str) -> int:
        return int(self._ask("POST", f"/api/rollback/{quote(batch, safe='')}/undo")["restored"])

    def review(self, *, project: str | None = None, limit: int = 50, offset: int = 0) -> Sequence[ReviewItem]:
        from bethink.service.review import ReviewItem

        told = self._ask("GET", sent.path("/api/review", {"project": project, "limit": min(limit, _MOST), "offset": offset}))
        return [ReviewItem(received.memory(one), one["reason"]) for one in told["items"]]

    def accept(self, ids: Sequence[str], changes: Changes | None = None) -> Sequence[Memory]:
        if not ids:
            return []
        if changes is not None:
            ids = [self.revise(id, changes).id for id in ids]
        return [received.memory(one) for one in self._ask("POST", "/api/review/accept", {"ids": list(ids)})["memories"]]

    def reject(self, ids: Sequence[str]) -> Sequence[Memory]:
        if not ids:
            return []
        return [self._stub({"id": id}) for id in self._ask("POST", "/api/review/reject", {"ids": list(ids)})["rejected"]]

    def find_duplicates(
        self, threshold: float = 0.85, *, limit: int = 20, project: str | None = None, scan_limit: int = 500
    ) -> Sequence[Cluster]:
        from bethink.service.hygiene import Cluster

        asked = {"threshold": threshold, "limit": limit, "project": project, "scan_limit": scan_limit}
        found = self._ask("GET", sent.path("/api/duplicates", asked))["clusters"]
        return [Cluster(tuple(map(received.memory, one["memories"])), one["similarity"]) for one in found]

    def bulk_delete(
        self, *, tag: str | None = None, project: str | None = None, source: str | None = None, dry_run: bool = True
    ) -> BulkDeleted:
        from bethink.service.hygiene import BulkDeleted

        asked = {"tag": tag, "project": project, "source": source, "dry_run": str(dry_run).lower()}
        told = self._ask("DELETE", sent.path("/api/memories", asked))
        return BulkDeleted(told["total"], tuple(map(received.memory, told["preview"])), told["action"] == "deleted")

    def tidy(self, *, accept: Sequence[str] = (), accept_all: bool = False) -> Sequence[Proposal]:
        from bethink.service.hygiene import Proposal

        found = self._ask("POST", "/api/tidy", {"accept": list(accept), "all": accept_all})["proposals"]
        return [Proposal(one["id"], one["action"], tuple(map(received.memory, one["memories"])), one["reason"]) for one in found]

    def register_entity(self, name: str, description: str = "", *, aliases: Sequence[str] = (), parent: str | None = None) -> Entity:
        self._must_not_leak(name, description, *aliases)
        asked = {"name": name, "description": description, "aliases": list(aliases), **({"parent": parent} if parent is not None else {})}
        return received.entity(self._ask("POST", "/api/entities", asked))

    def search_entities(self, query: str, *, limit: int = 5, project: str | None = None) -> Sequence[tuple[Entity, float]]:
        found = self._ask("GET", sent.path("/api/entities", {"query": query, "limit": min(limit, 100), "project": project}))["entities"]
        return [(received.entity(one), one["score"]) for one in found]

    def list_entities(self, project: str | None = None) -> Sequence[Entity]:
        return [received.entity(one) for one in self._ask("GET", sent.path("/api/entities", {"project": project}))["entities"]]

    def send(self, many: Sequence[Json]) -> Sequence[Json]:
        """Stores several; the server's word on each. Without what `must_be_sendable` refuses."""
        return list(self._ask("POST", "/api/memories/import", many, key=new_id())["items"])

    def must_be_sendable(self, given: Mapping[str, Any]) -> None:
        """Raises:
        Forbidden: a secret in it would be readable on its way.
        """
        if fields.flag(given, "sensitive") or fields.flag(given, "force_sensitive"):
            self._must_be_private()
        words = (fields.words(given, "content"), fields.joined(given, "expanded_keywords"), fields.joined(given, "keywords"))
        self._must_not_leak(*words, " ".join(fields.several(given, "tags")), json.dumps(given.get("origin") or "", ensure_ascii=False))

    def revise(self, id: str, changes: Changes) -> Memory:
        given = sent.given(changes, "scope")
        if changes.tags is not None:
            given["tags"] = list(changes.tags)
        if changes.scope is not None:
            given |= sent.place(changes.scope)
        if changes.sensitive and changes.content:
            self._must_be_private()
        self._must_not_leak(changes.content, *sent.texts(given))
        return self.live(self._ask("PATCH", sent.of(id), given)["id"])

    def forget(self, id: str) -> Memory:
        return self._stub(self._ask("DELETE", sent.of(id)))

    def restore(self, id: str) -> Memory:
        return self._stub(self._ask("POST", sent.of(id, "restore")))

    def purge(self, id: str) -> dict[str, int]:
        return dict(self._ask("POST", sent.of(id, "purge"))["removed"])

    def secret(self, id: str) -> Json:
        self._must_be_private()
        told = self._ask("POST", sent.of(id, "secret"))
        return {name: told[name] for name in ("id", "category", "content", "secrets")}

    def context(self, *, task: str | None = None, budget_tokens: int | None = None, only_global: bool = False) -> Brief:
        project = None if only_global else self.here.project
        told = self._ask("GET", sent.path("/api/context", {"project": project, "task": task, "budget_tokens": budget_tokens}))
        sections = tuple((one["title"], tuple(map(received.memory, one["memories"]))) for one in told["sections"])
        return Brief(Scope(told["scope"], told["project"], told["task"]), sections, told["tokens"])

    def tags(self, where: Filter | None = None) -> dict[str, int]:
        asked = sent.listed(where or Filter())
        told = self._ask("GET", sent.path("/api/tags", {name: asked[name] for name in ("category", "project", "scope")}))
        return {one["tag"]: one["count"] for one in told["tags"]}

    def stats(self) -> Json:
        told = self._ask("GET", "/api/stats")
        return {name: value for name, value in told.items() if name not in ("active", "projects", "storage_mb")}

    def export(self, where: Filter) -> Iterator[Memory]:
        """Every memory that matches, oldest first."""
        asked = {**sent.listed(where), "archive": None if where.archive else "false"}
        for line in self._lines(sent.path("/api/export", asked)):
            try:
                told = json.loads(line)
            except ValueError:
                raise PeerError("The export ended early.", hint="Repeat it.") from None
            memory = received.memory(told)
            self._links[memory.id] = [received.link(one) for one in told.get("links", ())]
            yield memory

    @property
    def store(self) -> RemoteStore:
        return RemoteStore(self)

    @property
    def access(self) -> None:
        """The server knows who asks."""

    def known(self, ids: Sequence[str]) -> dict[str, Memory]:
        """Memories by id that came along with an answer, or are asked for one by one."""
        found = {id: self._ends[id] for id in ids if id in self._ends}
        return found | {id: self.get(id) for id in ids if id not in found}

    def taken_links(self, ids: Sequence[str]) -> Sequence[Link]:
        """The edges of memories that were just exported."""
        return [link for id in ids for link in self._links.pop(id, ())]

    def close(self) -> None:
        self._peer.close()

    def flush_uses(self) -> None:
        """The server writes them down."""

    def _whole_memory(self, path: str) -> Memory:
        told = self._ask("GET", path)
        memory = received.memory(told)
        self._links[memory.id] = [received.link(one) for one in told["links"]]
        return memory

    def _ask(self, method: str, path: str, body: Json | Sequence[Json] | None = None, *, key: str | None = None) -> Json:
        """One answer. With a key (Idempotency-Key) what was asked to wait is done once."""
        headers = {**({"Idempotency_Key": key} if key else {}), **({"X_Project_ID": self.here.project} if self.here.project else {})}
        return dict(self._told(lambda: self._peer.rest(method, path, body, **headers)))

    def _lines(self, path: str) -> Iterator[bytes]:
        """The lines of a long answer; one that breaks off is an error.

        Raises:
            PeerError
        """

        def begun() -> tuple[list[bytes], Iterator[bytes]]:
            # The request is made when the first line is asked for: both belong to what is made again.
            lines = self._peer.lines(path)
            return list(islice(lines, 1)), lines

        first, rest = self._told(begun)
        yield from first
        try:
            yield from rest
        except PeerError as error:
            raise PeerError(f"The answer broke off: {error.message}", hint="Repeat it; what came so far is not all.") from error

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


def unavailable() -> ConfigError:
    """What is not among the server's routes."""
    return ConfigError("This cannot be done over the server's API (http-only mode).", hint=_LOCAL_HINT)


class RemoteStore:
    """What commands ask of the store itself."""

    def __init__(self, memories: RemoteMemories) -> None:
        self._memories = memories

    def get(self, access: None, ids: Sequence[str]) -> dict[str, Memory]:
        return self._memories.known(ids)

    def links_of(self, access: None, ids: Sequence[str]) -> Sequence[Link]:
        return self._memories.taken_links(ids)

    def __getattr__(self, name: str) -> NoReturn:
        raise unavailable()


def _away(error: PeerError) -> str:
    if isinstance(error, Unauthorized):
        return "Check MEMORY_API_KEY."
    return _AWAY_HINT if error.hint == PeerError.default_hint else error.hint
