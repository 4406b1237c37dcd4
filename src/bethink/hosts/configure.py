"""Writing ourselves into assistants' configuration: find them, show the change, make it, take it back byte for byte."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from bethink.errors import ConfigError, Conflict, InvalidInput, NotFound
from bethink.ids import new_id

ScopeName = Literal["user", "project"]

#: Assistants that can be set up, and how they call themselves.
LABELS: Final[Mapping[str, str]] = {
    "claude": "Claude Code",
    "codex": "Codex CLI",
    "gemini": "Gemini CLI",
    "cursor": "Cursor",
    "opencode": "opencode",
    "claude-desktop": "Claude Desktop",
    "vscode": "VS Code",
}
_PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "claude": ("claude",),
    "codex": ("codex",),
    "gemini": ("gemini",),
    "cursor": ("cursor", "cursor-agent"),
    "opencode": ("opencode",),
    "vscode": ("code", "code-insiders", "codium"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Whose configuration is meant."""

    home: Path
    #: Root folder of the project, for project scope.
    project: Path | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    #: As `sys.platform`.
    platform: str = sys.platform

    @classmethod
    def here(cls, project: Path | None = None) -> Place:
        """This user on this machine."""
        return cls(Path.home(), project)

    def application(self, name: str) -> Path:
        """The folder where desktop programs keep their settings on this system."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support" / name
        if self.platform == "win32":
            return Path(self.env.get("APPDATA") or self.home / "AppData" / "Roaming") / name
        return Path(self.env.get("XDG_CONFIG_HOME") or self.home / ".config") / name

    def root(self, host: str) -> Path:
        """The folder with the user's configuration of `host`."""
        roots = {
            "claude": ("CLAUDE_CONFIG_DIR", self.home / ".claude"),
            "codex": ("CODEX_HOME", self.home / ".codex"),
            "gemini": ("", self.home / ".gemini"),
            "cursor": ("", self.home / ".cursor"),
            "opencode": ("", Path(self.env.get("XDG_CONFIG_HOME") or self.home / ".config") / "opencode"),
            "claude-desktop": ("", self.application("Claude")),
            "vscode": ("", self.application("Code") / "User"),
        }
        variable, default = roots[host]
        return Path((variable and self.env.get(variable)) or default)


@dataclass(frozen=True, slots=True)
class HostFound:
    """An assistant that is on this machine."""

    host: str
    label: str
    #: Its program on PATH, if there.
    program: Path | None
    #: Its configuration folder, if there.
    folder: Path | None


