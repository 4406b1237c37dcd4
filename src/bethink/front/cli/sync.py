"""Commands about the server that this machine is kept equal with: sync, conflicts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bethink.errors import ConfigError, InvalidInput
from bethink.front import shapes
from bethink.front.cli import shown
from bethink.front.cli.asked import Json, opened, settings_of

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.sync.given_up import GivenUp
    from bethink.sync.peer import Unreachable
    from bethink.sync.session import Report, Session

_TROUBLE = 3
_NOT_CLEAN = 1
_WATCH_SECONDS = 2.0
_DOING = {"sent": "Sending", "fetched": "Fetching"}
_NOBODY = "The store is PostgreSQL (DATABASE_URL): it is a server's and replicates with nobody."


def register(app: typer.Typer) -> None:
    app.command()(sync)
    app.command()(conflicts)


def sync(
    status: Annotated[bool, typer.Option("--status", help="Only say how things stand; asks no server.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare with the server, print what differs, and repair it.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on saying how things stand, until interrupted.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="As --status, for Prometheus (a textfile collector).")] = False,
    rebind: Annotated[bool, typer.Option("--rebind", help="Belong to the server that the settings name now, with what is yours.")] = False,
    give_up: Annotated[
        str | None,
        typer.Option(
            "--give-up", metavar="ID", help="Drop what waits of a memory, or one change: shows it, then the server's word stands."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Send and fetch now, whatever was refused or waits. Needs MEMORY_API_KEY.

    Exits with 1 when something could not be sent, with 3 when the server could not be reached.
    """
    settings = settings_of(None)
    if settings.mode == "http-only" and not (status or watch or metrics):
        raise ConfigError("Nothing is kept here that could be sent (http-only mode).", hint="Unset MEMORY_SYNC_DISABLE first.")
    if metrics:
        from bethink.sync.status import prometheus

        sys.stdout.write(prometheus(_standing(settings)))
        return
    if status or watch:
        while True:
            _show(settings, _standing(settings), as_json, timed=watch)
            if not watch:
                return
            sys.stdout.flush()
            time.sleep(_WATCH_SECONDS)
    if settings["DATABASE_URL"]:
        raise ConfigError(_NOBODY, hint="Unset MEMORY_API_KEY; or unset DATABASE_URL, to keep a SQLite file here that replicates.")
    if give_up is not None:
        _give_up(settings, give_up, yes=yes, as_json=as_json)
        return
    _run(settings, verify=verify, rebind=rebind, yes=yes, as_json=as_json)


def conflicts(
    reapply: Annotated[str | None, typer.Option("--reapply", metavar="ID", help="Make the change that lost after all.")] = None,
    dismiss: Annotated[str | None, typer.Option("--dismiss", metavar="ID", help="Take it off the list; the history keeps it.")] = None,
    every: Annotated[bool, typer.Option("--dismiss-all", help="Take all of them off the list.")] = False,
    as_json: Json = False,
) -> None:
    """List changes that lost against another machine's; they are kept, and can be made again or dismissed.

    ID is the change's operation, or the id of a memory with a single conflict, or the beginning of either.
    """
    from bethink.sync import conflicts as kept

    if sum((reapply is not None, dismiss is not None, every)) > 1:
        raise InvalidInput("--reapply, --dismiss and --dismiss-all exclude each other.", hint="Give one of them.")
    with opened(None, embedder=False) as memories:
        if reapply is not None:
            memory = kept.reapply(memories, reapply)
            shown.json(shapes.memory(memory)) if as_json else shown.whole(memory)
            return
        if dismiss is not None or every:
            gone = kept.dismiss_all(memories) if dismiss is None else [kept.dismiss(memories, dismiss)]
            if as_json:
                shown.json({"action": "dismissed", "conflicts": gone})
            else:
                shown.say(f"{len(gone)} dismissed; `bethink history ID` still shows what lost.")
            return
        found = kept.listed(memories)
    if as_json:
        shown.json({"conflicts": found})
        return
    for one in found:
        _show_conflict(one)
    again = " `bethink conflicts --reapply ID` makes a change again, `--dismiss ID` takes it off the list." if found else ""
    shown.say(f"{len(found)} conflicts.{again}")


def _show_conflict(one: Mapping[str, Any]) -> None:
    shown.say(f"{shown.short(one['memory'])}  {one['at'][:16]}  {shown.clean(one['client'] or '')}  {shown.clean(one['reason'])}")
    shown.say(f"  operation: {shown.clean(one['operation'])}")
    now = one["now"] or {}
    for name, value in one["fields"].items():
        shown.say(f"  {name}: {shown.clean(str(value))}")
        if name in now:
            shown.say(f"  {'now':>{len(name)}}: {shown.clean(str(now[name]))}")
    if now.get("deleted_at") and "deleted_at" not in one["fields"]:
        shown.say(f"  now: deleted, {now['deleted_at'][:16]}; --reapply brings it back")


