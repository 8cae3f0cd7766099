"""The use cases where the protocol does not matter: degraded embedders, maintenance, cancelled calls, many tasks."""

import re
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from store import filters
from store.clock import utc_now
from store.embedders.hashing import HashingEmbedder
from store.errors import NotFoundError, ProviderUnavailableError, StoreError
from store.ids import TimeOrderedIds
from store.models import Fingerprint, Scope, Upkept
from store.table import MemoryTable
from store.upkeep import Upkeep
from tests.conftest import ALICE, SOURCE, CountedIds, Tools, TurnedClock
from tools.memories import COMMITS_UNTIL_MAINTENANCE, Memories
from tools.outcomes import Change, Draft


class DownEmbedder(HashingEmbedder):
    """An embedder that is down until it is told otherwise."""

    down = True

    async def fingerprint(self) -> Fingerprint:
        if self.down:
            raise ProviderUnavailableError("openai:small can't be reached.")
        return await super().fingerprint()


async def add(memories: Memories, content: str, scope: Scope = ALICE) -> str:
    outcome = await memories.add([Draft(content=content)], scope, SOURCE)
    return outcome.added[0].memory.memory_id


class TestWithoutItsEmbedder:
    @pytest.fixture
    def embedder(self) -> DownEmbedder:
        return DownEmbedder()

    async def test_a_memory_is_stored_found_by_words_and_embedded_later(
        self, tools: Tools, memories: Memories, embedder: DownEmbedder
    ) -> None:
        stored = await tools("add_memory", content="Anna prefers green tea")
        assert stored["notes"] == [
            "Stored, but found by words alone until it can be embedded. openai:small can't be reached."
        ]
        searched = await tools("search_memory", query="tea")
        assert [hit["content"] for hit in searched["results"]] == ["Anna prefers green tea"]
        embedder.down = False
        assert (await memories.maintain()).embedded == 1
        embedder.down = True
        searched = await tools("search_memory", query="tea")
        assert searched["notes"] == ["Searched by words alone, not by meaning. openai:small can't be reached."]
        assert [hit["content"] for hit in searched["results"]] == ["Anna prefers green tea"]

    async def test_an_update_is_stored_too(self, tools: Tools) -> None:
        [result] = (await tools("add_memory", content="Anna lives in Berlin"))["results"]
        updated = await tools("update_memory", memory_id=result["memory_id"], content="Anna lives in Graz")
        assert updated["results"][0]["content"] == "Anna lives in Graz"
        assert updated["notes"] == [
            "Stored, but found by words alone until it can be embedded. openai:small can't be reached."
        ]


async def test_a_server_with_another_model_still_stores_and_finds_by_words(
    table: MemoryTable, memories: Memories, clock: TurnedClock
) -> None:
    await add(memories, "Anna prefers green tea")
    other = Memories(table, HashingEmbedder(16), clock=clock, new_id=lambda: "other")
    outcome = await other.add([Draft(content="Anna prefers black coffee")], ALICE, SOURCE)
    assert "can't be mixed" in outcome.notes[0]
    searched = await other.search("coffee", ALICE)
    assert [hit.memory.content for hit in searched.hits] == ["Anna prefers black coffee"]
    assert "can't be mixed" in searched.notes[0]


async def test_an_id_that_is_taken_is_not_used_again(table: MemoryTable, clock: TurnedClock) -> None:
    ids = iter(["same", "same", "fresh"])
    memories = Memories(table, None, clock=clock, new_id=lambda: next(ids))
    assert await add(memories, "one") == "same"
    assert await add(memories, "two") == "fresh"


