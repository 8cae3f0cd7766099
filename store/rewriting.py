"""A table made from another one: of the newest schema, or without some of its rows."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable

import lancedb
import pyarrow as pa

from store.creation import ALL_INDEXED, create_indexes, create_table, make_vector_index, vector_index_to_make
from store.filters import Predicate

_BATCH = 10_000


async def rewritten(
    database: lancedb.AsyncConnection,
    source: lancedb.AsyncTable,
    name: str,
    new_schema: pa.Schema,
    *,
    change: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    where: Predicate = "",
    indexed: bool = True,
) -> None:
    """Make a table of the rows of another one. Raises whatever LanceDB raises.

    Args:
        database: Where both tables are.
        source: Whose rows.
        name: What the new table is called.
        new_schema: Of the new table, with its metadata.
        change: Makes rows of the new schema from some of the source's.
        where: Which rows; all if empty.
        indexed: Whether the new table gets its indexes; opening it as the current one makes up for them.
    """
    target = await create_table(database, name, new_schema)
    query = source.query()
    async for batch in await (query.where(where) if where else query).to_batches(max_batch_length=_BATCH):
        if batch.num_rows:
            await target.add(change(pa.Table.from_batches([batch])))
    if indexed:
        await complete(target)
    target.close()


async def complete(table: lancedb.AsyncTable) -> None:
    """Make all indexes of a table that was filled without them."""
    await create_indexes(table, ALL_INDEXED)
    if partitions := await vector_index_to_make(table):
        await make_vector_index(table, partitions)
