"""Secrets on the write path: found, sealed, replaced by placeholders; and had back one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.errors import BethinkError, NotFound, SealUnavailable
from bethink.model import Filter, Link, Memory, Revision
from bethink.service.core import Core

if TYPE_CHECKING:
    from bethink.seal.base import Sealed
    from bethink.seal.chain import Chain, Moved, Row
    from bethink.service.core import Limits
    from bethink.stores.base import Transaction

#: What stands for a content that is sealed as a whole; each wording of it has a name of its own.
_WHOLE = re.compile(r"\[REDACTED:(content(?:_\d+)?)\]")
Secrets = Sequence[tuple[str, "Sealed"]]
#: What a person may have written into a memory.
TEXTS = ("content", "expanded_keywords", "tags", "origin")


class LazySeal:
    """The seal chain, built when the first secret comes: most processes never see one."""

    def __init__(self, build: Callable[[], Chain]) -> None:
        self._build = build
        self._chain: Chain | None = None

    @property
    def chain(self) -> Chain:
        if self._chain is None:
            self._chain = self._build()
        return self._chain


class Sealing(Core):
    """The part of `Memories` that keeps secrets out of everything else."""

    #: Asks the server for a memory's secrets, where this store is a replica that could not keep them.
    elsewhere: Callable[[str], Mapping[str, Any]] | None = None

    def _sealed(self, memory: Memory, rows: Iterable[tuple[str, bytes, Mapping[str, Any]]] | None = None) -> tuple[Memory, Secrets]:
        """The memory with placeholders for its secrets, and these, sealed.

        Args:
            rows: the secrets that it has, none where it is new, or as a transaction has read them; else they are read.
        """
        from bethink.seal import detect

        policy = detect.Policy(self.limits.secret_threshold, self.limits.secret_allow)
        origin = _texts(memory.origin)
        if rows is None:
            # Also where nothing shows them: a wording that lost to another machine's may have left some.
            rows = self.store.secrets_of(self.access, memory.id)
        known = {name: "" for name, _, _ in rows}
        whole = memory.sensitive and not _WHOLE.fullmatch(memory.content)
        scrubbed = detect.scrub([memory.content, memory.expanded_keywords, *memory.tags, *origin], policy, known=known, whole=whole)
        if not scrubbed.secrets:
            return memory, ()
        content, keywords, *rest = scrubbed.texts
        tags = tuple(rest[: len(memory.tags)])
        clean = memory.with_(
            content=content,
            expanded_keywords=keywords,
            tags=tags,
            origin=_with_texts(memory.origin, iter(rest[len(tags) :])),
            sealed=tuple(dict.fromkeys((*memory.sealed, *scrubbed.kinds))),
            content_hash=text.content_hash(content),
        )
        return clean, self._seal_all(clean, scrubbed.secrets)

    def _seal_all(self, memory: Memory, secrets: Sequence[tuple[str, str]]) -> Secrets:
        if self.seal is None:
            raise SealUnavailable("There is nothing to seal a secret with.")
        return [(name, self.seal.chain.seal(memory.owner, memory.id, name, secret)) for name, secret in secrets]

    def _twin_with_same_secrets(self, memory: Memory, secrets: Secrets) -> str | None:
        """The id of the memory with the same words and the same secrets, if there is one."""
        with self.store.write(self.access) as tx:
            same = tx.find_exact(memory.owner, memory.content_hash, memory.scope)
        if same is None or self.seal is None:
            return None
        try:
            known = sorted(self._opened(same))
            given = sorted((name, self.seal.chain.open(memory.owner, memory.id, name, one.blob, one.meta)) for name, one in secrets)
        except BethinkError:
            return None
        return same.id if known == given else None

    def _opened(self, memory: Memory) -> list[tuple[str, str]]:
        if self.seal is None:
            raise SealUnavailable("There is nothing to open a secret with.")
        return [
            (name, self.seal.chain.open(memory.owner, memory.id, name, blob, meta))
            for name, blob, meta in self.store.secrets_of(self.access, memory.id)
        ]

    def secret(self, id: str) -> dict[str, Any]:
        """The secrets that were sealed out of a memory; each reading is recorded.

        Returns:
            id, category, content (with placeholders, or the whole content when that was sealed), secrets (name → value).

        Raises:
            NotFound: no such memory, or it has no secret.
            Forgotten: it has to be restored first.
            SealError: it cannot be opened here.
        """
        memory = self.live(id)
        secrets = dict(self._opened(memory))
        if not secrets and memory.sealed and self.elsewhere is not None:
            secrets = dict(self.elsewhere(memory.id)["secrets"])
        if not secrets:
            raise NotFound(f"The memory {memory.id} holds no secret.", hint="Its content is not redacted: read it with `bethink show`.")
        with self.store.write(self.access) as tx:
            tx.append_audit(self.now(), self._actor, "read-secret", memory.id, {"names": sorted(secrets)})
        whole = _WHOLE.fullmatch(memory.content)
        content = secrets.get(whole[1], memory.content) if whole else memory.content
        return {"id": memory.id, "category": memory.category, "content": content, "secrets": secrets}

    def rotate_secrets(self) -> Iterator[Moved]:
        """Makes a new key where this machine's is in use, and seals again what an older key sealed; one answer a secret.

        May be interrupted at any time and is resumed by the next call.
        """
        chain = self._chain()
        chain.new_local_key()
        yield from self._moving(chain.rotate)

    def migrate_secrets(self, to: str | None = None) -> Iterator[Moved]:
        """Moves secrets to another tier (the preferred one unless named); one answer a secret, resumable."""
        chain = self._chain()
        yield from self._moving(lambda rows: chain.migrate(rows, to))

    def seal_missed(self) -> int:
        """Looks through everything stored for secrets that were not recognised when it was written, and seals them.

        Answers how many memories were changed; their histories lose the texts that held the secrets, also where the memory itself holds
        none by now. Notes of edges only lose theirs.
        """
        changed = 0
        every = Filter(statuses=())
        for where in (every, replace(every, deleted=True)):
            for memory in self.store.walk(self.access, where, self.now()):
                clean, secrets = self._sealed(memory)
                links = self._telling_links(memory)
                told = memory.owner in self.access.writable and telling(self.store.revisions(self.access, memory.id), self.limits)
                if secrets:
                    self._seal_afterwards(memory, clean, secrets)
                elif told:
                    self._hush(memory)
                for link in links:
                    self._retell(link)
                changed += bool(secrets or links or told)
        return changed

    def secrets(self) -> dict[str, Any]:
        """How many secrets are sealed, by tier, and how many wait for a better one."""
        by_tier: dict[str, int] = {}
        queued = 0
        for _, _, _, _, meta in self.store.walk_secrets(self.access):
            by_tier[str(meta.get("tier"))] = by_tier.get(str(meta.get("tier")), 0) + 1
            queued += bool(meta.get("queued_for"))
        return {"total": sum(by_tier.values()), "by_tier": by_tier, "queued": queued}

    def _chain(self) -> Chain:
        if self.seal is None:
            raise SealUnavailable("There is nothing to seal with.")
        return self.seal.chain

    def _moving(self, move: Callable[[Iterable[Row]], Iterator[Moved]]) -> Iterator[Moved]:
        from bethink.seal import chain

        for moved in move([chain.Row(*row) for row in self.store.walk_secrets(self.access)]):
            if moved.sealed is None:
                yield moved
                continue
            row, sealed = moved.row, moved.sealed
            meta = {"tier": sealed.tier, **sealed.meta}
            with self.store.write(self.access) as tx:
                # An edit or a pull may have brought another secret, or erased this one, while it was sealed again.
                unchanged = (row.name, row.blob, row.meta) in tx.secrets_of(row.memory)
                if unchanged:
                    tx.put_secret(row.memory, row.name, sealed.blob, meta)
                    tx.append_audit(self.now(), self._actor, "reseal", row.memory, {"tier": sealed.tier})
            if unchanged:
                moved.release()
                yield moved
            else:
                self._chain().erase(row.owner, row.memory, row.name, sealed.blob, meta)
                yield chain.Moved(row)

    def _telling_links(self, memory: Memory) -> list[Link]:
        """Edges that start at a memory and whose notes hold secrets."""
        links = self.store.links_of(self.access, [memory.id])
        return [link for link in links if link.source == memory.id and redacted(link.note, self.limits) != link.note]

    def _retell(self, link: Link) -> None:
        with self.store.write(self.access) as tx:
            if tx.remove_link(link.source, link.target, link.type):
                tx.add_link(replace(link, note=redacted(link.note, self.limits)))

    def _seal_afterwards(self, memory: Memory, clean: Memory, secrets: Secrets) -> None:
        fields = {name: getattr(clean, name) for name in ("content", "expanded_keywords", "tags", "origin", "sealed", "content_hash")}
        with self.store.write(self.access) as tx:
            self._change(tx, memory, "seal", self.now(), **fields)
            tx.scrub_revisions(memory.id)
            for name, sealed in secrets:
                tx.put_secret(memory.id, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})

    def _hush(self, memory: Memory) -> None:
        with self.store.write(self.access) as tx:
            tx.scrub_revisions(memory.id)
            # Replicas are told that what did not win went with it.
            tx.renumber(memory.id)
            tx.append_audit(self.now(), self._actor, "hush", memory.id, {})

    def _hush_before(self, tx: Transaction, before: Memory, after: Memory) -> None:
        """Takes the texts out of a memory's history when they say what is sealed by now."""
        if hushes(before, after, self.limits):
            tx.scrub_revisions(after.id)

    def _erase_secrets(self, memory: Memory, rows: Iterable[tuple[str, bytes, Mapping[str, Any]]] | None = None) -> None:
        for name, blob, meta in self.store.secrets_of(self.access, memory.id) if rows is None else rows:
            if self.seal is not None:
                self.seal.chain.erase(memory.owner, memory.id, name, blob, meta)


