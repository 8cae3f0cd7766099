"""What happens where another library or the file system fails: our errors, in words, and nothing lost."""

from pathlib import Path

import pytest

from store import filters
from store.errors import CorruptionError, StoreError
from store.locks import ProcessLock
from store.table import MemoryTable
from tests.builders import memory


async def test_a_lock_file_that_can_not_be_used_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError, match=r"The lock .*lock can't be taken"):
        async with ProcessLock(tmp_path / "lock").held():
            pass


async def test_a_broken_predicate_is_a_store_error_in_one_line(table: MemoryTable) -> None:
    with pytest.raises(StoreError) as caught:
        await table.count("no_such_column = 1")
    assert "\n" not in str(caught.value)
    assert ".rs:" not in str(caught.value)


async def test_a_missing_data_file_is_told_as_damage(table: MemoryTable) -> None:
    await table.insert([memory("1")])
    fresh = await MemoryTable.open(table.folder)
    for file in (table.folder / "memories.lance" / "data").iterdir():
        file.unlink()
    with pytest.raises((CorruptionError, StoreError), match="The store could not read"):
        await fresh.find(filters.current())
    fresh.close()
