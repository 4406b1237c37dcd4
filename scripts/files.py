"""Which files are the project's: what git tracks or would track."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def project_files(*suffixes: str, under: str = "") -> list[Path]:
    """Files of the checkout, sorted; only those with one of `suffixes`, when any is given."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", under or "."]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    found = {ROOT / name for name in names if name}
    return sorted(path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
