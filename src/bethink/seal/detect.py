"""Finds secrets in text and takes them out.

Two detectors look: the rules of `rules.py` (always, standard library only) and betterleaks (when the text is more than
plain prose). What both find is judged by the same allow-list and threshold.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bethink.errors import ConfigError
from bethink.seal import judge, rules

PLACEHOLDER = re.compile(r"\[REDACTED:([a-z0-9_]+)\]")


class Policy:
    """What counts as a secret.

    `threshold` is the least confidence, 0..1. `allow` holds regular expressions of values that are no secrets,
    matched against the whole value without regard to case; a literal string is such an expression too.
    """

    __slots__ = ("allow", "threshold")

    def __init__(self, threshold: float = 0.6, allow: tuple[str, ...] = ()) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigError(f"The detection threshold is {threshold}, not between 0 and 1.")
        for pattern in allow:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"The allow-list entry {pattern!r} is not a regular expression: {error}.") from None
        self.threshold = threshold
        self.allow = allow

    def allows(self, value: str) -> bool:
        """True when the allow-list names this value."""
        return any(value == pattern or re.fullmatch(pattern, value, re.IGNORECASE) for pattern in self.allow)


DEFAULT_POLICY = Policy()


class Finding(NamedTuple):
    """A secret in a text: text[start:end]. `kind` is kebab-case, `confidence` 0..1, `rule` says what found it."""

    kind: str
    start: int
    end: int
    confidence: float
    rule: str


class Scrubbed(NamedTuple):
    """Several texts without their secrets. `secrets` are (name, secret) in order; `kinds` kebab-case, each once."""

    texts: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]


#: Long runs that look like secrets and never are: inlined media, certificates, public keys, lock-file hashes, our placeholders.
_MEDIA = (
    r"data:(?:image|font|audio|video|application/(?:font|x-font|wasm|pdf))[\w/.+;=-]{0,80},[A-Za-z0-9+/=%\s]{0,65536}|"
    r"-----BEGIN (?:CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE REQUEST|PGP PUBLIC KEY BLOCK|PGP SIGNATURE|"
    r"SSH SIGNATURE)-----[\s\S]{0,20000}?-----END [A-Z ]{3,40}-----|"
    r"\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\w+|sk-ssh-ed25519@openssh\.com) AAAA[A-Za-z0-9+/=]{20,2000}|"
    r"\b(?:sha(?:1|256|384|512)|md5|h1)[-:][A-Za-z0-9+/_-]{16,128}={0,2}|\[REDACTED:[a-z0-9_]+\]"
)
_MEDIA_HINTS = ("data:", "-----begin", "ssh-", "ecdsa-", "sha1", "sha2", "sha3", "sha5", "md5", "h1:", "[redacted:")
#: Trailing characters that end a sentence or close a bracket rather than a secret.
_TAIL = ".,;:?…\\"
_CLOSERS = {")": "(", "]": "[", "}": "{", ">": "<"}
_AFTER_TOKEN = re.compile(r"(?<=[\w=/+-])[)\]}>,.!?*|]{1,8}(?=[\s(]|$)")
_GENERIC = frozenset({"betterleaks:generic-api-key", "betterleaks:generic-password"})


def warm() -> bool:
    """Loads every rule now so that a server's first write is not slow; False when betterleaks is not available."""
    for rule in rules.RULES:
        rules.compiled(rule.pattern)
    from bethink.seal import engine

    return engine.warm()


def scan(text: str, policy: Policy = DEFAULT_POLICY, *, deep: bool = True) -> list[Finding]:
    """The secrets in `text`, in order, not overlapping.

    Args:
        deep: also ask betterleaks; without it only the standard library is used (for hooks).
    """
    if len(text) < 4:
        return []
    masked = _carriable(text)
    low = masked.lower()
    if len(low) != len(masked):
        # Lower-casing İ makes two characters of one; offsets must stay.
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in masked)
    if any(hint in low for hint in _MEDIA_HINTS):
        masked = rules.compiled(_MEDIA).sub(lambda m: " " * len(m.group()), masked)
    found = _own(masked, low, policy)
    if deep:
        from bethink.seal import engine

        if engine.needed(masked):
            found += _second_look(masked, found, policy)
    return _merge(found)


def _carriable(text: str) -> str:
    """`text` with the same length and offsets, but without NUL and lone surrogates."""
    if text.isascii():
        return text.replace("\0", " ")
    return re.sub("[\0\ud800-\udfff]", " ", text)


def _own(text: str, low: str, policy: Policy) -> list[Finding]:
    found: list[Finding] = []
    for rule in rules.RULES:
        if rule.confidence < policy.threshold or not any(hint in low for hint in rule.hints):
            continue
        for match in rules.compiled(rule.pattern).finditer(text):
            group = match.lastindex or 0
            start, end = _trim(text, *match.span(group))
            value = text[start:end]
            if value and not policy.allows(value) and (rule.check is None or rule.check(value, match)):
                found.append(Finding(rule.kind, start, end, rule.confidence, rule.id))
    return found


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start:
        last = text[end - 1]
        opener = _CLOSERS.get(last)
        unbalanced = opener is not None and text.count(last, start, end) > text.count(opener, start, end)
        if not (unbalanced or last in _TAIL or last.isspace()):
            break
        end -= 1
    return start, end


