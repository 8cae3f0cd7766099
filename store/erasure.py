"""Erasure for good: no file of the store's folder contains a purged memory afterwards.

Rows that are deleted in place live on in old versions, in files that were not merged yet and in the words of the
full-text index. So the table is written anew without them, and takes the place of the former one, which is removed; the
same with every earlier state that was kept. Damaged files in quarantine can't be looked into and are removed whole.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import shutil

import anyio
import anyio.to_thread
import lancedb

from store import tables
from store.durability import Settled, write_down
from store.errors import StoreError
from store.filters import Predicate
from store.folder import FolderHandle
from store.handle import translated
from store.recovery import QUARANTINE
from store.rewriting import rewritten

GRACE_SECONDS = 1.0
"""How long other processes may still read the former table, in queries that had begun before the switch."""

_BUILDING = f"{tables.BUILDING}purge"


async def erase(handle: FolderHandle, what: Predicate) -> int:
    """Erase rows from the table and from everything that was kept.

    Args:
        handle: The open table.
        what: Which rows; it may name columns of the first schema only, because kept states may be old.

    Returns:
        How many rows there were, in the current table; 0 also if they were in kept states only.

    Raises:
        StoreError: Another process is embedding the store anew; or files can't be removed, or a kept state not read:
            the message says which.
    """
    folder = handle.folder
    async with tables.not_reembedding(folder), handle.alone():
        with translated("remove what an earlier attempt left"):
            tables.tidy(folder, strictly=True)
        async with handle.reading("purge") as table:
            erased = await table.count_rows(what)
            if erased:
                await _without(handle.database, table, what, indexed=True)
        if erased:
            await handle.switch_to(_BUILDING, keep=None)
        unreadable = [kept.table for kept in tables.read(folder)[0].kept if not await _purged(handle, kept.table, what)]
        if erased:
            await anyio.sleep(GRACE_SECONDS)
        with translated("remove the former files"):
            if (folder / QUARANTINE).is_dir():
                await anyio.to_thread.run_sync(shutil.rmtree, folder / QUARANTINE)
            tables.tidy(folder, strictly=True)  # the former tables are in no ledger any more
            write_down(folder)
        if unreadable:
            raise StoreError(
                f"The memories were purged, but kept states can't be read and may still hold them: "
                f"{', '.join(unreadable)}. Remove each: souvenir backup drop {unreadable[0]}"
            )
        return erased


async def _purged(handle: FolderHandle, kept: str, what: Predicate) -> bool:
    """Purge a kept state; False if it can't be read."""
    try:
        with translated("purge a kept state"):
            table = await handle.database.open_table(kept)
            concerned = await table.count_rows(what)
            if concerned:
                await _without(handle.database, table, what, indexed=False)
            table.close()
    except StoreError:
        return False
    if concerned:
        with translated("purge a kept state"):
            name = tables.new_name()
            tables.path_of(handle.folder, _BUILDING).rename(tables.path_of(handle.folder, name))
            await Settled(tables.path_of(handle.folder, name)).settle()
            tables.replace_kept(handle.folder, kept, name)
    return True


async def _without(
    database: lancedb.AsyncConnection, table: lancedb.AsyncTable, what: Predicate, *, indexed: bool
) -> None:
    await rewritten(database, table, _BUILDING, await table.schema(), where=f"({what}) IS NOT TRUE", indexed=indexed)
