"""Export, import and export again: byte for byte the same; an import changes nothing that is there."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store import filters
from store.embedders.hashing import HashingEmbedder
from store.errors import InvalidRequestError
from store.ids import TimeOrderedIds
from store.models import Scope
from store.table import MemoryTable
from tests.conftest import ALICE, SOURCE, TurnedClock
from tools.memories import Memories
from tools.outcomes import Change, Draft


async def lines_of(lines: AsyncGenerator[str]) -> list[str]:
    return [line async for line in lines]


async def opened(folder: Path, *, embedder: HashingEmbedder | None = None) -> Memories:
    table = await MemoryTable.open(folder)
    return Memories(table, embedder or HashingEmbedder(), clock=TurnedClock(), new_id=TimeOrderedIds())


@pytest.fixture
async def filled(memories: Memories) -> Memories:
    """Everything that a version can hold: changes, a deletion, dates, metadata, all scopes, strange characters."""
    drafts = [
        Draft(content="Anna lives in Graz", tags=("home", "schön"), metadata={"b": [1, 2.5, None], "a": {"é": "\x00"}}),
        Draft(content="line one\nline two \U0001f600 \u2028 end", importance=0.123456, pinned=True),
        Draft(content="Ben moved", occurred_at=datetime(2023, 5, 8, 1, 2, 3, 456789, UTC), type="event"),
        Draft(content="Milk", expires_at=datetime(2026, 6, 1, tzinfo=UTC), type="task"),
    ]
    added = (await memories.add(drafts, ALICE, SOURCE)).added
    first, second = added[0].memory.memory_id, added[1].memory.memory_id
    for number in range(12):  # more than ten versions: they are sorted as numbers
        await memories.update(first, Change(content=f"Anna lives in flat {number}"), ALICE, SOURCE)
    await memories.delete([second], ALICE, SOURCE, reason="a test")
    await memories.restore(second, 1, ALICE, SOURCE)
    await memories.delete([added[3].memory.memory_id], ALICE, SOURCE)
    await memories.add([Draft(content="in a project")], Scope("bob", "atlas", "coder", "run 1"), SOURCE)
    return memories


@pytest.mark.parametrize("vectors", [False, True])
async def test_an_export_imported_and_exported_again_is_the_same(
    filled: Memories, tmp_path: Path, vectors: bool
) -> None:
    before = await lines_of(filled.keeping.export(vectors=vectors))
    assert len(before) == 1 + 20
    other = await opened(tmp_path / "other")
    outcome = await other.keeping.import_lines(before)
    assert (outcome.imported, outcome.known, outcome.refused, outcome.notes) == (20, 0, [], [])
    assert await lines_of(other.keeping.export(vectors=vectors)) == before
    again = await other.keeping.import_lines(before)
    assert (again.imported, again.known, again.refused) == (0, 20, [])
    assert await lines_of(other.keeping.export(vectors=vectors)) == before
    other.close()


async def test_what_was_imported_is_found_by_meaning_and_by_words(filled: Memories, tmp_path: Path) -> None:
    for vectors in (True, False):
        other = await opened(tmp_path / f"{vectors}")
        await other.keeping.import_lines(await lines_of(filled.keeping.export(vectors=vectors)))
        await other.maintain()
        assert (await other.stats()).table.pending_embeddings == 0
        [hit, *_] = (await other.search("where does Anna live, which flat?", ALICE)).hits
        assert hit.memory.content == "Anna lives in flat 11"
        assert hit.meaning > 0
        other.close()


async def test_an_export_of_one_user_holds_nobody_else(filled: Memories) -> None:
    lines = await lines_of(filled.keeping.export("bob"))
    assert [json.loads(line)["user_id"] for line in lines[1:]] == ["bob"]


async def test_vectors_of_another_model_are_left_out_and_told(filled: Memories, tmp_path: Path) -> None:
    other = await opened(tmp_path / "other", embedder=HashingEmbedder(16))
    await other.add([Draft(content="something")], Scope("carla"), SOURCE)
    outcome = await other.keeping.import_lines(await lines_of(filled.keeping.export(vectors=True)))
    assert outcome.imported == 20
    assert "were made by hashing:words (384 dimensions), the store's by hashing:words (16" in outcome.notes[0]
    await other.maintain()
    assert (await other.stats()).table.pending_embeddings == 0
    other.close()


async def test_a_longer_history_continues_a_shorter_one_and_the_other_way_nothing_happens(
    filled: Memories, tmp_path: Path
) -> None:
    short = await lines_of(filled.keeping.export(vectors=True))
    [found] = [one for one in (await filled.page(ALICE)).memories if one.content == "Ben moved"]
    await filled.update(found.memory_id, Change(content="Ben moved to Linz"), ALICE, SOURCE)
    await filled.update(found.memory_id, Change(content="Ben moved to Wels"), ALICE, SOURCE)
    long = await lines_of(filled.keeping.export(vectors=True))
    other = await opened(tmp_path / "other")
    await other.keeping.import_lines(short)
    outcome = await other.keeping.import_lines(long)
    assert (outcome.imported, outcome.known, outcome.refused) == (2, 20, [])
    assert await lines_of(other.keeping.export(vectors=True)) == long
    outcome = await other.keeping.import_lines(short)
    assert (outcome.imported, outcome.known, outcome.refused) == (0, 20, [])
    assert await lines_of(other.keeping.export(vectors=True)) == long
    other.close()


async def test_another_history_of_the_same_memory_is_refused_line_by_line(filled: Memories, tmp_path: Path) -> None:
    lines = await lines_of(filled.keeping.export())
    other = await opened(tmp_path / "other")
    await other.keeping.import_lines(lines)
    [number] = [n for n, line in enumerate(lines, 1) if '"in a project"' in line]
    mine = lines[number - 1].replace("in a project", "something else")
    outcome = await other.keeping.import_lines([*lines[: number - 1], mine, *lines[number:]])
    assert outcome.refused == [(number, "The store has another version 1 of this memory; it stays as it is.")]
    assert outcome.known == 19
    stolen = lines[number - 1].replace('"bob"', '"alice"')
    outcome = await other.keeping.import_lines([lines[0], stolen])
    assert [number for number, _ in outcome.refused] == [2]
    assert await lines_of(other.keeping.export()) == lines
    other.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"content": ""}, "content is empty"),
        ({"content": 7}, "content: Input should be a valid string"),
        ({"content": "x" * 32_001}, "content has 32,001 characters"),
        ({"type": "rumour"}, "type: Input should be 'fact'"),
        ({"importance": 2}, "importance is 2"),
        ({"user_id": "*"}, "user_id is '*'"),
        ({"user_id": ""}, "user_id"),
        ({"version": 2}, "from 1 on, without a gap"),
        ({"version": 0}, "version"),
        ({"superseded_at": "2026-05-08T12:00:00Z"}, "Exactly the last version"),
        ({"created_at": "2026-05-08T12:00:00"}, "created_at"),
        ({"created_at": None}, "created_at"),
        ({"tags": ["x" * 65]}, "A tag has 65 characters"),
        ({"colour": "green"}, "colour: Extra inputs are not permitted"),
        ({"vector": [1.0]}, "vector has 1 numbers; by line 1 it has 0"),
        ({"memory_id": ""}, "memory_id"),
    ],
)
async def test_a_line_that_can_not_be_used_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    good = {"memory_id": "m", "version": 1, "content": "fine", "user_id": "alice"}
    good |= {"created_at": "2026-05-08T12:00:00Z", "updated_at": "2026-05-08T12:00:00Z"}
    header = '{"souvenir":"export","format":1,"vectors":null}'
    memories = await opened(tmp_path)
    other = json.dumps(good | {"memory_id": "other"})
    outcome = await memories.keeping.import_lines([header, json.dumps(good | changes), other, "{", "", "[1]"])
    assert outcome.imported == 1
    assert [number for number, _ in outcome.refused] == [2, 4, 6]
    assert reason in outcome.refused[0][1]
    memories.close()


@pytest.mark.parametrize(
    "first", ["", "hello", "[]", '{"souvenir":"export","format":2,"vectors":null}', '{"content":"x"}', "null"]
)
async def test_what_is_no_export_is_refused_whole(memories: Memories, first: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"This is no export of Souvenir.*Nothing was changed"):
        await memories.keeping.import_lines([first, "{}"])


async def test_versions_of_a_memory_that_stand_apart_are_refused(filled: Memories, tmp_path: Path) -> None:
    lines = await lines_of(filled.keeping.export())
    other = await opened(tmp_path / "other")
    outcome = await other.keeping.import_lines([lines[0], *lines[2:], lines[1]])
    assert (2, "The versions of a memory stand together, from 1 on, without a gap.") in outcome.refused
    assert len(outcome.refused) == 13
    other.close()


async def test_the_state_before_an_import_is_kept(filled: Memories, table: MemoryTable) -> None:
    lines = await lines_of(filled.keeping.export())
    await filled.keeping.import_lines(lines)
    assert table.upkeep.tables().kept == ()  # it changed nothing
    await filled.keeping.import_lines([lines[0], lines[-1].replace('"memory_id":"', '"memory_id":"x')])
    [kept] = table.upkeep.tables().kept
    assert kept.before == "import"


async def test_markdown_is_for_reading(filled: Memories) -> None:
    text = "".join(await lines_of(filled.keeping.markdown(replace(ALICE, project="*", agent_id="*"))))
    assert text.startswith("# Memories\n\n## Everywhere\n\n### Event\n\n- Ben moved *(2023-05-08, ")
    assert "- line one\n  line two" in text
    assert "flat 11" in text
    assert "flat 10" not in text
    assert "Milk" not in text


async def test_a_purge_of_a_user_by_filter_and_by_id(filled: Memories, table: MemoryTable) -> None:
    keeping = filled.keeping
    everywhere = replace(ALICE, project="*", agent_id="*")
    some = await keeping.to_purge(everywhere, selection=filters.Selection(types=("task",)))
    assert (some.memories, some.versions) == (1, 2)
    assert (await keeping.purge(some)).versions == 2
    [bob] = [one.memory_id for one in (await filled.page(Scope("bob", "*", "*"))).memories]
    assert (await keeping.to_purge(everywhere, memory_ids=[bob])).memories == 0
    rest = await keeping.to_purge(everywhere, everything=True)
    assert (await keeping.purge(rest)).memories == 3
    assert [one.memory_id for one in await table.find("row_id != ''")] == [bob]
    with pytest.raises(InvalidRequestError, match="one of the three"):
        await keeping.to_purge(everywhere)
