"""The file itself: what is refused, what is repaired, what is left behind."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from bethink.errors import StoreBusy, StoreCorrupt, StoreError, StoreTooNew
from bethink.model import Filter, Link, Revision
from bethink.stores.base import Plan
from bethink.stores.sqlite import SQLiteStore
from bethink.stores.sqlite.connection import APPLICATION_ID, SCHEMA_VERSION
from kit.memories import ANN, IDENTITY, NOW, WordsEmbedder, memory
from kit.writers import open_at_once


def stored(path: Path, *contents: str) -> None:
    store = SQLiteStore(path)
    with store.write(ANN) as tx:
        for content in contents:
            tx.insert(memory(content))
    store.close()


def contents(path: Path) -> list[str]:
    store = SQLiteStore(path)
    try:
        assert store.check() == []
        return [each.content for each in store.walk(ANN, Filter(), NOW)]
    finally:
        store.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "memory.db"
    stored(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert contents(path) == ["one"]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.touch()
    stored(path, "one")
    assert contents(path) == ["one"]


def test_a_newer_store_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    stored(path, "one")
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = DELETE").fetchall()
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}").fetchall()
    db.close()
    before = digest(path)
    with pytest.raises(StoreTooNew, match=f"schema {SCHEMA_VERSION + 1}; this Bethink knows {SCHEMA_VERSION}") as caught:
        SQLiteStore(path)
    assert "Upgrade" in caught.value.hint
    assert digest(path) == before
    with pytest.raises(StoreTooNew):
        SQLiteStore(path, read_only=True)
    assert digest(path) == before


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.execute("INSERT INTO theirs VALUES (1)")
    db.commit()
    db.close()
    before = digest(path)
    with pytest.raises(StoreCorrupt, match="another program") as caught:
        SQLiteStore(path)
    assert "MEMORY_DB" in caught.value.hint
    assert digest(path) == before


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at" * 100, b"SQLite format 3\x00" + b"\xff" * 5000, b"x"]
)
def test_garbage_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="damaged or is not a Bethink store"):
        SQLiteStore(path)
    assert path.read_bytes() == content


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    stored(path, *(f"content {number} {'x' * 500}" for number in range(300)))
    raw = bytearray(path.read_bytes())
    for page in range(4, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(raw)
    with pytest.raises(StoreError) as caught:
        store = SQLiteStore(path)
        assert store.check() != []
        list(store.walk(ANN, Filter(), NOW))
    assert caught.value.code in ("StoreCorrupt", "StoreError") and caught.value.hint


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "memory.db").mkdir()
    with pytest.raises(StoreError, match=r"Cannot (open|write)"):
        SQLiteStore(tmp_path / "memory.db")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path / "file" / "memory.db")


def as_nobody(ask: Callable[[], str]) -> str:
    """What `ask` answers in a process whose user owns nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, ask().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to become a user who may not write")
