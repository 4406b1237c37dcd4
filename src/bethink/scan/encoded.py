"""Blobs that decode to sentences. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from bethink.scan.rules import RULES
from bethink.scan.unseen import plain_form

_BASE64 = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{40,}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Fa-fx])(?:[0-9A-Fa-f]{2}){24,}(?![0-9A-Fa-f])")


def encoded(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of blobs that decode to sentences: whatever needs to hide plain words from the reader."""
    for pattern, decode in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        for match in pattern.finditer(text):
            words = decode(match[0][:4096])
            if words and _is_prose(words):
                yield "encoded", match.start(), match.end()


def _from_base64(blob: str) -> str:
    blob = blob.rstrip("=").replace("-", "+").replace("_", "/")
    return _decoded(lambda: base64.b64decode(blob + "=" * (-len(blob) % 4) if len(blob) % 4 != 1 else blob[:-1], validate=True))


def _from_hex(blob: str) -> str:
    return _decoded(lambda: binascii.unhexlify(blob))


def _decoded(decode: Callable[[], bytes]) -> str:
    try:
        return decode().decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


def _is_prose(words: str) -> bool:
    plain, _ = plain_form(words)
    if any(pattern.search(plain) for _, pattern in RULES):
        return True
    # A space every few letters and hardly any punctuation: a sentence, not a document, a certificate or a token.
    letters = sum(char.isalpha() or char in " ,.'!?" for char in words)
    return words.isprintable() and letters >= 0.95 * len(words) and len(words.split()) >= 6
