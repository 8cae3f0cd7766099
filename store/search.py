"""A search from question to ranked rows: what is asked of the table, and in which order it is put together."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from store.filters import Predicate, all_of, one_of
from store.models import Hit, Memory, Vector
from store.questions import QuestionWords
from store.together import together
from store.words import spelled_out

if TYPE_CHECKING:
    from store.found import FoundRows
    from store.held import HeldRows
    from store.ranking import Ageing, Ranking
    from store.table import MemoryTable

HELD_ROWS = 60_000
"""Up to so many rows are ranked in memory, over all selections together: 2.5 kB each (benchmarks/scale.py)."""

READ_AT_ONCE = 2_000
"""Up to so many rows are read by the search that needs them, in some 30 ms; more are read by `Searcher.read_ahead`
while searches use the indexes."""

HELD_CHANGES = 1_000
"""Rows that were changed since the last search are read one by one up to here; beyond, all are read again."""

KEPT_SELECTIONS = 1_000
"""Of so many selections it is remembered how many rows they have."""

NEAREST_FOUND, MATCHING_FOUND = 50, 60
"""How many rows the index of vectors and that of words contribute: to read one takes 0.04 ms (benchmarks/scale.py)."""

NEIGHBOURS_FOUND, NEIGHBOURS_PROBED = 20, 32
"""How many of these may be similar to a statement that is being stored, and in how many partitions they are looked for:
a third of a search's, because what says nearly the same lies in the nearest ones."""

LONGEST_CONVERSATION = 5_000
"""Memories in the conversations of strong candidates; where there are more, nothing is lent."""

DEFAULT_MIN_SCORE = 0.1
"""Half of what short facts score against a question in other words (souvenir demo), and more than the best hit of most
questions about something that is not in the store at all (benchmarks/retrieval.py)."""

SIMILAR_SCORE = 0.45
"""From here on two statements are worth comparing."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how the answers are judged.

    Attributes:
        text: The question, or a text that neighbours are wanted of.
        limit: How many hits at most.
        min_score: What scores less is left out; in [0, 1].
        now: The moment that expiry and age are judged by.
    """

    text: str
    limit: int
    min_score: float
    now: datetime


@dataclass(frozen=True, slots=True)
class View:
    """What a search looks at.

    Attributes:
        visible: What rows must match at the question's `now`, before anything looks at them.
        key: The same for all predicates that differ in nothing but `now`.
        hold: Up to how many rows are read into memory to be ranked there.
        nearest_alone: In a scope that is not held, look only at what is near by meaning, if the question has a vector:
            enough for what is similar to a statement, in half the time.
    """

    visible: Predicate
    key: str
    hold: int = HELD_ROWS
    nearest_alone: bool = False


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A question's vector of length 1, None to search by words alone; and the model's range, see `closeness`."""

    vector: Vector | None = None
    cosine_range: tuple[float, float] = (0.0, 1.0)


Embed = Callable[[int], Awaitable[QueryVector]]
"""Gives a question's vector, as of the commit of this number; in a large scope while the words are looked up."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The best hits, best first, and how many others were considered and left out for their score."""

    best: tuple[Hit, ...]
    omitted: int


@dataclass(slots=True)
class _Selection:
    """What is remembered of one selection: how many rows it has as of one commit, and its rows as of another."""

    reading: anyio.Lock = field(default_factory=anyio.Lock)
    total: int | None = None
    version: int = 0
    held: "HeldRows | None" = None
    held_version: int = 0
    table_rows: int = 0
    wanted: View | None = None


