"""The table of a store in a folder, which any number of processes on this machine may use at the same time."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

import anyio
import lancedb

from store import migrations, recovery, schema, tables
from store.creation import create_indexes, missing_indexes, works
from store.durability import Durability, Settled
from store.errors import SchemaError
from store.handle import TableHandle, schema_mismatch, translated
from store.locks import ProcessLock
from store.opening import connected, open_or_create
from store.tables import Reason

logger = logging.getLogger(__name__)

_GENERATION = 1 << 40


class FolderHandle(TableHandle):
    """The current table of a folder. Another process may switch to another one at any time: the next use follows.

    Attributes:
        folder: The store's folder.
        durability: Whether each commit is on the disk before the call that made it returns.
    """

    is_shared = False
    # The time of a query; whoever reads for longer (a backup, a purge) holds the maintenance lock.
    keep_old_versions = timedelta(seconds=30)

    def __init__(self, folder: Path, database: lancedb.AsyncConnection, durability: Durability) -> None:
        super().__init__(str(folder), database)
        self.folder = folder
        self.durability: Durability = durability
        self.maintenance_lock = ProcessLock(folder / "maintenance.lock")
        self._write_lock = ProcessLock(folder / "write.lock")
        self._mark: object = None
        self._settled: Settled | None = None
        self._switching = anyio.Lock()

    @classmethod
    async def open(cls, folder: Path, durability: Durability, *, patient: bool = False) -> Self:
        """Open the current table of a folder, creating both where they are not there yet.

        Args:
            folder: The store's folder.
            durability: Whether each commit is on the disk before the call that made it returns.
            patient: Migrate an older table however long it takes.

        Raises:
            SchemaError: The table was made by a newer Souvenir, or by something else.
            MigrationError: The table is older, and to migrate it takes long.
            StoreError: The folder can't be used.
        """
        with translated("open the store"):
            handle = cls(folder, await connected(folder), durability)
            findings = await handle._open_current()
        table = handle._table
        found = schema.schema_version(await table.schema())
        if found is None or found > schema.SCHEMA_VERSION:
            raise SchemaError(schema_mismatch(str(folder), found))
        if found < schema.SCHEMA_VERSION:
            async with handle.alone():
                await handle._migrate(patient=patient)
        await handle._complete(findings)
        handle.findings = tuple(findings)
        recovery.note_findings(folder, findings)
        for finding in findings:
            logger.warning("%s", finding)
        return handle

    async def _open_current(self) -> list[str]:
        """Open the table that is current, and return what was found damaged."""
        while True:
            mark = tables.mark(self.folder)
            ledger, findings = tables.read(self.folder)
            try:
                table, damage = await open_or_create(self.folder, ledger.current, self.database, self.alone)
            except FileNotFoundError:
                if mark != tables.mark(self.folder):  # another process has switched meanwhile
                    continue
                raise
            if findings:
                async with self.writing():
                    tables.mend(self.folder)
            if damage and ledger.kept and await table.count_rows() == 0:
                newest = ledger.kept[-1]
                damage.append(
                    f"An earlier state is kept, from before a {newest.before}, {newest.at}: "
                    f"souvenir backup restore {newest.table}"
                )
            self._mark = mark
            self._use(ledger.current, table)
            return findings + damage

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Hold the cross-process write lock, for whatever reads first and then writes.

        What it surrounds is not cancelled: a cancelled call leaves the whole change, or nothing of it.
        """
        async with self._write_lock.held():
            with anyio.CancelScope(shield=True):
                yield

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Hold both locks: nobody else writes, merges or removes files."""
        async with self.maintenance_lock.held(), self.writing():
            yield

    async def settle(self, task: str) -> None:
        """Return when everything that was committed is on the disk, by whatever process."""
        if self._settled:
            with translated(f"make sure that it is on the disk (it did {task})"):
                await self._settled.settle()

    async def switch_to(self, building: str, *, keep: Reason | None) -> str:
        """Make a complete table the current one, and return the name of the former one. Call it under both locks.

        Args:
            building: The table, which takes a name of its own now; no handle of it may be in use.
            keep: What the former table is kept before; None if the caller removes it.
        """
        name, former = tables.new_name(), self.name
        with translated("switch to the new table"):
            tables.with_ledger(self.folder)
            place = tables.path_of(self.folder, name)
            tables.path_of(self.folder, building).rename(place)
            await Settled(place).settle()
            tables.switch(self.folder, name, keep=keep)
            await self._current()
        return former

    async def _current(self) -> lancedb.AsyncTable:
        mark = tables.mark(self.folder)
        if mark != self._mark:
            async with self._switching:
                if mark != self._mark:
                    name = tables.read(self.folder)[0].current
                    table = self._table if name == self.name else await self.database.open_table(name)
                    found = schema.schema_version(await table.schema())
                    if found != schema.SCHEMA_VERSION:
                        raise SchemaError(schema_mismatch(self.address, found))
                    if name != self.name:
                        self._use(name, table)
                    self._mark = mark
        return self._table

    def _use(self, name: str, table: lancedb.AsyncTable) -> None:
        if self.name:
            self.offset += _GENERATION
        self.name, self._table = name, table
        self._settled = Settled(tables.path_of(self.folder, name)) if self.durability == "full" else None

    async def _migrate(self, *, patient: bool) -> None:
        with translated("migrate the store"):
            self._table = table = await self.database.open_table(tables.read(self.folder)[0].current)
            found = schema.schema_version(await table.schema()) or 0
            if found >= schema.SCHEMA_VERSION:  # another process has done it
                return
            if not patient:
                await migrations.refuse_if_long(table, self.folder)
            tables.tidy(self.folder)
            building = await migrations.migrated(self.database, table)
        await self.switch_to(building, keep="migration")
        tables.forget(self.folder, tables.too_many(tables.read(self.folder)[0]))
        logger.warning("The store was migrated from schema version %d to %d.", found, schema.SCHEMA_VERSION)

    async def _complete(self, findings: list[str]) -> None:
        """Create the indexes of a new table, and what a process that died in `open` or `adopt` left undone."""
        async with self.reading("open the store") as table:
            incomplete = await missing_indexes(table) or "vector" not in (await table.schema()).names
            broken = not incomplete and not await works(table)
        if incomplete:
            async with self.writing(), self.committing("open the store") as table:
                await create_indexes(table, await missing_indexes(table))
                if "vector" not in (await table.schema()).names:
                    await table.add_columns(schema.vector_field(schema.DEFAULT_DIMENSION))
        if broken or (incomplete and not await works(self._table)):
            findings.append("An index was damaged; all were made anew. No memory is lost.")
            await self.remake_indexes()