@dataclass(frozen=True, slots=True)
class FileChange:
    """What one file is and will be. `before` is None when the file is new."""

    path: Path
    before: bytes | None
    after: bytes
    #: What it is for, in a few words.
    purpose: str = ""

    def diff(self) -> str:
        """The change as a unified diff, with one line around it: such files can hold credentials elsewhere."""
        before = (self.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
        after = self.after.decode("utf-8", "replace").splitlines(keepends=True)
        old = "(new file)" if self.before is None else str(self.path)
        lines = difflib.unified_diff(before, after, old, str(self.path), n=1)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of changes that were made, enough to take them back. It lives in a folder of its own."""

    folder: Path

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    def entries(self) -> list[dict[str, Any]]:
        """One entry per file: path, backup, sha256 of what we wrote, folders we made.

        Raises:
            NotFound: there is no such receipt, or it is damaged.
        """
        try:
            return list(json.loads((self.folder / "receipt.json").read_text("utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            raise NotFound(f"No receipt of a setup in {self.folder}.", hint="`bethink setup --undo` takes the latest one.") from None


def detect(place: Place | None = None) -> list[HostFound]:
    """The assistants on this machine, by their program on PATH or their configuration folder."""
    here = place or Place.here()
    found = []
    for host, label in LABELS.items():
        names = (shutil.which(name, path=here.env.get("PATH", os.defpath)) for name in _PROGRAMS.get(host, ()))
        program = next((Path(name) for name in names if name), None)
        root = here.root(host)
        if program or root.is_dir():
            found.append(HostFound(host, label, program, root if root.is_dir() else None))
    return found


def plan(host: str, scope: ScopeName = "user", command: Sequence[str] = ("bethink",), place: Place | None = None) -> list[FileChange]:
    """The changes that connect `host`; none when it is connected already.

    `command` is how bethink is started, such as ``("uvx", "bethink")``. Nothing is written.

    Raises:
        InvalidInput: no such host, or it knows no such scope.
        ConfigError: a configuration file is broken or has another form than expected; it is left alone.
    """
    if host not in LABELS:
        raise InvalidInput(f"No assistant {host!r}.", hint="Choose one of: " + ", ".join(LABELS) + ".")
    here = place or Place.here()
    if scope == "project" and (host == "claude-desktop" or here.project is None):
        raise InvalidInput(f"{LABELS[host]} cannot be set up for a project here.", hint="Use the user scope, or name the project's folder.")
    from bethink.hosts import writers

    return [change for change in writers.changes(host, scope, tuple(command), here) if change.before != change.after]


def apply(changes: Sequence[FileChange], backups: Path) -> Receipt:
    """Make the changes, all or none; backups and the receipt go into a new folder under `backups`.

    Raises:
        Conflict: a file is not any more what the plan was made from.
        OSError: a file cannot be written; what was written before it has been taken back.
    """
    for change in changes:
        if _bytes(change.path) != change.before:
            raise Conflict(f"{change.path} was changed meanwhile.", hint="Run `bethink setup` again; nothing was written.")
    folder = backups / new_id()
    folder.mkdir(mode=0o700, parents=True)
    entries: list[dict[str, Any]] = []
    for number, change in enumerate(changes):
        backup = None
        if change.before is not None:
            backup = f"{number}.backup"
            _write(folder / backup, change.before, 0o600)
        entries.append(
            {"path": str(change.path), "backup": backup, "sha256": _digest(change.after), "folders": _missing(change.path.parent)}
        )
    # The receipt comes first: after a crash in the middle, undo still knows every file.
    body = {"at": datetime.now(UTC).isoformat(), "files": entries}
    _write(folder / "receipt.json", json.dumps(body, indent=2).encode(), 0o600)
    receipt = Receipt(folder)
    try:
        for change in changes:
            change.path.parent.mkdir(parents=True, exist_ok=True)
            _write(change.path, change.after)
    except OSError:
        undo(receipt)
        raise
    return receipt


def receipts(backups: Path) -> list[Receipt]:
    """The receipts that can still be taken back, newest first."""
    with suppress(OSError):
        return [Receipt(path) for path in sorted(backups.iterdir(), reverse=True) if (path / "receipt.json").is_file()]
    return []


def undo(receipt: Receipt, *, force: bool = False) -> list[Path]:
    """Take changes back: every file is byte for byte what it was, new files are gone. The paths that were touched.

    Raises:
        Conflict: a file was changed since; nothing is taken back. `force` restores it all the same and keeps the
            newer content beside the backup.
        NotFound: the receipt is damaged.
    """
    entries = receipt.entries()
    work: list[tuple[dict[str, Any], bytes | None, bytes | None]] = []
    for number, entry in enumerate(entries):
        now = _bytes(Path(entry["path"]))
        before = (receipt.folder / entry["backup"]).read_bytes() if entry["backup"] else None
        if now == before:
            continue
        if now is None or _digest(now) != entry["sha256"]:
            if not force:
                raise Conflict(
                    f"{entry['path']} was changed since it was set up.",
                    hint="Take our lines out by hand, or repeat with --force: the file becomes what it was before, and today's is kept in "
                    f"{receipt.folder}.",
                )
            if now is not None:
                _write(receipt.folder / f"{number}.newer", now, 0o600)
        work.append((entry, before, now))
    for entry, before, _ in work:
        path = Path(entry["path"])
        if before is None:
            path.unlink(missing_ok=True)
            for made in entry["folders"]:
                with suppress(OSError):
                    Path(made).rmdir()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, before)
    (receipt.folder / "receipt.json").rename(receipt.folder / "undone.json")
    return [Path(entry["path"]) for entry, _, _ in work]


def read_text(path: Path) -> str | None:
    """The file as text, None when there is none.

    Raises:
        ConfigError: it is not UTF-8 or cannot be read.
    """
    try:
        data = path.read_bytes()
        return data.decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint="It was left alone.") from None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replace a file in one step, keeping its permissions. A link stays a link: its target is replaced."""
    target = path.resolve() if path.is_symlink() else path
    if mode is None:
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            temporary.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _missing(folder: Path) -> list[str]:
    """The folders that must be made for `folder`, innermost first."""
    made = []
    while not folder.exists() and folder != folder.parent:
        made.append(str(folder))
        folder = folder.parent
    return made