def _second_look(text: str, found: Sequence[Finding], policy: Policy) -> list[Finding]:
    """What betterleaks finds in the rest of the text."""
    rest = text
    if found:
        parts, at = [], 0
        for one in _merge(list(found)):
            parts += [text[at : one.start], " " * (one.end - one.start)]
            at = one.end
        rest = "".join([*parts, text[at:]])
    more: list[Finding] = []
    done: set[str] = set()
    from bethink.seal import engine

    looks = engine.find(rest) or []
    # Its rules want white space or a quote after a token; in prose there is a bracket, a comma or a full stop.
    spaced = _AFTER_TOKEN.sub(lambda m: " " * len(m.group()), rest)
    if spaced != rest:
        looks += engine.find(spaced) or []
    for kind, secret, confidence, rule in looks:
        if confidence < policy.threshold or secret in done or policy.allows(secret) or judge.is_stand_in(secret):
            continue
        done.add(secret)
        at = rest.find(secret)
        while at >= 0:
            if not _harmless(rest, at, secret, rule):
                more.append(Finding(kind, at, at + len(secret), confidence, rule))
            at = rest.find(secret, at + len(secret))
    return more


def _harmless(text: str, at: int, secret: str, rule: str) -> bool:
    if rule not in _GENERIC:
        return judge.is_reference(secret)
    if rule.endswith("password"):
        return judge.is_words(secret) or not judge.is_password(secret, quoted=True, assigned=False)
    return not judge.is_opaque(secret) or judge.is_digest(secret) or rules.names_something_public(text[max(0, at - 64) : at])


def _merge(found: list[Finding]) -> list[Finding]:
    """One finding for each stretch of overlapping ones: the surest names it, its ends are the outermost."""
    merged: list[Finding] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            best = last if last.confidence >= one.confidence else one
            merged[-1] = best._replace(start=last.start, end=max(last.end, one.end))
        else:
            merged.append(one)
    return merged


def redact(text: str, findings: Sequence[Finding], known: Mapping[str, str] | None = None) -> tuple[str, list[tuple[str, str]]]:
    """Puts a placeholder for each secret, wherever it stands in the text.

    Args:
        known: names given already (to other fields of the same memory) and their secrets; the same secret keeps its
            name, and no name is given twice.

    Returns:
        The text with ``[REDACTED:name]`` for each secret, and the new (name, secret) pairs in order. A name is the kind with
        underscores, numbered from the second of a kind on (``github_pat``, ``github_pat_2``).
    """
    names = {secret: name for name, secret in (known or {}).items()}
    taken = set(known or ()) | set(PLACEHOLDER.findall(text))
    fresh: list[tuple[str, str]] = []
    spans: list[tuple[int, int, str]] = []
    for one in _merge(list(findings)):
        secret = text[one.start : one.end]
        if secret not in names:
            names[secret] = _name(one.kind, taken)
            fresh.append((names[secret], secret))
        spans.append((one.start, one.end, names[secret]))
    spans = _everywhere(text, spans, names)
    parts: list[str] = []
    at = 0
    for start, end, name in spans:
        parts += [text[at:start], f"[REDACTED:{name}]"]
        at = end
    return "".join([*parts, text[at:]]), fresh


def _name(kind: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_") or "secret"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


def _everywhere(text: str, spans: list[tuple[int, int, str]], names: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """`spans` and every other place of the same secrets, longest secrets first, none overlapping."""
    shields = [match.span() for match in PLACEHOLDER.finditer(text)]
    busy = sorted([(start, end) for start, end, _ in spans] + shields)
    every = list(spans)
    for secret in sorted(names, key=len, reverse=True):
        fresh: list[tuple[int, int, str]] = []
        at = text.find(secret) if secret else -1
        while at >= 0:
            end = at + len(secret)
            index = bisect_left(busy, (end, -1))
            clash = index > 0 and busy[index - 1][1] > at
            if not clash:
                fresh.append((at, end, names[secret]))
            at = text.find(secret, at + 1 if clash else end)
        if fresh:
            every += fresh
            busy = sorted(busy + [(start, end) for start, end, _ in fresh])
    return sorted(every)


def scrub(
    texts: Sequence[str], policy: Policy = DEFAULT_POLICY, *, known: Mapping[str, str] | None = None, whole: bool = False, deep: bool = True
) -> Scrubbed:
    """Takes the secrets out of several texts of one memory (content first): found in one, removed from all.

    Args:
        known: names that the memory's sealed secrets have already, with their secrets ("" where not known).
        whole: seal the first text altogether, as ``[REDACTED:content]``.
    """
    findings = [scan(text, policy, deep=deep) for text in texts]
    if whole and texts:
        findings[0] = [Finding("content", 0, len(texts[0]), 1.0, "forced")]
    names: dict[str, str] = {name: secret for name, secret in (known or {}).items() if secret}
    reserved = {name: "" for name, secret in (known or {}).items() if not secret}
    secrets: list[tuple[str, str]] = []
    kinds: dict[str, None] = {}
    for text, found in zip(texts, findings, strict=True):
        _, fresh = redact(text, found, {**reserved, **names})
        names.update(fresh)
        secrets += fresh
        kinds.update((one.kind, None) for one in found)
    # Only now is every secret known, so that one found in the tags leaves the content too.
    cleaned = tuple(redact(text, found, {**reserved, **names})[0] for text, found in zip(texts, findings, strict=True))
    return Scrubbed(cleaned, tuple(secrets), tuple(kinds))
