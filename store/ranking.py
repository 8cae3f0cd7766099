"""From candidates to ranked hits: pure functions on numbers and words, no I/O.

A score is the mean of what the meaning and what the words say, each in [0, 1]. Neither depends on what else was found:
there is no normalisation by query, so that a threshold means the same for every question. The constants were chosen on
LoCoMo (benchmarks/retrieval.py), each held out one conversation at a time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.models import Memory

DEFAULT_MIN_SCORE = 0.1
"""Half of what short facts score against a question in other words (souvenir demo), and more than the best hit of most
questions about something that is not in the store at all (benchmarks/retrieval.py)."""

SIMILAR_SCORE = 0.45
"""From here on two statements are worth comparing."""

COSINE_RANGE = (0.1, 0.8)
"""Of the bundled model: below are unrelated texts, above paraphrases."""

FULL_COVERAGE = 2 / 3
"""The share of the question's words, by weight, at which the words say all they can."""

SATURATION = 1.2
LENGTH_WEIGHT = 0.3
USUAL_LENGTH = 20
"""BM25's k1 and b (Robertson and Zaragoza, 2009); the usual length in words stands in for the average of a corpus, so
that a score does not change with what else is stored."""

NEXT_SHARE, SECOND_NEXT_SHARE = 0.4, 0.3
"""What the better neighbour lends, one and two places away in a conversation: 9 points of recall@10 on LoCoMo."""

ALONE = 0.7
"""What a memory without a neighbour is lent, as a share of its own score: no conversation is no disadvantage."""


GRAIN = 0.02
"""Finer differences are noise. Of two statements that contradict each other the newer comes first half again as often,
for 0.7 points of recall@10 on LoCoMo."""


NEAREST = 100
"""How many rows are considered for their meaning alone."""

STRONG = 20
"""Whose neighbours in their conversations are considered, whatever they say themselves."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that a search found, with all that ranking needs to know of it.

    `updated_at` is in microseconds since 1970, `cosine` in [-1, 1] or None where there is no vector to compare, and
    `words` are those of the row that the question has too, each as often as it occurs; `length` counts all words.
    """

    row_id: str
    run_id: str
    updated_at: int
    cosine: float | None
    words: Mapping[str, int]
    length: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score in [0, 1]: higher is better, and it means the same for every query."""

    candidate: Candidate
    score: float
    meaning: float
    words: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that a search returns, its score in [0, 1], and what the score was made of."""

    memory: Memory
    score: float
    meaning: float = 0.0
    words: float = 0.0


def weigh(holding: Mapping[str, int], rows: int) -> dict[str, float]:
    """Return the inverse document frequency of each word of the question, as BM25 has it.

    Counted among the caller's own memories, not over the whole table: a name that is in every second memory of one
    user and in none of another's weighs little for the one.

    Args:
        holding: How many memories hold each word; at most `rows`.
        rows: How many memories the caller could see.
    """
    return {word: math.log(1 + (rows - count + 0.5) / (count + 0.5)) for word, count in holding.items()}


def coverage(candidate: Candidate, weights: Mapping[str, float]) -> float:
    """Return how much of the question's words a row has, in [0, 1]; a word that occurs nowhere counts as missing."""
    if not candidate.words:
        return 0.0
    mass = sum(weights.values())
    norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * candidate.length / USUAL_LENGTH)
    matched = sum(weights[word] * count * (1 + SATURATION) / (count + norm) for word, count in candidate.words.items())
    return min(1.0, matched / mass)


def closeness(cosine: float | None) -> float:
    """Return how close two meanings are, in [0, 1]."""
    if cosine is None:
        return 0.0
    low, high = COSINE_RANGE
    return min(1.0, max(0.0, (cosine - low) / (high - low)))


def own_score(candidate: Candidate, weights: Mapping[str, float]) -> Ranked:
    """Return a candidate with the score that it has by itself; by words alone where there is no vector."""
    words = min(1.0, coverage(candidate, weights) / FULL_COVERAGE)
    meaning = closeness(candidate.cosine)
    score = words if candidate.cosine is None else (meaning + words) / 2
    return Ranked(candidate, score, meaning, words)


def lent(own: float, next_to: float | None, second_next: float | None) -> float:
    """Return a score with the shares that neighbours in the same conversation lend.

    Args:
        own: The score of the memory itself.
        next_to: The better score of those right before and after it; None if there is none.
        second_next: The same two places away.
    """
    one = ALONE * own if next_to is None else next_to
    two = ALONE * own if second_next is None else second_next
    return (own + NEXT_SHARE * one + SECOND_NEXT_SHARE * two) / (1 + NEXT_SHARE + SECOND_NEXT_SHARE)


def around(conversation: Sequence[str], place: int, distance: int) -> list[str]:
    """Return the rows so many places before and after a place, as far as there are any."""
    return [conversation[at] for at in (place - distance, place + distance) if 0 <= at < len(conversation)]


def with_neighbours(own: Mapping[str, Ranked], places: Mapping[str, Sequence[str]]) -> list[Ranked]:
    """Return the rows with what their neighbours lend, in steps of `GRAIN`.

    Args:
        own: The rows with the scores they have by themselves, by row id. One that is not among them lends nothing.
        places: The rows of each conversation that was looked up, in order.
    """

    def share(row_ids: Sequence[str]) -> float | None:
        return max((own[row_id].score if row_id in own else 0.0 for row_id in row_ids), default=None)

    scores = {
        row_id: lent(own[row_id].score, share(around(rows, place, 1)), share(around(rows, place, 2)))
        for rows in places.values()
        for place, row_id in enumerate(rows)
        if row_id in own
    }
    return [
        Ranked(
            one.candidate,
            coarse(scores[row_id] if row_id in scores else lent(one.score, *_unknown(one))),
            one.meaning,
            one.words,
        )
        for row_id, one in own.items()
    ]


def _unknown(one: Ranked) -> tuple[float | None, float | None]:
    """Return the shares of neighbours that were not looked up: there are none, or they are weak."""
    return (0.0, 0.0) if one.candidate.run_id else (None, None)


def in_order(ranked: Iterable[Ranked]) -> list[Ranked]:
    """Return the best first; of equal scores the newer one comes first."""
    return sorted(ranked, key=lambda one: (-one.score, -one.candidate.updated_at, one.candidate.row_id))


def coarse(score: float) -> float:
    """Return a score in steps of `GRAIN`: what differs by less counts as equal, so that the newer memory wins."""
    return round(round(score / GRAIN) * GRAIN, 2)
