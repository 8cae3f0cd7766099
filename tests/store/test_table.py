# LanceDB is only partly typed.
# pyright: reportUnknownMemberType=false
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import lancedb
import pyarrow as pa
import pytest

from store import filters, schema
from store.errors import ConflictError, SchemaError, StoreError
from store.filters import equals
from store.models import Fingerprint, Memory
from store.table import MemoryTable
from tests.builders import axis, memory

MODEL = Fingerprint("hashing", "words", 384)


def next_version(old: Memory, content: str) -> Memory:
    return replace(old, version=old.version + 1, content=content, updated_at=old.updated_at + timedelta(seconds=1))


async def test_a_new_table_has_every_index(table: MemoryTable) -> None:
    stats = await table.upkeep.stats()
    assert (stats.memories, stats.versions, stats.missing_indexes, stats.fingerprint) == (0, 0, (), None)
    database = await lancedb.connect_async(table.folder)
    indexes = await (await database.open_table("memories")).list_indices()
    assert {index.columns[0]: index.index_type for index in indexes} == {
        "search_text": "FTS",
        "row_id": "BTree",
        "memory_id": "BTree",
        "content_hash": "BTree",
        "superseded_at": "BTree",
        "run_id": "BTree",
        "expires_at": "BTree",
        "user_id": "Bitmap",
        "project": "Bitmap",
        "agent_id": "Bitmap",
        "live_scope": "Bitmap",
    }


async def test_superseding_closes_the_old_version_and_opens_the_next_in_one_commit(table: MemoryTable) -> None:
    old = memory("1", "Berlin", vector=axis(0))
    await table.insert([old])
    before = (await table.upkeep.stats()).table_version
    new = next_version(old, "Munich")
    async with table.writing():
        await table.supersede([(old, new)])
    assert (await table.upkeep.stats()).table_version == before + 1
    versions = await table.find(equals("memory_id", "1"), with_vectors=True)
    assert versions == [replace(old, superseded_at=new.updated_at), new]
    assert [list(version.vector or ()) for version in versions] == [axis(0), axis(0)]


async def test_versions_with_and_without_a_vector_are_written_side_by_side(table: MemoryTable) -> None:
    old = memory("1", vector=axis(0))
    await table.insert([old, memory("2")])
    async with table.writing():
        await table.supersede([(old, replace(next_version(old, "new"), vector=None))])
    found = await table.find(filters.current(), with_vectors=True)
    assert [one.vector for one in found] == [None, None]


async def test_superseding_what_is_not_there_is_a_conflict(table: MemoryTable) -> None:
    ghost = memory("ghost")
    with pytest.raises(ConflictError):
        async with table.writing():
            await table.supersede([(ghost, next_version(ghost, "new"))])


async def test_another_handle_sees_a_commit_at_once(table: MemoryTable) -> None:
    reader = await MemoryTable.open(table.folder)
    assert await reader.count(filters.current()) == 0
    await table.insert([memory("1")])
    assert await reader.count(filters.current()) == 1
    reader.close()


@pytest.mark.parametrize("query", ["", "'", '"', "\\", "AND OR NOT", "(", "a:b", "+-*/", "?", "\x00", "🧠", "x" * 8000])
async def test_no_query_is_taken_for_syntax(table: MemoryTable, query: str) -> None:
    await table.insert([memory("1", "text")])
    assert len(await table.matching(query, filters.current(), 5)) == 0


@pytest.mark.parametrize(
    ("content", "query"),
    [("住在北京", "北京"), ("Zürich", "zurich"), ("config.yaml", "config.yaml"), ("running shoes", "run")],
)
async def test_full_text_knows_more_than_blanks(table: MemoryTable, content: str, query: str) -> None:
    await table.insert([memory("1", content)])
    assert len(await table.matching(query, filters.current(), 5)) == 1


async def test_adopting_a_model_of_another_dimension_replaces_the_empty_column(table: MemoryTable) -> None:
    await table.insert([memory("1", "before")])
    model = Fingerprint("openai", "large", 8)
    async with table.writing():
        await table.adopt(model)
    await table.insert([memory("2", "after", vector=axis(3, 8))])
    assert await table.fingerprint() == model
    [found] = await table.find(equals("memory_id", "2"), with_vectors=True)
    assert found.vector == axis(3, 8)
    assert [one.memory_id for one in (await table.nearest(axis(3, 8), filters.current(), 5)).memories] == ["2"]
    assert [one.memory_id for one in (await table.matching("before", filters.current(), 5)).memories] == ["1"]
    assert (await table.upkeep.stats()).missing_indexes == ()


