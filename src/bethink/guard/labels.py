"""Numbers that name a thing instead of saying something of it: "item 7", "ticket ABC-12", "worker 3".

Two texts whose labels differ are about two things, however alike they read: a list that somebody stores one by one is
not a chain of corrections. A number is a value after a word that can have one ("port 5433", "version 3", "timeout 60"),
after a verb, a preposition or a sign of equality, or after the name of a product ("PostgreSQL 16").
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

#: Words whose number is a value, though it stands right behind them.
PROPERTIES = frozenset(
    """port version release python node java ruby go php rust postgres postgresql mysql redis django react angular vue ubuntu
    debian timeout limit threshold capacity quota budget price cost rate size length width height depth weight age count total
    number amount score rating level tier priority severity phase stage sprint milestone floor room desk locker gate seat slot
    extension pin code temperature speed ttl retries replicas workers threads connections attempts days hours minutes seconds
    weeks months years percent max min maximum minimum about around roughly approximately only now default interval duration
    delay offset precision salary discount dose wattage voltage distance volume channel exit terminal platform route zip
    postcode year quarter top edition within least most under over below above until before after since every each to at of in
    on by for with from is are was were be as than has have had uses use using takes take took needs need needed runs run
    running set sets equals equal costs allows allow gets get requires require expects expect keeps keep holds hold lasts last
    stays stay became become becomes reached reach hits hit and or not the a an our your my its their this that ist sind war
    beträgt auf um ab es está son usa utiliza en de est sont était utilise à sur""".split()
)
_TOKEN = re.compile(r"#?\w+(?:[./:\-_']\w+)*|[=:#]")
_PLAIN = re.compile(r"#?\d+")
#: One or two letters and a number ("n3", "p12"), a code ("ABC-12", "row-7"), numbers with a separator ("3/17", "3-17").
_CODE = re.compile(r"#?(?:(?!v\d)[a-z]{1,2}\d+|[a-z]+[-_#:]\d+(?:[-_#:/]\w+)*|\d+[/\-]\d+)", re.IGNORECASE)
#: Words of `PROPERTIES` after which a code is still a name.
_BEFORE_NAMES = frozenset("the a an our about on in of to for by".split())
#: Hexadecimal digits without meaning.
_RANDOM = re.compile(r"(?=\w*\d)(?=\w*[a-f])[0-9a-f]{8,}", re.IGNORECASE)
#: Texts longer than this are no entries of a list that differ in a number.
_MOST_TOKENS = 120


def labelled_apart(new: str, old: str) -> bool:
    """Whether the two texts speak of things that are told apart by a number."""
    mine, theirs = _TOKEN.findall(new), _TOKEN.findall(old)
    if len(mine) > _MOST_TOKENS or len(theirs) > _MOST_TOKENS:
        return False
    matcher = SequenceMatcher(None, [token.lower() for token in mine], [token.lower() for token in theirs], autojunk=False)
    for kind, start, end, other, until in matcher.get_opcodes():
        if kind == "replace" and end - start == until - other:
            for at, before in zip(range(start, end), range(other, until), strict=True):
                if _is_label(mine, at) and _is_label(theirs, before):
                    return True
    return False


def _is_label(tokens: list[str], at: int) -> bool:
    token = tokens[at]
    before = tokens[at - 1] if at else ""
    if _PLAIN.fullmatch(token):
        return token.startswith("#") or _names(tokens, at)
    if _CODE.fullmatch(token):
        return at == 0 or before.lower() not in PROPERTIES or before.lower() in _BEFORE_NAMES
    return bool(_RANDOM.fullmatch(token)) and before.lower() not in PROPERTIES


def _names(tokens: list[str], at: int) -> bool:
    """Whether the word before a number makes it a label."""
    if at == 0:
        return False
    before = tokens[at - 1]
    if before in "=:#":
        # "id=3" names a row, "timeout: 60" says how long.
        return at > 1 and tokens[at - 2].lower() in ("id", "no", "nr", "key", "index", "idx", "#", "seq")
    word = before.lower()
    if word in PROPERTIES or not before[0].isalpha():
        # "number 3" after another noun is that noun's number: "memory number 3".
        return word == "number" and at > 1 and tokens[at - 2].lower() not in PROPERTIES
    # Labels follow a noun in the singular: "jobs 3 times", "includes 3 projects", "stored 7" count something.
    if word.endswith(("s", "ed")) and not word.endswith(("ss", "us")):
        return False
    # A name in the middle of a sentence is a product with its version.
    return at == 1 or not before[0].isupper()
