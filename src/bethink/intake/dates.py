"""Dates that a model made of "yesterday" and "next month": believed when such a word was said and the date is near enough. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from bethink.model import EPOCH

#: A number alone is only a year where "in" or the like stands before it.
_DATE: Final = re.compile(
    r"(?:\b(?:on|in|by|since|until|before|after|of|around|about|circa|for) |(?<![\w.:-])(?=\d{4}-))"
    r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?![\w.:-]*\d)"
)
#: What was said → how many days off a date may then be. English, German, French, Spanish.
_DAYS: Final = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|last night|(?:this|the other) (?:morning|evening|day)|\w+ days? (?:ago|before)|in \w+ days?|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:last|next|this|on) (?:mon|tues?|wed|thurs?|fri|sat|sun)|weekends?|weeks?|fortnight|"
    r"gestern|heute|morgen|woche\w*|tage?n?|\w+tag|hier|aujourd'hui|demain|semaines?|jours?|lundi|mardi|mercredi|jeudi|vendredi|samedi|"
    r"dimanche|ayer|hoy|mañana|semanas?|días?|lunes|martes|miércoles|jueves|viernes|sábado|domingo)\b",
    re.IGNORECASE,
)
_MONTHS: Final = re.compile(
    r"\b(?:months?|quarters?|spring|summer|autumn|fall|winter|january|february|march|april|may|june|july|august|september|october|"
    r"november|december|monate?n?|monats|mois|mes(?:es)?|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|"
    r"juin|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|"
    r"noviembre|diciembre)\b",
    re.IGNORECASE,
)
_YEARS: Final = re.compile(r"\b(?:years?|decades?|ago|since|jahre?n?|jahrs?|ans?|années?|años?)\b", re.IGNORECASE)


def undated(content: str, said: str, at: datetime) -> str:
    """The content without the dates that follow from what was said at that time; what cannot be told stays."""
    if at == EPOCH:
        return content
    return _DATE.sub(lambda match: "" if _follows(match, said, at.date()) else match[0], content)


def _follows(match: re.Match[str], said: str, at: date) -> bool:
    year, month, day = (int(part) if part else None for part in match.groups())
    if year is None or not 1 <= year <= 9999:
        return False
    try:
        told = date(year, month or at.month, day or (min(at.day, 28)))
    except ValueError:
        return False
    if (year, month or at.month, day or at.day) == (at.year, at.month, at.day):
        return True
    apart = abs((told - at).days)
    if day is not None:
        return apart <= 62 and bool(_DAYS.search(said))
    if month is not None:
        return apart <= 400 and bool(_MONTHS.search(said) or _DAYS.search(said))
    return apart <= 366 * 100 and bool(_YEARS.search(said) or (apart <= 400 and _MONTHS.search(said)))
