"""What every store promises, said once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bethink.errors import BethinkError, Conflict, EmbedderMismatch, VersionConflict
from bethink.model import Access, Filter, Link, Memory, Reach, Revision, Scope, new_id
from bethink.stores.base import Plan, Store
from kit.memories import ANN, BOB, IDENTITY, NOW, WordsEmbedder, memory

EMBEDDER = WordsEmbedder()
EVERY = Filter()
SAME_STORE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(store: Store, *memories: Memory, access: Access = ANN) -> list[Memory]:
    with store.write(access) as tx:
        for each in memories:
            tx.insert(each)
    return list(memories)


def embed(store: Store) -> int:
    done = 0
    while waiting := store.pending_vectors(100):
        done += store.put_vectors(IDENTITY, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
    return done


def found(store: Store, text: str, where: Filter = EVERY, access: Access = ANN, **plan: Any) -> list[str]:
    """The contents that a question brings, best keyword match first."""
    candidates = store.search(access, Plan(text, plan.pop("expanded", ""), where, NOW, **plan)).candidates
    return [one.memory.content for one in sorted(candidates, key=lambda one: -one.keyword)]


def contents(store: Store, where: Filter = EVERY, access: Access = ANN, **page: Any) -> list[str]:
    return [each.content for each in store.page(access, where, NOW, limit=100, offset=0, **page).memories]


class TestWriting:
    def test_comes_back_as_it_was_stored(self, store: Store, open_store: Callable[[], Store]) -> None:
        full = memory(
            "Grüße 🦄 \u202eשלום",
            tags=("a b", 'quo"te', "naïve"),
            category="decisions",
            expanded_keywords="words more",
            importance=0.25,
            scope=Scope("task", "example.org/a/b", "fix"),
            source="cli",
            trust="imported",
            valid_from=NOW - timedelta(days=3),
            valid_until=NOW + timedelta(microseconds=1),
            expires_at=NOW + timedelta(days=1),
            client="laptop",
            agent="claude",
            session="s1",
            origin={"file": "x.md", "start": 3},
            sensitive=True,
            sealed=("github-pat",),
            needs_review="look",
            extra={"later": [1, None, "ü"]},
        )
        put(store, full)
        (stored,) = open_store().get(ANN, [full.id]).values()
        # The place in the order of changes is the store's to give.
        assert stored.with_(seq=None) == full

    def test_is_found_by_its_words_at_once_and_elsewhere(self, store: Store, open_store: Callable[[], Store]) -> None:
        other = open_store()
        put(store, memory("The deployment pipeline uses canaries"))
        assert found(store, "canary") == found(other, "which canaries?") == ["The deployment pipeline uses canaries"]

    def test_an_error_inside_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.write(ANN) as tx:
            tx.insert(memory("half done"))
            raise ZeroDivisionError
        assert contents(store) == [] and found(store, "half") == [] and store.pending_vectors(5) == []

    def test_an_id_is_given_once(self, store: Store) -> None:
        (first,) = put(store, memory("one"))
        with pytest.raises(Conflict), store.write(ANN) as tx:
            tx.insert(memory("two", id=first.id))
        assert contents(store) == ["one"]

    def test_update_is_refused_over_a_newer_version(self, store: Store) -> None:
        (first,) = put(store, memory("one"))
        second = first.with_(content="two", version=2)
        with store.write(ANN) as tx:
            tx.update(second, first)
        with pytest.raises(VersionConflict), store.write(ANN) as tx:
            tx.update(first.with_(content="three", version=2), first)
        assert contents(store) == ["two"]

    def test_what_a_memory_said_before_does_not_find_it(self, store: Store) -> None:
        (first,) = put(store, memory("walrus", tags=("oldtag",)))
        with store.write(ANN) as tx:
            tx.update(first.with_(content="narwhal", tags=("newtag",), expanded_keywords="tusk", version=2), first)
        assert found(store, "walrus") == found(store, "oldtag") == []
        assert found(store, "narwhal") == found(store, "newtag") == found(store, "tusk") == ["narwhal"]

    def test_a_change_in_the_same_transaction_as_the_insert(self, store: Store) -> None:
        with store.write(ANN) as tx:
            first = memory("walrus")
            tx.insert(first)
            tx.update(first.with_(content="narwhal", version=2), first)
            after = tx.get(first.id)
            assert after is not None and after.with_(seq=None) == first.with_(content="narwhal", version=2)
        assert found(store, "walrus narwhal") == ["narwhal"]

    def test_find_exact_asks_for_owner_scope_and_life(self, store: Store) -> None:
        (here,) = put(store, memory("same", scope="p"))
        gone = memory("same", scope="q", deleted_at=NOW)
        old = memory("same", scope="r", status="superseded")
        put(store, gone, old)
        with store.write(ANN) as tx:
            same = tx.find_exact("ann", here.content_hash, Scope.of("p"))
            assert same is not None and same.with_(seq=None) == here
            for scope in (Scope(), Scope.of("q"), Scope.of("r"), Scope.of("p", "t"), Scope("task", None, "p")):
                assert tx.find_exact("ann", here.content_hash, scope) is None
            assert tx.find_exact("bob", here.content_hash, Scope.of("p")) is None

    def test_erasing_leaves_nothing_and_answers_what_there_was(self, store: Store) -> None:
        one, other = put(store, memory("zebra one", tags=("stripe",)), memory("zebra two"))
        embed(store)
        with store.write(ANN) as tx:
            tx.add_revision(Revision(one.id, 1, NOW, "revise", {"content": "zebra zero"}))
            tx.add_link(Link(one.id, other.id, "supports", NOW))
            tx.put_secret(one.id, "content.0.x", b"sealed", {"tier": "aesgcm"})
        store.touch(ANN, [one.id], NOW)
        with store.write(ANN) as tx:
            receipt = tx.erase(one.id)
        assert {name: receipt[name] for name in ("rows", "revisions", "links", "secrets")} == {
            "rows": 1, "revisions": 1, "links": 1, "secrets": 1,
        }  # fmt: skip
        assert found(store, "zebra stripe", vector=EMBEDDER.vector("zebra one"), with_vectors=True) == ["zebra two"]
        assert store.get(ANN, [one.id]) == {} and store.revisions(ANN, one.id) == []
        assert store.links_of(ANN, [one.id, other.id]) == [] and store.secrets_of(ANN, one.id) == []
        assert store.tags(ANN, Filter(), NOW) == {}
        # What is erased and stored again is new.
        put(store, one)
        assert sorted(found(store, "zebra")) == ["zebra one", "zebra two"]

    def test_two_threads_and_two_stores_write_at_once(self, store: Store, open_store: Callable[[], Store]) -> None:
        other = open_store()
        failed: list[BaseException] = []

        def write(which: Store, name: str) -> None:
            try:
                for number in range(20):
                    put(which, memory(f"{name} note{number}"))
                    found(which, f"note{number}")
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=write, args=(which, f"t{n}")) for n, which in enumerate((store, store, other, other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert store.page(ANN, Filter(), NOW, limit=1, offset=0).total == 80
        assert len(found(store, "note7")) == 4


class TestReading:
    def test_pages_are_ordered_and_counted(self, store: Store) -> None:
        for number, importance in enumerate((0.9, 0.1, 0.5)):
            put(store, memory(f"n{number}", importance=importance, created_at=NOW - timedelta(days=10 - number)))
        assert contents(store) == ["n2", "n1", "n0"]
        assert contents(store, order="oldest") == ["n0", "n1", "n2"]
        assert contents(store, order="importance") == ["n0", "n2", "n1"]
        page = store.page(ANN, Filter(), NOW, limit=1, offset=1)
        assert ([each.content for each in page.memories], page.total, page.limit, page.offset) == (["n1"], 3, 1, 1)
        assert store.page(ANN, Filter(), NOW, limit=5, offset=9).memories == ()
        assert store.page(ANN, Filter(), NOW, limit=2, offset=0, with_total=False).total == -1

    def test_walking_is_oldest_first_and_bears_writes(self, store: Store) -> None:
        many = put(store, *(memory(f"n{number}") for number in range(1200)))
        seen = []
        for each in store.walk(ANN, Filter(), NOW):
            if len(seen) == 3:
                put(store, memory("late"))
            seen.append(each.content)
        assert seen[:1200] == [each.content for each in many]

    def test_ids_by_their_beginning(self, store: Store) -> None:
        one, other = put(store, memory("a", id="abc-1"), memory("b", id="abd_2"))
        assert store.resolve(ANN, "ab") == [one.id, other.id]
        assert store.resolve(ANN, "abc") == [one.id]
        for odd in ("%", "_", "ab%", "' OR 1=1 --", "\udc80", "\x00", "\U0010ffff"):
            assert store.resolve(ANN, odd) == []
            assert store.get(ANN, [odd]) == {}

    def test_counts_and_tags(self, store: Store) -> None:
        put(
            store,
            memory("a", tags=("x", "y"), category="facts"),
            memory("b", tags=("x",), category="notes", scope="p", source="cli"),
            memory("c", tags=("x",), deleted_at=NOW),
            memory("d", status="candidate"),
            memory("e", expires_at=NOW - timedelta(seconds=1)),
        )
        counts = store.counts(ANN, NOW)
        assert counts["total"] == 2 and counts["deleted"] == 1
        assert counts["by_category"] == {"facts": 1, "notes": 1}
        assert counts["by_project"] == {"(global)": 1, "p": 1}
        assert counts["by_source"] == {"user": 1, "cli": 1}
        assert counts["by_status"]["candidate"] == 1
        assert counts["pending_vectors"] == 5 and counts["db_bytes"] > 0
        assert store.tags(ANN, Filter(), NOW) == {"x": 2, "y": 1}
        assert store.projects(ANN) == ["p"]

    def test_uses_are_noted(self, store: Store) -> None:
        one, _ = put(store, memory("used"), memory("unused"))
        for _ in range(2):
            store.touch(ANN, [one.id], NOW)
        used = {
            each.memory.content: (each.uses, each.last_used_at)
            for each in store.search(ANN, Plan("used unused", "", Filter(), NOW)).candidates
        }
        assert used == {"used": (2, NOW), "unused": (0, None)}

    def test_history_links_and_secrets_come_back(self, store: Store) -> None:
        one, other = put(store, memory("a"), memory("b"))
        revision = Revision(one.id, 1, NOW, "revise", {"content": "ü", "tags": ["x"]}, "ann", "laptop", "claude", "s", "why")
        link = Link(one.id, other.id, "supports", NOW, "because")
        with store.write(ANN) as tx:
            tx.add_revision(revision)
            assert tx.add_link(link) and not tx.add_link(link)
            tx.put_secret(one.id, "n", b"\x00\xff", {"tier": "vault"})
            tx.put_secret(one.id, "n", b"\x01", {"tier": "aesgcm"})
            assert tx.links_of([other.id]) == [link]
        assert store.revisions(ANN, one.id) == [revision]
        assert store.links_of(ANN, [other.id]) == store.links_of(ANN, [one.id, one.id]) == [link]
        assert store.secrets_of(ANN, one.id) == [("n", b"\x01", {"tier": "aesgcm"})]
        assert list(store.walk_secrets(ANN)) == [("ann", one.id, "n", b"\x01", {"tier": "aesgcm"})]
        with store.write(ANN) as tx:
            tx.scrub_revisions(one.id)
            assert tx.remove_link(one.id, other.id, "supports") and not tx.remove_link(one.id, other.id, "supports")
        scrubbed = store.revisions(ANN, one.id)[0]
        assert "ü" not in repr(scrubbed) and (scrubbed.at, scrubbed.op) == (NOW, "revise") and scrubbed.note == ""
        assert store.links_of(ANN, [one.id]) == []

    def test_the_audit_log_is_a_chain(self, store: Store) -> None:
        for number in range(3):
            with store.write(ANN) as tx:
                tx.append_audit(NOW, "claude", "store", f"m{number}", {"n": number})
        entries = list(store.audit(ANN))
        assert [(each.subject, each.detail["n"]) for each in entries] == [("m0", 0), ("m1", 1), ("m2", 2)]
        assert len({each.digest for each in entries}) == 3
        assert [each.subject for each in store.audit(ANN, after=entries[1].number)] == ["m2"]
        assert store.verify_audit() is None


class TestWords:
    @pytest.mark.parametrize(
        ("content", "question"),
        [
            ("use parse_http_header there", "parse_http_header"),
            ("use parse_http_header there", "header parse"),
            ("class HttpRequestParser", "httprequestparser"),
            ("class HttpRequestParser", "request parser"),
            ("see src/bethink/stores/base.py:12", "src/bethink/stores/base.py"),
            ("see src/bethink/stores/base.py:12", "stores/base.py"),
            ("see src/bethink/stores/base.py:12", "base.py"),
            ("pinned to v1.26.3-rc1", "v1.26.3-rc1"),
            ("pinned to 1.26.3", "1.26.3"),
            ("the my-app-name project", "my-app-name"),
            ("the my-app-name project", "app"),
            (r"in C:\Users\ann\notes.txt", "notes.txt"),
            ("call std::vector::push_back", "push_back"),
            ("mail ann@example.org", "ann@example.org"),
            ("番号は東京の部署にある", "東京"),
            ("数据库迁移使用alembic工具", "迁移"),
            ("배포는 금요일에 하지 않는다", "금요일"),
            ("เราใช้ฐานข้อมูลโพสต์เกรส", "ฐานข้อมูล"),
            ("सर्वर हिन्दी में बोलता है", "हिन्दी"),
            ("Ελληνικά γράμματα", "γράμματα"),
            ("café crème naïve", "cafe naive"),
            ("cafe creme", "café"),
            ("Größe über alles", "uber"),
            ("we were deploying services", "deploy service"),
            ("مرحبا بالعالم", "بالعالم"),
            ("слово и дело", "дело"),
        ],
    )
    def test_found_whole_and_in_parts(self, store: Store, content: str, question: str) -> None:
        put(store, memory(content), memory("nothing of the kind"))
        assert found(store, question)[:1] == [content]

    def test_found_by_tag_keyword_category_and_day(self, store: Store) -> None:
        put(store, memory("plain", tags=("infra",), expanded_keywords="kubernetes", category="decisions"))
        for question in ("infra", "kubernetes", "decisions", "decision", "May 2026", "2026-05-08", "what happened on 8 May?", "friday"):
            assert found(store, question) == ["plain"], question

    def test_nothing_in_common_brings_nothing(self, store: Store) -> None:
        put(store, memory("alpha beta"))
        for nothing in ("", " ", "gamma", "the of and", "🦄", '"', "-", "\x00"):
            assert found(store, nothing) == []

    def test_the_better_match_scores_higher(self, store: Store) -> None:
        put(store, memory("redis cache eviction policy"), memory("redis port"), *(memory(f"other {n}") for n in range(20)))
        assert found(store, "redis cache policy") == ["redis cache eviction policy", "redis port"]

    @SAME_STORE
    @given(st.text(max_size=200) | st.from_regex(r'["*^:(){}+\-]{0,5}(AND|OR|NOT|NEAR)["*^:(){}\w ,]{0,20}'))
    @example('"')
    @example("NEAR(a b, 3)")
    @example("content : a* ^b")
    @example("a\x00b")
    @example("\ud800 \udfff")
    @example("{content} : x")
    @example("' OR 1=1; DROP TABLE memories; --")
    @example("\u202e\u200b\ufeff\u0301")
    @example("क्षि" * 50)
    @example("a" * 1_000_000)
    @example("word " * 200_000)
    @example("_-/." * 20_000)
    @example("漢" * 50_000)
    def test_no_text_raises(self, store: Store, text: str) -> None:
        if not store.projects(ANN):
            put(store, memory("something", scope="p"))
        for plan in (
            Plan(text, "", Filter(), NOW),
            Plan("", text, Filter(), NOW, vector=EMBEDDER.vector("x"), with_vectors=True),
            Plan(text, "", Filter(), NOW, nearly=True),
        ):
            store.search(ANN, plan)

    def test_what_shares_several_common_words_is_near(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each of the words is in so many memories that no question could afford to look at all of them."""
        # PostgreSQL looks through so few rows one by one.
        monkeypatch.setattr("bethink.stores.postgres.search.FEW_ROWS", 0)
        subjects = ("The frontend meeting of week", "Letters written on day", "A talk about Svelte in room")
        put(store, *(memory(f"{subject} {number}") for subject in subjects for number in range(300)))
        put(store, memory("The frontend is written in React."))
        asked = Plan("The frontend is written in Svelte.", "", Filter(), NOW, k=6, nearly=True)
        assert "The frontend is written in React." in [one.memory.content for one in store.search(ANN, asked).candidates]
        single = Plan("frontend", "", Filter(), NOW, k=6, nearly=True)
        assert len(store.search(ANN, single).candidates) == 6

    @SAME_STORE
    @given(st.text(st.characters(categories=["L", "N"], max_codepoint=0x24F), min_size=1, max_size=12))
    @example("S")
    @example("don")
    def test_every_word_finds_its_memory(self, store: Store, word: str) -> None:
        from bethink.text import checked

        content = f"{checked(word)} with company"
        put(store, memory(content))
        assert content in found(store, word, k=1000)

    @SAME_STORE
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20))
    @example('a"b')
    @example("\\")
    @example("é\n\t")
    def test_every_tag_is_a_filter(self, store: Store, tag: str) -> None:
        one = memory("tagged", tags=(tag, "other"))
        put(store, one, memory("untagged", tags=(f"{tag}x", f"x{tag}", f'x"{tag}"')))
        assert one.id in {each.id for each in store.walk(ANN, Filter(tags=(tag,)), NOW)}
        assert "untagged" not in {each.content for each in store.walk(ANN, Filter(tags=(tag,)), NOW)}


