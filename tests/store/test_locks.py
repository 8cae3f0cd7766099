import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from store.errors import StoreError
from store.locks import ProcessLock

HOLD_UNTIL_KILLED = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):  # noqa: ANN201 - a generator of a subprocess
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_UNTIL_KILLED, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_tasks_of_one_process_take_turns_in_order(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    seen: list[str] = []

    async def work(name: str) -> None:
        async with lock.held():
            seen.append(f"{name} in")
            await anyio.lowlevel.checkpoint()
            seen.append(f"{name} out")

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(work, name)
    assert seen == [f"{name} {what}" for name in "abc" for what in ("in", "out")]


async def test_a_lock_that_another_process_holds_is_refused_in_words_after_a_time(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StoreError, match="Another process has been writing to this store"):
        async with ProcessLock(tmp_path / "lock", timeout=0.05).held():
            pass
    async with ProcessLock(tmp_path / "lock").if_free() as free:
        assert not free


async def test_a_killed_holder_blocks_nobody(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    async with ProcessLock(tmp_path / "lock", timeout=5).held():
        pass


async def test_an_error_inside_releases_the_lock(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    with pytest.raises(KeyError):
        async with lock.held():
            raise KeyError
    async with ProcessLock(tmp_path / "lock").if_free() as free:
        assert free
        async with lock.if_free() as free_again:
            assert not free_again
