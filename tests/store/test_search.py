import tempfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import filters
from store.filters import equals
from store.found import Changes, FoundRows
from store.held import Compounds, HeldRows
from store.models import Fingerprint, Hit, Memory, Vector
from store.search import LONGEST_CONVERSATION, QueryVector, Question, Searcher, View
from store.table import MemoryTable
from tests.builders import NOW, axis, memory

MODEL = Fingerprint("hashing", "words", 384)


async def search(
    table: MemoryTable, text: str, vector: Vector | None = None, predicate: str = filters.current()
) -> dict[str, Hit]:
    """Search both ways, by candidates and in memory, which have to agree."""
    by_candidates = await found_by(Searcher(table, hold=0), text, vector, predicate)
    if await table.count(predicate) <= 2_000:
        searcher = Searcher(table)
        for _ in range(2):  # read, and then held
            assert await found_by(searcher, text, vector, predicate) == by_candidates
    return by_candidates


async def found_by(
    searcher: Searcher,
    text: str,
    vector: Vector | None = None,
    predicate: str = filters.current(),
    *,
    now: datetime = NOW,
    key: str = "",
) -> dict[str, Hit]:
    async def embed(_version: int) -> QueryVector:
        return QueryVector(vector, (0.1, 0.8))

    hits = await searcher.search(Question(text, 100, 0.0, now), embed, View(predicate, key or predicate))
    assert hits.omitted == 0
    return {hit.memory.row_id: hit for hit in hits.best}


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
    assert found["no vector.1"].meaning == 0
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
    searcher = Searcher(filled)
    assert len(await found_by(searcher, "green")) == 3
    other = await MemoryTable.open(filled.folder)
    await other.insert([memory("new", "green apples")])
    assert len(await found_by(searcher, "green")) == 4
    [old] = await other.find(equals("row_id", "words.1"), with_vectors=True)
    new = replace(old, version=2, content="blue paint", updated_at=NOW + timedelta(days=1))
    await other.supersede([(old, new)])
    other.close()
    assert set(await found_by(searcher, "green")) == {"both.1", "no vector.1", "new.1"}
    assert (await found_by(searcher, "paint"))["words.2"].memory.content == "blue paint"


async def test_held_rows_forget_what_is_erased(filled: MemoryTable) -> None:
    searcher = Searcher(filled)
    assert "both.1" in await found_by(searcher, "green")
    await filled.handle._table.delete("memory_id = 'both'")  # pyright: ignore[reportPrivateUsage]
    assert "both.1" not in await found_by(searcher, "green")


async def test_rows_that_were_only_written_again_are_not_taken_for_changed(filled: MemoryTable) -> None:
    rows = await filled.rows(filters.current(), 10)
    row_ids = [memory.row_id for memory in rows.memories]
    held = HeldRows(384, 0)
    held.append(rows, await filled.words_of_each(rows.texts()))
    assert not held.really_changed(Changes(row_ids, rows)).row_ids

    embedded, vectors = rows.embedded.copy(), rows.vectors.copy()
    embedded[row_ids.index("no vector.1")] = True
    vectors[row_ids.index("words.1")] = axis(5)
    rows = replace(rows, embedded=embedded, vectors=vectors)
    changed = held.really_changed(Changes([*row_ids, "gone.1"], rows))
    assert set(changed.row_ids) == {"no vector.1", "words.1", "gone.1"}
    assert {memory.row_id for memory in changed.visible.memories} == {"no vector.1", "words.1"}


