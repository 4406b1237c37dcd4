"""From candidates to an ordered answer: fuse, weigh, collapse, cut. Pure; standard library only.

How recall uses it::

    found = store.search(access, plan)                # candidates and what the store knows of the question's words
    late = maxsim.late_scores(question, found)        # id → late interaction; {} without token vectors
    hits = rank.order(found, query, now, late)        # list[Hit], best first, cut to limit, floor and budget

Every signal is put on an absolute scale of 0..1 before they are added, so that a score means the same for every question:

- keyword: BM25 over the sum of the inverse document frequencies of the question's words: about the share of the
  question's information that the memory holds, word for word;
- semantic: cosine of the best window;
- late: weighted MaxSim (`bethink.maxsim`).

The score orders. Whether a memory has anything to do with the question at all is judged apart, as `why["confidence"]`, since what orders
best is not what tells relevant from irrelevant best; floors apply to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bethink import text
from bethink.model import CATEGORIES, CATEGORY_ALIASES, TRUSTS, Hit, Memory, Query

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(slots=True)
class Candidate:
    """A memory that at least one signal brought."""

    memory: Memory
    #: BM25-like, higher is better, 0 when no term matched.
    keyword: float = 0.0
    #: Cosine of the best window with the question, None when the memory has no vector.
    cosine: float | None = None
    #: Token vectors of all windows, int8 (tokens, token_dims), None when not asked for or missing.
    tokens: npt.NDArray[np.int8] | None = None
    uses: int = 0
    last_used_at: datetime | None = None
    #: Its number in the order of writing (such as the row's key), None when the store does not know: who stood next to whom.
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates, unordered, and what the store knows of the question's words."""

    candidates: tuple[Candidate, ...]
    #: Word of the question (lower case) → how many memories of the store hold it (its stem).
    document_frequency: Mapping[str, int] = field(default_factory=dict)
    documents: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """The share of each signal in a score; they are divided by the sum of those that are there."""

    keyword: float
    semantic: float
    late: float


#: With late interaction, and when there are no token vectors. Chosen leaving one conversation out, see the benchmarks.
CALIBRATED = Weights(0.15, 0.25, 0.6)
WITHOUT_LATE = Weights(0.6, 0.4, 0.0)
#: The part of a semantic signal that is late interaction, where both are there.
_LATE_SHARE = 0.75
#: Confidence below which a hit has nothing to do with the question and is not returned, whatever was asked.
LEAST = 0.28
#: The floor for what is put before a model unasked: there silence on unrelated prompts comes first.
INJECT_FLOOR = 0.5
#: What stands for a confidence of a half: the mean of cosine and late interaction, cosine with a little of the keywords, keywords alone.
_HALF_LATE = 0.44
_HALF_COSINE = 0.44
_HALF_KEYWORD = 0.55
#: The most that all priors together may change a score, as a share of it: they settle near-ties and nothing else.
MOST_PRIOR = 0.06
#: Days after which a memory's recency counts half; None never fades.
HALF_LIFE_DAYS: Mapping[str, float | None] = {
    "preferences": None,
    "decisions": None,
    "people": None,
    "entities": None,
    "relations": None,
    "facts": 365,
    "projects": 90,
    "observations": 60,
    "patterns": 180,
    "behaviors": 180,
    "summaries": 60,
    "notes": 90,
}
#: What a turn of a conversation gets of the token matches of the turn before it and of the one before that: "Did you buy one?" "Yes, red."
CONTEXT = (0.9, 0.8)
#: Weight of the mean of the three best other turns of the same conversation beside a turn's own relevance.
_COMPANY = 0.3
#: Turns without a session id belong together when no more than this lies between them.
_SAME_OCCASION = timedelta(hours=1)
#: Rank constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009).
_RRF_K = 60
#: The verbatim archive stands a little below memories that somebody chose to keep.
_ARCHIVE = -0.06
_IDENTIFIER = re.compile(r"\w+(?:[_./:\\@#+~-]+\w+)+|\b\w*[a-z][A-Z]\w*")
_NEGATIONS = frozenset(("no", "not", "nor", "never", "cannot", "without"))
#: One to three words and a colon: who says it.
_SPEAKER = re.compile(r"\s*([^\W\d_][\w.'’-]{0,24}(?: [\w.'’-]{1,24}){0,2}): ")
_LABELS = frozenset((*CATEGORIES, *CATEGORY_ALIASES, "bug", "fix", "how", "important", "rule", "tip", "todo", "warning", "why")) - {"user"}
#: Characters of a content that are compared with others.
_COMPARED = 4000


