"""What can be learned from words alone, without a model: few things, and those as they were said.

Patterns are for English, German, French and Spanish; other languages yield nothing. They are narrow on purpose: an
automatic extractor is worth what its worst sentence is worth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bethink import text
from bethink.intake.evidence import DANGLING, Item, Row

_SHORTEST, _LONGEST = 20, 240
_LONGEST_FINDING = 380
_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)

#: What a standing order tells somebody to do: "always" and "never" before anything else are talk.
_DOING = (
    "use|run|write|add|commit|push|check|test|keep|put|make|prefer|ask|tell|show|explain|format|name|call|import|avoid|include|update|"
    "start|create|delete|remove|deploy|merge|sign|squash|rebase|log|return|throw|catch|document|comment|review|build|install|set|store|"
    "read|follow|respond|answer|speak|reply|do|touch|change|edit|modify|mention|assume|guess|skip|ignore|hardcode|mock|ship|release|"
    "force|wait|open|close|send|rename|refactor|lint|pin|bump|cache|validate|escape|quote|cite|translate|summari[sz]e|prefix|wrap|split"
)
#: A standing wish of the user's.
_PREFERENCE = re.compile(
    r"^(?:(?:please|also|and|so|ok(?:ay)?|yes|no|well|btw|by the way|fyi)[,:]?\s+){0,2}(?:"
    r"(?:from now on|in (?:the )?future|as a rule|in general|remember that|remember:)[,:]?\s.{12,}|"
    rf"(?:always|never) (?:{_DOING})\b.{{4,}}|"
    r"i (?:always |really |generally |strongly |usually )?prefer\b.{4,}|i (?:want|need) you to (?:always|never)\b.{4,}|"
    rf"we (?:always|never) (?:{_DOING})\b.{{4,}}|"
    r"(?:bitte )?(?:ab jetzt|in zukunft|grundsätzlich|merk dir)\b.{12,}|(?:bitte )?(?:immer|nie(?:mals)?)\b.{4,}\w(?:en|ern|eln)[.!]?$|"
    r"ich bevorzuge\b.{4,}|"
    r"(?:désormais|à partir de maintenant|dorénavant)\b.{12,}|(?:toujours|ne jamais) \w+(?:er|ir|re)\b.{4,}|je préfère\b.{4,}|"
    r"(?:de ahora en adelante|a partir de ahora)\b.{12,}|(?:siempre|nunca) \w+(?:ar|er|ir)\b.{4,}|prefiero\b.{4,})",
    re.IGNORECASE,
)
_REMEMBER = re.compile(r"^(?:\w+[,:]?\s+){0,2}(?:remember|merk dir)\b", re.IGNORECASE)
#: Something that was settled.
_DECISION = re.compile(
    r"\b(?:we(?:'ve| have)? (?:decided|agreed|settled)(?: (?:to|on|that|against))?|(?:i|we)(?:'ve| have)? decided (?:to|on|that|against)|"
    r"decision:|let's (?:use|go with|stick (?:with|to)|switch to)|we(?:'ll| will) (?:use|go with|stick (?:with|to)|switch to)|"
    r"wir (?:haben (?:uns )?(?:entschieden|beschlossen)|nehmen|verwenden ab)|on a décidé|nous avons décidé|hemos decidido|decidimos)\b",
    re.IGNORECASE,
)
#: Why something was broken, and what mended it.
_CAUSE = re.compile(
    r"\b(?:the )?(?:root cause|underlying (?:cause|problem|issue)|real (?:cause|problem|issue))\b.{0,40}\b(?:is|was)\b|"
    r"\b(?:error|bug|failure|crash|problem|issue|test|build)s?\b.{0,60}\b(?:is|was|were) caused by\b|\bit turn(?:s|ed) out that\b|"
    r"\bthe fix (?:is|was) to\b|\bdie (?:eigentliche )?ursache (?:ist|war)\b|\bla cause (?:est|était)\b|\bla causa (?:es|era|fue)\b",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"^\s*(?:[-*]\s*\[ \]\s+|todo:\s*|(?:still )?(?:to do|open|remaining):\s*|follow-up:\s*)(?P<task>.{12,200})$",
    re.IGNORECASE | re.MULTILINE,
)
#: A wish about this moment only, or a guess.
_PASSING = re.compile(
    r"\b(?:(?<!from )now|for now|for the moment|right now|this time|today|just|next|first|let me|i'll|i will|"
    r"shall i|should i|maybe|perhaps|might|"
    r"i think|i guess|probably|possibly|would you|could you|can you|if you (?:want|like))\b|\?",
    re.IGNORECASE,
)
_NAMED = re.compile(r"`[^`]+`|\b\w+[_./-]\w+|\b[a-z]+[A-Z]\w+|\b[A-Z][A-Za-z]{2,}|\b[A-Z]{2,}\b|\d")


def found_in(rows: Sequence[Row]) -> list[Item]:
    """What is said plainly in some turns, each thing once; every item is its own quote."""
    items: dict[str, Item] = {}
    section = ""
    for row in rows:
        if row.origin.get("agent_id"):
            continue
        if row.role == "summary":
            # A long summary is kept in parts: the next one begins in the section where the last one ended.
            found, section = _of_summary(row, section if row.origin.get("from") else "")
        else:
            found = list(_of_row(row))
        for item in found:
            items.setdefault(item.content.casefold(), item)
    return list(items.values())


#: Headings of the summary that Claude Code writes at a compaction; what went wrong and what mended it stands below them.
_HEADING = re.compile(r"^\s{0,3}(?:\d+\.|#{1,4})\s+\**(?P<title>[^:*\n]{3,60})\**:?\**\s*$")
_MENDED_SECTIONS = ("errors and fixes", "problem solving", "key learnings", "lessons learned")
_BULLET = re.compile(r"^(?P<indent>\s*)[-*]\s+(?P<said>\S.*)$")
#: Slips of the pen and of one's own edits, and what is not over.
_SLIP = re.compile(
    r"\b(?:expected|typo|unused|indentation|formatting|formatted|whitespace|syntax error|missing (?:import|alias|module)|"
    r"duplicate definition|string to replace|has not been read|already (?:done|fixed)|stale|unresolved|not resolved|pre-existing|"
    r"retried|renam(?:ed|ing)|extracted|refactored|nesting|current:|needs? to|still)\b",
    re.IGNORECASE,
)
#: What helped, or holds.
_HELPS = re.compile(
    r"\b(?:fixed|solved by|rewrote|changed|switched|us(?:e|ed|ing)|added|must|should|requires?|required|needed|instead|established|because|"
    r"cannot|can't|doesn't|does not|never|always)\b",
    re.IGNORECASE,
)
#: Fewest words of a finding that says both what was wrong and what helps.
_FINDING_WORDS = 9


def _of_summary(row: Row, section: str) -> tuple[list[Item], str]:
    """What went wrong and how it was mended, from the sections of a summary; and the section that it ends in."""
    found = []
    least = None
    for line in row.text.splitlines():
        if heading := _HEADING.match(line):
            section, least = heading["title"].strip().casefold(), None
            continue
        bullet = _BULLET.match(line) if section in _MENDED_SECTIONS else None
        if bullet is None:
            continue
        depth = len(bullet["indent"])
        # The first part of a line may have lost its indent where a long summary was cut.
        least = depth if least is None or (least == 0 and depth) else min(least, depth)
        raw = bullet["said"].strip()
        plain = " ".join(raw.replace("**", "").split())
        if depth > least or raw.endswith(":") or not _SHORTEST <= len(plain) <= _LONGEST_FINDING or _SLIP.search(plain):
            continue
        if ": " in plain and _HELPS.search(plain) and _NAMED.search(plain[1:]) and len(text.informative(plain)) >= _FINDING_WORDS:
            found.append(Item("root_cause", plain, raw))
    return found, section


def _of_row(row: Row) -> Iterator[Item]:
    plain = _CODE.sub("\n", row.text)
    if row.role == "user":
        # A pasted document is not the user's word.
        if len(plain) > 4000:
            return
        for sentence in sentences(plain):
            if _PREFERENCE.match(sentence) and _stands_alone(sentence, names=False):
                yield Item("fact" if _REMEMBER.match(sentence) else "preference", sentence, sentence)
            elif _DECISION.search(sentence) and _stands_alone(sentence):
                yield Item("decision", sentence, sentence)
        return
    for sentence in sentences(plain):
        if _CAUSE.search(sentence) and _stands_alone(sentence) and len(text.informative(sentence)) >= 7:
            yield Item("root_cause", sentence, sentence)
    for found in _TASK.finditer(plain):
        task = " ".join(found["task"].split())
        if _NAMED.search(task) and not task.endswith("?"):
            yield Item("task", f"Open: {task}", task)


def sentences(plain: str) -> Iterable[str]:
    """The sentences and lines of a text that are of a length to be remembered, without their list marks."""
    for raw in _SENTENCE.split(plain):
        sentence = " ".join(raw.split()).strip(" -*#>•")
        sentence = re.sub(r"^\d+[.)]\s+", "", sentence)
        if _SHORTEST <= len(sentence) <= _LONGEST:
            yield sentence


def _stands_alone(sentence: str, *, names: bool = True) -> bool:
    """Whether somebody who was not there would understand it."""
    if DANGLING.match(sentence) or _PASSING.search(sentence):
        return False
    if len(text.informative(sentence)) < 3:
        return False
    return not names or bool(_NAMED.search(sentence[1:]))


#: How a correction begins, right after the assistant did something.
CORRECTION: Final = re.compile(
    r"^(?:no|nope|don'?t|do not|stop|never|wrong|incorrect|not that|actually|wait|instead|avoid|please don'?t|that'?s not|rather|"
    r"nein|nicht|lass das|hör auf|falsch|stattdessen|eigentlich|"
    r"non|ne|arrête|pas|faux|plutôt|en fait|"
    r"no|para|nunca|mal|incorrecto|en realidad|mejor)\b[\s,.:;!-]*",
    re.IGNORECASE,
)
#: What makes a correction a wish that holds later too: it says what to do, or what not to do.
_DIRECTION = re.compile(
    r"\b(?:don'?t|do not|never|stop|avoid|use|prefer|always|keep|should(?:n'?t| not)? |must(?:n'?t| not)? |without|instead of|rather than|"
    r"nicht|nie|immer|verwende|benutze|nimm|lieber|statt|ohne|ne .{1,30} pas|jamais|toujours|utilise|plutôt|au lieu|sans|"
    r"nunca|siempre|usa|utiliza|en vez|en lugar|sin)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:it|this|them|those|there|das|dies|es|ça|cela|eso|esto|lo)\b|\b(?:do|of|use|like|with|to|not) that\b|\bthat[.!]?$", re.IGNORECASE
)
_REPORT = re.compile(
    r"\b(?:still|doesn'?t work|does not work|didn'?t work|not working|"
    r"fails?|failed|failing|error|broken|crash\w*|nothing (?:happens|changed)|"
    r"geht nicht|funktioniert nicht|immer noch|ne marche pas|marche pas|erreur|no funciona|sigue)\b",
    re.IGNORECASE,
)


def correction(said: str) -> str | None:
    """The standing wish in a user's correction, None when it corrects this one thing only or reports that it failed."""
    plain = " ".join(_CODE.sub(" ", said).split())
    if not 12 <= len(plain) <= 300 or not CORRECTION.match(plain) or "?" in plain:
        return None
    wish = _wish(plain)
    if wish is None or _REPORT.search(plain) or not _DIRECTION.search(wish) or DANGLING.match(wish):
        return None
    if _POINTING.search(wish) and not _NAMED.search(wish[1:]):
        return None
    return plain if len(text.informative(wish)) >= 3 else None


def _wish(plain: str) -> str | None:
    """The correction without its interjection; with it when that is the wish (don't, never, stop)."""
    rest = plain
    while found := re.match(
        r"^(?:no|nope|wrong|incorrect|not that|actually|wait|nein|falsch|non|faux|en fait|eigentlich)\b[\s,.:;!-]+", rest, re.IGNORECASE
    ):
        rest = rest[found.end() :]
    return rest if len(rest) >= 10 else None
