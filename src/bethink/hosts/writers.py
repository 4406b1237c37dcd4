"""What each assistant's configuration must hold to know us: the MCP server, and hooks where the assistant has them."""

from __future__ import annotations

import json
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from bethink.config import SETTINGS
from bethink.errors import ConfigError
from bethink.hosts import jsonc
from bethink.hosts.base import APPROVED_TOOLS
from bethink.hosts.configure import FileChange, Place, ScopeName, read_text

Command = tuple[str, ...]

SERVER: Final = "bethink"
#: Events that each assistant is asked to call us for. Gemini counts its time-outs in milliseconds, the others in seconds.
_CLAUDE_EVENTS: Final = {
    "SessionStart": 10,
    "UserPromptSubmit": 5,
    "Stop": 10,
    "SubagentStop": 10,
    "PreCompact": 10,
    "PostCompact": 10,
    "SessionEnd": None,
    "PermissionRequest": 5,
}
_CODEX_EVENTS: Final = ("SessionStart", "UserPromptSubmit", "Stop", "SubagentStop", "PreCompact", "PostCompact", "PermissionRequest")
_GEMINI_EVENTS: Final = ("SessionStart", "BeforeAgent", "AfterAgent", "PreCompress", "SessionEnd")
_CURSOR_EVENTS: Final = ("sessionStart", "beforeSubmitPrompt", "afterAgentResponse", "preCompact", "sessionEnd")
_PERMISSION_MATCHER: Final = "|".join(sorted(f"mcp__{SERVER}__{tool}" for tool in APPROVED_TOOLS))


