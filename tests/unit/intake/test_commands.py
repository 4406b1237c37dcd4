"""What of a command line is counted as a habit."""

from __future__ import annotations

import pytest

from bethink.intake.commands import secretive, stem, steps


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cd app && mix test test/a_test.exs 2>&1 | tail -5", ["mix test test/a_test.exs"]),
        ("make lint; make test &> out.txt", ["make lint", "make test"]),
        ("git commit -m 'a; b && c' && git push", ["git commit -m …", "git push"]),
        ("CI=1 timeout 60 uv run pytest -q", ["uv run pytest -q"]),
        ("git status\nls -la | wc -l", []),
        ("git log --oneline | head; git fetch", ["git fetch"]),
        ("cat <<EOF > a.txt\nrm -rf /\nEOF", []),
        ("echo $(make secrets)", []),
        ("", []),
        ("'", []),
        ("&& | ; > <", []),
        ("\U0001f600 構築 --alles", ["\U0001f600 構築 --alles"]),
    ],
)
def test_steps_that_did_something(line: str, expected: list[str]) -> None:
    assert list(steps(line)) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("mix test test/a_test.exs", "mix test"),
        ("npm run build --prod", "npm run build"),
        ("python -m pytest -q tests", "python -m pytest"),
        ("docker compose up -d", "docker compose up"),
        ("pytest -x", "pytest"),
        ("node server.js", "node"),
        ("make", "make"),
        ("", ""),
    ],
)
def test_what_a_step_is_about(step: str, expected: str) -> None:
    assert stem(step) == expected


def test_long_paths_are_no_secrets_and_keys_are() -> None:
    assert not secretive("/home/user/projects/billing-worktrees/billing-feature/lib/orders/invoice.ex")
    assert secretive("deploy --with " + "a3F9" * 10)
    assert secretive("curl -H 'Authorization: Bearer abc'")


def test_a_long_line_is_taken_apart_in_time() -> None:
    assert list(steps('"' * 20_000 + "a " * 20_000)) != ["b"]
    assert list(steps("a" * 100_000 + " && make"))[1] == "make"
