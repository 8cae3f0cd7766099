"""What thousands of single writes leave behind: `uv run python -m benchmarks.upkeep --adds 10000`.

A server over stdio takes one `add_memory` after the other. Then the files of the store are counted, at once and after
it has been idle for a while, and compared with a copy that was compacted by hand: files, bytes, and what a search
takes.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import anyio

from benchmarks.latency import client_of, timed
from benchmarks.report import p50, p95, print_table
from benchmarks.sample import questions, statements
from store.table import MemoryTable

SEARCHES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=90, help="seconds that the server has to itself afterwards")
    arguments = parser.parse_args()
    print(f"{arguments.adds:,} adds, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    anyio.run(_measure, arguments.adds, arguments.idle)


async def _measure(adds: int, idle: float) -> None:
    texts = statements(adds, seed=7)
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as parent:
        store, copy = Path(parent) / "store", Path(parent) / "copy"
        async with client_of("server.stdio", str(store)) as client:
            await client.call_tool("search_memory", {"query": "warm up"})
            started = time.perf_counter()
            took = await timed(lambda n: client.call_tool("add_memory", {"content": texts[n]}), adds)
            elapsed = time.perf_counter() - started
            at_once = _state(store)
            await anyio.sleep(idle)
            idled = _state(store)
        await _compacted(store, copy)
        by_hand = _state(copy)
        searched = [await _searches(store), await _searches(copy)]
    base = p50(searched[1])
    for name, (files, size), seconds in (
        ("the store, right after the adds", at_once, None),
        (f"the store, {idle:.0f} s later", idled, searched[0]),
        ("a copy, compacted by hand", by_hand, searched[1]),
    ):
        timing = (f"{1_000 * p50(seconds):.1f} ms", f"{p50(seconds) / base:.2f}") if seconds else ("", "")
        rows.append((name, str(files), f"{size / 1e6:.1f} MB", f"{size / by_hand[1]:.2f}", *timing))
    print(
        f"add_memory: p50 {1_000 * p50(took):.1f} ms, p95 {1_000 * p95(took):.1f} ms, {adds / elapsed:.0f} a second\n"
    )
    print_table(("", "files", "bytes", "x copy", "search p50", "x copy"), rows)


def _state(folder: Path) -> tuple[int, int]:
    """Return how many files a folder has, and their bytes."""
    sizes: list[int] = []
    for file in folder.rglob("*"):
        try:
            if file.is_file():
                sizes.append(file.stat().st_size)
        except FileNotFoundError:  # the server has just removed it
            continue
    return len(sizes), sum(sizes)


async def _compacted(store: Path, copy: Path) -> None:
    await anyio.to_thread.run_sync(shutil.copytree, store, copy)
    table = await MemoryTable.open(copy)
    async with table.handle.committing("compact") as raw:
        await raw.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
    table.close()


async def _searches(store: Path) -> list[float]:
    asked, warm = questions(SEARCHES), questions(20, seed=11)
    async with client_of("server.stdio", str(store)) as client:
        await timed(lambda n: client.call_tool("search_memory", {"query": warm[n]}), len(warm))
        await anyio.sleep(4)  # until the scope is held in memory, see `Searcher.read_ahead`
        return await timed(lambda n: client.call_tool("search_memory", {"query": asked[n]}), SEARCHES)


if __name__ == "__main__":
    main()
