"""What other processes do in tests of the store; imported by them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bethink.model import Filter
from bethink.stores.base import Plan
from bethink.stores.sqlite import SQLiteStore
from kit.memories import ANN, NOW, memory


def open_at_once(path: str) -> str:
    """Opens or makes the store and writes one memory."""
    store = SQLiteStore(Path(path))
    with store.write(ANN) as tx:
        tx.insert(memory(f"by {os.getpid()}"))
    store.close()
    return "ok"


def write_for_ever(path: str) -> None:
    """Stores memory after memory, some in pairs, edits every third; prints each once it is acknowledged."""
    store = SQLiteStore(Path(path))
    number = 0
    while True:
        number += 1
        name = f"p{os.getpid()}n{number}"
        one, other = memory(f"{name} first"), memory(f"{name} second")
        with store.write(ANN) as tx:
            tx.insert(one)
            if number % 2:
                tx.insert(other)
            tx.append_audit(NOW, "test", "store", one.id, {})
        sys.stdout.write(f"{one.id}\n" + (f"{other.id}\n" if number % 2 else ""))
        sys.stdout.flush()
        if number % 3 == 0:
            with store.write(ANN) as tx:
                tx.update(one.with_(content=f"{name} changed", version=2), one)
        if number % 5 == 0:
            from kit.memories import IDENTITY, WordsEmbedder

            waiting = store.pending_vectors(10)
            store.put_vectors(IDENTITY, [(key, text, WordsEmbedder().passages([text])[0]) for key, text in waiting])


def store_and_recall(path: str, name: str, count: int) -> list[str]:
    """Stores `count` memories, recalling in between; answers the ids that were acknowledged."""
    store = SQLiteStore(Path(path))
    done = []
    for number in range(count):
        one = memory(f"{name} memory number{number} about topic{number % 10}")
        with store.write(ANN) as tx:
            tx.insert(one)
        done.append(one.id)
        if number % 5 == 0:
            found = store.search(ANN, Plan(f"{name} number{number}", "", Filter(), NOW)).candidates
            assert one.id in {each.memory.id for each in found}, "a memory is found as soon as it is acknowledged"
    store.close()
    return done


def remember_and_recall(path: str, name: str, count: int) -> list[str]:
    """The same through the service, without a model; every tenth memory is one that all processes store."""
    from bethink import Draft, Memories, Query

    memories = Memories(SQLiteStore(Path(path)), ANN)
    done = []
    for number in range(count):
        stored = memories.remember(Draft(f"{name} keeps {words(name, number)} in drawer {words('drawer', number)}", tags=(name,)))
        assert stored.action == "added", (stored.action, stored.notes)
        done.append(stored.memory.id)
        if number % 10 == 0:
            done.append(memories.remember(Draft(f"shared {words('shared', number)} is said by all", tags=(name,))).memory.id)
            found = memories.recall(Query(words(name, number), mode="keyword", limit=3)).hits
            assert stored.memory.id in {hit.memory.id for hit in found}
    memories.close()
    return done


def words(*seed: object) -> str:
    """Three words that nothing else has."""
    import hashlib

    digest = hashlib.sha256(repr(seed).encode()).hexdigest()
    return " ".join("".join(chr(ord("a") + int(letter, 16)) for letter in digest[at : at + 8]) for at in (0, 8, 16))


if __name__ == "__main__":
    write_for_ever(sys.argv[1])
