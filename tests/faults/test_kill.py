"""Servers that are killed at any moment, and started again: nothing acknowledged is lost, nothing is there twice.

The same as `benchmarks/torture.py` at a size that a test can bear, and a look at the checks themselves.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.torture import Journal, judged, torture
from store.errors import StoreError
from store.locks import ProcessLock
from store.table import MemoryTable
from tests.builders import memory

ROOT = Path(__file__).parents[2]


async def test_nothing_is_lost_when_servers_are_killed(tmp_path: Path) -> None:
    journal = torture(tmp_path, processes=3, operations=150, kills=8)
    verdict = await judged(tmp_path, journal)
    assert journal.kills >= 6
    assert journal.acknowledged >= journal.sent - journal.kills
    assert (verdict.lost, verdict.duplicated, verdict.gaps) == ([], [], [])


async def test_the_judge_sees_what_is_lost_doubled_or_has_gaps(tmp_path: Path) -> None:
    table = await MemoryTable.open(tmp_path)
    first = memory("m0", "added")
    await table.insert([first, replace(first, memory_id="m1"), memory("m2", version=2), memory("m3")])
    table.close()
    journal = Journal(
        added={"added": "m0", "never": "m9"}, rows={"m3.1": "other words", "m2.2": ""}, deleted={"why": "m3"}
    )
    verdict = await judged(tmp_path, journal)
    assert sorted(verdict.lost) == ["added", "m3.1", "never", "why"]
    assert verdict.duplicated == ["added"]
    assert verdict.gaps == ["m2"]


HOLDER = """
import sys
import time
from pathlib import Path
import anyio
from store.errors import StoreError
from store.locks import ProcessLock

async def hold():
    async with ProcessLock(Path(sys.argv[1])).held():
        print("held", flush=True)
        time.sleep(60)

anyio.run(hold)
"""


async def test_a_holder_of_a_lock_that_is_killed_blocks_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "write.lock")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="Another process has been writing"):
            async with ProcessLock(tmp_path / "write.lock", timeout=0.1).held():
                pass
        holder.kill()
    async with ProcessLock(tmp_path / "write.lock", timeout=5).held():
        pass
