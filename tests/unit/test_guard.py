"""The write guard: what differs decides, not how near two texts are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bethink import text
from bethink.guard import Neighbour, judge
from bethink.model import Memory

WRITING = st.text(max_size=200).map(text.mended)
SENTENCES = st.sampled_from(
    [
        "The API listens on port 8000.",
        "Never deploy on Fridays.",
        "We switched from npm to pnpm.",
        "Actually, we use spaces, not tabs.",
        "Alice leads the platform team.",
        "数据库端口是5433。",
        "We no longer use Redis for caching!",
    ]
)


def old(content: str, similarity: float | None = None, **fields: object) -> Neighbour:
    return Neighbour(Memory("old", "local", content, **fields), similarity)  # type: ignore[arg-type]  # fields come by name


def action(new: str, known: str, similarity: float | None = None) -> str:
    return judge(new, [old(known, similarity)]).action


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("The database port is 5432.", "The database port is 5433."),
        ("We use tabs.", "We do not use tabs."),
        ("Deploy on Fridays.", "Never deploy on Fridays."),
        ("The project uses PostgreSQL.", "The project uses MySQL."),
        ("The config is in /etc/shop.toml.", "The config is in /etc/shop/main.toml."),
        ("CI runs on Jenkins.", "We moved CI from Jenkins to GitHub Actions."),
        ("Der Port ist 5432.", "Der Port ist 5433."),
        ("Wir deployen freitags.", "Wir deployen freitags nie."),
        ("El puerto es 5432.", "El puerto es 5433."),
        ("On utilise Redis.", "On n'utilise pas Redis."),
        ("我们使用Redis", "我们不使用Redis"),
    ],
)
@pytest.mark.parametrize("similarity", [None, 0.9])
def test_another_value_or_sign_is_a_correction(known: str, new: str, similarity: float | None) -> None:
    verdict = judge(new, [old("Lunch is at noon.", 0.1), old(known, similarity)])
    assert verdict.action == "UPDATE", verdict
    assert verdict.target is not None
    assert verdict.target.content == known
    assert verdict.reason


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("The staging port is 5432.", "The production port is 5433."),
        ("Alice likes tea.", "Bob likes tea."),
        ("Service A has a timeout of 30s.", "Service B has a timeout of 60s."),
        ("On 3 May we met the vendor.", "On 7 June we met the vendor."),
        ("We use Redis.", "We also use Memcached."),
        ("We use PostgreSQL.", "Should we use MySQL?"),
        ("Alice manages Bob.", "Bob manages Alice."),
        ("We use Redis.", "We do not use Redis in the tests."),
    ],
)
@pytest.mark.parametrize("similarity", [None, 0.97])
def test_another_subject_or_a_detail_is_new(known: str, new: str, similarity: float | None) -> None:
    assert action(new, known, similarity) == "ADD"


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("The user prefers tabs.", "I prefer tabs."),
        ("The timeout is 60 seconds.", "Timeout: 1 min"),
        ("Don't deploy on Fridays.", "Please do not deploy on Fridays!"),
        ("We use k8s.", "We use Kubernetes."),
    ],
)
@pytest.mark.parametrize("similarity", [None, 0.8])
def test_other_words_for_the_same_are_a_restatement(known: str, new: str, similarity: float | None) -> None:
    assert action(new, known, similarity) == "NOOP"


def test_thresholds_above_one_switch_it_off() -> None:
    assert judge("The port is 2.", [old("The port is 1.", 0.99)], update=1.1).action == "ADD"
    assert judge("I prefer tabs.", [old("The user prefers tabs.", 0.99)], noop=1.1).action == "ADD"


def test_what_happened_is_never_corrected_by_itself() -> None:
    assert judge("The port is 2.", [old("The port is 1.", 0.99, category="summaries")]).action == "ADD"


def test_a_small_part_of_a_long_memory_is_pointed_at_only() -> None:
    known = "The API listens on port 8000. It is written in Go by the core team. Logs go to Loki. Deploys happen with Helm from main."
    verdict = judge("The API listens on port 9000.", [old(known)])
    assert verdict.action == "ADD"
    assert verdict.target is not None
    assert "9000" in verdict.reason


def test_a_new_edition_of_a_text_replaces_it() -> None:
    known = "The API listens on port 8000. It is written in Go. Logs go to Loki."
    assert action(known.replace("8000", "9000"), known) == "UPDATE"


@given(WRITING | SENTENCES, st.lists(WRITING | SENTENCES, max_size=4), st.none() | st.floats(-1, 1))
@settings(max_examples=300, deadline=None)
def test_never_raises_and_is_deterministic(new: str, known: list[str], similarity: float | None) -> None:
    neighbours = [old(each, similarity) for each in known]
    assert judge(new, neighbours) == judge(new, neighbours)


@given(WRITING | SENTENCES)
def test_itself_is_no_news(content: str) -> None:
    assert judge(content, [old(content)]).action == "NOOP"


@pytest.mark.parametrize(
    "unit",
    [
        "word ",
        "a",
        "不",
        "😀",
        "port 5432 ",
        "a.b",
        "from x to y ",
        "no longer ",
        "not , but ",
        "set to ",
        "1,",
        "`",
        "moved ",
        "- x\n",
        "not only ",
    ],
)
def test_huge_contents_are_judged(unit: str) -> None:
    huge = (unit * (64_000 // len(unit)))[:64_000]
    assert judge(huge, [old("The port is 1.")]).action == "ADD"
    assert judge(huge, [old(huge)]).action == "NOOP"
    assert judge(huge + "\nThe end is near.", [old(huge + "\nThe end is far.")]).action != "NOOP"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("memory number 2", "memory number 3"),
        ("Process 1 memory 41", "Process 1 memory 42"),
        ("item 5 from worker 1", "item 5 from worker 2"),
        ("document 2 says that the limit is 7838", "document 3 says that the limit is 6757"),
        ("stress p1 n2", "stress p1 n3"),
        ("User 2 prefers tabs", "User 3 prefers tabs"),
        ("entry 1/2", "entry 1/3"),
        ("Ticket ABC-11 is about the login", "Ticket ABC-12 is about the login"),
        ("id=2 text=hello", "id=3 text=hello"),
        ("record 2: alpha beta gamma", "record 3: alpha beta gamma"),
    ],
)
def test_entries_of_a_list_are_no_corrections(one: str, other: str) -> None:
    assert action(other, one) == "ADD"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("port 5432", "port 5433"),
        ("We use PostgreSQL 15", "We use PostgreSQL 16"),
        ("Retry failed jobs 3 times", "Retry failed jobs 5 times"),
        ("The free plan includes 3 projects", "The free plan includes 5 projects"),
        ("We are on sprint 12", "We are on sprint 13"),
        ("Invoices are due within 14 days", "Invoices are due within 30 days"),
    ],
)
def test_a_number_that_says_something_is_corrected(one: str, other: str) -> None:
    assert action(other, one) == "UPDATE"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("Ines: Hey Bo! How was the trip?", "Ines: Hey Bob! I joined a choir last week. It meets on Tuesdays."),
        ("Thanks, Bo! That means a lot.", "Thanks, Bob! I painted it for my sister. Painting calms me."),
        ("It was wonderful, Ines. Everybody came.", "It was terrible, Ines. Nobody came to the second one, and it rained."),
        ("You're welcome! I'm glad you liked it.", "You're welcome! I'm happy to help. Never give up!"),
        ("Sounds great, Bo! Friday works.", "It was great! Thanks for having me."),
    ],
)
def test_small_talk_corrects_nothing(known: str, said: str) -> None:
    found = judge(said, [old(known)])
    assert (found.action, found.target) == ("ADD", None)


def test_one_statement_among_many_is_still_corrected() -> None:
    known = "Alembic writes the migrations. They run at start."
    assert judge("We switched to Atlas for migrations; Alembic is gone.", [old(known)]).target is not None
