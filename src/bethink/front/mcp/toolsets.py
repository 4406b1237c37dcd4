"""Which tools a server shows: ours, more of ours, or exactly those of a system that people come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bethink.errors import InvalidInput
from bethink.front.mcp.table import Tool


def _default() -> tuple[Tool, ...]:
    from bethink.front.mcp import tools

    return tools.TOOLS


_SETS: dict[str, Callable[[], tuple[Tool, ...]]] = {
    "default": _default,
}
NAMES = tuple(_SETS)


def named(name: str) -> tuple[Tool, ...]:
    """The tools of a set in their fixed order.

    Raises:
        InvalidInput: there is no such set.
    """
    if name not in _SETS:
        raise InvalidInput(f"No toolset {name!r}.", hint=f"Choose one of: {', '.join(NAMES)}.")
    return _SETS[name]()


def _unique(*sets: Iterable[Tool]) -> tuple[Tool, ...]:
    """The tools of several sets; of two with one name, the first."""
    return tuple({tool.name: tool for tools in reversed(sets) for tool in tools}.values())