class TestFilters:
    FIELDS = (
        (Filter(category="notes"), {"category": "notes"}),
        (Filter(tags=("x", "y")), {"tags": ("y", "z", "x")}),
        (Filter(client="laptop"), {"client": "laptop"}),
        (Filter(source="cli"), {"source": "cli"}),
        (Filter(session="s"), {"session": "s"}),
        (Filter(since=NOW - timedelta(minutes=5)), {"created_at": NOW - timedelta(minutes=5)}),
        (Filter(before=NOW - timedelta(days=1)), {"created_at": NOW - timedelta(days=1, seconds=1)}),
        (Filter(statuses=("candidate",)), {"status": "candidate"}),
        (Filter(deleted=True), {"deleted_at": NOW}),
        (Filter(owner="ann", needs_review=True), {"needs_review": "stale"}),
        (Filter(reach=Reach(("p",), include_global=False)), {"scope": Scope.of("p")}),
        (Filter(expired=True), {"expires_at": NOW}),
    )

    @pytest.mark.parametrize(("where", "fields"), FIELDS, ids=[next(iter(fields)) for _, fields in FIELDS])
    def test_each_narrows_every_way_of_reading(self, store: Store, where: Filter, fields: dict[str, Any]) -> None:
        put(store, memory("apple wanted", **fields), memory("apple other", tags=("x",), category="facts"))
        embed(store)
        assert contents(store, where) == ["apple wanted"]
        assert [each.content for each in store.walk(ANN, where, NOW)] == ["apple wanted"]
        assert found(store, "apple", where) == ["apple wanted"]
        assert found(store, "", where, use_keywords=False, vector=EMBEDDER.vector("apple")) == ["apple wanted"]
        assert found(store, "apple", where, vector=EMBEDDER.vector("apple"), with_vectors=True) == ["apple wanted"]
        assert [each.content for each, _ in store.similar(ANN, EMBEDDER.vector("apple"), where, NOW, k=5)] == ["apple wanted"]

    def test_the_archive_can_be_left_out(self, store: Store) -> None:
        put(store, memory("said", source="transcript"), memory("noted"))
        assert contents(store, Filter(archive=False)) == ["noted"]
        assert sorted(contents(store)) == ["noted", "said"]

    def test_what_ended_is_not_found(self, store: Store) -> None:
        put(
            store,
            memory("apple holds", expires_at=NOW + timedelta(seconds=1), valid_until=NOW + timedelta(seconds=1)),
            memory("apple expired", expires_at=NOW),
            memory("apple outdated", valid_until=NOW),
        )
        embed(store)
        assert contents(store) == ["apple holds"]
        assert found(store, "apple", vector=EMBEDDER.vector("apple")) == ["apple holds"]

    def test_as_of_shows_the_store_as_it_stood(self, store: Store) -> None:
        day = timedelta(days=1)
        put(
            store,
            memory("port 5432", created_at=NOW - 10 * day, status="superseded", superseded_at=NOW - 4 * day),
            memory("port 5433", created_at=NOW - 4 * day),
            memory("port deleted", created_at=NOW - 9 * day, deleted_at=NOW - 2 * day),
            memory("port candidate", created_at=NOW - 9 * day, status="candidate"),
            memory("port until", created_at=NOW - 9 * day, valid_until=NOW - 6 * day),
        )
        for days, expected in (
            (11, []),
            (8, ["port 5432", "port deleted", "port until"]),
            (5, ["port 5432", "port deleted"]),
            (3, ["port 5433", "port deleted"]),
            (1, ["port 5433"]),
        ):
            where = Filter(as_of=NOW - days * day)
            assert sorted(contents(store, where)) == expected, days
            assert sorted(found(store, "port", where)) == expected, days
        assert contents(store) == ["port 5433"]

    def test_reach(self, store: Store) -> None:
        put(
            store,
            memory("apple global"),
            memory("apple project", scope="p"),
            memory("apple task", scope=Scope.of("p", "t")),
            memory("apple other task", scope=Scope.of("p", "u")),
            memory("apple other project", scope="q"),
            memory("apple loose task", scope=Scope.of(None, "t")),
        )
        embed(store)
        expected = {
            Reach(projects=()): {"global"},
            Reach(("p",)): {"global", "project"},
            Reach(("p",), "t"): {"global", "project", "task"},
            Reach((), "t"): {"global", "loose task"},
            Reach(("p",), include_global=False): {"project"},
            Reach(("p", "q")): {"global", "project", "other project"},
            Reach(projects=None): {"global", "project", "task", "other task", "other project", "loose task"},
            Reach(("nowhere",)): {"global"},
        }
        for reach, names in expected.items():
            where = Filter(reach=reach)
            wanted = sorted(f"apple {name}" for name in names)
            assert sorted(contents(store, where)) == wanted, reach
            assert sorted(found(store, "apple", where)) == wanted, reach
            assert sorted(found(store, "", where, use_keywords=False, vector=EMBEDDER.vector("apple"))) == wanted, reach


