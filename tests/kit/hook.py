"""Hooks as assistants run them: a process with a payload on stdin, which must end with 0 and say nothing on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The console script's way, without its file.
COMMAND = [sys.executable, "-c", "from bethink.front.cli import main; main()", "hook"]
#: Far beyond every deadline: what does not end by then hangs.
HANGS = 20
SESSION = "0e9f4c1a-6d2b-4a55-9d0e-0123456789ab"


def payload(name: str, **fields: Any) -> dict[str, Any]:
    """What Claude Code sends."""
    return {"session_id": SESSION, "transcript_path": "", "cwd": "/", "hook_event_name": name, **fields}


def prompt(text: str, **fields: Any) -> dict[str, Any]:
    return payload("UserPromptSubmit", **{"prompt": text, "source": "user", **fields})


def environment(**more: str) -> dict[str, str]:
    """The variables of a hook: as after an installation, and with time on a machine that runs other tests."""
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**compiled, "MEMORY_HOOK_MS": "9000", **more}


def fire(
    given: bytes | dict[str, Any], assistant: str = "claude", *, limit: Callable[[], None] | None = None, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs one hook to its end."""
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    run = subprocess.run([*COMMAND, assistant], input=data, capture_output=True, env=environment(**env), timeout=HANGS, preexec_fn=limit)
    assert run.returncode == 0, run
    assert run.stderr == b""
    return run


def told(given: bytes | dict[str, Any], assistant: str = "claude", **env: str) -> str:
    """The context that a hook adds; "" when it says nothing."""
    out = fire(given, assistant, **env).stdout
    if not out:
        return ""
    reply = json.loads(out)
    context = reply.get("additional_context") or reply.get("context") or reply.get("hookSpecificOutput", {}).get("additionalContext", "")
    return str(context)


def spooled(home: Path) -> list[dict[str, Any]]:
    """What hooks captured, oldest first."""
    from bethink.intake import spool

    return [json.loads(path.read_bytes()) for path in spool.pending(home)]
