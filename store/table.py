"""The one table `memories`: where memories are read and written."""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Self, cast

import anyio
import lancedb
import pyarrow as pa
from lancedb.query import ColumnOrdering, MatchQuery

from store import found, schema
from store.addresses import is_address
from store.creation import PROBED_PARTITIONS, TEXT_COLUMN
from store.durability import Durability
from store.errors import OvertakenError, SchemaError, StoreError
from store.filters import Order, Predicate, all_of, one_of
from store.folder import FolderHandle
from store.found import Changes, FoundRows, found_rows
from store.handle import TableHandle
from store.models import Fingerprint, Memory, Vector
from store.shared import SharedHandle
from store.upkeep import Upkeep

_BATCH = 1_000  # the words of so many rows take 10 MB for a moment

_ADOPTING_SECONDS = 5.0


class MemoryTable:
    """Memories on disk: every version a row, every change one commit.

    Reads see what any process has committed. Whoever reads and then writes holds `writing()` around both.
    All methods raise `StoreError` when LanceDB can't do what was asked.
    """

    def __init__(self, handle: TableHandle) -> None:
        self._handle = handle
        self.upkeep = Upkeep(handle)

    @classmethod
    async def open(
        cls,
        store: Path | str,
        durability: Durability = "full",
        *,
        patient: bool = False,
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Open the table in a folder or at an address, see `FolderHandle.open` and `SharedHandle.open`."""
        if is_address(store):
            return cls(await SharedHandle.open(str(store), options))
        return cls(await FolderHandle.open(Path(store), durability, patient=patient))

    @property
    def folder(self) -> Path:
        """The store's folder; raises `StoreError` where it has none."""
        return self.handle.folder

    @property
    def address(self) -> str:
        """Where the store is, in words."""
        return self._handle.address

    @property
    def is_shared(self) -> bool:
        """Whether servers on other machines write to it too, whom no lock of ours reaches."""
        return self._handle.is_shared

    @property
    def findings(self) -> tuple[str, ...]:
        """What was damaged when the store was opened, and what is lost; a sentence for each."""
        return self._handle.findings

    @property
    def handle(self) -> FolderHandle:
        """The open table, for what works with its files: see `store.backup`, `store.erasure`, `store.reembedding`.

        Raises `StoreError` where the store is no folder.
        """
        if not isinstance(self._handle, FolderHandle):
            raise StoreError(
                f"This needs a store in a folder of this machine, and this one is {self.address}. souvenir export and "
                "import copy memories between the two; for backups, use what your storage offers (versions, "
                "replication)."
            )
        return self._handle

    def close(self) -> None:
        """Release the table; nothing is pending, because every write is committed before it is answered."""
        self._handle.close()

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the cross-process write lock, for whatever reads first and then writes, see `TableHandle.writing`."""
        return self._handle.writing()

    # Writing

    async def insert(self, memories: Sequence[Memory]) -> None:
        """Add new rows in one commit."""
        async with self._handle.committing("store") as table:
            rows = schema.to_arrow(memories, await table.schema())
            await table.add(rows)

    async def supersede(self, changes: Iterable[tuple[Memory, Memory]]) -> None:
        """Close old versions and insert their successors in one commit. Call it under `writing()`.

        Only what is still current is closed: where another writer was quicker, nothing of that memory is changed.

        Args:
            changes: Pairs of the current version, read with its vector, and the next one.

        Raises:
            OvertakenError: Another writer was quicker, whom no lock held off.
        """
        changes = list(changes)
        rows = [row for old, new in changes for row in (replace(old, superseded_at=new.updated_at), new)]
        # A successor that is there already is another writer's, and stays as it is.
        still_current = "target.superseded_at IS NULL AND source.superseded_at IS NOT NULL"
        if await self._merge(rows, only_if=still_current) == (len(changes), len(changes)):
            return
        there = {row.row_id: row for row in await self.find(one_of("row_id", [new.row_id for _, new in changes]))}
        made = [new for _, new in changes if new.row_id in there and _is_ours(there[new.row_id], new)]
        raise OvertakenError(
            "Another server changed the memory at the same moment. Read it and try again.",
            frozenset(new.memory_id for new in made),
        )

    async def upsert(self, memories: Sequence[Memory]) -> tuple[int, int]:
        """Write rows in one commit, over those of the same `row_id`. Call it under `writing()`.

        Returns:
            How many were there, and how many are new.
        """
        return await self._merge(memories)

    async def _merge(self, memories: Sequence[Memory], *, only_if: str | None = None) -> tuple[int, int]:
        async with self._handle.committing("store") as table:
            merge = table.merge_insert("row_id").when_matched_update_all(where=only_if).when_not_matched_insert_all()
            # A version without a vector beside one with is no bad vector: "null" leaves both as they are.
            result = await merge.execute(schema.to_arrow(memories, await table.schema()), on_bad_vectors="null")
        return result.num_updated_rows, result.num_inserted_rows

    async def withdraw(self, row_ids: Sequence[str]) -> None:
        """Remove rows that were never acknowledged."""
        async with self._handle.committing("store") as table:
            await table.delete(one_of("row_id", row_ids))

    async def set_vectors(self, memories: Sequence[Memory]) -> None:
        """Store the vectors of versions that had none. Call it under `writing()`."""
        async with self._handle.committing("store") as table:
            merge = table.merge_insert("row_id").when_matched_update_all()
            await merge.execute(schema.to_arrow(memories, await table.schema()))

    async def settle(self) -> None:
        """Return when what was read is on the disk: whoever committed it may have died before that."""
        await self._handle.settle("read")

    # Reading

    async def version(self) -> int:
        """Return the number of the newest commit, by whatever process: two equal ones see the same rows."""
        async with self._handle.reading("read") as table:
            return self._handle.offset + await table.version()

    async def version_and_rows(self, since: int = -1) -> tuple[int, int, int]:
        """Return the number of the newest commit, how many rows the table has then, and how many came after `since`."""
        async with self._handle.reading("read") as table:
            offset, version = self._handle.offset, await table.version()
            while True:
                before = version
                new = rows = await table.count_rows()
                if since > offset:
                    new = await table.count_rows(f"_row_created_at_version > {since - offset}")
                version = await table.version()
                if version == before:  # nobody committed in between
                    return offset + version, rows, new

    async def bytes_since(self, version: int, counted: int, predicate: Predicate) -> tuple[int, int]:
        """Count the bytes of texts: content and metadata, of all versions that match.

        Args:
            version: As of which commit they were counted before; -1 for never.
            counted: What was counted then.
            predicate: What to count.

        Returns:
            The number of the newest commit, and the bytes as of it.
        """
        async with self._handle.reading("read") as table:
            offset, newest = self._handle.offset, await table.version()
            if version > offset:
                predicate = all_of(f"_row_created_at_version > {version - offset}", predicate)
            else:  # another table has become the current one: something was erased
                counted = 0
            query = table.query().where(predicate).select({"size": "octet_length(content) + octet_length(metadata)"})
            sizes = await query.to_arrow()
        return offset + newest, counted + sum(cast("list[int]", sizes.column("size").to_pylist()))

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
        async with self._handle.reading("read") as table:
            query = table.query().where(predicate).select(columns).order_by(ordering)
            if limit is not None:
                query = query.limit(limit)
            return schema.from_arrow(await query.to_arrow())

    async def with_commits(self, predicate: Predicate) -> list[tuple[int, Memory]]:
        """Return the rows that match, each with the number of the commit that it came with; earlier ones first."""
        async with self._handle.reading("read") as table:
            columns = [*schema.COLUMNS, "_row_created_at_version"]
            found = await table.query().where(predicate).select(columns).to_arrow()
        commits = cast("list[int]", found.column("_row_created_at_version").to_pylist())
        return sorted(zip(commits, schema.from_arrow(found), strict=True), key=lambda one: (one[0], one[1].row_id))

    async def memory_ids(self, predicate: Predicate = "") -> set[str]:
        """Return the ids of all memories that have a row which matches."""
        async with self._handle.reading("read") as table:
            query = table.query().select(["memory_id"])
            found = await (query.where(predicate) if predicate else query).to_arrow()
        return set(cast("list[str]", found.column("memory_id").to_pylist()))

    async def count(self, predicate: Predicate = "") -> int:
        """Return how many rows match; without a predicate, how many there are."""
        async with self._handle.reading("read") as table:
            return await table.count_rows(predicate or None)

    async def nearest(
        self, vector: Vector, predicate: Predicate, limit: int, *, probes: int = PROBED_PARTITIONS
    ) -> FoundRows:
        """Return the rows nearest by cosine among those that match (a prefilter).

        Args:
            vector: What they are to be near to.
            predicate: What they have to match.
            limit: How many at most.
            probes: In how many partitions of the index to look.
        """
        async with self._handle.reading("search") as table:
            query = table.query().nearest_to(list(vector)).distance_type("cosine").where(predicate)
            query = query.nprobes(probes).select([*found.COLUMNS, "_distance"])
            return found_rows(await query.limit(limit).to_arrow())

    async def matching(self, text: str, predicate: Predicate, limit: int) -> FoundRows:
        """Return the rows that share words with a text, best BM25 first, among those that match (a prefilter)."""
        async with self._handle.reading("search") as table:
            # Nothing in the text is query syntax.
            words = MatchQuery(text, TEXT_COLUMN)  # pyright: ignore[reportCallIssue] - typed without its defaults
            query = table.query().nearest_to_text(words).where(predicate)
            return found_rows(await query.select([*found.COLUMNS, "_score"]).limit(limit).to_arrow())

    async def rows(self, predicate: Predicate, limit: int) -> FoundRows:
        """Return rows that match, as a search would."""
        async with self._handle.reading("search") as table:
            query = table.query().where(predicate).select(list(found.COLUMNS))
            return found_rows(await query.limit(limit).to_arrow())

    async def all_rows(self, predicate: Predicate) -> AsyncGenerator[FoundRows]:
        """Yield all rows that match, some at a time."""
        async with self._handle.reading("search") as table:
            query = table.query().where(predicate).select(list(found.COLUMNS))
            async for batch in await query.to_batches(max_batch_length=_BATCH):
                yield found_rows(pa.Table.from_batches([batch]))

    async def changed_since(self, version: int, predicate: Predicate, limit: int) -> Changes | None:
        """Return what was added or changed after a commit, and what of it matches.

        None if that is more than `limit` rows, or if another table has become the current one.
        """
        # Looked at row by row, and cheaper so: each condition that an index helps with costs 5 ms in a hundred files.
        columns = {name: name for name in ("row_id", *found.COLUMNS)} | {"visible": predicate}
        async with self._handle.reading("search") as table:
            since = version - self._handle.offset
            if since < 0:
                return None
            query = table.query().where(f"_row_last_updated_at_version > {since}").select(columns)
            touched = await query.limit(limit + 1).to_arrow()
        if touched.num_rows > limit:
            return None
        row_ids = cast("list[str]", touched.column("row_id").to_pylist())
        return Changes(row_ids, found_rows(touched.filter(touched.column("visible"))))

    async def conversations(self, predicate: Predicate, limit: int) -> list[list[str]]:
        """Return the rows of each conversation among those that match, in the order they were stored.

        None at all where there are more than `limit`.
        """
        async with self._handle.reading("search") as table:
            query = table.query().where(predicate).select(["run_id", "memory_id", "row_id"])
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
        async with self._handle.reading("search") as table:
            tokens = await table.tokenize(f"\n{border}\n".join(texts), column=TEXT_COLUMN)
        for word in (token.text for token in tokens):
            if word == border:
                words.append([])
            else:
                words[-1].append(word)
        return words if texts else []

    # Vectors of one model only

    async def dimension(self) -> int:
        """Return how many numbers a vector of this table has."""
        async with self._handle.reading("read") as table:
            return schema.dimension(await _whole_schema(table))

    async def fingerprint(self) -> Fingerprint | None:
        """Return which model made the table's vectors, None if it holds none yet."""
        async with self._handle.reading("read") as table:
            return schema.fingerprint(await _whole_schema(table))

    async def adopt(self, fingerprint: Fingerprint) -> None:
        """Fix whose vectors this table holds from now on. Call it under `writing()`, only while it holds none."""
        async with self._handle.committing("store") as table:
            current = await _whole_schema(table)
            if schema.fingerprint(current) is not None:  # another server was quicker
                return
            if schema.dimension(current) != fingerprint.dimension:
                await table.drop_columns(["vector"])
                await table.add_columns(schema.vector_field(fingerprint.dimension))
            await table.update_field_metadata({"path": "vector", "metadata": schema.fingerprint_metadata(fingerprint)})


def _is_ours(stored: Memory, written: Memory) -> bool:
    """Whether a version is the one that was written here, and not another writer's of the same number."""
    return (stored.updated_at, stored.content, stored.source) == (written.updated_at, written.content, written.source)


async def _whole_schema(table: lancedb.AsyncTable) -> pa.Schema:
    """Return the schema once it has vectors: for a moment, `adopt` takes their column out to put in another one."""
    deadline = anyio.current_time() + _ADOPTING_SECONDS
    while "vector" not in (found := await table.schema()).names:
        if anyio.current_time() > deadline:
            raise SchemaError("The table has no column of vectors. Restart this server: opening the store mends that.")
        await anyio.sleep(0.005)
    return found
