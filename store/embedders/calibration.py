"""How far apart a model keeps texts: each model uses another part of the range of cosines.

A score is to mean the same with every model, so each is asked once how close it finds texts that say the same, and how
close texts that have nothing to do with each other.
"""

import statistics
from collections.abc import Sequence

from store.models import Vector

SAYING_THE_SAME = (
    ("Anna moved from Berlin to Munich last year", "Last year Anna relocated to Munich from Berlin"),
    ("The doctor told him to eat less salt", "He was advised by his physician to cut down on salt"),
    ("Our database backups run every night at two", "Each night at 2 am the database is backed up"),
    ("She is allergic to peanuts", "Peanuts give her an allergic reaction"),
    ("The team chose Rust for the new compiler", "For the new compiler, Rust was picked by the team"),
    ("They adopted a grey cat named Milo", "A grey cat called Milo was adopted by them"),
)
"""Pairs of texts; texts of two different pairs have nothing in common."""

PROBES = tuple(text for pair in SAYING_THE_SAME for text in pair)

NARROWEST = 0.1

ANSWERS = 0.83
"""How far towards a text that says the same one that answers a question comes; with this the bundled model's range is
what was chosen for it on LoCoMo (benchmarks/retrieval.py)."""


def cosine_range(vectors: Sequence[Vector]) -> tuple[float, float]:
    """Return the cosines below which texts are unrelated and above which they say the same.

    Args:
        vectors: Those of `PROBES`, of length 1, in their order.

    Returns:
        A higher one than three of five unrelated pairs have, and one that lies `ANSWERS` of the way from there to what
        those have that say the same; at least `NARROWEST` apart.
    """
    same: list[float] = []
    unrelated: list[float] = []
    for one, first in enumerate(vectors):
        for other, second in enumerate(vectors[:one]):
            cosine = sum(a * b for a, b in zip(first, second, strict=True))
            (same if one // 2 == other // 2 else unrelated).append(cosine)
    low = sorted(unrelated)[len(unrelated) * 3 // 5]
    return low, low + max(NARROWEST, ANSWERS * (statistics.median(same) - low))
