"""Access tokens of an OpenID provider (OAuth 2.1 resource server, RFC 9068, RFC 8707): their signature, issuer and audience."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt

from bethink.errors import ConfigError, StoreError
from bethink.front.http.auth import wrong
from bethink.service.people import SCOPES

#: Only signatures that nobody but the provider can make: neither "none" nor a shared secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Seconds that keys are used before they are fetched again.
_KEPT_SECONDS = 600.0
#: Seconds between two fetches because of an unknown key: anybody can name one.
_PAUSE_SECONDS = 5.0
#: Seconds that clocks may differ.
LEEWAY = 30
_TIMEOUT = 5.0
_MAX_BYTES = 1 << 20
_PLACES = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class ProviderAway(StoreError):
    """The OpenID provider cannot be reached."""

    default_hint = "Check OIDC_ISSUER and that the provider runs; API keys work meanwhile."


class Provider:
    """Implements `auth.Tokens` for one issuer. Its keys are fetched when they are needed, and again when they change.

    Args:
        issuer: its address; a bare domain means https.
        audiences: a token must be meant for one of them.

    Raises:
        ConfigError: the address is not https (but for this machine).
    """

    def __init__(self, issuer: str, audiences: tuple[str, ...]) -> None:
        self.issuer = issuer if "://" in issuer else f"https://{issuer}/"
        address = urlsplit(self.issuer)
        if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ConfigError("OIDC_ISSUER is not https.", hint="Keys that come over plain http can be anybody's.")
        self.audiences = audiences
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -1e9
        self._name = ""

    def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of an access token that is valid here.

        Raises:
            Unauthenticated: it is not.
            ProviderAway: its key cannot be fetched now.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise wrong("not-a-token") from None
        if header.get("alg") not in ALGORITHMS:
            raise wrong("algorithm")
        key = self._key(str(header.get("kid") or ""))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=list(self.audiences),
                issuer=self._name,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise wrong("expired token") from None
        except jwt.InvalidAudienceError:
            raise wrong("audience") from None
        except jwt.InvalidIssuerError:
            raise wrong("issuer") from None
        except jwt.PyJWTError:
            raise wrong("token") from None
        return dict(claims)

    def scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Our scopes among those that a token grants."""
        granted: set[str] = set()
        for name in ("scope", "scp", "permissions"):
            value = claims.get(name)
            granted.update(value.split() if isinstance(value, str) else value if isinstance(value, list) else ())
        return frozenset(granted & set(SCOPES))

    def _key(self, kid: str) -> jwt.PyJWK:
        known = self._keys.get(kid)
        if known is not None and time.monotonic() - self._fetched < _KEPT_SECONDS:
            return known
        with self._lock:
            age = time.monotonic() - self._fetched
            if age > _KEPT_SECONDS or (kid not in self._keys and age > _PAUSE_SECONDS):
                try:
                    self._fetch()
                except (OSError, ValueError) as error:
                    if known is None:
                        raise ProviderAway(f"The OpenID provider cannot be asked for its keys: {type(error).__name__}.") from error
                    # A key that was good a while ago is better than nobody getting in.
                    self._fetched = time.monotonic()
        found = self._keys.get(kid)
        if found is None:
            raise wrong("signing key")
        return found

    def _fetch(self) -> None:
        about = self._about()
        keys = _json(about["jwks_uri"]).get("keys", [])
        found: dict[str, jwt.PyJWK] = {}
        for each in keys:
            if each.get("use", "sig") == "sig" and each.get("kty") != "oct":
                try:
                    found[str(each.get("kid") or "")] = jwt.PyJWK(each)
                except jwt.PyJWTError:
                    continue
        self._name = about["issuer"]
        self._keys = found
        self._fetched = time.monotonic()

    def _about(self) -> dict[str, Any]:
        failure: Exception | None = None
        for place in _PLACES:
            try:
                about = _json(self.issuer.rstrip("/") + place)
            except (OSError, ValueError) as error:
                failure = failure or error
                continue
            if str(about.get("issuer", "")).rstrip("/") != self.issuer.rstrip("/"):
                raise ValueError("the provider gives itself another name")
            return about
        raise failure or ValueError("no configuration")


def _json(url: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("not a web address")
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "bethink"})  # the scheme was checked
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # likewise
        value = json.loads(answer.read(_MAX_BYTES))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
