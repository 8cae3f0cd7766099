"""What size costs: `uv run python -m benchmarks.scale --sizes 1000 10000 100000 1000000`.

For each size a store is bulk-loaded with clustered vectors, see `benchmarks.sample.bulk_load`, and then used over
stdio by the official client: searches by one who owns half of all memories, searches by one who owns fifty of them,
and adds. Against a call that does nothing and against an exact search with numpy over the first user's vectors, in
the same run. Recall is that of the store's own search for the nearest vectors, against the exact one. At last it is
measured what maintenance takes after as many single commits as it waits for (merge), and to compact the whole table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import numpy as np
from mcp import Client

from benchmarks.latency import client_of, timed
from benchmarks.report import p50, p95, print_table, resident_megabytes
from benchmarks.sample import SEARCHER, SMALL, bulk_load, drafts, questions, statements
from store import filters
from store.clock import utc_now
from store.embedders.onnx import bundled
from store.ids import TimeOrderedIds
from store.models import Scope, Source
from store.search import NEAREST_FOUND
from store.table import MemoryTable
from store.upkeep import MANY_FRAGMENTS
from tools.versions import first_version

if TYPE_CHECKING:
    from store.found import Matrix

WARM_SECONDS = 4
"""After a server's first search of a large scope it reads ahead for a while, see `Searcher.read_ahead`."""

_SIZES = ("memories", "nothing", "recall@10", "bulk load", "indexes", "on disk", "resident", "merge", "compact")

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--calls", type=int, default=200, help="searches at each size")
    parser.add_argument("--folder", type=Path, default=None, help="where stores are made, for a disk with room")
    arguments = parser.parse_args()
    print(f"{arguments.calls} searches each, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    anyio.run(_measure, arguments.sizes, arguments.calls, arguments.folder)


async def _measure(sizes: list[int], calls: int, parent: Path | None) -> None:
    speed: list[tuple[str, ...]] = []
    size_of: list[tuple[str, ...]] = []
    medians: dict[int, tuple[float, float]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            started = time.perf_counter()
            table = await bulk_load(Path(folder), size)
            loaded = time.perf_counter()
            while await table.upkeep.is_due():
                await table.upkeep.keep_up()
            built = time.perf_counter()
            exact, recall = await _against_exact(table, calls)
            table.close()
            async with client_of("benchmarks.bare_server", folder) as bare:
                base = p50(await timed(lambda _, bare=bare: bare.call_tool("nothing", {}), 200))
            async with client_of("server.stdio", folder) as client:
                measured = await _calls(client, calls)
                megabytes = resident_megabytes(_child("server.stdio"))
            on_disk = _megabytes_of(Path(folder))
            merged, compacted = await _upkept(Path(folder))
        for name, seconds in {"search with numpy, in process": exact, **measured}.items():
            times = [f"{1_000 * value:.1f} ms" for value in (p50(seconds), p95(seconds))]
            speed.append((f"{size:,}", name, *times, f"{p50(seconds) / base:.1f}", f"{p50(seconds) / p50(exact):.1f}"))
        medians[size] = p50(measured["search_memory"]), p50(measured["add_memory"])
        size_of.append(
            (
                f"{size:,}",
                f"{1_000 * base:.2f} ms",
                f"{recall:.3f}",
                f"{loaded - started:.0f} s",
                f"{built - loaded:.1f} s",
                f"{on_disk:.0f} MB",
                f"{megabytes:.0f} MB",
                f"{merged:.2f} s",
                f"{compacted:.1f} s",
            )
        )
    print_table(("memories", "call", "p50", "p95", "x nothing", "x numpy"), speed)
    print()
    print_table(_SIZES, size_of)
    print()
    search, add = medians[sizes[0]]
    growth = [(f"{size:,}", f"{one / search:.2f}", f"{other / add:.2f}") for size, (one, other) in medians.items()]
    print_table(("memories", "search, x smallest", "add, x smallest"), growth)


def _megabytes_of(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


async def _upkept(store: Path) -> tuple[float, float]:
    """Return the seconds of the maintenance that as many single commits ask for as it waits for, and of a whole one."""
    table = await MemoryTable.open(store)
    texts, new_id = statements(MANY_FRAGMENTS, seed=13), TimeOrderedIds()
    vectors = await bundled().embed_documents(texts)
    await table.upkeep.keep_up()
    for draft, vector in zip(drafts(texts), vectors, strict=True):
        row = first_version(draft, Scope(SEARCHER), Source(), memory_id=new_id(), now=utc_now(), vector=vector)
        await table.insert([row])
    seconds: list[float] = []
    for step in (table.upkeep.keep_up, table.upkeep.compact):
        started = time.perf_counter()
        await step()
        seconds.append(time.perf_counter() - started)
    table.close()
    return seconds[0], seconds[1]


def _child(module: str) -> int:
    """Return the process id of the server that the client has started."""
    listing = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    return int(next(line for line in lines if module in line).split()[0])


async def _against_exact(table: MemoryTable, calls: int) -> tuple[list[float], float]:
    """Return the seconds of exact searches, and how much of the exact top 10 the table's own search finds."""
    mine = filters.visible(Scope(SEARCHER), utc_now())
    vectors_of: list[Matrix] = []
    row_ids: list[str] = []
    async for rows in table.all_rows(mine):
        vectors_of.append(rows.vectors)
        row_ids += [memory.row_id for memory in rows.memories]
    matrix = np.concatenate(vectors_of)
    vectors = [await bundled().embed_query(question) for question in questions(calls, seed=5)]
    seconds: list[float] = []
    hits = 0
    for vector in vectors:
        started = time.perf_counter()
        cosines = matrix @ np.asarray(vector, np.float32)
        places: list[int] = np.argpartition(-cosines, 10)[:10].tolist()
        seconds.append(time.perf_counter() - started)
        best = {row_ids[place] for place in places}
        nearest = await table.nearest(vector, mine, NEAREST_FOUND)
        closest: list[int] = np.argsort(-(nearest.vectors @ np.asarray(vector, np.float32)))[:10].tolist()
        hits += len(best & {nearest.memories[place].row_id for place in closest})
    return seconds, hits / (10 * calls)


async def _calls(client: Client, calls: int) -> dict[str, list[float]]:
    warm, asked, texts = questions(50, seed=11), questions(calls), statements(calls, seed=7)
    for user in (SEARCHER, SMALL):
        await client.call_tool("search_memory", {"query": "warm up", "user_id": user})
    await anyio.sleep(WARM_SECONDS)
    await timed(lambda n: client.call_tool("search_memory", {"query": warm[n]}), len(warm))
    return {
        "search_memory": await timed(lambda n: client.call_tool("search_memory", {"query": asked[n]}), calls),
        "search_memory, a user of 50": await timed(
            lambda n: client.call_tool("search_memory", {"query": asked[n], "user_id": SMALL}), calls
        ),
        "add_memory": await timed(lambda n: client.call_tool("add_memory", {"content": f"New: {texts[n]}"}), calls),
        "search_memory after these": await timed(
            lambda n: client.call_tool("search_memory", {"query": asked[n] + " now"}), calls
        ),
    }


if __name__ == "__main__":
    main()
