"""Storing, correcting, forgetting and the ways back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from bethink.errors import Conflict, ContentTooLong, InvalidInput, NotForgotten, NotFound, UnknownCategory, VersionConflict
from bethink.model import Changes, Draft, Filter, Query, Reach, Scope
from bethink.service.memories import Memories
from kit.memories import BOB, NOW

from .conftest import Clock, recalled, stored


class TestRemember:
    def test_the_answer_is_what_is_stored(self, memories: Memories) -> None:
        answer = memories.remember(Draft("The staging host is called heron", "fact", ("infra", "infra "), "server machine", 0.8))
        assert answer.action == "added" and memories.get(answer.memory.id).with_(seq=None) == answer.memory.with_(seq=None)
        assert answer.memory.category == "facts" and answer.memory.tags == ("infra",) and answer.memory.created_at == NOW
        assert recalled(memories, "what is the machine for staging?") == ["The staging host is called heron"]

    def test_the_same_again_is_merged(self, memories: Memories) -> None:
        first = memories.remember(Draft("Ann prefers tabs", tags=("a",), importance=0.9, expanded_keywords="indentation"))
        again = memories.remember(Draft("  Ann prefers tabs\n", tags=("b", "a"), importance=0.2, expanded_keywords="whitespace"))
        assert again.action == "merged" and again.memory.id == first.memory.id
        assert (again.memory.tags, again.memory.importance, again.memory.expanded_keywords) == (("a", "b"), 0.9, "indentation whitespace")
        assert memories.count()["total"] == 1
        assert [revision.op for revision in memories.history(first.memory.id)] == ["create", "merge"]

    def test_what_is_said_again_for_good_holds_again(self, memories: Memories, clock: Clock) -> None:
        memories.remember(Draft("the door code is 1234", expires_at=clock.turn(hours=0) + timedelta(hours=1)))
        later = memories.remember(Draft("the door code is 1234", expires_at=clock.turn(hours=0) + timedelta(hours=2)))
        assert later.memory.expires_at == NOW + timedelta(hours=2)
        clock.turn(days=1)
        again = memories.remember(Draft("the door code is 1234"))
        assert again.action == "merged" and again.memory.expires_at is None
        # Who names an end does not end what holds for good.
        assert memories.remember(Draft("the door code is 1234", expires_at=NOW + timedelta(days=2))).memory.expires_at is None
        for status in ("parked", "completed"):
            memories.revise(again.memory.id, Changes(status=status))
            assert memories.remember(Draft("the door code is 1234", status="candidate")).memory.status == status
            assert memories.remember(Draft("the door code is 1234")).memory.status == "active"
        memories.revise(again.memory.id, Changes(status="quarantined"))
        assert memories.remember(Draft("the door code is 1234")).memory.status == "quarantined"

    def test_elsewhere_it_is_another(self, memories: Memories, make: Callable[..., Memories]) -> None:
        draft = Draft("uses uv")
        one = memories.remember(draft)
        for scope in (Scope.of("p"), Scope.of("q"), Scope.of("p", "t")):
            assert memories.remember(Draft("uses uv", scope=scope)).action == "added"
        assert make(BOB).remember(draft).memory.id != one.memory.id

    def test_what_was_forgotten_can_be_said_again(self, memories: Memories) -> None:
        first = stored(memories, "uses uv")
        memories.forget(first.id)
        assert memories.remember(Draft("uses uv")).action == "added"

    def test_an_id_given_twice_is_answered_not_doubled(self, memories: Memories) -> None:
        assert memories.remember(Draft("one", id="op-1")).action == "added"
        assert memories.remember(Draft("one", id="op-1")).action == "merged"
        with pytest.raises(Conflict, match="Another memory has the id op-1"):
            memories.remember(Draft("two", id="op-1"))
        assert memories.count()["total"] == 1

    @pytest.mark.parametrize(
        ("draft", "error", "message"),
        [
            (Draft(""), InvalidInput, "content is empty"),
            (Draft("a\x00"), InvalidInput, "NUL"),
            (Draft("a\ud800"), InvalidInput, "surrogate"),
            (Draft("x" * 70_000), ContentTooLong, "70,000 bytes"),
            (Draft("x", "nonsense"), UnknownCategory, "No category 'nonsense'"),
            (Draft("x", importance=1.1), InvalidInput, "importance is 1.1"),
            (Draft("x", importance=float("nan")), InvalidInput, "importance is nan"),
            (Draft("x", tags=("y" * 101,)), InvalidInput, "longer than 100"),
            (Draft("x", tags=tuple(map(str, range(65)))), InvalidInput, "65 tags"),
            (Draft("x", tags=("a\x00",)), InvalidInput, "tag contains a NUL"),
            (Draft("x", expanded_keywords="y" * 4001), InvalidInput, "4001 characters"),
            (Draft("x", id="../../etc"), InvalidInput, "Not an id"),
            (Draft("x", id="a b"), InvalidInput, "Not an id"),
            (Draft("x", trust="total"), InvalidInput, "No trust 'total'"),
            (Draft("x", status="odd"), InvalidInput, "No status 'odd'"),
            (Draft("x", scope=Scope("project")), InvalidInput, "needs a project"),
            (Draft("x", scope=Scope("task")), InvalidInput, "needs a task"),
            (Draft("x", scope=Scope.of("y" * 501)), InvalidInput, "too long"),
            (Draft("x", valid_from=NOW, valid_until=NOW - timedelta(1)), InvalidInput, "before valid_from"),
            (Draft("x", supersedes="nothing-there"), NotFound, "No memory 'nothing-there'"),
            (Draft("x", derived_from=("nothing-there",)), NotFound, "No memory 'nothing-there'"),
        ],
    )
    def test_bad_input_is_refused_and_nothing_is_stored(self, memories: Memories, draft: Draft, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            memories.remember(draft)
        assert memories.stats()["by_status"] == {} and list(memories.store.audit(memories.access)) == []

    def test_one_bad_line_of_many_stops_nothing(self, memories: Memories) -> None:
        answers = list(memories.remember_many([Draft("one"), Draft(""), Draft("two")]))
        assert [getattr(answer, "action", None) or answer.code for answer in answers] == ["added", "InvalidInput", "added"]  # type: ignore[union-attr]  # an error has a code


class TestSupersede:
    def test_the_old_leaves_recall_and_stays_in_history(self, memories: Memories, clock: Clock) -> None:
        old = stored(memories, "The database listens on port 5432")
        clock.turn(days=1)
        answer = memories.remember(Draft("Postgres moved: port 5433 from now on", supersedes=old.id))
        assert answer.superseded == (old.id,)
        assert recalled(memories, "port") == ["Postgres moved: port 5433 from now on"]
        assert memories.get(old.id).status == "superseded" and memories.get(old.id).superseded_at == clock.now
        assert memories.recall(Query("port", where=Filter(as_of=NOW + timedelta(hours=1)))).hits[0].memory.id == old.id
        assert [(link.source, link.target, link.type) for link in memories.links(old.id)] == [(answer.memory.id, old.id, "supersedes")]
        with pytest.raises(Conflict, match="superseded already"):
            memories.remember(Draft("port 5434 then", supersedes=old.id))

    def test_of_what_is_corrected_in_part_both_stay_and_the_old_one_waits(self, memories: Memories) -> None:
        said = "The billing service is written in Go. Its owner is the payments team. It is scraped every 15 seconds."
        old = stored(memories, f"{said} Deploys go out on Tuesdays after the standup.")
        answer = memories.remember(Draft("Deploys of the billing service go out on Thursdays after the standup."))
        assert answer.action == "added" and answer.superseded == ()
        assert any(old.id in note for note in answer.notes)
        assert [(link.source, link.target, link.type) for link in memories.links(old.id)] == [(answer.memory.id, old.id, "contradicts")]
        [waiting] = memories.review()
        assert waiting.memory.id == old.id and answer.memory.id in waiting.reason
        assert set(recalled(memories, "deploys of the billing service")) == {old.content, answer.memory.content}

    def test_undo_brings_it_back(self, memories: Memories) -> None:
        old = stored(memories, "The database listens on port 5432")
        new = memories.remember(Draft("Nothing to do with that", supersedes=old.id)).memory
        assert [each.id for each in memories.undo(new.id)] == [old.id]
        assert memories.get(old.id).status == "active" and memories.get(new.id).status == "active"
        assert [link.type for link in memories.links(old.id)] == ["see_also"]
        with pytest.raises(Conflict, match="Nothing was superseded"):
            memories.undo(new.id)

    def test_undo_from_the_old_end(self, memories: Memories) -> None:
        old = stored(memories, "The database listens on port 5432")
        memories.remember(Draft("Nothing to do with that", supersedes=old.id))
        assert [each.id for each in memories.undo(old.id)] == [old.id]

    def test_no_circles(self, memories: Memories) -> None:
        one, two = stored(memories, "walnut fact"), stored(memories, "hazel thing")
        memories.link(two.id, one.id, "supersedes")
        with pytest.raises(InvalidInput, match="already"):
            memories.link(one.id, two.id, "supersedes")
        with pytest.raises(InvalidInput, match="with itself"):
            memories.link(one.id, one.id, "supports")


class TestForget:
    def test_forget_restore_purge(self, memories: Memories) -> None:
        one = stored(memories, "quartz crystal")
        with pytest.raises(NotForgotten, match="is not forgotten") as caught:
            memories.purge(one.id)
        assert "bethink delete" in caught.value.hint
        gone = memories.forget(one.id)
        assert gone.deleted_at == NOW and memories.forget(one.id).version == gone.version == 2
        assert recalled(memories, "quartz") == [] and memories.stats()["deleted"] == 1
        back = memories.restore(one.id)
        assert back.deleted_at is None and recalled(memories, "quartz") == ["quartz crystal"]
        with pytest.raises(Conflict, match="is not forgotten"):
            memories.restore(one.id)
        memories.forget(one.id)
        receipt = memories.purge(one.id)
        assert receipt["rows"] == receipt["index"] == 1 and receipt["revisions"] == 3
        with pytest.raises(NotFound):
            memories.get(one.id)
        assert [entry.action for entry in memories.audit()] == ["store", "forget", "restore", "forget", "purge"]

    def test_restoring_beside_a_twin_is_refused(self, memories: Memories) -> None:
        one = stored(memories, "quartz crystal")
        memories.forget(one.id)
        twin = stored(memories, "quartz crystal")
        with pytest.raises(Conflict, match=twin.id):
            memories.restore(one.id)

    def test_what_depends_on_it_is_marked(self, memories: Memories) -> None:
        base = stored(memories, "basalt is the base image")
        near = stored(memories, "container built on granite", derived_from=(base.id,))
        far = stored(memories, "helm chart pulls marble", derived_from=(near.id,))
        other = stored(memories, "unrelated limestone")
        memories.link(other.id, base.id, "see_also")
        memories.forget(base.id)
        assert "was forgotten" in memories.get(near.id).needs_review and "was forgotten" in memories.get(far.id).needs_review
        assert memories.get(other.id).needs_review == ""


class TestRevise:
    def test_what_it_said_stays_in_its_history(self, memories: Memories, clock: Clock) -> None:
        one = stored(memories, "maple syrup", tags=("a",))
        clock.turn(hours=1)
        memories.revise(one.id, Changes(content="birch syrup", tags=("b",)))
        clock.turn(hours=1)
        last = memories.revise(one.id, Changes(importance=1.0, category="decision", scope=Scope.of("p")))
        assert (last.content, last.tags, last.importance, last.category, last.version) == ("birch syrup", ("b",), 1.0, "decisions", 3)
        assert [(r.op, r.before.get("content")) for r in memories.history(one.id)] == [
            ("create", None),
            ("revise", "maple syrup"),
            ("revise", None),
        ]
        assert memories.as_of(one.id, NOW).content == "maple syrup" and memories.as_of(one.id, NOW).tags == ("a",)
        assert memories.as_of(one.id, NOW + timedelta(hours=1)).content == "birch syrup"
        assert memories.as_of(one.id, NOW + timedelta(hours=1)).scope == Scope()
        with pytest.raises(NotFound, match="not known then"):
            memories.as_of(one.id, NOW - timedelta(seconds=1))

    def test_versions_guard_against_lost_edits(self, memories: Memories) -> None:
        one = stored(memories, "maple syrup")
        memories.revise(one.id, Changes(importance=0.7, if_version=1))
        with pytest.raises(VersionConflict, match="version 2, not 1"):
            memories.revise(one.id, Changes(importance=0.1, if_version=1))

    def test_it_may_not_become_another(self, memories: Memories) -> None:
        one, other = stored(memories, "maple syrup"), stored(memories, "birch tar")
        with pytest.raises(Conflict, match=one.id):
            memories.revise(other.id, Changes(content="maple syrup"))
        with pytest.raises(InvalidInput, match="Nothing to change"):
            memories.revise(one.id, Changes())

    def test_ids_may_be_cut_short(self, memories: Memories) -> None:
        one = stored(memories, "maple syrup")
        assert memories.get(one.id[:14]).id == one.id and memories.get(f" {one.id.upper()} ").id == one.id
        for bad in ("", "zzzz", "%", "' OR 1=1", "\udc80abc", "\x00\x00\x00\x00"):
            with pytest.raises(NotFound):
                memories.get(bad)


class TestRecall:
    def test_filters_reach_the_store(self, memories: Memories) -> None:
        stored(memories, "apple global")
        stored(memories, "apple cooking", scope=Scope.of("example.org/team/kitchen"), tags=("food",), category="notes")
        stored(memories, "apple computing", scope=Scope.of("example.org/team/office"))
        assert set(recalled(memories, "apple", where=Filter(reach=memories.reach("kitchen")))) == {"apple cooking", "apple global"}
        assert recalled(memories, "apple", where=Filter(reach=memories.reach())) == ["apple global"]
        assert len(recalled(memories, "apple", where=Filter(reach=memories.reach(everywhere=True)))) == 3
        assert recalled(memories, "apple", where=Filter(reach=memories.reach("kitchen", only_global=True))) == ["apple global"]
        assert recalled(memories, "apple", where=Filter(reach=Reach(None), tags=("food",))) == ["apple cooking"]
        assert recalled(memories, "apple", where=Filter(category="notes")) == ["apple cooking"]

    @pytest.mark.parametrize(
        "question", ["", "  ", "\x00", "\ud800", '"', "AND OR NOT", "NEAR(a, 2)", "*", "a" * 100_000, "🦄" * 5000, "\u202e"]
    )
    @pytest.mark.parametrize("mode", ["keyword", "hybrid", "semantic", "rrf"])
    def test_no_question_raises(self, semantic: Memories, question: str, mode: str) -> None:
        stored(semantic, "something is here")
        semantic.recall(Query(question, mode=mode))  # type: ignore[arg-type]  # a mode's name

    def test_nonsense_limits_and_weights_are_refused(self, memories: Memories) -> None:
        for bad in (Query("x", limit=0), Query("x", limit=-1), Query("x", keyword_weight=2.0), Query("x", semantic_weight=-0.1)):
            with pytest.raises(InvalidInput):
                memories.recall(bad)

    def test_meaning_is_searched_as_soon_as_it_is_asked(self, semantic: Memories) -> None:
        stored(semantic, "walnut table")
        hits = semantic.recall(Query("walnut table", mode="semantic")).hits
        assert [hit.memory.content for hit in hits] == ["walnut table"] and hits[0].why["semantic"] > 0.9
        assert semantic.stats()["pending_vectors"] == 0

    def test_links_are_followed_when_asked(self, memories: Memories) -> None:
        one, other = stored(memories, "walnut table"), stored(memories, "oak chair")
        memories.link(one.id, other.id, "part_of")
        assert recalled(memories, "walnut") == ["walnut table"]
        hits = memories.recall(Query("walnut", follow_links=True)).hits
        assert [hit.memory.content for hit in hits] == ["walnut table", "oak chair"]
        assert hits[1].why["via"] == {"link": "part_of", "from": one.id}

    def test_without_a_model_it_says_so(self, memories: Memories) -> None:
        stored(memories, "walnut table")
        assert memories.recall(Query("walnut")).notes == ("No embedder: keywords only.",)
        assert memories.recall(Query("walnut", mode="keyword")).notes == ()


class TestContext:
    def test_the_brief_keeps_to_its_budget(self, memories: Memories) -> None:
        words = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty")
        for word in words:
            stored(memories, f"{word} {word}s rule number {word} {'detail ' * 20}", category="decisions")
            stored(memories, f"{word} liked {word} style", category="preferences")
        stored(memories, "kitchen only", category="decisions", scope=Scope.of("example.org/kitchen"))
        brief = memories.context(budget_tokens=200)
        assert 0 < brief.tokens <= 200 and len(brief.memories) >= 3
        assert "kitchen only" not in [each.content for each in brief.memories]
        assert "kitchen only" in [each.content for each in memories.context("kitchen").memories]
        assert memories.context(budget_tokens=0).memories == ()
        assert [name for name, _ in brief.sections] == sorted((name for name, _ in brief.sections), key=["Preferences", "Decisions"].index)


def test_what_expired_is_hidden_at_once_and_swept_later(memories: Memories, clock: Clock) -> None:
    one = stored(memories, "walnut table", expires_at=NOW + timedelta(days=1))
    assert recalled(memories, "walnut")
    clock.turn(days=1)
    assert recalled(memories, "walnut") == [] and memories.count()["total"] == 0
    assert memories.sweep() == 1 and memories.get(one.id).deleted_at == clock.now and memories.sweep() == 0


def test_a_rollback_takes_a_sessions_words_back(memories: Memories) -> None:
    kept = stored(memories, "walnut table")
    bad = stored(memories, "oak desk", session="s-bad", supersedes=kept.id)
    dry = memories.rollback(session="s-bad")
    assert not dry.done and memories.get(bad.id).deleted_at is None
    done = memories.rollback(session="s-bad", do_it=True)
    assert memories.get(bad.id).deleted_at is not None and memories.get(kept.id).status == "active"
    assert memories.undo_rollback(done.batch) == 1 and memories.get(bad.id).deleted_at is None
    with pytest.raises(InvalidInput):
        memories.rollback()
    with pytest.raises(NotFound):
        memories.undo_rollback("nothing")


def test_export_is_everything_that_holds(memories: Memories) -> None:
    one = stored(memories, "walnut table")
    memories.forget(stored(memories, "oak desk").id)
    assert [each.id for each in memories.export()] == [one.id]
