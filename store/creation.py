"""A new table with all its indexes, and what each index is for."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection

import lancedb
from lancedb.index import FTS, Bitmap, BTree

from store.schema import table_schema
from store.words import STOP_WORDS

BTREE_COLUMNS = ("row_id", "memory_id", "content_hash", "superseded_at", "run_id")
BITMAP_COLUMNS = ("user_id", "project", "agent_id", "live_scope")
TEXT_COLUMN = "search_text"


async def create_table(database: lancedb.AsyncConnection, name: str) -> lancedb.AsyncTable:
    """Create the empty table; its indexes are for `create_indexes`. Call it under the write lock."""
    # Rows keep their identity when files are merged, and tell which commit they came with (`changed_since`).
    return await database.create_table(
        name, schema=table_schema(), storage_options={"new_table_enable_stable_row_ids": "true"}
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
    return [column for column in (TEXT_COLUMN, *BTREE_COLUMNS, *BITMAP_COLUMNS) if column not in present]
