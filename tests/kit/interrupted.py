"""Programs that a test interrupts with SIGINT."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def interruptible(command: Sequence[str | Path], **given: Any) -> subprocess.Popen[Any]:
    """A process that hears SIGINT, also where the tests run in the background of a shell, which makes all that they start ignore it."""
    # Signals are restored in the child alone, before the program begins; no thread of the tests holds a lock that this needs.
    return subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **given)
