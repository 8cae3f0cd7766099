"""Upkeep merges files and removes old versions when nobody needs them any more, and not before."""

from datetime import timedelta

import anyio
import pytest

from store import filters, upkeep
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
