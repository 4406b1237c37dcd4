"""Where the warm process of one store is found. On the hook path: standard library alone."""

import os
from binascii import crc32
from pathlib import Path

#: Longest path that a Unix socket's address holds on every system.
_MAX_PATH = 100


class Spot:
    """The files by which processes on the same store of the same user find each other, under ``MEMORY_HOME/run``.

    Args:
        home: MEMORY_HOME.
        database: the store's file.
        user: the owner whose memories are meant.

    Attributes:
        store: what a request must name, so that nobody is answered from another store.
    """

    def __init__(self, home: Path, database: Path, user: str = "local") -> None:
        self.folder = home / "run"
        self.store = f"{user}@{database}"
        usual = user == "local" and database == home / "memory.db"
        self._name = "warm" if usual else f"warm-{crc32(os.fsencode(self.store)):08x}"

    @property
    def lock(self) -> Path:
        """Held by the process that lends its model."""
        return self.folder / f"{self._name}.lock"

    @property
    def socket(self) -> Path:
        return self.folder / f"{self._name}.sock"

    @property
    def address(self) -> Path:
        """Where there is no Unix socket: port and token, as JSON."""
        return self.folder / f"{self._name}.json"

    @property
    def uses_unix(self) -> bool:
        """Whether a Unix socket can be had; its address holds only so much, and Python on Windows knows none."""
        return os.name == "posix" and len(os.fsencode(self.socket)) <= _MAX_PATH

    @property
    def taken(self) -> bool:
        """Whether somebody seems to be there."""
        return (self.socket if self.uses_unix else self.address).exists()
