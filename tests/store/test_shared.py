"""A table on object storage, which several servers change with no lock between them."""

import re
from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from store.clock import utc_now
from store.embedders.hashing import HashingEmbedder
from store.errors import ConfigError, ConflictError, OvertakenError, SouvenirError, StoreError
from store.filters import current
from store.ids import TimeOrderedIds
from store.models import Memory
from store.table import MemoryTable
from tests.builders import axis, memory
from tests.conftest import ALICE, SOURCE
from tests.object_store import Bucket, bucket
from tools.memories import Memories
from tools.outcomes import AddOutcome, Change, Draft


@pytest.fixture(scope="module")
def server() -> Generator[Bucket]:
    with bucket() as made:
        yield made


@pytest.fixture
def place(server: Bucket, request: pytest.FixtureRequest) -> Bucket:
    """A place of its own for each test."""
    return replace(server, address=f"{server.address}/{re.sub(r'[^a-z]', '', request.node.name)}")


async def opened(place: Bucket) -> MemoryTable:
    return await MemoryTable.open(place.address, options=place.options)


def memories_on(table: MemoryTable) -> Memories:
    return Memories(table, HashingEmbedder(), clock=utc_now, new_id=TimeOrderedIds())


async def several(place: Bucket, count: int) -> list[Memories]:
    """Return what as many servers would work with."""
    return [memories_on(await opened(place)) for _ in range(count)]


async def test_the_same_code_works_there(place: Bucket) -> None:
    [one, two] = await several(place, 2)
    [added] = (await one.add([Draft(content="Anna likes green tea")], ALICE, SOURCE)).added
    [hit] = (await two.search("tea", ALICE)).hits
    assert hit.memory.memory_id == added.memory.memory_id
    changed = await two.update(added.memory.memory_id, Change(content="Anna likes coffee"), ALICE, SOURCE)
    assert changed.memory.version == 2
    assert [hit.memory.content for hit in (await one.search("coffee", ALICE)).hits] == ["Anna likes coffee"]
    await one.delete([added.memory.memory_id], ALICE, SOURCE)
    assert (await two.page(ALICE)).total == 0
    await two.restore(added.memory.memory_id, 1, ALICE, SOURCE)
    assert [one.version for one in await one.history(added.memory.memory_id, ALICE)] == [4, 3, 2, 1]
    stats = await two.stats()
    assert (stats.folder, stats.table.memories, stats.table.missing_indexes) == (place.address, 1, ())
    assert (await one.maintain()).problem == ""


async def test_servers_that_begin_at_the_same_time_make_one_store(place: Bucket) -> None:
    tables: list[MemoryTable] = []

    async def begin() -> None:
        tables.append(await opened(place))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(begin)
    await tables[0].insert([memory("m1", vector=axis(1))])
    for table in tables:
        assert await table.count() == 1
        assert (await table.upkeep.stats()).missing_indexes == ()


async def test_of_two_writers_with_the_same_version_before_them_one_is_told(place: Bucket) -> None:
    one, two = await opened(place), await opened(place)
    first = memory("m1", "before", vector=axis(1))
    await one.insert([first])

    def changed(text: str) -> Memory:
        return replace(first, version=2, content=text, updated_at=first.updated_at + timedelta(seconds=len(text)))

    await one.supersede([(first, changed("by one"))])
    with pytest.raises(OvertakenError):
        await two.supersede([(first, changed("by the other"))])
    assert [row.content for row in await two.find(current())] == ["by one"]
    assert await two.count() == 2


async def test_of_several_changes_it_is_told_which_were_made(place: Bucket) -> None:
    table = await opened(place)
    olds = [memory(f"m{n}", vector=axis(n)) for n in range(3)]
    await table.insert(olds)

    def changes(which: Sequence[Memory], text: str) -> list[tuple[Memory, Memory]]:
        return [(old, replace(old, version=2, content=text)) for old in which]

    await table.supersede(changes(olds[:1], "quicker"))
    with pytest.raises(OvertakenError) as raised:
        await table.supersede(changes(olds, "later"))
    assert raised.value.made == {"m1", "m2"}
    assert sorted(row.content for row in await table.find(current())) == ["later", "later", "quicker"]


