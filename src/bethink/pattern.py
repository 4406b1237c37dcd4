"""Patterns that are compiled only for a text that they may match. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

#: Checksum of a rule → its hints, written by `scripts/hints.py`; a rule that was changed since has none and is asked always.
_HINTS = dict(line.split("\t", 1) for line in Path(__file__).with_name("hints.txt").read_text("utf-8").splitlines())


def checksum(pattern: str) -> str:
    """What names a rule in the file of hints."""
    return f"{crc32(pattern.encode('utf-8')):08x}"


class Pattern:
    """A regular expression that is compiled when a text holds a word of each of its hints: without them it cannot match.

    Compiling all takes longer than storing a memory. With `ignore_case`, hints are looked for in the text in lower case.
    """

    __slots__ = ("_compiled", "_needs", "flags", "source")

    def __init__(self, source: str, *, ignore_case: bool = False) -> None:
        self.source = source
        self.flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0)
        hints = _HINTS.get(checksum(source), "")
        self._needs = [words.split("|") for words in hints.split("\t")] if hints else []
        self._compiled: re.Pattern[str] | None = None

    def may_match(self, text: str) -> bool:
        """Whether the text holds what any match holds."""
        for words in self._needs:
            for word in words:
                if word in text:
                    break
            else:
                return False
        return True

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As `re.finditer`."""
        return self._made().finditer(text) if self.may_match(text) else iter(())

    def search(self, text: str) -> re.Match[str] | None:
        """As `re.search`."""
        return self._made().search(text) if self.may_match(text) else None

    def replaced(self, into: str, text: str, low: str) -> str:
        """As `re.sub`; `low` is the text in lower case."""
        return self._made().sub(into, text) if self.may_match(low) else text

    def _made(self) -> re.Pattern[str]:
        if self._compiled is None:
            self._compiled = re.compile(self.source, self.flags)
        return self._compiled
