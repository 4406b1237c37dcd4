"""Nobody reads what is not theirs: two people in one store, and every method of the port asked by one for what is the other's.

The tables of probes are compared with the port: a method that is added there fails here until it is asked, too.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bethink.errors import BethinkError
from bethink.model import Access, Filter, Link, Memory, Reach, Revision, Scope, new_id
from bethink.stores import base
from bethink.stores.base import Plan, Store, Transaction
from kit.memories import ANN, BOB, IDENTITY, NOW, WordsEmbedder, memory

EMBEDDER = WordsEmbedder()
#: A word in everything that Bob has.
MARK = "bobsown"
FILTERS = (
    Filter(),
    Filter(statuses=()),
    Filter(deleted=True),
    Filter(owner="bob"),
    Filter(as_of=NOW),
    Filter(tags=(MARK,)),
    Filter(reach=Reach((MARK,))),
    Filter(reach=Reach((MARK,), MARK)),
    Filter(session=MARK),
    Filter(category="facts"),
    Filter(statuses=(), expired=True),
    Filter(statuses=("candidate", "superseded"), needs_review=True),
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A store with Ann's and Bob's memories."""

    store: Store
    ann: Memory
    bob: Memory

    @property
    def ids(self) -> list[str]:
        return [self.bob.id, self.ann.id]


def every(ask: Callable[[Filter], Any]) -> list[Any]:
    return [ask(where) for where in FILTERS]


def plans(where: Filter) -> list[Plan]:
    vector = EMBEDDER.vector(f"shared words {MARK}")
    return [
        Plan(f"shared words {MARK}", MARK, where, NOW),
        Plan(MARK, "", where, NOW, vector=vector, with_vectors=True),
        Plan("", "", where, NOW, use_keywords=False, vector=vector),
        Plan(f"shared words {MARK}", "", where, NOW, nearly=True, vector_to_come=lambda found: vector),
    ]


def strange(by_owner: Mapping[str, Any], access: Access) -> list[str]:
    """The owners in an answer whom nobody asked for."""
    return [owner for owner in by_owner if owner not in access.readable]


#: Method of Store → everything it answers when asked with an access for what is Bob's.
READS: dict[str, Callable[[Scene, Access], Any]] = {
    "get": lambda s, a: s.store.get(a, s.ids),
    "resolve": lambda s, a: [s.store.resolve(a, prefix, 100) for prefix in ("", "0", s.bob.id[:4], s.bob.id)],
    "page": lambda s, a: every(
        lambda where: [s.store.page(a, where, NOW, limit=99, offset=0, order=o) for o in ("recency", "importance", "oldest")]
    ),
    "walk": lambda s, a: every(lambda where: list(s.store.walk(a, where, NOW))),
    "search": lambda s, a: every(lambda where: [s.store.search(a, plan).candidates for plan in plans(where)]),
    "similar": lambda s, a: every(lambda where: s.store.similar(a, EMBEDDER.vector(MARK), where, NOW, k=50)),
    "revisions": lambda s, a: [s.store.revisions(a, id) for id in s.ids],
    "links_of": lambda s, a: s.store.links_of(a, s.ids),
    "secrets_of": lambda s, a: [s.store.secrets_of(a, id) for id in s.ids],
    "walk_secrets": lambda s, a: list(s.store.walk_secrets(a)),
    "counts": lambda s, a: {name: value for name, value in s.store.counts(a, NOW).items() if name not in ("db_bytes", "pending_vectors")},
    "projects": lambda s, a: s.store.projects(a),
    "tags": lambda s, a: every(lambda where: s.store.tags(a, where, NOW)),
    "state": lambda s, a: s.store.state(a, MARK),
    "audit": lambda s, a: list(s.store.audit(a)),
    "changes": lambda s, a: [
        (feed.memories, feed.gone, strange(feed.reached, a))
        for since in ({}, {"ann": 0, "bob": 0})
        for feed in [s.store.changes(a, since, 99)]
    ],
    "counters": lambda s, a: strange(s.store.counters(a), a),
    "marks": lambda s, a: [list(s.store.marks(a, owner)) for owner in ("ann", "bob")],
    "edges": lambda s, a: [list(s.store.edges(a, owner)) for owner in ("ann", "bob")],
    "revisions_named": lambda s, a: [s.store.revisions_named(a, "revise"), s.store.revisions_named(a, "revise", s.ids)],
    "vectors_of": lambda s, a: sorted(s.store.vectors_of(a, s.ids)),
}
#: Methods that are asked elsewhere, or concern the store as a whole and answer nobody's words to anybody outside.
OTHERS = {
    "capabilities",
    "close",
    "write",  # see WRITES
    "touch",  # writes; see test_uses_of_others_are_not_noted
    "verify_audit",  # a number
    "embedder",
    "pending_vectors",  # for the indexer, which works for all
    "put_vectors",
    "drop_vectors",
}

