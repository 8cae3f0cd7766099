"""The one table `memories`: the only file that reads and writes memories through LanceDB."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import lancedb
import numpy as np
import pyarrow as pa
from lancedb.query import ColumnOrdering, MatchQuery

from store import filters, schema
from store.creation import create_table, missing_indexes
from store.errors import ConflictError, CorruptionError, SchemaError, StoreError
from store.filters import Order, Predicate, one_of
from store.locks import ProcessLock
from store.models import Fingerprint, Memory, TableStats, Vector
from store.ranking import Candidate
from store.together import together

TABLE_NAME = "memories"

_RANKED_BY = ("row_id", "updated_at")
"""What ranking needs of a row; the rest is read for the few rows that are shown."""

KEEP_OLD_VERSIONS = timedelta(minutes=10)
"""How long old versions of the table stay: a reader in another process may still be at one."""


class MemoryTable:
    """Memories on disk: every version a row, every change one commit.

    Reads see what any process has committed. Whoever reads and then writes holds `writing()` around both.
    All methods raise `StoreError` when LanceDB can't do what was asked.
    """

    def __init__(self, folder: Path, table: lancedb.AsyncTable) -> None:
        self._table = table
        self._write_lock = ProcessLock(folder / "write.lock")
        self._maintenance_lock = ProcessLock(folder / "maintenance.lock")
        self.folder = folder

    @classmethod
    async def open(cls, folder: Path) -> "MemoryTable":
        """Open the table in a folder, creating both where they are not there yet.

        Raises:
            SchemaError: The table was made by a newer Souvenir, or by something else.
            StoreError: The folder can't be used.
        """
        with _translated("open the store"):
            database = await lancedb.connect_async(_made(folder), read_consistency_interval=timedelta(0))
            lock = ProcessLock(folder / "write.lock")
            async with lock.held():  # two servers may start on an empty folder at once
                if TABLE_NAME in (await database.list_tables()).tables:
                    table = await database.open_table(TABLE_NAME)
                else:
                    table = await create_table(database, TABLE_NAME)
        found = schema.schema_version(await table.schema())
        if found != schema.SCHEMA_VERSION:
            raise SchemaError(_schema_mismatch(folder, found))
        return cls(folder, table)

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

    # Writing

    async def insert(self, memories: Sequence[Memory]) -> None:
        """Add new rows in one commit."""
        with _translated("store"):
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
        with _translated("store"):
            merge = self._table.merge_insert("row_id").when_matched_update_all().when_not_matched_insert_all()
            # A version without a vector beside one with is no bad vector: "null" leaves both as they are.
            result = await merge.execute(schema.to_arrow(rows, await self._table.schema()), on_bad_vectors="null")
        if (result.num_updated_rows, result.num_inserted_rows) != (len(rows) // 2, len(rows) // 2):
            raise ConflictError("Another process changed the memory at the same moment. Read it and try again.")

    async def set_vectors(self, memories: Sequence[Memory]) -> None:
        """Store the vectors of versions that had none. Call it under `writing()`."""
        with _translated("store"):
            merge = self._table.merge_insert("row_id").when_matched_update_all()
            await merge.execute(schema.to_arrow(memories, await self._table.schema()))

    # Reading

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

    async def read(self, row_ids: Sequence[str]) -> dict[str, Memory]:
        """Return rows by their ids, in no order, with what a search result shows of them (`HIT_COLUMNS`)."""
        with _translated("read"):
            query = self._table.query().where(one_of("row_id", row_ids)).select(list(schema.HIT_COLUMNS))
            return {memory.row_id: memory for memory in schema.from_arrow(await query.to_arrow())}

    async def count(self, predicate: Predicate) -> int:
        """Return how many rows match."""
        with _translated("read"):
            return await self._table.count_rows(predicate)

    async def candidates(
        self, text: str, embed: Callable[[], Awaitable[Vector | None]], predicate: Predicate, limit: int
    ) -> list[Candidate]:
        """Return the rows nearest to a text's vector and those sharing words with it, with both signals for each.

        A row that is near but not among the best by words counts as sharing none: scoring those too would cost a
        third query and is worth nothing (0.2 points of recall@10 on LoCoMo, which is noise).

        Args:
            text: The question in words.
            embed: Gives the question's vector, of length 1 and in the table's dimension; None to search by words
                alone. It runs while the words are searched.
            predicate: What rows must match, before either search looks at them.
            limit: How many rows each of the two searches contributes at most.
        """

        async def by_meaning() -> tuple[Vector | None, list[Candidate]]:
            vector = await embed()
            return vector, [] if vector is None else _from_nearest(await self._nearest(vector, predicate, limit))

        async def by_words() -> pa.Table:
            return await self._matching(text, predicate, limit)

        (vector, nearest), matching = await together(by_meaning, by_words)
        found = {one.row_id: one for one in nearest}
        # What both found has the same cosine from either; what only full text found gets its own.
        found |= {one.row_id: one for one in _with_cosines(matching, vector)}
        return list(found.values())

    async def _nearest(self, vector: Vector, predicate: Predicate, limit: int) -> pa.Table:
        with _translated("search"):
            query = (
                self._table.query()
                .nearest_to(list(vector))
                .distance_type("cosine")
                .where(predicate)
                .select([*_RANKED_BY, "_distance"])
                .limit(limit)
            )
            return await query.to_arrow()

    async def _matching(self, text: str, predicate: Predicate, limit: int) -> pa.Table:
        with _translated("search"):
            query = (
                self._table.query()
                .nearest_to_text(_words_of(text))
                .where(predicate)
                .select([*_RANKED_BY, "vector", "_score"])
                .limit(limit)
            )
            return await query.to_arrow()

    # Vectors of one model only

    async def fingerprint(self) -> Fingerprint | None:
        """Return which model made the table's vectors, None if it holds none yet."""
        with _translated("read"):
            return schema.fingerprint(await self._table.schema())

    async def adopt(self, fingerprint: Fingerprint) -> None:
        """Fix whose vectors this table holds from now on. Call it under `writing()`, only while it holds none."""
        with _translated("store"):
            current = await self._table.schema()
            assert schema.fingerprint(current) is None
            if schema.dimension(current) != fingerprint.dimension:
                await self._table.drop_columns(["vector"])
                await self._table.add_columns(schema.vector_field(fingerprint.dimension))
            await self._table.update_field_metadata(
                {"path": "vector", "metadata": schema.fingerprint_metadata(fingerprint)}
            )

    # Upkeep

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
        )

    async def fragments(self) -> int:
        """Return into how many files the rows are scattered: what compaction brings down."""
        with _translated("read"):
            return (await self._storage())["fragment_stats"]["num_fragments"]

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
                except StoreError:
                    # A writer came in between. Writers that never pause would do so every time: now they wait,
                    # for the fraction of a second that this takes.
                    async with self.writing():
                        await self._optimize()
            return free

    async def _optimize(self) -> None:
        with _translated("compact"):
            await self._table.optimize(cleanup_older_than=KEEP_OLD_VERSIONS)


