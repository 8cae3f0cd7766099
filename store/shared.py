"""A table that servers on several machines share: on object storage, or in LanceDB Cloud or Enterprise.

No lock reaches across machines. What reads and then writes compares and swaps instead, see `MemoryTable.supersede` and
`tools.adding`: whoever comes second sees it and begins anew.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

import anyio
import lancedb

from store import schema
from store.addresses import SCHEMES
from store.creation import create_indexes, create_table, missing_indexes
from store.errors import ConfigError, MigrationError, SchemaError, StoreError, is_conflict
from store.handle import TableHandle, schema_mismatch, translated
from store.locks import TaskLock
from store.tables import FIRST

ATTEMPTS = 10

_CLOUD_OPTIONS = ("api_key", "region", "host_override")


class SharedHandle(TableHandle):
    """The one table of a store that is no folder."""

    is_shared = True
    # No lock tells whether a reader on another machine is still at one.
    keep_old_versions = timedelta(minutes=10)

    def __init__(self, address: str, database: lancedb.AsyncConnection) -> None:
        super().__init__(address, database)
        self.maintenance_lock = TaskLock()
        self._tasks = TaskLock()

    @classmethod
    async def open(cls, address: str, options: Mapping[str, str]) -> Self:
        """Open the table at an address, creating it where it is not there yet.

        Args:
            address: `s3://bucket/path`, `gs://bucket/path`, `az://container/path` or `db://database`.
            options: What LanceDB needs to get there, such as `endpoint` and `region`; for `db://` its `api_key`.

        Raises:
            ConfigError: The address is of no kind that is known.
            StoreError: It can't be reached, or the table was made by another version of Souvenir.
        """
        if address.partition("://")[0] not in SCHEMES:
            raise ConfigError(
                f"SOUVENIR_STORE is {address!r}. Pass a folder, or an address that begins with "
                f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}."
            )
        with translated("open the store"):
            handle = cls(address, await _connected(address, options))
            await handle._open()
        found = schema.schema_version(await handle._table.schema())
        if found is None or found > schema.SCHEMA_VERSION:
            raise SchemaError(schema_mismatch(address, found))
        if found < schema.SCHEMA_VERSION:
            raise MigrationError(
                f"The store at {address} has schema version {found}, and this Souvenir needs {schema.SCHEMA_VERSION}. "
                "Export it with the version that made it, and import that into a new address. Nothing was changed."
            )
        await handle._with_indexes()
        return handle

    async def _open(self) -> None:
        for attempt in range(ATTEMPTS):
            if FIRST in (await self.database.list_tables()).tables:
                self._use(FIRST, await self.database.open_table(FIRST))
                return
            try:
                await create_table(self.database, FIRST)
            except (OSError, ValueError, RuntimeError):  # another server was quicker
                if attempt == ATTEMPTS - 1:
                    raise

    async def _with_indexes(self) -> None:
        for attempt in range(ATTEMPTS):
            async with self.reading("open the store") as table:
                missing = await missing_indexes(table)
            if not missing:
                return
            try:
                async with self.committing("make the indexes") as table:
                    await create_indexes(table, missing)
            except StoreError as error:  # two servers begin on an empty store
                if attempt == ATTEMPTS - 1 or not is_conflict(error):
                    raise
                await anyio.sleep(0.1 * attempt)

    def _use(self, name: str, table: lancedb.AsyncTable) -> None:
        self.name, self._table = name, table

    async def settle(self, task: str) -> None:
        """Return: a commit is on the disk, or whatever is there, before LanceDB says that it is made."""

    async def _current(self) -> lancedb.AsyncTable:
        return self._table

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Keep this process's own writers in order; those of others are met by comparing and swapping."""
        async with self._tasks.held():
            with anyio.CancelScope(shield=True):
                yield


async def _connected(address: str, options: Mapping[str, str]) -> lancedb.AsyncConnection:
    if address.startswith("db://"):
        cloud = {name: options[name] for name in _CLOUD_OPTIONS if name in options}
        return await lancedb.connect_async(address, **cloud)  # pyright: ignore[reportArgumentType] - three texts
    return await lancedb.connect_async(address, storage_options=dict(options), read_consistency_interval=timedelta(0))
