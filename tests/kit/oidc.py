"""A real OpenID provider (npm `oidc-provider`): dynamic registration, PKCE, resource indicators, signed access tokens, changing keys."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kit import node
from kit.serve import free_port

SPEC = "oidc-provider@9.13.3"
CALLBACK = "http://127.0.0.1:1/callback"
_SCRIPT = """\
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';
const [issuer, keys] = process.argv.slice(2);
const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(keys)),
  scopes: ['openid', 'offline_access', 'memory:read', 'memory:write', 'memory:secrets', 'memory:admin'],
  clientDefaults: { grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'none' },
  features: {
    registration: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'memory:read memory:write memory:secrets', audience: resource, accessTokenTTL: 600,
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  pkce: { required: () => true },
  cookies: { keys: ['for', 'tests', 'only'] },
});
provider.listen(new URL(issuer).port, '127.0.0.1');
"""


class Provider:
    """A provider process; used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._node = node.need("node")
        self._home = _installed(self._node)
        self._folder = folder
        self.issuer = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it with a new signing key."""
        keys = self._folder / "keys.json"
        private = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
        private = {name: value for name, value in private.items() if name != "key_ops"}
        keys.write_text(json.dumps({"keys": [{**private, "kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"}]}))
        script = self._home / "provider.mjs"
        script.write_text(_SCRIPT)
        with (self._folder / "provider.log").open("ab") as log:
            self._process = subprocess.Popen([str(self._node), str(script), self.issuer, str(keys)], stdout=log, stderr=log, cwd=self._home)
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=5).close()
                return
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((self._folder / "provider.log").read_text("utf-8", "replace")[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def rotate(self) -> None:
        """Another key signs from now on, and the old one is forgotten."""
        self.stop()
        self.start()


class Client:
    """A public client that registers itself and has its user log in."""

    def __init__(self, issuer: str) -> None:
        self.http = httpx2.Client(timeout=30)
        self.about = self.http.get(f"{issuer}/.well-known/openid-configuration").json()
        registration = {"redirect_uris": [CALLBACK], "client_name": "tester", "token_endpoint_auth_method": "none"}
        answer = self.http.post(self.about["registration_endpoint"], json=registration)
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["client_id"]

    def tokens(self, resource: str, scope: str, user: str) -> dict[str, Any]:
        """Authorization code with PKCE (RFC 7636) and a resource indicator (RFC 8707)."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": self.id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": scope,
            "resource": resource,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "s",
            "prompt": "consent",
        }
        landed = logged_in(f"{self.about['authorization_endpoint']}?{urlencode(asked)}", user)
        code = parse_qs(urlsplit(landed).query)["code"][0]
        return self._token(grant_type="authorization_code", code=code, code_verifier=verifier, redirect_uri=CALLBACK, resource=resource)

    def refreshed(self, tokens: dict[str, Any], resource: str) -> dict[str, Any]:
        return self._token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], resource=resource)

    def close(self) -> None:
        self.http.close()

    def _token(self, **form: str) -> dict[str, Any]:
        answer = self.http.post(self.about["token_endpoint"], data={"client_id": self.id, **form})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens


def logged_in(url: str, user: str, *, follow_to: str = "/callback") -> str:
    """Does in the provider's pages what a person would; answers the address that the client is called back at."""
    provider = urlsplit(url).netloc
    with httpx2.Client(timeout=30) as browser:
        answer = browser.get(url)
        for _ in range(20):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["location"])
                if urlsplit(url).netloc != provider:
                    return url
                answer = browser.get(url)
                continue
            action = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action and prompt, answer.text[:2000]
            url = urljoin(url, action[1])
            answer = browser.post(url, data={"prompt": prompt[1], "login": user, "password": "any"})
    raise AssertionError("the provider never calls back")


def _installed(program: Path) -> Path:
    if os.environ.get("BETHINK_NO_COMPONENTS"):
        pytest.skip("oidc-provider: BETHINK_NO_COMPONENTS is set")
    home = node.COMPONENTS / "npm" / "oidc-provider"
    with node._lock(home):
        stamp = home / "installed"
        if not stamp.exists() or stamp.read_text() != SPEC:
            (home / "package.json").write_text('{"type": "module"}')
            command = [str(program.parent / "npm"), "install", "--no-audit", "--no-fund", "--loglevel=error", SPEC]
            try:
                env = node.with_node(os.environ, program.parent)
                subprocess.run(command, cwd=home, env=env, check=True, capture_output=True, timeout=node.INSTALL_SECONDS)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"oidc-provider cannot be had from npm here: {error}")
            stamp.write_text(SPEC)
    return home
