"""Whoever started this process: when it dies without closing stdin, which another of its children may hold open, nobody is served."""

from __future__ import annotations

import os
import threading
import time

#: Asked for before all that takes time: the host may die meanwhile.
_PARENT = os.getppid()
_SECONDS = 1.0


def watch() -> None:
    """Ends the process, from a thread of its own, soon after the host has died."""
    threading.Thread(target=_until_alone, name="bethink-parent", daemon=True).start()


def _until_alone() -> None:
    while os.getppid() == _PARENT:
        time.sleep(_SECONDS)
    os._exit(0)
