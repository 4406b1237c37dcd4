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


if __name__ == "__main__":
    write_for_ever(sys.argv[1])
