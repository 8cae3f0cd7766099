"""The rows of a small scope, held in memory as of one commit and ranked whole.

Most people have fewer memories than a search by index pays for: asking the table costs the same few milliseconds for a
hundred rows as for ten thousand. What another process commits is seen at once: before each search the rows are brought
up to the newest commit. The ranking is that of `store.ranking`, on all rows instead of on candidates.
"""

import sys
from array import array
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

import numpy as np

from store.found import Changes, FoundRows, Matrix, cosines
from store.models import Memory, Vector
from store.ranking import (
    NEAREST,
    Ageing,
    Flags,
    Floats,
    Integers,
    Ranking,
    Rows,
    coverage,
    neighbours_wanted,
    own_scores,
    rank,
    set_neighbours,
    weigh,
)
from store.schema import from_card

SHORTEST_PART = 5
"""Letters that a part of a compound has at least."""

NO_ROWS = Rows(
    row_ids=[],
    updated_at=np.zeros(0, np.int64),
    dated_at=np.zeros(0, np.int64),
    importance=np.zeros(0),
    pinned=np.zeros(0, np.bool_),
    in_conversation=np.zeros(0, np.bool_),
    around=np.zeros((4, 0), np.int64),
)


class Compounds:
    """Words, sorted by their beginnings and by their ends: to look at each of 50,000 for a part takes 20 ms."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._backwards: list[str] = []

    def __len__(self) -> int:
        return len(self._words)

    def learn(self, words: Iterable[str]) -> None:
        """Add words that are not there yet."""
        if new := list(words):
            self._words += new
            self._backwards += [word[::-1] for word in new]
            self._words.sort()  # quick: all but the last are sorted already
            self._backwards.sort()

    def of(self, part: str) -> set[str]:
        """Return the words that begin or end with this part."""
        return {*_beginning(self._words, part), *(word[::-1] for word in _beginning(self._backwards, part[::-1]))}


def _beginning(words: Sequence[str], part: str) -> Sequence[str]:
    return words[bisect_left(words, part) : bisect_left(words, part + chr(sys.maxunicode))]


class HeldRows:
    """All rows that one selection shows.

    Args:
        dimension: How many numbers a vector has.
        room: For how many rows to make room at first.
    """

    def __init__(self, dimension: int, room: int) -> None:
        self._cards: list[str] = []
        self._places: dict[str, int] = {}
        self._conversations: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._run_ids: list[str] = []
        self._rows_with: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self._times_in: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self._compounds = Compounds()
        self._lengths: Integers = np.zeros(0, np.int64)
        self._visible: Flags = np.zeros(0, np.bool_)
        self._embedded: Flags = np.zeros(0, np.bool_)
        self._vectors: Matrix = np.zeros((room, dimension), np.float32)
        self._rows = NO_ROWS
        self._valid_until: datetime | None = None

    def __len__(self) -> int:
        return int(self._visible.sum())

    @property
    def outdated(self) -> int:
        """How many rows are still held that are not visible any more."""
        return len(self._run_ids) - len(self)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._vectors.shape[1]

    def valid_at(self, now: datetime) -> bool:
        """Whether nothing has expired since."""
        return self._valid_until is None or now < self._valid_until

    def read(self, row_ids: Iterable[str]) -> dict[str, Memory]:
        """Return rows that are held, as a search result shows them."""
        return {row_id: from_card(self._cards[self._places[row_id]]) for row_id in row_ids}

    def really_changed(self, changes: Changes) -> Changes:
        """Return changes without the rows that are held just as they are: to merge files writes rows again."""
        rows = changes.visible
        places = [self._places.get(memory.row_id) for memory in rows.memories]
        other = [
            number
            for number, place in enumerate(places)
            if place is None
            or rows.cards[number] != self._cards[place]
            or rows.embedded[number] != self._embedded[place]
            or not np.array_equal(rows.vectors[number], self._vectors[place])
        ]
        same = {memory.row_id for memory in rows.memories} - {rows.memories[number].row_id for number in other}
        return Changes([row_id for row_id in changes.row_ids if row_id not in same], rows.some(other))

    def remove(self, row_ids: Iterable[str]) -> None:
        """Forget rows that may have changed; those that are not held do not matter."""
        for row_id in row_ids:
            place = self._places.pop(row_id, None)
            if place is not None:
                self._hide(place)

    def append(self, rows: FoundRows, words: Sequence[Sequence[str]]) -> None:
        """Add rows that are not held yet.

        Args:
            rows: The rows.
            words: The words of each, see `MemoryTable.words_of_each`.
        """
        start = len(self._cards)
        self._cards += rows.cards
        properties = rows.properties()
        self._rows = self._rows.followed_by(properties)
        self._run_ids += [memory.run_id for memory in rows.memories]
        self._places.update({row_id: place for place, row_id in enumerate(properties.row_ids, start)})
        for place, its_words in enumerate(words, start):
            for word, times in Counter(its_words).items():
                self._rows_with[word].append(place)
                self._times_in[word].append(times)
        self._lengths = np.append(self._lengths, np.array([len(its) for its in words], np.int64))
        self._visible = np.append(self._visible, np.ones(len(rows), np.bool_))
        self._add_vectors(rows, start)
        self._join_conversations(rows.memories, start)
        ends = [memory.expires_at for memory in rows.memories if memory.expires_at and not memory.pinned]
        self._valid_until = min([*ends, *([] if self._valid_until is None else [self._valid_until])], default=None)

    def _add_vectors(self, rows: FoundRows, start: int) -> None:
        count = start + len(rows)
        if count > len(self._vectors):
            roomier = np.zeros((count + count // 8, self.dimension), np.float32)
            roomier[:start] = self._vectors[:start]
            self._vectors = roomier
        self._vectors[start:count] = rows.vectors
        self._embedded = np.append(self._embedded, rows.embedded)

    def _join_conversations(self, memories: Sequence[Memory], start: int) -> None:
        joined: set[str] = set()
        for place, memory in enumerate(memories, start):
            if memory.run_id:
                # Ids follow the order of storing.
                insort(self._conversations[memory.run_id], (memory.memory_id, place))
                joined.add(memory.run_id)
        for run_id in joined:
            set_neighbours(self._rows.around, [place for _, place in self._conversations[run_id]])

    def _hide(self, place: int) -> None:
        self._visible[place] = False
        if run_id := self._run_ids[place]:
            rest = [one for one in self._conversations[run_id] if one[1] != place]
            self._conversations[run_id] = rest
            set_neighbours(self._rows.around, [place for _, place in rest])

    @property
    def _matrix(self) -> Matrix:
        return self._vectors[: len(self._run_ids)]

    def ranked(
        self,
        question: Sequence[str],
        vector: Vector | None,
        *,
        cosine_range: tuple[float, float],
        limit: int,
        min_score: float,
        ageing: Ageing | None = None,
    ) -> Ranking:
        """Return what is near to a question by meaning or shares words with it, best first.

        Args:
            question: The words of the question.
            vector: Its vector of length 1; None to rank by words alone.
            cosine_range: Of the model that made the vectors, see `closeness`.
            limit: How many to return at most.
            min_score: What scores less is left out.
            ageing: How old memories lose, see `rank`.
        """
        wanted = sorted(set(question))
        postings = {word: self._places_of(word) for word in wanted}
        weights = weigh({word: len(rows) for word, (rows, _) in postings.items()}, len(self))
        closes = cosines(self._matrix, self._embedded & self._visible, vector)
        covered = coverage(postings, self._lengths, weights)
        own = own_scores(closes, covered, cosine_range)
        considered = (covered > 0) | self._nearest(closes)
        considered |= neighbours_wanted(own.score, self._rows, considered)
        return rank(own, self._rows, considered, limit=limit, min_score=min_score, ageing=ageing)

    def _places_of(self, word: str) -> tuple[Integers, Integers]:
        posting = self._posting(word)
        if len(posting[0]) or len(word) < SHORTEST_PART:
            return posting
        # German writes words together: what occurs nowhere by itself may be a part of others.
        self._compounds.learn(islice(self._rows_with, len(self._compounds), None))
        wholes = self._compounds.of(word)
        rows = np.unique(np.concatenate([posting[0], *(self._posting(one)[0] for one in wholes)]))
        return rows, np.ones(len(rows), np.int64)

    def _posting(self, word: str) -> tuple[Integers, Integers]:
        if word not in self._rows_with:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows, times = np.array(self._rows_with[word]), np.array(self._times_in[word])
        visible = self._visible[rows]
        return rows[visible], times[visible]

    def _nearest(self, closes: Floats) -> Flags:
        nearest = np.zeros(len(closes), np.bool_)
        comparable = np.flatnonzero(~np.isnan(closes))
        if len(comparable) > NEAREST:
            comparable = comparable[np.argpartition(-closes[comparable], NEAREST)[:NEAREST]]
        nearest[comparable] = True
        return nearest
