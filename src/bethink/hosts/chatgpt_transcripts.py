"""The export of ChatGPT: ``conversations.json``. Offsets count conversations.

A conversation is a tree (`mapping`); its live branch is the path from `current_node` up to the root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bethink.hosts.base import text
from bethink.hosts.documents import conversations
from bethink.hosts.transcripts import Skipped, TranscriptFile, Turn, call, instant, said, without_ours
from bethink.hosts.weave import Weaver

HOST: Final = "chatgpt"
#: Content that describes the user or the model's thinking instead of being said.
_UNSAID: Final = ("user_editable_context", "model_editable_context", "thoughts", "reasoning_recap")


def discover(home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
    """None: an export is where its owner put it."""
    return []


def read(path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
    """See `Reader.read`. An export is always complete."""
    for place, value in enumerate(conversations(path)):
        if isinstance(value, Skipped):
            yield value
        elif place >= offset:
            yield from _conversation(value, place)


def _conversation(value: Any, place: int) -> Iterator[Turn | Skipped]:
    mapping = value.get("mapping") if isinstance(value, dict) else None
    if not isinstance(mapping, dict):
        yield Skipped("not a conversation", place, place + 1, place + 1, broken=True)
        return
    session = text(value.get("id")) or text(value.get("conversation_id")) or f"conversation {place}"
    weaver = Weaver(HOST)
    # While a conversation is not out, the floor must stay before it.
    found: list[Turn | Skipped] = []
    branch = _branch(mapping, text(value.get("current_node")))
    for node in branch:
        reason = _take(weaver, mapping[node], session, node, text(value.get("title")), place)
        found.extend(weaver.ready(place))
        if reason:
            found.append(Skipped(reason, place, place + 1, place))
    found.extend(weaver.finish(place, True))
    found.extend(
        Skipped("other branch", place, place + 1, place) for node in mapping if node not in set(branch) and _message(mapping[node])
    )
    if not found:
        found.append(Skipped("empty conversation", place, place + 1, place))
    yield from found[:-1]
    yield replace(found[-1], resume=place + 1)


def _take(weaver: Weaver, node: Any, session: str, name: str, title: str, place: int) -> str:
    message = _message(node)
    if not message:
        return ""
    author = message.get("author")
    role = text(author.get("role")) if isinstance(author, dict) else ""
    content = message.get("content")
    body = content if isinstance(content, dict) else {}
    kind = text(body.get("content_type"))
    metadata = message.get("metadata")
    details = metadata if isinstance(metadata, dict) else {}
    if details.get("is_visually_hidden_from_conversation") is True or kind in _UNSAID:
        return "hidden"
    words = _words(body)
    facts = {
        "session": session,
        "uuid": text(message.get("id")) or name,
        "at": instant(message.get("create_time")),
        "title": title,
        "model": text(details.get("model_slug")),
    }
    if role == "user":
        clean = said(words)
        if not clean:
            return "empty"
        weaver.strand("", "", "user", place, place + 1, **facts).say(clean)
        weaver.close("")
        return ""
    if role == "assistant":
        recipient = text(message.get("recipient")) or "all"
        if recipient != "all":
            strand = weaver.current("") or weaver.strand("", "", "assistant", place, place + 1, **facts)
            weaver.called(strand, recipient, call(recipient, words))
            return ""
        if not words.strip():
            return "empty"
        weaver.strand("", "", "assistant", place, place + 1, **facts).say(without_ours(words))
        return ""
    if role == "tool":
        # A tool's message has the tool's name as its author; the call that waits under that name is the one.
        name_of = text(author.get("name")) if isinstance(author, dict) else ""
        return "" if weaver.result(name_of, words, place + 1) else "tool result without its call"
    return f"role {role[:40] or '?'}"


def _branch(mapping: dict[str, Any], current: str) -> list[str]:
    """The nodes from the root to `current`, or to the leaf that was said last when there is no such node."""
    if current not in mapping:
        leaves = [name for name, node in mapping.items() if isinstance(node, dict) and not node.get("children")]
        current = max(leaves, key=lambda name: (_time(mapping[name]), name), default="")
    path: list[str] = []
    seen: set[str] = set()
    while current in mapping and current not in seen:
        seen.add(current)
        path.append(current)
        node = mapping[current]
        current = text(node.get("parent")) if isinstance(node, dict) else ""
    return path[::-1]


def _time(node: Any) -> float:
    at = _message(node).get("create_time")
    return float(at) if isinstance(at, int | float) else 0.0


def _message(node: Any) -> dict[str, Any]:
    message = node.get("message") if isinstance(node, dict) else None
    return message if isinstance(message, dict) else {}


def _words(content: dict[str, Any]) -> str:
    parts = content.get("parts")
    if isinstance(parts, list):
        texts = [part if isinstance(part, str) else text(part.get("text")) if isinstance(part, dict) else "" for part in parts]
        return "\n".join(part for part in texts if part)
    return text(content.get("text"))
