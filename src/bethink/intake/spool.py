"""The spool: what hooks capture waits here, one file each, until intake drains it.

Layout under ``MEMORY_HOME/spool``: ``<id>.json`` waits, ``claimed/<id>.<process>.json`` is being drained,
``failed/<id>.json`` with ``<id>.why`` beside it could not be. A name changes hands by rename alone, so writers and
drainers never wait for each other; a crash leaves a whole file under exactly one of these names.
On the hook path: standard library alone.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

#: Most UTF-8 bytes of one text that a record carries; of a longer one, head and tail.
MAX_TEXT_BYTES: Final = 256 * 1024
#: A record larger than this is somebody's mistake and is not read into memory.
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
#: After so many drains that died or gave it back, a record is set aside.
MAX_ATTEMPTS: Final = 5
#: A claim of a process that cannot be asked (another machine, reused number) lapses after this.
CLAIM_SECONDS: Final = 900
#: Half-written files of a hook that was killed; nothing in them was acknowledged.
_TEMPORARY_SECONDS: Final = 3600


class Claim(NamedTuple):
    """A record that this process alone drains, until `done`, `fail` or `release`."""

    path: Path
    id: str
    #: How often it was claimed before.
    attempts: int


def write(home: Path, record: Mapping[str, Any]) -> Path:
    """Put one record on disk, durably, and answer where it is.

    Long texts are cut in the middle (`"cut"` in the record says which and where); the caller names transcript and
    byte offsets in the record, so that what was cut can be had back. Values must be JSON's.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    from bethink.ids import new_id

    folder = _folder(home)
    name = new_id()
    cuts: dict[str, Any] = {}
    body = {"id": name, "spooled_at": time.time(), **{key: _bounded(value, key, cuts) for key, value in record.items()}}
    if cuts:
        body["cut"] = cuts
    # ASCII with escapes: any text that Python can hold can be written, also a lone surrogate.
    data = json.dumps(body, separators=(",", ":")).encode("ascii")
    temporary = folder / f".{name}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path = folder / f"{name}.json"
        temporary.rename(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return path


def pending(home: Path) -> list[Path]:
    """The records that wait, oldest first."""
    try:
        return sorted(path for path in (home / "spool").iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def claim(home: Path, path: Path) -> Claim | None:
    """Take a record for this process; None when another was faster."""
    name, attempts = _parts(path)
    folder = _folder(home, "claimed")
    taken = folder / f"{name}.{attempts}.{os.getpid()}.json"
    try:
        path.rename(taken)
        # The claim's age counts from now, not from when the hook wrote the record.
        os.utime(taken)
    except FileNotFoundError:
        return None
    return Claim(taken, name, attempts)


def claim_next(home: Path) -> Claim | None:
    """Take the oldest record that waits; None when there is none."""
    for path in pending(home):
        taken = claim(home, path)
        if taken is not None:
            return taken
    return None


def read(held: Claim) -> dict[str, Any]:
    """The record.

    Raises:
        ValueError: it is not a record; call `fail`.
        OSError: it cannot be read now.
    """
    if held.path.stat().st_size > MAX_RECORD_BYTES:
        raise ValueError(f"larger than {MAX_RECORD_BYTES} bytes")
    try:
        record = json.loads(held.path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not an object")
    return record


def refresh(held: Claim) -> None:
    """Say that the record is still being worked on; call it now and then when that takes minutes."""
    with suppress(FileNotFoundError):
        os.utime(held.path)


def done(held: Claim) -> None:
    """The record is stored elsewhere: remove it."""
    held.path.unlink(missing_ok=True)


def release(home: Path, held: Claim, reason: str = "", *, counted: bool = True) -> bool:
    """Give a record back to be tried later. After MAX_ATTEMPTS it is set aside instead; False then.

    `counted=False` is for what was not the record's fault, such as a store that is away.
    """
    if not counted:
        with suppress(FileNotFoundError):
            held.path.rename(_folder(home) / (f"{held.id}.{held.attempts}.json" if held.attempts else f"{held.id}.json"))
        return True
    if held.attempts + 1 >= MAX_ATTEMPTS:
        fail(home, held, f"given up after {MAX_ATTEMPTS} attempts: {reason}" if reason else f"given up after {MAX_ATTEMPTS} attempts")
        return False
    with suppress(FileNotFoundError):
        held.path.rename(_folder(home) / f"{held.id}.{held.attempts + 1}.json")
    return True


def fail(home: Path, held: Claim, reason: str) -> Path:
    """Set a record aside with the reason beside it. It is never deleted by us."""
    folder = _folder(home, "failed")
    (folder / f"{held.id}.why").write_text(reason[:2000] + "\n", encoding="utf-8", errors="replace")
    path = folder / f"{held.id}.json"
    with suppress(FileNotFoundError):
        held.path.rename(path)
    return path


def failed(home: Path) -> list[tuple[Path, str]]:
    """The records that were set aside, and why."""
    found = []
    with suppress(FileNotFoundError):
        for path in sorted((home / "spool" / "failed").glob("*.json")):
            why = path.with_suffix(".why")
            found.append((path, why.read_text(encoding="utf-8", errors="replace").strip() if why.exists() else ""))
    return found


def retry(home: Path) -> int:
    """Put the records that were set aside back into the queue; how many."""
    count = 0
    for path, _ in failed(home):
        with suppress(FileNotFoundError):
            path.rename(_folder(home) / f"{path.stem}.json")
            path.with_suffix(".why").unlink(missing_ok=True)
            count += 1
    return count


def recover(home: Path, alive: Callable[[int], bool] | None = None, now: float | None = None) -> int:
    """Take back the claims of processes that died, and clear half-written files; how many claims came back.

    `alive` answers whether a process with that number runs here.
    """
    runs = alive or _alive
    clock = time.time() if now is None else now
    back = 0
    for path in _listed(home / "spool" / "claimed"):
        with suppress(OSError, ValueError):
            name, attempts, owner = path.name.removesuffix(".json").rsplit(".", 2)
            lapsed = clock - path.stat().st_mtime > CLAIM_SECONDS
            if not lapsed and (int(owner) == os.getpid() or runs(int(owner))):
                continue
            release(home, Claim(path, name, int(attempts)), "the process that drained it ended")
            back += 1
    for path in _listed(home / "spool"):
        with suppress(OSError):
            if path.suffix == ".tmp" and clock - path.stat().st_mtime > _TEMPORARY_SECONDS:
                path.unlink()
    return back


def _folder(home: Path, name: str = "") -> Path:
    folder = home / "spool" / name if name else home / "spool"
    if not folder.is_dir():
        for part in (home, home / "spool", folder):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _parts(path: Path) -> tuple[str, int]:
    """Id and number of earlier attempts, from ``<id>.json`` or ``<id>.<attempts>.json``."""
    name, _, attempts = path.name.removesuffix(".json").partition(".")
    return name, int(attempts) if attempts.isdecimal() else 0


def _bounded(value: Any, name: str, cuts: dict[str, Any]) -> Any:
    """`value` with long texts cut in the middle; what was cut is written into `cuts` by the text's place."""
    if isinstance(value, str):
        # A quarter of the bound in characters is never over it in bytes.
        if len(value) * 4 <= MAX_TEXT_BYTES:
            return value
        data = value.encode("utf-8", "surrogatepass")
        if len(data) <= MAX_TEXT_BYTES:
            return value
        half = MAX_TEXT_BYTES // 2
        head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
        left_out = len(value) - len(head) - len(tail)
        cuts[name] = {"characters": len(value), "from": len(head), "to": len(value) - len(tail)}
        return f"{head}\n[… {left_out} characters left out here; they are in the transcript …]\n{tail}"
    if isinstance(value, Mapping):
        return {str(key): _bounded(item, f"{name}.{key}", cuts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(item, f"{name}[{place}]", cuts) for place, item in enumerate(value)]
    return value


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _alive(process: int) -> bool:
    if os.name == "nt":
        # os.kill would end it there; the claim lapses by age.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
