"""A server in this process, on either database, with several people and a signing provider."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from starlette.testclient import TestClient

from bethink import config
from bethink.front.http.app import create_app
from bethink.front.http.server import Server
from bethink.model import Access, Draft
from bethink.service.core import Writer
from bethink.service.memories import Memories
from kit import postgres

AUDIENCE = "https://memory.example.org/mcp"
PAST = datetime.now(UTC) - timedelta(days=1)


class Issuer:
    """An OpenID provider as far as a resource server sees it: its configuration and its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.fetches = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/openid-configuration":
                    shape: dict[str, Any] = {"issuer": outer.url, "jwks_uri": f"{outer.url}/keys"}
                else:
                    outer.fetches += 1
                    algorithm = jwt.algorithms.RSAAlgorithm
                    shape = {
                        "keys": [
                            {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}
                            for kid, key in outer.keys.items()
                        ]
                    }
                body = json.dumps(shape).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.rotate("first")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def rotate(self, kid: str) -> None:
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    def token(self, *, key: rsa.RSAPrivateKey | None = None, algorithm: str = "RS256", secret: str | None = None, **claims: Any) -> str:
        kid, own = next(iter(self.keys.items()))
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "sub-1", "iat": now, "exp": now + 300, "scope": "memory:read memory:write"}
        values = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(values, secret if secret is not None else (key or own), algorithm, {"kid": kid})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class World:
    """A server and its people: alice, bob and rob (who read sam's space), carol (a stranger)."""

    def __init__(self, name: str, app: FastAPI, client: TestClient, issuer: Issuer, keys: dict[str, str]) -> None:
        self.name = name
        self.app = app
        self.client = client
        self.issuer = issuer
        self.server: Server = app.state.server
        self.keys = keys
        #: Memories that no request may change, by kind and owner.
        self.targets: dict[tuple[str, str], str] = {}

    def stored(self, owner: str, content: str | None = None, **more: Any) -> str:
        """The id of a new memory of an owner."""
        memories = Memories(self.server.store, Access.local(owner), seal=self.server.seal, writer=Writer())
        text = content or f"{owner}-mark {secrets.token_hex(8)} {secrets.token_hex(8)}"
        return memories.remember(Draft(text, verbatim=True, **more)).memory.id

    def forgotten(self, owner: str) -> str:
        id = self.stored(owner)
        Memories(self.server.store, Access.local(owner)).forget(id)
        return id


def settings(folder: Path, **values: Any) -> config.Settings:
    given = {"MEMORY_HOME": str(folder), "MEMORY_EMBEDDER": "none", "RATE_LIMIT_READ": "0", "RATE_LIMIT_WRITE": "0"}
    given["RATE_LIMIT_SYNC"] = "0"
    return config.load({**given, **values}, {})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[World]:
    with ExitStack() as stack:
        keys = {name: secrets.token_hex(16) for name in ("alice", "reader", "expired", "caged", "admin")}
        env = {
            "alice": keys["alice"],
            "carol": secrets.token_hex(16),
            "expired": {"key": keys["expired"], "expires_at": PAST.isoformat()},
            "caged": {"key": keys["caged"], "project": "cage"},
        }
        values: dict[str, Any] = {
            "API_KEY": keys["admin"],
            "API_KEYS": json.dumps(env),
            "OIDC_ISSUER": issuer.url,
            "OIDC_AUDIENCE": AUDIENCE,
        }
        if request.param == "postgres":
            values["DATABASE_URL"] = stack.enter_context(postgres.database())
        app = create_app(settings(tmp_path_factory.mktemp("home"), **values))
        client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False))
        made = World(request.param, app, client, issuer, keys)
        people = made.server.people
        _, keys["bob"] = people.add_user("bob")
        _, keys["revoked"] = people.add_user("rita")
        _, keys["late"] = people.add_user("late", expires_at=PAST)
        _, keys["reader"] = people.add_user("rob", scopes=["memory:read"])
        people.revoke("rita")
        people.add_space("team", "sam")
        people.add_space("secret-space", "carol")
        for reader in ("bob", "rob"):
            people.invite("team", reader, "reader", "sam")
            people.accept("team", reader)
        yield made