#: Method of Transaction → an attempt by Ann on what is Bob's: it raises, or answers nothing of Bob's and changes nothing of his.
WRITES: dict[str, Callable[[Scene, Transaction], Any]] = {
    "insert": lambda s, tx: tx.insert(s.bob.with_(id=new_id())),
    "update": lambda s, tx: tx.update(s.bob.with_(content="stolen", version=2), s.bob),
    "erase": lambda s, tx: tx.erase(s.bob.id),
    "get": lambda s, tx: tx.get(s.bob.id),
    "find_exact": lambda s, tx: tx.find_exact("bob", s.bob.content_hash, s.bob.scope),
    "search": lambda s, tx: tx.search(Plan(MARK, "", Filter(statuses=()), NOW)).candidates,
    "add_revision": lambda s, tx: tx.add_revision(Revision(s.bob.id, 1, NOW, "revise", {"content": "forged"})),
    "add_link": lambda s, tx: tx.add_link(Link(s.bob.id, s.ann.id, "supports", NOW)),
    "remove_link": lambda s, tx: tx.remove_link(s.bob.id, s.bob.id, "see_also"),
    "links_of": lambda s, tx: tx.links_of([s.bob.id]),
    "append_audit": lambda s, tx: tx.append_audit(NOW, "ann", "store", "own", {}),
    "archived": lambda s, tx: tx.archived("bob", s.bob.content_hash, MARK, s.bob.created_at),
    "state_get": lambda s, tx: tx.state_get(MARK, "key"),
    "states": lambda s, tx: tx.states(MARK),
    "state_put": lambda s, tx: tx.state_put(MARK, "key", {"of": "ann"}),
    "put_secret": lambda s, tx: tx.put_secret(s.bob.id, "name", b"forged", {}),
    "secrets_of": lambda s, tx: tx.secrets_of(s.bob.id),
    "scrub_revisions": lambda s, tx: tx.scrub_revisions(s.bob.id),
    "lock_owner": lambda s, tx: tx.lock_owner("bob"),
    "prefer": lambda s, tx: (tx.prefer("bob"), tx.get(s.bob.id)),
    "answer_of": lambda s, tx: tx.answer_of("bob", MARK),
    "put_answer": lambda s, tx: tx.put_answer("bob", MARK, {}),
    "tombstone_of": lambda s, tx: tx.tombstone_of("bob", s.bob.id),
    "put_tombstone": lambda s, tx: tx.put_tombstone("bob", s.bob.id),
    "revisions_of": lambda s, tx: tx.revisions_of(s.bob.id),
    "renumber": lambda s, tx: tx.renumber(s.bob.id),
    "record_change": lambda s, tx: tx.record_change(new_id(), s.ann.id, "store", 0, {}),
}


def methods(port: type) -> set[str]:
    return {
        name
        for name, value in vars(port).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }


def test_every_method_of_the_port_is_asked() -> None:
    assert methods(base.Store) == {*READS, *OTHERS}
    assert methods(base.Transaction) == set(WRITES)


