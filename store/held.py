"""The rows of a small scope, held in memory as of one commit and ranked whole.

Most people have fewer memories than a search by index pays for: asking the table costs the same few milliseconds for a
hundred rows as for ten thousand. Rows are held only for the commit they were read at, so that what another process
commits is seen at once; the ranking is that of `store.ranking`, on all rows instead of on candidates.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from store.found import FoundRows
from store.models import Memory, Vector
from store.ranking import NEAREST, STRONG, Candidate, Ranked, around, in_order, own_score, weigh, with_neighbours
from store.schema import HIT_COLUMNS, from_arrow


class HeldRows:
    """All rows that one selection shows at one commit.

    Args:
        rows: The rows, with their vectors and what a search result shows.
        words: The words of each row, see `MemoryTable.words_of_each`.
    """

    def __init__(self, rows: FoundRows, words: Sequence[Sequence[str]]) -> None:
        self._rows = rows
        self._row_ids: list[str] = rows.column("row_id")
        self._run_ids: list[str] = rows.column("run_id")
        self._updated_at: list[int] = rows.column("updated_at")
        self._words = [dict(Counter(its_words)) for its_words in words]
        self._lengths = [len(its_words) for its_words in words]
        self._holding: dict[str, list[int]] = defaultdict(list)
        for row, its_words in enumerate(self._words):
            for word in its_words:
                self._holding[word].append(row)
        self._places: dict[str, list[str]] = defaultdict(list)
        for memory_id, run_id, row_id in sorted(
            zip(rows.column("memory_id"), self._run_ids, self._row_ids, strict=True)
        ):
            del memory_id  # only to sort by: ids follow the order of storing
            if run_id:
                self._places[run_id].append(row_id)
        self._index = {row_id: row for row, row_id in enumerate(self._row_ids)}
        self._memories: dict[str, Memory] = {}
        self._embedded = rows.embedded()
        pinned = rows.column("pinned")
        expiries = zip(rows.column("expires_at"), pinned, strict=True)
        self._valid_until = min((at for at, is_pinned in expiries if at is not None and not is_pinned), default=None)

    def read(self, row_ids: Iterable[str]) -> dict[str, Memory]:
        """Return those of these rows that are held, as a search result shows them."""
        known = [row_id for row_id in row_ids if row_id in self._index]
        if unread := [row_id for row_id in known if row_id not in self._memories]:
            shown = self._rows.rows.select(HIT_COLUMNS).take([self._index[row_id] for row_id in unread])
            self._memories.update(zip(unread, from_arrow(shown), strict=True))
        return {row_id: self._memories[row_id] for row_id in known}

    def valid_at(self, now: int) -> bool:
        """Whether nothing has expired since; `now` is in microseconds since 1970."""
        return self._valid_until is None or now < self._valid_until

    def ranked(self, question: Sequence[str], vector: Vector | None) -> list[Ranked]:
        """Return what is near to a question by meaning or shares words with it, best first.

        Args:
            question: The words of the question.
            vector: Its vector of length 1; None to rank by words alone.
        """
        wanted = frozenset(question)
        cosines = self._rows.cosines(vector)
        weights = weigh({word: len(self._holding.get(word, ())) for word in wanted}, len(self._row_ids))
        chosen = {row for word in wanted for row in self._holding.get(word, ())}
        if vector is not None:
            chosen.update(heapq.nlargest(NEAREST, self._embedded, key=lambda row: cosines[row] or 0.0))
        own: dict[str, Ranked] = {}

        def add(row: int) -> None:
            its_words = self._words[row]
            shared = {word: its_words[word] for word in wanted & its_words.keys()}
            candidate = Candidate(
                self._row_ids[row], self._run_ids[row], self._updated_at[row], cosines[row], shared, self._lengths[row]
            )
            own[candidate.row_id] = own_score(candidate, weights)

        for row in chosen:
            add(row)
        for neighbour in self._neighbours(own):
            add(self._index[neighbour])
        runs = {one.candidate.run_id for one in own.values()}
        return in_order(with_neighbours(own, {run_id: self._places[run_id] for run_id in runs if run_id}))

    def _neighbours(self, own: dict[str, Ranked]) -> set[str]:
        """Return the rows beside strong ones that were not chosen themselves."""
        strong = in_order(one for one in own.values() if one.candidate.run_id)[:STRONG]
        return {
            neighbour
            for one in strong
            for conversation in [self._places[one.candidate.run_id]]
            for distance in (1, 2)
            for neighbour in around(conversation, conversation.index(one.candidate.row_id), distance)
            if neighbour not in own
        }
