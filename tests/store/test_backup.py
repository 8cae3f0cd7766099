"""A backup is consistent while others write, comes back whole, and a restore can be undone."""

import zipfile
from pathlib import Path

import anyio
import pytest

from store import backup, filters, tables
from store.errors import CorruptionError, InvalidRequestError, NotFoundError, SchemaError, StoreError
from store.table import MemoryTable
from tests.builders import axis, memory


async def ids(table: MemoryTable) -> list[str]:
    return [one.memory_id for one in await table.find(filters.current())]


@pytest.fixture
async def filled(table: MemoryTable) -> MemoryTable:
    for number in range(3):
        await table.insert([memory(f"m{number}", f"tea number {number}", vector=axis(number))])
    return table


async def test_a_backup_comes_back_in_another_store(filled: MemoryTable, tmp_path: Path) -> None:
    about = await backup.create(filled.handle, tmp_path / "backup.zip")
    assert (about.rows, about.schema_version) == (3, 2)
    other = await MemoryTable.open(tmp_path / "other")
    assert await backup.restore(other.handle, str(tmp_path / "backup.zip")) == 3
    assert await other.find("row_id != ''", with_vectors=True) == await filled.find("row_id != ''", with_vectors=True)
    found = await other.matching("tea", filters.current(), 9)
    assert len(found.memories) == 3
    await other.insert([memory("after")])
    other.close()
    again = await MemoryTable.open(tmp_path / "other")
    assert len(await ids(again)) == 4
    assert again.findings == ()
    again.close()


async def test_a_backup_while_another_process_writes_is_one_moment(filled: MemoryTable, tmp_path: Path) -> None:
    writer = await MemoryTable.open(filled.folder)
    stopped = anyio.Event()

    async def write() -> None:
        for number in range(1_000):
            await writer.insert([memory(f"w{number:04}")])
            if stopped.is_set():
                return

    rows = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.sleep(0.1)
        rows = (await backup.create(filled.handle, tmp_path / "backup.zip")).rows
        stopped.set()
    other = await MemoryTable.open(tmp_path / "other")
    assert await backup.restore(other.handle, str(tmp_path / "backup.zip")) == rows > 3
    there = await ids(other)
    assert there == ["m0", "m1", "m2", *(f"w{number:04}" for number in range(rows - 3))]
    other.close()
    writer.close()


async def test_a_restore_replaces_what_is_there_and_can_be_undone(filled: MemoryTable, tmp_path: Path) -> None:
    running = await MemoryTable.open(filled.folder)
    await backup.create(filled.handle, tmp_path / "backup.zip")
    await filled.insert([memory("later")])
    await backup.restore(filled.handle, str(tmp_path / "backup.zip"))
    assert await ids(running) == await ids(filled) == ["m0", "m1", "m2"]
    [kept] = filled.upkeep.tables().kept
    assert kept.before == "restore"
    await backup.restore(filled.handle, kept.table)
    assert await ids(running) == await ids(filled) == ["later", "m0", "m1", "m2"]
    running.close()


async def test_a_backup_of_an_older_schema_is_migrated(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).parents[1] / "fixtures" / "schema-1.zip") as fixture:
        fixture.extractall(tmp_path / "old")
    about = '{"format": 1, "schema_version": 1, "rows": 6, "created_at": "2026-01-05T09:00:00+00:00"}'
    place = tmp_path / "old" / "memories.lance"
    with zipfile.ZipFile(tmp_path / "backup.zip", "w") as archive:
        archive.writestr("souvenir.json", about)
        for file in place.glob("**/*"):
            if file.is_file() and "_transactions" not in file.parts and file.suffix != ".json":
                archive.write(file, file.relative_to(place))
    table = await MemoryTable.open(tmp_path / "store")
    assert await backup.restore(table.handle, str(tmp_path / "backup.zip")) == 6
    assert "v1memory0001" in await ids(table)
    table.close()


async def test_a_backup_never_overwrites_a_file(filled: MemoryTable, tmp_path: Path) -> None:
    (tmp_path / "backup.zip").write_text("mine")
    with pytest.raises(InvalidRequestError, match="is there already"):
        await backup.create(filled.handle, tmp_path / "backup.zip")
    assert (tmp_path / "backup.zip").read_text() == "mine"


