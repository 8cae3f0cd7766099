"""Rows that a search found, still as Arrow columns: only what ranking needs is taken out of them."""
# Arrow is only partly typed.
# pyright: reportUnknownMemberType=false

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute  # pyright: ignore[reportUnusedImport] - `cast` loads it, a tenth of a second

from store.models import Vector

COLUMNS = ("row_id", "memory_id", "run_id", "updated_at", "search_text")


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Some rows, with `COLUMNS` and either `_distance` (of a vector search) or `vector`."""

    rows: pa.Table

    def __len__(self) -> int:
        return self.rows.num_rows

    def column(self, name: str) -> list[Any]:
        """Return the values of a column; moments come as microseconds, a datetime of each would take longer."""
        values = self.rows.column(name)
        return cast(
            "list[Any]", (values.cast(pa.int64()) if name in ("updated_at", "expires_at") else values).to_pylist()
        )

    def embedded(self) -> list[int]:
        """Return which rows have a vector."""
        valid = self.rows.column("vector").combine_chunks().is_valid()
        return np.flatnonzero(np.asarray(valid)).tolist()

    def cosines(self, vector: Vector | None) -> list[float | None]:
        """Return how close each row is to a vector of length 1; None where either has none."""
        if "_distance" in self.rows.column_names:
            return [1.0 - distance for distance in self.column("_distance")]
        cosines: list[float | None] = [None] * len(self)
        if vector is not None and len(self):
            stored = cast("pa.FixedSizeListArray[Any, Any]", self.rows.column("vector").combine_chunks())
            # Stored vectors have length 1 (see Embedder), so that the dot product is the cosine.
            matrix = np.asarray(stored.flatten(), dtype=np.float32).reshape(-1, len(vector))
            present = np.flatnonzero(np.asarray(stored.is_valid()))
            for row, cosine in zip(present.tolist(), (matrix @ np.asarray(vector, np.float32)).tolist(), strict=True):
                cosines[row] = cosine
        return cosines
