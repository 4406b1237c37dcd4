"""Text as the stores and the ranking see it: normal form, words, search terms, windows, titles. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bethink.errors import BadTime, ContentTooLong, InvalidInput

#: What the fence of rendered memories says of itself, by which our own text is recognised in a transcript.
MARKER = "bethink-memory"
#: Longest content of one memory, in bytes of UTF-8.
MAX_CONTENT_BYTES = 64 * 1024
#: Longest joined identifier that is indexed whole, in characters.
_MAX_JOINED = 80

# Letters and digits, with the marks that belong to the letter before them: accents, points, vowel signs of Indian and Thai script.
# Possessive and anchored where a word begins: a long run without what is looked for would be read again from each of its letters.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u093c\u093e-\u094f\u0962\u0963"
    "\u0981-\u0983\u09bc-\u09d7\u0a01-\u0a03\u0a3c-\u0a4d\u0a81-\u0a83\u0abc-\u0acd\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bd7"
    "\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03\u0d3b-\u0d57\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd"
    "\u102b-\u103e\u17b4-\u17d3"
)
_LETTERS = rf"(?:[^\W_]++[{_MARKS}]*+)++"
_WORD = re.compile(_LETTERS)
_CODE = re.compile(rf"(?<![^\W_])(?<![{_MARKS}]){_LETTERS}(?:[_\-./:\\@#+~]++{_LETTERS})++")
_SEPARATORS = re.compile(r"[_\-.:\\@#+~]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_HAS_CAMEL = re.compile(r"[a-z\d][A-Z]|[A-Z]{2}[a-z]")
# Scripts written without spaces between words: Thai to Khmer, Kana, Han, Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002fa1f]+"
)

#: Words that carry no information in a question. English, with a few of the commonest of four other languages.
STOP_WORDS = frozenset(
    """
    a about above after again against all also am an and any are aren't as at be because been before being below between
    both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each few for from further
    get got had hadn't has hasn't have haven't having he her here hers herself him himself his how i if in into is isn't it
    it's its itself just let's like may me might more most must my myself no nor not of off on once only or other ought our
    ours ourselves out over own please same shall she should shouldn't so some such tell than that that's the their theirs
    them themselves then there these they this those through to too under until up us very was wasn't we were weren't what
    what's when where which while who whom whose why will with won't would wouldn't you your yours yourself yourselves s t d
    ll m re ve der die das und ist nicht ein eine wie wir ich el la los las un una y que es de en por con como le les des et
    est une pour dans avec du au
    """.split()
)


def checked(text: str, what: str = "content") -> str:
    """`text` in Unicode normal form C without surrounding blank space.

    Raises:
        InvalidInput: it is empty, or holds a NUL or half of a surrogate pair.
    """
    if "\x00" in text:
        raise InvalidInput(f"The {what} contains a NUL character.", hint="Remove it; binary data is not text.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The {what} is not valid Unicode: half of a surrogate pair at character {error.start}.",
            hint="Send it as UTF-8; cut strings between characters, not inside one.",
        ) from None
    return unicodedata.normalize("NFC", text).strip()


def checked_content(text: str) -> str:
    """`text` as the content of a memory.

    Raises:
        InvalidInput: it is empty or not text.
        ContentTooLong: it takes more than `MAX_CONTENT_BYTES` bytes.
    """
    clean = checked(text)
    if not clean:
        raise InvalidInput("The content is empty.", hint="Say what should be remembered, in a sentence that is clear on its own.")
    size = len(clean.encode("utf-8"))
    if size > MAX_CONTENT_BYTES:
        raise ContentTooLong(f"The content takes {size:,} bytes; a memory holds at most {MAX_CONTENT_BYTES:,}.")
    return clean


def mended(text: str) -> str:
    """`text` with what a memory cannot hold replaced: for captured text, where refusing would lose it."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def content_hash(content: str) -> str:
    """SHA-256 in hex of a content in its normal form; equal contents have equal hashes on every machine."""
    return hashlib.sha256(unicodedata.normalize("NFC", content).strip().encode("utf-8", "surrogatepass")).hexdigest()


