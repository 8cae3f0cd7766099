"""To another embedding model: resumable, with servers that go on, and nothing they write is lost."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from store import filters, reembedding, tables
from store.embedders.hashing import HashingEmbedder
from store.errors import InvalidRequestError, ProviderOutputError, ProviderUnavailableError, StoreError
from store.locks import ProcessLock
from store.models import Vector
from store.reembedding import reembed
from store.table import MemoryTable
from tests.builders import NOW, memory

OLD, NEW = HashingEmbedder(384), HashingEmbedder(16)


class Watched(HashingEmbedder):
    """The new model; `before` is called before each batch."""

    def __init__(self, before: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(16)
        self.texts: list[str] = []
        self._before = before

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        await self._before(len(self.texts))
        self.texts += texts
        return await super().embed_documents(texts)


@pytest.fixture
async def filled(table: MemoryTable, monkeypatch: pytest.MonkeyPatch) -> MemoryTable:
    """Twenty memories with vectors of the old model; batches of four."""
    monkeypatch.setattr(reembedding, "BATCH", 4)
    monkeypatch.setattr(reembedding, "FEW", 2)
    async with table.writing():
        await table.adopt(await OLD.fingerprint())
    texts = [f"statement number {number}" for number in range(20)]
    vectors = await OLD.embed_documents(texts)
    await table.insert([memory(f"m{n:02}", text, vector=vectors[n]) for n, text in enumerate(texts)])
    return table


async def new_vectors(table: MemoryTable) -> None:
    """Check that every live row has the vector that the new model makes of its text."""
    rows = await table.find("row_id != ''", with_vectors=True)
    for row in rows:
        expected = None if row.deleted_at else await NEW.embed_query(row.content)
        assert row.vector == (None if expected is None else pytest.approx(expected, abs=1e-6)), row.row_id


async def test_every_version_gets_a_vector_of_the_new_model_and_the_old_table_is_kept(filled: MemoryTable) -> None:
    before = await filled.find("row_id != ''")
    told: list[tuple[int, int]] = []
    assert await reembed(filled.handle, NEW, lambda done, of: told.append((done, of))) == 20
    assert told[:2] == [(4, 20), (8, 20)]
    assert await filled.fingerprint() == await NEW.fingerprint()
    assert await filled.find("row_id != ''") == before
    await new_vectors(filled)
    [kept] = filled.upkeep.tables().kept
    assert (kept.table, kept.before) == ("memories", "reembed")
    assert tables.path_of(filled.folder, "memories").is_dir()
    assert not (await filled.upkeep.stats()).missing_indexes
    nearest = await filled.nearest(await NEW.embed_query("statement number 7"), filters.current(), 1)
    assert nearest.memories[0].memory_id == "m07"


async def test_what_failed_is_continued_where_it_stopped(filled: MemoryTable) -> None:
    async def fail(done: int) -> None:
        if done >= 8:
            raise ProviderUnavailableError("the model is gone")

    async def work(_done: int) -> None:
        pass

    with pytest.raises(ProviderUnavailableError):
        await reembed(filled.handle, Watched(fail))
    assert await filled.fingerprint() == await OLD.fingerprint()
    second = Watched(work)
    assert await reembed(filled.handle, second) == 20
    assert len(second.texts) == 12
    await new_vectors(filled)


async def test_servers_go_on_meanwhile_and_nothing_they_write_is_lost(filled: MemoryTable) -> None:
    server = await MemoryTable.open(filled.folder)
    written = 0

    async def write(_done: int) -> None:
        nonlocal written
        if written > 12:
            return
        written += 1
        async with server.writing():
            await server.insert([memory(f"new{written}", f"written meanwhile {written}")])
            [old] = await server.find(f"memory_id = 'm{written:02}' AND superseded_at IS NULL", with_vectors=True)
            later = NOW + timedelta(hours=written)
            new = replace(old, version=2, content=f"changed {written}", updated_at=later, vector=None)
            await server.supersede([(old, replace(new, deleted_at=later) if written == 3 else new)])
        assert len(await server.find(filters.current())) == 20 + written

    await reembed(filled.handle, Watched(write))
    for table in (server, filled):
        current = {one.memory_id: one for one in await table.find(filters.current())}
        assert len(current) == 20 + written
        assert [current[f"m{n:02}"].content for n in range(1, written + 1)] == [
            f"changed {n}" for n in range(1, written + 1)
        ]
        assert await table.count() == 20 + 2 * written
    await new_vectors(server)
    await server.insert([memory("after", "written after the switch")])
    assert await filled.count(filters.equals("memory_id", "after")) == 1
    server.close()


async def test_what_is_purged_meanwhile_does_not_come_back(filled: MemoryTable) -> None:
    async def erase(done: int) -> None:
        if done == 8:
            async with filled.handle.committing("test") as raw:
                await raw.delete("memory_id = 'm01'")

    assert await reembed(filled.handle, Watched(erase)) == 19
    assert await filled.count(filters.equals("memory_id", "m01")) == 0


async def test_a_text_that_the_model_refuses_keeps_no_other_waiting(filled: MemoryTable) -> None:
    class Picky(HashingEmbedder):
        async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
            if "statement number 5" in texts:
                raise ProviderOutputError("not this one")
            return await super().embed_documents(texts)

    await reembed(filled.handle, Picky(16))
    rows = await filled.find("row_id != ''", with_vectors=True)
    assert [row.memory_id for row in rows if row.vector is None] == ["m05"]


async def test_the_same_model_and_a_second_process_are_refused(filled: MemoryTable) -> None:
    with pytest.raises(InvalidRequestError, match="already"):
        await reembed(filled.handle, OLD)
    async with ProcessLock(filled.folder / "reembed.lock").held():
        with pytest.raises(StoreError, match="A process is embedding this store anew"):
            await reembed(filled.handle, NEW)


async def test_what_is_left_of_another_model_is_not_used(filled: MemoryTable) -> None:
    async def fail(done: int) -> None:
        if done >= 8:
            raise ProviderUnavailableError("the model is gone")

    with pytest.raises(ProviderUnavailableError):
        await reembed(filled.handle, Watched(fail))
    assert await reembed(filled.handle, HashingEmbedder(32)) == 20
    assert await filled.dimension() == 32
