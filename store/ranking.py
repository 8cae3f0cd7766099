"""From candidates to hits: pure functions on numbers, no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

from store.models import Memory
from store.words import content_words

DEFAULT_MIN_SCORE = 0.1
SIMILAR_SCORE = 0.45
"""From here on two statements are worth comparing: "lives in Berlin" and "moved to Munich" are, by cosine .65."""

COSINE_RANGE = (0.1, 0.8)
"""Cosines of the bundled model: below are unrelated texts, above paraphrases."""

BM25_HALF = 2.0
"""BM25 for each content word of the question at which the words count half."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that a search found, with the signals that found it: all that ranking needs to know of it.

    `updated_at` is in microseconds since 1970, `cosine` in [-1, 1] or None where there is no vector to compare,
    `bm25` 0 or more.
    """

    row_id: str
    updated_at: int
    cosine: float | None
    bm25: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score in [0, 1]: higher is better, and it means the same for every query."""

    candidate: Candidate
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that a search returns, its score in [0, 1], and what the score was made of."""

    memory: Memory
    score: float
    cosine: float | None = None
    bm25: float = 0.0


def rank(candidates: Iterable[Candidate], query: str) -> list[Ranked]:
    """Return the candidates with their scores, best first; of equal scores the newer one comes first."""
    words = max(1, len(content_words(query)))
    ranked = [Ranked(one, score(one.cosine, one.bm25, words)) for one in candidates]
    return sorted(ranked, key=lambda one: (-one.score, -one.candidate.updated_at, one.candidate.row_id))


def score(cosine: float | None, bm25: float, words: int) -> float:
    """Return the mean of what the meaning and what the words say, each in [0, 1]; the words alone without a cosine.

    Args:
        cosine: In [-1, 1], None where there is no vector to compare.
        bm25: 0 or more.
        words: Content words of the question, at least 1: BM25 is a sum over them.
    """
    by_words = bm25 / (bm25 + BM25_HALF * words)
    if cosine is None:
        return by_words
    low, high = COSINE_RANGE
    by_meaning = min(1.0, max(0.0, (cosine - low) / (high - low)))
    return (by_meaning + by_words) / 2
