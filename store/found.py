"""Rows that a search reads, still as Arrow columns: only what ranking needs is taken out of them."""
# Arrow is only partly typed.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute  # pyright: ignore[reportUnusedImport] - `cast` loads it, a tenth of a second

from store.models import Vector
from store.ranking import NOBODY, Flags, Floats, Rows

COLUMNS = (
    "row_id",
    "run_id",
    "updated_at",
    "occurred_at",
    "importance",
    "pinned",
    "search_text",
    "vector",
)
"""What ranking takes."""


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Some rows with `COLUMNS`, and maybe more."""

    rows: pa.Table

    def __len__(self) -> int:
        return self.rows.num_rows

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return cast("list[Any]", self.rows.column(name).to_pylist())

    def moments(self, name: str) -> list[int | None]:
        """Return a column of moments in microseconds since 1970: a datetime of each would take longer."""
        return self.rows.column(name).cast(pa.int64()).to_pylist()

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return cast("pa.FixedSizeListType[Any, Any]", self.rows.schema.field("vector").type).list_size

    def vectors(self) -> "tuple[NDArray32, Flags]":
        """Return the vectors, shape (rows, dimensions), and which rows have one; the others' are any numbers."""
        column = cast("pa.FixedSizeListArray[Any, Any]", self.rows.column("vector").combine_chunks())
        matrix = np.zeros((len(self), self.dimension), dtype=np.float32)
        present = np.asarray(column.is_valid(), dtype=np.bool_)
        # `flatten` leaves the missing ones out.
        matrix[present] = np.asarray(column.flatten(), dtype=np.float32).reshape(-1, self.dimension)
        return matrix, present

    def properties(self) -> Rows:
        """Return what ranking knows of the rows besides their words and meaning; their neighbours are unknown yet."""
        updated_at = np.array(self.moments("updated_at"), dtype=np.int64)
        occurred_at = np.array([-1 if at is None else at for at in self.moments("occurred_at")], dtype=np.int64)
        is_dated = np.asarray(self.rows.column("occurred_at").is_valid(), dtype=np.bool_)
        return Rows(
            row_ids=self.column("row_id"),
            updated_at=updated_at,
            dated_at=np.where(is_dated, occurred_at, updated_at),
            importance=np.array(self.column("importance"), dtype=np.float64),
            pinned=np.array(self.column("pinned"), dtype=np.bool_),
            in_conversation=np.array([bool(run_id) for run_id in self.column("run_id")], dtype=np.bool_),
            around=np.full((4, len(self)), NOBODY, np.int64),
        )

    def row(self, place: int) -> "FoundRows":
        """Return one of the rows."""
        return FoundRows(self.rows.slice(place, 1))

    def with_new(self, others: "Sequence[FoundRows]") -> "FoundRows":
        """Return these rows and those of others that are not among them, each once."""
        names = [name for name in self.rows.column_names if all(name in other.rows.column_names for other in others)]
        every = joined([FoundRows(one.rows.select(names)) for one in (self, *others)])
        first = {row_id: place for place, row_id in reversed(list(enumerate(every.column("row_id"))))}
        return FoundRows(every.rows.take(np.array(sorted(first.values()), np.int64)))


def joined(parts: Sequence[FoundRows]) -> FoundRows:
    """Return the rows of all parts, which have the same columns."""
    return FoundRows(pa.concat_tables([part.rows for part in parts]))


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since some commit.

    Attributes:
        row_ids: The rows that were added or changed, by whatever user.
        new: How many of them were added.
        visible: Those of them that a selection shows now, with `COLUMNS` and what a search result shows, in parts.
    """

    row_ids: Sequence[str]
    new: int
    visible: Sequence[FoundRows]


NDArray32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def cosines(matrix: NDArray32, present: Flags, vector: Vector | None) -> Floats:
    """Return how close rows are to a vector of length 1, as stored ones are (see Embedder); nan where either is none.

    Args:
        matrix: The rows' vectors, shape (rows, dimensions).
        present: Which rows have one.
        vector: What to compare with.
    """
    if vector is None or not len(matrix):
        return np.full(len(matrix), np.nan)
    return np.where(present, (matrix @ np.asarray(vector, np.float32)).astype(np.float64), np.nan)
