"""What every store keeps for intake: its state by owner, and whether something is in the archive already."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from bethink.errors import Forbidden
from bethink.model import Access
from bethink.stores.base import Store
from kit.memories import ANN, BOB, NOW, memory


def test_state_is_kept_replaced_and_removed(store: Store) -> None:
    value = {"offset": 2**40, "name": "grüße 🦄", "nested": {"a": [1, None, True]}}
    with store.write(ANN) as tx:
        assert tx.state_get("n", "k") is None
        tx.state_put("n", "k", value)
        assert tx.state_get("n", "k") == value
        tx.state_put("n", "other", {})
        assert tx.states("n") == {"k": value, "other": {}} and tx.states("m") == {}
    assert store.state(ANN, "n") == {"k": value, "other": {}}
    assert store.state(ANN, "m") == {}
    with store.write(ANN) as tx:
        tx.state_put("n", "k", {"offset": 1})
        tx.state_put("n", "other", None)
        tx.state_put("n", "never there", None)
    assert store.state(ANN, "n") == {"k": {"offset": 1}}


def test_state_is_the_owners_and_goes_with_its_transaction(store: Store) -> None:
    with store.write(ANN) as tx:
        tx.state_put("n", "k", {"of": "ann"})
    with store.write(BOB) as tx:
        assert tx.state_get("n", "k") is None
        tx.state_put("n", "k", {"of": "bob"})
    with pytest.raises(RuntimeError, match="undone"), store.write(ANN) as tx:
        tx.state_put("n", "k", {"of": "nobody"})
        raise RuntimeError("undone")
    assert store.state(ANN, "n") == {"k": {"of": "ann"}} and store.state(BOB, "n") == {"k": {"of": "bob"}}
    reader = Access("reader", ("ann",), ())
    with pytest.raises(Forbidden), store.write(reader) as tx:
        tx.state_put("n", "k", {})


def test_counting_at_once_loses_nothing(store: Store) -> None:
    def count() -> None:
        for _ in range(20):
            with store.write(ANN) as tx:
                was = tx.state_get("n", "count") or {"n": 0}
                tx.state_put("n", "count", {"n": was["n"] + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert store.state(ANN, "n") == {"count": {"n": 80}}


def test_the_archive_knows_what_was_said(store: Store) -> None:
    said = memory("Use pnpm here.", source="transcript", session="s1", created_at=NOW)
    own = memory("Use yarn there.", session="s1", created_at=NOW)
    later = NOW + timedelta(hours=1)
    with store.write(ANN) as tx:
        tx.insert(said)
        tx.insert(own)
        assert tx.archived("ann", said.content_hash, "s1", later)
        assert tx.archived("ann", said.content_hash, "s2", NOW)
        assert not tx.archived("ann", said.content_hash, "s2", later)
        assert not tx.archived("ann", own.content_hash, "s1", NOW)
        assert not tx.archived("bob", said.content_hash, "s1", NOW)
        # What was only said is no memory that could take in another.
        assert tx.find_exact("ann", said.content_hash, said.scope) is None
        assert tx.find_exact("ann", own.content_hash, own.scope) is not None
