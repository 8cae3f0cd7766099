"""What keeps a table fast and small: merging files, bringing indexes up to date, removing old versions."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
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
from store.errors import StoreError, is_conflict
from store.folder import FolderHandle
from store.handle import TableHandle
from store.models import Failures, TableStats, Upkept

MANY_FRAGMENTS = 32
"""Each commit leaves a file, a fragment, which makes every query 0.1 ms longer until it is merged (lancedb 0.40)."""

SMALL_FRAGMENT = 256
"""Newest fragments of fewer rows are merged by themselves, which takes 0.1 s in a table of any size. To compact the
table rewrites all of it, up to a million rows: 2 s at 100,000, a minute at a million (benchmarks/scale.py)."""

NEWEST_ROWS = 4_000
"""Among which small fragments are looked for: those of `MANY_WITHOUT_INDEX` rows, and some of changed ones."""

MANY_WITHOUT_INDEX = 1_000
"""So many rows that the index of words has not taken in make a search by index up to 9 ms longer, which reads them one
by one (200 of them 2 ms at a million memories, benchmarks/scale.py); only compacting makes it take them in."""

MOST_WAITED_FOR, PATIENCE = 200_000, 3
"""When writers come in between, they are held off until all files are merged: at once up to so many rows, because it
takes 5 s, and in larger tables at the third time in a row."""

MANY_VERSIONS, ROWS_PER_VERSION = 50, 1_000
"""So many old versions are removed when nobody has written for a while, and as many as thousands of rows in a large
table: to remove them compacts it, too."""

_FAILURES = "maintenance.json"


class Upkeep:
    """The maintenance of one table, in one process at a time, and what is known of its state."""

    def __init__(self, handle: TableHandle) -> None:
        self._handle = handle
        self._folder = handle.folder if isinstance(handle, FolderHandle) else None
        self._own_failures: Failures | None = None
        self._overtaken = 0

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
        return tables.read(self._folder)[0] if self._folder else tables.Tables()

    # Whether there is something to do

    async def is_due(self) -> bool:
        """Whether `keep_up` would do something."""
        return await self._has_many_fragments() or await self._is_whole_due()

    async def _has_many_fragments(self) -> bool:
        async with self._handle.reading("read") as table:
            return (await _storage(table))["fragment_stats"]["num_fragments"] >= MANY_FRAGMENTS

    async def _is_whole_due(self) -> bool:
        """Whether only `compact` helps: rows outside an index, an index of vectors to make, old versions."""
        async with self._handle.reading("read") as table:
            return (
                await rows_without_index(table) >= MANY_WITHOUT_INDEX
                or await vector_index_to_make(table) > 0
                or await self._has_many_old_versions(table)
            )

    async def _has_many_old_versions(self, table: lancedb.AsyncTable) -> bool:
        many = max(MANY_VERSIONS, await table.count_rows() // ROWS_PER_VERSION)
        old = time.time() - self._handle.keep_old_versions.total_seconds()
        ages: list[float] = []
        if self._folder is None:
            ages += [one["timestamp"].timestamp() for one in await table.list_versions()]
        else:
            folder = tables.path_of(self._folder, self._handle.name) / "_versions"
            for file in folder.glob("*.manifest"):
                with suppress(FileNotFoundError):
                    ages.append(file.stat().st_mtime)
        return len(ages) > many and max(ages) < old

    # Doing it

    async def keep_up(self) -> Upkept:
        """Do what is due: merge the newest fragments, and where that is not enough, compact the whole table.

        Raises:
            StoreError: It failed, or on a table that machines share others came in between several times in a row.
        """
        async with self._handle.maintenance_lock.if_free() as free:
            if not free:
                return "busy"
            many = await self._has_many_fragments()
            if many and not await self._merged():
                return "overtaken"
            if await self.is_due():
                return await self._compacted()
        return "merged" if many else "nothing"

    async def compact(self) -> Upkept:
        """Merge all files and bring the indexes up to date, whether or not it is due.

        Old table versions are left to readers for a while (`TableHandle.keep_old_versions`), then removed.
        """
        async with self._handle.maintenance_lock.if_free() as free:
            return await self._compacted() if free else "busy"

    async def repair(self) -> None:
        """Make all indexes anew, merge all files, and remove what a process left that died at it."""
        if isinstance(self._handle, FolderHandle):
            async with self._handle.alone():
                tables.tidy(self._handle.folder, but=tables.REEMBEDDING)
        async with self._handle.maintenance_lock.held():
            await self._handle.remake_indexes()
            async with self._handle.writing():
                taken_in = await self._optimize(alone=not self._handle.is_shared)
            await self._make_vector_index(taken_in=taken_in)

    async def _merged(self) -> bool:
        """Merge the newest fragments; False if other servers came in between, whom nothing holds off."""
        try:
            await self._merge_newest()
        except StoreError as error:
            if not is_conflict(error):
                raise
            if self._handle.is_shared:
                return False
            async with self._handle.writing():
                await self._merge_newest()
        return True

    async def _merge_newest(self) -> None:
        """Write the rows of the newest small fragments again, which LanceDB does into one: a minor compaction.

        A writer may come in between: LanceDB sees when both change the same row, and fails the later one.
        """
        async with self._handle.committing("merge files") as table:
            first = max(0, await table.count_rows() - NEWEST_ROWS)
            found = await table.query().offset(first).select(["row_id", "_rowaddr"]).to_arrow()
            row_ids = cast("list[str]", found.column("row_id").to_pylist())
            fragments = [address >> 32 for address in cast("list[int]", found.column("_rowaddr").to_pylist())]
            rows_of = Counter(fragments)
            if first and fragments:  # of the first one there may be more
                rows_of[fragments[0]] = SMALL_FRAGMENT
            small = [one for one, its in zip(row_ids, fragments, strict=True) if rows_of[its] < SMALL_FRAGMENT]
            if small:
                await table.update(where=filters.one_of("row_id", small), updates_sql={"content": "content"})

    async def _compacted(self) -> Upkept:
        try:
            taken_in = await self._optimize()
        except StoreError as error:
            if not is_conflict(error):
                raise
            # A writer came in between, or another server is at it, whom nothing holds off.
            self._overtaken += 1
            waits = not self._handle.is_shared and await self._rows() <= MOST_WAITED_FOR
            if not waits and self._overtaken < PATIENCE:
                return "overtaken"
            if self._handle.is_shared:
                raise
            # Writers that never pause would come in between every time: now they wait.
            async with self._handle.writing():
                taken_in = await self._optimize(alone=True)
        self._overtaken = 0
        await self._make_vector_index(taken_in=taken_in)
        return "compacted"

    async def _rows(self) -> int:
        async with self._handle.reading("read") as table:
            return await table.count_rows()

    async def _optimize(self, *, alone: bool = False) -> bool:
        """Merge all files, and return whether the index of vectors took in new rows.

        Args:
            alone: Nobody else writes, so that files which belong to no commit are left over: remove them, too.
        """
        async with self._handle.committing("compact") as table:
            taken_in = await vectors_without_index(table) > 0
            await table.optimize(cleanup_older_than=self._handle.keep_old_versions, delete_unverified=alone)
        return taken_in

    async def _make_vector_index(self, *, taken_in: bool) -> None:
        async with self._handle.reading("make the index of vectors") as table:
            partitions = await vector_index_to_make(table, taken_in=taken_in)
        if partitions:
            async with self._handle.committing("make the index of vectors") as table:
                await make_vector_index(table, partitions)

    # What failed

    def failures(self) -> Failures | None:
        """Return what has failed since maintenance last succeeded, in whatever process; None if nothing.

        Of a table that machines share, each server tells its own.
        """
        if self._folder is None:
            return self._own_failures
        try:
            return Failures(**json.loads((self._folder / _FAILURES).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def note_success(self) -> None:
        """Forget earlier failures."""
        self._own_failures = None
        if self._folder:
            with suppress(OSError):
                (self._folder / _FAILURES).unlink(missing_ok=True)

    def note_failure(self, problem: str, at: str) -> Failures:
        """Remember a failure for `stats` and `doctor`, where the disk takes it; return all since the last success."""
        before = self.failures() or Failures(0, at, problem)
        failures = replace(before, count=before.count + 1, last=problem)
        self._own_failures = failures
        if self._folder:
            with suppress(OSError):  # a full disk may be what failed
                (self._folder / _FAILURES).write_text(json.dumps(asdict(failures)), "utf-8")
        return failures


async def _storage(table: lancedb.AsyncTable) -> dict[str, Any]:
    # Annotated as an object with attributes, but a dictionary in fact (LanceDB 0.40).
    return cast("dict[str, Any]", await table.stats())
