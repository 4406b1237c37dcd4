"""Every command, setting, tool and error has a line in the reference, and the generated pages are up to date."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from bethink import errors
from bethink.config import SETTINGS
from bethink.front.mcp.tools import TOOLS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"


def documented(page: str) -> set[str]:
    """The names that begin a row of a table or a heading of a page."""
    text = (REFERENCE / page).read_text("utf-8")
    return {name for cell in re.findall(r"^(?:\|\s*|#+\s+)(`[^|\n]*)", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)}


def test_every_error_has_a_line() -> None:
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.BethinkError)}
    assert documented("errors.md") == classes


def test_the_exit_codes_of_the_errors_are_the_documented_ones() -> None:
    text = (REFERENCE / "errors.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d) \|$", text, re.MULTILINE))
    assert rows == {name: str(getattr(errors, name).exit_code) for name in rows}


def test_every_setting_has_a_line() -> None:
    names = {name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
    assert names - documented("configuration.md") == set()


def test_every_tool_and_parameter_has_a_line() -> None:
    tools = mcp_tools()
    text = (REFERENCE / "mcp-tools.md").read_text("utf-8")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^#{1,2} |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(tools)
    for name, parameters in tools.items():
        assert set(re.findall(r"^\| `(\w+)` \|", sections[name], re.MULTILINE)) == parameters, name


def mcp_tools() -> dict[str, set[str]]:
    """The tools of the default set with their parameters."""
    return {tool.name: {param.name for param in tool.params} for tool in TOOLS}


def test_the_generated_parts_are_up_to_date() -> None:
    docs_parts = importlib.import_module("docs_parts")
    assert list(docs_parts.homeless()) == []
    assert [page.name for page in REFERENCE.glob("*.md") if docs_parts.filled(page) != page.read_text("utf-8")] == []


def test_every_command_has_a_line() -> None:
    docs_cli = importlib.import_module("docs_cli")
    assert docs_cli.page() == docs_cli.PAGE.read_text("utf-8"), "run `make docs`"


def test_no_link_leads_nowhere() -> None:
    check_docs = importlib.import_module("check_docs")
    assert [line for page in (ROOT / "docs").rglob("*.md") for line in check_docs.broken(page)] == []


def test_every_page_is_reachable_from_the_index() -> None:
    check_docs = importlib.import_module("check_docs")
    found: set[Path] = set()
    waiting = [ROOT / "docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        links = [next(filter(None, groups)).partition("#")[0] for groups in check_docs.LINK.findall(page.read_text("utf-8"))]
        waiting += [(page.parent / link).resolve() for link in links if link and ":" not in link]
    assert sorted(set((ROOT / "docs").rglob("*.md")) - found) == []
