"""Copies of a whole store: a file to take away, and earlier states that are kept beside the table.

Lance never writes to a file again once it has its name, so the files of the newest commit are a consistent copy as long
as nobody removes any, whatever is written meanwhile. Beside the table they are linked, which takes no room.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import anyio.to_thread
import lancedb

from store import migrations, schema, tables
from store.durability import Settled, write_down
from store.errors import CorruptionError, InvalidRequestError, NotFoundError, SchemaError
from store.folder import FolderHandle
from store.handle import translated
from store.recovery import newest_manifest, table_files
from store.tables import Reason

FORMAT = 1

_ABOUT = "souvenir.json"
_FOLDERS = {"_versions", "data", "_deletions", "_indices"}
_RECORD = "backups.json"
_BUILDING = f"{tables.BUILDING}restore"


@dataclass(frozen=True, slots=True)
class About:
    """What a backup is of. `rows` are versions of memories; `created_at` is ISO 8601, UTC."""

    format: int
    schema_version: int
    rows: int
    created_at: str


# To a file and back


async def create(handle: FolderHandle, file: Path) -> About:
    """Write the newest state of the store to a file; servers may go on writing.

    Raises:
        InvalidRequestError: There is such a file already.
        StoreError: The file can't be written.
    """
    if await anyio.to_thread.run_sync(file.exists):
        raise InvalidRequestError(f"{file} is there already. Name a new file; nothing was changed.")
    async with handle.maintenance_lock.held(), handle.reading("back up") as table:
        place = tables.path_of(handle.folder, handle.name)
        newest, rows = None, 0
        while newest is None or newest != newest_manifest(place):  # somebody committed in between
            newest, rows = newest_manifest(place), await table.count_rows()
        files = await anyio.to_thread.run_sync(_files_of, newest, place)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        about = About(FORMAT, schema.schema_version(await table.schema()) or 0, rows, now)
        _note_backup(handle.folder, file)  # first, so that a purge knows of it whatever happens
        await anyio.to_thread.run_sync(_pack, place, files, about, file)
    return about


def _files_of(manifest: Path | None, place: Path) -> list[Path]:
    """Return the files of a commit, and maybe more that it does not need."""
    return [file for file in table_files(place) if file.suffix not in (".manifest", ".json") or file == manifest]


def _pack(place: Path, files: list[Path], about: About, file: Path) -> None:
    partial = file.with_name(f"{file.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_ABOUT, json.dumps(asdict(about)))
            for one in files:
                archive.write(one, one.relative_to(place).as_posix())
        write_down(partial)
        os.replace(partial, file)  # noqa: PTH105 - in one piece
        write_down(file.parent)
    finally:
        partial.unlink(missing_ok=True)


async def restore(handle: FolderHandle, source: str) -> int:
    """Make a backup, or a state that was kept, the current state; the present one is kept.

    Args:
        handle: The open table.
        source: A file that `create` wrote, or the name of a kept table.

    Returns:
        How many versions of memories there are now.

    Raises:
        NotFoundError: There is no such file and no such kept table.
        CorruptionError: The backup is damaged. Nothing was changed.
        SchemaError: It was made by a newer Souvenir.
    """
    async with tables.not_reembedding(handle.folder), handle.alone():
        tables.tidy(handle.folder)
        place = tables.path_of(handle.folder, _BUILDING)
        with translated("restore"):
            if source in [one.table for one in tables.read(handle.folder)[0].kept]:
                await anyio.to_thread.run_sync(_link, tables.path_of(handle.folder, source), place)
                rows = None
            else:
                about = await anyio.to_thread.run_sync(_unpack, Path(source), place)
                rows = about.rows
            building = await _of_newest_schema(handle, rows)
        await handle.switch_to(building, keep="restore")
        tables.tidy(handle.folder)
        rotate(handle.folder)
        async with handle.reading("restore") as table:
            return await table.count_rows()


async def _of_newest_schema(handle: FolderHandle, rows: int | None) -> str:
    """Return the name of the table to switch to: the one that was unpacked, migrated if it is older."""
    table = await handle.database.open_table(_BUILDING)
    try:
        found = schema.schema_version(await table.schema())
        if found is None or found > schema.SCHEMA_VERSION:
            raise SchemaError(
                f"The backup has schema version {found}; this Souvenir knows version {schema.SCHEMA_VERSION}. "
                "Upgrade Souvenir; nothing was changed."
            )
        if rows is not None and await _readable_rows(table) != rows:
            raise CorruptionError("The backup does not hold what it says. Nothing was changed.")
        if found < schema.SCHEMA_VERSION:
            return await migrations.migrated(handle.database, table)
    finally:
        table.close()
    return _BUILDING


async def _readable_rows(table: lancedb.AsyncTable) -> int:
    batches = await table.query().to_batches(max_batch_length=10_000)
    return sum([batch.num_rows async for batch in batches])


_NO_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(KeyError, IndexError, ValueError, TypeError, OverflowError, RuntimeError),
)
"""What reading a damaged archive raises, beside OSError, which `translated` knows."""


def _unpack(file: Path, place: Path) -> About:
    try:
        with zipfile.ZipFile(file) as archive:
            about = About(**json.loads(archive.read(_ABOUT)))
            if about.format != FORMAT:
                raise SchemaError(f"{file} has the backup format {about.format}; this Souvenir knows {FORMAT}.")
            for name in archive.namelist():
                parts = PurePosixPath(name).parts
                if name == _ABOUT:
                    continue
                if parts[0] not in _FOLDERS or ".." in parts:
                    raise CorruptionError(f"{file} holds {name!r}, which is no file of a table. Nothing was changed.")
                archive.extract(name, place)  # checks what it reads against the archive's checksums
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {file}, and no kept state of this name.") from None
    except _NO_ARCHIVE as error:
        raise CorruptionError(f"{file} is no whole backup of Souvenir: {error}. Nothing was changed.") from error
    return about


# Beside the table


async def snapshot(handle: FolderHandle, before: Reason) -> str:
    """Keep the present state as it is before something is done to it, and return its name."""
    async with handle.alone():
        tables.with_ledger(handle.folder)
        name, place = tables.new_name(), tables.path_of(handle.folder, handle.name)
        with translated("keep the present state"):
            await anyio.to_thread.run_sync(_link, place, tables.path_of(handle.folder, name))
            await Settled(tables.path_of(handle.folder, name)).settle()
            tables.keep(handle.folder, name, before)
        rotate(handle.folder)
        return name


def rotate(folder: Path) -> None:
    """Let go of the oldest automatic snapshots. Call it under the write lock."""
    tables.forget(folder, tables.too_many(tables.read(folder)[0]))


async def drop(handle: FolderHandle, name: str) -> None:
    """Remove a kept state.

    Raises:
        NotFoundError: None has this name.
    """
    async with handle.alone():
        if name not in [one.table for one in tables.read(handle.folder)[0].kept]:
            raise NotFoundError(f"No kept state is called {name!r}; `souvenir backup list` shows them.")
        with translated("remove a kept state"):
            tables.forget(handle.folder, [name], strictly=True)


def _link(source: Path, target: Path) -> None:
    for file in _files_of(newest_manifest(source), source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, copy)
        except OSError:  # a file system without links
            shutil.copy2(file, copy)


# Where backups are


def _note_backup(folder: Path, file: Path) -> None:
    known = [str(one) for one in made(folder)]
    new = folder / f"{_RECORD}.new"
    new.write_text(json.dumps(sorted({*known, str(file.absolute())}), indent=2), "utf-8")
    write_down(new)
    os.replace(new, folder / _RECORD)  # noqa: PTH105 - in one piece


def made(folder: Path) -> Iterator[Path]:
    """Yield the backup files that were made of this store and are still where they were written."""
    try:
        names: list[str] = json.loads((folder / _RECORD).read_bytes())
    except (OSError, ValueError):
        return
    for name in names:
        if Path(name).exists():
            yield Path(name)
