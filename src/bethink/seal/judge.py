"""Is this value a secret, or does it only stand where one could? Pure string tests, no secret is kept.

The detector's rules say where a value stands (`password = …`); the functions here look at the value itself.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter

_STAND_IN_WORD = (
    r"example|sample|dummy|fake|foo|bar|baz|placeholder|change[-_ ]?me|change[-_ ]?this|replace[-_ ]?me|redacted|removed|hidden|masked|"
    r"secret|password|passwd|passphrase|pass|pwd|pw|token|api[-_ ]?key|key|value|credential|credentials|"
    r"string|text|null|none|nil|undefined|"
    r"password_\d|true|false|empty|todo|tbd|test|testing|default|anonymous|postgres|root|admin|guest|user|username|"
    r"mysql|redis|changed|required|optional"
)
_STAND_IN = (
    rf"(?:<[^<>]*>|\[[^\[\]]*\]|(?-i:\$(?:[A-Z][A-Z0-9_]*|[a-z][a-z0-9_]*|\d))|\$\{{[^{{}}]+\}}|\$\([^()"
    rf"]*\)|%\w+%|%\(\w+\)s|%s|\{{+[^{{}}]*\}}+|@\w+@|"
    rf"[*xX.•●_#?-]{{3,}}|(?:[a-z0-9_-]*[-_])?(?:my|your|the|some|an?|insert|enter|put|our|their)"
    rf"[-_ ]?(?:[a-z0-9]+[-_ ])*(?:{_STAND_IN_WORD})"
    rf"(?:[-_ ]?here|\d{{0,4}})?|"
    rf"(?:{_STAND_IN_WORD})(?:[-_ ]?(?:{_STAND_IN_WORD}))*[-_]?(?:here)?|"
    r"your[-_ ]?\S*|\S*(?<![a-z])example(?:key)?|\S*EXAMPLE(?:KEY)?|(?:sk|pk|ghp|hvs|xoxb|AKIA|ASIA|npm|"
    r"glpat|eyJ)?[-_.]*[xX*.…]{3,}\S*|\S*(?:[xX]{6,}|\*{4,}|\.{3}|…)\S*|"
    r"abc(?:def)?\d{0,6}|(?:0?123456789?0?)|(.)\1{3,})"
)
_REFERENCE = (
    r"(?:process\.env|import\.meta\.env|os\.environ|os\.getenv|getenv|env|ENV|System\.getenv|secrets?|"
    r"vars?|var|local|data|module|config|settings|self|this|ctx|"
    r"context|opts|options|args|params|request|req|props|state|app|conf|cfg|cls|kwargs|ssm|vault|op|file|arn)(?:[.\[(:]|://)\S*"
)
_CALL = r"[A-Za-z_][\w.]*[(\[].*|\{[A-Za-z_].*|![a-z]+|(?:[A-Z]{2,6}\d?)?(?:[A-Z][a-z]{2,}){2,}"
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\(?\)?")
_BENIGN = (
    r"v?\d+(?:\.\d+)+(?:[-+.]\w+)*|\d{4}-\d\d(?:-\d\d)?(?:[T_ ].*)?|\d+(?:\.\d+)?(?:[a-zA-Z]{1,7}|%)?|"
    r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\d+)?|"
    r"[^@\s]+@[\w-]+(?:\.[\w-]+)+|(?:~|\.{1,2})?/[\w./~@%+:-]*|[A-Za-z]:\\\S*|[\w./-]+\.(?:py|js|ts|tsx|"
    r"go|rs|rb|java|json|ya?ml|toml|env|txt|md|pem|key|crt|cfg|ini|"
    r"conf|sh|sql|html?|lock|log|csv|xml|tf|vue|svelte|c|h|cpp)(?::\d+)?|\.env(?:\.\w+)?|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|"
    r"[a-z]+://\S*|#\d{1,6}|#[0-9a-fA-F]{3,8}|"
    r"(?:str|int|bool|bytes|Optional|Union|List|Dict|SecretStr|varchar|char)\b.*"
)
_TECHNICAL = (
    r"(?:sha|md|aes|rsa|rs|hs|es|ps|utf|ed|x|p|s|k|i|oauth|http|base|bcrypt|argon|scrypt|pbkdf|blake|"
    r"ecdsa|secp|keccak|crc|ipv|web|log4j|cp|iso|pkcs|x-|"
    r"v|gpt|gb|rfc|ascii|chacha|poly|tls|ssl|postgres|mysql|redis|python|node|java|gpg|pgp|bip|kdf)[-_]?\d{1,6}[a-z]{0,2}(?:[-_/.][a-z0-9]{1,16})*|"
    r"1password|bitwarden|lastpass|keepassxc?2?|dashlane|auth0|"
    r"(?:one|two|multi|per|non|self|auto|pre|post|re|re-?used|case|short|long|base64|url|hex|json|null|"
    r"user|server|client)-[a-z0-9]+(?:-[a-z0-9]+)*"
)
_WORDS = re.compile(r"[A-Za-z]+(?:['’_./-][A-Za-z]+)*")
UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")


@functools.cache
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    """The big patterns, made on first use: plain prose never asks for them."""
    return re.compile(pattern, flags)


def _is_like(pattern: str, value: str, flags: int = 0) -> bool:
    return _compiled(pattern, flags).fullmatch(value) is not None


def entropy(value: str) -> float:
    """Shannon entropy in bits per character (Shannon 1948); 0 for an empty string."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values()) if size else 0.0


