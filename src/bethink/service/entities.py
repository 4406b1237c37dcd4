"""Entities: memories of category `entities`, with other names and a place in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bethink import likeness, text
from bethink.errors import InvalidInput
from bethink.model import Draft, Filter, Memory, Reach, Scope
from bethink.service.truth import Truth
from bethink.service.writing import Writing

_ALIAS = "alias:"
#: Least likeness (0..100) of a name that a fuzzy search finds.
_LIKE = 60


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that memories speak of, with what is part of it."""

    memory: Memory
    name: str
    description: str
    aliases: tuple[str, ...]
    children: tuple[Entity, ...] = field(default=())


class Entities(Writing, Truth):
    """The part of `Memories` that knows things by name."""

    def register_entity(
        self, name: str, description: str = "", *, aliases: Sequence[str] = (), parent: str | None = None, scope: Scope | None = None
    ) -> Entity:
        """Stores an entity, or joins what is new into the one of that name; `parent` is an entity's name or id.

        Raises:
            InvalidInput: no name, or the parent is unknown or below it.
        """
        name = text.checked(name, "name")
        if not name or "\n" in name:
            raise InvalidInput("An entity needs a name of one line.")
        known = self._named(name)
        if known is None:
            content = f"{name}: {description}" if description else name
            tags = tuple(_ALIAS + alias for alias in aliases)
            memory = self.remember(Draft(content, category="entities", tags=tags, scope=scope or self.here)).memory
        else:
            memory = self._described(known, description, aliases)
        if parent is not None:
            above = self._named(parent) or self._by_id(parent)
            if above is None:
                raise InvalidInput(f"No entity {parent!r}.", hint="Register the parent first.")
            if memory.id in (above.id, *(one.id for one in self._above(above))):
                raise InvalidInput(f"{name!r} cannot be part of itself.")
            self.link(memory.id, above.id, "part_of")
        return _entity(memory)

    def list_entities(self, project: str | None = None) -> tuple[Entity, ...]:
        """All entities as trees: what is part of nothing first, with its parts."""
        memories = self._entities(project)
        by_id = {memory.id: memory for memory in memories}
        links = self.store.links_of(self.access, list(by_id))
        parents = {link.source: link.target for link in links if link.type == "part_of" and {link.source, link.target} <= by_id.keys()}

        def tree(id: str, above: frozenset[str]) -> Entity:
            below = [child for child, parent in parents.items() if parent == id and child not in above]
            return _entity(by_id[id], tuple(tree(child, above | {id}) for child in below))

        return tuple(tree(id, frozenset({id})) for id in by_id if id not in parents)

    def search_entities(self, query: str, *, limit: int = 5, project: str | None = None) -> tuple[tuple[Entity, float], ...]:
        """Entities whose name or alias is like the query, most alike first, with a likeness of 0..1."""
        entities = [_entity(memory) for memory in self._entities(project)]
        names = [(name, index) for index, entity in enumerate(entities) for name in (entity.name, *entity.aliases)]
        best: dict[int, float] = {}
        for score, at in likeness.most_alike(query, [name for name, _ in names], least=_LIKE, limit=limit * 3):
            index = names[at][1]
            best[index] = max(best.get(index, 0.0), score / 100)
        ranked = sorted(best.items(), key=lambda pair: -pair[1])[:limit]
        return tuple((entities[index], round(score, 3)) for index, score in ranked)

    def _entities(self, project: str | None = None) -> tuple[Memory, ...]:
        reach = self.reach(project) if project else Reach(projects=None)
        where = Filter(reach=reach, category="entities")
        return self.store.page(self.access, where, self.now(), limit=10_000, offset=0, order="oldest").memories

    def _named(self, name: str) -> Memory | None:
        wanted = name.casefold()
        for memory in self._entities():
            entity = _entity(memory)
            if wanted in (entity.name.casefold(), *(alias.casefold() for alias in entity.aliases)):
                return memory
        return None

    def _by_id(self, id: str) -> Memory | None:
        return self.store.get(self.access, [id]).get(id)

    def _above(self, memory: Memory) -> list[Memory]:
        above: list[Memory] = []
        seen = {memory.id}
        while True:
            links = [link for link in self.store.links_of(self.access, [memory.id]) if link.type == "part_of" and link.source == memory.id]
            found = self._by_id(links[0].target) if links else None
            if found is None or found.id in seen:
                return above
            above.append(found)
            seen.add(found.id)
            memory = found

    def _described(self, known: Memory, description: str, aliases: Sequence[str]) -> Memory:
        entity = _entity(known)
        content = known.content
        if description and description not in content:
            content = f"{entity.name}: {description}" if not entity.description else f"{content} {description}"
        tags = tuple(dict.fromkeys((*known.tags, *(_ALIAS + alias for alias in aliases))))
        with self.store.write(self.access) as tx:
            return self._change(tx, known, "revise", self.now(), content=content, content_hash=text.content_hash(content), tags=tags)


def _entity(memory: Memory, children: tuple[Entity, ...] = ()) -> Entity:
    name, _, description = memory.content.partition(": ")
    aliases = tuple(tag.removeprefix(_ALIAS) for tag in memory.tags if tag.startswith(_ALIAS))
    return Entity(memory, text.title(name), description.strip(), aliases, children)
