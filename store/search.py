"""A search from question to ranked rows: what is asked of the table, and in which order it is put together."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from store.filters import Predicate, all_of, one_of
from store.models import Memory, Vector
from store.ranking import NEAREST, STRONG, Candidate, Ranked, around, in_order, own_score, weigh, with_neighbours
from store.together import together

if TYPE_CHECKING:
    from store.found import FoundRows
    from store.held import HeldRows
    from store.table import MemoryTable

MATCHING = 200
"""How many rows the search by words contributes; more than that by meaning, because they tell how common a word is."""

LONGEST_CONVERSATION = 5_000
"""Memories in the conversations of strong candidates; where there are more, nothing is lent."""

HELD_ROWS = 2_000
HELD_SELECTIONS = 4
"""Up to so many rows are ranked in memory, for so many users or selections at a time: about 5 MB each."""

KEPT_TOTALS = 1_000


class Searcher:
    """Searches one table, and remembers what stays true until the next commit."""

    def __init__(self, table: "MemoryTable", held_rows: int = HELD_ROWS) -> None:
        self._table = table
        self._held_rows = held_rows
        self._version = 0
        self._totals: dict[str, int] = {}
        self._held: dict[str, HeldRows] = {}

    async def ranked(
        self,
        text: str,
        embed: Callable[[], Awaitable[Vector | None]],
        predicate: Predicate,
        key: str,
        now: datetime,
        *,
        hold: bool = True,
    ) -> list[Ranked]:
        """Return what is near to a text by meaning or shares words with it, best first.

        Args:
            text: The question.
            embed: Gives the question's vector, of length 1 and in the table's dimension; None to search by words
                alone. It runs while other things are looked up.
            predicate: What rows must match, before anything looks at them: `live` at `now`, and whatever else.
            key: The same for all predicates that differ in nothing but `now`.
            now: The present, which expiry is judged by.
            hold: Whether to read a small scope into memory; not worth it right before a commit.
        """
        total = await self._total(predicate, key)
        if total > self._held_rows or not (hold or key in self._held):
            return await ranked_rows(self._table, text, embed, predicate, lambda: self._total(predicate, key))
        held, (vector, [question]) = await together(
            lambda: self._hold(predicate, key, now),
            lambda: together(embed, lambda: self._table.words_of_each([text])),
        )
        return held.ranked(question, vector)

    async def read(self, row_ids: Sequence[str], key: str) -> dict[str, Memory]:
        """Return rows that `ranked` found under this key, with what a search result shows of them (`HIT_COLUMNS`)."""
        held = self._held.get(key)
        memories = held.read(row_ids) if held else {}
        missing = [row_id for row_id in row_ids if row_id not in memories]
        return memories | (await self._table.read(missing) if missing else {})

    async def _hold(self, predicate: Predicate, key: str, now: datetime) -> "HeldRows":
        from store.held import HeldRows  # Arrow: only where a search is made

        held = self._held.get(key)
        if held is None or not held.valid_at(_microseconds(now)):
            version = self._version
            rows = await self._table.held_rows(predicate, self._held_rows)
            held = HeldRows(rows, await self._table.words_of_each(rows.column("search_text")))
            if version == self._version:  # else another search has met a newer commit since these were read
                while len(self._held) >= HELD_SELECTIONS:
                    del self._held[next(iter(self._held))]
                self._held[key] = held
        return held

    async def _total(self, predicate: Predicate, key: str) -> int:
        """Return how many rows match, counted once for each commit; what expires in between makes no difference."""
        version = await self._table.version()
        if version != self._version:
            self._version, self._totals, self._held = version, {}, {}
        total = self._totals.get(key)
        if total is None:
            total = await self._table.count(predicate)
            if version == self._version and len(self._totals) < KEPT_TOTALS:
                self._totals[key] = total
        return total


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


async def ranked_rows(
    table: "MemoryTable",
    text: str,
    embed: Callable[[], Awaitable[Vector | None]],
    predicate: Predicate,
    count: Callable[[], Awaitable[int]],
) -> list[Ranked]:
    """Return the same of a large scope, from candidates that the table's indexes find.

    Args:
        table: Where to search.
        text: The question.
        embed: Gives the question's vector, see `Searcher.ranked`.
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
    holding = Counter(word for one in found.candidates.values() for word in one.words)
    # Common words are counted among the candidates alone, rare ones exactly.
    weights = weigh({word: holding[word] for word in found.question}, max(total, len(found.candidates)))
    places = await _conversations(table, found, weights, predicate)
    own = {row_id: own_score(one, weights) for row_id, one in found.candidates.items()}
    return in_order(with_neighbours(own, places))


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
        for neighbour in around(conversation, place, distance)
        if neighbour not in found.candidates
    }
    if wanted:
        await found.add(table, [await table.found_rows(one_of("row_id", wanted), len(wanted))])
    return places
