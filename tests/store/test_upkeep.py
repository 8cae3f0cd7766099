# LanceDB is only partly typed.
# pyright: reportUnknownMemberType=false
"""Upkeep merges files and removes old versions when nobody needs them any more, and not before."""

import re
from datetime import timedelta

import anyio
import numpy as np
import pytest

from store import creation, filters, upkeep
from store.filters import equals
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
    await grown(table, 1)
    assert await table.upkeep.is_due()
    assert await table.upkeep.compact()
    assert (await table.upkeep.stats()).fragments == 1
    assert not await table.upkeep.is_due()
    assert await table.count(filters.current()) == upkeep.MANY_FRAGMENTS


async def test_old_versions_go_when_nobody_has_written_for_a_while(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(table, upkeep.MANY_VERSIONS)
    await table.upkeep.compact()
    assert manifests(table) > upkeep.MANY_VERSIONS  # they are young
    assert not await table.upkeep.is_due()
    monkeypatch.setattr(upkeep, "KEEP_OLD_VERSIONS", timedelta(milliseconds=100))
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
            assert await other.upkeep.compact()
    assert sorted(read) == [f"m{number:03}" for number in range(40)]
    other.close()


async def test_two_processes_do_not_maintain_at_once(table: MemoryTable) -> None:
    other = await MemoryTable.open(table.folder)
    async with table.handle.maintenance_lock.held():
        assert not await other.upkeep.compact()
    assert await other.upkeep.compact()
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
    assert await table.upkeep.compact()
    assert await found() == {"new5"}
    assert (await partitions() == "20") == (retrained == 1_000)  # Lance by itself joins them into few
    await table.upkeep.compact()
    assert not await table.upkeep.is_due()