def _run(settings: Settings, *, verify: bool, rebind: bool, yes: bool, as_json: bool) -> None:
    from bethink import wire
    from bethink.sync.session import Session

    peer, replica = wire.peer_of(settings, wait=_wait), wire.replica_of(settings)
    try:
        if rebind and (bound := replica.binding) and not yes:
            if not sys.stdin.isatty():
                raise InvalidInput("Rebinding uploads what is yours to another server.", hint="Repeat it with --yes.")
            leaving = f"Leave {bound['url']} and upload what is yours to {peer.address}?"
            typer.confirm(f"{leaving} What others share with you there leaves this machine.", abort=True)
        with _bars() as told:
            session = Session(replica, peer, told=None if as_json else told)
            if rebind:
                session.connect(again=True)
            replica.try_all()
            differing = _differing(session) if verify else None
            report = session.round(verify=verify)
        _note_down(settings, report, (peer.sent_bytes, peer.received_bytes))
    finally:
        peer.close()
        replica.store.close()
    _told(settings, report, differing, as_json)


def _give_up(settings: Settings, id: str, *, yes: bool, as_json: bool) -> None:
    from bethink import wire
    from bethink.sync import given_up
    from bethink.sync.peer import Peer
    from bethink.sync.session import Session

    with ExitStack() as stack:
        replica = wire.replica_of(settings)
        stack.callback(replica.store.close)

        def connected() -> Peer:
            peer = wire.peer_of(settings)
            stack.callback(peer.close)
            Session(replica, peer).connect()
            return peer

        what = given_up.planned(replica, id, connected)
        if not as_json:
            _show_given_up(what)
        if not yes:
            if not sys.stdin.isatty():
                raise InvalidInput("What is given up is told to no server, ever.", hint="Repeat it with --yes.")
            typer.confirm("Give it up?", abort=True, err=True)
        given_up.give_up(replica, what, connected)
    if as_json:
        memory = shapes.memory(what.memory) if what.memory else None
        named = {"id": what.id, "owner": what.owner, "then": what.then, "secrets": list(what.secrets)}
        shown.json({**named, "memory": memory, "changes": what.told()})
    else:
        shown.say("Given up: the memory left this machine." if what.then == "erased" else "Given up: the memory is what the server says.")


def _show_given_up(what: GivenUp) -> None:
    if what.memory is not None:
        shown.whole(what.memory)
    for one in what.told():
        payload = one["payload"] or {}
        said = payload.get("fields", payload) if one["op"] != "store" else {}
        shown.say(f"  not sent: {one['op']} {one['at'][:16]}" + "".join(f"\n    {name}: {shown.clean(str(said[name]))}" for name in said))
    if what.secrets:
        shown.say(f"  Secrets that are erased with it: {shown.clean(', '.join(what.secrets))}")


def _differing(session: Session) -> dict[str, dict[str, list[str]]]:
    """What differs before it is repaired."""
    session.connect()
    found = session.compare()
    return {owner: {"fetch": list(one.pull), "send": [*one.store, *(id for id, _ in one.again)]} for owner, one in found.items()}


def _told(settings: Settings, report: Report, differing: Any, as_json: bool) -> None:
    standing = _standing(settings)
    errors = {part: shapes.error(error) for part, error in report.errors.items()}
    if as_json:
        shape = {"ok": report.ok, "sent": report.sent, "fetched": report.fetched, "repaired": report.repaired, "errors": errors}
        shown.json({**shape, **({"differing": differing} if differing is not None else {}), **standing})
    else:
        shown.say(f"{report.sent} sent, {report.fetched} fetched" + (f", {report.repaired} repaired." if report.repaired else "."))
        for owner, ids in (differing or {}).items():
            shown.say(f"{owner} differed: {len(ids['fetch'])} to fetch, {len(ids['send'])} to send.")
            for id in [*ids["fetch"], *ids["send"]][:20]:
                shown.say(f"  {id}")
        if differing == {}:
            shown.say("Nothing differed.")
        for part, error in report.errors.items():
            shown.note(f"{part}: {error.message} {error.hint}")
        _show_held(standing)
    if report.errors:
        raise typer.Exit(_TROUBLE)
    if standing["pending"] or standing["refused"]:
        if not as_json:
            shown.note(_why(standing))
        raise typer.Exit(_NOT_CLEAN)


