"""Secrets that wait for Vault, on their way out and in: remembered in the store, so that they are shown and tried again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from bethink.errors import BethinkError
from bethink.stores.base import Log
from bethink.sync import plan

_OUT, _IN = "secrets_waiting", "secrets_wanted"
#: Most changes that are named with a reason.
_NAMED = 50


class Waiting:
    """What a replica's log says of secrets that wait. Whoever writes does so with the log of a transaction."""

    def __init__(self, log: Log, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._now = clock

    def note(self, log: Log, operation: str, why: BethinkError) -> None:
        """A change holds a secret that cannot be sent now."""
        known = (log.fact(_OUT) or {}).get("operations", [])
        operations = [each for each in known if each != operation and log.get(each) is not None][-_NAMED + 1 :]
        log.put_fact(_OUT, {"operations": [*operations, operation], **_told(why)})

    def outgoing(self) -> list[dict[str, str]]:
        """Changes that wait, and for what."""
        said = self._log.fact(_OUT) or {}
        found = [self._log.get(operation) for operation in said.get("operations", ())]
        reason = {name: str(said.get(name, "")) for name in ("code", "message", "hint")}
        return [
            {"operation": one.operation, "memory": one.memory, "op": one.op, **reason}
            for one in found
            if one is not None and one.refused is None and one.tries
        ]

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


def _told(error: BethinkError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "hint": error.hint}
