"""What keeps a table fast and small: merging files, bringing indexes up to date, removing old versions."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import lancedb

from store import filters, schema, tables
from store.creation import (
    make_vector_index,
    missing_indexes,
    rows_without_index,
    vector_index_to_make,
    vectors_without_index,
)
from store.errors import StoreError
from store.handle import TableHandle
from store.models import Failures, TableStats

MANY_FRAGMENTS, MOST_FRAGMENTS = 32, 200
ROWS_PER_FRAGMENT, ROWS_PER_FRAGMENT_BEYOND = 200, 5_000
"""Each single-row commit makes a search by index 0.1 ms longer until it is compacted (lancedb 0.40). To compact a
table rewrites all of it up to a million rows, so that larger ones wait for more of them: 32 up to 6,400 rows, 100 from
20,000, and 200 from a million."""

MANY_WITHOUT_INDEX = 5_000

KEEP_OLD_VERSIONS = timedelta(seconds=30)
"""How long old versions of the table stay: a reader in another process may still be at one, for the time of a query.
Whoever reads for longer (a backup, a purge) holds the maintenance lock."""

MANY_VERSIONS = 50
"""So many old versions are removed when nobody has written for a while, whatever else there is to do."""

_FAILURES = "maintenance.json"


class Upkeep:
    """The maintenance of one table, in one process at a time, and what is known of its state."""

    def __init__(self, handle: TableHandle) -> None:
        self._handle = handle
        self._taken_in = False
        self._own_failures: Failures | None = None

    async def stats(self) -> TableStats:
        """Return counts over the whole table, of all users."""
        async with self._handle.reading("read") as table:
            current_schema = await table.schema()
            storage = await _storage(table)
            version = await table.version()
            missing = await missing_indexes(table)
            rows = await (
                table.query()
                .where(filters.current())
                .select({"type": "type", "deleted": "deleted_at IS NOT NULL", "pending": "vector IS NULL"})
                .to_arrow()
            )
        groups = rows.group_by(rows.column_names).aggregate([([], "count_all")]).to_pylist()
        live = [one for one in groups if not one["deleted"]]
        deleted = sum(one["count_all"] for one in groups) - sum(one["count_all"] for one in live)
        pending = sum(one["count_all"] for one in live if one["pending"])
        by_type: dict[str, int] = {}
        for one in live:
            by_type[one["type"]] = by_type.get(one["type"], 0) + one["count_all"]
        return TableStats(
            memories=sum(by_type.values()),
            deleted=deleted,
            versions=storage["num_rows"],
            pending_embeddings=pending,
            fragments=storage["fragment_stats"]["num_fragments"],
            bytes=storage["total_bytes"],
            table_version=version,
            schema_version=schema.schema_version(current_schema) or 0,
            fingerprint=schema.fingerprint(current_schema),
            missing_indexes=tuple(missing),
            by_type=dict(sorted(by_type.items())),
            findings=self._handle.findings,
            kept=tuple(f"{one.table} (before {one.before}, {one.at})" for one in self.tables().kept),
            failures=self.failures(),
        )

    def tables(self) -> tables.Tables:
        """Return the name of the current table and the earlier states that were kept."""
        return tables.Tables() if self._handle.is_shared else tables.read(self._handle.folder)[0]

    # Whether there is something to do

    async def is_due(self) -> bool:
        """Whether `compact` would help: many small files, rows outside an index, a missing index, old versions."""
        async with self._handle.reading("read") as table:
            storage = await _storage(table)
            return (
                storage["fragment_stats"]["num_fragments"] >= many_fragments(storage["num_rows"])
                or await rows_without_index(table) >= MANY_WITHOUT_INDEX
                or await vector_index_to_make(table) > 0
                or await self._many_old_versions(table)
            )

    async def _many_old_versions(self, table: lancedb.AsyncTable) -> bool:
        old = time.time() - self._keep.total_seconds()
        ages: list[float] = []
        if self._handle.is_shared:
            ages += [one["timestamp"].timestamp() for one in await table.list_versions()]
        else:
            folder = tables.path_of(self._handle.folder, self._handle.name) / "_versions"
            for file in folder.glob("*.manifest"):
                with suppress(FileNotFoundError):
                    ages.append(file.stat().st_mtime)
        return len(ages) > MANY_VERSIONS and max(ages) < old

    # Doing it

    async def compact(self) -> bool:
        """Merge small files and bring the indexes up to date, unless another process is at it.

        Old table versions are left to readers for half a minute, then removed.

        Returns:
            Whether it was done here.
        """
        async with self._handle.maintenance_lock.if_free() as free:
            if free:
                try:
                    await self._optimize()
                except StoreError as error:
                    if "conflict" not in str(error):
                        raise
                    if self._handle.is_shared:  # another server may be at it; there is no way to hold it off
                        return False
                    # A writer came in between. Writers that never pause would do so every time: now they wait,
                    # for the fraction of a second that this takes.
                    async with self._handle.writing():
                        await self._optimize()
                await self._make_vector_index()
            return free

    async def repair(self) -> None:
        """Make all indexes anew, merge all files, and remove what a process left that died at it."""
        if not self._handle.is_shared:
            async with self._handle.alone():
                tables.tidy(self._handle.folder, but=tables.REEMBEDDING)
        async with self._handle.maintenance_lock.held():
            await self._handle.remake_indexes()
            async with self._handle.writing():
                await self._optimize()
            await self._make_vector_index()

    async def _optimize(self) -> None:
        async with self._handle.committing("compact") as table:
            self._taken_in = await vectors_without_index(table) > 0
            await table.optimize(cleanup_older_than=self._keep)

    async def _make_vector_index(self) -> None:
        async with self._handle.reading("make the index of vectors") as table:
            partitions = await vector_index_to_make(table, taken_in=self._taken_in)
        if partitions:
            async with self._handle.committing("make the index of vectors") as table:
                await make_vector_index(table, partitions)

    # What failed

    def failures(self) -> Failures | None:
        """Return what has failed since maintenance last succeeded, in whatever process; None if nothing.

        Of a table that machines share, each server tells its own.
        """
        if self._handle.is_shared:
            return self._own_failures
        try:
            return Failures(**json.loads(self._note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def note_success(self) -> None:
        """Forget earlier failures."""
        self._own_failures = None
        if self._handle.is_shared:
            return
        with suppress(OSError):
            self._note.unlink(missing_ok=True)

    def note_failure(self, problem: str, at: str) -> Failures:
        """Remember a failure for `stats` and `doctor`, where the disk takes it; return all since the last success."""
        before = self.failures() or Failures(0, at, problem)
        failures = replace(before, count=before.count + 1, last=problem)
        self._own_failures = failures
        if self._handle.is_shared:
            return failures
        with suppress(OSError):  # a full disk may be what failed
            self._note.write_text(json.dumps(asdict(failures)), "utf-8")
        return failures

    @property
    def _keep(self) -> timedelta:
        return self._handle.keep_old_versions or KEEP_OLD_VERSIONS

    @property
    def _note(self) -> Path:
        return self._handle.folder / _FAILURES


def many_fragments(rows: int) -> int:
    """Return from how many fragments on a table of so many rows is to be compacted."""
    return min(
        MOST_FRAGMENTS, max(MANY_FRAGMENTS, min(100, rows // ROWS_PER_FRAGMENT), rows // ROWS_PER_FRAGMENT_BEYOND)
    )


async def _storage(table: lancedb.AsyncTable) -> dict[str, Any]:
    # Annotated as an object with attributes, but a dictionary in fact (LanceDB 0.40).
    return cast("dict[str, Any]", await table.stats())
