"""Which project a folder belongs to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink.project import normalised, project_of, short

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "my-app"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", "git@example.org:team/my-app.git")
    (folder / "file").write_text("x")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")
    return folder


@pytest.mark.parametrize(
    ("url", "id"),
    [
        ("git@github.com:Owner/Name.git", "github.com/Owner/Name"),
        ("https://github.com/Owner/Name", "github.com/Owner/Name"),
        ("https://user@GitHub.com:443/Owner/Name.git/", "github.com/Owner/Name"),
        ("ssh://git@example.org:2222/a/b/c.git", "example.org/a/b/c"),
        ("git://example.org/a%20b.git", "example.org/a b"),
        ("example.org:a/b", "example.org/a/b"),
        ("/srv/git/thing.git", "/srv/git/thing"),
        ("file:///srv/git/thing.git", "/srv/git/thing"),
        (r"C:\work\thing", r"C:\work\thing"),
        ("https://example.org/", None),
        ("", None),
    ],
)
def test_addresses(url: str, id: str | None) -> None:
    assert normalised(url) == id


@given(st.text())
def test_no_address_raises(url: str) -> None:
    try:
        normalised(url)
    except ValueError as error:
        # urllib refuses a bracket that is no IPv6 address
        pytest.fail(f"{url!r}: {error}")


def test_outside_of_git(tmp_path: Path) -> None:
    assert project_of(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert project_of(tmp_path) is None
    assert project_of(tmp_path / "does" / "not" / "exist") is None


@needs_git
def test_a_checkout_its_folders_and_worktrees_are_one(checkout: Path, tmp_path: Path) -> None:
    inner = checkout / "packages" / "inner"
    inner.mkdir(parents=True)
    git(checkout, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    for folder in (checkout, inner, tmp_path / "elsewhere"):
        assert project_of(folder) == "example.org/team/my-app"


@needs_git
def test_a_clone_by_another_address_is_the_same(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    shutil.copytree(checkout, other)
    git(other, "remote", "set-url", "origin", "https://example.org/team/my-app")
    assert project_of(other) == project_of(checkout)


@needs_git
def test_a_submodule_is_its_own(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(checkout, library)
    git(checkout, "submodule", "--quiet", "add", str(library), "vendored")
    assert project_of(checkout / "vendored") == str(library)


@needs_git
def test_without_a_remote_it_is_the_root(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    assert project_of(folder / "sub") == str(folder.resolve())
    (folder / ".git" / "config").write_bytes(b"\xff\xfe garbage [remote")
    assert project_of(folder) == str(folder.resolve())


@needs_git
def test_another_remote_when_there_is_no_origin(checkout: Path) -> None:
    git(checkout, "remote", "rename", "origin", "upstream")
    assert project_of(checkout) == "example.org/team/my-app"


def test_short_names() -> None:
    assert short("example.org/team/my-app") == "my-app"
    assert short(r"C:\work\thing") == "thing"
    assert short("/srv/x/") == "x"
    assert short("plain") == "plain"