def is_stand_in(value: str) -> bool:
    """True for what documentation writes instead of a secret: ``<your-key>``, ``${VAR}``, ``changeme``, ``xxxx``, ``AKIA…EXAMPLE``."""
    return len(value) <= 200 and _is_like(_STAND_IN, value, re.IGNORECASE)


def is_reference(value: str) -> bool:
    """True for code that only names where a secret comes from: ``os.environ[…]``, ``settings.password``, ``get_secret(…)``."""
    if _is_like(_REFERENCE, value) or _is_like(_CALL, value):
        return True
    # Tokens of some services are dotted too, but their parts have digits or mixed case.
    return _DOTTED.fullmatch(value) is not None and all(
        _WORDS.fullmatch(part.rstrip("()")) and not _humps(part) for part in value.split(".")
    )


def _humps(part: str) -> bool:
    """True when upper and lower case alternate as in a random string."""
    return sum(1 for a, b in itertools.pairwise(part) if a.islower() and b.isupper()) > 2


def is_words(value: str) -> bool:
    """True for plain words, perhaps joined by hyphens, slashes or underscores."""
    return _WORDS.fullmatch(value) is not None


def is_ordinary(value: str) -> bool:
    """True for versions, dates, sizes, paths, addresses, file and variable names, algorithm names."""
    return _is_like(_BENIGN, value) or _is_like(_TECHNICAL, value, re.IGNORECASE)


def is_digest(value: str) -> bool:
    """True for the shapes of UUIDs and of MD5, SHA-1, SHA-256, SHA-512 digests (and their usual short forms) in hex."""
    return UUID.fullmatch(value) is not None or (
        len(value) in (7, 8, 10, 12, 16, 32, 40, 56, 64, 96, 128) and _HEX.fullmatch(value) is not None
    )


def classes(value: str) -> int:
    """How many of lower case, upper case, digits, others (any script's letters count as others) occur."""
    lower = upper = digit = other = False
    for c in value:
        if "a" <= c <= "z":
            lower = True
        elif "A" <= c <= "Z":
            upper = True
        elif "0" <= c <= "9":
            digit = True
        else:
            other = True
    return lower + upper + digit + other


def is_opaque(value: str) -> bool:
    """True for what looks made by a generator: an API key or token of any issuer (at least 8 characters)."""
    if len(value) < 8 or is_stand_in(value) or is_reference(value) or is_ordinary(value):
        return False
    if any(c.isdigit() for c in value) and any(c.isalpha() for c in value):
        return entropy(value) >= 2.4
    return len(value) >= 16 and _humps(value) and entropy(value) >= 3.2


def is_password(value: str, *, quoted: bool, assigned: bool) -> bool:
    """True for what may be a password somebody chose.

    Args:
        quoted: it stood in quotes, which makes a plain word likely to be meant literally.
        assigned: it stood directly after ``=`` without spaces.
    """
    if len(value) < 4 or is_stand_in(value) or is_reference(value) or is_ordinary(value):
        return False
    if is_words(value):
        joined = sum(value.count(c) for c in "-_.")
        if value.count("-") >= 3 and len(value) >= 16:
            return True
        return (
            (quoted and len(value) >= 6 and "/" not in value)
            or (assigned and len(value) >= 6 and not joined)
            or (len(value) >= 20 and not joined)
        )
    if len(value) < 6 and not quoted:
        return False
    return classes(value) >= 2


def is_strong(value: str) -> bool:
    """True for a value that cannot be a word, a name or a version: three kinds of characters, at least 8 of them."""
    return len(value) >= 8 and classes(value) >= 3 and any(c.isdigit() for c in value) and is_password(value, quoted=False, assigned=False)
