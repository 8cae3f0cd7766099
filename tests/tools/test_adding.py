"""What many callers want stored at the same time goes in one commit, each as if it had been alone."""

from pathlib import Path

import anyio
import pytest

from store.clock import utc_now
from store.embedders.hashing import HashingEmbedder
from store.errors import InvalidRequestError, StoreError
from store.ids import TimeOrderedIds
from store.models import Memory, Scope
from store.table import MemoryTable
from tests.conftest import ALICE, SOURCE
from tools.memories import Memories
from tools.outcomes import AddOutcome, Draft
from tools.quota import Quota

BOB = Scope("bob")


async def opened(folder: Path, kind: type[MemoryTable] = MemoryTable, **quota: int) -> tuple[MemoryTable, Memories]:
    table = await kind.open(folder)
    memories = Memories(table, HashingEmbedder(), clock=utc_now, new_id=TimeOrderedIds(), quota=Quota(**quota))
    await memories.add([Draft(content="the first one settles the model")], Scope("nobody"), SOURCE)
    return table, memories


async def all_at_once(memories: Memories, *wanted: tuple[str, Scope]) -> list[AddOutcome | Exception]:
    """Add each text in a task of its own; return what came of each."""
    outcomes: dict[int, AddOutcome | Exception] = {}

    async def add(number: int, text: str, scope: Scope) -> None:
        try:
            outcomes[number] = await memories.add([Draft(content=text)], scope, SOURCE)
        except (StoreError, InvalidRequestError) as error:
            outcomes[number] = error

    async with anyio.create_task_group() as tasks:
        for number, (text, scope) in enumerate(wanted):
            tasks.start_soon(add, number, text, scope)
    return [outcomes[number] for number in range(len(wanted))]


async def contents(memories: Memories, scope: Scope) -> list[str]:
    return sorted(memory.content for memory in (await memories.page(scope, limit=100)).memories)


async def test_fifty_adds_at_once_take_a_few_commits_and_all_are_there(tmp_path: Path) -> None:
    table, memories = await opened(tmp_path)
    before = await table.version()
    texts = [f"fact number {number:02}" for number in range(50)]
    outcomes = await all_at_once(memories, *((text, ALICE) for text in texts))
    assert all(isinstance(one, AddOutcome) and one.added[0].event == "ADD" for one in outcomes)
    assert await contents(memories, ALICE) == texts
    assert await table.version() - before <= 10
    memories.close()


async def test_the_same_statement_is_stored_once_in_each_place(tmp_path: Path) -> None:
    _, memories = await opened(tmp_path)
    wanted = [("Anna likes tea", ALICE)] * 10 + [("Anna likes tea", BOB)] * 10 + [("anna likes  tea.", ALICE)] * 5
    outcomes = await all_at_once(memories, *wanted)
    events = [one.added[0].event for one in outcomes if isinstance(one, AddOutcome)]
    assert sorted(events) == ["ADD"] * 2 + ["NONE"] * 23
    ids = {one.added[0].memory.memory_id for one in outcomes if isinstance(one, AddOutcome)}
    assert len(ids) == 2
    assert (await contents(memories, ALICE), await contents(memories, BOB)) == (["Anna likes tea"], ["Anna likes tea"])
    memories.close()


async def test_who_goes_beyond_a_quota_is_refused_alone(tmp_path: Path) -> None:
    _, memories = await opened(tmp_path, memories=3)
    wanted = [(f"fact {number}", ALICE) for number in range(6)] + [(f"fact {number}", BOB) for number in range(3)]
    outcomes = await all_at_once(memories, *wanted)
    refused = [one for one in outcomes if isinstance(one, InvalidRequestError)]
    assert len(refused) == 3
    assert "of the 3 that you may have" in str(refused[0])
    assert len(await contents(memories, ALICE)) == len(await contents(memories, BOB)) == 3
    memories.close()


async def test_bytes_are_counted_over_versions_and_calls_and_again_after_a_purge(tmp_path: Path) -> None:
    table, memories = await opened(tmp_path, bytes=1_000)
    wanted = [("x" * 200 + str(number), ALICE) for number in range(8)]
    outcomes = await all_at_once(memories, *wanted)
    assert sum(isinstance(one, AddOutcome) for one in outcomes) == 4
    with pytest.raises(InvalidRequestError, match="of the 1,000"):
        await memories.add([Draft(content="x" * 300)], ALICE, SOURCE)
    await memories.keeping.purge(await memories.keeping.to_purge(ALICE, everything=True))
    assert len((await memories.add([Draft(content="x" * 300)], ALICE, SOURCE)).added) == 1
    assert await table.count() == 2
    memories.close()


async def test_what_one_call_wants_stored_can_not_harm_the_others(tmp_path: Path) -> None:
    class Failing(MemoryTable):
        fails = False

        async def insert(self, memories: "list[Memory]") -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            if self.fails and any("poison" in memory.content for memory in memories):
                raise StoreError("no room")
            await super().insert(memories)

    table, memories = await opened(tmp_path, Failing)
    table.fails = True  # pyright: ignore[reportAttributeAccessIssue]
    outcomes = await all_at_once(memories, *((f"fact {number}", ALICE) for number in range(4)), ("poison", BOB))
    assert [str(one) for one in outcomes if not isinstance(one, AddOutcome)] == ["no room"]
    assert isinstance(outcomes[4], StoreError)
    assert (await contents(memories, ALICE), await contents(memories, BOB)) == ([f"fact {n}" for n in range(4)], [])
    table.fails = False  # pyright: ignore[reportAttributeAccessIssue]
    assert len((await memories.add([Draft(content="another")], ALICE, SOURCE)).added) == 1
    memories.close()


async def test_who_is_cancelled_while_waiting_stores_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    table, memories = await opened(tmp_path)
    async with anyio.create_task_group() as tasks, table.writing():
        tasks.start_soon(memories.add, [Draft(content="cancelled")], ALICE, SOURCE)
        tasks.start_soon(memories.add, [Draft(content="cancelled too")], ALICE, SOURCE)
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    await memories.add([Draft(content="later")], ALICE, SOURCE)
    assert await contents(memories, ALICE) == ["later"]
    memories.close()