async def test_concurrent_identical_adds_store_one_memory(memories: Memories) -> None:
    made: list[str] = []

    async def work() -> None:
        made.append(await add(memories, "Anna prefers green tea"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(work)
    assert len(set(made)) == 1
    assert (await memories.page(ALICE)).total == 1


async def test_concurrent_updates_of_one_memory_lose_no_version(memories: Memories) -> None:
    memory_id = await add(memories, "version 1")
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(memories.update, memory_id, Change(content=f"update {number}"), ALICE, SOURCE)
    history = await memories.history(memory_id, ALICE)
    assert [one.version for one in history] == list(range(9, 0, -1))
    assert {one.content for one in history} == {"version 1", *(f"update {number}" for number in range(8))}
    assert [one.version for one in history if one.superseded_at is None] == [9]


async def test_versions_follow_each_other_without_gap_or_overlap(memories: Memories, clock: TurnedClock) -> None:
    memory_id = await add(memories, "one")
    clock.forward(days=-1)  # a clock that steps back
    await memories.update(memory_id, Change(content="two"), ALICE, SOURCE)
    newest, oldest = await memories.history(memory_id, ALICE)
    assert oldest.superseded_at == newest.updated_at > oldest.updated_at
    assert newest.created_at == oldest.created_at


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_cancelled_change_leaves_the_whole_of_it_or_nothing(memories: Memories, steps: int) -> None:
    memory_id = await add(memories, "before")
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(memories.update, memory_id, Change(content="after"), ALICE, SOURCE)
            tasks.start_soon(memories.delete, [await add(memories, "other")], ALICE, SOURCE)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    history = await memories.history(memory_id, ALICE)
    current = [one for one in history if one.superseded_at is None]
    assert len(current) == 1
    assert [one.version for one in history] == list(range(len(history), 0, -1))
    await memories.update(memory_id, Change(content="still writable"), ALICE, SOURCE)


async def test_undo_finds_the_version_before_a_deletion_and_before_a_change(memories: Memories) -> None:
    memory_id = await add(memories, "one")
    with pytest.raises(NotFoundError, match="there is nothing to go back to"):
        await memories.version_before(memory_id, ALICE)
    await memories.update(memory_id, Change(content="two"), ALICE, SOURCE)
    assert await memories.version_before(memory_id, ALICE) == 1
    await memories.delete([memory_id], ALICE, SOURCE)
    assert await memories.version_before(memory_id, ALICE) == 2


async def test_many_commits_ask_for_maintenance_which_compacts(memories: Memories, table: MemoryTable) -> None:
    for number in range(COMMITS_UNTIL_MAINTENANCE):
        assert not memories.maintenance_due.is_set()
        await add(memories, f"fact number {number}")
    assert memories.maintenance_due.is_set()
    assert (await memories.maintain()).files == "merged"
    assert (await table.upkeep.stats()).fragments == 1
    assert not memories.maintenance_due.is_set()
    assert (await memories.maintain()).files == "nothing"
    assert await table.count(filters.current()) == COMMITS_UNTIL_MAINTENANCE


async def test_maintenance_that_fails_is_told_in_the_statistics_and_done_later(table: MemoryTable) -> None:
    class Failing(Upkeep):
        fails = True

        async def keep_up(self) -> Upkept:
            if self.fails:
                raise StoreError("The store could not compact: conflict")
            return await super().keep_up()

    table.upkeep = failing = Failing(table.handle)
    memories = Memories(table, None, clock=TurnedClock(), new_id=CountedIds())
    for number in range(COMMITS_UNTIL_MAINTENANCE):
        await add(memories, f"fact number {number}")
    for times in (1, 2):
        await memories.maintain()
        state = await memories.stats()
        assert state.maintenance.problem == "The store could not compact: conflict"
        failures = state.table.failures
        assert failures is not None
        assert (failures.count, failures.last) == (times, "The store could not compact: conflict")
    other = await MemoryTable.open(table.folder)  # `souvenir doctor` is another process
    assert (await other.upkeep.stats()).failures == failures
    other.close()
    failing.fails = False
    assert (await memories.maintain()).files == "merged"
    state = await memories.stats()
    assert (state.maintenance.problem, state.table.failures) == ("", None)


async def test_a_batch_is_one_commit(memories: Memories, table: MemoryTable) -> None:
    await add(memories, "first")
    before = (await table.upkeep.stats()).table_version
    drafts = [Draft(content=f"fact number {number}") for number in range(10)]
    outcome = await memories.add(drafts, ALICE, SOURCE)
    await memories.delete([one.memory.memory_id for one in outcome.added], ALICE, SOURCE)
    assert (await table.upkeep.stats()).table_version == before + 2


async def test_in_a_large_scope_what_is_similar_is_looked_for_by_index(
    memories: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.recall.HELD_FOR_NEIGHBOURS", 2)
    for content in ("Anna likes green tea", "Bob paints boats", "Carla sails to Lisbon"):
        await add(memories, content)
    await memories.search("who sails", ALICE)  # so that it is known how many there are
    monkeypatch.setattr("store.held.HeldRows.ranked", None)
    [added] = (await memories.add([Draft(content="Anna likes green tea a lot")], ALICE, SOURCE)).added
    assert [hit.memory.content for hit in added.similar] == ["Anna likes green tea"]


async def test_a_statement_is_stored_even_if_what_is_similar_can_not_be_looked_up(tmp_path: Path) -> None:
    class Blind(MemoryTable):
        async def words_of_each(self, texts: Sequence[str]) -> list[list[str]]:
            raise StoreError(f"the index for {len(texts)} texts is gone")

    table = await Blind.open(tmp_path)
    memories = Memories(table, None, clock=utc_now, new_id=TimeOrderedIds())
    outcome = await memories.add([Draft(content="Anna lives in Graz")], Scope("default"), SOURCE)
    [note] = outcome.notes
    assert re.fullmatch(r"Stored, but what is similar could not be looked up\. the index for \d texts is gone", note)
    assert await table.count(filters.current()) == 1
    memories.close()


async def test_statements_of_one_call_are_not_offered_to_each_other(tmp_path: Path) -> None:
    table = await MemoryTable.open(tmp_path)
    memories = Memories(table, None, clock=utc_now, new_id=TimeOrderedIds())
    drafts = [Draft(content=f"Anna lives in Graz, she said {number} times") for number in ("two", "three", "four")]
    outcome = await memories.add(drafts, Scope("default"), SOURCE)
    assert [one.similar for one in outcome.added] == [(), (), ()]
    [again] = (await memories.add([Draft(content="Anna lives in Graz")], Scope("default"), SOURCE)).added
    assert len(again.similar) == 3
    memories.close()
