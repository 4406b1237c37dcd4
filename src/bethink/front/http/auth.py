"""Who asks: keys from the environment, people's keys, tokens of an OpenID provider; and what each may do."""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

from bethink import text
from bethink.errors import BadTime, ConfigError
from bethink.front.http.errors import InsufficientScope, Unauthenticated
from bethink.model import Access
from bethink.service.people import SCOPES, SPACE, SYSTEM, USUAL_SCOPES, People, Principal, Refused

READ, WRITE, SECRETS, ADMIN = "memory:read", "memory:write", "memory:secrets", "memory:admin"
#: Seconds that an accepted credential is not looked up again: so long one that another process revoked may still work.
_KEPT_SECONDS = 2.0
_MOST_KEPT = 10_000
#: Longest credential that is looked at.
MAX_CREDENTIAL = 16_384


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request, and with what rights."""

    name: str
    access: Access
    scopes: frozenset[str]
    expires_at: datetime | None = None
    #: Without credentials: the one user of a server on loopback.
    local: bool = False
    #: Of how the caller was recognised: key, token or none.
    by: str = "key"

    def must(self, scope: str) -> None:
        """Raises:
        InsufficientScope: the credentials do not allow this.
        """
        if scope not in self.scopes:
            raise InsufficientScope(scope)


#: The caller of the request that this thread or task works for.
CALLER: ContextVar[Caller] = ContextVar("bethink_caller")


class Tokens(Protocol):
    """Reads an OpenID provider's tokens."""

    issuer: str

    def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that is valid here; raises Unauthenticated."""
        ...

    def scopes(self, claims: Mapping[str, Any]) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class EnvKey:
    """A key that the environment names."""

    user: str
    #: SHA-256 of the key: comparing digests takes the same time whatever the key.
    digest: bytes = field(repr=False)
    scopes: frozenset[str]
    project: str | None = None
    expires_at: datetime | None = None


class Authenticator:
    """Turns credentials into a caller.

    Args:
        keys: from the environment.
        people: where other keys, the tokens' users and spaces are kept.
        tokens: reads tokens; None without an OpenID provider.
        local_user: who asks without credentials; None when credentials are needed.
        reserved: names that the provider's users may not be given: they are other people's.
    """

    def __init__(
        self,
        keys: tuple[EnvKey, ...],
        people: People,
        tokens: Tokens | None,
        local_user: str | None,
        reserved: frozenset[str],
        now: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._people = people
        self._tokens = tokens
        self._local_user = local_user
        self._reserved = reserved
        self._now = now
        self._kept: dict[bytes, tuple[float, Caller]] = {}
        self._lock = threading.Lock()
        self._changes = 0
        people.changed = self.forget

    def forget(self) -> None:
        """What was looked up is looked up again: in this process a change of people, spaces and loans holds at once."""
        with self._lock:
            self._changes += 1
            self._kept.clear()

    def caller(self, credential: str | None) -> Caller:
        """The caller with these credentials; may ask the database or the provider.

        Raises:
            Unauthenticated: they are missing, wrong, expired or revoked. Which of them only the log and the metrics know.
        """
        if (kept := self.kept(credential)) is not None:
            return kept
        changes = self._changes
        if self._local_user is not None:
            # A server that needs no credentials has none to compare with.
            credential, caller = "", self._local(self._local_user)
        elif credential is None:
            raise Unauthenticated()
        elif len(credential) > MAX_CREDENTIAL:
            raise wrong("too-long")
        else:
            caller = self._recognised(credential)
        digest = _digest(credential)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            if changes == self._changes:
                self._kept[digest] = (time.monotonic() + _KEPT_SECONDS, caller)
        return caller

    def kept(self, credential: str | None) -> Caller | None:
        """The caller with these credentials, if they were accepted a moment ago; asks nobody."""
        if self._local_user is not None:
            credential = ""
        if credential is None or len(credential) > MAX_CREDENTIAL:
            return None
        found = self._kept.get(_digest(credential))
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def _local(self, user: str) -> Caller:
        found = Principal(user, frozenset(SCOPES))
        return Caller(user, self._people.access(found), found.scopes, local=True, by="none")

    def _recognised(self, credential: str) -> Caller:
        if (key := self._env_key(credential)) is not None:
            return self._of(Principal(key.user, key.scopes, key.project, key.expires_at), "key")
        if self._tokens is not None and credential.count(".") == 2:
            return self._of_token(self._tokens, credential)
        found = self._people.by_key(credential)
        if isinstance(found, Refused):
            raise wrong(found.reason)
        return self._of(found, "key")

    def _env_key(self, credential: str) -> EnvKey | None:
        digest = _digest(credential)
        found = None
        for key in self._keys:
            # Every key is compared, so that the time tells nothing.
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _of_token(self, tokens: Tokens, token: str) -> Caller:
        claims = tokens.claims(token)
        granted = tokens.scopes(claims)
        hint = next((str(claims[name]) for name in ("preferred_username", "nickname", "email", "name") if claims.get(name)), "")
        if (re.sub(r"[^A-Za-z0-9_.\-]+", "-", hint.split("@")[0]).strip("-._")[:40] or "user") in self._reserved:
            hint = f"oidc-{hint}"
        found = self._people.by_subject(tokens.issuer, str(claims["sub"]), name=hint, scopes=granted)
        if isinstance(found, Refused):
            raise wrong(found.reason)
        return self._of(found, "token")

    def _of(self, found: Principal, by: str) -> Caller:
        if found.expires_at is not None and found.expires_at <= self._now():
            raise wrong("expired key")
        return Caller(found.name, self._people.access(found), frozenset(found.scopes), found.expires_at, by=by)


def keys_of(api_key: str | None, api_keys: str | None, user: str) -> tuple[EnvKey, ...]:
    """The keys that API_KEY and API_KEYS name.

    Raises:
        ConfigError: API_KEYS is not what it should be.
    """
    keys = [EnvKey(user, _digest(api_key), frozenset(SCOPES))] if api_key else []
    if not api_keys:
        return tuple(keys)
    hint = 'Write {"alice": "key", "bot": {"key": "key", "scopes": ["memory:read"], "project": "app"}}.'
    try:
        given = json.loads(api_keys)
    except ValueError:
        raise ConfigError("API_KEYS is not JSON.", hint=hint) from None
    if not isinstance(given, dict):
        raise ConfigError("API_KEYS is not an object.", hint=hint)
    keys += [_key(name, value, hint) for name, value in given.items()]
    return tuple(keys)


def _key(name: str, value: Any, hint: str) -> EnvKey:
    given = {"key": value} if isinstance(value, str) else value
    if not name or not isinstance(given, dict) or not isinstance(given.get("key"), str) or not given["key"]:
        raise ConfigError(f"API_KEYS: the key of {name!r} is missing.", hint=hint)
    if name.startswith((SPACE, SYSTEM)):
        raise ConfigError(f"API_KEYS: {name!r} is not a user's name.", hint=hint)
    scopes = given.get("scopes", sorted(USUAL_SCOPES))
    if not isinstance(scopes, list) or not set(scopes) <= set(SCOPES):
        raise ConfigError(f"API_KEYS: the scopes of {name!r} are not known.", hint=f"There are {', '.join(SCOPES)}.")
    try:
        expires = text.moment(given["expires_at"], datetime.now(UTC)) if given.get("expires_at") else None
    except BadTime as error:
        raise ConfigError(f"API_KEYS: expires_at of {name!r} is not a time.", hint=error.hint) from None
    return EnvKey(name, _digest(given["key"]), frozenset(scopes), given.get("project"), expires)


def credential_of(headers: Mapping[str, str]) -> str | None:
    """What a request's headers bring; names are lower case.

    Raises:
        Unauthenticated: another scheme than Bearer.
    """
    if key := headers.get("x-api-key"):
        return key
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, value = given.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise Unauthenticated("The Authorization header is not `Bearer KEY`.", reason="scheme")
    return value.strip()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def wrong(reason: str) -> Unauthenticated:
    """Credentials that are not accepted; the reason is for the log."""
    return Unauthenticated("The credentials are not valid.", hint="Ask the server's administrator for a key.", reason=reason)