def order(found: Found, query: Query, now: datetime, late: Mapping[str, float] | None = None) -> list[Hit]:
    """The hits for a question, best first: relevant ones, each once, within the query's floor, limit and token budget.

    `late` maps ids to late-interaction scores; candidates it does not name are ranked by the other signals. `query.floor` is compared
    with a hit's confidence (0..1, see `_confidence`), not with its score.
    """
    late = late or {}
    shares = keyword_shares(found, query.text or query.expanded)
    scored = [_Scored(candidate, share, late.get(candidate.memory.id)) for candidate, share in zip(found.candidates, shares, strict=True)]
    if query.mode == "rrf" and query.keyword_weight is None and query.semantic_weight is None:
        _score_by_rank(scored)
    else:
        _score(scored, query)
        _add_company(scored)
    asked = _Asked.of(query)
    for one in scored:
        one.confidence = _confidence(one, asked)
        one.score *= 1 + _prior(one.candidate, query, now)
    relevant = [one for one in scored if one.score > 0 and _passes(one, query)]
    # Ids grow with time: of equals the newer comes first.
    relevant.sort(key=lambda one: one.candidate.memory.id, reverse=True)
    relevant.sort(key=lambda one: (-one.score, -one.share))
    # Made one by one: most candidates are never shown.
    hits = (Hit(one.candidate.memory, round(min(one.score, 1.0), 4), one.why(query, now)) for one in _sorted_by(relevant, query))
    return within(hits, query)


def _passes(one: _Scored, query: Query) -> bool:
    """Whether a candidate is worth returning: what shares hardly a word nor a meaning with the question is not."""
    if query.floor:
        return one.confidence >= query.floor
    return one.confidence >= LEAST or (one.share > 0 if query.mode == "keyword" else one.share >= LEAST)


@dataclass(slots=True)
class _Scored:
    """A candidate on its way to becoming a hit."""

    candidate: Candidate
    share: float
    late: float | None
    score: float = 0.0
    company: float | None = None
    confidence: float = 0.0
    ranks: dict[str, int] = field(default_factory=dict)

    def why(self, query: Query, now: datetime) -> dict[str, Any]:
        """The part each signal gave, for people and for tests."""
        answer: dict[str, Any] = {"confidence": round(self.confidence, 3)}
        if self.share > 0 and query.mode != "semantic":
            answer["keyword"] = round(self.share, 4)
        if self.candidate.cosine is not None and query.mode != "keyword":
            answer["semantic"] = round(self.candidate.cosine, 4)
        if self.late is not None and query.mode != "keyword":
            answer["late"] = round(self.late, 4)
        if self.company is not None:
            answer["company"] = round(self.company, 4)
        priors = {name: round(value, 4) for name, value in _priors(self.candidate, query, now).items() if abs(value) >= 0.0005}
        return {**answer, **self.ranks, **({"priors": priors} if priors else {})}


def within(hits: Iterable[Hit], query: Query) -> list[Hit]:
    """The first hits that fit the query's limit and token budget, whole, near-duplicates collapsed into the best of them."""
    kept: list[Hit] = []
    seen: list[_Gist] = []
    collapsed: dict[int, list[str]] = {}
    left = query.budget_tokens
    for hit in hits:
        gist = _Gist.of(hit.memory.content)
        twin = next((place for place, other in enumerate(seen) if gist.repeats(other)), None)
        if twin is not None:
            collapsed.setdefault(twin, []).append(hit.memory.id)
            continue
        if len(kept) >= query.limit:
            break
        if left is not None:
            size = text.tokens(hit.memory.content)
            if size > left:
                continue
            left -= size
        kept.append(hit)
        seen.append(gist)
    for place, ids in collapsed.items():
        hit = kept[place]
        kept[place] = Hit(hit.memory, hit.score, {**hit.why, "collapsed": ids})
    return kept