async def test_changes_of_four_servers_at_once_are_all_there_one_after_the_other(place: Bucket) -> None:
    servers = await several(place, 4)
    [added] = (await servers[0].add([Draft(content="nobody yet")], ALICE, SOURCE)).added
    memory_id = added.memory.memory_id

    async def change(memories: Memories, name: int) -> None:
        for turn in range(4):
            await memories.update(memory_id, Change(content=f"by {name}, turn {turn}"), ALICE, SOURCE)

    async with anyio.create_task_group() as tasks:
        for number, memories in enumerate(servers):
            tasks.start_soon(change, memories, number)
    history = await servers[0].history(memory_id, ALICE)
    assert [one.version for one in history] == list(range(17, 0, -1))
    assert len({one.content for one in history}) == 17
    assert sum(one.superseded_at is None for one in history) == 1


async def test_who_expects_a_version_is_told_of_another_however_late_it_came(place: Bucket) -> None:
    servers = await several(place, 3)
    [added] = (await servers[0].add([Draft(content="before")], ALICE, SOURCE)).added
    outcomes: list[str] = []

    async def change(memories: Memories, name: int) -> None:
        try:
            await memories.update(
                added.memory.memory_id, Change(content=f"by {name}"), ALICE, SOURCE, expected_version=1
            )
            outcomes.append("changed")
        except ConflictError as error:
            outcomes.append("refused")
            assert not isinstance(error, OvertakenError)

    async with anyio.create_task_group() as tasks:
        for number, memories in enumerate(servers):
            tasks.start_soon(change, memories, number)
    assert sorted(outcomes) == ["changed", "refused", "refused"]


async def test_a_statement_that_two_servers_store_at_once_is_there_once(place: Bucket) -> None:
    servers = await several(place, 3)
    await servers[0].add([Draft(content="settles the model")], ALICE, SOURCE)
    outcomes: list[AddOutcome] = []

    async def add(memories: Memories, text: str) -> None:
        outcomes.append(await memories.add([Draft(content=text)], ALICE, SOURCE))

    for turn in range(4):
        outcomes.clear()
        async with anyio.create_task_group() as tasks:
            for memories in servers:
                tasks.start_soon(add, memories, f"the same statement {turn}")
        assert sorted(one.added[0].event for one in outcomes) == ["ADD", "NONE", "NONE"]
        assert len({one.added[0].memory.memory_id for one in outcomes}) == 1
    assert (await servers[1].page(ALICE)).total == 5


async def test_servers_whose_first_add_is_at_the_same_time_all_store_it(place: Bucket) -> None:
    servers = await several(place, 3)

    async def add(memories: Memories, text: str) -> None:
        await memories.add([Draft(content=text)], ALICE, SOURCE)

    async with anyio.create_task_group() as tasks:
        for number, memories in enumerate(servers):
            tasks.start_soon(add, memories, f"fact {number}")
    assert (await servers[0].page(ALICE)).total == 3
    assert (await servers[0].stats()).table.pending_embeddings == 0


async def test_what_has_expired_can_be_stored_again(place: Bucket) -> None:
    [memories] = await several(place, 1)
    soon = utc_now() + timedelta(seconds=1)
    await memories.add([Draft(content="the code is 5", expires_at=soon)], ALICE, SOURCE)
    await anyio.sleep(1.1)
    [again] = (await memories.add([Draft(content="the code is 5")], ALICE, SOURCE)).added
    assert again.event == "ADD"
    assert (await memories.page(ALICE)).total == 1


