"""Secrets on their way between a replica and its server: sealed with a key that both have, or inside TLS, or not at all."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bethink.errors import BethinkError, SealError, SealUnavailable
from bethink.model import CONFLICT, Access, Filter
from bethink.stores.base import Store
from bethink.stores.log import Change
from bethink.sync.peer import Json

if TYPE_CHECKING:
    from bethink.seal.aesgcm import AesGcmSeal
    from bethink.seal.base import Sealed
    from bethink.service.sealing import LazySeal


class Withheld(Exception):
    """A change that must not be sent over this connection."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Waits(Exception):
    """A change that cannot be sent now, because the place of its key or of its secret is away."""

    def __init__(self, error: BethinkError) -> None:
        super().__init__(error.message)
        self.error = error


#: A secret as the store has it: owner, memory, name, blob, meta.
Kept = tuple[str, str, str, bytes, Mapping[str, Any]]


class Taken(NamedTuple):
    """What came with some memories: their secrets as they are kept here, by memory, and the memories of which some are still missing."""

    sealed: Mapping[str, Sequence[tuple[str, Sealed]]]
    missing: frozenset[str]
    #: The same secrets as rows.
    rows: Sequence[Kept]


def keys_of(hello: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the keys that a server may have in common with its replicas."""
    told = hello.get("seals_by")
    if isinstance(told, list):
        return tuple(str(each) for each in told)
    return ("aes",) if hello.get("seals") else ()


def holders(store: Store, access: Access, now: datetime) -> list[str]:
    """Memories of which there may be secrets, some of them here and others not: a wording that lost may have left one, too."""
    every = Filter(statuses=())
    where = (every, replace(every, deleted=True), replace(every, expired=True))
    sealed = [memory.id for each in where for memory in store.walk(access, each, now) if memory.sealed]
    return list(dict.fromkeys((*sealed, *(one.memory for one in store.revisions_named(access, CONFLICT)))))


class Secrets:
    """Closes secrets for the way and opens those that come. Asks Vault, where there is one, and therefore never inside a transaction."""

    def __init__(self, seal: LazySeal | None) -> None:
        self._seal = seal
        #: The keys, by name, that the server said it does not have.
        self._denied: dict[str, str] = {}
        #: Keys that the server cannot get at for now.
        self._away: set[str] = set()
        #: Name and number of the key that a change was last sealed with.
        self._sent: dict[str, tuple[str, str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys that a server may have as well, in order of preference."""
        return tuple(self._shared())

    def mark(self, name: str) -> str:
        """What tells a key from another one of the same name, where this machine was given it."""
        return f"{name}:{self._shared()[name].keys.current().id.hex()}" if name == "aes" else name

    def forgive(self, *, denied: bool = False) -> None:
        """The server may have come by its keys meanwhile."""
        self._away.clear()
        self._sent.clear()
        if denied:
            self._denied.clear()

    def closed(
        self, change: Change, owner: str, name: str, row: tuple[bytes, Mapping[str, Any]], *, keys: Collection[str], tls: bool
    ) -> Json:
        """A secret as it is sent.

        Args:
            owner: what the server calls its owner.
            row: as it is kept here.
            keys: names of those that the server may have.
            tls: nobody on the way can read what is sent.

        Raises:
            Withheld: it would travel in the clear, or cannot be opened here.
            Waits: Vault is away, here or there.
        """
        if self._seal is None:
            raise Withheld("There is nothing to open it with.")
        try:
            chain = self._seal.chain
        except BethinkError as error:
            raise _stopped(error) from error
        shared = {by: seal for by, seal in chain.shared.items() if by in keys}
        if not shared and not tls:
            raise Withheld("It would travel in the clear.")
        try:
            way = self._way(shared)
        except SealError as error:
            if not tls:
                raise _stopped(error) from error
            way = None
        if way is None and not tls:
            raise Withheld("The server's key is another one, and it would travel in the clear.")
        try:
            secret = chain.open(change.owner, change.memory, name, *row)
        except BethinkError as error:
            raise _stopped(error) from error
        if way is None:
            return {"name": name, "plain": secret}
        by, seal = way
        made = seal.seal(owner, change.memory, name, secret)
        key = str(made.meta.get("key", ""))
        self._sent[change.operation] = by, key
        sealed = {"blob": base64.b64encode(made.blob).decode(), "key": key, "memory": change.memory}
        return {"name": name, "sealed": {**sealed, "by": by} if by != "aes" else sealed}

    def answered(self, change: Change, code: str) -> bool:
        """Takes in why the server refused a sealed secret; True when there may be another way to send it."""
        by, key = self._sent.pop(change.operation, ("", ""))
        if not by or code not in ("SealDenied", "SealUnavailable"):
            return False
        if code == "SealUnavailable":
            self._away.add(by)
            return True
        again = self._denied.get(by) != key
        self._denied[by] = key
        if again and (forget := getattr(self._shared()[by].keys, "forget", None)) is not None:
            # It may have been replaced since it was read here.
            forget()
        return again

    def taken(self, items: Iterable[tuple[str, str, str, Mapping[str, Any]]], here: Callable[[str], Sequence[Kept]]) -> Taken:
        """Opens what came, and seals it as it is kept here, apart from what is here: that may be this machine's own, and not sent yet.

        What neither side can open now is missing; what was sealed with another key is asked of the server when it is wanted.

        Args:
            items: memory, the server's name of its owner, its owner here, what the server told of it.
            here: the secrets of a memory that are kept here; one that is the same is left as it is.
        """
        sealed: dict[str, list[tuple[str, Sealed]]] = {}
        rows: list[Kept] = []
        missing = set()
        for memory, remote, local, item in items:
            told = _by_name(item.get("secrets", ()))
            late = {str(name) for name in item.get("secrets_wait", ())}
            if not (told or late) or not (shared := self._shared()) or self._seal is None:
                continue
            chain = self._seal.chain
            known = {row[2]: row for row in here(memory)}
            for name, offers in told.items():
                try:
                    secret = _opened(shared, remote, memory, name, offers)
                    if name not in known or not self._is(known[name], secret):
                        one = chain.seal(local, memory, name, secret, apart=True)
                        sealed.setdefault(memory, []).append((name, one))
                        rows.append((local, memory, name, one.blob, {"tier": one.tier, **one.meta}))
                    late.discard(name)
                except SealUnavailable:
                    late.add(name)
                except (BethinkError, ValueError):
                    if any(one.get("by") == "vault" for one in offers):
                        # The key there was replaced, and the server has the old one in mind for a while.
                        late.add(name)
            if late and "vault" in shared:
                missing.add(memory)
        return Taken(sealed, frozenset(missing), rows)

    def again(self, row: Kept, memory: str, name: str) -> Sealed:
        """A secret that is kept here, sealed for another memory of its owner, under a name there.

        Raises:
            SealError: it cannot be opened or sealed now.
        """
        if self._seal is None:
            raise SealUnavailable("There is nothing to open it with.")
        return self._seal.chain.seal(row[0], memory, name, self._seal.chain.open(*row), apart=True)

    def same(self, one: Kept | None, other: Kept) -> bool:
        """Whether two rows are known to hold the same secret.

        Raises:
            SealError: the other one cannot be opened now.
        """
        if self._seal is None:
            raise SealUnavailable("There is nothing to open it with.")
        return one is not None and self._is(one, self._seal.chain.open(*other))

    def erase(self, rows: Iterable[Kept], *, but: Iterable[Kept] = ()) -> None:
        """Removes what is kept outside the store of secrets that are gone.

        Args:
            but: secrets whose places are in use.
        """
        used = {_place(row) for row in but}
        for row in rows:
            try:
                if self._seal is not None and _place(row) not in used:
                    self._seal.chain.erase(*row)
            except BethinkError:
                # The seal's settings may be wrong as well: that holds up no round.
                continue

    def _is(self, row: Kept, secret: str) -> bool:
        """Whether a row is known to hold this secret."""
        try:
            return self._seal is not None and self._seal.chain.open(*row) == secret
        except BethinkError:
            return False

    def _shared(self) -> Mapping[str, AesGcmSeal]:
        """What seals for the way; nothing where the seal's settings are wrong, which holds up nothing but secrets."""
        try:
            return self._seal.chain.shared if self._seal is not None else {}
        except BethinkError:
            return {}

    def _way(self, shared: Mapping[str, AesGcmSeal]) -> tuple[str, AesGcmSeal] | None:
        """The first key that both sides may have; None when the server has none of them.

        Raises:
            SealError: the last of them cannot be had.
        """
        failed: SealError | None = None
        for by, seal in shared.items():
            try:
                key = seal.keys.current().id.hex()
            except SealError as error:
                failed = error if failed is None or isinstance(error, SealUnavailable) else failed
                continue
            if self._denied.get(by) == key:
                continue
            if by in self._away:
                failed = SealUnavailable("The server cannot reach its Vault.", hint="It is sent when the server can.")
                continue
            return by, seal
        if failed is not None:
            raise failed
        return None


def _place(row: Kept) -> tuple[Any, ...]:
    _, memory, name, _, meta = row
    return memory, name, meta.get("tier"), meta.get("mount"), meta.get("path"), meta.get("field")


def _stopped(error: BethinkError) -> Withheld | Waits:
    return Waits(error) if isinstance(error, SealUnavailable) else Withheld(error.message, error.hint)


def _by_name(told: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The same secret may come under several keys."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in told:
        found.setdefault(str(one["name"]), []).append(one)
    return found


def _opened(shared: Mapping[str, AesGcmSeal], owner: str, memory: str, name: str, offers: Sequence[Mapping[str, Any]]) -> str:
    """
    Raises:
        SealError: none of the keys opens it; that it may be so later, when one of them cannot be had now.
    """
    failed: BethinkError = SealError("It came under no key of this machine.")
    for one in offers:
        seal = shared.get(str(one.get("by") or "aes"))
        if seal is None:
            continue
        try:
            return seal.open(owner, memory, name, base64.b64decode(str(one["blob"])), {"key": one.get("key")})
        except (BethinkError, ValueError) as error:
            if isinstance(error, BethinkError) and not isinstance(failed, SealUnavailable):
                failed = error
    raise failed
