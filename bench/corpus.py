"""Memories of a developer, made up: the same for the same seed, as many as wanted.

About 45 words each: a quarter about one of ten topics, nearly a third everyday words, the rest from a long tail in which the n-th word
is about 1/n as common as the first (Zipf), and one identifier that occurs nowhere else. The tail is made of words that the
embedder's tokenizer knows, every fifth of two of them, so that a word costs as many wordpieces as in real text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import accumulate

from bethink.model import Memory, Scope, new_id
from bethink.text import content_hash

TOPICS = {
    "deployment": "deploy rollout release cluster helm canary rollback pipeline image registry staging production ingress replica",
    "database": "postgres migration schema index query transaction vacuum replica backup table column constraint lock connection",
    "frontend": "react component render bundle style layout button form router hook theme accessibility browser state",
    "authentication": "token session login password oauth scope refresh cookie expiry role permission signature key identity",
    "testing": "pytest fixture coverage mock assertion flaky suite regression integration snapshot parallel retry timeout case",
    "monitoring": "alert dashboard metric trace latency percentile log sampling incident pager threshold graph exporter burn",
    "networking": "proxy timeout dns certificate gateway firewall retry socket port subnet packet balancer handshake latency",
    "search": "ranking index vector embedding query recall stemming synonym relevance facet tokenizer score corpus snippet",
    "payments": "invoice refund charge currency ledger settlement webhook card subscription tax balance payout dispute receipt",
    "tooling": "lint formatter editor shell script hook makefile dependency lockfile package compiler cache build workspace",
}
COMMON = (
    "the a we to of and in is for it that on with as this be by are was from at have not or but when use should after before "
    "because always never only new old first then now more all one can will need make set run change update add remove keep"
).split()
TAIL = 20_000
WORDS = 45
EXPANSION = 6


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, as claude-memory-mcp's users ask: a sentence, and words a model adds."""

    text: str
    expanded: str


class Corpus:
    """A source of made-up memories and questions.

    Args:
        seed: equal seeds make equal corpora.
        owner, projects: whose the memories are and over how many projects they are spread; 0 makes all of them global.
    """

    def __init__(self, seed: int = 7, *, owner: str = "local", projects: int = 0) -> None:
        self._seed = seed
        self._owner = owner
        self._projects = projects
        self._tail = tail_words(random.Random(seed))
        self._cumulated = list(accumulate(1 / (rank + 10) for rank in range(len(self._tail))))
        self._topics = [(name, words.split()) for name, words in TOPICS.items()]

    def memories(self, count: int, first: int = 0) -> Iterator[Memory]:
        """The memories `first` … `first + count - 1`; importance, category and time differ from one to the next."""
        start = datetime(2025, 1, 1, tzinfo=UTC)
        for number in range(first, first + count):
            chance = random.Random(self._seed * 1_000_003 + number)
            topic, words = self._topics[number % len(self._topics)]
            content = self._content(chance, number, topic, words)
            at = start + timedelta(seconds=30 * number)
            yield Memory(
                new_id(),
                self._owner,
                content,
                chance.choice(("facts", "decisions", "notes", "observations", "preferences")),
                tags=(topic, chance.choice(words)),
                expanded_keywords=" ".join(chance.choices(words, k=3)),
                importance=round(chance.random(), 2),
                scope=Scope.of(f"example.org/team/service-{number % self._projects}" if self._projects else None),
                created_at=at,
                updated_at=at,
                content_hash=content_hash(content),
            )

    def questions(self, count: int) -> list[Question]:
        """ "How did we configure the <topic word> <tail word> for <topic>", and six more words."""
        chance = random.Random(self._seed + 1)
        asked = []
        for _ in range(count):
            topic, words = chance.choice(self._topics)
            tail = chance.choices(self._tail, cum_weights=self._cumulated)[0]
            sentence = f"how did we configure the {chance.choice(words)} {tail} for {topic}"
            asked.append(Question(sentence, " ".join(chance.choices(words, k=EXPANSION))))
        return asked

    def _content(self, chance: random.Random, number: int, topic: str, words: list[str]) -> str:
        said = [
            *chance.choices(words, k=WORDS // 4),
            *chance.choices(COMMON, k=WORDS * 3 // 10),
            *chance.choices(self._tail, cum_weights=self._cumulated, k=WORDS - WORDS // 4 - WORDS * 3 // 10 - 2),
            topic,
            identifier(number),
        ]
        chance.shuffle(said)
        return " ".join(said).capitalize() + "."


def identifier(number: int) -> str:
    """The word that only the memory with this number holds."""
    return f"svc_{random.Random(number).getrandbits(32):08x}{number:x}"


def tail_words(chance: random.Random) -> list[str]:
    """Words the embedder's tokenizer knows, in an order that is chance's, every fifth made of two."""
    known = json.loads((files("bethink.embed") / "minilm-tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    plain = sorted(word for word in known if word.isascii() and word.isalpha() and len(word) > 3 and word not in COMMON)
    chance.shuffle(plain)
    return [word + plain[-rank] if rank % 5 == 4 else word for rank, word in enumerate(plain[:TAIL])]
