"""After a purge no file of the folder contains the text: the raw bytes are searched."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from store import backup, filters
from store.erasure import erase
from store.filters import equals, one_of
from store.recovery import QUARANTINE
from store.search import QueryVector, Question, Searcher, View
from store.table import MemoryTable
from tests.builders import NOW, axis, memory

SECRET = "xylophagous"  # noqa: S105 - a word that no library knows, and that no stemmer shortens


def holding(folder: Path, text: str = SECRET) -> list[str]:
    """Return the files that contain a text, in whatever case."""
    files = [file for file in folder.glob("**/*") if file.is_file()]
    return [str(file.relative_to(folder)) for file in files if text.encode() in file.read_bytes().lower()]


async def filled(folder: Path) -> MemoryTable:
    """Make a store with a secret in every place where one can be: versions, indexes, snapshots, quarantine."""
    table = await MemoryTable.open(folder)
    secret = memory("m1", f"The {SECRET} beetle lives in Graz", vector=axis(1), tags=(SECRET,))
    await table.insert([memory("m0", "green tea", vector=axis(0)), secret, memory("m2", "a third", vector=axis(2))])
    later = replace(secret, version=2, content="Nothing to see", tags=(), updated_at=NOW + timedelta(days=1))
    await backup.snapshot(table.handle, "import")
    async with table.writing():
        await table.supersede([(secret, later)])
    await table.upkeep.compact()
    await table.upkeep.repair()
    (folder / QUARANTINE / "1" / "data").mkdir(parents=True)
    (folder / QUARANTINE / "1" / "data" / "damaged.lance").write_bytes(f"half {SECRET}".encode())
    (folder / "building-reembed.lance").mkdir()
    (folder / "building-reembed.lance" / "rows").write_text(SECRET)
    return table


async def test_no_file_contains_a_purged_memory(tmp_path: Path) -> None:
    table = await filled(tmp_path)
    places = {Path(name).parts[0] for name in holding(tmp_path)}
    assert len(places) == 4, places  # the table, the snapshot, the quarantine, what is being built
    assert await erase(table.handle, equals("memory_id", "m1")) == 2
    assert holding(tmp_path) == []
    assert [one.memory_id for one in await table.find(filters.current())] == ["m0", "m2"]
    assert holding(tmp_path, "green tea")
    table.close()
    again = await MemoryTable.open(tmp_path)
    assert again.findings == ()
    assert [one.memory_id for one in (await again.matching("tea", filters.current(), 9)).memories] == ["m0"]
    again.close()


async def test_a_kept_state_is_purged_of_what_is_nowhere_else(tmp_path: Path) -> None:
    table = await filled(tmp_path)
    await erase(table.handle, equals("memory_id", "m1"))
    await table.insert([memory("m3", f"another {SECRET}")])
    kept = await backup.snapshot(table.handle, "import")
    async with table.handle.committing("test") as raw:
        await raw.delete("memory_id = 'm3'")
    assert await erase(table.handle, equals("memory_id", "m3")) == 0
    assert not [name for name in holding(tmp_path) if kept in name]
    await backup.restore(table.handle, table.upkeep.tables().kept[-1].table)
    assert [one.memory_id for one in await table.find(filters.current())] == ["m0", "m2"]
    table.close()


async def test_other_processes_forget_what_is_purged(tmp_path: Path) -> None:
    table = await filled(tmp_path)
    running = await MemoryTable.open(tmp_path)
    searcher = Searcher(running)
    view = View(filters.current(), key="all")

    async def embed(_version: int) -> QueryVector:
        return QueryVector()

    async def found(text: str) -> list[str]:
        hits = await searcher.search(Question(text, 10, 0.0, NOW), embed, view)
        return [hit.memory.memory_id for hit in hits.best]

    assert await found("nothing to see") == ["m1"]
    await erase(table.handle, one_of("memory_id", ["m1"]))
    assert await found("nothing to see") == []
    assert await found("tea") == ["m0"]
    await running.insert([memory("m4", "more tea")])
    assert sorted(await found("tea")) == ["m0", "m4"]
    running.close()
    table.close()


async def test_a_purge_of_nothing_changes_nothing(tmp_path: Path) -> None:
    table = await MemoryTable.open(tmp_path)
    await table.insert([memory("m0")])
    version = await table.version()
    assert await erase(table.handle, equals("memory_id", "unknown")) == 0
    assert await table.version() == version
    table.close()