async def test_held_rows_hide_what_expires_without_a_commit(table: MemoryTable) -> None:
    later = NOW + timedelta(hours=1)
    await table.insert(
        [memory("expires", "green tea", expires_at=later), memory("pinned", "green", expires_at=later, pinned=True)]
    )
    searcher = Searcher(table)
    for now, expected in ((NOW, 2), (later - timedelta(seconds=1), 2), (later, 1)):
        assert len(await found_by(searcher, "green", predicate=filters.live(now), now=now, key="key")) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("add", "change", "delete", "embed", "merge", "compact")),
            st.sampled_from(("green tea", "green paint", "a red car", "")),
            st.sampled_from(("", "run")),
            st.integers(0, 9),
        ),
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None)
async def test_rows_brought_up_to_date_rank_as_rows_read_anew(steps: list[tuple[str, str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = await MemoryTable.open(Path(folder))
        await table.adopt(MODEL)
        searcher = Searcher(table)
        predicate = filters.all_of(filters.current(), "deleted_at IS NULL")
        for number, (step, text, run_id, which) in enumerate(steps):
            now = NOW + timedelta(minutes=number)
            live = await table.find(predicate, with_vectors=True)
            if step == "add" or not live:
                new = memory(f"m{number:02}", text or "hello", run_id=run_id, vector=axis(which) if which else None)
                await table.insert([replace(new, updated_at=now)])
            elif step == "compact":
                await table.upkeep.compact()
            elif step == "merge":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("store.upkeep.MANY_FRAGMENTS", 3)
                    await table.upkeep.keep_up()
            else:
                old = live[which % len(live)]
                if step == "embed":
                    await table.set_vectors([replace(old, vector=axis(which))])
                else:
                    new = replace(old, version=old.version + 1, content=text or "bye", updated_at=now)
                    await table.supersede([(old, replace(new, deleted_at=now) if step == "delete" else new)])
            anew = await found_by(Searcher(table), "green tea", axis(1), predicate)
            assert await found_by(searcher, "green tea", axis(1), predicate) == anew
        table.close()


async def test_rows_read_before_a_commit_are_not_held_after_it(filled: MemoryTable) -> None:
    """A search that is still reading while another one meets a newer commit must not leave its older rows behind."""
    reading, committed = anyio.Event(), anyio.Event()

    class Slow(MemoryTable):
        async def all_rows(self, predicate: str) -> AsyncGenerator[FoundRows]:
            async for rows in super().all_rows(predicate):
                if not committed.is_set():
                    reading.set()
                    await committed.wait()
                yield rows

    slow = await Slow.open(filled.folder)
    searcher = Searcher(slow)

    async def search_slowly() -> None:
        await found_by(searcher, "green")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(search_slowly)
        await reading.wait()
        await filled.insert([memory("new", "green apples")])
        committed.set()
    assert len(await found_by(searcher, "green")) == 4
    slow.close()


async def test_a_commit_while_held_rows_are_brought_up_does_not_throw_them_away(filled: MemoryTable) -> None:
    class Busy(MemoryTable):
        readings = 0

        async def all_rows(self, predicate: str) -> AsyncGenerator[FoundRows]:
            self.readings += 1
            async for rows in super().all_rows(predicate):
                yield rows

        async def changed_since(self, version: int, predicate: str, limit: int) -> Changes | None:
            await filled.insert([memory(f"during {version}", "green apples")])
            return await super().changed_since(version, predicate, limit)

    busy = await Busy.open(filled.folder)
    searcher = Searcher(busy)
    await found_by(searcher, "green")
    for number in range(3):
        await filled.insert([memory(f"before {number}", "green pears")])
        assert len(await found_by(searcher, "green")) == 3 + 2 * (number + 1)
    assert busy.readings == 1
    busy.close()


def test_words_are_found_by_their_beginnings_and_ends() -> None:
    compounds = Compounds()
    compounds.learn(["donaudampfschiff", "dampfer", "schiff", "dampf"])
    compounds.learn(["schifffahrt", "ampfer"])
    assert len(compounds) == 6
    assert compounds.of("schiff") == {"donaudampfschiff", "schiff", "schifffahrt"}
    assert compounds.of("dampf") == {"dampfer", "dampf"}
    assert not compounds.of("kahn")


async def test_neighbours_in_a_large_scope_are_looked_for_by_meaning_and_by_words_without_a_vector(
    filled: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.search.NEIGHBOURS_FOUND", 2)
    view = View(filters.current(), key="neighbours", nearest_alone=True)

    async def found(vector: Vector | None) -> set[str]:
        async def embed(_version: int) -> QueryVector:
            return QueryVector(vector, (0.1, 0.8))

        hits = await Searcher(filled, hold=0).search(Question("green tea", 10, 0.1, NOW), embed, view)
        return {hit.memory.memory_id for hit in hits.best}

    assert await found(axis(0)) == {"both", "meaning"}
    assert await found(None) == {"both", "words", "no vector"}


async def test_rows_held_before_a_scope_outgrew_memory_are_not_taken_for_newest_later(table: MemoryTable) -> None:
    """A scope that grows beyond what is held and shrinks again: what was deleted meanwhile stays deleted."""
    await table.adopt(MODEL)
    searcher = Searcher(table, hold=3)
    predicate = filters.all_of(filters.current(), "deleted_at IS NULL")
    rows = [memory(f"m{n}", f"green tea number {n}", vector=axis(n)) for n in range(5)]

    async def found() -> set[str]:
        return {row.partition(".")[0] for row in await found_by(searcher, "green tea", axis(1), predicate)}

    async def delete(row: Memory) -> None:
        await table.supersede([(row, replace(row, version=2, deleted_at=NOW))])

    await table.insert(rows[:3])
    assert await found() == {"m0", "m1", "m2"}
    await table.insert(rows[3:4])
    assert await found() == {"m0", "m1", "m2", "m3"}
    await delete(rows[0])
    assert await found() == {"m1", "m2", "m3"}
    assert await found() == {"m1", "m2", "m3"}
    await table.insert(rows[4:])
    assert await found() == {"m1", "m2", "m3", "m4"}
    await delete(rows[1])
    assert await found() == {"m2", "m3", "m4"}
    assert await found() == {"m2", "m3", "m4"}
