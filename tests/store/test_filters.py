import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import filters
from store.filters import Order, Selection, all_of, any_of, beyond, equals, one_of
from store.models import Scope
from store.table import MemoryTable
from tests.builders import NOW, memory

HOSTILE = [
    "it's",
    "''",
    "'; DROP TABLE memories; --",
    "' OR '1'='1",
    "back\\slash\\",
    "\\'",
    "new\nline\r\n\t",
    "nul\x00inside",
    '"double" `back`',
    "%_*?[a-z]",
    "{}$1:name@x",
    "\u202eright to left",
    "ﬀ İ ß ① 🧠 👩‍👩‍👧",
    "",
    " ",
    "*",
    "x" * 100_000,
]


async def ids(table: MemoryTable, predicate: str) -> list[str]:
    return [found.memory_id for found in await table.find(predicate)]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
async def test_a_hostile_string_selects_exactly_the_row_that_holds_it(table: MemoryTable, text: str) -> None:
    await table.insert([memory("1", user_id=text, tags=(text,)), memory("2", user_id="other", tags=("other",))])
    assert await ids(table, equals("user_id", text)) == ["1"]
    assert await ids(table, one_of("user_id", [text, "nobody"])) == ["1"]
    assert await ids(table, Selection(tags=(text,)).predicate()) == ["1"]


