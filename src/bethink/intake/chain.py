"""Which models are asked, in which order: as the settings say, those that answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bethink.intake.models import ClaudeCode, Endpoint, Model

if TYPE_CHECKING:
    from bethink.config import Settings


def models_of(settings: Settings, *, model: str | None = None, claude: bool | None = None, seconds: float | None = None) -> list[Model]:
    """The chain: Claude Code where it is allowed, then the endpoint. Those that do not answer now are left out.

    Args:
        model: instead of DISTILL_MODEL.
        claude: ask `claude -p` first; None as DISTILL_CLAUDE says.
        seconds: most time for one answer; None as DISTILL_TIMEOUT says.
    """
    limit = seconds if seconds is not None else float(settings["DISTILL_TIMEOUT"])
    chain: list[ClaudeCode | Endpoint] = []
    if claude if claude is not None else settings["DISTILL_CLAUDE"]:
        chain.append(ClaudeCode(seconds=limit))
    if settings["OLLAMA_URL"]:
        chain.append(Endpoint(settings["OLLAMA_URL"], model or settings["DISTILL_MODEL"], key=settings["DISTILL_API_KEY"], seconds=limit))
    return [each for each in chain if each.answers()]
