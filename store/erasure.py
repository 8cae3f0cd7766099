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
from store.filters import Predicate
from store.handle import TableHandle, translated
from store.recovery import QUARANTINE
from store.rewriting import rewritten

GRACE_SECONDS = 1.0
"""How long other processes may still read the former table, in queries that had begun before the switch."""

_BUILDING = f"{tables.BUILDING}purge"


async def erase(handle: TableHandle, what: Predicate) -> int:
    """Erase rows from the table and from everything that was kept.

    Args:
        handle: The open table.
        what: Which rows; it may name columns of the first schema only, because kept states may be old.

    Returns:
        How many rows there were, in the current table; 0 also if they were in kept states only.
    """
    folder = handle.folder
    async with handle.alone():
        tables.tidy(folder)
        async with handle.reading("purge") as table:
            erased = await table.count_rows(what)
        former: list[str] = []
        if erased:
            async with handle.reading("purge") as table:
                await _without(handle.database, table, what, indexed=True)
            former.append(await handle.switch_to(_BUILDING, keep=None))
        for kept in tables.read(folder)[0].kept:
            with translated("purge a kept state"):
                table = await handle.database.open_table(kept.table)
                if await table.count_rows(what):
                    await _without(handle.database, table, what, indexed=False)
                    name = tables.new_name()
                    tables.path_of(folder, _BUILDING).rename(tables.path_of(folder, name))
                    await Settled(tables.path_of(folder, name)).settle()
                    tables.replace_kept(folder, kept.table, name)
                    former.append(kept.table)
                table.close()
        if erased:
            await anyio.sleep(GRACE_SECONDS)
        with translated("purge"):
            for name in former:
                await anyio.to_thread.run_sync(shutil.rmtree, tables.path_of(folder, name))
            if (folder / QUARANTINE).is_dir():
                await anyio.to_thread.run_sync(shutil.rmtree, folder / QUARANTINE)
            write_down(folder)
        return erased


async def _without(
    database: lancedb.AsyncConnection, table: lancedb.AsyncTable, what: Predicate, *, indexed: bool
) -> None:
    await rewritten(database, table, _BUILDING, await table.schema(), where=f"({what}) IS NOT TRUE", indexed=indexed)
