"""A real server on a real port: both transports, both protocol eras, on one store."""

import json
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from server.http.app import is_loopback
from tests.conftest import Era
from tests.e2e.web import SOUVENIR, Served, called, serving
from tests.e2e.wire import initialized


@pytest.fixture
def served(tmp_path: Path) -> Generator[Served]:
    with serving(tmp_path) as server:
        yield server


async def test_streamable_http_serves_both_eras(served: Served, era: Era, tmp_path: Path) -> None:
    async with Client(f"{served.url}/mcp", mode=era) as client:
        assert len((await client.list_tools()).tools) == 5
        [added] = (await called(client, "add_memory", content="Anna likes green tea"))["results"]
        found = await called(client, "search_memory", query="tea")
        assert [hit["content"] for hit in found["results"]] == ["Anna likes green tea"]
        assert added["event"] == "ADD"
    with initialized(tmp_path) as wire:  # another process, over stdio, on the same store
        found = wire.answer(wire.call("search_memory", query="tea"))["structuredContent"]
        assert [hit["content"] for hit in found["results"]] == ["Anna likes green tea"]


async def test_older_clients_are_served_over_sse(served: Served) -> None:
    async with Client(sse_client(f"{served.url}/sse"), mode="legacy") as older, Client(f"{served.url}/mcp") as newer:
        await called(older, "add_memory", content="Anna likes green tea")
        found = await called(newer, "search_memory", query="tea")
        assert [hit["content"] for hit in found["results"]] == ["Anna likes green tea"]


async def test_many_clients_at_once_lose_nothing(served: Served) -> None:
    async def work(number: int) -> None:
        async with Client(f"{served.url}/mcp") as client:
            for turn in range(5):
                await called(client, "add_memory", content=f"client {number} turn {turn}")

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(work, number)
    async with Client(f"{served.url}/mcp") as client:
        assert (await called(client, "list_memories"))["total"] == 40


def test_health_says_no_more_than_it_should(served: Served) -> None:
    status, body = served.get("/health")
    assert (status, json.loads(body)) == (200, {"status": "ok", "version": "0.1.0"})


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
def test_other_hosts_and_origins_are_refused(served: Served, path: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert served.get(path, Accept="text/event-stream", **headers)[0] in (403, 421)


async def test_a_signal_ends_it_soon_though_a_client_waits(served: Served) -> None:
    async with Client(f"{served.url}/mcp") as client:
        await called(client, "add_memory", content="Anna likes green tea")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=15) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("192.168.1.2", False), ("x", False)],  # noqa: S104
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_an_address_that_others_can_reach_is_refused_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [*SOUVENIR, "serve", "--http", "--host", "0.0.0.0"],  # noqa: S104
        env=os.environ | {"SOUVENIR_STORE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no way to tell who calls" in " ".join(done.stderr.split())