def word_weight(word: str, found: Found) -> float:
    """How much a word of a question says: its inverse document frequency, the highest when the store does not know it, 0 for stop words."""
    if not word or word in text.STOP_WORDS:
        return 0.0
    holding = min(found.document_frequency.get(word, 0), found.documents)
    return math.log(1 + (found.documents - holding + 0.5) / (holding + 0.5))


def keyword_shares(found: Found, question: str) -> list[float]:
    """Each candidate's keyword score on the absolute scale: about the share of the question's information it holds."""
    words = text.informative(question)
    mass = sum(word_weight(word, found) for word in words)
    best = max((candidate.keyword for candidate in found.candidates), default=0.0)
    if not found.documents or mass <= 0:
        return [math.tanh(candidate.keyword / best) if best > 0 else 0.0 for candidate in found.candidates]
    if _bm25_mass(words, found) < 0.5 * mass:
        # FTS5 gives words of more than half of the memories no weight at all: small stores need their own count.
        return [_held(candidate.memory, words, found, mass) if candidate.keyword > 0 else 0.0 for candidate in found.candidates]
    return [math.tanh(candidate.keyword / mass) for candidate in found.candidates]


def _bm25_mass(words: Sequence[str], found: Found) -> float:
    """The sum of the inverse document frequencies as SQLite's bm25() reckons them."""
    total = 0.0
    for word in words:
        holding = min(found.document_frequency.get(word, 0), found.documents)
        total += max(math.log((found.documents - holding + 0.5) / (holding + 0.5)), 0.0)
    return total


def _held(memory: Memory, words: Sequence[str], found: Found, mass: float) -> float:
    """The share of the question's information whose words the memory holds, by their beginnings."""
    there = _stems(memory)
    held = sum(word_weight(word, found) for word in words if _stem(word) in there)
    # A match that only the store's stemmer sees still counts as one.
    return math.tanh(max(held, 0.25 * mass) / mass)


def _stems(memory: Memory) -> set[str]:
    everything = " ".join((memory.content[:_COMPARED], memory.expanded_keywords, *memory.tags, memory.category))
    return {_stem(word) for word in text.words(everything)}


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    """Good enough to compare two words by: without the commonest English endings."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _score(scored: list[_Scored], query: Query) -> None:
    """The weighted sum of the signals."""
    have_vectors = any(one.candidate.cosine is not None for one in scored)
    weights = _weights(query, have_vectors, any(one.late is not None for one in scored))
    for one in scored:
        one.score = weights.keyword * one.share
        if weights.semantic + weights.late > 0:
            cosine = one.candidate.cosine if one.candidate.cosine is not None else _guess(one.share)
            late = one.late if one.late is not None else cosine
            one.score += weights.semantic * max(cosine, 0.0) + weights.late * max(late, 0.0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The words of a question by which a keyword match is trusted."""

    stems: Mapping[str, int]

    @classmethod
    def of(cls, query: Query) -> _Asked:
        # A word with a digit or a part of an identifier is rarely there by chance: it counts twice.
        parts = {word for run in _IDENTIFIER.findall(query.text) for word in text.words(run)}
        return cls({_stem(w): 2 if w in parts or any(c.isdigit() for c in w) else 1 for w in text.informative(query.text)})

    def held(self, memory: Memory) -> int:
        """How many of them a memory holds."""
        return sum(self.stems[stem] for stem in self.stems.keys() & _stems(memory))


def _confidence(one: _Scored, asked: _Asked) -> float:
    """How sure it is, 0..1, that a memory has to do with the question at all; a half is `INJECT_FLOOR`'s "rather yes".

    Cosine and late interaction tell that best, in equal parts; without them the share of the question's information that is held, and
    by how many of its words: one ordinary word in common says little.
    """
    cosine = one.candidate.cosine
    if cosine is not None and one.late is not None:
        signal = (cosine + one.late) / 2 / _HALF_LATE
    else:
        held = asked.held(one.candidate.memory) if one.share > 0 else 0
        words = one.share * math.sqrt(max(held, 1)) if one.share > 0 else 0.0
        if cosine is not None:
            signal = (cosine + 0.1 * words) / _HALF_COSINE
        else:
            signal = words / _HALF_KEYWORD if held != 1 else min(words / _HALF_KEYWORD, 0.98)
    return max(0.0, min(1.0, signal / 2))


