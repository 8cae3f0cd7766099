"""The open table of a folder, for the modules of this layer: locks, error translation, and the switch to another table.

`reading` and `committing` are the only seam to what LanceDB raises.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import errno
import logging
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Self

import anyio
import lancedb

from store import migrations, recovery, schema, tables
from store.creation import ALL_INDEXED, create_indexes, drop_vector_indexes, missing_indexes, works
from store.durability import Durability, Settled
from store.errors import CorruptionError, SchemaError, StoreError
from store.locks import Lock, ProcessLock
from store.opening import connected, open_or_create
from store.tables import Reason

logger = logging.getLogger(__name__)

_GENERATION = 1 << 40


class TableHandle:
    """The current table of a folder. Another process may switch to another one at any time: the next use follows.

    Attributes:
        address: Where the store is, in words.
        durability: Whether each commit is on the disk before the call that made it returns.
        findings: What was damaged when the store was opened, and what is lost; a sentence for each.
        maintenance_lock: Held by whoever merges or removes files. Taken before the write lock where both are.
    """

    is_shared: ClassVar[bool] = False
    """Whether servers on other machines write to it too, whom no lock of ours reaches."""

    keep_old_versions: ClassVar[timedelta | None] = None
    """How long old versions stay, where that is not up to `store.upkeep`."""

    _table: lancedb.AsyncTable
    _settled: Settled | None

    def __init__(self, folder: Path, database: lancedb.AsyncConnection, durability: Durability) -> None:
        self._folder = folder
        self.address = str(folder)
        self.database = database
        self.durability: Durability = durability
        self.findings: tuple[str, ...] = ()
        self.maintenance_lock: Lock = ProcessLock(folder / "maintenance.lock")
        self.name = ""
        self._write_lock = ProcessLock(folder / "write.lock")
        self._mark: object = None
        self._switching = anyio.Lock()
        self.offset = -_GENERATION
        """What is added to the numbers of commits, so that they go on rising with another table."""

    @property
    def folder(self) -> Path:
        """The store's folder."""
        return self._folder

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

    def close(self) -> None:
        """Release the table; nothing is pending, because every write is committed before it is answered."""
        self._table.close()

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

    @asynccontextmanager
    async def reading(self, task: str) -> AsyncGenerator[lancedb.AsyncTable]:
        """Yield the table to read from; errors inside are translated."""
        with translated(task):
            yield await self._current()

    @asynccontextmanager
    async def committing(self, task: str) -> AsyncGenerator[lancedb.AsyncTable]:
        """Yield the table to write to; return when it is on the disk. Errors inside are translated."""
        with translated(task):
            yield await self._current()
        await self.settle(task)

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
        self.name, self._table = name, table
        self._settled = Settled(tables.path_of(self.folder, name)) if self.durability == "full" else None
        self.offset += _GENERATION

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

    async def remake_indexes(self) -> None:
        """Make all indexes anew; maintenance makes that of the vectors if it pays."""
        async with self.writing(), self.committing("make the indexes") as table:
            await drop_vector_indexes(table)
            await create_indexes(table, ALL_INDEXED)


def schema_mismatch(store: str, found: int | None) -> str:
    """Return why a table is not one to work with: of no Souvenir, or of a newer one."""
    if found is None:
        return f"The table in {store} was not made by Souvenir. Set SOUVENIR_STORE to another folder."
    return (
        f"The store in {store} has schema version {found}; this Souvenir knows version {schema.SCHEMA_VERSION}. "
        "Upgrade Souvenir and restart this server; nothing was changed."
    )


@contextmanager
def translated(task: str) -> Generator[None]:
    """Turn what LanceDB raises into our errors.

    LanceDB raises builtin errors: OSError and its kind for files, ValueError and RuntimeError for the rest.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise CorruptionError(f"The store could not {task}: a file is missing ({_first_line(error)}).") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"The store could not {task}: {_first_line(error)}{_advice(error)}") from error


_ADVICE = {
    errno.ENOSPC: "The disk is full: make room and try again.",
    getattr(errno, "EDQUOT", errno.ENOSPC): "Your share of the disk is used up: make room and try again.",
    errno.EFBIG: "The file would be larger than is allowed here: raise the limit and try again.",
    errno.EROFS: "The disk can only be read: make it writable and try again.",
    errno.EACCES: "A permission is missing: give it back and try again.",
}


def _advice(error: Exception) -> str:
    """Return what to do about an error of the operating system; LanceDB names its number in words."""
    named = re.search(r"os error (\d+)", str(error))
    number = int(named[1]) if named else error.errno if isinstance(error, OSError) else None
    return f". {_ADVICE[number]} Nothing is lost that was acknowledged." if number in _ADVICE else ""


def _first_line(error: Exception) -> str:
    """Return the gist of LanceDB's messages, which go on with Rust source locations and file dumps."""
    return re.split(r"\n|, /\S+\.rs:", str(error).strip(), maxsplit=1)[0][:300]
