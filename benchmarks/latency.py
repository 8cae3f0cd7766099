"""What a call takes over stdio, against a call that does nothing: `uv run python -m benchmarks.latency`.

With the official Python client, on stores of several sizes, one call at a time.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from benchmarks.report import p50, p95, print_table
from benchmarks.sample import fill, questions, statements

SIZES = (100, 1_000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls of each kind at each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    print(f"{arguments.calls} calls each, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    anyio.run(_measure, arguments.sizes, arguments.calls)


async def _measure(sizes: list[int], calls: int) -> None:
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            memory_ids = await fill(Path(folder), size)
            async with client_of("benchmarks.bare_server", folder) as bare, client_of("server.stdio", folder) as client:
                nothing = await timed(lambda _: bare.call_tool("nothing", {}), calls)
                measured = await _tools(client, memory_ids, calls)
        base = p50(nothing)
        for name, values in {"nothing (bare server)": nothing, **measured}.items():
            milliseconds = [f"{1_000 * value:.1f} ms" for value in (p50(values), p95(values))]
            rows.append((f"{size:,}", name, *milliseconds, f"{p50(values) / base:.1f}"))
    print_table(("memories", "call", "p50", "p95", "x nothing"), rows)


async def _tools(client: Client, memory_ids: list[str], calls: int) -> dict[str, list[float]]:
    texts = statements(calls, seed=7)
    asked = questions(calls)
    changed = [memory_ids[number * len(memory_ids) // calls] for number in range(calls)]
    await client.call_tool("search_memory", {"query": "warm up"})
    return {
        "search_memory": await timed(lambda n: client.call_tool("search_memory", {"query": asked[n]}), calls),
        "list_memories": await timed(lambda _: client.call_tool("list_memories", {}), calls),
        "add_memory": await timed(lambda n: client.call_tool("add_memory", {"content": f"New: {texts[n]}"}), calls),
        "update_memory": await timed(
            lambda n: client.call_tool("update_memory", {"memory_id": changed[n], "content": f"Now: {texts[n]}"}), calls
        ),
        "search_memory after these": await timed(
            lambda n: client.call_tool("search_memory", {"query": asked[n] + " now"}), calls
        ),
    }


async def timed(call: Callable[[int], Awaitable[object]], calls: int) -> list[float]:
    """Return the seconds that each of `calls` calls took, one after the other; none may fail."""
    measured: list[float] = []
    for number in range(calls):
        started = time.perf_counter()
        result = await call(number)
        measured.append(time.perf_counter() - started)
        assert not getattr(result, "is_error", False), result
    return measured


@asynccontextmanager
async def client_of(module: str, folder: str) -> AsyncGenerator[Client]:
    """Run a module as a server over stdio on a store, and talk to it."""
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", module], env={"SOUVENIR_STORE": folder}, cwd=Path(__file__).parents[1]
    )
    async with Client(stdio_client(parameters)) as client:
        yield client


if __name__ == "__main__":
    main()
