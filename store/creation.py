"""A new table with all its indexes, and what each index is for."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection

import lancedb
import pyarrow as pa
from lancedb.index import FTS, Bitmap, BTree, IvfSq
from lancedb.query import MatchQuery

from store.schema import table_schema
from store.words import STOP_WORDS

BTREE_COLUMNS = ("row_id", "memory_id", "content_hash", "superseded_at", "run_id", "expires_at")
BITMAP_COLUMNS = ("user_id", "project", "agent_id", "live_scope")
TEXT_COLUMN = "search_text"
ALL_INDEXED = (TEXT_COLUMN, *BTREE_COLUMNS, *BITMAP_COLUMNS)


async def create_table(
    database: lancedb.AsyncConnection, name: str, schema: pa.Schema | None = None
) -> lancedb.AsyncTable:
    """Create an empty table, of another schema than a new store's if given; its indexes are for `create_indexes`.

    Call it under the write lock.
    """
    # Rows keep their identity when files are merged, and tell which commit they came with (`changed_since`).
    return await database.create_table(
        name, schema=schema or table_schema(), storage_options={"new_table_enable_stable_row_ids": "true"}
    )


async def create_indexes(table: lancedb.AsyncTable, columns: Collection[str]) -> None:
    """Create the indexes on these columns. Call it under the write lock."""
    if TEXT_COLUMN in columns:
        # ICU finds words in Chinese, Japanese and Thai too, where splitting at blanks finds nothing.
        # Stemming, stop words and folding are worth 7 points of recall@10 on LoCoMo, our stop words 1.6 of them.
        text = FTS(base_tokenizer="icu", with_position=False, custom_stop_words=sorted(STOP_WORDS))
        await table.create_index(TEXT_COLUMN, config=text)
    for column in BTREE_COLUMNS:
        if column in columns:
            await table.create_index(column, config=BTree())
    for column in BITMAP_COLUMNS:
        if column in columns:
            await table.create_index(column, config=Bitmap())


async def missing_indexes(table: lancedb.AsyncTable) -> list[str]:
    """Return the columns that should have an index and have none."""
    present = {column for index in await table.list_indices() for column in index.columns}
    return [column for column in ALL_INDEXED if column not in present]


INDEXED_VECTORS = 10_000
"""From so many rows on the index of vectors pays: without one a search takes 10 ms more here, 150 ms at 100,000."""

ROWS_PER_PARTITION = 1_000
PROBED_PARTITIONS = 96
"""Small partitions, many of them looked at. How an index is trained is chance: of three at a million rows, recall@10
against exact search was .965 to .988 with 64 looked at (9.5 ms), .979 to .994 with 96 (11.5 ms), .992 to .999 with 128
(13.5 ms). The 20 of LanceDB's default partitions have .88 at 17 ms (benchmarks/scale.py)."""

OUTGROWN = 4
"""An index of vectors is made anew when a partition holds so many times more rows than it was made for."""


RETRAINED = 200_000
"""From so many rows on the index of vectors is made anew whenever new rows were taken into it. Lance joins what it
holds for small partitions then, up to 8,192 rows, whatever the index was made with: at a million rows a search of 12 ms
takes 63 ms from there on, below this as long as before. To make it takes 29 s at a million rows, 4 s at 100,000."""

MANY_ADDITIONS = 8
"""Or when so many small indexes lie beside it: each makes a search 0.3 ms longer."""


async def vector_index_to_make(table: lancedb.AsyncTable, *, taken_in: bool = False) -> int:
    """Return how many partitions a new index of vectors should have, 0 if none is needed.

    Args:
        table: The table.
        taken_in: Whether the present index has just taken in new rows.
    """
    rows = await table.count_rows()
    indexes = await _vector_indexes(table)
    made_for = max([partitions * ROWS_PER_PARTITION for _, partitions in indexes], default=0)
    stats = [await table.index_stats(name) for name, _ in indexes]
    additions = max([(one.num_indices or 1) - 1 for one in stats if one], default=0)
    due = rows >= OUTGROWN * made_for or (taken_in and rows >= RETRAINED) or additions >= MANY_ADDITIONS
    return rows // ROWS_PER_PARTITION if rows >= INDEXED_VECTORS and due else 0


async def vectors_without_index(table: lancedb.AsyncTable) -> int:
    """Return how many rows the index of vectors has not taken in yet; 0 where there is none."""
    stats = [await table.index_stats(name) for name, _ in await _vector_indexes(table)]
    return max([one.num_unindexed_rows for one in stats if one], default=0)


async def make_vector_index(table: lancedb.AsyncTable, partitions: int) -> None:
    """Make the index of vectors, and drop an earlier one then: searches always have one of them."""
    earlier = await _vector_indexes(table)
    index = IvfSq(distance_type="cosine", num_partitions=partitions)
    name = f"{_VECTOR_INDEX}{partitions}"
    # IvfSq is documented beside the others and missing in the annotation.
    await table.create_index("vector", config=index, name=name)  # pyright: ignore[reportArgumentType]
    for other, _ in earlier:
        if other != name:
            await table.drop_index(other)


_VECTOR_INDEX = "vector_in_"


async def _vector_indexes(table: lancedb.AsyncTable) -> list[tuple[str, int]]:
    """Return the names of the indexes of vectors, each with its number of partitions, which the name ends with."""
    names = [index.name for index in await table.list_indices() if index.name.startswith(_VECTOR_INDEX)]
    return [(name, int(name.removeprefix(_VECTOR_INDEX))) for name in names]


async def rows_without_index(table: lancedb.AsyncTable) -> int:
    """Return how many rows the index of words has not taken in yet; a search reads them one by one."""
    for index in await table.list_indices():
        if index.columns == [TEXT_COLUMN]:
            stats = await table.index_stats(index.name)
            return stats.num_unindexed_rows if stats else 0
    return 0


async def drop_vector_indexes(table: lancedb.AsyncTable) -> None:
    """Drop the indexes of vectors; maintenance makes a new one if it pays."""
    for name, _ in await _vector_indexes(table):
        await table.drop_index(name)


async def works(table: lancedb.AsyncTable) -> bool:
    """Whether each index answers."""
    try:
        for column in (*BTREE_COLUMNS, *BITMAP_COLUMNS):
            await table.count_rows(f"{column} IS NULL")
        words = MatchQuery("souvenir", TEXT_COLUMN)  # pyright: ignore[reportCallIssue] - typed without its defaults
        await table.query().nearest_to_text(words).select(["row_id", "_score"]).limit(1).to_arrow()
    except (OSError, ValueError, RuntimeError):  # what LanceDB raises
        return False
    return True
