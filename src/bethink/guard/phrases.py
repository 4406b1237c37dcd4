"""Turns of phrase that speak of change, as marks in the text: "switched from A to B", "no longer", "instead of". Pure."""

from __future__ import annotations

import re

from bethink.pattern import Pattern

# Marks that stand in the text for phrases; private-use characters, taken out of the input first.
RETIRED, ENDED, CHANGED, ALSO, TENTATIVE, CONTRAST, FROM, TO, NOT = (chr(0xE000 + number) for number in range(9))


_PRIVATE = re.compile("[\ue000-\ue00f]")

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
SUBSTITUTIONS: tuple[tuple[Pattern, str], ...] = tuple(
    (Pattern(pattern, ignore_case=True), into)
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
        (r"(?<=no longer )([^,;.\n]{1,60}?),? (?:but )?\w+ (?:does|is|has|will|do)(?: now| so| it)?(?=\W*$)", r"\1"),
        (
            (
                rf"\bsince (?=(?:{_MONTHS}|last|this|yesterday|monday|tuesday|wednesday|thursday|friday|spring|summer|autumn"
                rf"|winter|\d{{4}})\b)"
            ),
            f" {CHANGED} since ",
        ),
        (
            (
                r"\b(?:no|not) more than\b|\bat most\b|(?<!went )(?<!gone )(?<!rose )(?<!raised )(?<!increased"
                r" )(?<!moved )\bup to\b|\bno longer than\b"
            ),
            " max ",
        ),
        (r"\b(?:no|not) (?:less|fewer) than\b|\bat least\b", " min "),
        (r"\bno later than\b", " by "),
        (r"\bnot until\b", " after "),
        (
            (
                r"\bas well as\b|\bas well\b|\bin addition(?: to)?\b|\badditionally\b|\b(?<!not )also\b|\btoo\b(?=\s*(?:$"
                r"|[.,;!]))|\banother\b|\bbesides\b|\bplus\b|\balongside\b"
            ),
            f" {ALSO} ",
        ),
        (
            (
                r"\b(?:maybe|perhaps|possibly|probably|might|consider(?:s|ed|ing)?|think(?:s|ing)? (?:of|about)|plan(?:s|ned"
                r"|ning)? to|(?:is|are|am|'m) going to|wants? to|would like to|propos(?:e|ed|es|al|ing)"
                r"|suggest(?:s|ed|ion|ing)?|evaluat(?:e|es|ed|ing)|experiment(?:s|ed|ing)? with|try(?:ing)? out|explor(?:e|es|ed"
                r"|ing)|hop(?:e|es|ing) to|wonder(?:s|ing)?|not sure|unsure|todo|should we|could we|whether|hypothetical(?:ly)?"
                r"|what if|someday|in theory|rumou?r\w*)\b"
            ),
            f" {TENTATIVE} ",
        ),
        (
            (
                r"\b(?:(?:will|shall) (?:soon |eventually |probably )?(?:move|migrate|switch|replace|upgrade|rewrite|drop|retire"
                r"|rename|change|adopt|use)|(?:next|coming) (?:week|month|quarter|year|sprint))\b"
            ),
            f" {TENTATIVE} ",
        ),
        (r"\bused to be (?=[^.\n]{1,60}?[,;:(][^.\n]{0,20}\b(?:now|but|is)\b)", f" is {CONTRAST} "),
        (
            (
                r"\((?:was|previously|formerly|before|not|used to be|instead of|no longer|and not|rather than|up from|down from"
                r"|earlier)[:,]? ([^)\n]{1,60})\)"
            ),
            rf" {CONTRAST} \1 {TO} ",
        ),
        (r",? \b(?:previously|formerly|up from|down from|it was) (?=[\w.:/-]+(?: [\w.:/-]+){0,3}\s*(?:$|[.,;!]))", f" {CONTRAST} "),
        (
            (
                r"(?<=\w),? (?:and|but) (?:we |they |i |it )?(?:no longer|do not|does not|did not|stopped|never)"
                r" (?:us(?:e|es|ing)|with|on|need|needs)\b"
            ),
            f" {CONTRAST} ",
        ),
        (r"\bused to\b", f" {RETIRED} "),
        (
            (
                r"\b(?:instead of|rather than|as opposed to|in place of|in lieu of)\b|, (?:and |but )?(?:no longer"
                r"|not)\b(?! (?:to|be|been|allowed|use|using|run|necessar\w+|need\w*|when|if|only|until|yet|even)\b)"
                r"|\band not\b(?! (?:to|be|use|run)\b)"
            ),
            f" {CONTRAST} ",
        ),
        (r"\b(?:over|to) (?=[\w.-]+(?: [\w.-]+)?\s*(?:$|[.,;!]))(?<=prefer over )", f" {CONTRAST} "),
        (
            r"\b(?:is|are|was|were|it's|do|does|should|can|will)? ?\bnot ((?:\S+ ){0,4}?\S+?),? but (?:rather |instead |now )?",
            rf" is {CONTRAST} \1 {TO} ",
        ),
        (
            (
                r"\bno longer (?:(?:uses?|using|on|in|at|to|is|are|with|via) )?([^,;.\n]{1,40}?)(?:,|;| but| and) (?:(?:we|it"
                r"|they|but|now|instead|rather|i|is|are|it's|use|uses|on|in|at|using|the team|with|via|have) )+"
            ),
            rf" {CHANGED} {CONTRAST} \1 {TO} use ",
        ),
        (
            (
                r"^\W*(?:(?:the|our|my|all|every|an?) )?([^.,;\n]{1,50}?) (?:was|were|is|are|has been|have been|got"
                r"|is being) (?:now |recently |fully |finally )*(?:replaced|superseded|succeeded) (?:by|with)\b"
            ),
            rf" {CHANGED} use {FROM} \1 {TO} ",
        ),
        (r"\breplac(?:ed|es|ing|e) ([^.,;\n]{1,50}?) (?:with|by)\b", rf" {CHANGED} use {FROM} \1 {TO} "),
        (r"\bswapp?(?:ed|ing|s)?(?: out)? ([^.,;\n]{1,40}?) for\b", rf" {CHANGED} use {FROM} \1 {TO} "),
        (
            (
                r"\b(?:has |have )?(?:now )?(?:replac(?:es|ed)|supersed(?:es|ed)|took over from|takes over from|succeeds"
                r"|succeeded)\b"
            ),
            f" {CHANGED} use {CONTRAST} ",
        ),
        (
            (
                r"\b(?:dropp(?:ed|ing)|ditched|abandoned|left|scrapped|retired|gave up|swapped|traded"
                r"|abandoning) ([^.,;\n]{1,40}?) (?:in favou?r of|in exchange for|and went with)\b"
            ),
            rf" {CHANGED} use {FROM} \1 {TO} ",
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
            (
                r"\b(?:switch(?:ed|ing|es)?|migrat(?:ed|ing|es|e)|transition(?:ed|ing)|convert(?:ed|ing)|port(?:ed|ing)"
                r"|shift(?:ed|ing)|went|gone|mov(?:ed|ing|es|e)|chang(?:ed|ing|es"
                r"|e))(?: over)?((?: \S+){0,6}?) from ([^.,;\n]{1,50}?) (?:over )?to\b"
            ),
            rf" {CHANGED} use \1 {FROM} \2 {TO} ",
        ),
        (
            (
                r"\b(?:push(?:ed)?|reschedul(?:ed|e)|postpon(?:ed|e)|rais(?:ed|e)|increas(?:ed|e|es)|reduc(?:ed|e)|lower(?:ed)?"
                r"|decreas(?:ed|e)|bump(?:ed)?|cut|extend(?:ed)?|shorten(?:ed)?|set|upgrad(?:ed|e)|downgrad(?:ed|e)|updat(?:ed|e)"
                r"|adjust(?:ed)?|dropped|grew|grown|went up|went down|rose|fell|tighten(?:ed)?"
                r"|relax(?:ed)?)((?: \S+){0,8}?) from ([^.,;\n]{1,40}?) to\b"
            ),
            rf" {CHANGED} \1 is {FROM} \2 {TO} ",
        ),
        (
            (
                r"\b(?:switch(?:ed|ing)|migrat(?:ed|ing)|transitioned|standardi[sz]ed|converted|ported|went over|gone over"
                r"|moved over|changed over|moved everything|migrated everything)((?: \S+){0,5}?) (?:over )?(?:to|on|onto)\b"
            ),
            rf" {CHANGED} use \1 ",
        ),
        (
            (
                r"\b(?:(?:is|are|was|were|has|have|been|being|got) )*(?:mov(?:ed|ing)|relocat(?:ed|ing)"
                r"|shifted)((?: \S+){0,5}?) (?:back |over |out )?(?:to|into|onto)\b"
            ),
            rf" {CHANGED} live \1 to ",
        ),
        (
            (
                r"\b(?:rais(?:ed|ing)|increas(?:ed|ing)|reduc(?:ed|ing)|lower(?:ed|ing)|decreas(?:ed|ing)|extended|shortened"
                r"|chang(?:ed|ing|es|e)|adjusted|dropped|tightened|relaxed|grew|grown|went up|went down|rose|fell|cut|rescheduled"
                r"|postponed|delayed|deferred|slipped|advanced|climbed|shrank|jumped"
                r"|pushed(?: back)?|brought forward|bumped|updated)((?: \S+){0,6}?) (?:to|until|till|down to|up to)\b"
            ),
            rf" {CHANGED} \1 is ",
        ),
        (r"\b(?:upgrad(?:ed|ing)|downgrad(?:ed|ing))((?: \S+){0,5}?) to\b", rf" {CHANGED} use \1 "),
        (r"\b(?:rewrote|rewritten|reimplemented|rebuilt|reworked)\b", f" {CHANGED} written "),
        (
            (
                r"\b(?:(?:is|are|was|were|has|have|been|got|gets?|being|will be) )*(?:now |finally |recently |since |fully "
                r"|officially |completely |just |all |already )*"
                r"(?:decommissioned|retired|removed|scrapped|cancell?ed|discontinued|abandoned|axed|shut ?down|turned off"
                r"|switched off|phased out|sunset(?:ted)?|disbanded|dissolved|obsolete|deprecated|uninstalled|torn down"
                r"|taken down|thrown out|dropped|deleted|died|passed away|gone|dead|killed|ditched|eliminated|closed down|given up)\b"
            ),
            f" {ENDED} ",
        ),
        (
            (
                r"\bno longer\b|\b(?:stopped|stop|ceased?|quit|gave up|give up) (?=\w+ing\b)|\b(?:gave up|given up|giving up"
                r"|let go of|got rid of|get rid of|phas(?:ed"
                r"|ing) out|moved on from|parted with|walked away from|done with|finished with|backed out of)\b|\bya no\b"
                r"|\bnicht mehr\b|\bne \w+ plus\b|\bkeine?n? \w+ mehr\b|不再"
            ),
            f" {RETIRED} ",
        ),
        (r"\bany ?more\b|\bany longer\b|\bmehr\b(?=\W*$)", f" {CHANGED} "),
        (
            (
                r"(?:^|(?<=[.!?\n]) *)\W*(?:correction|actually|update[ds]?|edit|amendment|scratch that|scrap that|my mistake"
                r"|sorry|i was wrong|turns out|it turns out|in fact|to correct|not true|erratum|fix|change of plans?|new decision"
                r"|changed my mind|i changed my mind|berichtigung|korrektur|corrección|rectification)\b(?: on [^:,.\n]{1,30}"
                r"| to [^:,.\n]{1,30}| that)?\s*[:,.–—-]*"
            ),
            f" {CHANGED} ",
        ),
        (
            (
                r"\b(?:from now on|going forward|as of (?:today|now|[^.,;\n]{1,24}?)(?=,| we| the|$)|nowadays|these days|now"
                r"|henceforth|effective immediately|since then|instead|after all|jetzt|ab sofort|nun|ahora|désormais"
                r"|maintenant)\b|现在|改为|改成"
            ),
            f" {CHANGED} ",
        ),
        (r"\b((?:the|our|my) )(?:new|updated|current|latest|revised|corrected|right|correct|actual)\b(?= [a-z])", rf" {CHANGED} \1"),
        (r"\bdecided (?:against|not to)\b|\bopted (?:against|not to)\b|\bruled out\b|\bchose not to\b", f" decided {NOT} "),
        (
            (
                r"\b(?:(?:agreed|agree|decided|chose|opted|settled|chosen) (?:to use|to adopt|on using|for using|on|for|with|in favou?r of)"
                r"|(?:went|gone|going|go|stick|sticking) with)\b"
            ),
            " choose ",
        ),
        (r"\bin favou?r of\b", f" {TO} "),
        (r"\blikes? ([^.,;\n]{1,40}?) (?:best|most|more)(?=\s*(?:$|[.,;!]))", r"prefer \1"),
        (r"\b(?:go|goes|(?:is|are) (?:shipped|forwarded|pushed|streamed|routed|delivered)) (?:in)?to\b", " are sent to "),
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


def marked(statement: str) -> str:
    """A statement with its turns of phrase replaced by marks and plain words."""
    low = statement.lower()
    for pattern, into in SUBSTITUTIONS:
        changed = pattern.replaced(into, statement, low)
        if changed is not statement:
            statement, low = changed, changed.lower()
    return statement


def unmarked(text: str) -> str:
    """A text without characters that would pass for marks."""
    return _PRIVATE.sub("", text)
