# LanceDB is only partly typed.
# pyright: reportUnknownMemberType=false
"""Upkeep merges files and removes old versions when nobody needs them any more, and not before."""

import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import anyio
import numpy as np
import pytest

from store import creation, filters, upkeep
from store.errors import StoreError
from store.filters import equals
from store.folder import FolderHandle
from store.locks import ProcessLock
from store.table import MemoryTable
from tests.builders import memory


async def grown(table: MemoryTable, commits: int) -> None:
    for number in range(commits):
        await table.insert([memory(f"m{number:03}", f"fact number {number}")])


def manifests(table: MemoryTable) -> int:
    return len(list((table.folder / "memories.lance" / "_versions").glob("*.manifest")))


async def test_many_small_files_are_merged(table: MemoryTable) -> None:
    await grown(table, upkeep.MANY_FRAGMENTS - 1)
    assert not await table.upkeep.is_due()
    assert await table.upkeep.keep_up() == "nothing"
    await grown(table, 1)
    assert await table.upkeep.is_due()
    assert await table.upkeep.keep_up() == "merged"
    assert (await table.upkeep.stats()).fragments == 1
    assert not await table.upkeep.is_due()
    assert await table.count(filters.current()) == upkeep.MANY_FRAGMENTS


async def test_the_newest_files_are_merged_beside_the_others_and_no_row_changes(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MANY_FRAGMENTS": 8, "SMALL_FRAGMENT": 20}.items():
        monkeypatch.setattr(upkeep, name, value)
    await table.insert([memory(f"old{number}", "an old fact") for number in range(40)])
    await table.upkeep.compact()
    vector = [1.0, *[0.0] * 383]
    for number in range(6):
        await table.insert([memory(f"new{number}", f"cheese {number}", vector=vector if number % 2 else None)])
    [old] = await table.find(equals("memory_id", "old7"), with_vectors=True)
    await table.supersede([(old, replace(old, version=2, content="a new fact", metadata={"a": 1}, tags=("x",)))])

    rows, commits = await table.find("true", with_vectors=True), await table.with_commits("true")
    assert (await table.upkeep.stats()).fragments == 8
    assert await table.upkeep.keep_up() == "merged"
    assert (await table.upkeep.stats()).fragments == 2
    assert await table.find("true", with_vectors=True) == rows
    assert await table.with_commits("true") == commits
    assert len(await table.matching("cheese", filters.current(), 20)) == 6
    assert {one.memory_id for one in (await table.nearest(vector, filters.current(), 3)).memories} == {
        "new1",
        "new3",
        "new5",
    }


async def test_merged_files_are_left_alone_once_they_are_large_and_taken_into_the_indexes_once_they_are_many(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MANY_FRAGMENTS": 5, "SMALL_FRAGMENT": 8, "MANY_WITHOUT_INDEX": 24}.items():
        monkeypatch.setattr(upkeep, name, value)
    await table.insert([memory(f"old{number}") for number in range(40)])
    await table.upkeep.compact()
    fragments: list[int] = []
    for number in range(24):
        await table.insert([memory(f"new{number}", "cheese")])
        await table.upkeep.keep_up()
        fragments.append((await table.upkeep.stats()).fragments)
    # A file of eight rows or more is not small any more, and another one begins. What an index covers and what it does
    # not yet, Lance never merges into one.
    assert fragments == [2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 4, 4, 4, 2]
    assert len(await table.matching("cheese", filters.current(), 50)) == 24


async def test_a_merge_that_a_writer_comes_in_between_is_done_again_while_writers_wait(table: MemoryTable) -> None:
    writers_could: list[bool] = []

    class Contested(upkeep.Upkeep):
        async def _merge_newest(self) -> None:
            async with ProcessLock(table.folder / "write.lock").if_free() as free:
                writers_could.append(free)
            if free:
                raise StoreError("The store could not merge files: Retryable commit conflict for version 7")
            await super()._merge_newest()

    await grown(table, upkeep.MANY_FRAGMENTS)
    contested = Contested(table.handle)
    assert await contested.keep_up() == "merged"
    assert writers_could == [True, False]
    assert (await contested.stats()).fragments == 1


class Overtaken(upkeep.Upkeep):
    """Meets a writer whenever nobody holds writers off."""

    async def _optimize(self, *, alone: bool = False) -> bool:
        if not alone:
            raise StoreError("The store could not compact: Retryable commit conflict for version 7")
        return await super()._optimize(alone=alone)


async def test_compaction_that_fails_otherwise_is_not_tried_again(table: MemoryTable) -> None:
    class Full(upkeep.Upkeep):
        attempts = 0

        async def _optimize(self, *, alone: bool = False) -> bool:  # noqa: ARG002 - as its own
            self.attempts += 1
            raise StoreError("The store could not compact: No space left on device")

    full = Full(table.handle)
    with pytest.raises(StoreError, match="No space left"):
        await full.compact()
    assert full.attempts == 1


async def test_writers_of_a_large_table_are_held_off_only_after_it_was_not_compacted_several_times(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MOST_WAITED_FOR", 1)
    await grown(table, 2)
    overtaken = Overtaken(table.handle)
    assert [await overtaken.compact() for _ in range(4)] == ["overtaken", "overtaken", "compacted", "overtaken"]
    assert (await overtaken.stats()).fragments == 1


async def test_files_of_a_compaction_that_failed_are_removed_by_the_one_that_holds_writers_off(
    table: MemoryTable,
) -> None:
    await grown(table, 2)
    left = table.folder / "memories.lance" / "data" / f"{uuid4().hex}.lance"
    left.write_bytes(b"of no commit")
    assert await table.upkeep.compact() == "compacted"
    assert left.exists()  # another process may be about to commit it
    assert await Overtaken(table.handle).compact() == "compacted"
    assert not left.exists()


async def test_the_newest_files_are_merged_even_if_the_whole_is_never_compacted(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MOST_WAITED_FOR": 1, "PATIENCE": 100, "MANY_WITHOUT_INDEX": 1, "MANY_FRAGMENTS": 8}.items():
        monkeypatch.setattr(upkeep, name, value)
    overtaken = Overtaken(table.handle)
    for _ in range(5):
        await grown(table, 8)
        assert await overtaken.keep_up() == "overtaken"
    assert (await overtaken.stats()).fragments < 8


async def test_old_versions_go_when_nobody_has_written_for_a_while(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(table, upkeep.MANY_VERSIONS)
    await table.upkeep.compact()
    assert manifests(table) > upkeep.MANY_VERSIONS  # they are young
    assert not await table.upkeep.is_due()
    monkeypatch.setattr(FolderHandle, "keep_old_versions", timedelta(milliseconds=100))
    await anyio.sleep(0.2)
    assert await table.upkeep.is_due()
    await table.upkeep.compact()
    assert manifests(table) < 5
    assert not await table.upkeep.is_due()


async def test_a_reader_goes_on_while_the_table_is_compacted_and_pruned(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.table._BATCH", 1)
    await grown(table, 40)
    other = await MemoryTable.open(table.folder)
    read: list[str] = []
    async for rows in table.all_rows(filters.current()):
        read += [one.memory_id for one in rows.memories]
        if len(read) in (5, 15, 25):
            await other.insert([memory(f"later{len(read)}")])
            assert await other.upkeep.compact() == "compacted"
    assert sorted(read) == [f"m{number:03}" for number in range(40)]
    other.close()


async def test_two_processes_do_not_maintain_at_once(table: MemoryTable) -> None:
    other = await MemoryTable.open(table.folder)
    async with table.handle.maintenance_lock.held():
        assert await other.upkeep.compact() == "busy"
        assert await other.upkeep.keep_up() == "busy"
    assert await other.upkeep.compact() == "compacted"
    other.close()


@pytest.mark.parametrize("retrained", [1_000, 10**9])
async def test_the_index_of_vectors_takes_in_new_rows_and_large_ones_are_made_anew_then(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch, retrained: int
) -> None:
    for name, value in {"INDEXED_VECTORS": 1_000, "ROWS_PER_PARTITION": 100, "RETRAINED": retrained}.items():
        monkeypatch.setattr(creation, name, value)
    chance = np.random.default_rng(1)

    async def insert(prefix: str, count: int) -> None:
        vectors = chance.normal(size=(count, 384))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        await table.insert([memory(f"{prefix}{n}", vector=one.tolist()) for n, one in enumerate(vectors)])

    async def partitions() -> str:
        async with table.handle.reading("test") as opened:
            query = opened.query().nearest_to([1.0] * 384).distance_type("cosine").nprobes(1_000)
            [ranked] = re.findall(r"partitions_ranked=(\d+)", await query.limit(1).analyze_plan())
        return ranked

    async def found() -> set[str]:
        probe = await table.find(equals("memory_id", "new5"), with_vectors=True)
        nearest = await table.nearest(probe[0].vector or [], filters.current(), 1)
        return {one.memory_id for one in nearest.memories}

    await insert("old", 2_000)
    await table.upkeep.compact()
    assert await partitions() == "20"
    await insert("new", 50)
    assert await found() == {"new5"}
    assert await table.upkeep.compact() == "compacted"
    assert await found() == {"new5"}
    assert (await partitions() == "20") == (retrained == 1_000)  # Lance by itself joins them into few
    await table.upkeep.compact()
    assert not await table.upkeep.is_due()