def tokens(text: str) -> int:
    """Roughly how many tokens a model reads `text` as: a quarter of its bytes, a whole one per CJK character."""
    wide = sum(len(run) for run in _UNSPACED.findall(text))
    return (len(text) - wide + 3) // 4 + wide


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order: runs of letters and digits."""
    return [word.lower() for word in _WORD.findall(text)]


def informative(text: str) -> list[str]:
    """The distinct words of a question that can tell memories apart; all of them when none can."""
    every = list(dict.fromkeys(words(text)))
    kept = [word for word in every if word not in STOP_WORDS]
    return kept or every


def code_terms(text: str) -> Iterator[str]:
    """What makes identifiers findable whole: ``snake_case`` → snakecase, ``a/b/c.py`` → abcpy, bcpy …, and camelCase in parts."""
    for found in _CODE.findall(text):
        segments = [joined for segment in found.split("/") if (joined := _SEPARATORS.sub("", segment))]
        for segment in segments:
            if len(segment) <= _MAX_JOINED:
                yield segment.lower()
        if len(segments) > 1:
            whole = "".join(segments).lower()
            if len(whole) <= _MAX_JOINED:
                yield whole
    for word in _WORD.findall(text):
        if len(word) <= _MAX_JOINED and _HAS_CAMEL.search(word):
            yield from (part.lower() for part in _CAMEL.findall(word))


def grams(text: str) -> Iterator[str]:
    """One and two characters at a time of the scripts that are written without spaces."""
    for run in _UNSPACED.findall(text):
        yield from run
        yield from (run[i : i + 2] for i in range(len(run) - 1))


def date_words(at: datetime) -> str:
    """A day as people name it: ``2026-05-08 8 May 2026 Friday``."""
    return f"{at:%Y-%m-%d} {at.day} {at:%B} {at.year} {at:%A}"


def extra_terms(content: str, keywords: str, at: datetime) -> str:
    """What is indexed beside a memory's own words."""
    both = f"{content}\n{keywords}"
    return " ".join([date_words(at), *dict.fromkeys([*code_terms(both), *grams(both)])])


def query_terms(text: str) -> list[str]:
    """The terms to look a question up by, most literal first, each once."""
    text = unicodedata.normalize("NFC", text)
    plain = [word for word in informative(text) if not _UNSPACED.fullmatch(word)]
    return list(dict.fromkeys([*code_terms(text), *plain, *_query_grams(text)]))


def _query_grams(text: str) -> Iterator[str]:
    """Two characters at a time; a lone character as it is."""
    for run in _UNSPACED.findall(text):
        if len(run) == 1:
            yield run
        yield from (run[i : i + 2] for i in range(len(run) - 1))


def title(content: str, width: int = 80) -> str:
    """The first line of a content, cut at a word's end to at most `width` characters."""
    line = next((line.strip(" #*->\t") for line in content.splitlines() if line.strip(" #*->\t")), "")
    if len(line) <= width:
        return line
    cut = line[: width - 1]
    return (cut[: cut.rfind(" ")] if " " in cut[width // 2 :] else cut) + "…"


def chunks(text: str, size: int = 1500, overlap: int = 200) -> list[str]:
    """`text` in pieces of at most `size` characters, cut at paragraphs, then sentences, then words."""
    text = text.strip()
    pieces: list[str] = []
    while len(text) > size:
        window = text[:size]
        cut = max(window.rfind("\n\n"), window.rfind("\n#"))
        if cut < size // 2:
            cut = max(window.rfind(mark) + 1 for mark in (". ", "! ", "? ", "。", "\n"))
        if cut < size // 2:
            cut = window.rfind(" ")
        if cut < size // 2:
            cut = size
        pieces.append(text[:cut].strip())
        start = max(cut - overlap, 0)
        space = text.find(" ", start, cut)
        text = text[space + 1 if space >= 0 else cut :].strip()
    if text:
        pieces.append(text)
    return pieces


_AGE = re.compile(r"(\d+)\s*([smhdwy]|mo)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}


def duration(text: str) -> timedelta:
    """``30d``, ``12h``, ``2w``, ``6mo`` as a length of time.

    Raises:
        BadTime: it is not one, or is too long to reckon with.
    """
    found = _AGE.fullmatch(text.strip().lower())
    try:
        if found:
            return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    except OverflowError:
        pass
    raise BadTime(f"Not a length of time: {text!r}.", hint="Write a number and a unit: 45m, 12h, 30d, 2w, 6mo, 1y.")


def moment(text: str, now: datetime | None = None) -> datetime:
    """A date, a date and time (UTC unless it says otherwise) or an age such as ``30d`` as a moment in UTC.

    Raises:
        BadTime: it is none of these.
    """
    plain = text.strip()
    if _AGE.fullmatch(plain.lower()):
        try:
            return (now or datetime.now(UTC)) - duration(plain)
        except OverflowError:
            raise BadTime(f"Too long ago: {text!r}.") from None
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        raise BadTime(f"Not a date or time: {text!r}.") from None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise BadTime(f"Out of range: {text!r}.") from None


def iso(at: datetime | None) -> str | None:
    """A moment as ISO 8601 with offset."""
    return None if at is None else at.isoformat()


def ago(at: datetime, now: datetime) -> str:
    """How long ago something was, as people say it."""
    seconds = (now - at).total_seconds()
    if seconds < 0:
        return "in the future"
    for unit, length in (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
