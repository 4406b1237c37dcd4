"""Text as tokens in a form that can be compared: "30s" and "30 seconds", "k8s" and "Kubernetes", "2pm" and "14:00" are one. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bethink.guard import lexicon as lex
from bethink.guard import names

_UNIT = "|".join(sorted((re.escape(unit) for unit in names.UNITS if unit not in "$€£"), key=len, reverse=True))
#: "two weeks" is an amount, as "2 weeks" is.
_COUNTED = re.compile(rf"\b(?:{'|'.join(names.NUMBER_WORDS)})(?= (?:{_UNIT})\b)", re.IGNORECASE)
_MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
#: No part of a longer identifier; script without spaces may stand before it.
_A = r"(?<![a-zA-Z0-9_])"
# Without case, or compiling would look at each of 100,000 characters for its other case.
_CJK = (
    "(?-i:[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002fa1f])"
)
#: A word between blanks is nothing else, unless it is a month, which may begin a date; asked first, as most of a text is such words.
_PLAIN = rf"(?<!\S)(?!(?:{_MONTH})\b)[a-zA-Z]+(?=[.,;:!?)]*(?!\S))"
_TOKEN = re.compile(
    "|".join(
        (
            rf"(?P<plain>{_PLAIN})",
            r"(?P<url>https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?])",
            r"(?P<email>[\w.+-]+@[\w-]+\.[\w.-]*\w)",
            r"`(?P<tick>[^`\s]{1,80})`",
            r"(?P<date>(?<![a-zA-Z0-9_-])\d{4}-\d{2}-\d{2}\b)",
            (
                rf"(?P<day>\b\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?(?:{_MONTH})\b(?:,? \d{{4}})?|\b(?:{_MONTH}) \d{{1,2}}(?:st|nd"
                rf"|rd|th)?\b(?!:)(?:,? \d{{4}})?)"
            ),
            r"(?P<clock>\b\d{1,2}[:.]\d{2}(?::\d{2})? ?(?:[ap]\.?m\b\.?)|\b\d{1,2}:\d{2}\b|\b\d{1,2} ?[ap]m\b)",
            r"(?P<path>(?<![\w.])(?:~|\.{1,2})?(?:/[\w.@%+*{}$-]*[\w%+*{}$-])+/?|\b[\w.@-]+(?:/[\w.@*{}$-]*[\w*{}$-])+/?)",
            r"(?P<handle>(?<!\w)[#@][a-zA-Z][\w-]*\b)",
            r"(?P<flag>(?<!\S)--?[a-zA-Z][\w-]*)",
            (
                rf"(?P<amount>(?P<money>[€$£])?(?P<digits>{_A}\d[\d,_]*(?:\.\d+)?)(?:[ -]?(?P<unit>{_UNIT}"
                r"|(?<=\d)d)(?![a-zA-Z0-9_])|(?![a-zA-Z0-9_.-]*[a-zA-Z0-9_])))"
            ),
            rf"(?P<code>{_A}(?:\w+(?:-\w+)*(?:[.:@]\w+(?:-\w+)*)+|\w*\d\w*(?:[.:_@+-]\w+)+|\w+(?:[._:@]\w+)+|\w+(?:-\w+)*-\d+\w*(?:-\w+)*|(?=[a-z_]*\d)\w+"
            r"|[a-z]\w*[+#]+(?!\w)))".replace(r"\w", "[a-zA-Z0-9_]"),
            r"(?P<compound>\b[a-zA-Z]{2,}(?:-[a-zA-Z]+)+\b)",
            rf"(?P<cjk>{_CJK})",
            rf"(?P<word>(?:(?!{_CJK})[^\W\d_])+)",
            r"(?P<mark>[\ue000-\ue00f])",
            r"(?P<sep>[,:=()\u2013\u2014\uff0c\u3001\uff1a]|->|\u2192|(?<=\s)-(?=\s))",
            r"(?P<symbol>[^\w\s\"'*_.!?;/\\|<>\[\]{}~^`&%+-])",
        )
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Raw:
    """A token before it has a part: its text, kind and key; `sep` and `mark` are kinds too."""

    raw: str
    kind: str
    key: str
    measure: str = ""


def tokens(text: str) -> Iterator[Raw]:
    """The tokens of a statement, marks and separators among them."""
    first = True
    text = _COUNTED.sub(lambda match: names.NUMBER_WORDS[match[0].lower()], text)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind in ("digits", "money", "unit"):
            kind = "amount"
        raw = match[0]
        yield _word(raw, first) if kind in ("plain", "word") else _raw(match, kind, raw)
        if kind not in ("mark", "sep"):
            first = False
        if raw in ":" or kind == "sep":
            first = first or raw == ":"


def _raw(match: re.Match[str], kind: str, raw: str) -> Raw:
    low = raw.lower()
    if kind in ("mark", "sep"):
        return Raw(low, kind, low)
    if kind == "amount":
        return _amount(match)
    if kind in ("date", "day"):
        return Raw(low, "number", _day(low), "date")
    if kind == "clock":
        return Raw(low, "number", _clock(low), "clock")
    if kind == "tick":
        low = match["tick"].lower()
        known = lex.SYNONYMS.get(lex.stem(low), lex.stem(low))
        return Raw(low, "name" if known in names.KIND_OF else "code", known if known in names.KIND_OF else low)
    if kind == "code":
        if re.fullmatch(r"v?\d+(?:\.\d+)*(?:\.x|\+)?", low):
            return Raw(low, "number", low.removeprefix("v").removesuffix("+"), "version" if "." in low or low[0] == "v" else "")
        known = lex.SYNONYMS.get(low, low)
        return Raw(low, "name" if known in names.KIND_OF else "code", known)
    if kind in ("url", "email", "path", "flag", "handle"):
        return Raw(low, "code", low.rstrip("/") or low)
    if kind == "compound":
        return _compound(low)
    return Raw(low, "word", low)


@functools.lru_cache(4096)
def _word(raw: str, first: bool) -> Raw:
    low = raw.lower()
    if low in names.NUMBER_WORDS:
        return Raw(low, "number", names.NUMBER_WORDS[low])
    root = lex.stem(low)
    key = lex.SYNONYMS.get(root, root)
    letter = len(raw) == 1 and raw.isupper() and raw != "I" and not first
    shout = letter or (raw[0].isupper() and not first and low not in lex.FILLER)
    if low in names.COMMON and raw[0].isupper() and not first:
        key = low
    listed = key in names.KIND_OF and (low not in names.COMMON or (raw[0].isupper() and not first)) and low not in names.ALIKE
    named = listed or any(char.isupper() for char in raw[1:]) or shout
    plain = low in lex.PREPOSITIONS or low in lex.COPULA or low in lex.AUXILIARY or low in lex.NEGATIONS
    return Raw(low, "name" if named and not plain else "word", key)


def _compound(low: str) -> Raw:
    """A word with a hyphen: one word where it is written so by grammar, else somebody's name for a thing."""
    joined = low.replace("-", "")
    known = lex.SYNONYMS.get(lex.stem(joined), lex.SYNONYMS.get(low, ""))
    parts = low.split("-")
    plain = (
        known
        or parts[0] in lex.HYPHENED
        or lex.stem(parts[-1]) != parts[-1]
        or any(part in lex.FILLER or part in lex.PREPOSITIONS for part in parts)
    )
    return Raw(low, "word" if plain else "code", known or lex.stem(joined))


