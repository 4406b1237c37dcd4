"""What is read rather than called: the brief, a memory by id; and the two prompts that people pick from a menu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from bethink.errors import BethinkError, NotFound
from bethink.front.mcp import tools

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from bethink.front.mcp.desk import Desk
    from bethink.front.mcp.table import Answer, Json, Run


def register(server: MCPServer[Any], desk: Desk) -> None:
    """Adds resources and prompts to a server."""

    @server.resource(
        "memory://context", name="context", title="Brief", description="What to know here before starting.", mime_type="text/plain"
    )
    def context() -> str:
        return _read(tools.context, desk, {}).text

    @server.resource("memory://memory/{id}", name="memory", title="One memory", description="One memory by its id.", mime_type="text/plain")
    def memory(id: str) -> str:
        return _read(tools.get, desk, {"id": id}).text

    @server.prompt(name="remember", title="Remember", description="Keep something for later sessions.")
    def remember(what: str = "") -> str:
        wanted = (
            f"this: {what}"
            if what
            else "what in this conversation will matter later: preferences, decisions with their reasons, corrections"
        )
        return (
            f"Remember {wanted}\n\nLook with memory_recall whether it is known already. Then store each fact by memory_store: one sentence "
            "that is clear on its own, the right category, other words for it in expanded_keywords. Say what you stored in one line each."
        )

    @server.prompt(name="recall", title="Recall", description="Look something up in memory.")
    def recall(question: str) -> str:
        return (
            f"Look up in memory: {question}\n\nUse memory_recall with the whole question and synonyms in expanded_query. Answer from what "
            "it finds, name the ids you used and how old they are, and say so when nothing is known."
        )


def _read(run: Run, desk: Desk, given: Json) -> Answer:
    try:
        return run(desk, given)
    except NotFound as error:
        raise ResourceNotFoundError(f"{error.message} {error.hint}".strip()) from error
    except BethinkError as error:
        raise ResourceError(f"{error.message} {error.hint}".strip()) from error
