"""Changes that are given up: somebody has seen what they say, and the server is never told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bethink.errors import Conflict, InvalidInput, NotFound
from bethink.exchange import plain
from bethink.model import Access, Memory
from bethink.stores.log import Change, Log
from bethink.sync.peer import Peer
from bethink.sync.replica import Replica

#: Most ids that a message names.
_NAMED = 3
#: Fewest characters of an id that stand for it.
_BEGINNING = 4


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What is given up, and what becomes of the memory: it leaves this machine, or is what the server says."""

    id: str
    owner: str
    memory: Memory | None
    changes: tuple[Change, ...]
    secrets: tuple[str, ...]
    then: Literal["erased", "fetched"]

    def told(self) -> list[dict[str, Any]]:
        """The changes for people and programs."""
        names = ("operation", "op", "base", "payload", "refused")
        return [{**{name: getattr(one, name) for name in names}, **plain({"at": one.at})} for one in self.changes]


def planned(replica: Replica, id: str, connected: Callable[[], Peer]) -> GivenUp:
    """What giving up would do. Of a space that was left nobody is asked.

    Args:
        id: of a memory, or of a change, or the beginning of one.
        connected: says hello to the server.

    Raises:
        NotFound: nothing of that id waits.
        InvalidInput: several do.
        Conflict: the next round would send it again.
    """
    memory, changes = _found(replica.store.log, id)
    owner = changes[0].owner
    peer = None if _is_left(replica, owner) else connected()
    here = replica.store.get(_access(replica, owner), [memory]).get(memory)
    then: Literal["erased", "fetched"] = "erased"
    if peer is not None and not _is_left(replica, owner) and peer.fetch([memory])["items"]:
        then = "fetched"
    elif here is not None and not _is_left(replica, owner) and owner not in (replica.binding or {}).get("readonly", ()):
        raise Conflict(
            f"The server does not have the memory {memory}, and you may send it: the next round would.",
            hint=f"`bethink edit {memory}` sends it as it is then; `bethink delete {memory}` and `bethink purge {memory} --yes` remove it.",
        )
    if then == "erased":
        changes = replica.store.log.pending(memory)
    secrets = [name for name, _, _ in replica.store.secrets_of(_access(replica, owner), memory)] if then == "erased" else []
    return GivenUp(memory, owner, here, tuple(changes), tuple(secrets), then)


def give_up(replica: Replica, what: GivenUp, connected: Callable[[], Peer]) -> None:
    """Does what was planned."""
    if what.then == "erased":
        _erase(replica, what)
        return
    page = connected().fetch([what.id])
    with replica.store.write(_access(replica, what.owner)) as tx:
        tx.unlogged()
        for change in what.changes:
            tx.log.settle(change.operation)
        known = tx.log.known(what.id)
        # What the server says is news, also when this process ends here: then a comparison finds it.
        tx.log.know(what.id, known[0] if known else 0, 0)
        tx.append_audit(replica.now(), replica.user, "give-up", what.id, {"changes": len(what.changes)})
    replica.absorb(page, move_cursor=False)


def _erase(replica: Replica, what: GivenUp) -> None:
    access = _access(replica, what.owner)
    rows = [(what.owner, what.id, *row) for row in replica.store.secrets_of(access, what.id)]
    with replica.store.write(access) as tx:
        tx.unlogged()
        if tx.get(what.id) is not None:
            tx.erase(what.id)
        tx.log.drop(what.id)
        tx.log.unknow(what.id)
        tx.append_audit(replica.now(), replica.user, "give-up", what.id, {"changes": len(what.changes)})
    replica.secrets.erase(rows)


def _found(log: Log, id: str) -> tuple[str, list[Change]]:
    """The memory that is meant, and which of its changes: all, unless one of them is named."""
    wanted = id.strip().lower()
    waiting = {memory: log.pending(memory) for memory in sorted(log.waiting())}
    long = len(wanted) >= _BEGINNING
    exact = [memory for memory in waiting if memory.lower() == wanted]
    memories = exact or [memory for memory in waiting if long and memory.lower().startswith(wanted)]
    if len(memories) == 1:
        return memories[0], waiting[memories[0]]
    changes = [] if memories else [one for many in waiting.values() for one in many if long and one.operation.startswith(wanted)]
    if len(changes) == 1:
        return changes[0].memory, changes
    several = memories or [change.operation for change in changes]
    if several:
        raise InvalidInput(f"Several ids start with {id!r}.", hint="Give more of it: " + ", ".join(several[:_NAMED]) + ".")
    raise NotFound(f"Nothing of {id!r} waits to be sent.", hint="`bethink sync --status` names what was not sent.")


def _is_left(replica: Replica, owner: str) -> bool:
    return owner != replica.user and owner not in (replica.binding or {}).get("owners", ())


def _access(replica: Replica, owner: str) -> Access:
    """Also what is of a space that was left, and of no one else's."""
    owners = tuple(dict.fromkeys((*replica.access.readable, owner)))
    return Access(replica.user, owners, owners)
