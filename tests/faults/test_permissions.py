"""A folder that may only be read, and a permission that goes and comes back."""

import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.opening import prepare_folder
from store import filters
from store.embedders.hashing import HashingEmbedder
from store.errors import StoreError
from store.ids import TimeOrderedIds
from store.recovery import QUARANTINE
from store.table import MemoryTable
from tests.builders import memory
from tests.conftest import ALICE, SOURCE, TurnedClock
from tools.memories import Memories
from tools.outcomes import Draft

if sys.platform == "win32":
    pytest.skip("permissions are other ones there", allow_module_level=True)

NOBODY = 65534


@contextmanager
def as_nobody() -> Generator[None]:
    """Give up root's right to do everything, where the tests have it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def store() -> Generator[Path]:
    """Yield a folder that is nobody's, below folders that everybody may enter."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def without(permission: int, *paths: Path) -> Generator[None]:
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~permission)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def every_folder(store: Path) -> list[Path]:
    return [store, *(path for path in store.glob("**/*") if path.is_dir())]


def state_of(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [store, *store.glob("**/*")]}


async def filled(store: Path) -> None:
    memories = used(await MemoryTable.open(store))
    for number in range(3):
        await memories.add([Draft(content=f"tea number {number}")], ALICE, SOURCE)
    memories.close()


def used(table: MemoryTable) -> Memories:
    return Memories(table, HashingEmbedder(), clock=TurnedClock(), new_id=TimeOrderedIds())


async def test_who_only_reads_never_writes(store: Path) -> None:
    with as_nobody():
        await filled(store)
        before = state_of(store)
        with without(0o222, *every_folder(store)):
            prepare_folder(store)
            memories = used(await MemoryTable.open(store))
            assert (await memories.page(ALICE)).total == 3
            assert len((await memories.search("tea", ALICE)).hits) == 3
            assert not (await memories.maintain()).problem
            with pytest.raises(StoreError, match="Permission denied"):
                await memories.add([Draft(content="coffee")], ALICE, SOURCE)
            assert (await memories.page(ALICE)).total == 3
        assert state_of(store) == before
        await memories.add([Draft(content="coffee")], ALICE, SOURCE)
        assert (await memories.page(ALICE)).total == 4
        memories.close()


async def test_a_permission_that_is_lost_meanwhile_costs_no_memory_and_no_restart(store: Path) -> None:
    with as_nobody():
        await filled(store)
        table = await MemoryTable.open(store)
        with (
            without(0o222, store / "memories.lance" / "data"),
            pytest.raises(StoreError, match=r"A permission is missing: give it back and try again"),
        ):
            await table.insert([memory("refused")])
        await table.insert([memory("after")])
        assert await table.count(filters.equals("memory_id", "after")) == 1
        assert await table.count(filters.current()) == 4
        table.close()


async def test_a_file_that_may_not_be_read_is_not_taken_for_damaged(store: Path) -> None:
    with as_nobody():
        await filled(store)
        newest = max((store / "memories.lance" / "data").glob("*.lance"), key=lambda file: file.stat().st_mtime_ns)
        with without(0o444, newest), pytest.raises(StoreError):
            await MemoryTable.open(store)
        table = await MemoryTable.open(store)
        assert await table.count() == 3
        assert table.findings == ()
        assert not (store / QUARANTINE).exists()
        table.close()
