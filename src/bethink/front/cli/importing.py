"""Files of memories: JSON arrays, read as they come, and JSON lines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bethink import text
from bethink.errors import BethinkError, Forbidden, InvalidInput
from bethink.front import fields, shapes
from bethink.front.cli import shown, stream
from bethink.front.cli.remote import RemoteMemories
from bethink.model import Scope, new_id
from bethink.service.importing import Entry, Joined, Waiting, take_in
from bethink.service.memories import Memories

#: Largest text, in bytes, and the size of the parts that it is stored in, in characters.
_MAX_TEXT = 4 * 1024 * 1024
_PART = 1500
#: Errors that are told one by one; the others are counted.
_TOLD = 20
#: Entries, and characters of their contents, that are sent to a server in one request.
_SENT_AT_ONCE, _SENT_CHARACTERS = 100, 1_000_000
Json = dict[str, Any]


@dataclass
class Outcome:
    """What became of a file's entries."""

    actions: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    errors: list[Json] = field(default_factory=list)
    links: int = 0
    links_without_end: int = 0

    @property
    def failed(self) -> int:
        return self.actions["refused"]

    def refused(self, number: int, problem: Json) -> None:
        self.actions["refused"] += 1
        if len(self.errors) < _TOLD:
            self.errors.append({"entry": number, **problem})

    def stored(self, status: Any, answer: Json) -> None:
        """Counts what became of an entry that said to have this status."""
        self.actions[answer["action"]] += 1
        self.actions["superseding"] += bool(answer["superseded"])
        self.actions["sealed"] += bool(answer["sealed"])
        self.actions["quarantined"] += answer["status"] == "quarantined" and status != "quarantined"

    def shape(self) -> Json:
        counts = {name: self.actions[name] for name in ("added", "merged", "superseding", "quarantined", "sealed", "refused")}
        return {
            **counts,
            "links": self.links,
            "links_without_end": self.links_without_end,
            "ignored_fields": dict(self.ignored),
            "errors": self.errors,
        }

    def show(self) -> None:
        rows = [[name.replace("_", " "), f"{value:,}"] for name, value in self.shape().items() if isinstance(value, int) and value]
        shown.table(["Outcome", "Memories"], rows or [["nothing to import", "0"]], wide="Outcome", right=("Memories",))
        for name, count in self.ignored.items():
            shown.note(f"The field {name!r} means nothing here and was left out {count:,} times.")
        if self.actions["quarantined"]:
            shown.note("What reads like an instruction to an assistant is in quarantine: `bethink review`.")
        for problem in self.errors:
            shown.note(f"Entry {problem['entry']}: {problem['error']} {problem['hint']}")
        if self.failed > len(self.errors):
            shown.note(f"… and {self.failed - len(self.errors):,} more.")


def import_file(memories: Memories, name: str, here: Scope, defaults: Json, *, is_text: bool = False, new_ids: bool = False) -> Outcome:
    """Stores every entry of a file; what cannot be stored is reported and stops nothing.

    Args:
        defaults: fields of entries that do not say them themselves; `source` among them.
        is_text: the file holds prose, which is stored in parts.
        new_ids: whatever ids the entries have, each is stored under a new one.

    Raises:
        InvalidInput: the file cannot be read, or is not JSON; what came before the fault is stored.
        StoreError, SealError: the store or the seal is in trouble; importing again goes on where it ended.
    """
    outcome = Outcome()
    with _open(name) as file, _Progress() as progress:
        entries = _parts(file, name) if is_text else _entries(file, name)
        if isinstance(memories, RemoteMemories):
            _send_all(memories, entries, here, defaults, outcome, progress, new_ids)
        else:
            for one in take_in(memories, _drafted(memories, entries, here, defaults, outcome), new_ids=new_ids):
                if isinstance(one, Joined):
                    outcome.links += one.made
                    outcome.links_without_end += one.without_end
                    continue
                if isinstance(one.answer, BethinkError):
                    outcome.refused(one.number, shapes.error(one.answer))
                elif isinstance(one.entry, Entry):
                    outcome.stored(one.entry.draft.status, shapes.stored(one.answer))
                progress(one.number)
    outcome.errors.sort(key=lambda problem: problem["entry"])
    return outcome


def _drafted(memories: Memories, entries: Iterable[Any], here: Scope, defaults: Json, outcome: Outcome) -> Iterator[Entry | BethinkError]:
    for raw in entries:
        try:
            yield fields.entry_of(_given(raw, defaults, outcome), here, memories.now())
        except InvalidInput as error:
            yield error


