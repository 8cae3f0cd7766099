"""The tables of a store's folder: the one that is current, and earlier states that were kept.

A change that concerns every row (a migration, another embedding model, an erasure, a restored backup) is made in a new
table, which then takes the place of the current one: `tables.json`, written in one piece, says which one that is. Every
process looks at it before it reads or writes (`mark`), so that the switch is seen by all of them at once.
"""

import json
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from store.durability import write_down
from store.errors import StoreError
from store.locks import ProcessLock

FIRST = "memories"
"""The table of a new store."""

BUILDING = "building-"
"""How tables begin that are not complete yet."""

REEMBEDDING = f"{BUILDING}reembed"
"""The one that may take hours, and is continued after a crash."""

_LEDGER = "tables.json"
_NAME = re.compile(r"memories(-[0-9a-z]+)?")

Reason = Literal["migration", "import", "reembed", "restore", "damage"]

ROTATED: tuple[Reason, ...] = ("migration", "import", "restore")
SNAPSHOTS_KEPT = 3
"""Of the states kept for each of these reasons the newest so many stay; the others until somebody drops them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier state: the table's name, what it was kept before, and when (ISO 8601, UTC)."""

    table: str
    before: Reason
    at: str


@dataclass(frozen=True, slots=True)
class Tables:
    """The name of the current table, and what was kept, oldest first."""

    current: str = FIRST
    kept: tuple[Kept, ...] = ()


def path_of(folder: Path, table: str) -> Path:
    """Return where a table's files are."""
    return folder / f"{table}.lance"


def mark(folder: Path) -> tuple[int, int, int] | None:
    """Return what changes whenever another table becomes the current one; None for a store that never had another."""
    try:
        status = (folder / _LEDGER).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read(folder: Path) -> tuple[Tables, list[str]]:
    """Return the tables, and what was found damaged; a sentence for each."""
    try:
        ledger = json.loads((folder / _LEDGER).read_bytes())
        tables = Tables(str(ledger["current"]), tuple(Kept(**one) for one in ledger["kept"]))
        if path_of(folder, tables.current).is_dir():
            return tables, []
        problem = f"{_LEDGER} names the table {tables.current}, which is not there"
    except FileNotFoundError:
        if _present(folder) in ([], [FIRST]):
            return Tables(), []
        problem = f"{_LEDGER} is missing"
    except (ValueError, KeyError, TypeError):
        problem = f"{_LEDGER} is damaged"
    *others, newest = sorted(_present(folder), key=lambda name: _written_at(path_of(folder, name))) or [FIRST]
    # Whatever they are, they are somebody's memories.
    kept = tuple(_kept(name, "damage") for name in others)
    return Tables(newest, kept), [f"{problem}. The table that was written to last is used: {newest}."]


def _present(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.lance") if _NAME.fullmatch(path.stem)]


def _written_at(table: Path) -> int:
    return max((file.stat().st_mtime_ns for file in table.glob("_versions/*.manifest")), default=0)


def new_name() -> str:
    """Return a name that no table of the folder has; later ones sort after earlier ones."""
    return f"{FIRST}-{time.time_ns():x}"


def switch(folder: Path, name: str, *, keep: Reason | None) -> None:
    """Make a complete table the current one. Call it under the write lock.

    Args:
        folder: The store's folder.
        name: The table.
        keep: The former table is kept, as the state before this; None if the caller removes it.
    """
    tables, _ = read(folder)
    _write(folder, Tables(name, (*tables.kept, *([_kept(tables.current, keep)] if keep else []))))


def keep(folder: Path, name: str, before: Reason) -> None:
    """Note a table that is a snapshot of the current one. Call it under the write lock."""
    tables, _ = read(folder)
    _write(folder, Tables(tables.current, (*tables.kept, _kept(name, before))))


def replace_kept(folder: Path, old: str, new: str) -> None:
    """Put a table in the place of a kept one, which the caller removes. Call it under the write lock."""
    tables, _ = read(folder)
    kept = tuple(replace(one, table=new) if one.table == old else one for one in tables.kept)
    _write(folder, Tables(tables.current, kept))


def _kept(table: str, before: Reason) -> Kept:
    return Kept(table, before, datetime.now(UTC).isoformat(timespec="seconds"))


def forget(folder: Path, names: Sequence[str], *, strictly: bool = False) -> None:
    """Remove kept tables from the ledger and from the disk. Call it under the write lock.

    Args:
        folder: The store's folder.
        names: The tables.
        strictly: Raise if files can't be removed; otherwise a later `tidy` tries again.
    """
    tables, _ = read(folder)
    _write(folder, Tables(tables.current, tuple(one for one in tables.kept if one.table not in names)))
    for name in names:
        shutil.rmtree(path_of(folder, name), ignore_errors=not strictly)


def too_many(tables: Tables) -> list[str]:
    """Return the kept tables that rotation lets go of: of each reason the oldest."""
    return [
        name
        for reason in ROTATED
        for name in [one.table for one in tables.kept if one.before == reason][:-SNAPSHOTS_KEPT]
    ]


def _write(folder: Path, tables: Tables) -> None:
    whole = {"current": tables.current, "kept": [asdict(one) for one in tables.kept]}
    new = folder / f"{_LEDGER}.new"
    new.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    write_down(new)
    os.replace(new, folder / _LEDGER)  # noqa: PTH105 - in one piece
    write_down(folder)


def mend(folder: Path) -> None:
    """Write a ledger that was damaged or missing anew. Call it under the write lock."""
    _write(folder, read(folder)[0])


def with_ledger(folder: Path) -> Tables:
    """Return the tables, and see to it that there is a ledger: what it does not name is known to be a remainder then.

    Call it under the write lock.
    """
    tables, _ = read(folder)
    if mark(folder) is None:
        _write(folder, tables)
    return tables


@asynccontextmanager
async def not_reembedding(folder: Path) -> AsyncGenerator[None]:
    """Keep away whoever fills a new table for hours, outside the other locks, and be refused while one is at it.

    Raises:
        StoreError: Another process is embedding the store anew.
    """
    async with ProcessLock(folder / "reembed.lock").if_free() as free:
        if not free:
            raise StoreError(
                "A process is embedding this store anew (souvenir reembed). Nothing was changed. Wait for its end, or "
                "stop it: it can be continued later."
            )
        yield


def tidy(folder: Path, *, strictly: bool = False, but: str = "") -> None:
    """Remove what processes left that died while they made, switched or removed a table. Call it under both locks.

    Args:
        folder: The store's folder.
        strictly: Raise if files can't be removed.
        but: A table that stays.
    """
    tables = with_ledger(folder)
    named = {tables.current, *(one.table for one in tables.kept)}
    left = [path for path in folder.glob("*.lance") if path.stem.startswith(BUILDING) and path.stem != but]
    left += [path_of(folder, name) for name in _present(folder) if name not in named]
    for path in left:
        shutil.rmtree(path, ignore_errors=not strictly)
