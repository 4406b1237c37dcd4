"""What every part of the service stands on: the store, who asks, the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bethink.errors import Forgotten, InvalidInput, NotFound
from bethink.model import Access, Filter, Memory, Reach, Revision, Scope
from bethink.project import short
from bethink.stores.base import Store, Transaction

if TYPE_CHECKING:
    from bethink.embed.base import Embedder
    from bethink.service.sealing import LazySeal


#: Links whose source stands or falls with their target.
DEPENDING = frozenset({"depends_on", "derived_from", "implements", "supports", "refines", "part_of", "example_of"})


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: recorded with every memory and revision."""

    client: str | None = None
    agent: str | None = None
    session: str | None = None
    source: str = "user"


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the service; see `config.SETTINGS` for their meaning."""

    noop: float = 0.92
    update: float = 0.75
    secret_threshold: float = 0.6
    secret_allow: tuple[str, ...] = ()
    context_tokens: int = 800
    #: Memories that a recall embeds first when their vectors are missing; none where an indexer does that.
    embed_first: int = 16


def utc_now() -> datetime:
    return datetime.now(UTC)


class Core:
    """Holds what the parts share and nothing that changes."""

    def __init__(
        self,
        store: Store,
        access: Access,
        *,
        embedder: Embedder | None = None,
        seal: LazySeal | None = None,
        writer: Writer | None = None,
        here: Scope | None = None,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = utc_now,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.store = store
        self.access = access
        self.embedder = embedder
        self.seal = seal
        self.writer = writer or Writer()
        self.here = here or Scope()
        self.limits = limits or Limits()
        self.now = clock
        #: Said with every recall: why something that should be there is not.
        self.notes = notes

    def get(self, id: str) -> Memory:
        """The memory with this id, or with the only id that starts so; forgotten ones too.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
            InvalidInput: several ids start so.
        """
        plain = id.strip().lower()
        if found := self.store.get(self.access, [id.strip()]) or self.store.get(self.access, [plain]):
            return next(iter(found.values()))
        if len(plain) >= 4:
            matches = self.store.resolve(self.access, plain)
            if len(matches) > 1:
                raise InvalidInput(f"Several ids start with {id!r}.", hint="Give more of it: " + ", ".join(matches) + ".")
            if matches:
                return self.store.get(self.access, matches)[matches[0]]
        raise NotFound(f"No memory {id!r}.")

    def live(self, id: str) -> Memory:
        """As `get`, of what is not forgotten.

        Raises:
            Forgotten: it is; only its past is shown.
        """
        return present(self.get(id))

    def reach(self, project: str | None = None, *, task: str | None = None, everywhere: bool = False, only_global: bool = False) -> Reach:
        """What a question sees: from a project, that project and what is global; from nowhere, what is global."""
        if everywhere:
            return Reach(projects=None)
        if only_global:
            return Reach(projects=())
        name = project or self.here.project
        return Reach(projects=tuple(self._projects_named(name)) if name else (), task=task or self.here.task)

    def _projects_named(self, name: str) -> list[str]:
        """`name` itself, or the one known project whose id ends so."""
        known = self.store.projects(self.access) if "/" not in name else []
        if name in known:
            return [name]
        ending = [project for project in known if short(project) == name]
        return ending if len(ending) == 1 else [name]

    def _revision(self, before: Memory, changed: Mapping[str, Any], op: str, at: datetime, note: str = "") -> Revision:
        writer = self.writer
        return Revision(
            before.id, before.version, at, op, changed, self.access.principal, writer.client, writer.agent, writer.session, note
        )

    def _change(self, tx: Transaction, before: Memory, op: str, at: datetime, note: str = "", **changes: Any) -> Memory:
        """Writes changed fields of one memory with their revision; a change of nothing writes nothing."""
        changed = {name: getattr(before, name) for name, value in changes.items() if getattr(before, name) != value}
        return self._written(tx, before, op, at, note, changes, changed) if changed else before

    def _written(
        self, tx: Transaction, before: Memory, op: str, at: datetime, note: str, changes: Mapping[str, Any], changed: Mapping[str, Any]
    ) -> Memory:
        """Writes a memory's next version with its revision; `changed` are the values that the changes displace."""
        after = before.with_(**changes, version=before.version + 1, updated_at=max(at, before.updated_at))
        tx.update(after, before)
        tx.add_revision(self._revision(before, plain(changed), op, at, note))
        tx.record_change(f"{after.id}:{after.version}", after.id, op, before.version, {})
        # Without the note, which may be somebody's words: nothing is ever taken out of the audit.
        tx.append_audit(at, self._actor, op, after.id, {"version": after.version})
        return after

    def _cascade(self, tx: Transaction, gone: Memory, what: str, now: datetime) -> None:
        """Marks everything that depends on a memory, directly or not, as needing a look."""
        seen = {gone.id}
        wave = [gone.id]
        while wave:
            depending = [
                link.source for link in tx.links_of(wave) if link.type in DEPENDING and link.target in wave and link.source not in seen
            ]
            wave = list(dict.fromkeys(depending))
            seen.update(wave)
            for id in wave:
                memory = tx.get(id)
                if memory is not None and memory.deleted_at is None and memory.owner in self.access.writable:
                    # By its id alone: it may be sealed or erased, and who reads the one may not be allowed to read the other.
                    self._change(tx, memory, "review", now, needs_review=f"{gone.id} {what}")

    @property
    def _actor(self) -> str:
        return self.writer.agent or self.writer.source


def present(memory: Memory) -> Memory:
    """The memory itself.

    Raises:
        Forgotten: it is forgotten.
    """
    if memory.deleted_at is not None:
        raise Forgotten(
            f"The memory {memory.id} is forgotten.",
            hint=f"`bethink restore {memory.id}` brings it back; `bethink history {memory.id}` shows what it was.",
        )
    return memory


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as JSON can hold them."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Scope():
            return {"kind": value.kind, "project": value.project, "task": value.task}
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return value


def restored(field: str, value: Any) -> Any:
    """A field's value from what `plain` made of it."""
    if value is None:
        return None
    if field.endswith("_at") or field in ("valid_from", "valid_until"):
        return datetime.fromisoformat(value)
    if field == "scope":
        return Scope(**value)
    return tuple(value) if field in ("tags", "sealed") else value


LIVE = Filter()
