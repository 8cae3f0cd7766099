from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from store import filters
from store.filters import equals
from store.found import FoundRows
from store.models import Fingerprint, Memory, Vector
from store.ranking import Ranked
from store.search import LONGEST_CONVERSATION, Searcher
from store.table import MemoryTable
from tests.builders import NOW, axis, memory

MODEL = Fingerprint("hashing", "words", 384)


async def search(
    table: MemoryTable, text: str, vector: Vector | None = None, predicate: str = filters.current()
) -> dict[str, Ranked]:
    """Search both ways, by candidates and in memory, which have to agree."""

    async def embed() -> Vector | None:
        return vector

    by_candidates = await Searcher(table, held_rows=-1).ranked(text, embed, predicate, predicate, NOW)
    if await table.count(predicate) <= 2_000:
        searcher = Searcher(table, held_rows=2_000)
        for _ in range(2):  # read, and then held
            assert await searcher.ranked(text, embed, predicate, predicate, NOW) == by_candidates
    return {one.candidate.row_id: one for one in by_candidates}


@pytest.fixture
async def filled(table: MemoryTable) -> MemoryTable:
    async with table.writing():
        await table.adopt(MODEL)
    await table.insert(
        [
            memory("both", "green tea", vector=axis(0)),
            memory("words", "green paint", vector=axis(1)),
            memory("meaning", "matcha", vector=axis(0)),
            memory("no vector", "green car"),
            memory("neither", "a bicycle", vector=axis(2)),
        ]
    )
    return table


async def test_every_candidate_gets_both_signals_whichever_search_found_it(filled: MemoryTable) -> None:
    found = await search(filled, "green tea", axis(0))
    assert next(iter(found)) == "both.1"
    assert (found["both.1"].meaning, found["both.1"].words) == (1.0, 1.0)
    assert (found["meaning.1"].meaning, found["meaning.1"].words) == (1.0, 0.0)
    assert found["words.1"].meaning == 0
    assert found["words.1"].words > 0
    assert found["neither.1"].score == 0
    assert found["no vector.1"].candidate.cosine is None
    assert found["no vector.1"].score > found["words.1"].score  # judged by its words alone


async def test_without_a_vector_words_alone_decide(filled: MemoryTable) -> None:
    found = await search(filled, "green tea")
    assert set(found) == {"both.1", "words.1", "no vector.1"}


async def test_only_rows_that_match_are_looked_at(filled: MemoryTable) -> None:
    others = [memory(f"other {number}", "green tea", user_id="bob", vector=axis(0)) for number in range(300)]
    await filled.insert(others)
    assert set(await search(filled, "green tea", axis(0), equals("user_id", "alice"))) == {
        "both.1",
        "words.1",
        "meaning.1",
        "no vector.1",
        "neither.1",
    }


async def test_a_words_weight_is_counted_among_what_the_caller_can_see(filled: MemoryTable) -> None:
    alone = await search(filled, "green tea", axis(0), equals("user_id", "alice"))
    await filled.insert([memory(f"other {number}", "green tea", user_id="bob") for number in range(300)])
    beside = await search(filled, "green tea", axis(0), equals("user_id", "alice"))
    assert {row_id: one.score for row_id, one in alone.items()} == {row_id: one.score for row_id, one in beside.items()}


async def test_a_turn_next_to_the_answer_is_lifted_and_found_without_a_word_of_the_question(
    table: MemoryTable,
) -> None:
    turns = ["Hello", "Where did you go?", "Anna: I hiked in the Dolomites", "Wow, how was it?", "Great", "See you"]
    await table.insert([memory(f"{number:02}", text, run_id="run") for number, text in enumerate(turns)])
    await table.insert([memory("90", "Wow, how was it?"), memory("91", "Hello", run_id="other")])
    found = await search(table, "Dolomites")
    assert next(iter(found)) == "02.1"
    assert set(found) == {"00.1", "01.1", "02.1", "03.1", "04.1"}
    assert found["01.1"].score == found["03.1"].score > found["00.1"].score == found["04.1"].score > 0


async def test_lending_stays_within_a_conversation_and_within_what_may_be_seen(table: MemoryTable) -> None:
    await table.insert(
        [
            memory("01", "hidden", run_id="run", user_id="bob"),
            memory("02", "Dolomites", run_id="run"),
            memory("03", "deleted", run_id="run", superseded_at=memory("x").created_at),
        ]
    )
    predicate = filters.all_of(filters.current(), equals("user_id", "alice"))
    assert set(await search(table, "Dolomites", None, predicate)) == {"02.1"}


async def test_a_conversation_beyond_the_limit_lends_nothing(table: MemoryTable) -> None:
    def turn(number: int) -> Memory:
        return replace(memory(f"{number:06}", "filler", run_id="run"))

    await table.insert([turn(number) for number in range(LONGEST_CONVERSATION)])
    await table.insert([memory("999999", "Dolomites", run_id="run")])
    assert set(await search(table, "Dolomites")) == {"999999.1"}


async def test_the_words_of_each_text_are_told_apart(table: MemoryTable) -> None:
    assert await table.words_of_each(["Running shoes", "", "the 住在北京", "border\nborder"]) == [
        ["run", "shoe"],
        [],
        ["住在", "北京"],
        ["border", "border"],
    ]
    assert await table.words_of_each([]) == []


async def test_held_rows_show_what_another_process_commits_at_once(filled: MemoryTable) -> None:
    async def nothing() -> None:
        return None

    searcher = Searcher(filled)
    predicate = filters.current()
    assert len(await searcher.ranked("green", nothing, predicate, "key", NOW)) == 3
    other = await MemoryTable.open(filled.folder)
    await other.insert([memory("new", "green apples")])
    other.close()
    assert len(await searcher.ranked("green", nothing, predicate, "key", NOW)) == 4


async def test_held_rows_hide_what_expires_without_a_commit(table: MemoryTable) -> None:
    async def nothing() -> None:
        return None

    later = NOW + timedelta(hours=1)
    await table.insert(
        [memory("expires", "green tea", expires_at=later), memory("pinned", "green", expires_at=later, pinned=True)]
    )
    searcher = Searcher(table)
    for now, expected in ((NOW, 2), (later - timedelta(seconds=1), 2), (later, 1)):
        assert len(await searcher.ranked("green", nothing, filters.live(now), "key", now)) == expected


async def test_rows_read_before_a_commit_are_not_held_after_it(filled: MemoryTable) -> None:
    """A search that is still reading while another one meets a newer commit must not leave its older rows behind."""
    reading, committed = anyio.Event(), anyio.Event()

    class Slow(MemoryTable):
        async def held_rows(self, predicate: str, limit: int) -> FoundRows:
            rows = await super().held_rows(predicate, limit)
            if not committed.is_set():
                reading.set()
                await committed.wait()
            return rows

    async def nothing() -> None:
        return None

    slow = await Slow.open(filled.folder)
    searcher = Searcher(slow)
    predicate = filters.current()

    async def search_slowly() -> None:
        await searcher.ranked("green", nothing, predicate, "key", NOW)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(search_slowly)
        await reading.wait()
        await filled.insert([memory("new", "green apples")])
        await searcher.ranked("green", nothing, predicate, "key", NOW, hold=False)
        committed.set()
    assert len(await searcher.ranked("green", nothing, predicate, "key", NOW)) == 4
    slow.close()
