"""A server in the same process: what the HTTP routes do, without the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from bethink.errors import BethinkError, Forbidden, InvalidInput, StoreError
from bethink.service.feeding import Feeding, buckets_of
from bethink.sync.peer import Json, RequestRefused, Unreachable


class DirectPeer:
    """Implements `Peer` on memories at hand. Everything passes through JSON, as it would on the wire."""

    confidential = True

    def __init__(self, serving: Callable[[], Feeding], address: str = "direct:") -> None:
        self._serving = serving
        self.address = address

    def hello(self) -> Json:
        return self._asked(lambda it: it.hello())

    def push(self, changes: Sequence[Json]) -> Json:
        sent = json.loads(json.dumps({"changes": list(changes)}))
        return self._asked(lambda it: it.push(sent))

    def changes(self, cursor: str | None, limit: int) -> Json:
        return self._asked(lambda it: it.changes(cursor, limit))

    def digest(self, owner: str) -> Json:
        return self._asked(lambda it: it.digest(owner))

    def marks(self, owner: str, buckets: Sequence[int]) -> Json:
        return self._asked(lambda it: it.marks(owner, buckets_of(buckets)))

    def fetch(self, ids: Sequence[str]) -> Json:
        return self._asked(lambda it: it.fetch(list(ids)))

    def close(self) -> None:
        """Nothing is held."""

    def _asked(self, ask: Callable[[Feeding], Any]) -> Json:
        try:
            answer: Json = json.loads(json.dumps(ask(self._serving())))
        except StoreError as error:
            raise Unreachable(error.message, hint=error.hint) from error
        except (Forbidden, InvalidInput) as error:
            status = 403 if isinstance(error, Forbidden) else 422
            raise RequestRefused(error.message, hint=error.hint, status=status, code=error.code) from error
        except BethinkError as error:
            raise RequestRefused(error.message, hint=error.hint, status=409, code=error.code) from error
        return answer
