"""From what a search found to ranked hits: pure functions on arrays with one entry for each row, no I/O.

A score is the mean of what the meaning and what the words say, each in [0, 1]. Neither depends on what else was found:
there is no normalisation by query, so that a threshold means the same for every question. The constants were chosen on
LoCoMo (benchmarks/retrieval.py), each held out one conversation at a time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

Postings = Mapping[str, tuple[Integers, Integers]]
"""For each word of a question the rows that hold it, each once, and how often each of them does."""

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

IMPORTANCE_NUDGE, PINNED_NUDGE = 0.02, 0.02
"""How far `importance` 0 or 1 instead of 0.5 moves a score, and being pinned: one step of `GRAIN` each, so that what is
better by more than three steps stays in front whatever is said of its importance."""

OLD_LOSES = 0.3
"""The share of its score that a memory can lose with age, if a half-life is set: age decides between near equals."""

NEAREST = 100
"""How many rows are considered for their meaning alone."""

STRONG = 20
"""Whose neighbours in their conversations are considered, whatever they say themselves."""

NOBODY, SILENT = -1, -2
"""In `around`: there is no such neighbour; there is one, and it was not considered."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What ranking knows of some rows: arrays of one length.

    Attributes:
        row_ids: Their names, the last word where everything else is equal.
        updated_at: In microseconds since 1970; of equal scores the newer one comes first.
        dated_at: When the event was, else `updated_at`: what a half-life counts from. In microseconds since 1970.
        importance: In [0, 1].
        pinned: Exempt from ageing.
        in_conversation: Which rows have a `run_id`.
        around: Shape (4, rows): the places of the neighbours in the same conversation, one before, one after, two
            before, two after; `NOBODY` or `SILENT` where that is no place.
    """

    row_ids: Sequence[str]
    updated_at: Integers
    dated_at: Integers
    importance: Floats
    pinned: Flags
    in_conversation: Flags
    around: Integers

    def followed_by(self, others: "Rows") -> "Rows":
        """Return these rows and then the others."""
        return Rows(
            [*self.row_ids, *others.row_ids],
            np.append(self.updated_at, others.updated_at),
            np.append(self.dated_at, others.dated_at),
            np.append(self.importance, others.importance),
            np.append(self.pinned, others.pinned),
            np.append(self.in_conversation, others.in_conversation),
            np.append(self.around, others.around, axis=1),
        )


@dataclass(frozen=True, slots=True)
class OwnScores:
    """What each row says by itself: its score, and what its meaning and its words say; all in [0, 1]."""

    score: Floats
    meaning: Floats
    words: Floats


@dataclass(frozen=True, slots=True)
class Ageing:
    """How old rows are judged: `now` and the half-life are in microseconds (since 1970)."""

    now: int
    half_life: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row with its score in [0, 1], which means the same for every query, and what it was made of."""

    row_id: str
    score: float
    meaning: float
    words: float
    lent: float = 0.0
    """What its neighbours in the conversation made of the score, in [-1, 1]."""
    nudge: float = 0.0
    """What importance, pinning and age made of it."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best rows, best first, and how many others were considered and left out for their score."""

    best: tuple[Ranked, ...]
    omitted: int = 0


def weigh(holding: Mapping[str, int], rows: int) -> dict[str, float]:
    """Return the inverse document frequency of each word of the question, as BM25 has it.

    Counted among the caller's own memories, not over the whole table: a name that is in every second memory of one
    user and in none of another's weighs little for the one.

    Args:
        holding: How many memories hold each word; at most `rows`.
        rows: How many memories the caller could see.
    """
    return {word: math.log(1 + (rows - count + 0.5) / (count + 0.5)) for word, count in holding.items()}


def postings_of(words: Sequence[Sequence[str]], question: Iterable[str]) -> Postings:
    """Return where the words of a question are among rows with these words."""
    postings: dict[str, tuple[Integers, Integers]] = {}
    for word in question:
        times = np.array([its_words.count(word) for its_words in words], np.int64)
        rows = np.flatnonzero(times)
        postings[word] = rows, times[rows]
    return postings


def coverage(postings: Postings, lengths: Integers, weights: Mapping[str, float]) -> Floats:
    """Return how much of the question's words each row has, in [0, 1]; a word that occurs nowhere counts as missing.

    Args:
        postings: Where the question's words are.
        lengths: How many words each row has.
        weights: What each word of the question weighs, see `weigh`.
    """
    matched = np.zeros(len(lengths))
    for word, (rows, times) in postings.items():
        norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * lengths[rows] / USUAL_LENGTH)
        matched[rows] += weights[word] * times * (1 + SATURATION) / (times + norm)
    mass = math.fsum(weights[word] for word in sorted(weights))  # in one order: scores are told to be equal
    return np.minimum(1.0, matched / mass) if mass else matched


def closeness(cosines: Floats, cosine_range: tuple[float, float]) -> Floats:
    """Return how close meanings are, in [0, 1]; 0 where there is no cosine (nan).

    Args:
        cosines: In [-1, 1].
        cosine_range: Of the model that made the vectors: below are unrelated texts, above paraphrases.
    """
    low, high = cosine_range
    return np.nan_to_num(np.clip((cosines - low) / (high - low), 0.0, 1.0), nan=0.0)


def own_scores(cosines: Floats, covered: Floats, cosine_range: tuple[float, float]) -> OwnScores:
    """Return the scores that rows have by themselves; by words alone where there is no vector to compare (nan)."""
    words = np.minimum(1.0, covered / FULL_COVERAGE)
    meaning = closeness(cosines, cosine_range)
    return OwnScores(np.where(np.isnan(cosines), words, (meaning + words) / 2), meaning, words)