def changes(host: str, scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    """The files of `host` as they should be, also those that are so already."""
    writer: Callable[[ScopeName, Command, Place], Iterator[FileChange]] = {
        "claude": _claude,
        "codex": _codex,
        "gemini": _gemini,
        "cursor": _cursor,
        "opencode": _opencode,
        "claude-desktop": _claude_desktop,
        "vscode": _vscode,
    }[host]
    return writer(scope, command, place)


def _claude(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    root = place.root("claude")
    user_settings = root / "settings.json"
    if _plugin_enabled(user_settings):
        # The plugin brings server and hooks; a second set would tell everything twice.
        return
    server = {"type": "stdio", "command": command[0], "args": [*command[1:], "mcp"]}
    if scope == "project":
        folder = _project(place)
        yield _json(folder / ".mcp.json", "MCP server", [(("mcpServers", SERVER), server)])
        settings = folder / ".claude" / "settings.json"
    else:
        state = root / ".claude.json" if place.env.get("CLAUDE_CONFIG_DIR") else place.home / ".claude.json"
        yield _json(state, "MCP server", [(("mcpServers", SERVER), server)])
        settings = user_settings
    entries = {}
    for event, timeout in _CLAUDE_EVENTS.items():
        handler: dict[str, Any] = {"type": "command", "command": command[0], "args": [*command[1:], "hook", "claude"]}
        handler |= {"timeout": timeout} if timeout else {}
        entries[event] = {"matcher": _PERMISSION_MATCHER, "hooks": [handler]} if event == "PermissionRequest" else {"hooks": [handler]}
    if place.env.get("MEMORY_HOOK_ON_FAILURE", "") not in ("", "0"):
        entries["PostToolUseFailure"] = entries["UserPromptSubmit"]
    yield _hooks(settings, "claude", entries)


def _codex(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    folder = _project(place) / ".codex" if scope == "project" else place.root("codex")
    server: dict[str, Any] = {"command": command[0], "args": [*command[1:], "mcp"]}
    if forwarded := _settings_in(place.env):
        # Codex starts servers with hardly a variable, and hooks with all of them: both must find the same memory.
        server["env_vars"] = forwarded
    yield _toml(folder / "config.toml", "MCP server", ("mcp_servers", SERVER), server)
    entries: dict[str, Any] = {}
    for event in _CODEX_EVENTS:
        handler = {"type": "command", "command": _shell((*command, "hook", "codex"), place), "timeout": 10}
        entries[event] = {"matcher": _PERMISSION_MATCHER, "hooks": [handler]} if event == "PermissionRequest" else {"hooks": [handler]}
    yield _hooks(folder / "hooks.json", "codex", entries)


def _gemini(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    path = (_project(place) / ".gemini" if scope == "project" else place.root("gemini")) / "settings.json"
    handler = {"type": "command", "command": _shell((*command, "hook", "gemini"), place), "name": SERVER, "timeout": 5000}
    server = {"command": command[0], "args": [*command[1:], "mcp"]}
    text = read_text(path)
    text = _edited(path, text, [(("mcpServers", SERVER), server)])
    text = _hooked(path, text, "gemini", {event: {"hooks": [handler]} for event in _GEMINI_EVENTS})
    yield _change(path, text, "MCP server and hooks")


def _cursor(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    folder = _project(place) / ".cursor" if scope == "project" else place.root("cursor")
    server = {"command": command[0], "args": [*command[1:], "mcp"]}
    yield _json(folder / "mcp.json", "MCP server", [(("mcpServers", SERVER), server)])
    path = folder / "hooks.json"
    text = read_text(path)
    if not (text or "").strip():
        text = '{\n  "version": 1\n}\n'
    handler = {"command": _shell((*command, "hook", "cursor"), place)}
    yield _change(path, _hooked(path, text, "cursor", dict.fromkeys(_CURSOR_EVENTS, handler)), "hooks")


def _opencode(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    root = place.root("opencode")
    if scope == "project":
        config, plugins = _project(place) / "opencode.json", _project(place) / ".opencode" / "plugins"
    else:
        config, plugins = root / "opencode.json", root / "plugins"
    if config.with_suffix(".jsonc").exists():
        config = config.with_suffix(".jsonc")
    server = {"type": "local", "command": [*command, "mcp"], "enabled": True}
    yield _json(config, "MCP server", [(("mcp", SERVER), server)])
    source = files("bethink.hosts").joinpath("opencode_plugin.ts").read_text("utf-8")
    script = source.replace('["bethink"]', json.dumps(list(command)), 1)
    path = plugins / "bethink.ts"
    before = read_text(path)
    if before is not None and "bethink hook opencode" not in before:
        raise ConfigError(f"{path} is somebody else's.", hint="Move it aside and repeat; it was left alone.")
    yield FileChange(path, None if before is None else before.encode(), script.encode(), "plug-in with the hooks")


def _claude_desktop(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    server = {"command": command[0], "args": [*command[1:], "mcp"]}
    yield _json(place.root("claude-desktop") / "claude_desktop_config.json", "MCP server", [(("mcpServers", SERVER), server)])


def _vscode(scope: ScopeName, command: Command, place: Place) -> Iterator[FileChange]:
    path = (_project(place) / ".vscode" if scope == "project" else place.root("vscode")) / "mcp.json"
    server = {"type": "stdio", "command": command[0], "args": [*command[1:], "mcp"]}
    yield _json(path, "MCP server", [(("servers", SERVER), server)])


def _settings_in(env: Mapping[str, str]) -> list[str]:
    """The names of our settings that are set."""
    return sorted({name for setting in SETTINGS for name in (setting.name, *setting.aliases) if env.get(name)})


def _project(place: Place) -> Path:
    assert place.project is not None
    return place.project


def _plugin_enabled(settings: Path) -> bool:
    text = read_text(settings)
    tree = _tree(settings, text) if text and text.strip() else None
    enabled = tree.get("enabledPlugins") if isinstance(tree, dict) else None
    return isinstance(enabled, Mapping) and any(name.startswith(f"{SERVER}@") and state for name, state in enabled.items())


def _json(path: Path, purpose: str, values: list[tuple[tuple[str, ...], Any]]) -> FileChange:
    return _change(path, _edited(path, read_text(path), values), purpose)


def _hooks(path: Path, host: str, entries: Mapping[str, Any]) -> FileChange:
    return _change(path, _hooked(path, read_text(path), host, entries), "hooks")


def _edited(path: Path, text: str | None, values: list[tuple[tuple[str, ...], Any]]) -> str:
    """The JSON of `path` with values put in."""
    text = _started(path, text)
    try:
        for where, value in values:
            there = jsonc.find(jsonc.parse(text), where)
            # What a person added to our entry, such as an environment, stays.
            kept = {**there.value, **value} if there is not None and isinstance(there.value, dict) else value
            text = jsonc.put(text, where, kept)
    except jsonc.JsoncError as error:
        raise _form(path, error) from None
    return text


def _hooked(path: Path, text: str | None, host: str, entries: Mapping[str, Any]) -> str:
    """The JSON of `path` with one entry under each event of ``hooks``; an older entry of ours is replaced."""
    text = _started(path, text)
    try:
        for event, entry in entries.items():
            there = jsonc.find(jsonc.parse(text), ("hooks", event))
            present = there.value if there is not None and isinstance(there.value, list) else []
            ours = [place for place, value in enumerate(present) if _ours(value, host)]
            text = jsonc.put(text, ("hooks", event, ours[0]), entry) if ours else jsonc.append(text, ("hooks", event), entry)
    except jsonc.JsoncError as error:
        raise _form(path, error) from None
    return text


def _ours(entry: Any, host: str) -> bool:
    """Is this hook entry one that we wrote: nothing in it but our own command."""
    if not isinstance(entry, dict):
        return False
    handlers = entry.get("hooks", [entry])
    if not isinstance(handlers, list) or len(handlers) != 1 or not isinstance(handlers[0], dict):
        return False
    arguments = handlers[0].get("args")
    words = [str(handlers[0].get("command", ""))] + ([str(word) for word in arguments] if isinstance(arguments, list) else [])
    line = " ".join(words).replace('"', "").replace("'", "")
    return line.endswith(f"hook {host}") and SERVER in line


def _started(path: Path, text: str | None) -> str:
    if text is None or not text.removeprefix("\ufeff").strip():
        return "{}\n"
    if not isinstance(_tree(path, text), dict):
        raise ConfigError(f"{path} does not hold a JSON object.", hint="It was left alone.")
    return text


def _tree(path: Path, text: str) -> Any:
    try:
        return jsonc.parse(text).value
    except jsonc.JsoncError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.", hint="Repair it first; it was left alone.") from None


def _form(path: Path, error: jsonc.JsoncError) -> ConfigError:
    return ConfigError(f"{path} has another form than expected: {error}.", hint="It was left alone.")


def _change(path: Path, after: str, purpose: str) -> FileChange:
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        before = None
    return FileChange(path, before, after.encode(), purpose)


def _toml(path: Path, purpose: str, where: tuple[str, str], values: Mapping[str, Any]) -> FileChange:
    text = read_text(path) or ""
    try:
        document = tomlkit.parse(text)
        before = tomllib.loads(text)
    except (TOMLKitError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", hint="Repair it first; it was left alone.") from None
    group, name = where
    present = before.get(group, {}).get(name, {}) if isinstance(before.get(group, {}), dict) else None
    if not isinstance(present, dict):
        raise ConfigError(f"{path} has another form than expected: {group}.{name} is not a table.", hint="It was left alone.")
    if all(present.get(key) == value for key, value in values.items()):
        return FileChange(path, text.encode() if path.exists() else None, text.encode(), purpose)
    if group not in document:
        document[group] = tomlkit.table(is_super_table=True)
    tables: Any = document[group]
    if name not in tables:
        tables[name] = tomlkit.inline_table() if isinstance(tables, InlineTable) else tomlkit.table()
    for key, value in values.items():
        tables[name][key] = value
    after = tomlkit.dumps(document)
    expected = {**before, group: {**before.get(group, {}), name: {**present, **values}}}
    if tomllib.loads(after) != expected:
        raise ConfigError(f"{path} cannot be edited without changing something else in it.", hint="It was left alone.")
    return FileChange(path, path.read_bytes() if path.exists() else None, after.encode(), purpose)


def _shell(command: Command, place: Place) -> str:
    return subprocess.list2cmdline(command) if place.platform == "win32" else shlex.join(command)
