"""An open table, for the modules of this layer: locks and error translation, wherever the table is.

`reading` and `committing` are the only seam to what LanceDB raises.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import ClassVar

import lancedb

from store import schema
from store.creation import ALL_INDEXED, create_indexes, drop_vector_indexes
from store.errors import CorruptionError, StoreError
from store.locks import Lock


class TableHandle(ABC):
    """The current table of a store: in a folder (`store.folder`), or shared by machines (`store.shared`).

    Attributes:
        address: Where the store is, in words.
        name: Which table is the current one.
        offset: What is added to the numbers of commits, so that they go on rising with another table.
        findings: What was damaged when the store was opened, and what is lost; a sentence for each.
        maintenance_lock: Held by whoever merges or removes files. Taken before the write lock where both are.
    """

    is_shared: ClassVar[bool]
    """Whether servers on other machines write to it too, whom no lock of ours reaches."""

    keep_old_versions: ClassVar[timedelta]
    """How long old versions of the table stay, for readers that may still be at one."""

    maintenance_lock: Lock
    _table: lancedb.AsyncTable

    def __init__(self, address: str, database: lancedb.AsyncConnection) -> None:
        self.address = address
        self.database = database
        self.findings: tuple[str, ...] = ()
        self.name = ""
        self.offset = 0

    def close(self) -> None:
        """Release the table; nothing is pending, because every write is committed before it is answered."""
        self._table.close()

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold off other writers as far as a lock reaches, for whatever reads first and then writes.

        What it surrounds is not cancelled: a cancelled call leaves the whole change, or nothing of it.
        """

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

    @abstractmethod
    async def settle(self, task: str) -> None:
        """Return when everything that was committed is on the disk, by whatever process."""

    @abstractmethod
    async def _current(self) -> lancedb.AsyncTable:
        """Return the table that is the current one now."""

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