@pytest.fixture
def scene(store: Store) -> Scene:
    bob = memory(
        f"shared words {MARK}", BOB, tags=(MARK, "both"), category="facts", scope=Scope.of(MARK, MARK), session=MARK, needs_review=MARK
    )
    ann = memory("shared words", ANN, tags=("both",), category="facts")
    more = [
        memory(f"shared {MARK} {n}", BOB, **fields)
        for n, fields in enumerate(({"deleted_at": NOW}, {"status": "candidate"}, {"scope": Scope.of(MARK)}, {"expires_at": NOW}, {}))
    ]
    with store.write(BOB) as tx:
        for each in (bob, *more):
            tx.insert(each)
        tx.add_revision(Revision(bob.id, 1, NOW, "revise", {"content": MARK}, actor="bob"))
        tx.add_link(Link(bob.id, more[-1].id, "see_also", NOW, MARK))
        tx.put_secret(bob.id, MARK, MARK.encode(), {"tier": MARK})
        tx.append_audit(NOW, "bob", "store", bob.id, {"said": MARK})
        tx.state_put(MARK, "key", {"of": MARK})
    with store.write(ANN) as tx:
        tx.insert(ann)
        tx.append_audit(NOW, "ann", "store", ann.id, {})
    while waiting := store.pending_vectors(50):
        store.put_vectors(IDENTITY, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
    return Scene(store, ann, bob)


def seen(answer: Any) -> str:
    """Everything in an answer, as text."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return " ".join(seen(getattr(answer, field.name)) for field in dataclasses.fields(answer))
    if isinstance(answer, dict):
        return " ".join(seen(part) for pair in answer.items() for part in pair)
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Iterable) and not isinstance(answer, bytes):
        return " ".join(seen(part) for part in answer)
    return repr(answer)


#: Accesses that may not see anything of Bob's.
STRANGERS = {
    "ann": ANN,
    "ann in a project called like his": Access("ann", ("ann",), ("ann",), project=MARK),
    "nobody": Access("nobody", (), ()),
    "odd names": Access("x' OR '1'='1", ("x' OR '1'='1", "%", "", "BOB", "bob "), ("%",)),
    "bob, caged elsewhere": Access("bob", ("bob",), ("bob",), project="elsewhere"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("method", READS)
def test_no_answer_holds_what_is_anothers(scene: Scene, method: str, stranger: str) -> None:
    if method == "state" and stranger.startswith("bob"):
        pytest.skip("how far imports have come is the owner's, not a project's")
    answer = seen(READS[method](scene, STRANGERS[stranger]))
    assert MARK not in answer and scene.bob.id not in answer and "bob" not in answer.lower().split()


@pytest.mark.parametrize("method", [name for name in READS if name != "counters"])
def test_the_owner_sees_it(scene: Scene, method: str) -> None:
    answer = seen(READS[method](scene, BOB))
    assert MARK in answer or scene.bob.id in answer, "or the probe proves nothing"


def all_of_bobs(store: Store) -> str:
    return seen(
        [
            [
                ask(Scene(store, memory("x"), memory("y")), BOB)
                for name, ask in READS.items()
                if name in ("page", "walk_secrets", "audit", "state")
            ]
        ]
    )


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("method", WRITES)
def test_no_write_reaches_what_is_anothers(scene: Scene, method: str, stranger: str) -> None:
    if method.startswith(("state", "append_audit")) and stranger.startswith("bob"):
        pytest.skip("these are the owner's, not a project's")
    before = all_of_bobs(scene.store), scene.store.revisions(BOB, scene.bob.id), scene.store.links_of(BOB, [scene.bob.id])
    answer: Any = None
    try:
        with scene.store.write(STRANGERS[stranger]) as tx:
            answer = WRITES[method](scene, tx)
    except BethinkError:
        answer = None
    assert MARK not in seen(answer) and answer is not True
    assert before == (all_of_bobs(scene.store), scene.store.revisions(BOB, scene.bob.id), scene.store.links_of(BOB, [scene.bob.id]))


def test_uses_of_others_are_not_noted(scene: Scene) -> None:
    scene.store.touch(ANN, scene.ids, NOW)
    uses = {one.memory.id: one.uses for one in scene.store.search(BOB, Plan(MARK, "", Filter(), NOW)).candidates}
    assert set(uses.values()) == {0}


def test_links_to_what_is_anothers_cannot_be_made(scene: Scene) -> None:
    with pytest.raises(BethinkError), scene.store.write(ANN) as tx:
        tx.add_link(Link(scene.ann.id, scene.bob.id, "supports", NOW))


def test_edges_are_those_between_what_may_be_read(store: Store) -> None:
    both = Access("ann", ("ann", "space:team"), ("ann", "space:team"))
    own, other, hidden = memory("own"), memory("other", scope=Scope.of("p")), memory("hidden", deleted_at=NOW)
    shared = memory("shared").with_(owner="space:team")
    joined = [(own, shared), (shared, own), (own, other), (other, own), (hidden, own), (own, hidden)]
    with store.write(both) as tx:
        for each in (own, other, hidden, shared):
            tx.insert(each)
        for source, target in joined:
            tx.add_link(Link(source.id, target.id, "supports", NOW))
        tx.add_link(Link(own.id, other.id, "see_also", NOW))

    def edges(access: Access, owner: str) -> set[tuple[str, str, str]]:
        found = list(store.edges(access, owner))
        assert len(found) == len(set(found))
        return set(found)

    def pairs(*some: tuple[Memory, Memory]) -> set[tuple[str, str, str]]:
        return {(source.id, target.id, "supports") for source, target in some}

    twice = {(own.id, other.id, "see_also")}
    assert edges(both, "ann") == pairs(*(each for each in joined if each[0] is not shared)) | twice
    assert edges(both, "space:team") == pairs((shared, own))
    assert edges(ANN, "ann") == pairs(*(each for each in joined if shared not in each)) | twice
    assert edges(Access.local("space:team"), "space:team") == edges(ANN, "space:team") == edges(both, "bob") == set()
    assert edges(dataclasses.replace(both, project="p"), "ann") == set()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.lists(st.sampled_from(["apple", "pear", "plum", "fig"]), min_size=1, max_size=4),
            st.sampled_from([None, "p", "q"]),
            st.sampled_from(["active", "superseded", "candidate"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["apple", "pear plum", "fig apple pear"]),
    st.sampled_from(FILTERS),
)
def test_whatever_two_owners_store(store: Store, rows: list[tuple[Any, ...]], question: str, where: Filter) -> None:
    people = {"ann": ANN, "bob": BOB}
    for owner, words, project, status, deleted in rows:
        with store.write(people[owner]) as tx:
            tx.insert(memory(" ".join(words), people[owner], scope=Scope.of(project), status=status, deleted_at=NOW if deleted else None))
    while waiting := store.pending_vectors(50):
        store.put_vectors(IDENTITY, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
    for name, access in people.items():
        plan = Plan(question, "", where, NOW, vector=EMBEDDER.vector(question), with_vectors=True)
        assert {one.memory.owner for one in store.search(access, plan).candidates} <= {name}
        assert {each.owner for each in store.walk(access, where, NOW)} <= {name}
        assert {each.owner for each in store.page(access, where, NOW, limit=50, offset=0).memories} <= {name}
