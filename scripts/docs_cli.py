"""Writes docs/reference/cli.md from the commands themselves; `--check` only says whether it is up to date."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from files import ROOT, name_of

PAGE = ROOT / "docs/reference/cli.md"
# Nothing of the machine that writes the page may show: no width, no colour, no settings.
os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")
for name in [name for name in os.environ if name.startswith(("MEMORY_", "CLAUDE_MEMORY_"))]:
    del os.environ[name]

HEAD = """# Commands

<!-- Written by `make docs` from the commands' own help; `make check` fails when it is out of date. -->

`bethink COMMAND --help` prints the same on a terminal. `--json` answers for programs. Exit codes:

| code | meaning |
|---|---|
| 0 | done |
| 1 | no memory has the id that was asked for |
| 2 | the command or one of its values is wrong |
| 3 | the store, the embedder, the seal or the server is in trouble |

Errors go to standard error, with a hint on what to do; [all of them](errors.md).
"""


def commands(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """The command and everything under it, with contexts, parents first."""
    yield command, context
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from commands(child, type(context)(child, info_name=name, parent=context))


def plain(text: str) -> str:
    """Help text as Markdown: no markup of the terminal, no path of this machine."""
    text = re.sub(r"(?<!\\)\[/?(?:bold|dim|italic|cyan|green|yellow|red|magenta|blue)[^\]]*\]", "", text).replace("\\[", "[")
    home = os.path.expanduser("~")  # noqa: PTH111 - the text holds the expanded form
    text = text.replace("\f", "").replace(home + "/", "~/") if home != "/" else text
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def cell(text: str) -> str:
    return " ".join(plain(text).split()).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def table(title: str, records: list[tuple[str, str]]) -> list[str]:
    if not records:
        return []
    rows = [f"| `{' '.join(left.split()).replace('|', chr(92) + '|')}` | {cell(right)} |" for left, right in records]
    return [f"| {title} | |", "|---|---|", *rows, ""]


def section(command: Any, context: Any) -> list[str]:
    level = "##" if context.parent is None or context.parent.parent is None else "###"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name not in ("install_completion", "show_completion")]
    records = [(p.param_type_name, p.get_help_record(context)) for p in shown]
    arguments = [record for kind, record in records if record and kind == "argument"]
    options = [record for kind, record in records if record and kind == "option"]
    children = [(f"{name}", child.get_short_help_str(200)) for name, child in getattr(command, "commands", {}).items() if not child.hidden]
    lines = [f"{level} {context.command_path}", "", plain(command.help or ""), "", "```text", usage, "```", ""]
    return lines + table("command", children) + table("argument", arguments) + table("option", options)


def page() -> str:
    """The whole page."""
    import typer

    from bethink.front.cli import app

    command = typer.main.get_command(app)
    context = command.make_context("bethink", [], resilient_parsing=True)
    lines = [HEAD]
    for child, where in commands(command, context):
        lines += section(child, where)
    return "\n".join(lines).strip() + "\n"


def main() -> int:
    new = page()
    old = PAGE.read_text("utf-8") if PAGE.exists() else ""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(new, "utf-8")
        print(f"{name_of(PAGE)}: {'written' if new != old else 'as it was'}")
        return 0
    if new != old:
        print("".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "committed", "generated", n=1)))
        print(f"{name_of(PAGE)} is out of date: run `make docs`")
        return 1
    print(f"{name_of(PAGE)} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