class TestVectors:
    @pytest.fixture(autouse=True)
    def _needs_vectors(self, store: Store) -> None:
        if not store.capabilities.vectors:
            pytest.skip("this store keeps no vectors")

    def test_the_nearest_come_first(self, store: Store) -> None:
        put(store, *(memory(f"w{n} w{n + 1} w{n + 2} w{n + 3}") for n in range(300)))
        assert embed(store) == 300 and store.embedder() == IDENTITY and store.pending_vectors(5) == []
        near = store.similar(ANN, EMBEDDER.vector("w100 w101 w102 w103"), Filter(), NOW, k=5)
        assert near[0][0].content == "w100 w101 w102 w103" and near[0][1] > 0.99
        assert {each.content.split()[0] for each, _ in near[1:3]} == {"w99", "w101"}
        assert [score for _, score in near] == sorted((score for _, score in near), reverse=True)

    def test_token_vectors_come_with_the_candidates(self, store: Store) -> None:
        put(store, memory("one two three"))
        embed(store)
        (candidate,) = store.search(ANN, Plan("two", "", Filter(), NOW, vector=EMBEDDER.vector("two"), with_vectors=True)).candidates
        assert candidate.tokens is not None and candidate.tokens.tolist() == EMBEDDER.passages(["one two three"])[0][0].tokens.tolist()
        assert candidate.cosine == pytest.approx(float(EMBEDDER.vector("two") @ EMBEDDER.vector("one two three")), abs=0.02)

    def test_long_memories_have_several(self, store: Store) -> None:
        (one,) = put(store, memory("long"))
        ((key, content),) = store.pending_vectors(1)
        windows = [EMBEDDER.passages([f"window{n}"])[0][0] for n in range(5)]
        store.put_vectors(IDENTITY, [(key, content, windows)])
        assert [m.id for m, score in store.similar(ANN, EMBEDDER.vector("window3"), Filter(), NOW, k=3) if score > 0.9] == [one.id]
        assert set(store.vectors_of(ANN, [one.id])) == {one.id}
        with store.write(ANN) as tx:
            tx.update(one.with_(content="short", version=2), one)
        assert store.vectors_of(ANN, [one.id]) == {} and len(store.pending_vectors(5)) == 1

    def test_a_text_that_changed_meanwhile_stays_queued(self, store: Store) -> None:
        (one,) = put(store, memory("before"))
        waiting = store.pending_vectors(1)
        with store.write(ANN) as tx:
            tx.update(one.with_(content="after", version=2), one)
        assert store.put_vectors(IDENTITY, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting]) == 0
        assert [content for _, content in store.pending_vectors(5)] == ["after"]
        assert embed(store) == 1

    def test_an_erased_memory_leaves_the_queue(self, store: Store) -> None:
        (one,) = put(store, memory("gone"))
        waiting = store.pending_vectors(1)
        with store.write(ANN) as tx:
            tx.erase(one.id)
        assert store.pending_vectors(1) == []
        store.put_vectors(IDENTITY, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
        assert store.similar(ANN, EMBEDDER.vector("gone"), Filter(), NOW, k=3) == []

    def test_forgotten_moved_and_restored_memories(self, store: Store) -> None:
        (one,) = put(store, memory("apple"))
        embed(store)

        def near(where: Filter = EVERY) -> list[str]:
            return found(store, "", where, use_keywords=False, vector=EMBEDDER.vector("apple"))

        steps = (
            ({"deleted_at": NOW}, []),
            ({"deleted_at": None}, ["apple"]),
            ({"status": "superseded"}, []),
            ({"status": "active"}, ["apple"]),
        )
        current = one
        for version, (fields, expected) in enumerate(steps, 2):
            with store.write(ANN) as tx:
                tx.update(current.with_(**fields, version=version), current)
            current = current.with_(**fields, version=version)
            assert near() == expected
        with store.write(ANN) as tx:
            tx.update(current.with_(scope=Scope.of("p"), version=9), current)
        assert near(Filter(reach=Reach(()))) == [] and near(Filter(reach=Reach(("p",)))) == ["apple"]

    def test_another_embedder_is_refused_until_all_is_dropped(self, store: Store) -> None:
        put(store, memory("apple"), memory("pear"))
        embed(store)
        with store.write(ANN) as tx:
            tx.insert(memory("plum"))
        other = replace(IDENTITY, revision="2")
        waiting = store.pending_vectors(5)
        with pytest.raises(EmbedderMismatch):
            store.put_vectors(other, [(key, content, EMBEDDER.passages([content])[0]) for key, content in waiting])
        store.drop_vectors()
        assert store.embedder() is None and len(store.pending_vectors(9)) == 3
        assert found(store, "apple", vector=EMBEDDER.vector("apple"), with_vectors=True) == ["apple"]
        store.put_vectors(other, [(key, content, EMBEDDER.passages([content])[0]) for key, content in store.pending_vectors(9)])
        assert store.embedder() == other and store.similar(ANN, EMBEDDER.vector("pear"), Filter(), NOW, k=1)[0][0].content == "pear"

    def test_a_rare_filter_finds_far_memories(self, store: Store) -> None:
        put(store, *(memory("apple tart") for _ in range(400)), memory("nothing alike", tags=("rare",), client="tower"))
        embed(store)
        for where in (Filter(tags=("rare",)), Filter(client="tower")):
            assert found(store, "", where, use_keywords=False, vector=EMBEDDER.vector("apple tart"), k=10) == ["nothing alike"]


def test_errors_are_bethinks_own(store: Store) -> None:
    with pytest.raises(BethinkError), store.write(ANN) as tx:
        tx.erase(new_id())
    with pytest.raises(BethinkError), store.write(BOB) as tx:
        tx.insert(memory("foreign"))
