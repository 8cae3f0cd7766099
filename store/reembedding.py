"""From one embedding model to another: a new table is filled beside the current one and takes its place at the end.

What is still to do follows from comparing the two tables, so that a process that dies costs nothing but the batch it
was at, and what servers write meanwhile is carried over like everything else.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import lancedb

from store import schema, tables
from store.creation import create_table
from store.durability import Settled
from store.embedders.base import Embedder
from store.errors import InvalidRequestError, ProviderOutputError
from store.filters import one_of
from store.folder import FolderHandle
from store.handle import translated
from store.models import Memory, Vector
from store.rewriting import complete

BATCH = 64
FEW = 64
"""With so few rows to go the writers are made to wait, so that an end is reached whatever they do."""

Progress = Callable[[int, int], None]
"""Called with how many rows are done, and how many there are."""


async def reembed(handle: FolderHandle, embedder: Embedder, progress: Progress = lambda _done, _all: None) -> int:
    """Give all memories vectors of another model. Servers may go on; a repetition continues where this stopped.

    Args:
        handle: The open table.
        embedder: Makes the new vectors.
        progress: Told after each batch.

    Returns:
        How many rows the table has now. The former table is kept, see `store.tables`.

    Raises:
        InvalidRequestError: The vectors are this model's already.
        ProviderError: The embedder failed; what was embedded is kept for the next attempt.
        StoreError: Another process is at it, or the store failed.
    """
    async with tables.not_reembedding(handle.folder):
        target = await _target(handle, embedder)
        while len(to_do := (await _to_do(handle, target))[0]) > FEW:
            await _carry_over(handle, target, embedder, to_do, progress)
        with translated("make the indexes"):
            await complete(target)
        async with handle.alone():
            to_do, gone = await _to_do(handle, target)
            await _carry_over(handle, target, embedder, to_do, progress)
            with translated("embed the store anew"):
                if gone:
                    await target.delete(one_of("row_id", gone))
                rows = await target.count_rows()
                target.close()
            await handle.switch_to(tables.REEMBEDDING, keep="reembed")
    return rows


async def _target(handle: FolderHandle, embedder: Embedder) -> lancedb.AsyncTable:
    """Return the table to fill: the one that an earlier attempt left, or a new one."""
    own = await embedder.fingerprint()
    async with handle.reading("read") as table:
        current = await table.schema()
    if schema.fingerprint(current) == own:
        raise InvalidRequestError(f"The vectors of this store are those of {own} already. Nothing was changed.")
    wanted = schema.table_schema(own.dimension, own, schema.migrations(current))
    place = tables.path_of(handle.folder, tables.REEMBEDDING)
    with translated("embed the store anew"):
        if place.exists():
            try:
                left = await handle.database.open_table(tables.REEMBEDDING)
                if await left.schema() == wanted and schema.fingerprint(await left.schema()) == own:
                    return left
            except (OSError, ValueError, RuntimeError):  # it died while it was made
                pass
            shutil.rmtree(place)
        return await create_table(handle.database, tables.REEMBEDDING, wanted)


async def _to_do(handle: FolderHandle, target: lancedb.AsyncTable) -> tuple[list[str], list[str]]:
    """Return the rows to carry over, sorted, and those that are in the current table no more."""
    async with handle.reading("read") as table:
        there = await _ends(table)
    with translated("embed the store anew"):
        done = await _ends(target)
    # A row never changes, but that it ends when the next version comes.
    to_do = sorted(row_id for row_id, end in there.items() if done.get(row_id, _ABSENT) != end)
    return to_do, sorted(done.keys() - there.keys())


_ABSENT = object()


async def _ends(table: lancedb.AsyncTable) -> dict[str, object]:
    rows = await table.query().select(["row_id", "superseded_at"]).to_arrow()
    row_ids = cast("list[str]", rows.column("row_id").to_pylist())
    return dict(zip(row_ids, rows.column("superseded_at").to_pylist(), strict=True))


async def _carry_over(
    handle: FolderHandle, target: lancedb.AsyncTable, embedder: Embedder, row_ids: Sequence[str], progress: Progress
) -> None:
    settled = Settled(tables.path_of(handle.folder, tables.REEMBEDDING))
    for start in range(0, len(row_ids), BATCH):
        async with handle.reading("read") as table:
            rows = table.query().where(one_of("row_id", row_ids[start : start + BATCH])).select(list(schema.COLUMNS))
            memories = schema.from_arrow(await rows.to_arrow())
        embedded = await _embedded(embedder, memories)
        with translated("embed the store anew"):
            merge = target.merge_insert("row_id").when_matched_update_all().when_not_matched_insert_all()
            await merge.execute(schema.to_arrow(embedded, await target.schema()), on_bad_vectors="null")
            await settled.settle()
        progress(min(start + BATCH, len(row_ids)), len(row_ids))


async def _embedded(embedder: Embedder, memories: Sequence[Memory]) -> list[Memory]:
    """Return memories with their new vectors; a deletion has none, nor what the model takes for no text."""
    live = [memory for memory in memories if not memory.deleted_at]
    vectors: list[Vector | None] = []
    try:
        vectors = [*await embedder.embed_documents([memory.content for memory in live])] if live else []
    except ProviderOutputError:
        for memory in live:
            try:
                vectors += await embedder.embed_documents([memory.content])
            except ProviderOutputError:
                vectors.append(None)
    by_row = {memory.row_id: vector for memory, vector in zip(live, vectors, strict=True)}
    return [replace(memory, vector=by_row.get(memory.row_id)) for memory in memories]
