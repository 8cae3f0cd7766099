"""A process that dies while one table takes the place of another: before or after the switch, never in between."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from store import backup, filters, tables
from store.embedders.hashing import HashingEmbedder
from store.erasure import erase
from store.errors import StoreError
from store.filters import equals
from store.reembedding import reembed
from store.table import MemoryTable
from tests.builders import memory
from tests.store.test_erasure import SECRET, holding


class Died(BaseException):
    """What no code catches: as far as the files go, the process is gone."""


def dies(*_: object, **__: object) -> None:
    raise Died


async def filled(folder: Path) -> MemoryTable:
    table = await MemoryTable.open(folder)
    await table.insert([memory("m0", "green tea"), memory("m1", f"the {SECRET} beetle")])
    await backup.create(table.handle, folder.parent / "backup.zip")
    await table.insert([memory("m2", "a third")])
    return table


async def purge(table: MemoryTable) -> None:
    await erase(table.handle, equals("memory_id", "m1"))


async def restore(table: MemoryTable) -> None:
    await backup.restore(table.handle, str(table.folder.parent / "backup.zip"))


async def move(table: MemoryTable) -> None:
    await reembed(table.handle, HashingEmbedder(16))


BEFORE = ["m0", "m1", "m2"]


@pytest.mark.parametrize(
    ("change", "after"),
    [(purge, ["m0", "m2"]), (restore, ["m0", "m1"]), (move, BEFORE)],
    ids=["purge", "restore", "move"],
)
@pytest.mark.parametrize("moment", ["before the rename", "before the ledger", "after the ledger"])
async def test_a_store_is_as_before_or_as_after(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[MemoryTable], Awaitable[None]],
    after: list[str],
    moment: str,
) -> None:
    store = tmp_path / "store"
    table = await filled(store)
    running = await MemoryTable.open(store)
    with monkeypatch.context() as patched:
        if moment == "before the rename":
            patched.setattr(tables, "new_name", dies)
        elif moment == "before the ledger":
            patched.setattr(tables, "switch", dies)
        else:
            real = tables.switch

            def switch_and_die(*arguments: object, **named: object) -> None:
                real(*arguments, **named)  # pyright: ignore[reportArgumentType]
                raise Died

            patched.setattr(tables, "switch", switch_and_die)
        with pytest.raises(Died):
            await change(table)
    expected = after if moment == "after the ledger" else BEFORE
    fresh = await MemoryTable.open(store)
    for one in (running, fresh):  # whether it was open at that moment or not
        assert [row.memory_id for row in await one.find(filters.current())] == expected
    assert fresh.findings == ()
    await fresh.insert([memory("m9", "written afterwards")])
    assert await running.count(equals("memory_id", "m9")) == 1
    await erase(fresh.handle, equals("memory_id", "m1"))  # again, or for the first time
    assert holding(store) == []
    assert await running.count(equals("memory_id", "m9")) == 1
    for one in (table, running, fresh):
        one.close()


async def test_a_purge_is_refused_while_the_store_is_embedded_anew(tmp_path: Path) -> None:
    table = await filled(tmp_path / "store")
    async with tables.not_reembedding(table.folder):
        for change in (purge, restore):
            with pytest.raises(StoreError, match="A process is embedding this store anew"):
                await change(table)
    await purge(table)
    assert holding(table.folder) == []
    table.close()


async def test_a_purge_that_can_not_remove_a_file_says_so_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_path: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(13, "Permission denied")

    table = await filled(tmp_path / "store")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", refuses)
        for _ in range(2):
            with pytest.raises(StoreError, match="could not remove"):
                await purge(table)
    assert holding(table.folder)
    await purge(table)
    assert holding(table.folder) == []
    table.close()


async def test_a_kept_state_that_can_not_be_read_is_named_and_keeps_nothing_else_from_being_purged(
    tmp_path: Path,
) -> None:
    table = await filled(tmp_path / "store")
    broken = await backup.snapshot(table.handle, "import")
    whole = await backup.snapshot(table.handle, "import")
    for file in tables.path_of(table.folder, broken).glob("_versions/*.manifest"):
        file.unlink()  # written to, the same file would be damaged in the other states too
    with pytest.raises(StoreError, match=f"souvenir backup drop {broken}"):
        await purge(table)
    assert {Path(name).parts[0] for name in holding(table.folder)} == {f"{broken}.lance"}
    assert not tables.path_of(table.folder, whole).exists()  # made anew without it, under another name
    await backup.drop(table.handle, broken)
    assert holding(table.folder) == []
    table.close()


async def test_a_table_without_any_whole_state_names_what_is_kept(tmp_path: Path) -> None:
    table = await filled(tmp_path / "store")
    kept = await backup.snapshot(table.handle, "import")
    table.close()
    for file in tables.path_of(table.folder, "memories").glob("_versions/*.manifest"):
        file.unlink()
    empty = await MemoryTable.open(table.folder)
    assert f"souvenir backup restore {kept}" in empty.findings[-1]
    await backup.restore(empty.handle, kept)
    assert [row.memory_id for row in await empty.find(filters.current())] == BEFORE
    empty.close()


async def test_what_lance_is_still_writing_is_in_no_backup(tmp_path: Path) -> None:
    table = await filled(tmp_path / "store")
    (tables.path_of(table.folder, "memories") / "_versions" / "99.manifest#1").write_bytes(b"half a mani")
    about = await backup.create(table.handle, tmp_path / "second.zip")
    assert about.rows == 3
    other = await MemoryTable.open(tmp_path / "other")
    assert await backup.restore(other.handle, str(tmp_path / "second.zip")) == 3
    other.close()
    table.close()