@pytest.fixture(scope="module")
def shared_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose table holds one row, for property tests that only read."""
    folder = tmp_path_factory.mktemp("shared")

    async def fill() -> None:
        opened = await MemoryTable.open(folder)
        await opened.insert([memory("1")])
        opened.close()

    anyio.run(fill)
    return folder


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_string_breaks_out_of_its_quotes(shared_table: Path, text: str) -> None:
    async def look() -> None:
        opened = await MemoryTable.open(shared_table)
        # Were the quotes broken, the OR would be parsed differently, or not at all.
        assert await ids(opened, any_of(equals("user_id", text), equals("memory_id", "1"))) == ["1"]
        assert await ids(opened, all_of(equals("content", text), equals("memory_id", "1"))) == (
            ["1"] if text == "text" else []
        )
        opened.close()

    anyio.run(look)


async def test_readable_is_what_is_shared_and_what_is_named(table: MemoryTable) -> None:
    await table.insert(
        [
            memory("shared"),
            memory("atlas", project="atlas"),
            memory("borealis", project="borealis"),
            memory("coder", agent_id="coder"),
            memory("run", run_id="r1"),
            memory("bob", user_id="bob"),
        ]
    )
    assert await ids(table, filters.readable(Scope("alice"))) == ["run", "shared"]
    assert await ids(table, filters.readable(Scope("alice", project="atlas"))) == ["atlas", "run", "shared"]
    assert await ids(table, filters.readable(Scope("alice", agent_id="coder"))) == ["coder", "run", "shared"]
    assert await ids(table, filters.readable(Scope("alice", run_id="r1"))) == ["run"]
    assert await ids(table, filters.readable(Scope("alice", project="*"))) == ["atlas", "borealis", "run", "shared"]
    assert await ids(table, filters.readable(Scope("carol", project="*", agent_id="*"))) == []


async def test_live_leaves_out_what_is_superseded_deleted_or_expired(table: MemoryTable) -> None:
    before, after = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    await table.insert(
        [
            memory("live"),
            memory("superseded", superseded_at=before),
            memory("deleted", deleted_at=before),
            memory("expired", expires_at=before),
            memory("expires later", expires_at=after),
            memory("pinned", expires_at=before, pinned=True),
        ]
    )
    assert await ids(table, filters.live(NOW)) == ["expires later", "live", "pinned"]


names = st.sampled_from(["", "a", "b", '","', "a#", "*", "ü"])
moments = st.none() | st.integers(-2, 2).map(lambda hours: NOW + timedelta(hours=hours))


@given(
    st.lists(st.tuples(names, names, names, names, moments, moments, moments, st.booleans()), max_size=12),
    st.builds(Scope, names, names, names, names),
)
@settings(max_examples=60, deadline=None)
async def test_visible_is_what_is_live_and_readable(
    rows: list[tuple[str, str, str, str, datetime | None, datetime | None, datetime | None, bool]], scope: Scope
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = await MemoryTable.open(Path(folder))
        await table.insert(
            [
                memory(
                    f"{number}",
                    user_id=user,
                    project=project,
                    agent_id=agent,
                    run_id=run,
                    superseded_at=superseded,
                    deleted_at=deleted,
                    expires_at=expires,
                    pinned=pinned,
                )
                for number, (user, project, agent, run, superseded, deleted, expires, pinned) in enumerate(rows)
            ]
        )
        expected = await ids(table, filters.all_of(filters.live(NOW), filters.readable(scope)))
        assert await ids(table, filters.visible(scope, NOW)) == expected
        table.close()


async def test_live_at_shows_what_was_current_then(table: MemoryTable) -> None:
    await table.insert(
        [
            memory("old", updated_at=NOW, superseded_at=NOW + timedelta(days=2)),
            memory("new", updated_at=NOW + timedelta(days=2)),
        ]
    )
    assert await ids(table, filters.live_at(NOW - timedelta(seconds=1))) == []
    assert await ids(table, filters.live_at(NOW + timedelta(days=1))) == ["old"]
    assert await ids(table, filters.live_at(NOW + timedelta(days=2))) == ["new"]


async def test_a_range_of_time_looks_at_the_event_and_else_at_the_storing(table: MemoryTable) -> None:
    await table.insert(
        [memory("stored", created_at=NOW), memory("happened", created_at=NOW, occurred_at=NOW - timedelta(days=400))]
    )
    assert await ids(table, Selection(since=NOW).predicate()) == ["stored"]
    assert await ids(table, Selection(until=NOW).predicate()) == ["happened"]


async def test_a_selection_by_type_and_tags_wants_all_tags(table: MemoryTable) -> None:
    await table.insert(
        [memory("1", type="event", tags=("a", "b")), memory("2", type="event", tags=("a",)), memory("3", tags=("a",))]
    )
    assert await ids(table, Selection(types=("event",)).predicate()) == ["1", "2"]
    assert await ids(table, Selection(types=("event", "fact"), tags=("a",)).predicate()) == ["1", "2", "3"]
    assert await ids(table, Selection(tags=("a", "b")).predicate()) == ["1"]
    assert await ids(table, Selection(tags=("a", "b", "z"), any_tag=True).predicate()) == ["1", "2", "3"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_metadata_is_matched_by_key_and_value(table: MemoryTable, text: str) -> None:
    await table.insert(
        [
            memory("both", metadata={"n": 1, text or "key": text}),
            memory("number", metadata={"n": 1.0}),
            memory("text", metadata={"n": "1"}),
            memory("inside", metadata={"more": {"n": 1, text or "key": text}}),
            memory("none"),
        ]
    )

    async def matching(**metadata: object) -> list[str]:
        return await ids(table, Selection(metadata=filters.metadata_pairs(metadata)).predicate())

    assert await matching(n=1) == await matching(n=1.0) == ["both", "number"]
    assert filters.metadata_pairs({"a": {"b": [1.0, {"c": 2.0}]}}) == filters.metadata_pairs(
        {"a": {"b": [1, {"c": 2}]}}
    )
    assert await matching(**{"n": 1, text or "key": text}) == ["both"]
    assert await matching(more={text or "key": text, "n": 1}) == ["inside"]
    assert await matching(n=2) == []


@pytest.mark.parametrize("descending", [True, False])
async def test_beyond_continues_after_a_row_also_among_ties(table: MemoryTable, descending: bool) -> None:
    times = [NOW, NOW, NOW + timedelta(microseconds=1), NOW]
    await table.insert([memory(str(number), created_at=time) for number, time in enumerate(times)])
    order = Order("created_at", descending)
    rows = await table.find(filters.current(), order=[order])
    for position, row in enumerate(rows):
        rest = await table.find(beyond(order, row.created_at, row.row_id), order=[order])
        assert rest == rows[position + 1 :]


def test_no_values_match_nothing() -> None:
    assert one_of("user_id", []) == filters.NOTHING
