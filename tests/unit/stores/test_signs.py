"""Who holds the signs of vectors between questions sees every change that others make."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bethink.model import Filter, Reach, Scope
from bethink.stores.sqlite import SQLiteStore, bits
from kit.memories import ANN, IDENTITY, NOW, WordsEmbedder, memory

EMBEDDER = WordsEmbedder()
WORDS = "alpha beta gamma delta epsilon zeta eta theta".split()


def embed(store: SQLiteStore) -> None:
    while waiting := store.pending_vectors(50):
        passages = EMBEDDER.passages([content for _, content in waiting])
        store.put_vectors(IDENTITY, [(key, text, made) for (key, text), made in zip(waiting, passages, strict=True)])


def found(store: SQLiteStore, word: str, project: str | None = None) -> list[tuple[str, float]]:
    where = Filter(reach=Reach((project,), include_global=False)) if project else Filter()
    return [(one.content, round(cosine, 4)) for one, cosine in store.similar(ANN, EMBEDDER.vector(word), where, NOW, k=5)]


@pytest.mark.parametrize("held", [100, 0])
def test_a_reader_that_was_there_all_along_finds_what_a_new_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(bits, "CHUNK", 4)
    monkeypatch.setattr(bits, "_TOGETHER", 2)
    monkeypatch.setattr(bits, "_HELD", held)
    path, chance = tmp_path / "memory.db", random.Random(3)
    writer, reader = SQLiteStore(path), SQLiteStore(path)
    known: list[str] = []
    for step in range(120):
        done = chance.choice(["put", "put", "put", "move", "forget", "purge", "undone", "drop"] if step > 20 else ["put"])
        some = chance.choice(known) if known else ""
        if done == "put" or not known:
            new = memory(f"{chance.choice(WORDS)} {chance.choice(WORDS)} {step}")
            known.append(new.id)
            with writer.write(ANN) as tx:
                tx.insert(new)
        elif done == "drop" and chance.random() < 0.3:
            writer.drop_vectors()
        elif done == "undone":
            with pytest.raises(ZeroDivisionError), writer.write(ANN) as tx:
                tx.erase(some)
                raise ZeroDivisionError
        elif done != "drop":
            with writer.write(ANN) as tx:
                one = tx.get(some)
                if done == "purge":
                    tx.erase(some)
                    known.remove(some)
                elif done == "forget":
                    tx.update(one.with_(deleted_at=NOW), one)
                else:
                    tx.update(one.with_(scope=Scope.of(chance.choice([None, "example.org/one"]))), one)
        embed(writer)
        fresh = SQLiteStore(path)
        for word in chance.sample(WORDS, 2):
            for project in (None, "example.org/one"):
                assert found(reader, word, project) == found(fresh, word, project), (step, done)
        fresh.close()
    assert len(known) > 20


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "CHUNK", 4)
    monkeypatch.setattr(bits, "_TOGETHER", 1)
    read: list[int] = []
    plain = bits._block
    monkeypatch.setattr(bits, "_block", lambda db, at: (read.append(at), plain(db, at))[1])
    store = SQLiteStore(tmp_path / "memory.db")

    def put(number: int) -> None:
        with store.write(ANN) as tx:
            tx.insert(memory(f"alpha {number}"))
        embed(store)

    for number in range(10):
        put(number)
    found(store, "alpha")
    assert read == [0, 1, 2]
    found(store, "beta")
    assert read == [0, 1, 2]
    put(10)
    found(store, "alpha")
    assert read == [0, 1, 2, 2]
