"""The detector's own rules: where secrets stand in what people write.

Kinds and confidences follow claude-memory-mcp's credential detector; names of kinds follow betterleaks' rule ids. Each
pattern is linear: every repetition is bounded or cannot overlap with what follows it. The secret is the first group
that matched, or the whole match where a pattern has no group.
"""

import base64
import binascii
import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from bethink.seal import judge

#: Gets the value and the match; False drops the finding.
Check = Callable[[str, "re.Match[str]"], bool]


class Rule(NamedTuple):
    """One shape of secret. A pattern can only match where one of `hints` (lower case) occurs in the lower-cased text."""

    id: str
    kind: str
    confidence: float
    hints: tuple[str, ...]
    pattern: str
    check: Check | None = None


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, made on first use so that plain prose never pays for it."""
    return re.compile(pattern)


def _real(value: str, _: re.Match[str]) -> bool:
    return not judge.is_stand_in(value) and judge.entropy(value) >= 1.5


def _opaque(value: str, match: re.Match[str]) -> bool:
    return judge.is_opaque(value) and not _names_something_public(match)


def _any_password(value: str, _: re.Match[str]) -> bool:
    return not judge.is_stand_in(value) and not judge.is_reference(value)


def _basic(value: str, _: re.Match[str]) -> bool:
    try:
        plain = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return False
    user, colon, password = plain.partition(":")
    return bool(colon and (user or password)) and plain.isprintable() and not judge.is_stand_in(password)


def _password(value: str, match: re.Match[str]) -> bool:
    start = match.start(match.lastindex or 0)
    before = match.string[start - 1 : start]
    quoted = before in "\"'`" and before != ""
    following = match.string[match.end(match.lastindex or 0) :][:1]
    assigned = before == "=" and following not in ("(", ".", ")", ",", "[")
    return judge.is_password(value, quoted=quoted, assigned=assigned)


def _spoken_password(value: str, match: re.Match[str]) -> bool:
    start = match.start(match.lastindex or 0)
    quoted = match.string[start - 1 : start] in ('"', "'", "`", "“", "‘", "«", "「")
    if value.isdigit():
        return not compiled(_UNIT).match(match.string, match.end())
    if quoted and " " in value:
        return len(value) >= 12 and not judge.is_stand_in(value)
    return judge.is_password(value, quoted=quoted, assigned=False)


def _vault_legacy(value: str, _: re.Match[str]) -> bool:
    return judge.classes(value[2:]) == 3 and judge.entropy(value) >= 3.5


def _has_digit(value: str) -> bool:
    return any(c.isdigit() for c in value)


def _mixed_password(value: str, _: re.Match[str]) -> bool:
    letters = any(c.isalpha() for c in value)
    return letters and _has_digit(value) and judge.is_password(value, quoted=False, assigned=False)


def _random(value: str) -> bool:
    """Too irregular for a name, and not a digest: three kinds of characters, mixed all through."""
    if judge.is_digest(value) or not judge.is_opaque(value) or judge.classes(value) < 3 or _DOTTED_NAME.fullmatch(value):
        return False
    runs = re.findall(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}", value)
    return judge.entropy(value) >= 3.6 and _has_digit(value) and sum(map(len, runs)) < 0.6 * len(value)


_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_PUBLIC_WORD = (
    r"(?i)\b(?:public|publishable|cache|integrity|checksum|digest|hash|sha\d*|md5|fingerprint|commit|etag|s3|object|path|file|url|"
    r"id|class|type|name)\b"
)


_UNIT = (
    r"[\"'`]?\s*(?:characters?|chars?|digits?|bytes?|bits?|letters?|days?|hours?|minutes?|seconds?|weeks?|"
    r"months?|times|attempts?|ms|s|mb|kb|gb|px|tests?|%)\b"
)
_PUBLIC = (
    r"(?i)(?:public|publishable|primary|foreign|cache|sort|partition|idempotency|composite|row|dedup\w*|lookup|"
    r"object|s3|redis|hash|index|map|dict|json|yaml|translation|"
    r"i18n|registry|lock|build|etag|checksum|digest|commit|sha\d*|md5|integrity|fingerprint|page|next|"
    r"continuation|cursor|sync|storage|surrogate|routing|shard|"
    r"ssh-rsa|ssh-ed25519|version|artifact|bucket|trace|request|correlation|csrf|unique|natural|group|"
    r"config|feature|event|message|kid|site|restore-keys?)"
    r"[\s_.\-\"'`]*(?:api[_ -]?)?(?:keys?|tokens?|id)?[\w.\-]{0,12}[\s\"'`]*$"
)


def names_something_public(before: str) -> bool:
    """True when the words directly before a value say that it is a cache key, a digest, a public key and the like."""
    head = before[-64:].rstrip(" \t\"'`=:>({[")
    return compiled(_PUBLIC).search(head) is not None


def _names_something_public(match: re.Match[str]) -> bool:
    return names_something_public(match.string[max(0, match.start(match.lastindex or 0) - 64) : match.start(match.lastindex or 0)])


_Q = r"\"((?:\\.|[^\"\\\n]){4,256})\"|'((?:\\.|[^'\\\n]){4,256})'|`([^`\n]{4,256})`"
_VALUE = rf"(?:{_Q}|([^\s\"'`,;<>][^\s\"'`,;]{{3,255}}))"
_WHERE = r"(?:[_-](?:prod\w{0,8}|dev|stag\w{0,4}|test|live|old|new|root|admin|main|primary|backup|db|v?\d{1,3}))?"
_SET = (
    r"(?:[ \t]?\([^()\n]{1,30}\))?[\"'`\]*_]{0,4}[ \t]{0,3}(?:=>|->|→|:=|==?|:|：|＝|\|)[*_]{0,3}"
    r"(?:[ \t]{0,3}|[ \t]{0,3}\r?\n[ \t]{1,12})"
)
_SPOKEN = (
    r"(?:\"([^\"\n]{4,120})\"|'([^'\n]{4,120})'|`([^`\n]{4,120})`|“([^”\n]{4,120})”|«\s?([^»\n]{4,120}?)"
    r"\s?»|「([^」\n]{4,120})」|([^\s\"'`“”«»「」,;，。；<>]{4,256}))"
)
_IS = (
    r"(?:\s{1,3}(?:for|of|on|to|in|at|zu|für|de|du|pour|para|do|da|для|от)\s[^\n:;=]{1,60}?)?"
    r"(?:\s{0,3}[:=：＝]\s{0,3}(?:is\s)?|\s{1,3}(?:(?:is\s|was\s|got\s|has\sbeen\s)?(?:now\s)?(?:changed|"
    r"updated|(?:re)?set|rotated|switched)\s+(?:back\s|from\s\S{1,60}\s)?to|is\s+(?:now|still|currently|just|actually|"
    r"simply)|is|was|equals|turned\s+out\s+to\s+be|will\s+be|should\s+be|became|ist(?:\sjetzt)?|lautet|est|es|é|to|—|–|-)"
    r"[:\s]{1,3}|\s?(?:是|为|為|は|：)\s?)"
)
_END = r"(?![A-Za-z0-9])"

RULES: tuple[Rule, ...] = (
    Rule(
        "private-key",
        "private-key",
        0.95,
        ("private key",),
        r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:(?!-----BEGIN)[\s\S]){0,20000}?"
        r"-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|"
        r"(?:\\[nr]|\s|[A-Za-z-]{3,20}: [^\n]{1,80}\n){0,20}[A-Za-z0-9+/=]{30,76}"
        r"(?:(?:\\[nr]|\s){1,4}[A-Za-z0-9+/=]{16,76}){0,400})",
    ),
    Rule("age-secret-key", "private-key", 0.95, ("age-secret-key-1",), r"\bAGE-SECRET-KEY-1[A-Za-z0-9]{50,70}"),
    Rule("putty-key", "private-key", 0.95, ("putty-user-key-file",), r"PuTTY-User-Key-File-\d[\s\S]{0,9000}?Private-MAC: [0-9a-f]{16,}"),
    Rule("aws-access-key-id", "aws-access-key-id", 0.95, ("akia", "asia"), rf"(?<![A-Za-z0-9/+])(?:AKIA|ASIA)[A-Z0-9]{{16}}{_END}", _real),
    Rule(
        "aws-secret-access-key",
        "aws-secret-access-key",
        0.9,
        ("secret", "aws", "akia", "asia"),
        r"(?i:secret[_ -]?(?:access[_ -]?)?key|aws[\w ]{0,20}secret|aws[_-]?secret[\w-]{0,20}|(?:AKIA|ASIA)"
        r"[A-Z0-9]{16})[^A-Za-z0-9+]{1,12}(?:(?:and|is|secret|key|with|the|access)[^A-Za-z0-9+]{1,4}){0,6}"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        lambda value, _: not judge.is_stand_in(value) and judge.classes(value) >= 3 and judge.entropy(value) >= 3.5,
    ),
    Rule("github-pat", "github-pat", 0.95, ("ghp_", "github_pat_"), r"(?:ghp_[A-Za-z0-9]{30,251}|github_pat_\w{40,251})", _real),
    Rule("github-oauth", "github-oauth", 0.95, ("gho_",), r"(?<![A-Za-z0-9])gho_[A-Za-z0-9]{30,251}", _real),
    Rule(
        "github-app-token", "github-app-token", 0.95, ("ghu_", "ghs_"), r"(?<![A-Za-z0-9])gh[us]_[A-Za-z0-9][A-Za-z0-9_.-]{29,600}", _real
    ),
    Rule("github-refresh-token", "github-refresh-token", 0.95, ("ghr_",), r"(?<![A-Za-z0-9])ghr_[A-Za-z0-9]{30,251}", _real),
    Rule(
        "gitlab-pat",
        "gitlab-pat",
        0.95,
        ("glpat-", "gldt-", "glptt-", "glrt-", "glcbt-", "gloas-"),
        r"\bgl(?:pat|dt|ptt|rt|cbt|oas)-[\w.-]{18,200}",
        _real,
    ),
    Rule(
        "slack-token",
        "slack-token",
        0.95,
        ("xox", "xapp-"),
        r"\b(?:xox[abdeoprs](?:\.xox[bp])?-[\w-]{10,300}|xapp-\d-[\w-]{10,300})",
        _real,
    ),
    Rule(
        "slack-webhook",
        "slack-webhook-url",
        0.9,
        ("hooks.slack.com",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([\w/+-]{20,120})",
        lambda value, _: not re.search(r"[xX]{6}|0{8}", value),
    ),
    Rule(
        "stripe-key",
        "stripe-key",
        0.95,
        ("sk_", "rk_", "whsec_"),
        r"(?<![A-Za-z0-9])(?:(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,200}|whsec_[A-Za-z0-9+/=]{24,120})",
        _real,
    ),
    Rule("anthropic-key", "anthropic-api-key", 0.95, ("sk-ant-",), r"\bsk-ant-[a-z0-9]{2,12}-[\w-]{20,250}", _real),
    Rule(
        "openai-key",
        "openai-api-key",
        0.95,
        ("sk-",),
        r"(?<![A-Za-z0-9_-])sk-(?!ant-)(?:(?:proj|svcacct|admin|service|or-v1|lf)-[\w-]{20,300}|[A-Za-z0-9]{32,120})",
        lambda value, _: (
            not judge.is_stand_in(value) and judge.classes(value) >= 2 and judge.entropy(value) >= 3.3 and any(c.isdigit() for c in value)
        ),
    ),
    Rule("npm-token", "npm-access-token", 0.95, ("npm_",), rf"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{{36,64}}{_END}", _real),
    Rule(
        "pypi-token",
        "pypi-upload-token",
        0.95,
        ("pypi-",),
        r"\bpypi-[A-Za-z0-9_-]{40,400}",
        lambda value, _: judge.entropy(value) >= 3.8 and judge.classes(value) >= 3,
    ),
    Rule("google-api-key", "gcp-api-key", 0.9, ("aiza",), rf"(?<![A-Za-z0-9])AIza[\w-]{{35}}{_END}", _real),
    Rule("google-oauth", "google-oauth", 0.9, ("gocspx-", "ya29."), r"(?:\bGOCSPX-[\w-]{20,40}|\bya29\.[\w.-]{30,400})", _real),
    Rule("sendgrid", "sendgrid-api-token", 0.95, ("sg.",), r"\bSG\.[\w-]{16,40}\.[\w-]{16,64}", _real),
    Rule("vault-token", "vault-token", 0.95, ("hvs.", "hvb.", "hvr."), r"(?<![A-Za-z0-9])hv[sbr]\.[\w-]{20,300}", _real),
    Rule("vault-token-legacy", "vault-token", 0.8, ("s.",), rf"(?<![\w./-])s\.[A-Za-z0-9]{{24}}{_END}(?!\.\w)", _vault_legacy),
    Rule("huggingface", "huggingface-access-token", 0.95, ("hf_",), rf"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{{30,60}}{_END}", _real),
    Rule("digitalocean", "digitalocean-pat", 0.95, ("_v1_",), r"\bdo[opr]_v1_[0-9a-f]{64}"),
    Rule("telegram", "telegram-bot-api-token", 0.9, (":aa",), r"(?<![\w/])\d{8,10}:AA[\w-]{32,35}(?![\w-])", _real),
    Rule("shopify", "shopify-access-token", 0.95, ("shp",), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Rule(
        "azure-key",
        "azure-storage-account-key",
        0.9,
        ("accountkey", "sharedaccesskey"),
        r"(?i:AccountKey|SharedAccessKey)\s{0,2}=\s{0,2}([A-Za-z0-9+/]{40,90}={0,2})",
        _real,
    ),
    Rule("jwt", "jwt", 0.9, ("eyj",), r"(?<![A-Za-z0-9_-])eyJ[\w-]{10,4000}\.eyJ[\w-]{10,8000}(?:\.[\w-]{10,2000}|\.(?![\w-]))?"),
    Rule(
        "connection-string",
        "connection-string",
        0.9,
        ("://",),
        r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s:/?#@\"'<>`]{0,128}:(?:([^\s/?#\"'<>`,]{1,256})"
        r"|([^\s\"'<>`]{1,128}))@(?=[\w\[.%$-])",
        # A port and a path before an @ are no password.
        lambda value, match: _any_password(value, match) and not re.match(r"\d{1,5}/", value),
    ),
    Rule("url-token", "url-password", 0.85, ("@",), r"https?://([A-Za-z0-9_-]{20,256})@(?=[\w-]+\.)", _real),
    Rule("basic-auth", "basic-auth", 0.88, ("basic",), r"(?i:\bbasic)[ \t]+([A-Za-z0-9+/]{6,400}={0,2})(?![A-Za-z0-9+/=])", _basic),
    Rule(
        "curl-user",
        "basic-auth",
        0.85,
        ("-u", "--user"),
        r"(?<=\s)(?:-u|--user)[ =]{0,2}[\"']?[\w.@+-]{1,64}:([^\s\"':$<]{4,128})",
        _any_password,
    ),
    Rule(
        "bearer-token",
        "bearer-token",
        0.88,
        ("bearer",),
        r"(?i:\bbearer)[\"']?[ \t:=]{1,3}[\"'`]?([\w~+/.-]{16,4000}={0,2})",
        lambda value, _: judge.is_opaque(value) or (judge.UUID.fullmatch(value) is not None),
    ),
    Rule(
        "auth-header",
        "auth-header",
        0.8,
        ("authorization", "x-api-key", "x-auth-token", "private-token", "x-vault-token"),
        r"(?i:\b(?:authorization|x-api-key|x-auth-token|private-token|x-vault-token))[\"']?\s{0,2}:\s{0,2}[\"']?(?i:(?:token|"
        r"apikey|key|digest)\s+)?([\w~+/.=-]{8,4000})",
        lambda value, _: judge.is_opaque(value),
    ),
    Rule(
        "flag",
        "password",
        0.8,
        ("--pass", "--pw", "--secret", "--token", "--api"),
        rf"(?i:--(?:[a-z]+-)?(?:password|passwd|pass|pwd|passphrase|secret|token|api-?key))[ =]{_VALUE}",
        _password,
    ),
    Rule(
        "mysql-p",
        "password",
        0.8,
        ("mysql", "sshpass"),
        r"\b(?:mysql\w*[^\n]{0,80}?\s-p|sshpass\s+-p\s?)[\"']?([^\s\"'$-][^\s\"']{3,128})",
        _any_password,
    ),
    Rule("netrc", "password", 0.8, ("login",), rf"(?i:\blogin)\s+\S{{1,80}}\s+(?i:password|pass)\s+{_VALUE}", _password),
    Rule(
        "password",
        "password",
        0.8,
        ("pass", "pwd", "psw", "pw"),
        rf"(?i:password|passwd|passphrase|passcode|(?<![A-Za-z])(?:pass|pwd|psw|pw)){_WHERE}{_SET}{_VALUE}",
        _password,
    ),
    Rule(
        "api-key",
        "api-key",
        0.78,
        ("key", "token", "secret"),
        r"(?i:(?:api|access|auth|account|app|application|service|client|private|signing|encryption|master|"
        r"shared|license|admin|deploy|bot|webhook|refresh|session|jwt|hmac)"
        rf"[_ .-]?(?:key|token|secret)|apikey|authtoken|secret[_ -]?key){_WHERE}{_SET}{_VALUE}",
        _opaque,
    ),
    Rule("token", "token", 0.75, ("token",), rf"(?i:token){_WHERE}{_SET}{_VALUE}", _opaque),
    Rule(
        "secret",
        "secret",
        0.65,
        ("secret", "credential", "creds"),
        rf"(?i:secrets?|credentials?|creds){_WHERE}{_SET}{_VALUE}",
        lambda value, match: _opaque(value, match) or (_password(value, match) and judge.is_strong(value)),
    ),
    Rule(
        "hex-key",
        "hex-key",
        0.62,
        ("key", "secret", "salt", "seed"),
        r"(?i:(?:encryption|signing|master|private|secret|hmac|aes|session|cookie|wrapping|root|vault|unseal|"
        r"data)[ _-]?(?:key|secret|salt|seed))[\w ]{0,24}?[\"'`]?\s{0,3}(?:=|:|is|to)\s{0,3}[\"'`]?((?:0x)?[0-9a-fA-F]{32,128})"
        r"(?![0-9A-Za-z])",
        lambda value, match: not _names_something_public(match) and judge.entropy(value) >= 2.8,
    ),
    Rule(
        "password-prose",
        "password",
        0.75,
        (
            "pass",
            "pwd",
            "pin",
            "pw",
            "密码",
            "密碼",
            "口令",
            "パスワード",
            "пароль",
            "contraseña",
            "senha",
            "kennwort",
            "hasło",
            "wachtwoord",
        ),
        r"(?i:\b(?:pass(?:word|phrase|code|wort)|passwd|pwd|pw|pin(?:[ -]?(?:code|number))?|mot de passe|"
        r"contraseña|senha|kennwort|hasło|wachtwoord|пароль)\b|密码|密碼|口令|パスワード)"
        rf"(?i:{_IS}){_SPOKEN}",
        _spoken_password,
    ),
    Rule(
        "key-prose",
        "api-key",
        0.64,
        ("key", "token", "secret", "credential"),
        rf"(?i:\b(?:(?:api|access|auth|license|secret|private|signing|encryption|deploy|client|bot)[ -]?(?:key|"
        rf"token|secret)|token|secret|credentials?|unlock key|recovery (?:key|code))\b{_IS}){_SPOKEN}",
        # "The token is 9fceb02" may be a commit; an API key may have the shape of one.
        lambda value, match: (
            _opaque(value, match)
            and (not judge.is_digest(value) or re.match(r"(?i)\w+[ -]?(?:key|token|secret)", match.group()) is not None)
        ),
    ),
    Rule(
        "as-password",
        "password",
        0.7,
        ("as", "password", "pin"),
        r"(?i:\b(?:use|used|using|with|type|enter|put|has|have|gave|chose|set))\s+[\"'`“]?([^\s\"'`“”,;]{4,128})"
        r"[\"'`”]?\s+(?i:(?:as|is|for)\s+(?:the|a|its|their|our|my|his|her|root|admin)?\s?(?:[a-z]+\s)?(?:password|"
        r"passphrase|passcode|pin))\b",
        lambda value, match: (
            value.isdigit() or judge.is_password(value, quoted=match.string[match.start(1) - 1] in "\"'`“", assigned=False)
        ),
    ),
    Rule(
        "password-with",
        "password",
        0.7,
        ("pass", "pwd", "pin"),
        r"(?i:\b(?:with|using|and|has|have|its|via)\s+(?:the\s)?(?:[a-z]+\s)?(?:password|passphrase|passwd|"
        r"passcode|pwd|pin))\s+[\"'`“(]?([^\s\"'`“”,;()<>]{4,128})",
        lambda value, match: (
            not compiled(_UNIT).match(match.string, match.end())
            and (value.isdigit() or judge.is_password(value, quoted=match.string[match.start(1) - 1] in "\"'`“", assigned=False))
        ),
    ),
    Rule(
        "password-bare",
        "password",
        0.65,
        ("pass", "pwd"),
        r"(?i:\b(?:password|passphrase|passwd|pwd))\s{1,4}[\"'`“(]?([^\s\"'`“”,;()<>]{6,128})",
        lambda value, match: (
            judge.is_strong(value)
            or (match.string[match.start(1) - 1] in "\"'“" and _has_digit(value) and judge.is_password(value, quoted=True, assigned=False))
            or (value.count("-") >= 3 and judge.is_password(value, quoted=False, assigned=False))
        ),
    ),
    Rule(
        "login-pair",
        "password",
        0.7,
        ("login", "log in", "cred", "user", "account"),
        r"(?i:\b(?:log ?in|credentials?|creds|user(?:name)?/pass(?:word)?|account)\b)[^\n:=/]{0,40}?(?:\s(?:is|are|with|as)|[:=])"
        r"\s{0,3}[\"'`]?[\w.@+-]{1,64}"
        r"[\"'`]?\s{0,2}[/:|]\s{0,2}[\"'`]?([^\s\"'`,;/]{8,128})",
        _mixed_password,
    ),
    Rule(
        "login-pair-before",
        "password",
        0.7,
        ("login", "cred", "account"),
        r"(?<![\w/])[\w.@+-]{1,64}\s?/\s?([^\s\"'`,;/]{8,128})\s+(?i:(?:is|are)\s+(?:the\s|my\s|our\s)?(?:[a-z]+\s)?(?:login|creds|credentials|account))\b",
        _mixed_password,
    ),
    Rule(
        "sudo-pipe",
        "password",
        0.8,
        ("sudo",),
        r"\becho\s+(?:-n\s+)?[\"']?([^\s\"'$|]{4,128})[\"']?\s*\|\s*sudo\s+(?:\S+\s+){0,3}?-S",
        _any_password,
    ),
    Rule("redis-a", "password", 0.8, ("redis-cli",), r"\bredis-cli\b[^\n]{0,80}?\s(?:-a|--pass)\s+[\"']?([^\s\"'$]{4,128})", _any_password),
    Rule("net-use", "password", 0.75, ("/user:",), r"(?i:/user:)\S{1,80}\s+([^\s\"'/]{6,128})", _mixed_password),
    Rule(
        "xml",
        "password",
        0.75,
        ("pass", "pwd", "token", "key", "secret"),
        r"(?i:<(?:[\w.-]{0,30}(?:password|passwd|passphrase|pwd|token|api-?_?key|secret)))>\s{0,4}([^<\s]{4,256})\s{0,4}</",
        lambda value, _: judge.is_opaque(value) or judge.is_password(value, quoted=True, assigned=False),
    ),
    Rule(
        "key-near",
        "api-key",
        0.62,
        ("key", "token", "secret", "cred", "auth"),
        r"(?i:(?:keys?|tokens?|secret|credentials?|creds|apikey|_auth)\b)[^\n=]{0,24}?(?<![\w./:+@#%-])([A-Za-z0-9_+/.-]{20,256}={0,2})(?![\w/@-])",
        lambda value, match: (
            _random(value)
            and not _names_something_public(match)
            and not compiled(_PUBLIC_WORD).search(match.string, max(0, match.start() - 24), match.start(1))
        ),
    ),
    Rule(
        "key-bare",
        "api-key",
        0.65,
        ("key", "token", "secret"),
        r"(?i:\b(?:api|secret|access|signing|encryption|master|auth|webhook)[ _-]?(?:key|token|secret))"
        r"\s{1,3}[\"'`(]?([A-Za-z0-9_+/.-]{20,256}={0,2})(?![\w/@-])",
        lambda value, match: (
            judge.is_opaque(value) and judge.entropy(value) >= 3 and not judge.UUID.fullmatch(value) and not _names_something_public(match)
        ),
    ),
    Rule(
        "as-key",
        "api-key",
        0.62,
        ("as", "is"),
        r"(?<![\w./:+@#%-])([A-Za-z0-9_+/.-]{20,256}={0,2})[\"'`]?\s+(?i:(?:as|is|for)\s+(?:the|a|its|our|my|your)\s+(?:[a-z]+\s){0,2}(?:key|token|secret|credential))\b",
        lambda value, match: _random(value) and not compiled(_PUBLIC_WORD).search(match.string, match.end(1), match.end()),
    ),
)
