"""A search from question to ranked rows: what is asked of the table, and in which order it is put together."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from store.filters import Predicate, all_of, one_of
from store.models import Vector
from store.ranking import Candidate, Ranked, coarse, in_order, lent, own_score, word_weights
from store.together import together

if TYPE_CHECKING:
    from store.found import FoundRows
    from store.table import MemoryTable

NEAREST = 100
MATCHING = 200
"""How many rows either search contributes. Those by words are more, because they also tell how common a word is."""

STRONG = 20
"""Whose neighbours in their conversations are looked up."""

LONGEST_CONVERSATION = 5_000
"""Memories in the conversations of strong candidates; where there are more, nothing is lent."""


async def ranked_rows(
    table: "MemoryTable",
    text: str,
    embed: Callable[[], Awaitable[Vector | None]],
    predicate: Predicate,
    count: Callable[[], Awaitable[int]],
) -> list[Ranked]:
    """Return what is near to a text by meaning or shares words with it, best first.

    Args:
        table: Where to search.
        text: The question.
        embed: Gives the question's vector, of length 1 and in the table's dimension; None to search by words alone.
            It runs while the words are searched.
        predicate: What rows must match, before either search looks at them.
        count: Gives how many rows match.
    """

    async def by_meaning() -> "tuple[Vector | None, FoundRows | None]":
        vector = await embed()
        return vector, None if vector is None else await table.nearest(vector, predicate, NEAREST)

    async def by_words() -> "tuple[FoundRows, int]":
        return await together(lambda: table.matching(text, predicate, MATCHING), count)

    (vector, nearest), (matching, total) = await together(by_meaning, by_words)
    found = _Found(vector)
    await found.add(table, [matching] if nearest is None else [matching, nearest], question=text)
    weights = word_weights(found.question, list(found.candidates.values()), total)
    places = await _conversations(table, found, weights, predicate)
    own = {row_id: own_score(one, weights) for row_id, one in found.candidates.items()}
    return in_order(_with_neighbours(own, places))


class _Found:
    """The candidates so far, by row id, and the words of the question."""

    def __init__(self, vector: Vector | None) -> None:
        self.question: frozenset[str] = frozenset()
        self.vector = vector
        self.candidates: dict[str, Candidate] = {}

    async def add(self, table: "MemoryTable", found: "Sequence[FoundRows]", question: str = "") -> None:
        """Add rows that are not there yet; with the question, its words too, because one call for all is quicker."""
        texts = [text for rows in found for text in rows.column("search_text")]
        of_question, *of_rows = await table.words_of_each([question, *texts])
        self.question |= frozenset(of_question)
        words = iter(of_rows)
        for rows in found:
            columns = (rows.column(name) for name in ("row_id", "run_id", "updated_at"))
            for row_id, run_id, updated_at, cosine in zip(*columns, rows.cosines(self.vector), strict=True):
                its_words = next(words)
                if row_id not in self.candidates:
                    shared = Counter(word for word in its_words if word in self.question)
                    self.candidates[row_id] = Candidate(row_id, run_id, updated_at, cosine, shared, len(its_words))


async def _conversations(
    table: "MemoryTable", found: _Found, weights: dict[str, float], predicate: Predicate
) -> dict[str, list[str]]:
    """Return the rows of strong candidates' conversations, each in its order; their neighbours join `found`."""
    strong = in_order(own_score(one, weights) for one in found.candidates.values() if one.run_id)[:STRONG]
    if not strong:
        return {}
    runs = {one.candidate.run_id for one in strong}
    rows = await table.order_of_runs(all_of(predicate, one_of("run_id", runs)), LONGEST_CONVERSATION)
    places: dict[str, list[str]] = defaultdict(list)
    for run_id, row_id in rows:
        places[run_id].append(row_id)
    strong_ids = {one.candidate.row_id for one in strong}
    wanted = {
        neighbour
        for conversation in places.values()
        for place, row_id in enumerate(conversation)
        if row_id in strong_ids
        for distance in (1, 2)
        for neighbour in _around(conversation, place, distance)
        if neighbour not in found.candidates
    }
    if wanted:
        await found.add(table, [await table.found_rows(one_of("row_id", wanted), len(wanted))])
    return places


def _around(conversation: Sequence[str], place: int, distance: int) -> list[str]:
    return [conversation[at] for at in (place - distance, place + distance) if 0 <= at < len(conversation)]


def _with_neighbours(own: dict[str, Ranked], places: dict[str, list[str]]) -> list[Ranked]:
    """Return the rows with what their neighbours lend; one that was not worth fetching lends nothing."""

    def share(row_ids: Sequence[str]) -> float | None:
        return max((own[row_id].score if row_id in own else 0.0 for row_id in row_ids), default=None)

    scores = {
        row_id: lent(own[row_id].score, share(_around(rows, place, 1)), share(_around(rows, place, 2)))
        for rows in places.values()
        for place, row_id in enumerate(rows)
        if row_id in own
    }
    return [
        replace(one, score=coarse(scores[row_id] if row_id in scores else lent(one.score, *_unknown(one))))
        for row_id, one in own.items()
    ]


def _unknown(one: Ranked) -> tuple[float | None, float | None]:
    """Return the shares of neighbours that were not looked up: there are none, or they are weak."""
    return (0.0, 0.0) if one.candidate.run_id else (None, None)
