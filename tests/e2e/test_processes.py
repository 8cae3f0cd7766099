"""Several processes on one store, and a server whose embedder comes and goes."""

import json
import time
from pathlib import Path

import anyio
import lancedb

from store.schema import table_schema
from store.tables import FIRST
from tests.e2e.wire import Wire, initialized
from tests.embedding_api import served


def test_updates_of_one_memory_from_several_processes_lose_no_version(tmp_path: Path) -> None:
    with initialized(tmp_path) as one, initialized(tmp_path) as other:
        [added] = one.answer(one.call("add_memory", content="version 1"))["structuredContent"]["results"]
        memory_id = added["memory_id"]
        other.answer(other.call("list_memories"))
        sent = [
            (wire, wire.call("update_memory", memory_id=memory_id, content=f"by {name} {number}"))
            for number in range(15)
            for name, wire in (("one", one), ("other", other))
        ]
        answers = [wire.receive() for wire, _ in sent]
        assert not [answer for answer in answers if answer["result"].get("isError")]
        read = one.answer(one.send("resources/read", {"uri": f"memory://{memory_id}"}))
    versions = json.loads(read["contents"][0]["text"])["versions"]
    assert [version["version"] for version in versions] == list(range(31, 0, -1))
    assert len([version for version in versions if "superseded_at" not in version]) == 1
    assert len({version["content"] for version in versions}) == 31


def test_identical_adds_from_several_processes_store_one_memory(tmp_path: Path) -> None:
    with initialized(tmp_path) as one, initialized(tmp_path) as other:
        for wire in (one, other):
            wire.answer(wire.call("list_memories"))
        for number in range(10):
            for wire in (one, other):
                wire.call("add_memory", content=f"fact number {number}")
        events = [
            wire.receive()["result"]["structuredContent"]["results"][0]["event"]
            for _ in range(10)
            for wire in (one, other)
        ]
        assert (events.count("ADD"), events.count("NONE")) == (10, 10)
        assert one.answer(one.call("list_memories"))["structuredContent"]["total"] == 10


def test_a_table_whose_maker_died_before_its_indexes_is_completed(tmp_path: Path) -> None:
    async def half_made() -> None:
        database = await lancedb.connect_async(tmp_path)  # pyright: ignore[reportUnknownMemberType]
        await database.create_table(FIRST, schema=table_schema())  # pyright: ignore[reportUnknownMemberType]

    anyio.run(half_made)
    with initialized(tmp_path) as wire:
        wire.answer(wire.call("add_memory", content="Anna likes green tea"))
        found = wire.answer(wire.call("search_memory", query="tea"))["structuredContent"]
        assert [hit["content"] for hit in found["results"]] == ["Anna likes green tea"]


def test_a_server_whose_embedding_api_comes_and_goes_stores_and_finds_throughout(tmp_path: Path) -> None:
    with served() as api:
        settings = {
            "SOUVENIR_EMBEDDER": "openai:small",
            "SOUVENIR_OPENAI_BASE_URL": api.url,
            "SOUVENIR_EMBEDDER_RETRIES": "0",
        }
        api.always = "500"
        api.dimension = 384  # as a new table has it: another one replaces the column, which a reader can notice
        with initialized(tmp_path, **settings) as wire:
            stored = wire.answer(wire.call("add_memory", content="Anna likes green tea"))["structuredContent"]
            assert "openai:small answered with HTTP 500." in stored["notes"][0]
            found = wire.answer(wire.call("search_memory", query="tea"))["structuredContent"]
            assert [hit["content"] for hit in found["results"]] == ["Anna likes green tea"]
            api.always = "works"
            assert wire.answer(wire.call("add_memory", content="The dog is called Pixel"))
        with initialized(tmp_path, **settings) as wire:  # the maintenance of a new server embeds what is left
            assert _pending(wire) == 0
            found = wire.answer(wire.call("search_memory", query="tea"))["structuredContent"]
            assert "notes" not in found


def _pending(wire: Wire, within: float = 30) -> int:
    """Return how many memories have no vector, as soon as that is none or the time is over."""
    deadline = time.monotonic() + within
    while True:
        wire.answer(wire.call("list_memories"))
        read = wire.answer(wire.send("resources/read", {"uri": "memory://stats"}))
        pending = json.loads(read["contents"][0]["text"])["table"]["pending_embeddings"]
        if not pending or time.monotonic() > deadline:
            return pending