def _words_of(text: str) -> MatchQuery:
    """Return a query for any of the words of a text; nothing in it is query syntax."""
    return MatchQuery(text, "search_text")  # pyright: ignore[reportCallIssue] - typed without its defaults


def _from_nearest(rows: pa.Table) -> list[Candidate]:
    return [
        Candidate(row_id, updated_at, cosine=1.0 - distance, bm25=0.0)
        for row_id, updated_at, distance in zip(*_ranked_by(rows), _floats(rows, "_distance"), strict=True)
    ]


def _with_cosines(rows: pa.Table, vector: Vector | None) -> list[Candidate]:
    """Return full-text rows as candidates; the cosine of each is worked out from its stored vector."""
    cosines: list[float | None] = [None] * rows.num_rows
    if vector is not None and rows.num_rows:
        stored = cast("pa.FixedSizeListArray[Any, Any]", rows.column("vector").combine_chunks())
        # Stored vectors have length 1 (see Embedder), so that the dot product is the cosine.
        matrix = np.asarray(stored.flatten(), dtype=np.float32).reshape(-1, len(vector))
        present = np.flatnonzero(np.asarray(stored.is_valid()))
        for row, cosine in zip(present.tolist(), (matrix @ np.asarray(vector, np.float32)).tolist(), strict=True):
            cosines[row] = cosine
    return [
        Candidate(row_id, updated_at, cosine, bm25)
        for row_id, updated_at, cosine, bm25 in zip(*_ranked_by(rows), cosines, _floats(rows, "_score"), strict=True)
    ]


def _ranked_by(rows: pa.Table) -> tuple[list[str], list[int]]:
    # Microseconds as numbers: making a datetime of each takes longer than the search.
    moments = cast("list[int]", rows.column("updated_at").cast(pa.int64()).to_pylist())
    return cast("list[str]", rows.column("row_id").to_pylist()), moments


def _floats(rows: pa.Table, column: str) -> list[float]:
    return [float(value) for value in cast("list[float]", rows.column(column).to_pylist())]


def _made(folder: Path) -> Path:
    """Return the folder as an absolute path: LanceDB takes a relative one that begins with "db" for a cloud address."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()


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
    return str(error).strip().split("\n", 1)[0][:300]
