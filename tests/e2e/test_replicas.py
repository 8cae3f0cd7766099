"""Two servers over HTTP on one bucket, as behind a proxy: what either acknowledged, both have, whoever is killed."""

from collections.abc import Generator

import anyio
import httpx2
import pytest
from mcp import MCPError

from tests.e2e.web import Served, called, serving
from tests.object_store import Bucket, bucket

TURNS = 6


@pytest.fixture(scope="module")
def place() -> Generator[Bucket]:
    with bucket() as made:
        yield made


async def work(served: Served, name: str, memory_id: str, acknowledged: list[str], changed: list[str]) -> None:
    """Add memories and change a common one until done, or until the server is gone."""
    try:
        async with served.client() as client:
            for turn in range(TURNS):
                text = f"{name} in turn {turn}"
                await called(client, "add_memory", content=text)
                acknowledged.append(text)
                await called(client, "update_memory", memory_id=memory_id, content=f"last changed by {text}")
                changed.append(f"last changed by {text}")
    except* (MCPError, OSError, httpx2.HTTPError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        pass


async def test_two_servers_on_one_bucket_lose_nothing_when_one_is_killed(place: Bucket) -> None:
    acknowledged: list[str] = []
    changed: list[str] = []
    with serving(place.address, storage_options=place.settings["storage_options"]) as one:
        with serving(place.address, storage_options=place.settings["storage_options"]) as two:
            async with one.client() as client:
                added = await called(client, "add_memory", content="not changed yet")
            common = added["results"][0]["memory_id"]
            async with two.client() as client:
                found = await called(client, "search_memory", query="changed yet")
                assert [hit["memory_id"] for hit in found["results"]] == [common]

            async def kill() -> None:
                while len(acknowledged) < 2 * TURNS:  # noqa: ASYNC110 - a list has no event
                    await anyio.sleep(0.01)
                two.process.kill()

            async with anyio.create_task_group() as tasks:
                for served, name in ((one, "first"), (one, "second"), (two, "third"), (two, "fourth")):
                    tasks.start_soon(work, served, name, common, acknowledged, changed)
                tasks.start_soon(kill)
        with serving(place.address, storage_options=place.settings["storage_options"]) as again:
            for served in (one, again):
                async with served.client() as client:
                    listed = await called(client, "list_memories", limit=100)
                    assert {one["content"] for one in listed["results"]} >= set(acknowledged)
                    total = listed["total"]
                    assert len(acknowledged) + 1 <= total <= len(acknowledged) + 3  # two may have been under way
                    history = await called(client, "list_memories", memory_id=common)
                    versions = [one["version"] for one in history["results"]]
                    assert versions[0] == history["total"]
                    assert versions == sorted(versions, reverse=True)
                    assert len(changed) + 1 <= history["total"] <= len(changed) + 3
