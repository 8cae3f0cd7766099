"""From a folder to a table: created where there is none, and at its newest whole state where something is damaged."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import lancedb

from store import recovery, tables
from store.creation import create_table
from store.durability import write_down


async def connected(folder: Path) -> lancedb.AsyncConnection:
    """Return the tables of a folder, which is made if it is not there. Raises whatever LanceDB raises."""
    return await lancedb.connect_async(_made(folder), read_consistency_interval=timedelta(0))


Alone = Callable[[], AbstractAsyncContextManager[None]]
"""Holds off all other processes that write, merge or remove files."""


async def open_or_create(
    folder: Path, name: str, database: lancedb.AsyncConnection, alone: Alone
) -> tuple[lancedb.AsyncTable, list[str]]:
    """Return the table of this name, created where it is not there, and what was found damaged.

    Raises whatever LanceDB raises.
    """
    findings = await _mended(folder, name, database, alone)
    table = await _opened(database, name)
    if table is None:
        if name != tables.FIRST and not findings:
            raise FileNotFoundError(f"the table {name}")  # another one has taken its place meanwhile
        async with alone():  # two servers may start on an empty folder
            table = await _opened(database, name) or await create_table(database, name)
    return table, findings


async def _mended(folder: Path, name: str, database: lancedb.AsyncConnection, alone: Alone) -> list[str]:
    """Put aside what is damaged, so that the table opens at its newest whole state; say what was found."""
    place = folder / f"{name}.lance"
    if not place.exists():
        return []
    missing = await anyio.to_thread.run_sync(recovery.missing_commits, place)
    damaged = await anyio.to_thread.run_sync(recovery.damaged_files, place)
    no_table = await anyio.to_thread.run_sync(recovery.newest_manifest, place) is None
    if not (missing or damaged or no_table) and await _is_whole(database, name, quickly=True):
        return []

    async def whole() -> bool:
        return await _is_whole(database, name, suspicious=bool(damaged))

    async with alone():
        if not place.exists():  # another process switched to another table, or put this one aside
            return []
        findings = await recovery.mend(folder, place, whole)
        if missing and not findings:
            findings.append(f"The newest {missing} commits are missing: what they changed is lost.")
        return findings


async def _is_whole(
    database: lancedb.AsyncConnection, name: str, *, quickly: bool = False, suspicious: bool = False
) -> bool:
    """Whether every row can be read; `quickly`, whether its first column can, which opens each file.

    What fails for another reason than a missing or damaged file says nothing of the files, and is raised: nothing may
    be put aside because a permission is missing or the machine has run out of handles.
    """
    try:
        table = await _opened(database, name)
        if table is None:
            return False
        query = table.query()
        if quickly:
            query = query.select([(await table.schema()).names[0]])
        async for _ in await query.to_batches(max_batch_length=10_000):
            pass
    except (OSError, ValueError, RuntimeError) as error:  # what LanceDB raises, see `store.table`
        if suspicious or re.search("not found|no such file", str(error), re.IGNORECASE):
            return False
        raise
    return True


async def _opened(database: lancedb.AsyncConnection, name: str) -> lancedb.AsyncTable | None:
    return await database.open_table(name) if name in (await database.list_tables()).tables else None


def _made(folder: Path) -> Path:
    """Return the folder as an absolute path: LanceDB takes a relative one that begins with "db" for a cloud address."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in new:
        write_down(path.parent)
    return folder.resolve()
