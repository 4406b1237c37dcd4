"""Secrets are taken out of what hooks write down, before it is on disk; on the hook path: standard library alone.

What a hook leaves waits in files until somebody drains it, so the sealing that comes then comes too late. Nothing is sealed here: a
hook has neither the time nor the keys, and the transcript, which is imported later, has the secret.
"""

from __future__ import annotations

import re

#: Without one of these there is no secret; most prompts hold none, and then no rule is loaded.
_SUSPECT = re.compile(
    r"[^\s.,;:!?()]{16}|pass|\bpw|pwd|psw|secret|token|key|\bpins?\b|cred|auth|log ?in|basic|bearer|\buser|sudo|seed|salt|account|mysql"
    r"|redis|contrase|has[lł]o|kennwort|senha|wachtwoord|парол|パスワ|口令|密|://|@|\s--?[pu]|\b[a-z]{1,6}[_.-]\S{8}",
    re.IGNORECASE,
)


def masked(text: str, *, threshold: float = 0.6, allow: str | None = None) -> str:
    """The text with `[REDACTED:kind]` for each secret; `threshold` and `allow` as the settings MEMORY_SECRET_THRESHOLD and …_ALLOW."""
    if not _SUSPECT.search(text):
        return text
    from bethink.errors import ConfigError
    from bethink.seal import detect

    try:
        policy = detect.Policy(threshold, tuple(part.strip() for part in (allow or "").split(",") if part.strip()))
    except ConfigError:
        # A mistake in the settings is told where somebody reads it; here it must not cost what was said.
        policy = detect.DEFAULT_POLICY
    out, at = [], 0
    for found in detect.scan(text, policy, deep=False):
        out += [text[at : found.start], f"[REDACTED:{found.kind.replace('-', '_')}]"]
        at = found.end
    return "".join([*out, text[at:]])
