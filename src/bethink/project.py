"""Which project a folder belongs to: its git remote in a normal form, else its root folder. Reads files only."""

from __future__ import annotations

import re
from pathlib import Path

_SCP = re.compile(r"(?:[^@/\s]+@)?([^:/\s]{2,}):(?!//)(.+)")


def project_of(folder: Path) -> str | None:
    """The canonical id of the project that `folder` is in, None outside of a git checkout.

    A worktree is the project it was made from; a sub-folder of a monorepo is the repository's.
    """
    for root in (folder, *folder.parents):
        marker = root / ".git"
        try:
            if marker.is_dir() and (marker / "HEAD").exists():
                return _named(marker, root)
            if marker.is_file():
                return _named(*_followed(marker, root))
        except OSError:
            continue
    return None


def root_of(folder: Path) -> Path | None:
    """The nearest folder above, or this one, that is a checkout or has settings of its own."""
    for root in (folder, *folder.parents):
        try:
            if (root / ".git").exists() or (root / ".bethink.toml").is_file():
                return root
        except OSError:
            continue
    return None


def _followed(marker: Path, root: Path) -> tuple[Path, Path]:
    """The git folder and the main root behind the `.git` file of a worktree or submodule."""
    line = marker.read_text("utf-8", "replace").strip()
    git = (root / line.removeprefix("gitdir:").strip()).resolve()
    common = git / "commondir"
    if common.is_file():
        git = (git / common.read_text("utf-8", "replace").strip()).resolve()
        root = git.parent if git.name == ".git" else git
    return git, root


def _named(git: Path, root: Path) -> str:
    config = git / "config"
    remotes = _remotes(config.read_text("utf-8", "replace")) if config.is_file() else {}
    url = remotes.get("origin") or next(iter(remotes.values()), None)
    return (url and normalised(url)) or str(root.resolve())


def _remotes(config: str) -> dict[str, str]:
    """Name → first URL of each remote in a git configuration."""
    found: dict[str, str] = {}
    remote: str | None = None
    for line in config.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = re.match(r'\[remote "(.*)"\]', line)
            remote = section[1] if section else None
        elif remote and (pair := re.match(r"url\s*=\s*(.+)", line)):
            found.setdefault(remote, pair[1].strip().strip('"'))
    return found


def normalised(url: str) -> str | None:
    """A remote's address without scheme, user, port and ``.git``: ``github.com/owner/name``.

    The host is in lower case. None for what is no address. A path on this machine stays a path.
    """
    url = url.strip()
    if "://" in url:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path)
        if parts.scheme == "file":
            host, path = "", "/" + path.strip("/")
    elif (pair := _SCP.fullmatch(url)) and not re.match(r"[A-Za-z]:[\\/]", url):
        host, path = pair[1].lower(), pair[2]
    else:
        host, path = "", url
    path = path.rstrip("/").removesuffix(".git").rstrip("/")
    if not path.strip("/"):
        return None
    return f"{host}/{path.lstrip('/')}" if host else path


def short(project: str) -> str:
    """The last part of a project's id, the name that people use."""
    return project.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
