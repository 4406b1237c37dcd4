"""What waits and why, and secrets that did not come yet: remembered in the store, so that they are shown and tried again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bethink.errors import BethinkError
from bethink.service.persons import SPACE
from bethink.stores.log import Change, Log
from bethink.sync import plan

_OUT, _IN = "secrets_waiting", "secrets_wanted"
#: The code of changes that the server is not asked to take.
READ_ONLY = "ReadOnly"
_KEY_READS = {
    "code": READ_ONLY,
    "message": "The server lets this key only read.",
    "hint": "Set MEMORY_API_KEY to a key with the scope memory:write; then it is sent.",
}
#: Most changes that are named with a reason.
_NAMED = 50


class Waiting:
    """What a replica's log says of what waits. Whoever writes does so with the log of a transaction."""

    def __init__(self, log: Log, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._now = clock

    def note(self, log: Log, operation: str, why: BethinkError) -> None:
        """A change cannot be sent now."""
        said = log.fact(_OUT) or {}
        known = said.get("operations", [])
        operations = [each for each in known if each != operation and log.get(each) is not None][-_NAMED + 1 :]
        reasons = {each: _reason(said, each) for each in operations}
        log.put_fact(_OUT, {"operations": [*operations, operation], "reasons": {**reasons, operation: _told(why)}})

    def outgoing(self) -> list[dict[str, str]]:
        """Changes that wait, and for what; the first of them, when they are many."""
        return [*self._forbidden(), *self._delayed()][:_NAMED]

    def _delayed(self) -> list[dict[str, str]]:
        said = self._log.fact(_OUT) or {}
        found = [self._log.get(operation) for operation in said.get("operations", ())]
        return [_shown(one, _reason(said, one.operation)) for one in found if one is not None and one.refused is None and one.tries]

    def _forbidden(self) -> list[dict[str, str]]:
        """What is of owners for whom the server lets this machine only read."""
        bound = self._log.binding() or {}
        readonly = bound.get("readonly", ())
        if not readonly:
            return []
        own = bound["user"] in readonly
        return [_shown(one, _KEY_READS if own else _reader_of(one.owner)) for one in self._log.waiting_of(readonly, _NAMED)]

    def want(self, log: Log, told: Collection[str], missing: Iterable[str]) -> None:
        """Secrets of these memories did not come with them; those of the others that were told did."""
        said = log.fact(_IN) or {}
        before: list[str] = said.get("memories", [])
        missing = set(missing)
        # What was asked for in vain goes behind the others: as many as are asked for at once must not starve them.
        after = [id for id in before if id not in told]
        after += sorted(missing - set(after))
        if after != before:
            log.put_fact(_IN, {**said, "memories": after} if after else None)

    def missing(self, log: Log | None = None) -> list[str]:
        """Memories whose secrets did not come yet."""
        return list(((log or self._log).fact(_IN) or {}).get("memories", ()))

    def wanted(self) -> list[str]:
        """Those of them that are to be asked for now."""
        later = (self._log.fact(_IN) or {}).get("next_try")
        return [] if later and datetime.fromisoformat(later) > self._now() else self.missing()

    def postpone(self, log: Log, chance: float) -> None:
        """What is missing is asked for again after a while, a longer one each time."""
        said = log.fact(_IN)
        if said:
            tries = int(said.get("tries", 0))
            until = self._now() + timedelta(seconds=plan.pause_of_change(tries, chance))
            log.put_fact(_IN, {**said, "tries": tries + 1, "next_try": until.isoformat()})

    def retry(self, log: Log) -> None:
        """Everything is asked for again."""
        if said := log.fact(_IN):
            log.put_fact(_IN, {"memories": said.get("memories", [])})


def _shown(change: Change, reason: Mapping[str, str]) -> dict[str, str]:
    return {"operation": change.operation, "memory": change.memory, "op": change.op, **reason}


def _reason(said: Mapping[str, Any], operation: str) -> dict[str, str]:
    """Why a change waits; a store from before has one reason for all."""
    found = said.get("reasons", {}).get(operation, said)
    return {name: str(found.get(name, "")) for name in ("code", "message", "hint")}


def _reader_of(owner: str) -> dict[str, str]:
    hint = "Ask an admin of the space for the role of a writer; then it is sent."
    return {"code": READ_ONLY, "message": f"The server lets you only read the space {owner.removeprefix(SPACE)}.", "hint": hint}


def _told(error: BethinkError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "hint": error.hint}