def _why(standing: dict[str, Any]) -> str:
    """Why a round that went well is not all."""
    counts = ((standing["pending"], "wait"), (standing["refused"], "refused"))
    said = f"Not everything is on the server: {', '.join(f'{count:,} {word}' for count, word in counts if count)}."
    named = standing["waiting"] or not standing["pending"]
    return said if named else f"{said} What waits was written meanwhile, or comes after a change that waits; the next round sends it."


def _standing(settings: Settings) -> dict[str, Any]:
    """How things stand, from this machine's files alone."""
    from bethink import wire
    from bethink.sync.status import standing, standing_elsewhere

    if settings["DATABASE_URL"]:
        return standing_elsewhere(None, settings.mode)
    address = None if settings.mode == "local" else wire.peer_of(settings).address
    if settings.mode == "http-only" or not settings.database.exists():
        return standing_elsewhere(address, settings.mode)
    replica = wire.replica_of(settings)
    try:
        file = wire.sync_status_file(settings)
        return standing(replica, file, is_on=wire.is_replica(settings), now=datetime.now(UTC), address=address)
    finally:
        replica.store.close()


def _note_down(settings: Settings, report: Report, moved: tuple[int, int]) -> None:
    from bethink import wire
    from bethink.sync.status import write_status

    write_status(wire.sync_status_file(settings), next(iter(report.errors.values()), None), keep=True, moved=moved)


def _show(settings: Settings, standing: dict[str, Any], as_json: bool, *, timed: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        shown.json({"at": now.isoformat(), **standing} if timed else standing)
        return
    if timed:
        shown.say(f"\n{now.isoformat(timespec='seconds')}")
    shown.say(f"Mode: {standing['mode']}{shown.clean(_server(standing))}")
    if settings["DATABASE_URL"]:
        shown.say(_NOBODY)
    if standing["mode"] == "http-only" or settings["DATABASE_URL"]:
        return
    shown.say(f"Waiting: {standing['pending']}" + (f", the oldest for {standing['lag_seconds']:.0f} s" if standing["lag_seconds"] else ""))
    shown.say(f"Refused: {standing['refused']}")
    if standing["conflicts"]:
        shown.say(f"Conflicts: {standing['conflicts']} (`bethink conflicts`)")
    shown.say(f"Last round: {standing['last_ok'] or 'never'}")
    if standing["last_error"]:
        shown.say(f"Last error: {shown.clean(standing['last_error']['message'])} {shown.clean(standing['last_error']['hint'])}")
    if standing["mode"] == "hybrid":
        shown.say(f"Next try: {_next_try(standing, now)}")
    if standing["server"]:
        shown.say(f"Cursor: {shown.clean(standing['cursor'] or 'none yet')}")
    _show_held(standing)


def _server(standing: dict[str, Any]) -> str:
    if not standing["server"]:
        return ""
    if standing["principal"]:
        return f", {standing['principal']} at {standing['server']}"
    return f", at {standing['server']}" + (", not met yet" if standing["mode"] == "hybrid" else "")


def _next_try(standing: dict[str, Any], now: datetime) -> str:
    """When the process that replicates tries again; one that has ended left a time that is past."""
    at = standing["next_try"]
    return at if at and datetime.fromisoformat(at) > now else "when a process of Bethink runs, or by `bethink sync`"


def _show_held(standing: dict[str, Any]) -> None:
    for said, changes in (("waits", standing["waiting"]), ("not sent", standing["refusals"])):
        for one in changes:
            reason = f"{one['message']} {one['hint']}".strip()
            shown.say(f"  {said}: {one['op']} {shown.short(one['memory'])}: {shown.clean(reason)}")
    if standing["secrets_missing"]:
        shown.say(f"  {standing['secrets_missing']} memories whose secrets did not come yet: Vault was away, here or at the server.")


def _wait(error: Unreachable, seconds: float) -> None:
    """The server has too much to do: it says for how long."""
    shown.note(f"{error.message} Waiting for {seconds:.0f} s, as the server asks.")
    time.sleep(seconds)


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Bars on stderr, where somebody watches; none as long as there is nothing to do."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def step(what: str, done: int, total: int | None) -> None:
        if not done:
            return
        if what not in tasks:
            bars.start()
            tasks[what] = bars.add_task(_DOING.get(what, what.capitalize()), total=None)
        bars.update(tasks[what], completed=done, total=total and max(total, done))

    try:
        yield step
    finally:
        if tasks:
            bars.stop()
