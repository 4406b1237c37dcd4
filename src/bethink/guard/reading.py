"""Text as clauses whose words have parts: subject, verb, value, circumstance; and what the wording says of change. Pure.

A shallow reading, not a parse: good enough to tell "the *staging* port is 5432" from "the staging port is *5432*".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bethink.guard import lexicon as lex

#: More of a text is not read clause by clause.
MAX_CLAUSES = 200
#: More words of a clause are not given parts.
MAX_WORDS = 80
#: A longer statement, in characters, is taken as bare words.
MAX_STATEMENT = 1000

# Marks that stand in the text for phrases; private-use characters, taken out of the input first.
RETIRED, ENDED, CHANGED, ALSO, TENTATIVE, CONTRAST, FROM, TO, NOT = (chr(0xE000 + number) for number in range(9))
_PRIVATE = re.compile("[\ue000-\ue00f]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word as it is compared (`key`), what it is (word, name, number, code), and its part in the clause."""

    key: str
    kind: str
    raw: str
    #: lead, subject, verb, object, place, circumstance or reason
    part: str = ""
    #: What a number measures, "" when it only counts.
    measure: str = ""

    @property
    def value(self) -> bool:
        """Whether it names or measures something."""
        return self.kind != "word"


@dataclass(frozen=True, slots=True)
class Clause:
    """One statement."""

    tokens: tuple[Token, ...]
    verb: str = ""
    negative: bool = False
    #: "is", or a passive: what follows is the value.
    copular: bool = False
    #: Something is said to be over.
    retired: bool = False
    #: … because the thing itself is gone.
    ended: bool = False
    changed: bool = False
    also: bool = False
    tentative: bool = False
    event: bool = False
    #: Keys of what is said to hold no longer ("not X", "instead of X", "from X").
    former: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()


_SUBSTITUTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), into)
    for pattern, into in (
        (r"[’`´](?=\w)", "'"),
        (r"\bwon't\b", "will not"),
        (r"\bcan't\b|\bcannot\b", "can not"),
        (r"n't\b", " not"),
        (r"'(?:re|ve|ll|d|m)\b", " "),
        (r"\b(that|it|there|here|what|who|he|she)'s\b", r"\1 is"),
        (r"'s?(?=\s|$|[.,;:!?])", " "),
        (r"\bn'(?=[aeéèiouyh])", "ne "),
        (r"\b(?:l|d|j|qu|s|c)'(?=[aeéèiouyh])", " "),
        (r"\bnot only\b", " "),
        (r"\b(?:no|not) more than\b|\bat most\b|\bup to\b|\bno longer than\b", " max "),
        (r"\b(?:no|not) (?:less|fewer) than\b|\bat least\b", " min "),
        (r"\bno later than\b", " by "),
        (r"\bnot until\b", " after "),
        (
            r"\bas well as\b|\bas well\b|\bin addition(?: to)?\b|\badditionally\b|\b(?<!not )also\b|\btoo\b(?=\s*(?:$"
            r"|[.,;!]))|\banother\b|\bbesides\b|\bplus\b|\balongside\b",
            f" {ALSO} ",
        ),
        (
            r"\b(?:maybe|perhaps|possibly|probably|might|consider(?:s|ed|ing)?|think(?:s|ing)? (?:of|about)|plan(?:s|ned"
            r"|ning)? to|(?:is|are|am|'m) going to|wants? to|would like to|propos(?:e|ed|es|al|ing)"
            r"|suggest(?:s|ed|ion|ing)?|evaluat(?:e|es|ed|ing)|experiment(?:s|ed|ing)? with|try(?:ing)? out|explor(?:e|es|ed"
            r"|ing)|hop(?:e|es|ing) to|wonder(?:s|ing)?|not sure|unsure|todo|should we|could we|whether|hypothetical(?:ly)?"
            r"|what if"
            r"|(?:will|shall) (?:soon |eventually |probably )?(?:move|migrate|switch|replace|upgrade|rewrite|drop|retire"
            r"|rename|change|adopt|use)|(?:next|coming) (?:week|month|quarter|year|sprint)|someday|in theory|rumou?r\w*)\b",
            f" {TENTATIVE} ",
        ),
        (r"\bused to be (?=[^.\n]{1,60}?[,;:(][^.\n]{0,20}\b(?:now|but|is)\b)", f" is {CONTRAST} "),
        (
            r"\((?:was|previously|formerly|before|not|used to be|instead of|no longer|and not|rather than|up from|down from"
            r"|earlier)[:,]? ([^)\n]{1,60})\)",
            rf" {CONTRAST} \1 {TO} ",
        ),
        (r",? \b(?:previously|formerly|up from|down from|it was) (?=[\w.:/-]+(?: [\w.:/-]+){0,3}\s*(?:$|[.,;!]))", f" {CONTRAST} "),
        (r"\bused to\b", f" {RETIRED} "),
        (
            r"\b(?:instead of|rather than|as opposed to|in place of|in lieu of)\b|, (?:and |but )?(?:no longer"
            r"|not)\b(?! (?:to|be|been|allowed|use|using|run|necessar\w+|need\w*|when|if|in|on|at|for|before|after|only|until"
            r"|yet|even)\b)|\band not\b(?! (?:to|be|use|run)\b)",
            f" {CONTRAST} ",
        ),
        (r"\b(?:over|to) (?=[\w.-]+(?: [\w.-]+)?\s*(?:$|[.,;!]))(?<=prefer over )", f" {CONTRAST} "),
        (
            r"\b(?:is|are|was|were|it's|do|does|should|can|will)? ?\bnot ((?:\S+ ){0,4}?\S+?),? but (?:rather |instead |now )?",
            rf" is {CONTRAST} \1 {TO} ",
        ),
        (
            r"\bno longer (?:(?:uses?|using|on|in|at|to|is|are|with|via) )?([^,;.\n]{1,40}?)(?:,|;| but| and) (?:(?:we|it"
            r"|they|but|now|instead|rather|i|is|are|it's|use|uses|on|in|at|using|the team|with|via|have) )+",
            rf" {CHANGED} {CONTRAST} \1 {TO} use ",
        ),
        (
            r"^\W*(?:(?:the|our|my|all|every|an?) )?([^.,;\n]{1,50}?) (?:was|were|is|are|has been|have been|got"
            r"|is being) (?:now |recently |fully |finally )*(?:replaced|superseded|succeeded) (?:by|with)\b",
            rf" {CHANGED} use {FROM} \1 {TO} ",
        ),
        (r"\breplac(?:ed|es|ing|e) ([^.,;\n]{1,50}?) (?:with|by)\b", rf" {CHANGED} use {FROM} \1 {TO} "),
        (r"\bswapp?(?:ed|ing|s)?(?: out)? ([^.,;\n]{1,40}?) for\b", rf" {CHANGED} use {FROM} \1 {TO} "),
        (
            r"\b(?:has |have )?(?:now )?(?:replac(?:es|ed)|supersed(?:es|ed)|took over from|takes over from|succeeds"
            r"|succeeded)\b",
            f" {CHANGED} use {CONTRAST} ",
        ),
        (r"\b(?:has |have )?(?:taken|took|takes) over ([^.,;\n]{1,50}?) from (\w+)\b", rf" {CHANGED} own \1 {CONTRAST} \2 {TO} "),
        (r"\b(?:has |have )?(?:taken|took|takes|taking) over(?: as)?\b", f" {CHANGED} is "),
        (r"\b(?:renam(?:ed|e|es|ing)|rebranded) (?:from )?([^.,;\n]{1,40}?) (?:to|as|into)\b", rf" {CHANGED} name {FROM} \1 {TO} "),
        (r"\b(?:was|were|is|are|been|got|be) (?:now |recently )?(?:renamed|rebranded) (?:to|as)\b", f" {CHANGED} name is "),
        (
            r"\b(?:mov(?:ed|ing|e)|migrat(?:ed|ing|e)|got|gone|transition(?:ed|ing)) (?:\w+ ){0,3}?(?:away from|off(?: of)?)\b",
            f" {CHANGED} {RETIRED} use ",
        ),
        (
            r"\b(?:switch(?:ed|ing|es)?|migrat(?:ed|ing|es|e)|transition(?:ed|ing)|convert(?:ed|ing)|port(?:ed|ing)"
            r"|shift(?:ed|ing)|went|gone|mov(?:ed|ing|es|e)|chang(?:ed|ing|es"
            r"|e))(?: over)?((?: \S+){0,6}?) from ([^.,;\n]{1,50}?) (?:over )?to\b",
            rf" {CHANGED} use \1 {FROM} \2 {TO} ",
        ),
        (
            r"\b(?:push(?:ed)?|reschedul(?:ed|e)|postpon(?:ed|e)|rais(?:ed|e)|increas(?:ed|e|es)|reduc(?:ed|e)|lower(?:ed)?"
            r"|decreas(?:ed|e)|bump(?:ed)?|cut|extend(?:ed)?|shorten(?:ed)?|set|upgrad(?:ed|e)|downgrad(?:ed|e)|updat(?:ed|e)"
            r"|adjust(?:ed)?|dropped|grew|grown|went up|went down|rose|fell|tighten(?:ed)?"
            r"|relax(?:ed)?)((?: \S+){0,8}?) from ([^.,;\n]{1,40}?) to\b",
            rf" {CHANGED} \1 is {FROM} \2 {TO} ",
        ),
        (
            r"\b(?:switch(?:ed|ing)|migrat(?:ed|ing)|transitioned|standardi[sz]ed|converted|ported|went over|gone over"
            r"|moved over|changed over|moved everything|migrated everything)((?: \S+){0,5}?) (?:over )?(?:to|on|onto)\b",
            rf" {CHANGED} use \1 ",
        ),
        (
            r"\b(?:(?:is|are|was|were|has|have|been|being|got) )*(?:mov(?:ed|ing)|relocat(?:ed|ing)|shifted)((?: \S+){0,5}?) (?:back |over |out )?(?:to|into|onto)\b",
            rf" {CHANGED} live \1 to ",
        ),
        (
            r"\b(?:rais(?:ed|ing)|increas(?:ed|ing)|reduc(?:ed|ing)|lower(?:ed|ing)|decreas(?:ed|ing)|extended|shortened"
            r"|chang(?:ed|ing|es|e)|adjusted|dropped|tightened|relaxed|grew|grown|went up|went down|rose|fell|cut|rescheduled"
            r"|postponed|pushed(?: back)?|brought forward|bumped|updated)((?: \S+){0,6}?) (?:to|until|till|down to|up to)\b",
            rf" {CHANGED} \1 is ",
        ),
        (r"\b(?:upgrad(?:ed|ing)|downgrad(?:ed|ing))((?: \S+){0,5}?) to\b", rf" {CHANGED} use \1 "),
        (r"\b(?:rewrote|rewritten|reimplemented|rebuilt|reworked)\b", f" {CHANGED} written "),
        (
            r"\b(?:(?:is|are|was|were|has|have|been|got|gets?|being|will be) )*(?:now |finally |recently |since |fully "
            r"|officially |completely |just |all |already )*"
            r"(?:decommissioned|retired|removed|scrapped|cancell?ed|discontinued|abandoned|axed|shut ?down|turned off"
            r"|switched off|phased out|sunset(?:ted)?|disbanded|dissolved|obsolete|deprecated|uninstalled|torn down"
            r"|taken down|thrown out|dropped|deleted|gone|dead|killed|ditched|eliminated|closed down|given up)\b",
            f" {ENDED} ",
        ),
        (
            r"\bno longer\b|\b(?:stopped|stop|ceased?|quit|gave up|give up) (?=\w+ing\b)|\b(?:got rid of|get rid of|phas(?:ed"
            r"|ing) out|moved on from|parted with|walked away from|done with|finished with|backed out of)\b|\bya no\b"
            r"|\bnicht mehr\b|\bne \w+ plus\b|\bkeine?n? \w+ mehr\b|不再",
            f" {RETIRED} ",
        ),
        (r"\bany ?more\b|\bany longer\b|\bmehr\b(?=\W*$)", f" {CHANGED} "),
        (
            r"(?:^|(?<=[.!?\n]) *)\W*(?:correction|actually|update[ds]?|edit|amendment|scratch that|scrap that|my mistake"
            r"|sorry|i was wrong|turns out|it turns out|in fact|to correct|not true|erratum|fix|change of plans?|new decision"
            r"|changed my mind|i changed my mind|berichtigung|korrektur|corrección|rectification)\b(?: on [^:,.\n]{1,30}"
            r"| to [^:,.\n]{1,30}| that)?\s*[:,.–—-]*",
            f" {CHANGED} ",
        ),
        (
            r"\b(?:from now on|going forward|as of (?:today|now|[^.,;\n]{1,24}?)(?=,| we| the|$)|nowadays|these days|now"
            r"|henceforth|effective immediately|since then|instead|after all|jetzt|ab sofort|nun|ahora|désormais"
            r"|maintenant)\b|现在|改为|改成",
            f" {CHANGED} ",
        ),
        (r"\b((?:the|our|my) )(?:new|updated|current|latest|revised|corrected|right|correct|actual)\b(?= [a-z])", rf" {CHANGED} \1"),
        (r"\bdecided (?:against|not to)\b|\bopted (?:against|not to)\b|\bruled out\b|\bchose not to\b", f" decided {NOT} "),
        (
            r"\b(?:(?:agreed|agree|decided|chose|opted|settled|chosen) (?:to use|to adopt|on using|for using|on|for|with|in favou?r of)"
            r"|(?:went|gone|going|go|stick|sticking) with)\b",
            " choose ",
        ),
        (r"\bin favou?r of\b", f" {TO} "),
        (r"\bswitch to\b|\bmove to\b|\bmigrate to\b", f" {CHANGED} use "),
        (r"\b(?:takes?|took|taking) place\b", " happen "),
        (r"\b(?:relies|rely|relying|standardi[sz]es?|standardi[sz]ed) on\b|\bmakes? use of\b|\bis powered by\b|\bpowered by\b", " use "),
        (r"\b(?:is|are) (?:called|named|known as)\b", " name is "),
        (r"\b(?:is|are) (?:the )?(?:person )?(?:responsible for|in charge of)\b", " own "),
        (r"\bevery other\b", " biweekly "),
        (r"\bhalf past\b", " 30 past "),
        (r"\b(?:wants|likes|prefers) (?:it )?when\b", " prefer "),
        (r"\b(\w+) (?:better|more) than\b", rf"prefer \1 {CONTRAST} "),
        (r"\bopen[- ]source[d]?\b", " opensource "),
    )
)

