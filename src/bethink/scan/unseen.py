"""Characters that show nothing or reorder what is shown, and the text without them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = frozenset("\u200e\u200f\u061c")
_ZERO_WIDTH = frozenset(
    "\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u180e\u00ad\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u206a\u206b\u206c\u206d\u206e\u206f"
)
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufe00"
    "-\ufe0f\U000e0000-\U000e01ef]"
)
_BLACK_FLAG = "\U0001f3f4"


def hidden(text: str) -> Iterator[tuple[int, str]]:
    """(offset, character) of every character that shows nothing or reorders what is shown, unless its neighbours give it a use:
    joiners and selectors in emoji, joiners in Arabic and Indic script, direction marks beside right-to-left letters, flags."""
    if text.isascii():
        return
    for match in _HIDDEN.finditer(text):
        at, char = match.start(), match[0]
        if not _useful(text, at, char):
            yield at, char


def visible(text: str) -> str:
    """`text` with hidden and control characters (but line feeds and tabs) written as ``⟨U+202E⟩``."""
    spots = dict(hidden(text))
    if not spots and text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(char):04X}⟩" if at in spots or (char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")) else char
        for at, char in enumerate(text)
    )


def _useful(text: str, at: int, char: str) -> bool:
    before = text[at - 1] if at else ""
    after = text[at + 1] if at + 1 < len(text) else ""
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        # One selector after a visible character picks a glyph; a run of them is a hidden alphabet.
        return bool(before) and not before.isspace() and not _HIDDEN.match(before)
    if "\U000e0020" <= char <= "\U000e007f":
        start = text.rfind(_BLACK_FLAG, max(0, at - 8), at)
        return start >= 0 and all("\U000e0020" <= each <= "\U000e007f" for each in text[start + 1 : at])
    if char == "\u200d":
        return (_pictures(before) and _pictures(after)) or _joining(before)
    if char == "\u200c":
        return _joining(before)
    if char in _MARKS:
        return any(unicodedata.bidirectional(each) in ("R", "AL", "AN") for each in text[max(0, at - 12) : at + 13] if each not in _MARKS)
    if char in "\u2066\u2067\u2068\u2069":
        return any(unicodedata.bidirectional(each) in ("R", "AL") for each in text[max(0, at - 40) : at + 41])
    if char == "\ufeff":
        return at == 0
    if char == "\u00ad":
        return before.isalpha() and after.isalpha() and text.count("\u00ad") <= len(text) // 12
    if char in "\u115f\u1160":
        return "\u1100" <= before <= "\u11ff" or "\u1100" <= after <= "\u11ff"
    return False


def _pictures(char: str) -> bool:
    return bool(char) and (unicodedata.category(char) in ("So", "Sk") or "\ufe00" <= char <= "\ufe0f" or char in "\u2640\u2642\u2695")


def _joining(char: str) -> bool:
    """Whether `char` is of a script whose spelling uses joiners."""
    return bool(char) and (
        "\u0600" <= char <= "\u07ff" or "\u0900" <= char <= "\u0dff" or "\u1000" <= char <= "\u109f" or "\u1780" <= char <= "\u17ff"
    )


def hidden_runs(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of every run of hidden characters."""
    last = -2
    for at, char in hidden(text):
        if at > last + 2:
            yield ("bidi" if char in _BIDI else "hidden"), at, at + 24
        last = at


_LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏɡαορνι’‘“”´`–—‐‑", "aeopcyxijsdhlgaopvi''\"\"'`----")


def plain_form(text: str) -> tuple[str, list[int] | None]:
    """The text in lower case without hidden characters and disguises, and where each of its characters came from (None: the same place)."""
    if text.isascii():
        return text.lower(), None
    chars: list[str] = []
    offsets: list[int] = []
    foreign = _mostly_cyrillic_or_greek(text)
    for at, char in enumerate(text):
        if char in _ZERO_WIDTH or char in _BIDI or char in _MARKS or "\U000e0100" <= char <= "\U000e01ef":
            continue
        if "\U000e0020" <= char <= "\U000e007e":
            char = chr(ord(char) - 0xE0000)
        for each in unicodedata.normalize("NFKC", char).lower():
            chars.append(each)
            offsets.append(at)
    plain = "".join(chars)
    if not foreign:
        plain = plain.translate(_LOOKALIKES)
    return plain, offsets


def _mostly_cyrillic_or_greek(text: str) -> bool:
    letters = [char for char in text[:4000] if char.isalpha()]
    return sum("\u0370" <= char <= "\u052f" for char in letters) * 2 > len(letters)