def hushes(before: Memory, after: Memory, limits: Limits) -> bool:
    """Whether what a memory said must not stay readable: it is sealed as a whole by now, or what was changed held secrets."""
    if after.sensitive and not (before.sensitive and _WHOLE.fullmatch(before.content)):
        return True
    changed = [getattr(before, name) for name in TEXTS if getattr(before, name) != getattr(after, name)]
    return _holds(_texts(changed), limits)


def telling(revisions: Iterable[Revision], limits: Limits) -> bool:
    """Whether a history holds secrets in the clear."""
    return _holds((part for one in revisions for part in (one.note, *_texts([one.before.get(name) for name in TEXTS]))), limits)


def _holds(texts: Iterable[str], limits: Limits) -> bool:
    return any(redacted(each, limits) != each for each in texts)


def redacted(note: str, limits: Limits) -> str:
    """What is said about an edge, with placeholders for secrets: an edge has no place to keep them."""
    if not note:
        return note
    from bethink.seal import detect

    return detect.scrub([note], detect.Policy(limits.secret_threshold, limits.secret_allow)).texts[0]


def _texts(value: Any) -> list[str]:
    """Every text in an origin, in order."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [part for item in value.values() for part in _texts(item)]
        case list() | tuple():
            return [part for item in value for part in _texts(item)]
        case _:
            return []


def _with_texts(value: Any, texts: Iterator[str]) -> Any:
    """The same origin with other texts, in the order of `_texts`."""
    match value:
        case str():
            return next(texts)
        case Mapping():
            return {name: _with_texts(item, texts) for name, item in value.items()}
        case list() | tuple():
            return [_with_texts(item, texts) for item in value]
        case _:
            return value