def _score_by_rank(scored: list[_Scored]) -> None:
    """Reciprocal rank fusion of keywords and meaning with equal weights, 1 for the first in both."""
    meaning = [max(one.late if one.late is not None else one.candidate.cosine or 0.0, 0.0) for one in scored]
    signals = [(name, values) for name, values in (("keyword", [one.share for one in scored]), ("semantic", meaning)) if any(values)]
    for name, values in signals:
        for rank, place in enumerate(sorted((p for p in range(len(scored)) if values[p] > 0), key=lambda p: -values[p])):
            scored[place].ranks[f"{name}_rank"] = rank + 1
            scored[place].score += (_RRF_K + 1) / (_RRF_K + 1 + rank) / len(signals)


def is_turn(memory: Memory) -> bool:
    """Whether a memory is a turn of a conversation, which is understood from what was said before, and not a note that stands alone."""
    if memory.source == "transcript":
        return True
    speaker = _SPEAKER.match(memory.content)
    if speaker is None or speaker[1].lower() in _LABELS:
        return False
    words = text.words(speaker[1])
    return len(words) == 1 or text.STOP_WORDS.isdisjoint(words)


def before_it(candidates: Sequence[Candidate]) -> list[list[tuple[int, float]]]:
    """For each candidate the (index, discount) of those among the candidates that were said just before it in the same conversation."""
    turns = {c.position: index for index, c in enumerate(candidates) if c.position is not None and is_turn(c.memory)}
    answer: list[list[tuple[int, float]]] = [[] for _ in candidates]
    for position, index in turns.items():
        for distance, discount in enumerate(CONTEXT, 1):
            earlier = turns.get(position - distance)
            if earlier is not None and _together(candidates[earlier].memory, candidates[index].memory):
                answer[index].append((earlier, discount))
    return answer


def _together(one: Memory, other: Memory) -> bool:
    if (one.owner, one.scope, one.session) != (other.owner, other.scope, other.session):
        return False
    return one.session is not None or abs(one.created_at - other.created_at) <= _SAME_OCCASION


def _add_company(scored: list[_Scored]) -> None:
    """Puts turns of a conversation that answers the question elsewhere too before turns that stand alone; notes stay as they are."""
    for group in _conversations([(place, one.candidate.memory) for place, one in enumerate(scored) if is_turn(one.candidate.memory)]):
        own = [scored[place].score for place in group]
        best = sorted(own, reverse=True)[:4]
        for place, score in zip(group, own, strict=True):
            # The three best others.
            company = (sum(best) - score if score >= best[-1] else sum(best[:3])) / 3
            scored[place].company = company
            scored[place].score = (score + _COMPANY * company) / (1 + _COMPANY)


def _conversations(turns: list[tuple[int, Memory]]) -> list[list[int]]:
    """Places of turns grouped by session or, without one, by times that follow closely on one another."""
    groups: dict[Any, list[int]] = {}
    loose: dict[Any, list[tuple[datetime, int]]] = {}
    for place, memory in turns:
        if memory.session is not None:
            groups.setdefault((memory.owner, memory.scope, memory.session), []).append(place)
        else:
            loose.setdefault((memory.owner, memory.scope), []).append((memory.created_at, place))
    for key, timed in loose.items():
        timed.sort()
        number, last = 0, timed[0][0]
        for at, place in timed:
            number += at - last > _SAME_OCCASION
            last = at
            groups.setdefault((*key, number), []).append(place)
    return list(groups.values())