def neighbours_of(conversations: Iterable[Sequence[int]], in_conversation: Flags) -> Integers:
    """Return the array `around` of `Rows`.

    Args:
        conversations: The places of each conversation's rows, in order; `SILENT` for one that is not considered.
        in_conversation: Which rows belong to any; one whose conversation was not looked up has silent neighbours.
    """
    around = np.tile(np.where(in_conversation, SILENT, NOBODY).astype(np.int64), (4, 1))
    for conversation in conversations:
        set_neighbours(around, conversation)
    return around


def set_neighbours(around: Integers, conversation: Sequence[int]) -> None:
    """Write the neighbours of one conversation's rows into `around`."""
    ends = (NOBODY, NOBODY)
    padded = np.array((*ends, *conversation, *ends), dtype=np.int64)
    one_before, one_after, two_before, two_after = padded[1:-3], padded[3:-1], padded[:-4], padded[4:]
    places = padded[2:-2]
    known = places >= 0
    around[:, places[known]] = np.stack([one_before, one_after, two_before, two_after])[:, known]


def lent(own: Floats, next_to: Floats, second_next: Floats) -> Floats:
    """Return scores with the shares that neighbours in the same conversation lend.

    Args:
        own: The scores of the rows themselves.
        next_to: The better score of those right before and after each; nan if there is none.
        second_next: The same two places away.
    """
    one = np.where(np.isnan(next_to), ALONE * own, next_to)
    two = np.where(np.isnan(second_next), ALONE * own, second_next)
    return (own + NEXT_SHARE * one + SECOND_NEXT_SHARE * two) / (1 + NEXT_SHARE + SECOND_NEXT_SHARE)


def with_neighbours(own: Floats, around: Integers, places: Integers) -> Floats:
    """Return the scores of the rows at these places with what neighbours lend."""
    # NOBODY and SILENT are the last two places of this.
    lending = np.append(own, [0.0, np.nan])
    one_before, one_after, two_before, two_after = lending[around[:, places]]
    return lent(own[places], np.fmax(one_before, one_after), np.fmax(two_before, two_after))


def nudged(scores: Floats, rows: Rows, places: Integers, ageing: Ageing | None) -> Floats:
    """Return the scores of the rows at these places with what importance, pinning and, if wanted, age make of them."""
    pinned = rows.pinned[places]
    if ageing:
        age = np.maximum(0, ageing.now - rows.dated_at[places])
        lost = OLD_LOSES * (1 - 0.5 ** (age / ageing.half_life))
        scores = scores * np.where(pinned, 1.0, 1 - lost)
    nudge = IMPORTANCE_NUDGE * (2 * rows.importance[places] - 1) + PINNED_NUDGE * pinned
    return np.where(scores > 0, np.clip(scores + nudge, 0.0, 1.0), 0.0)


def coarse(scores: Floats) -> Floats:
    """Return scores in steps of `GRAIN`: what differs by less counts as equal, so that the newer memory wins."""
    return np.round(np.round(scores / GRAIN) * GRAIN, 2)


def strongest(scores: Floats, rows: Rows, places: Integers, count: int) -> list[int]:
    """Return which `count` of these rows are the best, best first; of equal scores the newer one comes first.

    Args:
        scores: Those of the rows at these places.
        rows: The rows.
        places: Which of them.
        count: How many at most.

    Returns:
        Positions in `places`.
    """
    among = np.arange(len(places))
    if len(places) > count > 0:
        among = np.flatnonzero(scores >= np.partition(scores, -count)[-count])

    def order(position: int) -> tuple[float, int, str]:
        place = int(places[position])
        return -scores[position], -rows.updated_at[place], rows.row_ids[place]

    return sorted(among.tolist(), key=order)[:count]


def strongest_in_conversations(own: Floats, rows: Rows, considered: Flags) -> list[int]:
    """Return the places of the `STRONG` rows whose neighbours are worth a look, of those considered."""
    places = np.flatnonzero(considered & rows.in_conversation)
    return places[strongest(own[places], rows, places, STRONG)].tolist()


def neighbours_wanted(own: Floats, rows: Rows, considered: Flags) -> Flags:
    """Return which rows stand next to strong ones in their conversations: they are considered too."""
    wanted = np.zeros(len(own), dtype=np.bool_)
    beside = rows.around[:, strongest_in_conversations(own, rows, considered)]
    wanted[beside[beside >= 0]] = True
    return wanted


def rank(
    own: OwnScores,
    rows: Rows,
    considered: Flags,
    *,
    limit: int,
    min_score: float,
    ageing: Ageing | None = None,
) -> Ranking:
    """Return the best of the rows considered.

    Args:
        own: What each row says by itself.
        rows: The rows.
        considered: Which of them a search found; the others lend nothing and are no hits.
        limit: How many to return at most.
        min_score: What scores less is left out and counted.
        ageing: How old memories lose, None for not at all.
    """
    by_itself = np.where(considered, own.score, 0.0)
    places = np.flatnonzero(considered)
    lifted = with_neighbours(by_itself, rows.around, places)
    final = nudged(lifted, rows, places, ageing)
    scores = coarse(final)
    relevant = np.flatnonzero(scores >= min_score)
    best = relevant[strongest(scores[relevant], rows, places[relevant], limit)]
    return Ranking(
        tuple(
            Ranked(
                rows.row_ids[place],
                float(scores[position]),
                meaning=float(own.meaning[place]),
                words=float(own.words[place]),
                lent=float(lifted[position] - by_itself[place]),
                nudge=float(final[position] - lifted[position]),
            )
            for position, place in ((int(position), int(places[position])) for position in best)
        ),
        omitted=len(places) - len(relevant),
    )
