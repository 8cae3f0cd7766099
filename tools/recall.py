"""What is close: to a question that somebody asks, or to a statement that is being stored."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from store import filters
from store.clock import Clock
from store.errors import ProviderError, StoreError
from store.filters import Order, Predicate, Selection, all_of
from store.models import Hit, Scope
from store.reranker import RERANKED, Reranker
from store.search import DEFAULT_MIN_SCORE, SIMILAR_SCORE, QueryVector, Question, Searcher, View
from store.vectors import Embedded, Vectors
from tools.outcomes import Draft, SearchOutcome

if TYPE_CHECKING:
    from store.table import MemoryTable

SIMILAR_COUNT = 3
SIMILAR_QUERY = 500
"""Characters of a new memory that its neighbours are searched with: the beginning says what it is about."""

HELD_IF_NARROWED = 2_000
"""Rows of a narrowed search that are held in memory: reading more for one question takes longer than the indexes do."""

HELD_FOR_NEIGHBOURS = 25_000
"""Rows among which neighbours of a statement are looked for in memory. Beyond, to bring them up to date and rank them
all takes longer than the index of vectors, which knows only memories with a vector. For 10,000, calls of 16 clients are
a third more with the rows than with the index (benchmarks/load.py, benchmarks/scale.py)."""

EVERYTHING = Selection()

NO_SCORE = -1.0
"""Of a hit that no question was asked for."""

IMPORTANT_FIRST = (Order("importance", descending=True), Order("updated_at", descending=True))


class Recall:
    """Searches one table, for answers and for neighbours.

    Args:
        table: Where to search.
        vectors: Embeds questions.
        clock: The present time.
        min_score: What scores less is left out of answers, unless a caller says otherwise.
        half_life_days: See `Searcher`.
        reranker: Puts the best hits into a better order; None for none.
        on_wanted: Called when there is something for `read_ahead` to do.
    """

    def __init__(
        self,
        table: "MemoryTable",
        vectors: Vectors,
        clock: Clock,
        *,
        min_score: float = DEFAULT_MIN_SCORE,
        half_life_days: float = 0.0,
        reranker: Reranker | None = None,
        on_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        self._vectors = vectors
        self._clock = clock
        self._min_score = min_score
        self._searcher = Searcher(table, half_life_days=half_life_days, on_wanted=on_wanted)
        self._reranker = reranker

    async def read_ahead(self) -> None:
        """Read into memory what recent searches wanted and did not wait for. Not for the path of a call."""
        await self._searcher.read_ahead()

    async def search(
        self,
        query: str,
        scope: Scope,
        *,
        selection: Selection = EVERYTHING,
        as_of: datetime | None = None,
        limit: int = 10,
        min_score: float | None = None,
    ) -> SearchOutcome:
        """Return what is relevant to a question, best first; ties go to the newer memory.

        An empty question returns the most important and recent of what the selection leaves.

        Args:
            query: The question, in natural language.
            scope: Whose memories, see `Scope`.
            selection: What to narrow the search by, before ranking.
            as_of: Search what was current then.
            limit: How many hits at most.
            min_score: Leave out hits below this score, in [0, 1]; None for the default.
        """
        now = self._clock()
        narrowed = selection.predicate()
        visible = filters.visible(scope, now)
        if as_of:
            visible = all_of(filters.live_at(as_of), filters.readable(scope))
        visible = all_of(visible, narrowed) if narrowed else visible
        if not query:
            found = await self._table.find(visible, order=IMPORTANT_FIRST, limit=limit)
            return SearchOutcome(tuple(Hit(memory, NO_SCORE) for memory in found))
        problems: list[str] = []

        async def embed(version: int) -> QueryVector:
            embedded = await self._vectors.of_query(query, version)
            if embedded.problem:
                problems.append(f"Searched by words alone, not by meaning. {embedded.problem}")
            return _query_vector(embedded, 0)

        threshold = self._min_score if min_score is None else min_score
        wanted = max(limit, RERANKED) if self._reranker else limit
        found = await self._searcher.search(
            Question(query, wanted, threshold, as_of or now), embed, _view(visible, scope, selection, as_of)
        )
        hits = found.best
        if self._reranker and hits:
            try:
                hits = await _reranked(self._reranker, query, hits)
            except ProviderError as error:
                problems.append(f"Not reranked. {error}")
        return SearchOutcome(hits[:limit], omitted=found.omitted, notes=tuple(problems))

    async def neighbours(
        self, drafts: Sequence[Draft], comparable: Embedded, scope: Scope
    ) -> tuple[list[tuple[Hit, ...]], str]:
        """Return what is close to each draft, and why that could not be looked up if so."""
        try:
            hits = [
                await self._close_to(draft.content, _query_vector(comparable, number), scope, len(drafts))
                for number, draft in enumerate(drafts)
            ]
        except StoreError as error:
            return [()] * len(drafts), str(error)
        return hits, ""

    async def _close_to(self, content: str, vector: QueryVector, scope: Scope, siblings: int) -> tuple[Hit, ...]:
        async def embed(_version: int) -> QueryVector:
            return vector

        now = self._clock()
        place = replace(scope, run_id="")
        view = View(
            filters.visible(place, now), key=filters.readable(place), hold=HELD_FOR_NEIGHBOURS, nearest_alone=True
        )
        question = Question(content[:SIMILAR_QUERY], SIMILAR_COUNT + siblings, SIMILAR_SCORE, now)
        return (await self._searcher.search(question, embed, view)).best


async def _reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Return the hits in the order of a second stage; equal ones stay as they were."""
    judged = await reranker.judged(query, [hit.memory.content for hit in hits])
    pairs = sorted(zip(judged, hits, strict=True), key=lambda pair: -pair[0])
    return tuple(replace(hit, reranked=value) for value, hit in pairs)


def _query_vector(embedded: Embedded, number: int) -> QueryVector:
    vector = embedded.vectors[number]
    return QueryVector(vector, embedded.fingerprint.cosine_range) if embedded.fingerprint else QueryVector()


def _view(visible: Predicate, scope: Scope, selection: Selection, as_of: datetime | None) -> View:
    """Return what a search looks at; only what the next search is likely to look at again is held in memory."""
    place = filters.readable(scope)
    if as_of or selection.since or selection.until:  # an age such as 7d makes another selection of every call
        return View(visible, key=f"{as_of or ''} {all_of(place, selection.predicate())}", hold=0)
    if selection != EVERYTHING:
        return View(visible, key=all_of(place, selection.predicate()), hold=HELD_IF_NARROWED)
    return View(visible, key=place)
