"""betterleaks as a second detector: some 460 rules for tokens of particular services.

The library is a Go program in a shared object. It is loaded on first need (0.05-0.2 s), never for text that a cheap
test shows to be plain prose, and never used in a forked child, where Go's threads do not exist.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

#: betterleaks' three words as numbers; its low ones still passed its own entropy and dictionary filters.
CONFIDENCE = {"high": 0.9, "medium": 0.75, "low": 0.62}

_KINDS = {
    "aws-access-token": "aws-access-key-id",
    "generic-credential-uri": "connection-string",
    "mongodb-connection-string": "connection-string",
    "curl-auth-user": "basic-auth",
    "curl-auth-header": "auth-header",
    "generic-password": "password",
    "generic-api-key": "api-key",
    "vault-service-token": "vault-token",
    "vault-batch-token": "vault-token",
    "github-fine-grained-pat": "github-pat",
}
#: Rules that find names, not secrets; wanted by betterleaks only as halves of a pair.
_NAMES_ONLY = re.compile(
    r"(?:-(?:client|account|app|application|tenant|access|auth|user-api|key|token)-id|-(?:id|url|host|domain|username|public-key|pub-key|address|account-name|cloud-name|token-name)|-public-api-token)(?:\.\d)?$"
)
_STILL_SECRET = frozenset({"slack-webhook-url", "sidekiq-sensitive-url", "alibaba-access-key-id", "aws-access-token"})

#: What any of betterleaks' rules needs: a keyword of its assignment rules, or a run that is not a plain word.
_ASSIGNS = re.compile(r"passw|pwd|psw|[_.-]pw|secret|credential|creds|login|log_in|authenticate|curl|-----begin|://|@")
_RUN = re.compile(r"[!-~]{8,}")
_PLAIN = re.compile(r"[\"'(\[*_`‘“]*(?:[A-Za-z]?[a-z']*(?:[-/](?:[A-Za-z]?[a-z']*))*|[A-Z'-]+)[\"')\]*_`.,;:!?]*")
_WORD = re.compile(r"key|token|api|auth|access", re.ASCII)

_forked = False
_lock = threading.Lock()


def _mark_forked() -> None:
    global _forked, _lock
    _forked = _loaded
    _lock = threading.Lock()


_loaded = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


def needed(text: str) -> bool:
    """False only for text in which no rule of betterleaks can match: plain words, none of its assignment keywords.

    Every rule's secret is a run of at least 8 visible ASCII characters that is not an ordinary word
    (lower case, capitalised or all capitals), or stands beside one of the words tested first.
    """
    low = text.lower()
    if _ASSIGNS.search(low):
        return True
    keyed = _WORD.search(low) is not None and any(c in text for c in "=:>|,")
    for run in _RUN.finditer(text):
        if not _PLAIN.fullmatch(run.group()):
            return True
        # A rule may accept letters alone when they stand after `key =`; ordinary words are shorter than that.
        if keyed and len(run.group()) >= 16:
            return True
    return False


@functools.cache
def available() -> bool:
    """True when betterleaks is installed for this platform."""
    from importlib.util import find_spec

    return find_spec("betterleaks") is not None


def warm() -> bool:
    """Loads the rules now, for servers; False when betterleaks is not there."""
    return find("warm") is not None


def _raw(text: str) -> list[dict[str, Any]]:
    if _forked:
        return _by_process(text)
    global _loaded
    import betterleaks

    with _lock:
        _loaded = True
    return [finding.raw for finding in betterleaks.scan_string(text)]


def _by_process(text: str) -> list[dict[str, Any]]:
    import subprocess
    from importlib.util import find_spec

    spec = find_spec("betterleaks")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    binary = folder / "bin" / ("betterleaks.exe" if os.name == "nt" else "betterleaks")
    command = [str(binary), "stdin", "--no-banner", "--output", "-", "--exit-code", "0", "--log-level", "error", "--max-decode-depth", "0"]
    try:
        done = subprocess.run(command, input=text.encode("utf-8"), capture_output=True, timeout=30, check=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"betterleaks failed: {type(error).__name__}") from None
    found: list[dict[str, Any]] = json.loads(done.stdout).get("findings") or []
    return found


def find(text: str) -> list[tuple[str, str, float, str]] | None:
    """(kind, secret, confidence, rule) of everything betterleaks finds; None when it is not installed or failed.

    Args:
        text: without NUL and lone surrogates, which the C interface cannot carry.
    """
    if not available():
        return None
    # Its own "ignore this line" marks would let a line through.
    text = re.sub(r"(?i)(leaks):(?=allow)", r"\1;", text)
    try:
        raw = _raw(text)
    except (ImportError, OSError, RuntimeError, ValueError):
        return None
    except Exception as error:
        if type(error).__name__ != "BetterleaksError":
            raise
        return None
    found: list[tuple[str, str, float, str]] = []
    for item in raw:
        confidence = CONFIDENCE.get(item.get("confidence", ""), CONFIDENCE["low"])
        _collect(found, item.get("rule_id", ""), item.get("match") or {}, confidence)
        for group in item.get("component_sets") or ():
            for part in group.get("components") or ():
                _collect(found, part.get("rule_id", ""), part.get("match") or {}, confidence)
    return found


def _collect(found: list[tuple[str, str, float, str]], rule: str, match: dict[str, Any], confidence: float) -> None:
    secret = match.get("value") or ""
    if not secret or (_NAMES_ONLY.search(rule) and rule not in _STILL_SECRET):
        return
    if rule in ("generic-credential-uri", "curl-auth-user"):
        secret = (match.get("captures") or {}).get("password") or secret.strip("\"'").partition(":")[2] or secret
    found.append((_KINDS.get(rule, re.sub(r"\.\d+$", "", rule)), secret.strip("\"'"), confidence, "betterleaks:" + rule))
