"""Vault as it behaves in life, on a real OpenBao: tokens that expire, a sealed or absent server, refusals, restarts."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bethink.errors import ConfigError, SealDenied, SealUnavailable
from bethink.seal.chain import Row, build
from bethink.seal.vault import VaultSeal, VaultSettings, path_part
from kit import openbao

MEMORY = "0199f3c2-7b1e-7000-8000-000000000001"
SECRET = "canary" + "-8d1f-äöü-😀"


@pytest.fixture(scope="module")
def server() -> Iterator[openbao.Bao]:
    with openbao.running() as bao:
        yield bao


@pytest.fixture
def token(server: openbao.Bao) -> str:
    return server.token(policy="bethink", rules=openbao.POLICY)


def settings(server: openbao.Bao, token: str | None, **more: object) -> VaultSettings:
    return VaultSettings(server.addr, token, rest=0.0, **more)  # type: ignore[arg-type]  # passed through


def test_the_least_policy_is_enough_and_the_path_is_as_documented(server: openbao.Bao, token: str) -> None:
    seal = VaultSeal(settings(server, token))
    sealed = seal.seal("alice", MEMORY, "password", SECRET)
    assert sealed.meta == {"tier": "vault", "mount": "secret", "path": f"bethink/alice/{MEMORY}"}
    kept = server.client().secrets.kv.v2.read_secret_version(f"bethink/alice/{MEMORY}", mount_point="secret", raise_on_deleted_version=True)
    assert kept["data"]["data"] == {"password": SECRET}


@pytest.mark.parametrize("owner", ["../../sys", "a/b", "..", ".", "", "é@x.org", "a b?c#d%2e", "x" * 200])
def test_owners_cannot_leave_their_path(server: openbao.Bao, token: str, owner: str) -> None:
    seal = VaultSeal(settings(server, token))
    sealed = seal.seal(owner, MEMORY, "n", SECRET)
    assert sealed.meta["path"].startswith("bethink/")
    assert sealed.meta["path"].count("/") == 2
    assert seal.open(owner, MEMORY, "n", b"", sealed.meta) == SECRET


def test_path_parts_never_collide() -> None:
    values = ["a", "A", "a/b", "a=2Fb", "", "=", ".", "..", ".a", "a.", "é", "e\u0301", "a b", "a+b"]
    assert len({path_part(v) for v in values}) == len(values)


def test_a_reference_to_another_memory_is_refused(server: openbao.Bao, token: str) -> None:
    seal = VaultSeal(settings(server, token))
    theirs = seal.seal("bob", MEMORY, "password", "bobs")
    with pytest.raises(SealDenied):
        seal.open("alice", MEMORY, "password", b"", theirs.meta)


def test_erasing_leaves_no_version_behind(server: openbao.Bao, token: str) -> None:
    seal = VaultSeal(settings(server, token))
    kv = server.client().secrets.kv.v2
    one = seal.seal("alice", "erase", "one", "first")
    two = seal.seal("alice", "erase", "two", "second")
    seal.erase("alice", "erase", "one", b"", one.meta)
    versions = kv.read_secret_metadata("bethink/alice/erase", mount_point="secret")["data"]["versions"]
    assert [v["destroyed"] for v in versions.values()] == [True, True, False]
    seal.erase("alice", "erase", "two", b"", two.meta)
    listed = server.client().secrets.kv.v2.list_secrets("bethink/alice", mount_point="secret")["data"]["keys"]
    assert "erase" not in listed
    with pytest.raises(SealDenied):
        seal.open("alice", "erase", "two", b"", two.meta)


def test_parallel_writers_of_one_memory_lose_nothing(server: openbao.Bao, token: str) -> None:
    seals = [VaultSeal(settings(server, token)) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        sealed = list(pool.map(lambda i: seals[i % 3].seal("alice", "parallel", f"n{i}", f"s{i}"), range(6)))
    assert [seals[0].open("alice", "parallel", f"n{i}", b"", one.meta) for i, one in enumerate(sealed)] == [f"s{i}" for i in range(6)]


def test_a_token_is_renewed_in_the_second_half_of_its_life(server: openbao.Bao) -> None:
    short = server.token(policy="bethink", rules=openbao.POLICY, ttl="4s", explicit_max_ttl="10m")
    seal = VaultSeal(settings(server, short))
    sealed = seal.seal("alice", "renew", "n", SECRET)
    end = time.monotonic() + 7
    while time.monotonic() < end:
        assert seal.open("alice", "renew", "n", b"", sealed.meta) == SECRET
        time.sleep(0.3)


def test_an_expired_token_is_said_to_be_so(server: openbao.Bao) -> None:
    short = server.token(policy="bethink", rules=openbao.POLICY, ttl="1s", renewable=False)
    seal = VaultSeal(settings(server, short))
    sealed = seal.seal("alice", "expire", "n", SECRET)
    time.sleep(2)
    with pytest.raises(SealDenied) as caught:
        seal.open("alice", "expire", "n", b"", sealed.meta)
    assert "expired" in caught.value.hint
    assert not seal.healthy().ok


def test_a_policy_that_forbids_writing_denies(server: openbao.Bao) -> None:
    reader = server.token(policy="reader", rules='path "secret/data/bethink/*" { capabilities = ["read"] }')
    with pytest.raises(SealDenied) as caught:
        VaultSeal(settings(server, reader)).seal("alice", MEMORY, "n", SECRET)
    assert "secret/data/bethink" in caught.value.hint
    assert SECRET not in str(caught.value)
    with pytest.raises(SealDenied):
        VaultSeal(settings(server, "no-such-token")).seal("alice", MEMORY, "n", SECRET)


def test_a_mount_that_is_not_there_is_said_to_be_so(server: openbao.Bao) -> None:
    with pytest.raises(SealDenied):
        VaultSeal(settings(server, server.root, mount="nowhere")).seal("alice", MEMORY, "n", SECRET)


def test_another_mount_and_prefix(server: openbao.Bao) -> None:
    client = server.client()
    client.sys.enable_secrets_engine("kv", path="team", options={"version": "2"})
    old = VaultSeal(settings(server, server.root))
    sealed = old.seal("alice", "moved", "n", SECRET)
    new = VaultSeal(settings(server, server.root, mount="team", prefix="apps/memory"))
    assert not new.is_current(sealed.meta)
    assert new.open("alice", "moved", "n", b"", sealed.meta) == SECRET
    for _ in range(50):
        try:
            assert new.seal("alice", "moved", "n", SECRET).meta["path"] == "apps/memory/alice/moved"
            break
        except SealUnavailable:
            time.sleep(0.1)  # the engine is still upgrading itself to version 2


def test_a_sealed_server_and_a_restart(tmp_path: Path) -> None:
    with openbao.running() as server:
        seal = VaultSeal(settings(server, server.token(policy="bethink", rules=openbao.POLICY)))
        sealed = seal.seal("alice", MEMORY, "n", SECRET)
        server.seal()
        with pytest.raises(SealUnavailable, match="sealed"):
            seal.open("alice", MEMORY, "n", b"", sealed.meta)
        assert "sealed" in seal.healthy().detail
        server.unseal()
        assert seal.open("alice", MEMORY, "n", b"", sealed.meta) == SECRET
        server.stop()
        with pytest.raises(SealUnavailable, match="cannot be reached"):
            seal.open("alice", MEMORY, "n", b"", sealed.meta)
        server.start()
        assert seal.open("alice", MEMORY, "n", b"", sealed.meta) == SECRET


def test_while_vault_is_down_secrets_wait_sealed_and_move_later(tmp_path: Path) -> None:
    with openbao.running() as server:
        token = server.token(policy="bethink", rules=openbao.POLICY)
        chain = build(tmp_path, vault=settings(server, token), use_keyring=False)
        before = chain.seal("alice", "m0", "n", SECRET)
        server.stop()
        queued = chain.seal("alice", "m1", "n", SECRET)
        assert (queued.tier, queued.meta["queued_for"]) == ("local", "vault")
        assert SECRET.encode() not in queued.blob
        assert chain.open("alice", "m1", "n", queued.blob, queued.meta) == SECRET
        rows = [Row("alice", "m0", "n", before.blob, before.meta), Row("alice", "m1", "n", queued.blob, queued.meta)]
        same, failed = chain.migrate(rows)
        assert same.sealed is None and same.error is None
        assert isinstance(failed.error, SealUnavailable)
        with pytest.raises(SealUnavailable):
            build(tmp_path, vault=settings(server, token), use_keyring=False, queue=False).seal("alice", "m2", "n", SECRET)
        server.start()
        same, moved = chain.migrate(rows)
        assert same.sealed is None
        assert moved.sealed is not None and moved.sealed.tier == "vault" and "queued_for" not in moved.sealed.meta
        moved.release()
        assert chain.open("alice", "m1", "n", moved.sealed.blob, moved.sealed.meta) == SECRET
        # Away from Vault again: its copy goes when the store says so.
        (back,) = chain.migrate([Row("alice", "m1", "n", moved.sealed.blob, moved.sealed.meta)], to="local")
        assert back.sealed is not None and back.sealed.tier == "local"
        assert chain.open("alice", "m1", "n", moved.sealed.blob, moved.sealed.meta) == SECRET
        back.release()
        with pytest.raises(SealDenied):
            chain.open("alice", "m1", "n", moved.sealed.blob, moved.sealed.meta)
        assert chain.open("alice", "m1", "n", back.sealed.blob, back.sealed.meta) == SECRET


def test_a_server_that_never_answers_costs_one_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        seal = VaultSeal(VaultSettings(f"http://127.0.0.1:{silent.getsockname()[1]}", "t", timeout=(0.3, 0.3)))
        for _ in range(30):  # only the first waits; the rest would take 9 s and exceed the test's patience otherwise
            with pytest.raises(SealUnavailable):
                seal.seal("alice", MEMORY, "n", SECRET)


def test_something_else_that_answers_is_not_vault() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_PUT = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with _http(Page) as address, pytest.raises(SealUnavailable):
        VaultSeal(VaultSettings(address, "t")).seal("alice", MEMORY, "n", SECRET)


def test_a_login_is_needed() -> None:
    with pytest.raises(ConfigError):
        VaultSeal(VaultSettings("http://127.0.0.1:1"))
    assert "tok" + "en-1" not in repr(VaultSettings("http://x", "tok" + "en-1"))


class _http:
    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _certificate() -> str:
    """Any CA certificate; OpenBao wants one although the reviewer is reached without TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = built.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_a_kubernetes_service_account_logs_in_and_logs_in_again(server: openbao.Bao, tmp_path: Path) -> None:
    logins: list[str] = []

    class Reviews(BaseHTTPRequestHandler):
        """The part of the Kubernetes API that answers whose token this is."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            logins.append(body["spec"]["token"])
            user = {"username": "system:serviceaccount:apps:bethink", "uid": "u1", "groups": ["system:serviceaccounts"]}
            answer = json.dumps({**body, "status": {"authenticated": True, "user": user, "audiences": ["vault"]}}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:apps:bethink",
        "aud": ["vault"],
        "iat": int(time.time()) - 60,
        "nbf": int(time.time()) - 60,
        "exp": int(time.time()) + 3600,
        "kubernetes.io": {"namespace": "apps", "serviceaccount": {"name": "bethink", "uid": "u1"}},
    }
    account = ".".join([part({"alg": "RS256", "typ": "JWT"}), part(claims), part("signature-is-the-reviewers-business")])
    file = tmp_path / "token"
    file.write_text(account + "\n")
    client = server.client()
    client.sys.create_or_update_policy("bethink", openbao.POLICY)
    with _http(Reviews) as kubernetes:
        client.sys.enable_auth_method("kubernetes")
        client.auth.kubernetes.configure(
            kubernetes_host=kubernetes, token_reviewer_jwt=account, kubernetes_ca_cert=_certificate(), disable_local_ca_jwt=True
        )
        client.auth.kubernetes.create_role(
            "bethink",
            bound_service_account_names="bethink",
            bound_service_account_namespaces="apps",
            policies=["bethink"],
            ttl="2s",
            max_ttl="2s",
        )
        seal = VaultSeal(settings(server, None, role="bethink", token_file=file))
        sealed = seal.seal("alice", "k8s", "n", SECRET)
        time.sleep(3)
        assert seal.open("alice", "k8s", "n", b"", sealed.meta) == SECRET
        assert len(logins) == 2
        with pytest.raises(SealDenied, match="login"):
            VaultSeal(settings(server, None, role="another", token_file=file)).seal("alice", "k8s", "n", SECRET)
        file.unlink()
        time.sleep(3)
        with pytest.raises(SealDenied, match="service account"):
            seal.open("alice", "k8s", "n", b"", sealed.meta)
