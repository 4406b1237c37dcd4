"""Which tools a server shows: ours, more of ours, or exactly those of a system that people come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bethink.errors import InvalidInput
from bethink.front.mcp.table import Tool


def _default() -> tuple[Tool, ...]:
    from bethink.front.mcp import tools

    return tools.TOOLS


def _curate() -> tuple[Tool, ...]:
    from bethink.front.mcp import curate

    return (*_default(), *curate.TOOLS)


def _team() -> tuple[Tool, ...]:
    from bethink.front.mcp import team

    return team.TOOLS


def _connector() -> tuple[Tool, ...]:
    from bethink.front.mcp import connector

    return connector.TOOLS


def _claude_memory_mcp() -> tuple[Tool, ...]:
    from bethink.front.mcp.compat import claude_memory_mcp

    return claude_memory_mcp.TOOLS


def _claude_memory() -> tuple[Tool, ...]:
    from bethink.front.mcp.compat import claude_memory

    return claude_memory.TOOLS


def _local_memory_server() -> tuple[Tool, ...]:
    from bethink.front.mcp.compat import local_memory_server

    return local_memory_server.TOOLS


def _min_memory() -> tuple[Tool, ...]:
    from bethink.front.mcp.compat import min_memory, min_memory_graph

    return (*min_memory.TOOLS, *min_memory_graph.TOOLS)


def _all() -> tuple[Tool, ...]:
    """Everything; where two sets have a tool of one name, ours is meant."""
    return _unique(_team(), _curate(), _connector(), _claude_memory_mcp(), _claude_memory(), _local_memory_server(), _min_memory())


_SETS: dict[str, Callable[[], tuple[Tool, ...]]] = {
    "default": _default,
    "curate": _curate,
    "team": _team,
    "connector": _connector,
    "claude-memory-mcp": _claude_memory_mcp,
    "claude-memory": _claude_memory,
    "claude-local-memory-server": _local_memory_server,
    "min-memory": _min_memory,
    "all": _all,
}
NAMES = tuple(_SETS)


def named(name: str, *, served: bool = False) -> tuple[Tool, ...]:
    """The tools of a set in their fixed order.

    Args:
        served: by a server that keeps the memories of several people; claude-memory-mcp has more tools there.

    Raises:
        InvalidInput: there is no such set.
    """
    if name not in _SETS:
        raise InvalidInput(f"No toolset {name!r}.", hint=f"Choose one of: {', '.join(NAMES)}.")
    tools = _SETS[name]()
    if served and name in ("claude-memory-mcp", "all"):
        from bethink.front.mcp.compat import claude_memory_mcp_sharing

        return _unique(tools, claude_memory_mcp_sharing.TOOLS)
    return tools


def _unique(*sets: Iterable[Tool]) -> tuple[Tool, ...]:
    chosen: dict[str, Tool] = {}
    for tools in sets:
        for tool in tools:
            chosen.setdefault(tool.name, tool)
    return tuple(chosen.values())
