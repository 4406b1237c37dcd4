"""Tools under the names and in the shapes of systems that people come from: thin aliases over the same service.

Ids are Bethink's; memories are found across projects only where the alias asks for it. Answers are text, as there.
"""

from __future__ import annotations

import json
from typing import Any

from bethink.front.mcp.table import Answer


def as_json(value: Any, indent: int | None = None) -> Answer:
    """A value as the text of an answer."""
    return Answer(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def fallen_short(text: str, length: int) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[:length] + "..."