def _weights(query: Query, have_vectors: bool, have_late: bool) -> Weights:
    """Weights that sum to 1, of the signals that are there."""
    share = _LATE_SHARE if have_late else 0.0
    if query.mode == "keyword" or not have_vectors:
        return Weights(1.0, 0.0, 0.0)
    if query.keyword_weight is not None or query.semantic_weight is not None:
        keyword = max(query.keyword_weight if query.keyword_weight is not None else 1 - (query.semantic_weight or 0), 0.0)
        semantic = max(query.semantic_weight if query.semantic_weight is not None else 1 - keyword, 0.0)
        # Two zeros weigh nothing against each other: as if none had been given.
        if total := keyword + semantic:
            return Weights(keyword / total, semantic / total * (1 - share), semantic / total * share)
    if query.mode == "semantic":
        return Weights(0.0, 1 - share, share)
    return CALIBRATED if have_late else WITHOUT_LATE


def _guess(share: float) -> float:
    """The cosine that a memory with this keyword share usually has, for memories that wait for their vector."""
    return 0.15 + 0.45 * share


def _prior(candidate: Candidate, query: Query, now: datetime) -> float:
    """By what share of itself a score is changed by what is known of the memory apart from the question."""
    parts = _priors(candidate, query, now)
    archive = parts.pop("archive", 0.0)
    return max(-MOST_PRIOR, min(MOST_PRIOR, sum(parts.values()))) + archive


def _priors(candidate: Candidate, query: Query, now: datetime) -> dict[str, float]:
    memory = candidate.memory
    parts = {
        "importance": 0.02 * (2 * memory.importance - 1),
        "recency": 0.015 * recency(memory, now),
        "uses": 0.001 * min(max(candidate.uses, 0), 5),
        "scope": 0.015 * _nearness(memory, query),
        "trust": -0.005 * (TRUSTS.index(memory.trust) if memory.trust in TRUSTS else len(TRUSTS)),
    }
    if memory.source == "transcript":
        parts["archive"] = _ARCHIVE
    return parts


def recency(memory: Memory, now: datetime) -> float:
    """1 for a memory of now, halved with each half-life of its category; 1 always where nothing fades."""
    half_life = HALF_LIFE_DAYS.get(memory.category, 90)
    if half_life is None:
        return 1.0
    days = max((now - memory.updated_at).total_seconds(), 0.0) / 86400
    return float(2.0 ** (-days / half_life))


def _nearness(memory: Memory, query: Query) -> float:
    """1 in the asker's task, 0.6 in the asker's project, 0 everywhere else."""
    here = query.here
    if here is None or memory.scope.kind == "global":
        return 0.0
    same_project = memory.scope.project == here.project
    if memory.scope.kind == "task":
        return 1.0 if same_project and here.task is not None and memory.scope.task == here.task else 0.0
    return 0.6 if same_project else 0.0


def _sorted_by(relevant: list[_Scored], query: Query) -> list[_Scored]:
    """The best first, or in the order asked for; orders other than relevance take only those at least half as relevant as the best."""
    if query.sort_by == "relevance" or not relevant:
        return relevant
    good = [one for one in relevant if one.score >= relevant[0].score / 2]
    if query.sort_by == "importance":
        return sorted(good, key=lambda one: (-one.candidate.memory.importance, -one.score))
    return sorted(good, key=lambda one: one.candidate.memory.created_at, reverse=True)


@dataclass(frozen=True, slots=True)
class _Gist:
    """What a content says, for telling whether two say the same."""

    words: tuple[str, ...]
    kinds: frozenset[str]
    #: Words that change the meaning on their own: numbers, identifiers with digits, negations.
    exact: frozenset[str]

    @classmethod
    def of(cls, content: str) -> _Gist:
        every = text.words(content[:_COMPARED])
        telling = tuple(word for word in every if word not in text.STOP_WORDS)
        exact = frozenset(word for word in every if word in _NEGATIONS or not word.isalpha())
        return cls(telling, frozenset(telling), exact)

    def repeats(self, other: _Gist) -> bool:
        """Whether the informative words are the same in the same order; of longer texts nine tenths of them are enough."""
        if not self.words or self.exact != other.exact:
            return False
        if self.words == other.words:
            return True
        sizes = sorted((len(self.kinds), len(other.kinds)))
        return sizes[0] > 10 and sizes[0] >= 0.9 * sizes[1] and len(self.kinds & other.kinds) >= 0.9 * len(self.kinds | other.kinds)