class Searcher:
    """Searches one table, and remembers what it read until the next commit.

    Args:
        table: Where to search.
        half_life_days: After how many days a memory has lost half of what it loses with age; 0 for no ageing.
        hold: No more rows than this are ever read into memory.
        on_wanted: Called when there is something for `read_ahead` to do.
    """

    def __init__(
        self,
        table: "MemoryTable",
        *,
        half_life_days: float = 0.0,
        hold: int = HELD_ROWS,
        on_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        self._half_life_days = half_life_days
        self._hold = hold
        self._on_wanted = on_wanted
        self._words = QuestionWords(table)
        self._selections: OrderedDict[str, _Selection] = OrderedDict()

    async def search(self, question: Question, embed: Embed, view: View) -> Hits:
        """Return what is near to a question by meaning or shares words with it, best first."""
        ranking, memories = await self._ranked(question, embed, view)
        return Hits(
            tuple(
                Hit(memories[one.row_id], one.score, one.meaning, one.words, one.lent, one.nudge)
                for one in ranking.best
            ),
            ranking.omitted,
        )

    async def _ranked(self, question: Question, embed: Embed, view: View) -> "tuple[Ranking, dict[str, Memory]]":
        """Return the ranking, and the memories of its best rows by their ids."""
        from store.found import microseconds  # numpy and Arrow: only where a search is made
        from store.ranking import Ageing

        ageing = (
            Ageing(microseconds(question.now), round(self._half_life_days * _DAY)) if self._half_life_days else None
        )
        selection = self._selection(view.key)
        most = min(view.hold, self._hold)
        if selection.total is not None and selection.total > most:
            version = await self._table.version()
            total = selection.total if selection.version == version else None
            return await self._by_index(question, lambda: embed(version), view, selection, total, ageing)
        # One after the other: side by side, on two cores, they take a sixth longer (benchmarks/latency.py).
        held = await self._newest(selection, question, view, most)
        vector = await embed(selection.held_version)
        words = await self._words.of(question.text)
        if held is None:

            async def embedded() -> QueryVector:
                return vector

            return await self._by_index(question, embedded, view, selection, selection.total, ageing)
        ranking = held.ranked(
            words,
            vector.vector,
            cosine_range=vector.cosine_range,
            limit=question.limit,
            min_score=question.min_score,
            ageing=ageing,
        )
        return ranking, held.read(one.row_id for one in ranking.best)

    def _selection(self, key: str) -> _Selection:
        selection = self._selections.setdefault(key, _Selection())
        self._selections.move_to_end(key)
        if len(self._selections) > KEPT_SELECTIONS:
            self._selections.popitem(last=False)
        return selection

    # In memory

    async def _newest(self, selection: _Selection, question: Question, view: View, most: int) -> "HeldRows | None":
        """Return the rows of a selection as of the newest commit; None if they are not to be held, or not yet."""
        now = question.now
        version = await self._table.version()
        held = selection.held
        if held is not None and selection.held_version == version and held.valid_at(now):
            return held
        if selection.wanted and selection.reading.locked():  # by `read_ahead`, which takes seconds
            return None
        async with selection.reading:  # one brings them up, the others wait for it
            held = selection.held
            if held is not None and selection.held_version >= version and held.valid_at(now):
                return held  # somebody else has, as of a commit that is no older than this question
            if held is not None and held.valid_at(now) and await self._brought_up(selection, held, view):
                return held
            selection.held = None
            version = await self._table.version()
            if selection.total is None or selection.version != version:
                selection.version, selection.total = version, await self._table.count(view.visible)
            if selection.total <= min(most, READ_AT_ONCE):
                await self._read(selection, view)
            elif selection.total <= most:
                selection.wanted = view
                self._on_wanted()
            return selection.held

    async def read_ahead(self) -> None:
        """Read into memory what recent searches wanted and did not wait for. Not for the path of a call."""
        for selection in list(self._selections.values()):
            if selection.wanted:
                async with selection.reading:
                    await self._read(selection, selection.wanted)
                selection.wanted = None

    async def _read(self, selection: _Selection, view: View) -> None:
        from store.held import HeldRows

        version, table_rows, _ = await self._table.version_and_rows()
        held = HeldRows(await self._table.dimension(), await self._table.count(view.visible))
        async for rows in self._table.all_rows(view.visible):
            if rows.vectors.shape[1] != held.dimension:  # the first model has just been chosen
                return await self._read(selection, view)
            words = await self._table.words_of_each(rows.texts())
            # Not on the event loop: a thousand rows take 3 ms.
            await anyio.to_thread.run_sync(held.append, rows, words)
        selection.held, selection.held_version = held, version
        selection.version, selection.table_rows, selection.total = version, table_rows, len(held)
        self._make_room(selection)
        return None

    async def _brought_up(self, selection: _Selection, held: "HeldRows", view: View) -> bool:
        """Bring held rows up to the newest commit, or a later one; False if they have to be read again."""
        version, table_rows, new = await self._table.version_and_rows(selection.held_version)
        if selection.held_version == version:
            return True
        if selection.table_rows + new != table_rows:
            return False  # rows were erased, which leaves no trace of its own
        if await self._table.dimension() != held.dimension:
            return False
        changed = await self._table.changed_since(selection.held_version, view.visible, HELD_CHANGES)
        if changed is None or changed.visible.vectors.shape[1] != held.dimension:
            return False
        if held.outdated > len(held) // 4 + HELD_CHANGES:
            return False
        changed = held.really_changed(changed)
        words = await self._table.words_of_each(changed.visible.texts())
        held.remove(changed.row_ids)
        held.append(changed.visible, words)
        selection.held_version = version
        selection.version, selection.table_rows, selection.total = version, table_rows, len(held)
        return True

    def _make_room(self, newest: _Selection) -> None:
        """Let go of what was not searched for longest, until the rows held are few enough again."""
        total = sum(len(one.held) for one in self._selections.values() if one.held is not None)
        for selection in list(self._selections.values()):
            if total <= self._hold:
                break
            if selection.held is not None and selection is not newest:
                total -= len(selection.held)
                selection.held = None

    # By index

    async def _by_index(
        self,
        question: Question,
        embed: Callable[[], Awaitable[QueryVector]],
        view: View,
        selection: _Selection,
        total: int | None,
        ageing: "Ageing | None",
    ) -> "tuple[Ranking, dict[str, Memory]]":
        """Return the same of a large scope, from candidates that the table's indexes find."""
        table = self._table

        async def by_meaning() -> "tuple[QueryVector, list[FoundRows]]":
            query = await embed()
            if query.vector is None:
                return query, []
            return query, [await table.nearest(query.vector, view.visible, NEAREST_FOUND)]

        async def count() -> int:
            if total is not None:
                return total
            version = await table.version()
            counted = await table.count(view.visible)
            selection.version, selection.total = version, counted
            return counted

        async def by_words() -> "tuple[FoundRows, int]":
            return await together(
                lambda: table.matching(spelled_out(question.text), view.visible, MATCHING_FOUND), count
            )

        if view.nearest_alone and (query := await embed()).vector is not None:
            found = await table.nearest(query.vector, view.visible, NEIGHBOURS_FOUND, probes=NEIGHBOURS_PROBED)
            # How many there were at the last search will do: it makes words weigh a little more or less.
            visible = await count() if selection.total is None else selection.total
            return await _ranked_candidates(table, question, query, found, visible, view, ageing)
        (query, nearest), (matching, visible) = await together(by_meaning, by_words)
        return await _ranked_candidates(table, question, query, matching.with_new(nearest), visible, view, ageing)


async def _ranked_candidates(
    table: "MemoryTable",
    question: Question,
    query: QueryVector,
    found: "FoundRows",
    total: int,
    view: View,
    ageing: "Ageing | None",
) -> "tuple[Ranking, dict[str, Memory]]":
    """Rank what the indexes found, and the neighbours of the strong ones among it."""
    import numpy as np  # only where a search is made

    from store import ranking
    from store.found import cosines

    wanted, *words = await table.words_of_each([spelled_out(question.text), *found.texts()])
    wanted = sorted(set(wanted))
    holding = {word: sum(word in its_words for its_words in words) for word in wanted}
    # Common words are counted among the candidates alone, rare ones exactly.
    weights = ranking.weigh(holding, max(total, len(found)))

    def own_scores() -> ranking.OwnScores:
        postings = ranking.postings_of(words, wanted)
        covered = ranking.coverage(postings, np.array([len(its) for its in words], np.int64), weights)
        closes = cosines(found.vectors, found.embedded, query.vector)
        return ranking.own_scores(closes, covered, query.cosine_range)

    own, rows = own_scores(), found.properties()
    conversations: Iterable[Sequence[str]] = ()
    if strong := ranking.strongest_in_conversations(own.score, rows, np.ones(len(found), np.bool_)):
        conversations = await table.conversations(
            all_of(view.visible, one_of("run_id", {found.memories[place].run_id for place in strong})),
            LONGEST_CONVERSATION,
        )
        beside = _beside({rows.row_ids[place] for place in strong}, conversations) - set(rows.row_ids)
        if beside:
            others = await table.rows(one_of("row_id", beside), len(beside))
            words += await table.words_of_each(others.texts())
            found = found.with_new([others])
            own, rows = own_scores(), found.properties()
    places = {row_id: place for place, row_id in enumerate(rows.row_ids)}
    around = ranking.neighbours_of(
        ([places.get(row_id, ranking.SILENT) for row_id in conversation] for conversation in conversations),
        rows.in_conversation,
    )
    ranked = ranking.rank(
        own,
        replace(rows, around=around),
        np.ones(len(found), np.bool_),
        limit=question.limit,
        min_score=question.min_score,
        ageing=ageing,
    )
    return ranked, {one.row_id: found.memories[places[one.row_id]] for one in ranked.best}


def _beside(strong: set[str], conversations: Iterable[Sequence[str]]) -> set[str]:
    """Return the rows up to two places before and after strong ones."""
    return {
        row_id
        for conversation in conversations
        for place, row_id in enumerate(conversation)
        if not strong.isdisjoint(conversation[max(0, place - 2) : place + 3])
    }


_DAY = 24 * 60 * 60 * 1_000_000
