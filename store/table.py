"""The one table `memories`: the only file that reads and writes memories through LanceDB."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, cast

import anyio
import lancedb
import pyarrow as pa
from lancedb.query import ColumnOrdering, MatchQuery

from store import filters, found, schema
from store.creation import (
    ALL_INDEXED,
    PROBED_PARTITIONS,
    TEXT_COLUMN,
    create_indexes,
    drop_vector_indexes,
    make_vector_index,
    missing_indexes,
    rows_without_index,
    vector_index_to_make,
    works,
)
from store.durability import Durability, Settled
from store.errors import ConflictError, CorruptionError, SchemaError, StoreError
from store.filters import Order, Predicate
from store.found import Changes, FoundRows, found_rows
from store.locks import ProcessLock
from store.models import Fingerprint, Memory, TableStats, Vector
from store.opening import open_or_create

TABLE_NAME = "memories"

logger = logging.getLogger(__name__)

MANY_FRAGMENTS, MOST_FRAGMENTS = 32, 100
ROWS_PER_FRAGMENT = 1_000
"""A hundred single-row commits make a search by index ten times as slow until they are compacted (lancedb 0.40). To
compact a large table rewrites all of it, so that it waits for more of them."""

MANY_WITHOUT_INDEX = 5_000

KEEP_OLD_VERSIONS = timedelta(minutes=10)
"""How long old versions of the table stay: a reader in another process may still be at one."""

_BATCH = 1_000  # the words of so many rows take 10 MB for a moment


class MemoryTable:
    """Memories on disk: every version a row, every change one commit.

    Reads see what any process has committed. Whoever reads and then writes holds `writing()` around both.
    All methods raise `StoreError` when LanceDB can't do what was asked.
    """

    def __init__(self, folder: Path, table: lancedb.AsyncTable, durability: Durability = "full") -> None:
        self._table = table
        self._settled = Settled(folder / f"{TABLE_NAME}.lance") if durability == "full" else None
        self._write_lock = ProcessLock(folder / "write.lock")
        self._maintenance_lock = ProcessLock(folder / "maintenance.lock")
        self.folder = folder
        self.findings: tuple[str, ...] = ()
        """What was damaged when the store was opened, and what is lost; a sentence for each."""

    @classmethod
    async def open(cls, folder: Path, durability: Durability = "full") -> Self:
        """Open the table in a folder, creating both where they are not there yet.

        Args:
            folder: The store's folder.
            durability: Whether each commit is on the disk before the call that made it returns.

        Raises:
            SchemaError: The table was made by a newer Souvenir, or by something else.
            StoreError: The folder can't be used.
        """
        with _translated("open the store"):
            table, findings = await open_or_create(folder, TABLE_NAME)
        found = schema.schema_version(await table.schema())
        if found != schema.SCHEMA_VERSION:
            raise SchemaError(_schema_mismatch(folder, found))
        opened = cls(folder, table, durability)
        await opened._complete()
        if not await works(table):
            findings.append("An index was damaged; all were made anew. No memory is lost.")
            async with opened._write_lock.held(), opened._committing("open the store"):
                await drop_vector_indexes(table)
                await create_indexes(table, ALL_INDEXED)
        opened.findings = tuple(findings)
        for finding in findings:
            logger.warning("%s", finding)
        return opened

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

    async def _complete(self) -> None:
        """Create the indexes of a new table, and what a process that died in `open` or `adopt` left undone."""
        with _translated("open the store"):
            incomplete = await missing_indexes(self._table) or "vector" not in (await self._table.schema()).names
        if incomplete:
            async with self._write_lock.held(), self._committing("open the store"):
                await create_indexes(self._table, await missing_indexes(self._table))
                if "vector" not in (await self._table.schema()).names:
                    await self._table.add_columns(schema.vector_field(schema.DEFAULT_DIMENSION))

    @asynccontextmanager
    async def _committing(self, task: str) -> AsyncGenerator[None]:
        """Translate errors of what commits inside; return when it is on the disk."""
        with _translated(task):
            yield
            if self._settled:
                await self._settled.settle()

    # Writing

    async def insert(self, memories: Sequence[Memory]) -> None:
        """Add new rows in one commit."""
        async with self._committing("store"):
            rows = schema.to_arrow(memories, await self._table.schema())
            await self._table.add(rows)

    async def supersede(self, changes: Iterable[tuple[Memory, Memory]]) -> None:
        """Close old versions and insert their successors in one commit. Call it under `writing()`.

        Args:
            changes: Pairs of the current version, read with its vector, and the next one.

        Raises:
            ConflictError: Another writer got in between although it should have waited for the lock.
        """
        rows = [row for old, new in changes for row in (replace(old, superseded_at=new.updated_at), new)]
        async with self._committing("store"):
            merge = self._table.merge_insert("row_id").when_matched_update_all().when_not_matched_insert_all()
            # A version without a vector beside one with is no bad vector: "null" leaves both as they are.
            result = await merge.execute(schema.to_arrow(rows, await self._table.schema()), on_bad_vectors="null")
        if (result.num_updated_rows, result.num_inserted_rows) != (len(rows) // 2, len(rows) // 2):
            raise ConflictError("Another process changed the memory at the same moment. Read it and try again.")

    async def set_vectors(self, memories: Sequence[Memory]) -> None:
        """Store the vectors of versions that had none. Call it under `writing()`."""
        async with self._committing("store"):
            merge = self._table.merge_insert("row_id").when_matched_update_all()
            await merge.execute(schema.to_arrow(memories, await self._table.schema()))

    # Reading

    async def version(self) -> int:
        """Return the number of the newest commit, by whatever process: two equal ones see the same rows."""
        with _translated("read"):
            return await self._table.version()

    async def version_and_rows(self, since: int = -1) -> tuple[int, int, int]:
        """Return the number of the newest commit, how many rows the table has then, and how many came after `since`."""
        with _translated("read"):
            version = await self._table.version()
            while True:
                before = version
                rows = await self._table.count_rows()
                new = await self._table.count_rows(f"_row_created_at_version > {since}") if since >= 0 else rows
                version = await self._table.version()
                if version == before:  # nobody committed in between
                    return version, rows, new

    async def find(
        self,
        predicate: Predicate,
        *,
        order: Sequence[Order] = (),
        limit: int | None = None,
        with_vectors: bool = False,
    ) -> list[Memory]:
        """Return the rows that match, in the order asked for; ties go by `row_id`."""
        columns = [*schema.COLUMNS, *(["vector"] if with_vectors else [])]
        ordering = [
            ColumnOrdering(column_name=by.column, ascending=not by.descending, nulls_first=False)
            for by in (*order, Order("row_id"))
        ]
        with _translated("read"):
            query = self._table.query().where(predicate).select(columns).order_by(ordering)
            if limit is not None:
                query = query.limit(limit)
            return schema.from_arrow(await query.to_arrow())

    async def count(self, predicate: Predicate = "") -> int:
        """Return how many rows match; without a predicate, how many there are."""
        with _translated("read"):
            return await self._table.count_rows(predicate or None)

    async def nearest(self, vector: Vector, predicate: Predicate, limit: int) -> FoundRows:
        """Return the rows nearest by cosine among those that match (a prefilter)."""
        with _translated("search"):
            query = self._table.query().nearest_to(list(vector)).distance_type("cosine").where(predicate)
            query = query.nprobes(PROBED_PARTITIONS).select([*found.COLUMNS, "_distance"])
            return found_rows(await query.limit(limit).to_arrow())

    async def matching(self, text: str, predicate: Predicate, limit: int) -> FoundRows:
        """Return the rows that share words with a text, best BM25 first, among those that match (a prefilter)."""
        with _translated("search"):
            # Nothing in the text is query syntax.
            words = MatchQuery(text, TEXT_COLUMN)  # pyright: ignore[reportCallIssue] - typed without its defaults
            query = self._table.query().nearest_to_text(words).where(predicate)
            return found_rows(await query.select([*found.COLUMNS, "_score"]).limit(limit).to_arrow())

    async def rows(self, predicate: Predicate, limit: int) -> FoundRows:
        """Return rows that match, as a search would."""
        with _translated("search"):
            query = self._table.query().where(predicate).select(list(found.COLUMNS))
            return found_rows(await query.limit(limit).to_arrow())

    async def all_rows(self, predicate: Predicate) -> AsyncGenerator[FoundRows]:
        """Yield all rows that match, some at a time."""
        with _translated("search"):
            query = self._table.query().where(predicate).select(list(found.COLUMNS))
            async for batch in await query.to_batches(max_batch_length=_BATCH):
                yield found_rows(pa.Table.from_batches([batch]))

    async def changed_since(self, version: int, predicate: Predicate, limit: int) -> Changes | None:
        """Return what was added or changed after a commit, and what of it matches; None if more than `limit` rows."""
        # Looked at row by row, and cheaper so: each condition that an index helps with costs 5 ms in a hundred files.
        columns = {name: name for name in ("row_id", *found.COLUMNS)} | {"visible": predicate}
        with _translated("search"):
            query = self._table.query().where(f"_row_last_updated_at_version > {version}").select(columns)
            touched = await query.limit(limit + 1).to_arrow()
        if touched.num_rows > limit:
            return None
        row_ids = cast("list[str]", touched.column("row_id").to_pylist())
        return Changes(row_ids, found_rows(touched.filter(touched.column("visible"))))

    async def conversations(self, predicate: Predicate, limit: int) -> list[list[str]]:
        """Return the rows of each conversation among those that match, in the order they were stored.

        None at all where there are more than `limit`.
        """
        with _translated("search"):
            query = self._table.query().where(predicate).select(["run_id", "memory_id", "row_id"])
            rows = (await query.limit(limit + 1).to_arrow()).sort_by("memory_id")
        if rows.num_rows > limit:
            return []
        by_run: dict[str, list[str]] = defaultdict(list)
        columns = (cast("list[str]", rows.column(name).to_pylist()) for name in ("run_id", "row_id"))
        for run_id, row_id in zip(*columns, strict=True):
            by_run[run_id].append(row_id)
        return list(by_run.values())

    async def words_of_each(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text as the full-text index sees them: stemmed, folded, without stop words.

        All at once, because a call for each would take longer than the search.
        """
        border = f"border{secrets.token_hex(8)}0"  # no text can know it, and no stemmer touches a digit
        words: list[list[str]] = [[]]
        with _translated("search"):
            tokens = await self._table.tokenize(f"\n{border}\n".join(texts), column=TEXT_COLUMN)
        for word in (token.text for token in tokens):
            if word == border:
                words.append([])
            else:
                words[-1].append(word)
        return words if texts else []

    # Vectors of one model only

    async def dimension(self) -> int:
        """Return how many numbers a vector of this table has."""
        with _translated("read"):
            return schema.dimension(await self._table.schema())

    async def fingerprint(self) -> Fingerprint | None:
        """Return which model made the table's vectors, None if it holds none yet."""
        with _translated("read"):
            return schema.fingerprint(await self._table.schema())

    async def adopt(self, fingerprint: Fingerprint) -> None:
        """Fix whose vectors this table holds from now on. Call it under `writing()`, only while it holds none."""
        async with self._committing("store"):
            current = await self._table.schema()
            assert schema.fingerprint(current) is None
            if schema.dimension(current) != fingerprint.dimension:
                await self._table.drop_columns(["vector"])
                await self._table.add_columns(schema.vector_field(fingerprint.dimension))
            await self._table.update_field_metadata(
                {"path": "vector", "metadata": schema.fingerprint_metadata(fingerprint)}
            )

    # Maintenance

    async def stats(self) -> TableStats:
        """Return counts over the whole table, of all users."""
        with _translated("read"):
            current_schema = await self._table.schema()
            storage = await self._storage()
            version = await self._table.version()
            missing = await missing_indexes(self._table)
            rows = await (
                self._table.query()
                .where(filters.current())
                .select({"type": "type", "deleted": "deleted_at IS NOT NULL", "pending": "vector IS NULL"})
                .to_arrow()
            )
        by_type: dict[str, int] = {}
        deleted = pending = 0
        for row in rows.to_pylist():
            if row["deleted"]:
                deleted += 1
                continue
            pending += bool(row["pending"])
            by_type[row["type"]] = by_type.get(row["type"], 0) + 1
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
            findings=self.findings,
        )

    async def needs_upkeep(self) -> bool:
        """Whether `compact` would make searches faster: many small files, rows outside an index, a missing index."""
        with _translated("read"):
            storage = await self._storage()
            many = min(MOST_FRAGMENTS, max(MANY_FRAGMENTS, storage["num_rows"] // ROWS_PER_FRAGMENT))
            return (
                storage["fragment_stats"]["num_fragments"] >= many
                or await rows_without_index(self._table) >= MANY_WITHOUT_INDEX
                or await vector_index_to_make(self._table) > 0
            )

    async def _storage(self) -> dict[str, Any]:
        # Annotated as an object with attributes, but a dictionary in fact (LanceDB 0.40).
        return cast("dict[str, Any]", await self._table.stats())

    async def compact(self) -> bool:
        """Merge small files and bring the indexes up to date, unless another process is at it.

        Old table versions are left to readers for ten minutes, then removed.

        Returns:
            Whether it was done here.
        """
        async with self._maintenance_lock.if_free() as free:
            if free:
                try:
                    await self._optimize()
                except StoreError as error:
                    if "conflict" not in str(error):
                        raise
                    # A writer came in between. Writers that never pause would do so every time: now they wait,
                    # for the fraction of a second that this takes.
                    async with self.writing():
                        await self._optimize()
            return free

    async def _optimize(self) -> None:
        async with self._committing("compact"):
            await self._table.optimize(cleanup_older_than=KEEP_OLD_VERSIONS)
            if partitions := await vector_index_to_make(self._table):
                await make_vector_index(self._table, partitions)


def _schema_mismatch(folder: Path, found: int | None) -> str:
    if found is None:
        return f"The table in {folder} was not made by Souvenir. Set SOUVENIR_STORE to another folder."
    return (
        f"The store in {folder} has schema version {found}; this Souvenir knows version {schema.SCHEMA_VERSION}. "
        "Upgrade Souvenir; nothing was changed."
    )


@contextmanager
def _translated(task: str) -> Generator[None]:
    """Turn what LanceDB raises into our errors: the only seam to it.

    LanceDB raises builtin errors: OSError and its kind for files, ValueError and RuntimeError for the rest.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise CorruptionError(f"The store could not {task}: a file is missing ({_first_line(error)}).") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"The store could not {task}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return the gist of LanceDB's messages, which go on with Rust source locations and file dumps."""
    return re.split(r"\n|, /\S+\.rs:", str(error).strip(), maxsplit=1)[0][:300]
