"""A full disk, a used-up quota: the write is refused, what was acknowledged stays, and no restart is needed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from store import filters
from store.embedders.hashing import HashingEmbedder
from store.table import MemoryTable
from tests.conftest import ALICE, SOURCE, CountedIds, TurnedClock
from tests.e2e.wire import Wire, initialized
from tools.memories import COMMITS_UNTIL_MAINTENANCE, Memories
from tools.outcomes import Draft

if sys.platform == "win32":
    pytest.skip("the limits that these tests set are those of POSIX", allow_module_level=True)

import resource


@contextmanager
def file_size_limit(limit: int, process: int = 0) -> Generator[None]:
    """Let a process write no file beyond this size: what a disk does that is full, at a moment that a test chooses."""
    if process and not hasattr(resource, "prlimit"):
        pytest.skip("the limits of another process can't be set here")

    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def let(size: int) -> None:
        if process:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (size, most))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))

    let(limit)
    try:
        yield
    finally:
        let(usual)


def failure(wire: Wire, tool: str, **arguments: Any) -> str:
    answer = wire.answer(wire.call(tool, **arguments))
    assert answer.get("isError"), answer
    return answer["content"][0]["text"]


def fill(file: Path) -> None:
    """Write to a file until the disk is full."""
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(os.urandom(4096))
    assert shutil.disk_usage(file.parent).free < 4096


def contents(wire: Wire) -> list[str]:
    found = wire.answer(wire.call("list_memories", sort="oldest"))["structuredContent"]["results"]
    return [one["content"] for one in found]


def changes_are_refused(wire: Wire, memory_id: str, error: str) -> None:
    for _ in range(3):
        text = failure(wire, "add_memory", content="while there is no room " + "x" * 4_000)
        assert error in text
        assert "Nothing is lost that was acknowledged." in text
    assert error in failure(wire, "update_memory", memory_id=memory_id, content="y" * 4_000)
    assert error in failure(wire, "delete_memory", memory_ids=[memory_id])
    found = wire.answer(wire.call("search_memory", query="tea"))["structuredContent"]
    assert [one["content"] for one in found["results"]] == ["green tea"]


def test_a_server_without_room_refuses_reads_on_and_recovers(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        [added] = wire.answer(wire.call("add_memory", content="green tea"))["structuredContent"]["results"]
        with file_size_limit(500, wire.process.pid):
            changes_are_refused(wire, added["memory_id"], "larger than is allowed here")
        wire.answer(wire.call("update_memory", memory_id=added["memory_id"], content="black tea"))
        wire.answer(wire.call("add_memory", content="there is room again"))
        assert contents(wire) == ["black tea", "there is room again"]
    with initialized(tmp_path) as wire:
        assert contents(wire) == ["black tea", "there is room again"]


@pytest.fixture
def small_disk() -> Generator[Path]:
    """Yield a folder on a disk of four megabytes."""
    place = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip("only root can mount a small disk; the test above needs none")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def test_a_server_on_a_full_disk_refuses_reads_on_and_recovers(small_disk: Path) -> None:
    store, filler = small_disk / "store", small_disk / "filler"
    with initialized(store) as wire:
        [added] = wire.answer(wire.call("add_memory", content="green tea"))["structuredContent"]["results"]
        fill(filler)
        changes_are_refused(wire, added["memory_id"], "The disk is full: make room and try again.")
        filler.unlink()
        wire.answer(wire.call("update_memory", memory_id=added["memory_id"], content="black tea"))
        wire.answer(wire.call("add_memory", content="there is room again"))
        assert contents(wire) == ["black tea", "there is room again"]
    with initialized(store) as wire:
        assert contents(wire) == ["black tea", "there is room again"]


async def test_maintenance_without_room_is_told_and_done_later(tmp_path: Path) -> None:
    table = await MemoryTable.open(tmp_path)
    memories = Memories(table, HashingEmbedder(), clock=TurnedClock(), new_id=CountedIds())
    for number in range(COMMITS_UNTIL_MAINTENANCE):
        await memories.add([Draft(content=f"fact number {number}")], ALICE, SOURCE)
    for times in (1, 2):
        with file_size_limit(3_000):
            assert "larger than is allowed here" in (await memories.maintain()).problem
        failures = (await memories.stats()).table.failures
        assert failures is not None
        assert failures.count == times
        assert await table.count(filters.current()) == COMMITS_UNTIL_MAINTENANCE
        assert (await memories.search("fact number 7", ALICE)).hits[0].memory.content == "fact number 7"
    assert (await memories.maintain()).files == "merged"
    state = (await memories.stats()).table
    assert (state.failures, state.fragments, state.memories) == (None, 1, COMMITS_UNTIL_MAINTENANCE)
    memories.close()
