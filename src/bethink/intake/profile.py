"""Preferences in tiers, and a page about how the user works that can be kept in an assistant's own memory file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bethink.intake.documents import PROFILE_BEGIN, PROFILE_END
from bethink.model import Filter, Memory
from bethink.project import short
from bethink.scan import visible
from bethink.service.drafts import LEARNED

if TYPE_CHECKING:
    from bethink.service.memories import Memories

TIERS: Final = ("explicit", "signals", "inferred")
#: What a tier's word is worth; a candidate is worth half.
_CONFIDENCE: Final = {"explicit": 1.0, "signals": 0.7, "inferred": 0.5}
_LOOKED_AT: Final = 1000
_MOST: Final = 12


@dataclass(frozen=True, slots=True)
class Preference:
    """One preference, pattern or behaviour, and how sure we are of it, 0..1."""

    tier: str
    memory: Memory
    confidence: float

    def shape(self) -> dict[str, Any]:
        memory = self.memory
        return {
            "id": memory.id,
            "text": memory.content,
            "category": memory.category,
            "confidence": self.confidence,
            "source": memory.source,
            "status": memory.status,
            "project": memory.scope.project,
        }


def preferences(memories: Memories, project: str | None = None, *, everywhere: bool = False) -> list[Preference]:
    """Explicit ones first, then those from signals, then what was inferred; surest first in each tier."""
    where = Filter(reach=memories.reach(project, everywhere=everywhere), statuses=("active", "candidate"), archive=False)
    found = []
    for category in ("preferences", "behaviors"):
        page = memories.list(replace(where, category=category), limit=_LOOKED_AT)
        found += [_placed(memory) for memory in page.memories]
    return sorted(found, key=lambda one: (TIERS.index(one.tier), -one.confidence, -one.memory.created_at.timestamp()))


def _placed(memory: Memory) -> Preference:
    accepted = memory.trust == "user_stated" and memory.status == "active"
    tier = "signals" if memory.source == "signals" else "inferred" if memory.source in LEARNED else "explicit"
    if tier != "explicit" and accepted:
        # A person confirmed it.
        return Preference(tier, memory, 0.95)
    sure = _CONFIDENCE[tier] * (0.5 if memory.status == "candidate" else 1.0)
    if tier == "explicit" and memory.trust != "user_stated":
        sure = 0.8
    return Preference(tier, memory, round(sure, 2))


def shape(found: Sequence[Preference]) -> list[dict[str, Any]]:
    """By tier: [{"category": "explicit", "items": [{"text", "confidence", "source", …}]}, …]"""
    return [{"category": tier, "items": [one.shape() for one in found if one.tier == tier]} for tier in TIERS]


def page(memories: Memories, project: str | None = None) -> str:
    """What is known about how the user works, as Markdown; "" when nothing is. Candidates are only counted."""
    found = preferences(memories, project)
    sections = []
    for title, tier in (("Said by the user", "explicit"), ("From corrections", "signals"), ("Inferred and confirmed", "inferred")):
        # What stands in a file already is not written into one again.
        listed = [one for one in found if one.tier == tier and one.memory.status == "active" and one.memory.source != "file"]
        if listed:
            sections.append((title, [one.memory for one in listed[:_MOST]]))
    where = Filter(reach=memories.reach(project), category="patterns", archive=False)
    if patterns := memories.list(where, limit=_MOST).memories:
        sections.append(("How work is done", list(patterns)))
    if not sections:
        return ""
    name = project or memories.here.project
    lines = [f"## How the user works{f' ({short(name)})' if name else ''}", ""]
    for title, listed_ in sections:
        lines += [f"### {title}", "", *(f"- {_line(memory)}" for memory in listed_), ""]
    waiting = sum(one.memory.status == "candidate" for one in found)
    if waiting:
        lines += [f"{waiting} more wait for a confirmation (`bethink review`).", ""]
    return "\n".join(lines)


def _line(memory: Memory) -> str:
    plain = visible(" ".join(memory.content.split())).replace("<!--", "< !--").replace("-->", "-- >")
    return plain if len(plain) <= 400 else plain[:399] + "…"


def patched(before: str, body: str) -> str:
    """A file's text with our section replaced, added at its end, or taken out when `body` is empty."""
    start = before.find(PROFILE_BEGIN)
    section = f"{PROFILE_BEGIN}\n{body.strip()}\n{PROFILE_END}\n" if body.strip() else ""
    if start < 0:
        gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
        return before + gap + section if section else before
    end = before.find(PROFILE_END, start)
    rest = before[end + len(PROFILE_END) :].removeprefix("\n") if end >= 0 else ""
    head = before[:start]
    if not section:
        head = head.rstrip("\n") + "\n" if head.strip() else ""
    return head + section + rest


def difference(before: str, after: str, name: str) -> str:
    """What would change, as a unified diff."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
    return "\n".join(lines)


def write(path: Path, content: str) -> None:
    """Replaces a file at once, keeping its permissions; a link is followed."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_text(content, "utf-8", newline="")
    temporary.chmod(mode)
    temporary.replace(target)
