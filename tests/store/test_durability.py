"""Every file and folder of a commit is written down before the call returns: also where no trace can be taken."""

from dataclasses import replace
from pathlib import Path

import pytest

from store import durability
from store.errors import StoreError
from store.table import MemoryTable
from tests.builders import axis, memory


class Disk:
    """What was written down, and by whom the next attempt is refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[Path] = []
        self.broken = False
        self._real = durability.write_down
        monkeypatch.setattr(durability, "write_down", self._write_down)

    def _write_down(self, path: Path | str) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")
        self.written.append(Path(path))
        self._real(path)

    def left_out(self, folder: Path) -> list[Path]:
        """Return the files and folders that were not written down after they got their names, but for locks."""
        named = [path for path in folder.glob("**/*") if path.suffix != ".lock"]
        at = {path: place for place, path in enumerate(self.written)}
        files = [path for path in named if path not in at]
        folders = [path.parent for path in named if path in at and at.get(path.parent, -1) < at[path]]
        return sorted({*files, *folders} - {folder})


async def test_nothing_of_a_commit_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    table = await MemoryTable.open(tmp_path)
    assert disk.left_out(tmp_path) == []
    old = memory("m0", "first", vector=axis(0))
    await table.insert([old])
    assert disk.left_out(tmp_path) == []
    async with table.writing():
        await table.supersede([(old, replace(old, version=2, content="second"))])
    assert disk.left_out(tmp_path) == []
    await table.upkeep.compact()
    assert disk.left_out(tmp_path) == []
    await table.insert([memory("m1")])
    assert disk.left_out(tmp_path) == []
    table.close()


async def test_what_is_on_the_disk_is_not_written_down_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    table = await MemoryTable.open(tmp_path)
    await table.insert([memory("m0")])
    disk.written.clear()
    await table.insert([memory("m1")])
    files = [path for path in disk.written if path.is_file()]
    assert 3 <= len(files) == len(set(files)) <= 6
    table.close()


async def test_a_disk_that_refuses_is_told_and_nothing_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    table = await MemoryTable.open(tmp_path)
    disk.broken = True
    with pytest.raises(StoreError, match=r"could not make sure that it is on the disk \(it did store\)"):
        await table.insert([memory("m0")])
    disk.broken = False
    await table.insert([memory("m1")])
    assert disk.left_out(tmp_path) == []  # the refused one too
    table.close()


async def test_fast_leaves_it_to_the_operating_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    table = await MemoryTable.open(tmp_path, "fast")
    await table.insert([memory("m0")])
    assert disk.written == []
    table.close()
