"""Many clients at once: `uv run python -m benchmarks.load`.

A server over HTTP with 10,000 memories; 1, 16 and 64 clients, each of which calls again as soon as it has its answer:
80 % searches and 20 % adds over `/mcp`, in the newest protocol revision. The baseline is the one client. Afterwards
every acknowledged add is looked for. Clients and server share this machine's cores.

With `--object-store`, the store is a bucket of moto's S3 server on loopback; with `--servers 2`, as many servers share
the store, and each client stays with one of them.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx2

from benchmarks.report import p50, p95, print_table, quantile, resident_megabytes
from benchmarks.sample import fill, questions, statements
from tests.e2e.web import serving
from tests.fuzz import MODERN, request
from tests.object_store import bucket

SEARCHES = 0.8


@dataclass
class Run:
    """What so many clients were answered."""

    clients: int
    seconds: float = 0.0
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    of_each: list[int] = field(default_factory=list[int])
    errors: Counter[str] = field(default_factory=Counter[str])
    added: list[str] = field(default_factory=list[str])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--object-store", action="store_true", help="a bucket instead of a folder")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of clients")
    arguments = parser.parse_args()
    place = "a bucket" if arguments.object_store else "a folder"
    print(
        f"{arguments.memories:,} memories in {place}, {arguments.servers} server(s), {arguments.seconds:g} s each, "
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n"
    )
    with ExitStack() as stack:
        store: Path | str = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"
        options: dict[str, str] = {}
        if arguments.object_store:
            made = stack.enter_context(bucket())
            store, options = made.address, made.options
        anyio.run(fill, store, arguments.memories, options)
        settings = {"embedder": "bundled", "storage_options": json.dumps(options)}
        servers = [stack.enter_context(serving(store, **settings)) for _ in range(arguments.servers)]
        urls = [served.url for served in servers]
        runs = anyio.run(_measure, urls, arguments.clients, arguments.seconds)
        megabytes = " and ".join(f"{resident_megabytes(served.process.pid):.0f} MB" for served in servers)
        lost = anyio.run(_lost, urls[0], [content for run in runs for content in run.added])
    _print(runs)
    print(f"\n{sum(len(run.added) for run in runs)} adds were acknowledged; lost: {lost}. In use: {megabytes}")


async def _measure(urls: list[str], numbers: list[int], seconds: float) -> list[Run]:
    async with httpx2.AsyncClient(timeout=120, limits=httpx2.Limits(max_connections=200)) as web:
        await _drive(web, urls, 4, 3.0)  # libraries, caches
        return [await _drive(web, urls, number, seconds) for number in numbers]


async def _drive(web: httpx2.AsyncClient, urls: list[str], clients: int, seconds: float) -> Run:
    run = Run(clients)
    asked, new, number = questions(2_000, seed=clients), statements(5_000, seed=100 + clients), count()
    began = time.perf_counter()

    async def client(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        calls = 0
        while time.perf_counter() - began < seconds:
            one = next(number)
            content = f"{new[one % len(new)]} of run {clients}, {one}"
            search = chance.random() < SEARCHES
            arguments = {"query": asked[one % len(asked)]} if search else {"content": content}
            tool = "search_memory" if search else "add_memory"
            started = time.perf_counter()
            try:
                await _call(web, urls[seed % len(urls)], tool, arguments)
            except CallError as error:
                run.errors[str(error)] += 1
            else:
                run.added += [] if search else [content]
            run.times[tool].append(time.perf_counter() - started)
            calls += 1
        run.of_each.append(calls)

    async with anyio.create_task_group() as tasks:
        for seed in range(clients):
            tasks.start_soon(client, seed)
    run.seconds = time.perf_counter() - began
    return run


class CallError(Exception):
    """What a call was answered with instead of a result."""


async def _call(web: httpx2.AsyncClient, url: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the structured result; raise `CallError` for an error of any kind."""
    body = request("tools/call", {"name": tool, "arguments": arguments})
    try:
        answer = await web.post(
            f"{url}/mcp", json=body, headers=MODERN | {"Mcp-Method": "tools/call", "Mcp-Name": tool}
        )
    except httpx2.HTTPError as error:
        raise CallError(repr(error)) from error
    try:
        result = answer.json()["result"]
        if not result.get("isError"):
            return result["structuredContent"]
    except (ValueError, KeyError):
        pass
    raise CallError(f"{answer.status_code} {answer.text[:500]}")


async def _lost(url: str, contents: list[str]) -> int:
    """Return how many of the added memories are not in the list of all of them."""
    wanted, cursor = set(contents), ""
    async with httpx2.AsyncClient(timeout=120) as web:
        while wanted:
            page = await _call(web, url, "list_memories", {"limit": 10, "cursor": cursor})
            wanted -= {one["content"] for one in page["results"]}
            cursor = page.get("next_cursor", "")
            if not cursor:
                break

    return len(wanted)


def _print(runs: list[Run]) -> None:
    base = runs[0]
    rows = [
        (
            str(run.clients),
            tool,
            f"{len(times) / run.seconds:.0f}",
            f"{len(times) / run.seconds / (len(base.times[tool]) / base.seconds):.2f}",
            *(f"{1_000 * value:.1f} ms" for value in (p50(times), p95(times), quantile(times, 0.99))),
            f"{quantile(times, 0.99) / p50(times):.1f}",
        )
        for run in runs
        for tool, times in sorted(run.times.items(), reverse=True)
    ]
    print_table(("clients", "call", "a second", "x 1 client", "p50", "p95", "p99", "p99/p50"), rows)
    print()
    rows = [
        (str(run.clients), f"{sum(run.of_each)}", f"{run.errors.total()}", f"{min(run.of_each)}", f"{max(run.of_each)}")
        for run in runs
    ]
    print_table(("clients", "calls", "errors", "least of one client", "most of one client"), rows)
    for text, times in sum((run.errors for run in runs), Counter[str]()).items():
        print(f"{times} x {text}")


if __name__ == "__main__":
    main()
