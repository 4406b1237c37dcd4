"""The public names: all of them, nothing else, and cheap to import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import bethink
from bethink import errors

#: What a program that embeds Bethink cannot do without.
NEEDED = {
    "Memories",
    "open_memories",
    "Memory",
    "Draft",
    "Changes",
    "Query",
    "Hit",
    "Recalled",
    "Stored",
    "Scope",
    "Filter",
    "Reach",
    "Access",
}


def test_every_public_name_resolves_and_is_named_once() -> None:
    assert len(set(bethink.__all__)) == len(bethink.__all__)
    for name in bethink.__all__:
        assert getattr(bethink, name) is not None


def test_all_holds_the_service_the_nouns_and_every_error() -> None:
    wrong = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.BethinkError)}
    assert set(bethink.__all__) >= NEEDED | wrong


def test_public_names_have_a_docstring() -> None:
    values = {name: getattr(bethink, name) for name in bethink.__all__}
    bare = [name for name, value in values.items() if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)]
    assert bare == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        bethink.nonsense  # noqa: B018 - asking is the test


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"dataclasses", "numpy", "apsw", "mcp", "pydantic", "typer", "rich", "onnxruntime"}
    code = f"import bethink, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
