"""What transcript readers share: turns, where a reader stopped, complete lines of a growing file, and what is noise.

A reader is a module with ``discover`` and ``read`` (`Reader`). Readers stream: memory is bounded by the longest line,
not by the file. Formats are other people's and change: what is unknown is skipped and counted, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol, cast

from bethink.errors import InvalidInput

Role = Literal["user", "assistant", "summary"]

#: A longer line is passed over in pieces; parsing it would cost several times its size in memory.
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
#: Of a longer tool input or result, head and tail are kept.
MAX_TOOL_CHARACTERS: Final = 32_000
#: A file that nobody wrote to for so long is taken to be at rest: its last turn is complete.
QUIET_SECONDS: Final = 600
_HEAD_BYTES: Final = 1024

#: Module of each kind of transcript; the key is also the word of `bethink import --KEY`.
READERS: Final[Mapping[str, str]] = {
    "claude-code": "claude_transcripts",
    "codex": "codex_transcripts",
    "gemini": "gemini_transcripts",
    "cursor": "cursor_transcripts",
    "opencode": "opencode_transcripts",
    "copilot": "copilot_transcripts",
    "claude-ai": "claude_ai_transcripts",
    "chatgpt": "chatgpt_transcripts",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One use of a tool. `result` is None when the transcript has none; texts may be clipped in the middle."""

    name: str
    input: Any = None
    result: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `start` and `end` are its place in the file (bytes, or the reader's own unit)."""

    host: str
    session: str
    #: Stable over repeated reading of the same transcript; "" never.
    uuid: str
    role: Role
    text: str
    start: int
    end: int
    #: Where to go on after this turn without losing anything.
    resume: int
    at: datetime | None = None
    cwd: str = ""
    branch: str = ""
    #: The project's git remote, where the transcript knows it.
    remote: str = ""
    tools: tuple[ToolCall, ...] = ()
    #: Not said in the main conversation; a "user" there is another model.
    sidechain: bool = False
    agent_id: str = ""
    model: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the file that is no turn. `broken` says that it should have been readable."""

    reason: str
    start: int
    end: int
    resume: int
    broken: bool = False


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """A transcript that can be read."""

    host: str
    path: Path
    session: str = ""
    agent_id: str = ""
    size: int = 0
    #: Seconds since the epoch.
    modified: float = 0.0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stopped, and enough to tell whether it is still the same file."""

    offset: int
    size: int
    modified: float
    #: SHA-256 of the first bytes, and how many they were.
    head: str
    head_bytes: int

    @classmethod
    def of(cls, path: Path, offset: int) -> Position:
        """The position `offset` in the file as it is now."""
        status = path.stat()
        count = min(_HEAD_BYTES, status.st_size)
        return cls(offset, status.st_size, status.st_mtime, _head(path, count), count)

    def unchanged(self, path: Path) -> bool:
        """Is there nothing new since?"""
        status = path.stat()
        if status.st_size != self.size or self.offset < self.size:
            return False
        return status.st_mtime == self.modified or _head(path, self.head_bytes) == self.head

    def resume(self, path: Path) -> int:
        """The offset to go on from: 0 when the file was replaced or cut."""
        if path.stat().st_size < self.offset or _head(path, self.head_bytes) != self.head:
            return 0
        return self.offset


class Reader(Protocol):
    """A module that reads one assistant's transcripts."""

    def discover(self, home: Path | None = None, env: Mapping[str, str] = os.environ) -> list[TranscriptFile]:
        """The transcripts on this machine, oldest first. `home` is the user's home folder."""

    def read(self, path: Path, offset: int = 0, settled: bool | None = None) -> Iterator[Turn | Skipped]:
        """Turns and what was passed over, from `offset` on (a `resume` of earlier reading, or 0).

        A turn that may still grow is held back unless `settled`; None judges by the file's age.

        Raises:
            OSError: the file cannot be read.
        """


def reader(kind: str) -> Reader:
    """The reader for `kind`, a key of READERS.

    Raises:
        InvalidInput: there is none.
    """
    if kind not in READERS:
        raise InvalidInput(f"No transcripts of {kind!r} can be read.", hint="Choose one of: " + ", ".join(READERS) + ".")
    return cast("Reader", import_module(f"bethink.hosts.{READERS[kind]}"))


def found(host: str, path: Path, session: str = "", agent_id: str = "") -> TranscriptFile | None:
    """`path` as a TranscriptFile; None when it went away or is empty."""
    try:
        status = path.stat()
    except OSError:
        return None
    return TranscriptFile(host, path, session or path.stem, agent_id, status.st_size, status.st_mtime) if status.st_size else None


def oldest_first(files: Iterator[TranscriptFile | None]) -> list[TranscriptFile]:
    """The files that exist, in the order they were last written."""
    return sorted((file for file in files if file), key=lambda file: (file.modified, str(file.path)))


def at_rest(path: Path, settled: bool | None) -> bool:
    """Is the last turn of the file complete?"""
    return settled if settled is not None else time.time() - path.stat().st_mtime > QUIET_SECONDS


def lines(file: IO[bytes], offset: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Start, end and bytes of each complete line from `offset` on; None instead of bytes for one that is too long.

    A last line without a newline counts as complete when it is a whole JSON value; otherwise it is still being written.
    """
    _advance(file, offset)
    start = offset
    while line := file.readline(MAX_LINE_BYTES):
        end = start + len(line)
        if not line.endswith(b"\n"):
            if len(line) < MAX_LINE_BYTES:
                if _whole(line):
                    yield start, end, line
                return
            piece = line
            while piece and not piece.endswith(b"\n"):
                piece = file.readline(MAX_LINE_BYTES)
                end += len(piece)
            if not piece:
                return
            yield start, end, None
        elif line.strip():
            yield start, end, line
        start = end


def instant(value: Any) -> datetime | None:
    """A moment in UTC from ISO 8601 text, or from seconds or milliseconds since 1970; None when it is neither."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # No transcript is from before 1970-04-26, so what is larger than 1e10 counts milliseconds.
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e10 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def clip(text: str) -> str:
    """`text` with its middle left out when it is longer than MAX_TOOL_CHARACTERS."""
    if len(text) <= MAX_TOOL_CHARACTERS:
        return text
    half = MAX_TOOL_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def clipped(value: Any) -> Any:
    """A tool's input with long texts clipped, at any depth."""
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, Mapping):
        return {key: clipped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clipped(item) for item in value]
    return value


def blocks_text(content: Any, kinds: tuple[str, ...] = ("text",)) -> str:
    """The text of a message's content, which is text or a list of typed blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [block if isinstance(block, str) else block.get("text") for block in content if _is_text(block, kinds)]
    return "\n".join(part for part in parts if isinstance(part, str))


#: What assistants' programs write into the words of a user.
_NOISE: Final = frozenset(
    (
        "system-reminder",
        "local-command-stdout",
        "local-command-stderr",
        "local-command-caveat",
        "session-start-hook",
        "user-prompt-submit-hook",
        "ide_opened_file",
        "ide_selection",
        "ide_diagnostics",
        "command-message",
        "command-contents",
        "task-notification",
        "bash-stdout",
        "bash-stderr",
        "environment_context",
        "user_instructions",
        "INSTRUCTIONS",
    )
)
_WRAPPERS: Final = ("<user_query>", "</user_query>", "<command-args>", "</command-args>")
_TAG: Final = re.compile(r"<([A-Za-z][\w-]{1,40})(?:\s[^<>]{0,200})?>")
#: What Claude Code adds below a notification.
_ADDED: Final = re.compile(r"^(?:Read the output file to retrieve the (?:result|output)|Full transcript available at): \S+$", re.MULTILINE)
_INTERRUPTED: Final = re.compile(r"\[Request interrupted by user[^\]]{0,80}\]")


def said(text: str, noise: frozenset[str] = frozenset()) -> str:
    """What a person really wrote: without what programs put around it and without what we injected ourselves.

    `noise` names more tags whose content is not the person's. A slash command
    keeps its name and words when it has words; alone it is not worth keeping.
    """
    text = without_ours(text)
    if text.startswith("# AGENTS.md instructions for "):
        return ""
    if "<" in text:
        if "<task-notification>" in text:
            text = _ADDED.sub("", text)
        text, command = _without_blocks(text, _NOISE | noise)
        for wrapper in _WRAPPERS:
            text = text.replace(wrapper, "")
        text = text.strip()
        if command and text:
            text = f"/{command.lstrip('/')} {text}" if len(text.split()) > 1 else ""
    return _INTERRUPTED.sub("", text).strip()


def _without_blocks(text: str, noise: frozenset[str]) -> tuple[str, str]:
    """`text` without noise blocks, and the name of the slash command in it, in one pass over the text."""
    kept: list[str] = []
    command = ""
    unclosed: set[str] = set()
    place = 0
    for tag in _TAG.finditer(text):
        name = tag[1]
        if tag.start() < place or name in unclosed or (name not in noise and name != "command-name"):
            continue
        end = text.find(f"</{name}>", tag.end())
        if end < 0:
            # Not searched for again, or a text full of opening tags would take quadratic time.
            unclosed.add(name)
            continue
        if name == "command-name":
            command = command or text[tag.end() : end].strip()
        kept.append(text[place : tag.start()])
        place = end + len(name) + 3
    return "".join((*kept, text[place:])), command


def without_ours(text: str) -> str:
    """`text` without the blocks that Bethink injected."""
    from bethink.render import strip_injected

    return strip_injected(text).strip()


_OWN_TOOL: Final = re.compile(r"(?:\A|__|\.|-)(?:memory_(?:recall|get|list|context|search)|secret_get|bethink_recall)\Z")


def call(name: Any, arguments: Any) -> ToolCall:
    """A use of a tool; `arguments` may be JSON in a text."""
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return ToolCall(name if isinstance(name, str) else "", clipped(arguments))


def answered(use: ToolCall, result: str, is_error: bool = False) -> ToolCall:
    """`use` with its result. What our own tools recalled is left out: memories must not feed on themselves."""
    text = "" if _OWN_TOOL.search(use.name) else clip(without_ours(result))
    return ToolCall(use.name, use.input, text, is_error)


def _is_text(block: Any, kinds: tuple[str, ...]) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and block.get("type") in kinds)


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _advance(file: IO[bytes], offset: int) -> None:
    if not offset:
        return
    try:
        file.seek(offset)
    except OSError:
        # A compressed stream cannot be entered in the middle.
        while offset > 0 and (piece := file.read(min(offset, 1 << 20))):
            offset -= len(piece)


def _head(path: Path, count: int) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(count)).hexdigest()
