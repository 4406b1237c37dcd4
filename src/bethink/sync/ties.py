"""Which server and user a local store belongs to, and what leaves it when that, or what may be read there, changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bethink.errors import Conflict
from bethink.model import Access
from bethink.stores.base import ReplicaTransaction
from bethink.stores.log import Change
from bethink.sync.peer import Json, WrongServer

if TYPE_CHECKING:
    from bethink.sync.replica import Replica

#: Most memories that a message names.
_NAMED = 3
_OTHER_STORE = (
    "Set MEMORY_API_KEY back; or give {who!r} a store apart (another MEMORY_DB or MEMORY_HOME) and bring memories over: "
    "`bethink export > FILE` here with the key from before, `bethink import --new-ids FILE` there."
)


def bind(replica: Replica, hello: Mapping[str, Any], address: str, *, again: bool = False) -> bool:
    """Ties the store to a server and a principal, once; True when it was tied now.

    Args:
        again: the person agreed to tie it to another one: what is the user's own is uploaded there, what others share goes.

    Raises:
        WrongServer: it is tied to another one.
        Conflict: something of another owner was never sent there.
    """
    server, principal, told = str(hello["server"]), str(hello["principal"]), list(hello["owners"])
    bound = replica.binding
    if bound is not None:
        wrong = _difference(bound, server, principal, replica.user, address)
        if wrong is None:
            note_owners(replica, told, address)
            return False
        if not again or (bound["server"] == server and bound["principal"] != principal):
            # Ids are one server's: what is here cannot be stored there once more as somebody else's.
            raise wrong
    local = [replica.local(str(owner["name"]), principal) for owner in told]
    binding = {"server": server, "principal": principal, "user": replica.user, "url": address, "owners": local}
    _tie(replica, bound, {**binding, "readonly": _readonly(replica, told, principal)})
    return True


def _tie(replica: Replica, bound: Json | None, binding: Json) -> None:
    foreign = [owner for owner in (bound or {}).get("owners", ()) if owner != replica.user]
    rows = replica.kept_of(id for owner in foreign for id in replica.store.log.ids_of(owner))
    access = replica.access if bound is not None else Access.local(replica.user)
    with replica.store.write(access) as tx:
        if bound is not None:
            tx.unlogged()
            # What no change is logged of, and the server never told of, was not sent either.
            tx.log.unknown_rows(foreign)
            _must_be_sent(tx, replica.user, bound)
            _erase(tx, foreign)
            for id in sorted(tx.log.waiting()):
                tx.log.drop(id)
        tx.log.bind(binding)
        tx.log.unknow(None)
        tx.log.put_fact("cursor", None)
        # A space of that name on another server is another space.
        tx.log.unknown_rows(binding["owners"] if bound is None else (replica.user,))
    replica.secrets.erase(rows)


def _must_be_sent(tx: ReplicaTransaction, user: str, bound: Json) -> None:
    """
    Raises:
        Conflict: the server that is left never got a change of somebody else's memory.
    """
    unsent = _foreign(tx, user)
    if not unsent:
        return
    named = ", ".join(sorted({change.memory for change in unsent})[:_NAMED])
    raise Conflict(
        f"{len(unsent)} changes of {', '.join(sorted({change.owner for change in unsent}))} were never sent to {bound['url']}: of {named}.",
        hint="Send them first: `bethink sync --verify` with the settings from before; or give them up: `bethink sync --give-up ID`.",
    )


def _foreign(tx: ReplicaTransaction, user: str) -> list[Change]:
    return [change for id in sorted(tx.log.waiting()) for change in tx.log.pending(id) if change.owner != user]


def _erase(tx: ReplicaTransaction, owners: Iterable[str], but: Collection[str] = ()) -> None:
    for owner in owners:
        for id in tx.log.ids_of(owner):
            if id not in but:
                tx.erase(id)
                tx.log.unknow(id)


def _difference(bound: Json, server: str, principal: str, user: str, address: str) -> WrongServer | None:
    """What the settings say otherwise than when the store was tied; None when nothing."""
    tied = f"This store is a replica for {bound['principal']!r} at {bound['url']}"
    if bound["server"] != server:
        if bound["url"] == address:
            return WrongServer(f"{tied}; another database answers there now, such as a new installation.")
        return WrongServer(f"{tied}; the settings now name another server, {address}.")
    if bound["principal"] != principal:
        return WrongServer(
            f"{tied}; MEMORY_API_KEY is now the key of {principal!r} there, and a store cannot change to another user of its server.",
            hint=_OTHER_STORE.format(who=principal),
        )
    if bound["user"] != user:
        hint = f"Set MEMORY_USER back to {bound['user']!r}; or `bethink sync --rebind --yes` to make this store {user!r}'s."
        return WrongServer(f"{tied}, with MEMORY_USER {bound['user']!r}; MEMORY_USER is now {user!r}.", hint=hint)
    return None


def note_owners(replica: Replica, told: Iterable[Any], address: str | None) -> None:
    """Whose memories this replica may hold; what it may hold no longer goes, unless something of it was never sent."""
    bound = replica.binding
    if bound is None:
        return
    told = list(told)
    owners = [replica.local(str(owner["name"]), bound["principal"]) for owner in told]
    after = {**bound, "owners": owners, "readonly": _readonly(replica, told, bound["principal"]), "url": address or bound["url"]}
    if after == bound:
        return
    left = [owner for owner in bound["owners"] if owner not in owners]
    rows = replica.kept_of(id for owner in left for id in replica.store.log.ids_of(owner))
    with replica.store.write(replica.access) as tx:
        tx.unlogged()
        kept = {id for owner in left for id in tx.log.ids_of(owner) if tx.log.pending(id)}
        _erase(tx, left, kept)
        tx.log.bind(after)
        if set(owners) - set(bound["owners"]):
            # Edges of what was here before that end at theirs are told now; and the cursor may be from before they were left.
            tx.log.put_fact("compare", True)
    replica.secrets.erase(row for row in rows if row[1] not in kept)


def _readonly(replica: Replica, owners: Iterable[Any], principal: str) -> list[str]:
    return [replica.local(str(owner["name"]), principal) for owner in owners if not owner.get("write", True)]
