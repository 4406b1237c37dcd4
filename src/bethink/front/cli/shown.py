"""What people and programs are shown: JSON, tables, and text without anything that a terminal would obey."""

from __future__ import annotations

import json as _json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.errors import BethinkError
from bethink.model import Hit, Link, Memory, Recalled, Stored

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Width where nobody says how wide a line may be.
_WIDTH = 120
#: Width from which every column has room.
_ROOMY = 110
_TITLE = 240
_reader: str | None = None


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")


def json(value: Any) -> None:
    """One JSON value: on one line for programs, indented on a terminal."""
    say(dumps(value, indent=2 if sys.stdout.isatty() else None))


def dumps(value: Any, indent: int | None = None) -> str:
    return _json.dumps(value, ensure_ascii=False, indent=indent)


def complain(error: BethinkError) -> None:
    """An error, with what to do about it, on stderr."""
    sys.stderr.write(f"Error: {clean(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"  {clean(error.hint)}\n")


def note(line: str) -> None:
    """Something by the way, on stderr."""
    sys.stderr.write(clean(line) + "\n")


def clean(plain: str) -> str:
    """Text that a terminal only prints: control, direction and hidden characters are shown as what they are."""
    if plain.isascii() and plain.isprintable():
        return plain
    from bethink.scan import visible

    return visible(plain)


def short(id: str) -> str:
    """As much of an id as tells it from others: of a UUIDv7 the time and the counter."""
    return id[:18] if len(id) == 36 and id.count("-") == 4 else id


def reader(name: str) -> None:
    """Who reads: memories of other owners say whose they are."""
    global _reader
    _reader = name


def place(memory: Memory) -> str:
    """Where a memory holds, in few words, and whose it is when it is not the reader's."""
    from bethink.project import short as name_of

    scope = memory.scope
    parts = [name_of(scope.project) if scope.project else "", f"task {scope.task}" if scope.task else ""]
    return (clean(" · ".join(part for part in parts if part)) or "global") + whose(memory, " · ")


def whose(memory: Memory, before: str = ", ") -> str:
    """`of alice`, with something before it, where a memory is not the reader's; else nothing."""
    return "" if _reader in (None, memory.owner) else f"{before}of {clean(memory.owner)}"


def age(at: datetime) -> str:
    return text.ago(at, datetime.now(UTC))


def line(memory: Memory, width: int = _TITLE) -> str:
    """A memory's content on one line, with its tags."""
    plain = " ".join(memory.content.split())
    plain = plain if len(plain) <= width else plain[: width - 1] + "…"
    return clean(plain + "".join(f" #{tag}" for tag in memory.tags))


def console() -> Console:
    """Where tables go. Contents are never read as markup."""
    import os

    from rich.console import Console

    fixed = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=fixed)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, wide: str = "", right: Sequence[str] = ()) -> None:
    """Prints a table; the column `wide` takes the room that is left."""
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    grid = _table(SIMPLE_HEAD)
    for name in columns:
        grid.add_column(
            name,
            no_wrap=name != wide,
            ratio=1 if name == wide else None,
            overflow="fold",
            justify="right" if name in right else "left",
            style="" if name == wide else "dim" if name in ("Id", "Why") else "cyan" if name == "Category" else "",
        )
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console().print(grid)


def _table(box: Any) -> Table:
    from rich.table import Table

    return Table(box=box, expand=True, pad_edge=False, header_style="bold")


def hits(answer: Recalled, explain: bool = False) -> None:
    """What recall found, for people."""
    if not answer.hits:
        say("Nothing relevant is remembered.")
    else:
        _listed([(hit.memory, [f"{hit.score:.2f}"], _told(hit, explain)) for hit in answer.hits], ["Score"])
    for each in answer.notes:
        note(each)


def _told(hit: Hit, explain: bool) -> str:
    told = line(hit.memory)
    if hit.memory.needs_review:
        told += f"\n! to be looked at: {clean(hit.memory.needs_review)}"
    if hit.memory.sealed:
        told += f"\n  sealed: {', '.join(hit.memory.sealed)} (`bethink secrets show {short(hit.memory.id)}`)"
    return told + (f"\n{why(hit)}" if explain else "")


def why(hit: Hit) -> str:
    """The part that each signal gave, on one line."""
    from bethink.front import shapes

    return clean("why: " + " · ".join(_part(name, value) for name, value in shapes.hit(hit)["why"].items()))


def _part(name: str, value: Any) -> str:
    match value:
        case float():
            return f"{name} {value:.3f}"
        case dict():
            return f"{name} " + ", ".join(f"{key} {each}" for key, each in value.items())
        case list():
            return f"{name} " + ", ".join(str(each) for each in value)
        case _:
            return f"{name} {value}"


def memories(many: Iterable[Memory]) -> None:
    """A list of memories, for people."""
    _listed([(one, [], _marked(one)) for one in many], [])


def _listed(rows: Sequence[tuple[Memory, list[str], str]], first: list[str]) -> None:
    """Memories, each with what stands before it and what is told of it; in a narrow window what is known of one stands in one column."""
    if console().width >= _ROOMY:
        columns = [*first, "Age", "Category", "Where", "Memory", "Id"]
        cells = [[*before, age(one.created_at), one.category, place(one), told, short(one.id)] for one, before, told in rows]
    else:
        columns = [*first, "Category, age, id", "Memory"]
        cells = [[*before, f"{one.category} · {place(one)}\n{age(one.created_at)}\n{short(one.id)}", told] for one, before, told in rows]
    table(columns, cells, wide="Memory", right=first)


def _marked(memory: Memory) -> str:
    marks = [memory.status] if memory.status != "active" else []
    marks += ["deleted"] if memory.deleted_at else []
    return (f"[{', '.join(marks)}] " if marks else "") + line(memory)


def edge(link: Link) -> str:
    """A link on one line."""
    return f"{short(link.source)} {link.type} {short(link.target)}" + (f"  {clean(link.note)}" if link.note else "")


def whole(memory: Memory) -> None:
    """Every field of one memory, for people; its content last."""
    from bethink.front import shapes

    shape = shapes.memory(memory)
    content = shape.pop("content")
    for name, value in shape.items():
        if value not in (None, "", [], {}, False) and name != "content_hash":
            told = ", ".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else dumps(value)
            say(f"{name + ':':<18}{clean(told)}")
    say()
    say(clean(content))


def stored(answer: Stored) -> None:
    """What became of a write, for people."""
    memory = answer.memory
    verb = {"merged": "Merged into", "queued": "Queued"}.get(answer.action, "Stored")
    say(f"{verb} {memory.id}  {memory.category} · {place(memory)}" + (f" · {memory.status}" if memory.status != "active" else ""))
    for id in answer.superseded:
        say(f"It replaces {id} (`bethink undo {short(memory.id)}` takes that back).")
    if answer.sealed:
        say(f"Sealed: {', '.join(answer.sealed)} (`bethink secrets show {short(memory.id)}` shows it).")
    for each in answer.notes:
        note(each)
