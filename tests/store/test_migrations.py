"""A table of the first schema, as a fixture, comes up to the newest one; what is newer or too large is refused."""

import zipfile
from pathlib import Path

import pytest

from store import filters, migrations, schema, tables
from store.errors import MigrationError, SchemaError
from store.models import Memory, Scope
from store.rewriting import rewritten
from store.table import MemoryTable
from tests.builders import NOW, axis, memory

FIXTURE = Path(__file__).parents[1] / "fixtures" / "schema-1.zip"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store whose table was made by schema 1: four memories of two users, one changed, one deleted."""
    with zipfile.ZipFile(FIXTURE) as fixture:
        fixture.extractall(tmp_path)
    return tmp_path


def names_in(folder: Path, pattern: str) -> set[Path]:
    return set(folder.glob(pattern))


async def versions(table: MemoryTable) -> list[Memory]:
    return await table.find("row_id != ''", with_vectors=True)


async def test_an_older_table_is_migrated_with_its_history_and_its_vectors(store: Path) -> None:
    table = await MemoryTable.open(store)
    rows = {one.row_id: one for one in await versions(table)}
    assert {row_id: one.content for row_id, one in rows.items()} == {
        "v1memory0000.1": "Anna lives in Graz",
        "v1memory0000.2": "Anna moved to Vienna",
        "v1memory0001.1": "Ben likes green tea",
        "v1memory0002.1": "Carla bought a kite",
        "v1memory0002.2": "Carla bought a kite",
        "v1memory0003.1": "Bob knows chess",
    }
    assert rows["v1memory0000.1"].superseded_at == rows["v1memory0000.2"].updated_at
    assert rows["v1memory0000.1"].metadata == {"k": 1}
    assert rows["v1memory0001.1"].pinned
    assert rows["v1memory0002.2"].deleted_reason == "wrong"
    assert (rows["v1memory0002.1"].project, rows["v1memory0002.1"].run_id) == ("atlas", "run1")
    assert {row_id for row_id, one in rows.items() if one.vector is None} == {"v1memory0002.2"}  # as it was
    model = await table.fingerprint()
    assert model is not None
    assert model.provider == "fastembed"
    [tea] = (await table.matching("tea", filters.visible(Scope("default"), NOW), 9)).memories
    assert tea.memory_id == "v1memory0001"
    assert not (await table.upkeep.stats()).missing_indexes
    table.close()


async def test_the_table_tells_what_it_has_been_through_and_the_older_one_is_kept(store: Path) -> None:
    table = await MemoryTable.open(store)
    async with table.handle.reading("read") as raw:
        [entry] = schema.migrations(await raw.schema())
    assert (entry["to"], entry["what"]) == (2, "columns for searching, stable row ids")
    [kept] = table.upkeep.tables().kept
    assert (kept.table, kept.before) == ("memories", "migration")
    assert tables.path_of(store, "memories").is_dir()
    assert not names_in(store, "building-*")
    table.close()


async def test_a_migrated_table_is_written_to_and_opened_again_like_any_other(store: Path) -> None:
    table = await MemoryTable.open(store)
    await table.insert([memory("new", "matcha", vector=axis(0))])
    table.close()
    again = await MemoryTable.open(store)
    assert len(await versions(again)) == 7
    assert len(again.upkeep.tables().kept) == 1
    again.close()


async def test_what_a_process_left_that_died_in_a_migration_is_cleared(store: Path) -> None:
    (store / "building-migration.lance").mkdir()
    table = await MemoryTable.open(store)
    assert len(await versions(table)) == 6
    table.close()


async def test_a_large_table_is_refused_with_the_command_and_stays_as_it_is(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ROWS_AT_START", 5)
    before = names_in(store, "**/*")
    with pytest.raises(MigrationError, match="Run `souvenir migrate` once; nothing was changed"):
        await MemoryTable.open(store)
    assert names_in(store, "**/*") == {*before, store / "maintenance.lock", store / "write.lock"}
    table = await MemoryTable.open(store, patient=True)
    assert len(await versions(table)) == 6
    table.close()


async def test_a_newer_table_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (await MemoryTable.open(tmp_path)).close()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    with pytest.raises(SchemaError, match=r"has schema version 2; this Souvenir knows version 1\. Upgrade Souvenir"):
        await MemoryTable.open(tmp_path)


async def test_a_running_server_follows_to_the_new_table_or_says_that_it_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, other = await MemoryTable.open(tmp_path), await MemoryTable.open(tmp_path)
    await running.insert([memory("1", "green tea")])
    async with other.handle.alone():
        await other.handle.switch_to(await copy_of(other), keep="reembed")
    await other.insert([memory("2", "matcha")])
    assert [one.memory_id for one in await running.find(filters.current())] == ["1", "2"]
    assert await running.version() > 2
    async with other.handle.alone():
        await other.handle.switch_to(await copy_of(other), keep="reembed")
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    with pytest.raises(SchemaError, match="restart this server"):
        await running.find(filters.current())
    running.close()
    other.close()


async def copy_of(table: MemoryTable) -> str:
    async with table.handle.reading("read") as raw:
        await rewritten(table.handle.database, raw, "building-copy", await raw.schema())
    return "building-copy"
