"""A network of its own for a machine, with a cable that can be pulled out. Needs root and `ip`; skips and says why."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Cable:
    """The link between this machine and a namespace.

    Attributes:
        host: address of this machine, as the namespace reaches it.
        inside: what stands before a command that runs in the namespace.
    """

    host: str
    inside: tuple[str, ...]
    link: str

    def cut(self) -> None:
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        _ip("link", "set", self.link, "up")


@contextmanager
def cable() -> Iterator[Cable]:
    """A namespace that is joined with this machine by a pair of virtual network cards."""
    number = os.getpid() % 250 + 1
    name, here, there = f"bethink{number}", f"bth{number}a", f"bth{number}b"
    host, guest = f"10.213.{number}.1", f"10.213.{number}.2"
    if shutil.which("ip") is None:
        pytest.skip("network namespaces: there is no program `ip`")
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr!r}")
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _ip("addr", "add", f"{host}/24", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "addr", "add", f"{guest}/24", "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield Cable(host, ("ip", "netns", "exec", name), here)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be joined here: {error.stderr!r}")
    finally:
        # The pair of cards goes with the namespace.
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", here], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
