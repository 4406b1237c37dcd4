"""Speaking of an attack against making one: quotation, and who is said to speak. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bethink.pattern import Pattern
from bethink.scan.rules import RULES

# Words of those who talk about attacks, and what such talk does with the attack's words.
_ABOUT = Pattern(
    r"\b(?:attack\w*|inject\w*|jailbreak\w*|poison\w*|adversar\w+|malicious|payloads?|exploit\w*|phish\w*"
    r"|red[- ]team\w*|owasp|mitre|threat\w*|security|vulnerab\w*|exfiltrat\w*"
    r"|detect\w*|scan(?:s|ner|ning|ned)?|filter\w*|flag(?:s|ged|ging)?|block(?:s|ed|ing)?|quarantin\w*|regex\w*"
    r"|guard\w*|test(?:s|ed|ing)? (?:case|string|fixture|that|prompt)s?|test|fixtures?|example|e\.g\.|such as"
    r"|phrases?|strings?"
    r"|literal(?:ly)?|wording|token(?:s|izer|izers)?|template|chat ?ml|format|syntax|delimiters?|parser|parses?"
    r"|markup|prompts? like|quoted?|paper|blog|talk|article|docs|documentation|spec|schema|tutorial|course|incident"
    r"|report(?:ed)?|asked|said|says|wrote|called|titled|named|commit|message|log|placeholder|element|tag|tags|field"
    r"|api|sdk|json|xml)\b"
)
_SPEAKER = Pattern(
    r"\b(?:attack\w*|injections?|payloads?|jailbreaks?|adversar\w+|malicious \w+|poison\w*|hackers?|phish\w*|prompts?"
    r"|pages?|e-?mails?|documents?|memories|someone|text|exploits?|it|they|that|which|who|strings?|variants?|threats?"
    r"|scenario)\b"
    r"[^.\n]{0,60}\b(?:tell|tells|told|telling|try|tries|tried|trying|trick\w*|ask|asks|asked|asking|instruct\w*|say"
    r"|says|said|saying|contain\w*|attempt\w*|get|gets|make|makes|cause\w*|convinc\w+|order\w*|persuad\w+|may|might"
    r"|could|can|would|want\w*|use|uses|hid\w*|reads?|like|where)\b"
)
_REPORTED = re.compile(
    r"(?:\b(?:attempts?|attacks?|trick|tricks|instructions|requests?|text|payloads?|phrases?|strings?|commands?"
    r"|prompts?|lines?|patterns?|cases?|rule|rules|detection|detector|defen[cs]es?|protect\w*"
    r"|examples?)\b[^.\n]{0,30}\b(?:to|like|such as|that|against|for|of|saying|with|from|including|named"
    r"|called)\s*[:\"'`(]*\s*)$"
)
_QUOTES = (
    re.compile(r"```.*?(?:```|\Z)", re.DOTALL),
    re.compile(r"`[^`\n]+`"),
    re.compile(r"\"[^\"\n]{1,400}\""),
    re.compile(r"(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){1,400}'(?!\w)"),
    re.compile(r"[«»„][^«»\n]{1,400}[«»]"),
)
#: Kinds that are harmless when they are only spoken of.
_MENTIONABLE = frozenset(
    {"override", "role", "tool-call", "secrecy", "exfiltration", "recommendation", "trigger", "addressed", "fence", "encoded", "bridge"}
)


_OBEY = re.compile(
    r"\b(?:follow|obey|execute|run|comply with|do exactly|you must|always (?:answer|reply|respond|say)|reply with"
    r"|respond with|your instructions)\b"
)


def _obeyed(around: str) -> bool:
    return bool(_OBEY.search(around))


_SEALED = re.compile(r"\[redacted:[\w-]{1,60}\]")


def matches(plain: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of the first place in a normal form where each rule finds something said rather than spoken of."""
    # A sealed secret's placeholder is ours, whatever it is called.
    plain = _SEALED.sub(lambda match: "x" * len(match[0]), plain)
    quotes: list[tuple[int, int]] | None = None
    for kind, pattern in RULES:
        for match in pattern.finditer(plain):
            if quotes is None:
                quotes = [span.span() for quote in _QUOTES for span in quote.finditer(plain)]
            if not (kind in _MENTIONABLE and _mentioned(plain, match.start(), match.end(), quotes, slack=-1 if kind == "tool-call" else 2)):
                yield kind, match.start(), match.end()
                break


def _mentioned(plain: str, start: int, end: int, quotes: list[tuple[int, int]], *, slack: int) -> bool:
    """Whether the words at `start` are spoken of rather than said."""
    left = max(plain.rfind(mark, 0, start + 1) for mark in ("\n", ". ", "! ", "? ")) + 1
    lead = plain[max(left, start - 200) : start]
    inside = next(
        (
            (begin, stop)
            for begin, stop in quotes
            # A match may begin at the opening quote mark or run on behind the closing one.
            if begin <= start + slack and start < stop and (end <= stop + 3 or 2 * (stop - start) >= end - start)
        ),
        None,
    )
    if inside:
        begin, stop = inside
        left = max(plain.rfind(mark, 0, begin) for mark in ("\n\n", ". ", "! ", "? ")) + 1
        around = plain[max(left, begin - 200) : begin] + " \u2026 " + re.split(r"\n|[.!?] ", plain[stop : stop + 160], maxsplit=1)[0]
        return bool(_ABOUT.search(around)) and not _obeyed(around)
    return bool(_SPEAKER.search(lead) or (_REPORTED.search(lead) and _ABOUT.search(lead)))