async def test_a_backup_that_can_not_be_written_leaves_nothing_behind(filled: MemoryTable, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not back up"):
        await backup.create(filled.handle, tmp_path / "no such folder" / "backup.zip")
    assert await ids(filled) == ["m0", "m1", "m2"]


async def test_what_is_no_backup_is_refused_and_nothing_changes(filled: MemoryTable, tmp_path: Path) -> None:
    await backup.create(filled.handle, tmp_path / "good.zip")
    good = (tmp_path / "good.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(good[: len(good) // 2])
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    (tmp_path / "text.zip").write_text("hello")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as evil:
        evil.writestr("souvenir.json", '{"format": 1, "schema_version": 2, "rows": 0, "created_at": ""}')
        evil.writestr("data/../../../evil", "x")
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as newer:
        newer.writestr("souvenir.json", '{"format": 2, "schema_version": 2, "rows": 0, "created_at": ""}')
    for name, error in (
        ("cut.zip", CorruptionError),
        ("flipped.zip", CorruptionError),
        ("text.zip", CorruptionError),
        ("evil.zip", CorruptionError),
        ("newer.zip", SchemaError),
        ("none.zip", NotFoundError),
    ):
        with pytest.raises(error):
            await backup.restore(filled.handle, str(tmp_path / name))
        assert await ids(filled) == ["m0", "m1", "m2"]
    assert filled.upkeep.tables() == tables.Tables()


async def test_a_backup_with_any_byte_changed_is_refused_or_whole(filled: MemoryTable, tmp_path: Path) -> None:
    await backup.create(filled.handle, tmp_path / "good.zip")
    good = (tmp_path / "good.zip").read_bytes()
    before = await filled.find("row_id != ''")
    refused = 0
    for place in range(0, len(good), len(good) // 60):
        changed = bytearray(good)
        changed[place] ^= 0xFF
        (tmp_path / "changed.zip").write_bytes(changed)
        try:
            await backup.restore(filled.handle, str(tmp_path / "changed.zip"))
        except StoreError:  # of which CorruptionError is one
            refused += 1
        assert await filled.find("row_id != ''") == before
    assert refused > 40


async def test_snapshots_take_no_room_and_rotate(filled: MemoryTable) -> None:
    names = [await backup.snapshot(filled.handle, "import") for _ in range(5)]
    assert [one.table for one in filled.upkeep.tables().kept] == names[-tables.SNAPSHOTS_KEPT :]
    for name in names:
        assert tables.path_of(filled.folder, name).is_dir() == (name in names[-tables.SNAPSHOTS_KEPT :])
    [data, *_] = tables.path_of(filled.folder, names[-1]).glob("data/*.lance")
    assert data.stat().st_nlink > 1
    await filled.insert([memory("later")])
    await backup.restore(filled.handle, names[-1])
    assert await ids(filled) == ["m0", "m1", "m2"]


async def test_a_kept_state_is_dropped_by_name(filled: MemoryTable) -> None:
    name = await backup.snapshot(filled.handle, "import")
    with pytest.raises(NotFoundError, match="No kept state is called"):
        await backup.drop(filled.handle, "memories")
    await backup.drop(filled.handle, name)
    assert filled.upkeep.tables().kept == ()
    assert not tables.path_of(filled.folder, name).exists()


async def test_a_damaged_ledger_costs_no_memory(filled: MemoryTable) -> None:
    name = await backup.snapshot(filled.handle, "import")
    await filled.insert([memory("later")])
    (filled.folder / "tables.json").write_text("{")
    again = await MemoryTable.open(filled.folder)
    assert await ids(again) == ["later", "m0", "m1", "m2"]
    assert again.findings == ("tables.json is damaged. The table that was written to last is used: memories.",)
    assert [(one.table, one.before) for one in again.upkeep.tables().kept] == [(name, "damage")]
    await backup.snapshot(again.handle, "import")
    assert tables.path_of(filled.folder, name).is_dir()
    again.close()


async def test_a_ledger_that_is_gone_costs_no_memory(filled: MemoryTable, tmp_path: Path) -> None:
    await backup.create(filled.handle, tmp_path / "backup.zip")
    await backup.restore(filled.handle, str(tmp_path / "backup.zip"))
    await filled.insert([memory("later")])
    (filled.folder / "tables.json").unlink()
    again = await MemoryTable.open(filled.folder)
    assert await ids(again) == await ids(filled) == ["later", "m0", "m1", "m2"]
    assert "tables.json is missing" in again.findings[0]
    again.close()


async def test_what_a_process_left_that_died_before_it_switched_is_removed(filled: MemoryTable) -> None:
    kept = await backup.snapshot(filled.handle, "import")
    orphan = tables.path_of(filled.folder, tables.new_name())
    orphan.mkdir()
    (filled.folder / "building-restore.lance").mkdir()
    await filled.upkeep.repair()
    assert {path.name for path in filled.folder.glob("*.lance")} == {"memories.lance", f"{kept}.lance"}
