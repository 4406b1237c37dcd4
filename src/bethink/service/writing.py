"""Writing memories: store, merge, correct, edit, forget, restore, purge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bethink import text
from bethink.errors import BethinkError, Conflict, Forbidden, InvalidInput, NotForgotten, SealError
from bethink.model import STATUSES, Changes, Draft, Link, Memory, Stored, category_of, one_of
from bethink.service import drafts
from bethink.service.judging import Judging
from bethink.service.sealing import Sealing
from bethink.stores.base import Transaction

#: A merged restatement's words are kept as search terms up to this many characters.
_KEPT_WORDS = 600


class Writing(Judging, Sealing):
    """The part of `Memories` that changes what is stored."""

    def remember(self, draft: Draft) -> Stored:
        """Stores a memory, or merges it into one that says the same, or has it replace one that it corrects.

        When this returns, the memory is on disk and found by its words; its vector follows.

        Raises:
            InvalidInput: a field is not acceptable.
            Conflict: another memory has the given id, or what it is said to supersede cannot be.
            SealError: a secret in it cannot be sealed; nothing was stored.
            StoreError: the database is in trouble; nothing was stored.
        """
        draft = drafts.validated(draft)
        now = self.now()
        if draft.id and (known := self._known(draft)) is not None:
            return known
        memory = drafts.memory_of(draft, self._owner_of(draft), self.writer, now)
        memory, secrets = self._sealed(memory, ())
        memory, notes = self._screened(memory, draft.by_hand)
        verdict = self._verdict(memory, draft)
        twin = self._twin_with_same_secrets(memory, secrets) if secrets else None
        with self.store.write(self.access) as tx:
            kinds = memory.sealed
            same = tx.find_exact(memory.owner, memory.content_hash, memory.scope)
            if same is not None and (not secrets or twin == same.id):
                return Stored(self._merge(tx, same, memory, now), "merged", sealed=kinds, notes=notes)
            if verdict.action == "NOOP" and not secrets and (kept := self._still_live(tx, verdict.target)) is not None:
                merged = self._merge(tx, kept, memory, now)
                return Stored(merged, "merged", sealed=kinds, notes=(*notes, verdict.reason))
            targets = [verdict.target] if verdict.action == "UPDATE" else []
            if same is not None:
                targets = [same]
            memory, replaced = self._insert(tx, memory, draft, [old for each in targets if (old := self._still_live(tx, each))], now)
            partly = verdict.target if verdict.action == "ADD" and memory.status == "active" else None
            if (doubted := self._still_live(tx, partly)) is not None and doubted.id not in replaced:
                self._doubt(tx, doubted, memory, now)
                notes = (*notes, f"{verdict.reason} See {doubted.id}; both are kept, and it waits in `bethink review`.")
            for name, sealed in secrets:
                tx.put_secret(memory.id, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})
        reason = (verdict.reason,) if replaced and verdict.reason else ()
        return Stored(memory, "added", superseded=replaced, sealed=kinds, notes=(*notes, *reason))

    def remember_once(self, draft: Draft, operation: str) -> Stored:
        """As `remember`, with the id that an operation gives: repeated, it stores nothing twice.

        An operation that stored something else, or what is forgotten by now, is another one by the same name: it stores anew.
        """
        draft = drafts.validated(draft)
        taken = self.store.get(self.access, [operation]).get(operation)
        if taken is not None and (taken.deleted_at is not None or not self._says(taken, draft)):
            return self.remember(draft)
        return self.remember(replace(draft, id=operation))

    def remember_many(self, many: Iterable[Draft]) -> Iterator[Stored | BethinkError]:
        """Stores each in order; what cannot be stored is answered with its error and stops nothing."""
        for draft in many:
            try:
                yield self.remember(draft)
            except InvalidInput as error:
                yield error
            except Conflict as error:
                yield error

    def revise(self, id: str, changes: Changes) -> Memory:
        """Edits a memory; what it said before stays in its history.

        Raises:
            NotFound, InvalidInput, Forbidden, VersionConflict
            Forgotten: it has to be restored first.
            Conflict: another memory says exactly that already.
        """
        before = self.live(id)
        if changes.if_version is not None and changes.if_version != before.version:
            from bethink.errors import VersionConflict

            raise VersionConflict(f"The memory has version {before.version}, not {changes.if_version}.")
        wanted = _wanted(changes)
        after, secrets = self._sealed(before.with_(**wanted))
        fields = {name: getattr(after, name) for name in {*wanted, "content", "tags", "expanded_keywords", "sealed", "sensitive", "status"}}
        if "content" in wanted:
            fields["content_hash"] = text.content_hash(after.content)
            screened, _ = self._screened(after, by_hand=self.writer.source in ("user", "cli"))
            fields["status"] = screened.status
        now = self.now()
        with self.store.write(self.access) as tx:
            if "content_hash" in fields and fields["content_hash"] != before.content_hash:
                twin = tx.find_exact(before.owner, str(fields["content_hash"]), after.scope)
                if twin is not None and twin.id != before.id and not secrets:
                    raise Conflict(f"The memory {twin.id} says exactly that already.", hint="Delete one of the two.")
            revised = self._change(tx, before, "revise", now, **fields)
            for name, sealed in secrets:
                tx.put_secret(before.id, name, sealed.blob, {"tier": sealed.tier, **sealed.meta})
            self._hush_before(tx, before, revised)
        return revised

    def forget(self, id: str) -> Memory:
        """Hides a memory; `restore` brings it back. Forgetting twice is no error."""
        before = self.get(id)
        if before.deleted_at is not None:
            return before
        with self.store.write(self.access) as tx:
            now = self.now()
            after = self._change(tx, before, "forget", now, deleted_at=now)
            self._cascade(tx, after, "was forgotten", now)
        return after

    def restore(self, id: str) -> Memory:
        """Brings a forgotten memory back.

        Raises:
            Conflict: it is not forgotten, or the same was stored again meanwhile.
        """
        before = self.get(id)
        if before.deleted_at is None:
            raise Conflict(f"The memory {before.id} is not forgotten.", hint="`bethink undo ID` brings back what was superseded.")
        with self.store.write(self.access) as tx:
            twin = tx.find_exact(before.owner, before.content_hash, before.scope)
            if twin is not None and not before.sealed:
                raise Conflict(f"The same was stored again as {twin.id}.", hint="There is nothing to restore; purge this one if you like.")
            return self._change(tx, before, "restore", self.now(), deleted_at=None)

    def purge(self, id: str) -> dict[str, int]:
        """Erases a forgotten memory everywhere, for good; answers a receipt of what was removed, by kind.

        Raises:
            NotForgotten: it is not forgotten yet.
        """
        memory = self.get(id)
        if memory.deleted_at is None:
            raise NotForgotten(f"The memory {memory.id} is not forgotten.", hint=f"First `bethink delete {memory.id}`; purging is final.")
        self._erase_secrets(memory)
        with self.store.write(self.access) as tx:
            receipt = tx.erase(memory.id)
            tx.record_change(f"{memory.id}:purge", memory.id, "purge", memory.version, {})
            tx.append_audit(self.now(), self._actor, "purge", memory.id, receipt)
        return receipt

    @property
    def _owner(self) -> str:
        if not self.access.writable:
            raise Forbidden("You may read here, not write.")
        return self.access.writable[0]

    def _owner_of(self, draft: Draft) -> str:
        if draft.owner is None:
            return self._owner
        if draft.owner not in self.access.writable:
            raise Forbidden(f"You may not write memories of {draft.owner!r}.", hint="Leave the owner out, or ask for the role of a writer.")
        return draft.owner

    def _known(self, draft: Draft) -> Stored | None:
        """The answer when the given id is taken: by this very content, or by another."""
        taken = self.store.get(self.access, [draft.id or ""]).get(draft.id or "")
        if taken is None:
            return None
        if self._says(taken, draft):
            return Stored(taken, "merged", notes=("This id was stored before.",))
        raise Conflict(
            f"Another memory has the id {draft.id}.", hint=f"To change it, `bethink edit {draft.id}`; to add one, leave the id out."
        )

    def _says(self, taken: Memory, draft: Draft) -> bool:
        """Whether a memory holds this very content; a sealed one with these very secrets, where they can be opened here."""
        if taken.content_hash == text.content_hash(draft.content):
            return True
        if not taken.sealed:
            return False
        from bethink.seal import detect

        policy = detect.Policy(self.limits.secret_threshold, self.limits.secret_allow)
        known: dict[str, str] = {}
        with suppress(SealError):
            known = dict(self._opened(taken))
        texts = [draft.content, draft.expanded_keywords, *draft.tags]
        return detect.scrub(texts, policy, known=known, whole=draft.sensitive).texts[0] == taken.content

    def _insert(
        self, tx: Transaction, memory: Memory, draft: Draft, targets: Sequence[Memory], now: datetime
    ) -> tuple[Memory, tuple[str, ...]]:
        if draft.supersedes:
            named = self._supersedable(tx, draft.supersedes, memory)
            targets = [*(old for old in targets if old.id != named.id), named]
        # History that is imported late: what is stored already is the newer word.
        newer = [old for old in targets if old.created_at > memory.created_at and old.id != draft.supersedes]
        if newer:
            memory = memory.with_(status="superseded", superseded_at=min(old.created_at for old in newer))
        tx.insert(memory)
        tx.record_change(f"{memory.id}:1", memory.id, "store", 0, {})
        tx.append_audit(now, self._actor, "store", memory.id, {"source": memory.source, "status": memory.status})
        for old in newer:
            tx.add_link(Link(old.id, memory.id, "supersedes", now))
        replaced = []
        for old in targets:
            if old not in newer and memory.status == "active":
                self._supersede(tx, old, memory, now)
                replaced.append(old.id)
        for parent in draft.derived_from:
            tx.add_link(Link(memory.id, self._linkable(tx, parent), "derived_from", now))
        return memory, tuple(replaced)

    def _supersede(self, tx: Transaction, old: Memory, new: Memory, now: datetime) -> None:
        gone = self._change(tx, old, "supersede", now, note=new.id, status="superseded", superseded_at=max(new.created_at, old.created_at))
        tx.add_link(Link(new.id, old.id, "supersedes", now))
        self._cascade(tx, gone, f"was superseded by {new.id}", now)

    def _doubt(self, tx: Transaction, old: Memory, new: Memory, now: datetime) -> None:
        """A part of an old memory no longer holds: somebody has to say what is left of it."""
        tx.add_link(Link(new.id, old.id, "contradicts", now))
        if not old.needs_review:
            self._change(tx, old, "review", now, needs_review=f"{new.id} corrects a part of it")

    def _supersedable(self, tx: Transaction, id: str, new: Memory) -> Memory:
        old = tx.get(self.get(id).id)
        if old is None or old.id == new.id:
            raise Conflict(f"{id} cannot be superseded by itself.")
        if old.status == "superseded":
            raise Conflict(f"The memory {old.id} is superseded already.", hint="Name the memory that holds now.")
        return old

    def _linkable(self, tx: Transaction, id: str) -> str:
        found = tx.get(id)
        return found.id if found else self.get(id).id

    def _still_live(self, tx: Transaction, seen: Memory | None) -> Memory | None:
        """The memory as it is now, inside the transaction, unless it left recall since it was seen."""
        found = tx.get(seen.id) if seen else None
        return found if found and found.deleted_at is None and found.status in ("active", "candidate") else None

    def _merge(self, tx: Transaction, kept: Memory, said: Memory, now: datetime, note: str = "") -> Memory:
        """Joins what was said again into the memory that stays: tags, keywords, the higher importance, the later expiry.

        What was parked or completed holds again.

        Args:
            note: stands in the history, in the place of a restatement's own words.
        """
        known = {*text.words(kept.content), *text.words(kept.expanded_keywords)}
        fresh = [word for word in text.informative(said.content[:2000]) if word not in known]
        keywords = _joined(kept.expanded_keywords, said.expanded_keywords.split(), fresh)
        again = kept.status in ("parked", "completed") and said.status == "active"
        confirmed = again or (kept.status == "candidate" and self._confirms(kept, said))
        tags = tuple(dict.fromkeys((*kept.tags, *said.tags)))[: drafts.MAX_TAGS]
        # A restatement's own words stay in the history, as they were said.
        note = note or (said.content if said.content != kept.content else "")
        return self._change(
            tx,
            kept,
            "merge",
            now,
            note=note,
            tags=tags,
            expanded_keywords=keywords,
            importance=max(kept.importance, said.importance),
            status="active" if confirmed else kept.status,
            expires_at=max(kept.expires_at, said.expires_at) if kept.expires_at and said.expires_at else None,
        )

    def _confirms(self, kept: Memory, said: Memory) -> bool:
        """A candidate is confirmed by a person, or by the same fact from another session."""
        if said.trust == "user_stated" or said.status == "active":
            return True
        return said.session is not None and kept.session is not None and said.session != kept.session


def _joined(keywords: str, *more: Sequence[str]) -> str:
    known = dict.fromkeys(keywords.split())
    size = len(keywords)
    for words in more:
        for word in words:
            if word not in known and size + len(word) < max(_KEPT_WORDS, len(keywords)):
                known[word] = None
                size += len(word) + 1
    return " ".join(known)


def _wanted(changes: Changes) -> dict[str, object]:
    """The validated fields that an edit names."""
    wanted: dict[str, object] = {}
    if changes.content is not None:
        wanted["content"] = text.checked_content(changes.content)
    if changes.category is not None:
        wanted["category"] = category_of(changes.category)
    if changes.tags is not None:
        wanted["tags"] = drafts.checked_tags(changes.tags)
    if changes.expanded_keywords is not None:
        wanted["expanded_keywords"] = drafts.checked_keywords(changes.expanded_keywords)
    if changes.importance is not None:
        wanted["importance"] = drafts.checked_importance(changes.importance)
    if changes.status is not None:
        wanted["status"] = one_of(changes.status, STATUSES, "status")
    if changes.scope is not None:
        wanted["scope"] = drafts.checked_scope(changes.scope)
    if changes.sensitive:
        wanted["sensitive"] = True
    for name in ("valid_from", "valid_until", "expires_at"):
        if getattr(changes, name) is not None:
            wanted[name] = getattr(changes, name)
    if not wanted:
        raise InvalidInput("Nothing to change.", hint="Name at least one field.")
    return wanted
