"""A damaged store opens at its newest whole state, says what is lost, and keeps the damaged files."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from store import filters
from store.errors import StoreError
from store.recovery import QUARANTINE, newest_manifest
from store.table import MemoryTable
from tests.builders import axis, memory


async def filled(folder: Path) -> Path:
    """Make a store of three memories, one commit each, and return its table's folder."""
    table = await MemoryTable.open(folder)
    for number in range(3):
        await table.insert([memory(f"m{number}", f"tea number {number}", vector=axis(number))])
    table.close()
    return folder / "memories.lance"


async def contents(folder: Path) -> tuple[list[str], tuple[str, ...]]:
    table = await MemoryTable.open(folder)
    found = [one.memory_id for one in await table.find(filters.current())]
    by_words = [one.memory_id for one in (await table.matching("tea", filters.current(), 9)).memories]
    assert sorted(by_words) == found
    await table.insert([memory("after", "coffee")])  # it can be written to again
    findings = table.findings
    table.close()
    return found, findings


def newest_data(table: Path) -> Path:
    return max((table / "data").glob("*.lance"), key=lambda file: file.stat().st_mtime_ns)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [truncate, zero, empty])
async def test_a_damaged_newest_manifest_costs_its_commit_alone(
    tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = newest_manifest(await filled(tmp_path))
    assert manifest
    harm(manifest)
    with caplog.at_level(logging.WARNING):
        found, [finding] = await contents(tmp_path)
    assert found == ["m0", "m1"]
    assert "is damaged and was put aside" in finding
    assert finding in caplog.text
    assert [file.name for file in (tmp_path / QUARANTINE).rglob("*.manifest")] == [manifest.name]
    table = await MemoryTable.open(tmp_path)
    assert table.findings == ()
    table.close()


async def test_a_missing_newest_manifest_is_told(tmp_path: Path) -> None:
    manifest = newest_manifest(await filled(tmp_path))
    assert manifest
    manifest.unlink()
    assert await contents(tmp_path) == (
        ["m0", "m1"],
        ("The newest 1 commits are missing: what they changed is lost.",),
    )


@pytest.mark.parametrize("harm", [truncate, zero, empty, Path.unlink])
async def test_a_damaged_data_file_costs_the_commits_that_need_it(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    table = await filled(tmp_path)
    harm(newest_data(table))
    found, findings = await contents(tmp_path)
    assert found == ["m0", "m1"]
    assert "is damaged and was put aside" in findings[0]


@pytest.mark.parametrize("harm", [truncate, zero, empty, Path.unlink])
async def test_a_damaged_index_costs_no_memory(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    table = await filled(tmp_path)
    for file in list((table / "_indices").rglob("*.lance")):
        harm(file)
    found, findings = await contents(tmp_path)
    assert found == ["m0", "m1", "m2"]
    assert findings == ("An index was damaged; all were made anew. No memory is lost.",)


async def test_a_stray_file_that_nothing_needs_is_put_aside(tmp_path: Path) -> None:
    table = await filled(tmp_path)
    (table / "data" / "stray.lance").write_bytes(b"half a fi")
    found, [finding] = await contents(tmp_path)
    assert found == ["m0", "m1", "m2"]
    assert finding == "A damaged file that nothing needs was put aside: memories.lance/data/stray.lance."


async def test_an_empty_folder_in_place_of_the_table_is_put_aside(tmp_path: Path) -> None:
    table = await filled(tmp_path)
    shutil.rmtree(table)
    table.mkdir()
    found, [finding] = await contents(tmp_path)
    assert found == []
    assert "had no whole state and was put aside" in finding


async def test_what_fails_for_another_reason_puts_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)

    async def no_handles(*_: object) -> None:
        raise OSError("Too many open files (os error 24)")

    with monkeypatch.context() as patched:
        patched.setattr("store.opening._opened", no_handles)
        with pytest.raises(StoreError, match="Too many open files"):
            await MemoryTable.open(tmp_path)
    assert not (tmp_path / QUARANTINE).exists()
    assert await contents(tmp_path) == (["m0", "m1", "m2"], ())