async def test_who_reads_while_the_column_is_replaced_waits_for_the_new_one(table: MemoryTable) -> None:
    model = Fingerprint("openai", "large", 8)
    other = await MemoryTable.open(table.folder)
    seen: set[int] = set()

    async def read() -> None:
        while 8 not in seen:
            seen.add(await other.dimension())
            await other.fingerprint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.sleep(0.01)
        async with table.writing(), table.handle.committing("test") as opened:  # `adopt`, with a pause in between
            await opened.drop_columns(["vector"])
            await anyio.sleep(0.1)
            await opened.add_columns(schema.vector_field(8))
        async with table.writing():
            await table.adopt(model)
    assert seen == {schema.DEFAULT_DIMENSION, 8}
    other.close()


async def test_a_table_whose_column_was_being_replaced_when_its_process_died_is_completed(table: MemoryTable) -> None:
    await table.insert([memory("1", "before")])
    database = await lancedb.connect_async(table.folder)
    await (await database.open_table("memories")).drop_columns(["vector"])  # the first half of `adopt`
    reopened = await MemoryTable.open(table.folder)
    model = Fingerprint("openai", "large", 8)
    async with reopened.writing():
        await reopened.adopt(model)
    await reopened.insert([memory("2", "after", vector=axis(3, 8))])
    assert [found.memory_id for found in await reopened.find(filters.current())] == ["1", "2"]
    assert [one.memory_id for one in (await reopened.nearest(axis(3, 8), filters.current(), 5)).memories] == ["2"]
    reopened.close()


async def test_compaction_merges_fragments_and_changes_no_answer(table: MemoryTable) -> None:
    for number in range(5):
        await table.insert([memory(str(number), f"fact {number}")])
    before = await table.find(filters.current())
    assert (await table.upkeep.stats()).fragments == 5
    assert await table.upkeep.compact() == "compacted"
    assert (await table.upkeep.stats()).fragments == 1
    assert await table.find(filters.current()) == before
    assert len(await table.matching("fact", filters.current(), 10)) == 5


async def test_a_table_of_something_else_is_refused_in_words(tmp_path: Path) -> None:
    database = await lancedb.connect_async(tmp_path)
    await database.create_table("memories", schema=pa.schema([pa.field("a", pa.int32())]))
    with pytest.raises(SchemaError, match="was not made by Souvenir"):
        await MemoryTable.open(tmp_path)


async def test_a_table_of_a_newer_souvenir_is_refused_in_words(tmp_path: Path) -> None:
    database = await lancedb.connect_async(tmp_path)
    schema = pa.schema([pa.field("a", pa.int32())], metadata={"souvenir.schema_version": "99"})
    await database.create_table("memories", schema=schema)
    with pytest.raises(SchemaError, match=r"schema version 99; this Souvenir knows version 2\. Upgrade Souvenir"):
        await MemoryTable.open(tmp_path)


async def test_a_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        await MemoryTable.open(tmp_path / "file")


OPEN_AND_ADD = """
import sys, anyio
from pathlib import Path
from datetime import UTC, datetime
from store.models import Memory
from store.table import MemoryTable
from tests.builders import axis, memory

async def main(folder, name):
    table = await MemoryTable.open(Path(folder))
    now = datetime.now(UTC)
    for number in range(10):
        await table.insert([Memory(memory_id=f"{name}-{number}", version=1, content="x", content_hash="h",
                                   user_id="u", created_at=now, updated_at=now)])

anyio.run(main, sys.argv[1], sys.argv[2])
"""


def test_processes_that_start_on_an_empty_folder_make_one_table_and_lose_nothing(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_ADD, str(tmp_path / "store"), str(name)]) for name in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]

    async def look() -> None:
        table = await MemoryTable.open(tmp_path / "store")
        assert await table.count(filters.current()) == 30
        assert (await table.upkeep.stats()).missing_indexes == ()
        table.close()

    anyio.run(look)
