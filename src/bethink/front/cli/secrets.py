"""Commands about what was sealed: secrets list, show, rotate, migrate, scan."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bethink.front import shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import Id, Json, Project, opened

if TYPE_CHECKING:
    from bethink.seal.chain import Moved

_TROUBLE = 3
_TOLD = 20


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What was sealed: list it, show one, change keys, move it to another place.")
    for name, command in (("list", list_), ("show", show), ("rotate", rotate), ("migrate", migrate), ("scan", scan)):
        group.command(name)(command)
    app.add_typer(group, name="secrets")


def list_(project: Project = None, as_json: Json = False) -> None:
    """List which memories hold a secret, and where it is kept. Shows no secret."""
    with opened(project, embedder=False) as memories:
        summary = memories.secrets()
        rows: list[dict[str, Any]] = [
            {"id": memory, "name": name, "tier": meta.get("tier"), "queued_for": meta.get("queued_for")}
            for _, memory, name, _, meta in memories.store.walk_secrets(memories.access)
        ]
    if as_json:
        shown.json({**summary, "secrets": rows})
        return
    if rows:
        cells = [[shown.short(row["id"]), row["name"], row["tier"] or "?", row["queued_for"] or ""] for row in rows]
        shown.table(["Id", "Secret", "Kept in", "Waits for"], [[shown.clean(cell) for cell in row] for row in cells], wide="Secret")
    shown.say(f"{summary['total']} sealed" + (f", {summary['queued']} wait for a better place" if summary["queued"] else "") + ".")


def show(id: Id, project: Project = None, as_json: Json = False) -> None:
    """Show the secrets of one memory. Each reading is recorded in the audit log."""
    with opened(project, embedder=False) as memories:
        found = memories.secret(id)
    if as_json:
        shown.json(found)
        return
    shown.say(shown.clean(found["content"]))
    for name, value in found["secrets"].items():
        if name != "content":
            shown.say(f"{shown.clean(name)} = {shown.clean(value)}")


def rotate(project: Project = None, as_json: Json = False) -> None:
    """Make a new key and seal again what an older one sealed.

    May be interrupted; the next run goes on. After changing MEMORY_ENCRYPTION_KEY this moves everything to the new one.
    """
    with opened(project, embedder=False) as memories:
        _report(memories.rotate_secrets(), as_json)


def migrate(
    to: Annotated[str | None, typer.Option("--to", metavar="TIER", help="vault, aes or local; the best one, unless given.")] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Move secrets to another place, such as from this machine's key to Vault. May be interrupted; the next run goes on."""
    with opened(project, embedder=False) as memories:
        _report(memories.migrate_secrets(to), as_json)


def scan(project: Project = None, as_json: Json = False) -> None:
    """Look through everything stored for secrets that were not recognised when it was written, and seal them."""
    with opened(project, embedder=False) as memories:
        count = memories.seal_missed()
    if as_json:
        shown.json({"sealed": count})
    else:
        shown.say(f"Sealed secrets in {count} memories." if count else "No secret was missed.")


def _report(moving: Iterator[Moved], as_json: bool) -> None:
    """Moves one after the other, counting on stderr where somebody watches."""
    counts: Counter[str] = Counter()
    errors: list[dict[str, Any]] = []
    watched = sys.stderr.isatty()
    for number, moved in enumerate(moving, 1):
        counts["failed" if moved.error else "moved" if moved.sealed else "unchanged"] += 1
        if moved.error and len(errors) < _TOLD:
            errors.append({"id": moved.row.memory, "name": moved.row.name, **shapes.error(moved.error)})
        if watched and number % 10 == 0:
            sys.stderr.write(f"\r{number:,} secrets")
            sys.stderr.flush()
    if watched and counts.total() >= 10:
        sys.stderr.write("\r\033[K")
    shape = {name: counts[name] for name in ("moved", "unchanged", "failed")}
    if as_json:
        shown.json({**shape, "errors": errors})
    else:
        shown.say(", ".join(f"{count} {name}" for name, count in shape.items()) + ".")
        for problem in errors:
            shown.note(f"{problem['id']}: {problem['error']} {problem['hint']}")
    if counts["failed"]:
        raise typer.Exit(_TROUBLE)