@pytest.mark.parametrize("protected", ["file", "folder", "both"])
def test_what_may_not_be_written_says_so(protected: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "store" / "memory.db"
        stored(path, "one")
        Path(folder).chmod(0o755)
        path.parent.chmod(0o777 if protected == "file" else 0o555)
        path.chmod(0o666 if protected == "folder" else 0o444)

        def write() -> str:
            try:
                put(SQLiteStore(path), "two")
            except StoreError as error:
                return f"{error.code}: {error.message} {error.hint}"
            except BaseException as error:
                return repr(error)
            return "stored"

        answer = as_nobody(write)
        assert answer.startswith("StoreError: ") and str(path) in answer
        assert "permissions" in answer or "MEMORY_HOME" in answer


def test_read_only_reads_and_never_writes(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with pytest.raises(StoreError):
        SQLiteStore(path, read_only=True)
    assert not path.exists()
    stored(path, "one apple")
    store = SQLiteStore(path, read_only=True, busy_ms=0)
    assert [each.memory.content for each in store.search(ANN, Plan("apple", "", Filter(), NOW)).candidates] == ["one apple"]
    with pytest.raises(StoreError), store.write(ANN) as tx:
        tx.insert(memory("two"))
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    stored(path, "one")
    writer, reader = SQLiteStore(path), SQLiteStore(path, read_only=True, busy_ms=0)
    with writer.write(ANN) as tx:
        tx.insert(memory("two"))
        assert [each.content for each in reader.walk(ANN, Filter(), NOW)] == ["one"]
    assert len(list(reader.walk(ANN, Filter(), NOW))) == 2
    writer.close()
    reader.close()


def test_a_writer_that_waited_too_long_says_so(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    first, second = SQLiteStore(path), SQLiteStore(path, busy_ms=50)
    with first.write(ANN) as tx:
        tx.insert(memory("one"))
        with pytest.raises(StoreBusy) as caught, second.write(ANN):
            pass
    assert "try again" in caught.value.hint
    with second.write(ANN) as tx:
        tx.insert(memory("two"))
    assert len(contents(path)) == 2
    first.close()
    second.close()


@pytest.mark.parametrize("attempt", range(3))
def test_eight_processes_make_the_store_at_once(tmp_path: Path, attempt: int) -> None:
    path = tmp_path / "memory.db"
    path.touch()
    with ProcessPoolExecutor(8, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(open_at_once, [str(path)] * 8)) == ["ok"] * 8
    assert len(contents(path)) == 8


def test_every_thread_has_its_connection_and_none_is_kept(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    for number in range(30):
        thread = threading.Thread(target=lambda number=number: put(store, f"n{number}"))
        thread.start()
        thread.join()
    assert len(store._open) <= 3
    assert len(list(store.walk(ANN, Filter(), NOW))) == 30
    closing = threading.Thread(target=store.close)
    closing.start()
    closing.join()
    assert store._open == {}


def put(store: SQLiteStore, content: str) -> None:
    with store.write(ANN) as tx:
        tx.insert(memory(content))


def test_a_backup_is_a_whole_store(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    store = SQLiteStore(path)
    put(store, "one")
    store.backup(tmp_path / "copy.db")
    put(store, "two")
    store.close()
    assert contents(tmp_path / "copy.db") == ["one"] and contents(path) == ["one", "two"]


def test_the_schema_is_marked_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    stored(path, "one")
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


def leftovers(folder: Path, *words: str) -> dict[str, list[str]]:
    """Which words are still somewhere in the files of a store."""
    raw = {part.name: part.read_bytes().lower() for part in folder.iterdir()}
    return {
        name: [word for word in words if word.encode() in content]
        for name, content in raw.items()
        if any(w.encode() in content for w in words)
    }


def test_what_is_erased_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    store = SQLiteStore(path)
    embedder = WordsEmbedder()
    words = ("quokkaword", "axolotlword", "narwhalword", "olingoword", "pangolinword")
    for number in range(200):
        put(store, f"common words number{number} stay")
    secret = memory("quokkaword common words", tags=("axolotlword",), expanded_keywords="narwhalword", session="pangolinword")
    other = memory("kept words")
    with store.write(ANN) as tx:
        tx.insert(secret)
        tx.insert(other)
    for number in range(200):
        put(store, f"more words number{number} stay")
    changed = secret.with_(content="olingoword common words", version=2)
    with store.write(ANN) as tx:
        tx.update(changed, secret)
        tx.add_revision(Revision(secret.id, 1, NOW, "revise", {"content": secret.content}, note="quokkaword"))
        tx.add_link(Link(secret.id, other.id, "supports", NOW, "olingoword"))
        tx.put_secret(secret.id, "n", b"quokkaword", {})
    while waiting := store.pending_vectors(100):
        store.put_vectors(IDENTITY, [(key, content, embedder.passages([content])[0]) for key, content in waiting])
    vector = store.vectors_of(ANN, [secret.id])[secret.id]
    raw = store._db.execute("SELECT vector, tokens FROM vectors JOIN token_vectors USING (window) WHERE window = 201 * 64").get
    assert leftovers(tmp_path, *words)
    with store.write(ANN) as tx:
        tx.erase(secret.id)
    assert vector is not None and leftovers(tmp_path, *words) == {}
    for part in tmp_path.iterdir():
        assert raw[0] not in part.read_bytes() and raw[1] not in part.read_bytes()
    assert store._db.execute("SELECT count(*) FROM memories_terms WHERE term IN (?, ?, ?, ?, ?)", words).get == 0
    store._db.execute("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
    store.close()
    assert leftovers(tmp_path, *words) == {}
    assert len(contents(path)) == 401


def test_the_index_agrees_with_the_rows_after_many_changes(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    kept = {}
    for number in range(300):
        one = memory(f"number{number} apples and {'pears' if number % 2 else 'plums'}", tags=(f"t{number % 7}",))
        with store.write(ANN) as tx:
            tx.insert(one)
            if number % 3 == 0:
                changed = one.with_(
                    content=f"changed{number} figs", expanded_keywords="dates", version=2, created_at=NOW - timedelta(days=number)
                )
                tx.update(changed, one)
                one = changed
            if number % 5 == 0:
                tx.erase(one.id)
            else:
                kept[one.id] = one
    store._db.execute("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
    assert store._db.execute("SELECT count(*) FROM memories_fts").get == len(kept)
    figs = {one.memory.id for one in store.search(ANN, Plan("figs", "", Filter(), NOW, k=1000)).candidates}
    assert figs == {id for id, one in kept.items() if "figs" in one.content}
    from bethink.stores.sqlite.search import indexed

    assert indexed(store._db) == len(kept)
    store.close()


@pytest.mark.parametrize("again", [False, True], ids=["who made the store", "who opens it later"])
def test_the_index_looks_its_segments_up(tmp_path: Path, again: bool) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    if again:
        store.close()
        store = SQLiteStore(tmp_path / "memory.db")
    sql = "EXPLAIN QUERY PLAN DELETE FROM memories_fts_data WHERE id >= ? AND id <= ?"
    with store._transaction() as db:
        (plan,) = [row[3] for row in db.execute(sql, (1, 2))]
    assert plan.startswith("SEARCH"), plan
    store.close()


def test_an_older_store_loses_what_it_kept_of_what_was_sealed_or_did_not_win(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    store = SQLiteStore(path)
    with store.write(ANN) as tx:
        tx.insert(memory("[REDACTED:content]").with_(id="sealed", sensitive=True))
        tx.insert(memory("open").with_(id="open"))
        tx.put_answer("ann", "first", {"result": "conflict", "id": "open", "lost": {"content": "the quokka"}})
        tx.put_answer("ann", "second", {"result": "applied", "id": "open"})
        for id in ("sealed", "open"):
            tx.log.add(id, "ann", "store", {"fields": {"content": f"the axolotl is {id}"}})
    store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 5")
    db.commit()
    db.close()
    store = SQLiteStore(path)
    with store.write(ANN) as tx:
        assert tx.answer_of("ann", "first") == {"result": "conflict", "id": "open"}
        assert tx.answer_of("ann", "second") == {"result": "applied", "id": "open"}
    assert [store.log.pending(id)[0].payload for id in ("sealed", "open")] == [None, {"fields": {"content": "the axolotl is open"}}]
    store.close()
    assert leftovers(tmp_path, "quokka", "axolotl is sealed") == {}