def _amount(match: re.Match[str]) -> Raw:
    digits = match["digits"].replace("_", "")
    digits = digits.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits) else digits.rstrip(",")
    unit = (match["money"] or match["unit"] or "").lower()
    if unit == "d":
        unit = "days"
    try:
        number = float(digits)
    except ValueError:
        return Raw(match[0].lower(), "number", digits)
    if unit not in names.UNITS:
        return Raw(match[0].lower(), "number", digits)
    measure, factor = names.UNITS[unit]
    return Raw(
        match[0].lower(),
        "number",
        f"{number * factor:.12g} {measure}" if measure != "count" else f"{number * factor:.0f}",
        measure.replace("count", ""),
    )


def _day(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        year, month, day = text.split("-")
        return f"{int(day)}.{int(month)}.{year}"
    month = next((str(names.MONTHS[name]) for name in names.MONTHS if re.search(rf"\b{name}", text)), "")
    numbers = re.findall(r"\d+", text)
    return f"{int(numbers[0])}.{month}." + (numbers[1] if len(numbers) > 1 else "")


def _clock(text: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    hour, minute = numbers[0], numbers[1] if len(numbers) > 1 else 0
    if "p" in text and hour < 12:
        hour += 12
    elif "a" in text and hour == 12:
        hour = 0
    return f"{hour:02}:{minute:02}"