def _send_all(
    memories: RemoteMemories, entries: Iterable[Any], here: Scope, defaults: Json, outcome: Outcome, progress: _Progress, new_ids: bool
) -> None:
    """As `take_in`, many in one request; edges of entries that are in several are made at the end."""
    batch: list[tuple[int, Json]] = []
    size = 0
    with Waiting() as waiting:

        def send() -> None:
            for (number, given), answer in zip(batch, memories.send([_sent(given, new_ids) for _, given in batch]), strict=True):
                if "error" in answer:
                    outcome.refused(number, answer)
                else:
                    outcome.stored(given.get("status"), answer)
                    id = given.get("id")
                    waiting.add(number, id if isinstance(id, str) else None, answer["id"], fields.edges_of(given))
                progress(number)
            batch.clear()

        for number, raw in enumerate(entries, 1):
            try:
                given = _given(raw, defaults, outcome)
                scope = fields.scope_of(given, here)
                memories.must_be_sendable(given)
            except (InvalidInput, Forbidden) as error:
                outcome.refused(number, shapes.error(error))
                continue
            batch.append((number, {**given, "scope": scope.kind, "project": scope.project, "task": scope.task}))
            size += len(str(given.get("content", "")))
            if len(batch) == _SENT_AT_ONCE or size > _SENT_CHARACTERS:
                send()
                size = 0
        if batch:
            send()
        edges = [edge for _, many in waiting for edge in many]
    outcome.links = sum(memories.link_all(edges))
    outcome.links_without_end = len(edges) - outcome.links


def _sent(given: Json, new_ids: bool) -> Json:
    sent = {name: value for name, value in given.items() if name != "links"}
    return {**sent, "id": new_id()} if new_ids and given.get("id") else sent


def _given(raw: Any, defaults: Json, outcome: Outcome) -> Json:
    """An entry's fields; what means nothing is counted.

    Raises:
        BethinkError: it is none.
    """
    given = fields.given_of(raw, defaults)
    outcome.ignored.update(fields.unknown(raw, fields.DRAFT_FIELDS, exported=True))
    return given


def _open(name: str) -> BinaryIO:
    if name == "-":
        return stream.stdin()
    try:
        return Path(name).expanduser().open("rb")
    except OSError as error:
        raise InvalidInput(f"Cannot read {name}: {error.strerror or error}.") from None


def _entries(file: BinaryIO, name: str) -> Iterator[Any]:
    """The entries of an array, of `{"memories": […]}`, or of JSON lines; an unreadable line is answered with its error."""
    if name.endswith((".jsonl", ".ndjson")):
        for _, line in stream.lines(file):
            yield _entry(line)
        return
    import ijson

    head = _Peeked(file)
    path = "item" if head.first == b"[" else "memories.item"
    if head.first not in (b"[", b"{"):
        raise InvalidInput(f"{name} holds no JSON array.", hint='Import what `bethink export` wrote, or [{"content": "…"}].')
    found = 0
    try:
        for entry in ijson.items(head, path, use_float=True):
            found += 1
            yield entry
    except ijson.JSONError as error:
        raise InvalidInput(
            f"{name} is not JSON after entry {found}: {' '.join(str(error).split())[:200]}",
            hint="What came before was imported; repair the file and import it again.",
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not UTF-8 after entry {found}.", hint="Convert it first, for example with iconv.") from None
    if not found and path != "item":
        raise InvalidInput(f"{name} holds an object without memories.", hint='Write {"memories": […]} or an array.')


def _parts(file: BinaryIO, name: str) -> Iterator[Json]:
    """A text in parts that are short enough to be found one by one, each with the place it has in the file."""
    data = file.read(_MAX_TEXT + 1)
    if len(data) > _MAX_TEXT:
        raise InvalidInput(f"{name} is larger than {_MAX_TEXT:,} bytes.", hint="Split it first.")
    try:
        plain = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 (byte {error.start}).", hint="Convert it first, for example with iconv.") from None
    parts = text.chunks(plain, _PART, 0)
    where = "stdin" if name == "-" else str(Path(name).expanduser().absolute())
    for number, part in enumerate(parts, 1):
        yield {"content": part, "origin": {"file": where, "part": number, "parts": len(parts)}}


def _entry(line: bytes | None) -> Any:
    if line is None:
        return InvalidInput(f"The line is longer than {stream.MAX_LINE:,} bytes.")
    try:
        return fields.object_of(line)
    except InvalidInput as error:
        return error


class _Peeked:
    """A file whose first telling byte was looked at; a byte order mark is left out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        while not start and (more := file.read(4096)):
            start = more.lstrip()
        self._start = start
        self.first = start[:1]

    def read(self, size: int = -1) -> bytes:
        if self._start and size != 0:
            piece, self._start = self._start, b""
            return piece
        return self._file.read(size)


class _Progress:
    """Counts on stderr, where somebody watches."""

    _EVERY = 100

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._said = False

    def __enter__(self) -> _Progress:
        return self

    def __call__(self, number: int) -> None:
        if self._watched and number % self._EVERY == 0:
            sys.stderr.write(f"\r{number:,} entries")
            sys.stderr.flush()
            self._said = True

    def __exit__(self, *_: object) -> None:
        if self._said:
            sys.stderr.write("\r\033[K")
