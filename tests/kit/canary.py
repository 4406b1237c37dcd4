"""Secrets that nothing may keep in the clear: made at run time, one of each class, and looked for in every byte."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Canary:
    """A sentence that holds a secret, and the secret."""

    kind: str
    sentence: str
    secret: str


def flock(seed: int) -> list[Canary]:
    """One canary of each class; another seed makes other secrets."""
    chance = random.Random(seed)

    def some(count: int, letters: str = _ALPHANUMERIC) -> str:
        # Always of several kinds of letters, as real ones are.
        return "k7" + "".join(chance.choice(letters) for _ in range(count - 4)) + "Q9"

    upper = string.ascii_uppercase + "234567"
    body = "\n".join(some(64) for _ in range(6))
    made = {
        "private key": ("The deploy key is\n-----BEGIN RSA PRIVATE " + "KEY-----\n{}\n-----END RSA PRIVATE " + "KEY-----", body),
        "aws key id": ("The CI user has {} as its key id", "AKIA" + "".join(chance.choice(upper) for _ in range(16))),
        "github token": ("Push with {} until Friday", "gh" + "p_" + some(36)),
        "connection string": ("Billing lives at postgres://app:{}@db.internal:5432/billing", some(18)),
        "basic auth": ("curl -H 'Authorization: Basic {}' works", base64.b64encode(f"admin:{some(14)}".encode()).decode()),
        "bearer": ("Send Authorization: Bearer {} with each call", some(40)),
        "api key": ("Set api_key = '{}' in the settings of the mailer", some(32)),
        "password": ("The root password is {} on the NAS", some(14)),
        "vault token": ("Log into vault with {}", "hvs" + "." + some(90)),
        "slack token": ("The bot posts with {}", "xox" + "b-" + "2" * 11 + "-" + "3" * 12 + "-" + some(24)),
        "stripe key": ("Charges use {}", "sk_" + "live_" + some(28)),
        "npm token": ("Publishing needs {}", "npm" + "_" + some(36)),
    }
    return [Canary(kind, sentence.format(secret), secret) for kind, (sentence, secret) in made.items()]


def traces(canaries: Iterable[Canary], *places: Path | str | bytes) -> list[str]:
    """Where a secret can be read: in files (a folder is searched whole) or in text, in the clear, in base64 or in hex."""
    found = []
    for canary in canaries:
        needles = _forms(canary.secret)
        for place in places:
            for name, data in _contents(place):
                found.extend(f"{canary.kind} as {form} in {name}" for form, needle in needles.items() if needle in data)
    return found


def _forms(secret: str) -> dict[str, bytes]:
    plain = secret.encode()
    forms = {"text": plain, "hex": plain.hex().encode(), "HEX": plain.hex().upper().encode(), "json": plain.replace(b"\n", b"\\n")}
    for shift in range(3):
        # Base64 of a text looks different at each of three places; its edges depend on what stands around it.
        coded = base64.b64encode(b"\x00" * shift + plain)
        forms[f"base64+{shift}"] = coded[4 if shift else 0 : -4]
    return forms


def _contents(place: Path | str | bytes) -> Iterable[tuple[str, bytes]]:
    if isinstance(place, bytes):
        return [("output", place)]
    if isinstance(place, str):
        return [("output", place.encode("utf-8", "surrogatepass"))]
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return [(str(path.name), path.read_bytes()) for path in files]
