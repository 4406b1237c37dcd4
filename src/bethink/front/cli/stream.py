"""Many at once, for programs: one JSON object a line in, one answer a line out, in order and flushed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from bethink.errors import BethinkError, InvalidInput, StoreError
from bethink.front import fields, shapes
from bethink.front.cli import shown
from bethink.model import Scope
from bethink.service.memories import Memories

#: Longest line that is read: the longest content with every character escaped, and room for the rest.
MAX_LINE = 4 * 1024 * 1024
_STORE_TROUBLE = 3
Json = dict[str, Any]


def stdin() -> BinaryIO:
    return sys.stdin.buffer


def lines(source: BinaryIO, longest: int = MAX_LINE) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines without their end; None for one that is too long, which is skipped without being held."""
    number = 0
    while piece := source.readline(longest):
        number += 1
        if piece.endswith(b"\n") or len(piece) < longest:
            yield number, piece.rstrip(b"\r\n")
            continue
        rest = piece
        while rest and not rest.endswith(b"\n"):
            rest = source.readline(longest)
        # A line of exactly this length that the input ends with, or whose end came next, is whole.
        yield number, piece if rest in (b"", b"\n", b"\r\n") else None


def add(memories: Memories, source: BinaryIO, here: Scope, defaults: Json) -> int:
    """Stores each line's memory and answers once it is on disk; the exit code."""

    def store(given: Json) -> Json:
        fields.refuse_unknown(given, fields.DRAFT_FIELDS, exported=True)
        asked = {**defaults, **{name: value for name, value in given.items() if value is not None}}
        return shapes.stored(memories.remember(fields.draft_of(asked, here, memories.now(), source="cli")))

    return _each(source, store)


def recall(memories: Memories, source: BinaryIO, defaults: Json) -> int:
    """Answers each line's question; the exit code."""

    def ask(given: Json) -> Json:
        fields.refuse_unknown(given, fields.QUERY_FIELDS)
        if "query" not in given:
            raise InvalidInput("The query is missing.", hint='Ask with {"query": "…"}.')
        return shapes.recalled(memories.recall(fields.query_of(given, memories, defaults)))

    return _each(source, ask)


def _each(source: BinaryIO, answer: Callable[[Json], Json]) -> int:
    """Answers line by line; a line that cannot be answered gets its error and ends nothing."""
    code = 0
    for number, line in lines(source):
        try:
            if line is None:
                raise InvalidInput(f"The line is longer than {MAX_LINE:,} bytes.", hint="A memory holds at most 65,536 bytes; split it.")
            shape = {"line": number, **answer(fields.object_of(line))}
        except BethinkError as error:
            shape = {"line": number, **shapes.error(error)}
            if isinstance(error, StoreError):
                code = _STORE_TROUBLE
        except Exception as error:
            # One line must not cost the others, whatever is wrong with it.
            shape = {
                "line": number,
                "error": f"Unexpected {type(error).__name__}: {error}",
                "hint": "Please report it.",
                "code": "Unexpected",
            }
            code = _STORE_TROUBLE
        sys.stdout.write(shown.dumps(shape).encode("utf-8", "backslashreplace").decode() + "\n")
        sys.stdout.flush()
    return code
