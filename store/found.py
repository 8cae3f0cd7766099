"""Rows that a search reads: each as one JSON text and a vector, because every column more takes a millisecond."""
# Arrow is only partly typed.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from store.models import Memory, Vector
from store.ranking import NOBODY, Flags, Floats, Rows
from store.schema import from_card, search_text

COLUMNS = ("card", "vector")

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Some rows.

    Attributes:
        cards: What a search shows of each, see `store.schema.card`.
        memories: The same as memories, without vectors.
        vectors: Shape (rows, dimensions); of one that has none, any numbers.
        embedded: Which rows have a vector.
    """

    cards: Sequence[str]
    memories: Sequence[Memory]
    vectors: Matrix
    embedded: Flags

    def __len__(self) -> int:
        return len(self.cards)

    def texts(self) -> list[str]:
        """Return what full text knows each row by."""
        return [search_text(memory) for memory in self.memories]

    def properties(self) -> Rows:
        """Return what ranking knows of the rows besides their words and meaning; their neighbours are unknown yet."""
        memories = self.memories
        return Rows(
            row_ids=[memory.row_id for memory in memories],
            updated_at=np.array([microseconds(memory.updated_at) for memory in memories], np.int64),
            dated_at=np.array([microseconds(memory.occurred_at or memory.updated_at) for memory in memories], np.int64),
            importance=np.array([memory.importance for memory in memories], np.float64),
            pinned=np.array([memory.pinned for memory in memories], np.bool_),
            in_conversation=np.array([bool(memory.run_id) for memory in memories], np.bool_),
            around=np.full((4, len(memories)), NOBODY, np.int64),
        )

    def with_new(self, others: "Sequence[FoundRows]") -> "FoundRows":
        """Return these rows and those of others that are not among them, each once."""
        known: set[str] = set()
        parts: list[FoundRows] = []
        for one in (self, *others):
            fresh = [place for place, memory in enumerate(one.memories) if memory.row_id not in known]
            known |= {memory.row_id for memory in one.memories}
            parts.append(one.some(fresh))
        return FoundRows(
            [card for part in parts for card in part.cards],
            [memory for part in parts for memory in part.memories],
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.embedded for part in parts]),
        )

    def some(self, places: Sequence[int]) -> "FoundRows":
        """Return the rows at these places."""
        rows = np.array(places, np.int64)
        return FoundRows(
            [self.cards[place] for place in places],
            [self.memories[place] for place in places],
            self.vectors[rows],
            self.embedded[rows],
        )


def found_rows(table: pa.Table) -> FoundRows:
    """Return the rows of an Arrow table with `COLUMNS`."""
    cards = cast("list[str]", table.column("card").to_pylist())
    column = cast("pa.FixedSizeListArray[Any, Any]", table.column("vector").combine_chunks())
    embedded = np.asarray(column.is_valid(), dtype=np.bool_)
    vectors: Matrix = np.zeros((len(cards), column.type.list_size), np.float32)
    # `flatten` leaves the missing ones out.
    vectors[embedded] = np.asarray(column.flatten(), np.float32).reshape(-1, column.type.list_size)
    return FoundRows(cards, [from_card(card) for card in cards], vectors, embedded)


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since some commit.

    Attributes:
        row_ids: The rows that were added or changed, by whatever user.
        visible: Those of them that a selection shows now.
    """

    row_ids: Sequence[str]
    visible: FoundRows


def cosines(vectors: Matrix, embedded: Flags, vector: Vector | None) -> Floats:
    """Return how close rows are to a vector of length 1, as stored ones are (see Embedder); nan where either is none.

    Args:
        vectors: Those of the rows, shape (rows, dimensions).
        embedded: Which rows have one.
        vector: What to compare with.
    """
    if vector is None or not len(vectors):
        return np.full(len(vectors), np.nan)
    return np.where(embedded, (vectors @ np.asarray(vector, np.float32)).astype(np.float64), np.nan)


def microseconds(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return round(moment.timestamp() * 1_000_000)
