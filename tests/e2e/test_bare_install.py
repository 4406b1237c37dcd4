"""The bare install as a user makes it: its size, and that it is the whole local product, with no network and no extra."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("bare-install")]

ROOT = Path(__file__).parents[2]
#: Bytes in site-packages, compiled files included, the installer itself not counted.
MOST = 300_000_000
INSTALLER = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
#: What only extras, torch or a model hub bring, and what was replaced to stay small.
NOT_NEEDED = (
    "alembic", "fastapi", "hf_xet", "huggingface_hub", "hvac", "psycopg",
    "rapidfuzz", "sqlite_vec", "tokenizers", "torch", "transformers", "zstandard",
)  # fmt: skip
#: Told by pip when there is no registry to be reached, which is not ours to mend.
UNREACHABLE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "Temporary failure in name resolution", "ProxyError")

#: Put before everything else in the processes: whoever looks for another machine is stopped and noted.
NO_NETWORK = """
import os, sys

def _watch(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1"):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            print(event, arguments[-1], file=log)
        raise OSError("the network is away")

sys.addaudithook(_watch)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("bare")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], env=environment, check=True)
    made = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    [wheel] = folder.glob("*.whl")
    install = [str(made), "-m", "pip", "install", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stdout + done.stderr for word in UNREACHABLE):
        pytest.skip("no package registry can be reached: the bare install cannot be made")
    assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.fixture(scope="module")
def packages(python: Path) -> Path:
    told = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    )
    return Path(told.stdout.strip())


class Cut:
    """Runs commands of the install where no other machine can be reached."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.command = python.with_name("bethink.exe" if os.name == "nt" else "bethink")
        self.log = folder / "network.log"
        (folder / "sitecustomize.py").write_text(NO_NETWORK, "utf-8")
        nowhere = "http://127.0.0.1:9"
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "PYTHONPATH": str(folder), "NETWORK_LOG": str(self.log), "MEMORY_HOME": str(folder / "home"),
            "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "ALL_PROXY": nowhere,
        }  # fmt: skip
        # Where the system lets us, there is no network device either.
        alone = ["unshare", "--map-root-user", "--net"]
        possible = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
        self.prefix = alone if possible else []

    def __call__(self, *arguments: str, input: str = "") -> str:
        command = [*self.prefix, str(self.command), *arguments]
        done = subprocess.run(command, input=input, env=self.environment, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        assert not self.log.exists(), self.log.read_text("utf-8")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def cut(python: Path, tmp_path: Path) -> Cut:
    return Cut(python, tmp_path)


def test_it_is_under_300_mb(packages: Path) -> None:
    sizes: dict[str, int] = {}
    for path in packages.rglob("*"):
        part = path.relative_to(packages).parts[0]
        if path.is_file() and not path.is_symlink() and part.partition("-")[0] not in INSTALLER and part not in INSTALLER:
            sizes[part] = sizes.get(part, 0) + path.stat().st_size
    biggest = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(sizes.items(), key=lambda one: -one[1])[:12])
    assert any("__pycache__" in path.parts for path in packages.glob("bethink/**/*.pyc")), "compiled files count"
    assert sum(sizes.values()) < MOST, f"{sum(sizes.values()) / 1e6:.1f} MB: {biggest}"


def test_it_brings_no_extra(packages: Path) -> None:
    assert [name for name in NOT_NEEDED if (packages / name).exists()] == []


def test_the_watch_sees_who_looks_for_another_machine(python: Path, cut: Cut) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    done = subprocess.run([*cut.prefix, python, "-c", code], env=cut.environment, capture_output=True, text=True, check=False)
    assert "the network is away" in done.stderr
    assert cut.log.exists()


def test_it_stores_and_finds_by_meaning_without_a_network(cut: Cut) -> None:
    stored = cut.json("add", "The cat sleeps on the warm roof of the bakery")
    assert stored["action"] == "added"
    cut.json("add", "Invoices are written in the first week of the month")
    for mode, question in (("keyword", "bakery roof"), ("hybrid", "where does the kitten nap?"), ("semantic", "feline resting place")):
        assert cut.json("recall", question, "-m", mode)["hits"][0]["id"] == stored["id"], mode
    report = cut.json("doctor")
    assert report["ok"] is True
    assert report["embedder"]["pending_vectors"] == 0


def test_the_server_shakes_hands_and_answers_without_a_network(cut: Cut) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    call = {"name": "memory_store", "arguments": {"content": "The harbour is closed in May"}}
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    told = cut("mcp", input="".join(json.dumps(one) + "\n" for one in asked))
    answers = {one["id"]: one["result"] for one in map(json.loads, told.splitlines())}
    assert answers[1]["serverInfo"]["name"] == "bethink"
    assert answers[2]["structuredContent"]["action"] == "added"


def test_the_library_opens_without_a_network(python: Path, cut: Cut) -> None:
    code = "from bethink import Draft, open_memories\nwith open_memories() as m: print(m.remember(Draft('a fact')).action)"
    done = subprocess.run([*cut.prefix, python, "-c", code], env=cut.environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "added", done.stderr
