"""Writes the parts of the reference that the code knows best; `--check` only says whether the pages hold them.

A page holds `<!-- part:NAME -->` … `<!-- /part:NAME -->`; NAME is a function here, or the measured part bench/results/NAME.md
that a benchmark wrote.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from files import ROOT, name_of

PAGES = ROOT / "docs/reference"
RESULTS = ROOT / "bench/results"
PART = re.compile(r"(<!-- part:([\w-]+) -->\n)(.*?)(<!-- /part:\2 -->)", re.DOTALL)


def cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def settings() -> str:
    """Every setting with its other names, default, and whether a project's file may set it."""
    from bethink.config import SETTINGS

    rows: list[tuple[object, ...]] = []
    for setting in SETTINGS:
        names = ", ".join(f"`{name}`" for name in (setting.name, *setting.aliases))
        default = {None: "", True: "1", False: "0"}.get(setting.default, setting.default)
        shown = f"`{default}`" if default != "" else ""
        rows.append((names, setting.help, shown, "yes" if setting.project_may_set else ""))
    return table(("setting", "meaning", "default", "in a project's file"), rows)


def errors() -> str:
    """Every error, in the order of the tree, with what it tells people to do and its exit code."""
    from bethink import errors as module

    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, module.BethinkError)]
    rows: list[tuple[object, ...]] = []
    for kind in classes:
        above = f" (a kind of {kind.__base__.__name__})" if kind.__base__ not in (Exception, module.BethinkError) else ""
        rows.append((f"`{kind.__name__}`", (inspect.getdoc(kind) or "") + above, kind.default_hint, kind.exit_code))
    return table(("error", "meaning", "what to do", "exit code"), rows)


def tools() -> str:
    """The default MCP tools with their parameters, as a client is told."""
    from bethink.front.mcp.tools import TOOLS

    kinds = {"texts": "list of texts, or a text with commas", "flag": "true or false", "list": "list"}
    sections = []
    for tool in TOOLS:
        marks = [word for word, is_so in (("reads only", tool.read_only), ("changes what is there", tool.destructive)) if is_so]
        rows: list[tuple[object, ...]] = []
        for param in tool.params:
            about = [param.about] if param.about else []
            about += ["One of " + ", ".join(f"`{choice}`" for choice in param.choices) + "."] if param.choices else []
            default = "required" if param.required else "" if param.default is None else f"`{json.dumps(param.default)}`"
            rows.append((f"`{param.name}`", kinds.get(param.kind, param.kind), " ".join(about), default))
        body = table(("parameter", "kind", "meaning", "default"), rows) if rows else "No parameters."
        head = f"## `{tool.name}`\n\n{tool.about}"
        sections.append(head + (f" *({', '.join(marks)})*" if marks else "") + f"\n\n{body}\n")
    return "\n".join(sections)


def toolsets() -> str:
    """What `bethink mcp --tools` may be given, and which tools it shows then."""
    from bethink.front.mcp.toolsets import NAMES, named

    default = {tool.name for tool in named("default")}
    rows: list[tuple[object, ...]] = []
    for name in NAMES:
        shown = [tool.name for tool in named(name)]
        if name == "all":
            text = f"all of these ({len(shown)}); of two with one name, the one further up"
        elif name != "default" and default <= set(shown):
            text = "the default ones and " + ", ".join(f"`{tool}`" for tool in shown if tool not in default)
        else:
            text = ", ".join(f"`{tool}`" for tool in shown)
        rows.append((f"`{name}`", text))
    return table(("`--tools`", "shows"), rows)


GENERATED = {"settings": settings, "errors": errors, "tools": tools, "toolsets": toolsets}


def filled(page: Path) -> str:
    """The page with every part in its place; a measured part without results stays as it is."""

    def part(match: re.Match[str]) -> str:
        name = match[2]
        result = RESULTS / f"{name}.md"
        if name in GENERATED:
            body = GENERATED[name]()
        elif result.exists():
            body = result.read_text("utf-8").strip()
        else:
            return match[0]
        return f"{match[1]}{body}\n{match[4]}"

    return PART.sub(part, page.read_text("utf-8"))


def homeless() -> Iterator[str]:
    """Results that no page has a place for."""
    placed = {match[2] for page in PAGES.glob("*.md") for match in PART.finditer(page.read_text("utf-8"))}
    for name in sorted({path.stem for path in RESULTS.glob("*.md")} | GENERATED.keys()):
        if name not in placed:
            yield f"no page of docs/reference has a part {name}"


def main() -> int:
    wrong = list(homeless())
    for page in sorted(PAGES.glob("*.md")):
        new = filled(page)
        if new == page.read_text("utf-8"):
            continue
        if "--check" in sys.argv[1:]:
            wrong.append(f"{name_of(page)} is out of date: run `make docs`")
        else:
            page.write_text(new, "utf-8")
            print(f"{name_of(page)}: written")
    print("\n".join(wrong) or "the generated parts of docs/reference are up to date")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
