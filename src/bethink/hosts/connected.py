"""What an assistant's configuration says of us now: the command of the server, and whether its hooks may run."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bethink.hosts import jsonc
from bethink.hosts.configure import Place, ScopeName, read_text

SERVER: Final = "bethink"
#: Seconds that a configured server may take to say what it can do.
PATIENCE: Final = 40.0
_HELLO: Final = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bethink-setup", "version": "1"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A server of ours in a configuration file."""

    path: Path
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def entry(host: str, scope: ScopeName, place: Place) -> Entry | None:
    """How `host` would start our server; None when it knows none.

    Raises:
        ConfigError: the file cannot be read.
    """
    path, keys = _where(host, scope, place)
    if path is None:
        return None
    found: Any = _tree(path)
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    command = found.get("command")
    words = command if isinstance(command, list) else [command, *(found.get("args") or [])]
    env = found.get("environment" if host == "opencode" else "env")
    given = {str(name): str(value) for name, value in env.items()} if isinstance(env, Mapping) else {}
    return Entry(path, tuple(map(str, words)), given) if words and words[0] else None


def has_plugin(place: Place) -> bool:
    """Whether Claude Code has our plugin, which brings server and hooks along."""
    tree = _tree(place.root("claude") / "settings.json")
    enabled = tree.get("enabledPlugins") if isinstance(tree, Mapping) else None
    return isinstance(enabled, Mapping) and any(str(name).startswith(f"{SERVER}@") and state for name, state in enabled.items())


def untrusted_hooks(scope: ScopeName, place: Place) -> int:
    """How many of our hooks Codex has not been told to trust; it passes them over until somebody says yes in ``/hooks``."""
    folder = (place.project / ".codex") if scope == "project" and place.project else place.root("codex")
    hooks = folder / "hooks.json"
    tree = _tree(hooks)
    events = tree.get("hooks") if isinstance(tree, Mapping) else None
    if not isinstance(events, Mapping):
        return 0
    ours = sum(f"{SERVER} hook codex" in json.dumps(entries).replace("'", "") for entries in events.values())
    config = _tree(place.root("codex") / "config.toml")
    state = config.get("hooks", {}).get("state", {}) if isinstance(config, Mapping) and isinstance(config.get("hooks"), Mapping) else {}
    # Keys are FILE:EVENT:GROUP:HANDLER.
    trusted = {
        str(key).removeprefix(f"{hooks}:").split(":")[0]
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if str(key).startswith(f"{hooks}:") and isinstance(value, Mapping) and value.get("trusted_hash")
    }
    return max(ours - len(trusted), 0)


def tools_of(command: tuple[str, ...], env: Mapping[str, str] = {}, cwd: Path | None = None) -> list[str]:
    """The tools that a server tells after a handshake; it is ended afterwards.

    Raises:
        OSError: it cannot be started, or does not answer as a server does; the message says why.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env}, cwd=cwd
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # Whoever does not answer is ended, and reading ends with it.
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        with suppress(BrokenPipeError):
            process.stdin.write("".join(json.dumps(line) + "\n" for line in _HELLO).encode())
            process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if isinstance(answer, dict) and answer.get("id") == 2:
                return [str(tool["name"]) for tool in answer["result"]["tools"]]
        raise OSError(f"it ended with {process.wait()} before it had answered")
    except (ValueError, KeyError, TypeError):
        raise OSError("it did not answer as an MCP server does") from None
    finally:
        watchdog.cancel()
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _where(host: str, scope: ScopeName, place: Place) -> tuple[Path | None, tuple[str, ...]]:
    """The file that holds our server, and the keys that lead to it."""
    root = place.root(host)
    if scope == "project":
        project = place.project or Path()
        files: dict[str, tuple[Path | None, tuple[str, ...]]] = {
            "claude": (project / ".mcp.json", ("mcpServers", SERVER)),
            "codex": (project / ".codex" / "config.toml", ("mcp_servers", SERVER)),
            "gemini": (project / ".gemini" / "settings.json", ("mcpServers", SERVER)),
            "cursor": (project / ".cursor" / "mcp.json", ("mcpServers", SERVER)),
            "opencode": (_either(project / "opencode.json"), ("mcp", SERVER)),
            "vscode": (project / ".vscode" / "mcp.json", ("servers", SERVER)),
        }
        return files.get(host, (None, ()))
    files = {
        "claude": (root / ".claude.json" if place.env.get("CLAUDE_CONFIG_DIR") else place.home / ".claude.json", ("mcpServers", SERVER)),
        "codex": (root / "config.toml", ("mcp_servers", SERVER)),
        "gemini": (root / "settings.json", ("mcpServers", SERVER)),
        "cursor": (root / "mcp.json", ("mcpServers", SERVER)),
        "opencode": (_either(root / "opencode.json"), ("mcp", SERVER)),
        "claude-desktop": (root / "claude_desktop_config.json", ("mcpServers", SERVER)),
        "vscode": (root / "mcp.json", ("servers", SERVER)),
    }
    return files.get(host, (None, ()))


def _either(path: Path) -> Path:
    commented = path.with_suffix(".jsonc")
    return commented if commented.exists() else path


def _tree(path: Path) -> Any:
    text = read_text(path)
    if text is None or not text.removeprefix("\ufeff").strip():
        return {}
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else jsonc.parse(text).value
    except (tomllib.TOMLDecodeError, jsonc.JsoncError):
        # `plan` says what is wrong with it.
        return {}