_UNIT = "|".join(sorted((re.escape(unit) for unit in lex.UNITS if unit not in "$€£"), key=len, reverse=True))
_MONTH = r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
r"|nov(?:ember)?|dec(?:ember)?"
#: No part of a longer identifier; script without spaces may stand before it.
_A = r"(?<![a-zA-Z0-9_])"
_CJK = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002fa1f]"
_TOKEN = re.compile(
    "|".join(
        (
            r"(?P<url>https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?])",
            r"(?P<email>[\w.+-]+@[\w-]+\.[\w.-]*\w)",
            r"`(?P<tick>[^`\s]{1,80})`",
            r"(?P<date>(?<![a-zA-Z0-9_-])\d{4}-\d{2}-\d{2}\b)",
            rf"(?P<day>\b\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?(?:{_MONTH})\b(?:,? \d{{4}})?|\b(?:{_MONTH}) \d{{1,2}}(?:st|nd"
            rf"|rd|th)?\b(?!:)(?:,? \d{{4}})?)",
            r"(?P<clock>\b\d{1,2}[:.]\d{2}(?::\d{2})? ?(?:[ap]\.?m\b\.?)|\b\d{1,2}:\d{2}\b|\b\d{1,2} ?[ap]m\b)",
            r"(?P<path>(?<![\w.])(?:~|\.{1,2})?(?:/[\w.@%+*{}$-]+)+/?|\b[\w.@-]+(?:/[\w.@*{}$-]+)+/?)",
            r"(?P<flag>(?<!\S)--?[a-zA-Z][\w-]*)",
            rf"(?P<amount>(?P<money>[€$£])?(?P<digits>{_A}\d[\d,_]*(?:\.\d+)?)(?:[ -]?(?P<unit>{_UNIT}"
            r"|(?<=\d)d)(?![a-zA-Z0-9_])|(?![a-zA-Z0-9_.-]*[a-zA-Z0-9_])))",
            rf"(?P<code>{_A}(?:\w*\d\w*(?:[.:_@+-]\w+)+|\w+(?:[._:@]\w+)+|\w+(?:-\w+)*-\d+\w*(?:-\w+)*|(?=[a-z_]*\d)\w+"
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
_SENTENCE = re.compile(r"(?<!\b(?:Dr|Mr|Ms|St|No|vs)\.)(?<!\b(?:Mrs|e\.g|i\.e)\.)(?<=[.!?])\s+(?=\S)|[\n;。！？]+|\.\s*$")
_BLANK = " \t\r\n;*-•"
_CJK_NEGATIONS = frozenset("不没沒别別未勿非")


def read(text: str) -> tuple[Clause, ...]:
    """The statements of a text, in order."""
    text = _PRIVATE.sub("", unicodedata.normalize("NFKC", text))
    clauses: list[Clause] = []
    changed = False
    for at, piece in _sentences(text):
        if len(clauses) == MAX_CLAUSES:
            clauses.append(_bare(text[at:].split()))
            break
        if len(piece) > MAX_STATEMENT:
            clauses.append(_bare(piece.lower().split()))
            continue
        clause = _statement(piece)
        changed = changed or (clause.changed and not clause.tokens)
        if clause.tokens:
            clauses.append(replace(clause, changed=True) if changed else clause)
    return tuple(clauses)


def _statement(piece: str) -> Clause:
    asked = piece.rstrip().endswith(("?", "？"))
    for pattern, into in _SUBSTITUTIONS:
        piece = pattern.sub(into, piece)
    return _clause(list(_tokens(piece)), asked=asked)


def _bare(words: Sequence[str]) -> Clause:
    tokens = tuple(Token(word, "number" if any(char.isdigit() for char in word) else "word", word, "object") for word in words)
    return Clause(tokens, keys=tuple(words))


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence or line begins, and its text."""
    at = 0
    for match in _SENTENCE.finditer(text):
        piece = text[at : match.end()].strip(_BLANK)
        if piece:
            yield at, piece
        at = match.end()
    if text[at:].strip(_BLANK):
        yield at, text[at:].strip(_BLANK)


@dataclass(slots=True)
class _Raw:
    """A token before it has a part: its text, kind and key; `sep` and `mark` are kinds too."""

    raw: str
    kind: str
    key: str
    measure: str = ""


def _tokens(text: str) -> Iterator[_Raw]:
    first = True
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind in ("digits", "money", "unit"):
            kind = "amount"
        raw = match[0]
        yield _raw(match, kind, raw, first)
        if kind not in ("mark", "sep"):
            first = False
        if raw in ":" or kind == "sep":
            first = first or raw == ":"


def _raw(match: re.Match[str], kind: str, raw: str, first: bool) -> _Raw:
    low = raw.lower()
    if kind in ("mark", "sep"):
        return _Raw(low, kind, low)
    if kind == "amount":
        return _amount(match)
    if kind in ("date", "day"):
        return _Raw(low, "number", _day(low), "date")
    if kind == "clock":
        return _Raw(low, "number", _clock(low), "clock")
    if kind == "tick":
        low = match["tick"].lower()
        known = lex.SYNONYMS.get(lex.stem(low), lex.stem(low))
        return _Raw(low, "name" if known in lex.KIND_OF else "code", known if known in lex.KIND_OF else low)
    if kind == "code":
        if re.fullmatch(r"v?\d+(?:\.\d+)*(?:\.x|\+)?", low):
            return _Raw(low, "number", low.removeprefix("v").removesuffix("+"), "version" if "." in low or low[0] == "v" else "")
        known = lex.SYNONYMS.get(low, low)
        return _Raw(low, "name" if known in lex.KIND_OF else "code", known)
    if kind in ("url", "email", "path", "flag"):
        return _Raw(low, "code", low.rstrip("/") or low)
    if kind == "compound":
        return _compound(low)
    if kind == "cjk" or kind == "symbol":
        return _Raw(low, "word", low)
    if low in lex.NUMBER_WORDS:
        return _Raw(low, "number", lex.NUMBER_WORDS[low])
    root = lex.stem(low)
    key = lex.SYNONYMS.get(root, root)
    letter = len(raw) == 1 and raw.isupper() and raw != "I" and not first
    shout = letter or (raw[0].isupper() and not first and low not in lex.FILLER)
    if low in lex.COMMON and raw[0].isupper() and not first:
        key = low
    listed = key in lex.KIND_OF and (low not in lex.COMMON or (raw[0].isupper() and not first)) and low not in lex.ALIKE
    named = listed or any(char.isupper() for char in raw[1:]) or shout
    plain = low in lex.PREPOSITIONS or low in lex.COPULA or low in lex.AUXILIARY or low in lex.NEGATIONS
    return _Raw(low, "name" if named and not plain else "word", key)


def _compound(low: str) -> _Raw:
    """A word with a hyphen: one word where it is written so by grammar, else somebody's name for a thing."""
    joined = low.replace("-", "")
    known = lex.SYNONYMS.get(lex.stem(joined), lex.SYNONYMS.get(low, ""))
    parts = low.split("-")
    plain = known or parts[0] in lex.HYPHENED or lex.stem(parts[-1]) != parts[-1] or any(part in lex.FILLER or part in lex.PREPOSITIONS for part in parts)
    return _Raw(low, "word" if plain else "code", known or lex.stem(joined))


def _amount(match: re.Match[str]) -> _Raw:
    digits = match["digits"].replace("_", "")
    digits = digits.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits) else digits.rstrip(",")
    unit = (match["money"] or match["unit"] or "").lower()
    if unit == "d":
        unit = "days"
    try:
        number = float(digits)
    except ValueError:
        return _Raw(match[0].lower(), "number", digits)
    if unit not in lex.UNITS:
        return _Raw(match[0].lower(), "number", digits)
    measure, factor = lex.UNITS[unit]
    return _Raw(
        match[0].lower(),
        "number",
        f"{number * factor:g} {measure}" if measure != "count" else f"{number * factor:.0f}",
        measure.replace("count", ""),
    )


def _day(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        year, month, day = text.split("-")
        return f"{int(day)}.{int(month)}.{year}"
    month = next((str(lex.MONTHS[name]) for name in lex.MONTHS if re.search(rf"\b{name}", text)), "")
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


def _clause(raws: list[_Raw], *, asked: bool) -> Clause:
    marks = {each.raw for each in raws if each.kind == "mark"}
    raws, former = _former(raws)
    negations = sum(each.raw in lex.NEGATIONS or each.raw == NOT or each.raw in _CJK_NEGATIONS for each in raws)
    # "ne … pas" and the like deny once.
    if {"ne", "pas"} <= {each.raw for each in raws}:
        negations -= 1
    over = RETIRED in marks or ENDED in marks
    raws = [each for each in raws if each.kind != "mark" or each.raw == ENDED]
    start = _lead_end(raws)
    verb_at, verb_end, copular = _verb(raws, start)
    verb = raws[verb_end].key if 0 <= verb_end < len(raws) and raws[verb_end].kind == "word" else ""
    parts = _parts(raws, start, verb_at, verb_end, copular)
    tokens: list[Token] = []
    for each, part in zip(raws, parts, strict=True):
        if each.kind in ("sep", "mark") or each.raw in lex.NEGATIONS or each.raw in _CJK_NEGATIONS or each.raw == NOT:
            continue
        if each.kind == "word" and _empty(each):
            continue
        key = each.key
        if (
            each.kind == "word"
            and key in lex.DENIALS
            and part not in ("subject", "lead", "circumstance", "reason")
            and key != lex.DENIALS[key]
        ):
            key = lex.DENIALS[key]
            negations += 1
        tokens.append(Token(key, each.kind, each.raw, part, each.measure))
    event = _event(raws, start, verb_at, verb_end, copular)
    return Clause(
        tuple(tokens),
        lex.DENIALS.get(verb, verb),
        negative=(negations + over) % 2 == 1,
        copular=copular,
        retired=over,
        ended=ENDED in marks,
        changed=CHANGED in marks,
        also=ALSO in marks,
        tentative=TENTATIVE in marks or asked,
        event=event,
        former=former,
        keys=tuple(token.key for token in tokens),
    )


def _empty(each: _Raw) -> bool:
    if each.raw in lex.TELLING:
        return False
    return each.raw in lex.FILLER or each.raw in lex.PREPOSITIONS or each.raw in lex.COPULA or each.raw in lex.AUXILIARY


def _former(raws: list[_Raw]) -> tuple[list[_Raw], frozenset[str]]:
    """The tokens without those that are said to hold no longer, and the keys of those."""
    kept: list[_Raw] = []
    former: list[str] = []
    taking = False
    for each in raws:
        if each.kind == "mark" and each.raw in (CONTRAST, FROM):
            taking = True
        elif taking and (
            each.raw == TO
            or (each.kind == "sep" and each.raw in ",()")
            or (each.kind == "mark" and each.raw != NOT)
            or (each.raw in lex.QUALIFYING and each.raw != "as")
        ):
            taking = False
            if each.raw != TO:
                kept.append(each)
        elif taking:
            if not _empty(each) and each.raw not in lex.NEGATIONS:
                former.append(each.key)
        else:
            kept.append(each)
    return kept, frozenset(former) - lex.LIGHT


def _lead_end(raws: Sequence[_Raw]) -> int:
    """Where the main part begins: after "In Go projects," or "On 3 May we"."""
    first = next((at for at, each in enumerate(raws) if each.kind not in ("sep", "mark")), len(raws))
    if first >= len(raws):
        return len(raws)
    opens = (
        raws[first].raw in lex.PREPOSITIONS or raws[first].measure == "date" or raws[first].raw in ("yesterday", "today", "last", "this")
    )
    if not opens:
        return first
    for at in range(first, min(len(raws), first + 14)):
        if raws[at].kind == "sep" and raws[at].raw in ",:":
            return at + 1
    for at in range(first + 1, min(len(raws), first + 10)):
        if raws[at].raw in ("we", "i", "user", "users", "they"):
            return at
    return first


def _verb(raws: Sequence[_Raw], start: int) -> tuple[int, int, bool]:
    """(where the verb group begins, its main verb, whether what follows is a complement)."""
    limit = min(len(raws), start + 24)
    for at in range(start, limit):
        each = raws[at]
        if each.raw in lex.COPULA or each.raw == "=" or each.raw == ENDED:
            if each.raw in (":", "=") and any(other.raw in lex.COPULA and other.kind == "word" for other in raws[at + 1 : at + 3]):
                continue
            return _copula(raws, at)
        if each.kind != "word":
            continue
        if each.raw in lex.AUXILIARY:
            return _auxiliary(raws, at)
        if each.key in lex.VERBS and _is_verb(raws, start, at):
            return at, at, False
    return -1, -1, False


def _copula(raws: Sequence[_Raw], at: int) -> tuple[int, int, bool]:
    if raws[at].raw in lex.COPULA and raws[at].kind == "word":
        for later in range(at + 1, min(len(raws), at + 4)):
            each = raws[later]
            if (
                each.kind == "word"
                and each.key in lex.VERBS
                and each.raw.endswith(("ed", "en", "ing", "t", "n", "pt", "ld", "de", "un", "ut"))
            ):
                return at, later, not each.raw.endswith("ing")
            if (
                each.kind != "word"
                or not (each.raw in lex.FILLER or each.raw in lex.NEGATIONS or each.raw.endswith("ly"))
                or each.raw in ("the", "a", "an", "our", "my")
            ):
                break
    return at, at, True


def _auxiliary(raws: Sequence[_Raw], at: int) -> tuple[int, int, bool]:
    has = raws[at].raw in ("has", "have", "had", "do", "does", "did", "need", "needs")
    for later in range(at + 1, min(len(raws), at + 5)):
        each = raws[later]
        if each.raw in lex.COPULA and each.kind == "word":
            return at, *_copula(raws, later)[1:]
        if (
            each.raw in lex.AUXILIARY
            or each.raw in lex.NEGATIONS
            or each.raw == "to"
            or (each.kind == "word" and (each.raw.endswith("ly") or each.raw in ("always", "just", "already", "also")))
        ):
            continue
        if (
            each.kind == "word"
            and each.key in lex.VERBS
            and (not has or each.raw.endswith(("ed", "en")) or raws[later - 1].raw in ("to", "not", "do", "does"))
        ):
            return at, later, False
        if each.kind == "word" and not has and each.raw not in lex.FILLER:
            return at, later, False
        break
    return at, at, False


def _is_verb(raws: Sequence[_Raw], start: int, at: int) -> bool:
    before = next((raws[back] for back in range(at - 1, start - 1, -1) if raws[back].kind != "mark"), None)
    after = next(
        (
            each
            for each in raws[at + 1 : at + 4]
            if each.kind not in ("mark",) and not each.raw.endswith("ly") and each.raw not in lex.NEGATIONS
        ),
        None,
    )
    if before is not None and (
        before.raw
        in (
            "the",
            "a",
            "an",
            "our",
            "my",
            "your",
            "their",
            "his",
            "her",
            "its",
            "this",
            "these",
            "that",
            "every",
            "each",
            "all",
            "no",
            "any",
            "to",
        )
        or (before.raw in lex.PREPOSITIONS and before.raw not in ("so",))
    ):
        return False
    finite_later = any(
        each.kind == "word"
        and (
            each.raw in lex.COPULA
            or (each.raw in lex.AUXILIARY and each.raw not in ("need", "do"))
            or (each.key in lex.VERBS and each.key not in lex.NOUNLIKE and each.raw.endswith("s"))
        )
        for each in _main_clause(raws, at + 1)
    )
    first = before is None or before.kind == "sep"
    if first and (finite_later or raws[at].raw.endswith("ing")):
        return not finite_later
    if (
        after is not None
        and after.kind == "word"
        and (
            after.raw in lex.COPULA
            or after.raw in lex.AUXILIARY
            or (after.key in lex.VERBS and not after.raw.endswith(("ed", "en")) and (raws[at].key in lex.NOUNLIKE or first))
        )
    ):
        return False
    return not (raws[at].key in lex.NOUNLIKE and finite_later)


def _main_clause(raws: Sequence[_Raw], at: int) -> Iterator[_Raw]:
    for each in raws[at : at + 10]:
        if (
            each.kind == "sep"
            or each.raw in lex.QUALIFYING
            or each.raw in ("that", "which", "who", "and", "or", "before", "after", "until")
        ):
            return
        yield each


def _parts(raws: Sequence[_Raw], start: int, verb_at: int, verb_end: int, copular: bool) -> list[str]:
    parts = ["lead"] * min(start, len(raws))
    verb = raws[verb_end].key if 0 <= verb_end < len(raws) else ""
    part = "subject" if verb_at >= start else "object"
    taken = False
    for at in range(start, len(raws)):
        each = raws[at]
        if at >= MAX_WORDS:
            parts.append("circumstance")
            continue
        if verb_at >= 0 and verb_at <= at <= verb_end:
            parts.append("verb")
            part = "object"
            continue
        if part != "subject" and verb_at >= 0 and at > verb_end:
            part, taken = _next_part(each, part, taken, verb, copular)
        parts.append(part)
    return parts


def _next_part(each: _Raw, part: str, taken: bool, verb: str, copular: bool) -> tuple[str, bool]:
    """The part of a token after the verb, and whether the verb has its value."""
    word = each.raw
    if word in ("because", "since", "due", "weil", "porque", "car", "given"):
        return "reason", taken
    if part == "reason":
        return part, taken
    if word == "as" and copular and not taken:
        return "object", taken
    if word in lex.QUALIFYING or (word in ("before", "after", "until", "without") and taken):
        return "circumstance", taken
    if word in lex.PREPOSITIONS:
        if part == "circumstance":
            return part, taken
        if not taken and part == "object":
            return "object", taken
        placed = (
            word in ("with", "via", "using", "through")
            or (copular and verb not in lex.COPULA)
            or verb in lex.PLACING
            or (word in ("to", "at", "under", "into") and verb in lex.EXCLUSIVE)
        )
        return ("place" if placed else "circumstance"), taken
    if part == "object" and each.kind not in ("sep", "mark") and not _empty(each) and word not in lex.NEGATIONS:
        return part, True
    return part, taken


def _event(raws: Sequence[_Raw], start: int, verb_at: int, verb_end: int, copular: bool) -> bool:
    """Whether the clause tells what happened once rather than how things are."""
    if any(each.raw in ("yesterday", "today", "ago", "tonight") for each in raws[:MAX_WORDS]):
        return True
    if start > 0 and any(each.measure == "date" for each in raws[:start]) and not copular:
        return True
    if any(
        each.raw == "last" and raws[at + 1].raw in ("week", "month", "night", "year", "sprint", "monday", "friday")
        for at, each in enumerate(raws[:-1][:MAX_WORDS])
    ):
        return True
    return 0 <= verb_end < len(raws) and not copular and raws[verb_end].raw in lex.EVENTS
