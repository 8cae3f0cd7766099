"""How soon the server answers after it was started: `uv run python -m benchmarks.startup`.

Against two baselines in the same run: a bare interpreter that imports the same libraries, and the smallest MCP server.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from benchmarks.report import p50, print_table, resident_megabytes
from benchmarks.sample import fill
from tests.e2e.wire import Wire

LIBRARIES = "mcp.server.mcpserver, numpy, pyarrow, lancedb, fastembed"
MEMORIES = 1_000


class Bare(Wire):
    """The smallest MCP server, spoken to in the same way."""

    module = "benchmarks.bare_server"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="processes started of each kind; the median counts")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        anyio.run(fill, store, MEMORIES)
        measured: dict[str, list[float]] = {}
        for _ in range(rounds):  # in turn, so that a busy moment hits all alike
            measured.setdefault("import the same libraries", []).append(_imports(LIBRARIES))
            for name, seconds in _served(lambda: Bare(store)).items():
                measured.setdefault(f"bare MCP server: {name}", []).append(seconds)
            for name, value in _served(lambda: Wire(store, SOUVENIR_EMBEDDER="bundled"), search=True).items():
                measured.setdefault(f"souvenir: {name}", []).append(value)
    _report({name: p50(values) for name, values in measured.items()})


def _imports(libraries: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {libraries}"], check=True)
    return time.perf_counter() - started


def _served(start: Callable[[], Wire], *, search: bool = False) -> dict[str, float]:
    """Return seconds from spawning a server to each of its answers, and what memory it takes then."""
    started = time.perf_counter()
    with start() as wire:
        wire.initialize()
        measured = {"to initialize": time.perf_counter() - started}
        wire.answer(wire.send("tools/list"))
        measured["to the tool list"] = time.perf_counter() - started
        if search:
            wire.answer(wire.call("search_memory", query="Who lives in Graz?"))
            measured["to the first search answer"] = time.perf_counter() - started
            for number in range(50):
                wire.answer(wire.call("search_memory", query=f"Who lives in Graz since {number}?"))
            measured["resident memory, MB"] = resident_megabytes(wire.process.pid)
    return measured


def _report(measured: dict[str, float]) -> None:
    imports = measured["import the same libraries"]
    rows: list[tuple[str, str, str, str]] = []
    for name, value in measured.items():
        if "MB" in name:
            rows.append((name, f"{value:.0f} MB", "", ""))
            continue
        bare = measured.get(f"bare MCP server: {name.partition(': ')[2]}")
        rows.append((name, f"{value:.2f} s", f"{value / imports:.2f}", f"{value / bare:.2f}" if bare else ""))
    print(f"{MEMORIES:,} memories in the store, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    print_table(("median", "", "x imports", "x bare server"), rows)


if __name__ == "__main__":
    main()