async def test_a_dated_statement_beside_an_undated_one_is_not_taken_back(place: Bucket) -> None:
    [memories] = await several(place, 1)
    await memories.add([Draft(content="Anna ran")], ALICE, SOURCE)
    outcomes: dict[str, str] = {}

    async def add(name: str, draft: Draft) -> None:
        outcomes[name] = (await memories.add([draft], ALICE, SOURCE)).added[0].event

    async with anyio.create_task_group() as tasks, memories._table.writing():  # pyright: ignore[reportPrivateUsage]
        tasks.start_soon(add, "dated", Draft(content="Anna ran", occurred_at=utc_now()))
        await anyio.sleep(0.2)
        tasks.start_soon(add, "undated", Draft(content="Anna ran"))
        await anyio.sleep(0.2)
    assert outcomes == {"dated": "ADD", "undated": "NONE"}
    assert (await memories.page(ALICE)).total == 2


async def test_the_same_memories_deleted_by_two_servers_are_deleted_once(place: Bucket) -> None:
    [one, two] = await several(place, 2)
    added = (await one.add([Draft(content=f"fact {n}") for n in range(6)], ALICE, SOURCE)).added
    ids = [each.memory.memory_id for each in added]
    deleted: list[str] = []

    async def delete(memories: Memories, some: list[str]) -> None:
        outcome = await memories.delete(some, ALICE, SOURCE)
        deleted.extend(memory.memory_id for memory in outcome.deleted)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delete, one, ids[:4])
        tasks.start_soon(delete, two, ids[2:])
    assert sorted(deleted) == sorted(ids)
    assert [len(await one.history(memory_id, ALICE)) for memory_id in ids] == [2] * 6


async def test_maintenance_of_two_servers_at_once_harms_nothing(place: Bucket) -> None:
    servers = await several(place, 2)
    for number in range(8):
        await servers[number % 2].add([Draft(content=f"fact {number}")], ALICE, SOURCE)
    async with anyio.create_task_group() as tasks:
        for memories in servers:
            tasks.start_soon(memories._table.upkeep.compact)  # pyright: ignore[reportPrivateUsage]
        for number in range(8, 12):
            tasks.start_soon(servers[0].add, [Draft(content=f"fact {number}")], ALICE, SOURCE)
    assert (await servers[1].page(ALICE)).total == 12


async def test_the_newest_files_are_merged_while_another_server_adds_and_changes(
    place: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.upkeep.MANY_FRAGMENTS", 4)
    servers = await several(place, 2)
    ids: list[str] = []
    done: set[str] = set()
    for number in range(6):
        outcome = await servers[number % 2].add([Draft(content=f"fact {number}")], ALICE, SOURCE)
        ids += [one.memory.memory_id for one in outcome.added]

    async def change() -> None:
        for memory_id in ids:
            await servers[0].update(memory_id, Change(content=f"changed {memory_id}"), ALICE, SOURCE)
            await servers[0].add([Draft(content=f"beside {memory_id}")], ALICE, SOURCE)

    async def maintain(memories: Memories) -> None:
        for _ in range(5):
            maintenance = await memories.maintain()
            assert not maintenance.problem
            done.add(maintenance.files)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change)
        for memories in servers:
            tasks.start_soon(maintain, memories)
    await maintain(servers[0])  # in case the others were overtaken every time
    assert "merged" in done
    assert (await servers[1].page(ALICE)).total == 12
    for memory_id in ids:
        assert [one.version for one in await servers[1].history(memory_id, ALICE)] == [2, 1]


async def test_what_needs_a_folder_is_refused_in_words(place: Bucket) -> None:
    [memories] = await several(place, 1)
    await memories.add([Draft(content="Anna likes tea")], ALICE, SOURCE)
    with pytest.raises(StoreError, match="This needs a store in a folder of this machine"):
        await memories.keeping.reembed(HashingEmbedder(16), lambda _done, _all: None)
    lines = [line async for line in memories.keeping.export()]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("address", "options"),
    [("ftp://x/y", {}), ("s3://nowhere/x", {"endpoint": "http://127.0.0.1:9", "allow_http": "true"})],
)
async def test_an_address_that_leads_nowhere_is_told(address: str, options: dict[str, str]) -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region": "us-east-1", "client_max_retries": "0"}
    with pytest.raises(SouvenirError) as raised, anyio.fail_after(60):
        await MemoryTable.open(address, options=keys | options)
    assert isinstance(raised.value, ConfigError | StoreError)
