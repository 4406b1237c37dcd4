"""Values out of one big JSON document, as a stream: exports are files of hundreds of megabytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import ijson

from bethink.hosts.transcripts import Skipped

_BOM: Final = b"\xef\xbb\xbf"


def items(path: Path, prefix: str) -> Iterator[Any]:
    """The values at `prefix` (ijson's notation); at the end one broken Skipped when the document is damaged."""
    with path.open("rb") as file:
        if file.read(3) != _BOM:
            file.seek(0)
        count = 0
        try:
            for value in ijson.items(file, prefix, use_float=True):
                count += 1
                yield value
        # A byte that is not UTF-8 and a number out of range are ValueErrors.
        except (ijson.JSONError, ValueError, OverflowError) as error:
            yield Skipped(f"broken document: {str(error).splitlines()[0][:80]}", count, count, count, broken=True)


def conversations(path: Path) -> Iterator[Any]:
    """The conversations of an export: a list of them, one alone, or a list under ``conversations``."""
    with path.open("rb") as file:
        first = _first(file)
    if first == b"[":
        yield from items(path, "item")
        return
    some = False
    for value in items(path, "conversations.item"):
        some = True
        yield value
    if not some:
        yield from items(path, "")


def _first(file: IO[bytes]) -> bytes:
    head = file.read(4096)
    return head.removeprefix(_BOM).lstrip()[:1]
