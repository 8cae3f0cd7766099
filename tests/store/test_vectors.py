from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store import filters
from store.embedders.hashing import HashingEmbedder
from store.errors import ProviderError, ProviderOutputError, ProviderUnavailableError
from store.models import Fingerprint, Memory, Vector
from store.table import MemoryTable
from store.vectors import Vectors
from tests.builders import memory


@dataclass
class MoodyEmbedder:
    """The hashing embedder, behind a switch."""

    inner: HashingEmbedder
    works: bool = True
    queries: int = 0
    documents: int = 0
    checks: int = 0

    name = "moody"

    async def fingerprint(self) -> Fingerprint:
        self._check()
        return await self.inner.fingerprint()

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        self._check()
        self.documents += len(texts)
        if "refused" in texts:
            raise ProviderOutputError("the model does not take this text")
        return await self.inner.embed_documents(texts)

    async def embed_query(self, text: str) -> Vector:
        self._check()
        self.queries += 1
        return await self.inner.embed_query(text)

    def _check(self) -> None:
        self.checks += 1
        if not self.works:
            raise ProviderUnavailableError("the embedder is down")


async def stored(table: MemoryTable, vectors: Vectors, memory_id: str, text: str) -> str:
    """Store one text as `Memories.add` does, and return the problem with its vector."""
    embedded = await vectors.of_documents([text])
    async with table.writing():
        embedded = await vectors.admit(embedded)
        await table.insert([memory(memory_id, text, vector=embedded.vectors[0])])
    return embedded.problem


async def test_the_first_vectors_settle_whose_the_table_holds(table: MemoryTable) -> None:
    vectors = Vectors(table, HashingEmbedder(16))
    assert await stored(table, vectors, "1", "green tea") == ""
    assert await table.fingerprint() == Fingerprint("hashing", "words", 16)


async def test_another_model_is_refused_in_words_and_its_vectors_left_out(table: MemoryTable) -> None:
    await stored(table, Vectors(table, HashingEmbedder(16)), "1", "green tea")
    other = Vectors(table, HashingEmbedder(32))
    problem = await stored(table, other, "2", "black tea")
    assert problem == (
        "This store's vectors were made by hashing:words (16 dimensions), this server is set to hashing:words "
        "(32 dimensions), and vectors of two models can't be mixed. Set SOUVENIR_EMBEDDER back to the model of the "
        "store to search by meaning again, or move the store to the other one: "
        "souvenir reembed --embedder ..."
    )
    assert (await other.of_query("tea", 0)).problem == problem
    assert (await other.of_query("tea", 0)).vectors == (None,)
    assert (await table.upkeep.stats()).pending_embeddings == 1
    assert await other.embed_pending() == 0


async def test_what_was_stored_while_the_embedder_was_down_is_embedded_later(table: MemoryTable) -> None:
    embedder = MoodyEmbedder(HashingEmbedder(), works=False)
    vectors = Vectors(table, embedder)
    for number in range(70):  # more than one batch
        assert await stored(table, vectors, str(number), f"fact {number}") == "the embedder is down"
    assert await vectors.embed_pending() == 0
    embedder.works = True
    assert await vectors.embed_pending() == 70
    assert (await table.upkeep.stats()).pending_embeddings == 0
    [found] = await table.find(filters.equals("memory_id", "7"), with_vectors=True)
    [again] = await embedder.embed_documents(["fact 7"])
    assert found.vector
    assert max(abs(one - other) for one, other in zip(found.vector, again, strict=True)) < 1e-6


async def test_a_query_while_the_embedder_is_down_says_so(table: MemoryTable) -> None:
    embedder = MoodyEmbedder(HashingEmbedder())
    vectors = Vectors(table, embedder)
    await stored(table, vectors, "1", "green tea")
    embedder.works = False
    assert (await vectors.of_query("tea", 0)).problem == "the embedder is down"


async def test_a_repeated_query_is_embedded_once(table: MemoryTable) -> None:
    embedder = MoodyEmbedder(HashingEmbedder())
    vectors = Vectors(table, embedder)
    await stored(table, vectors, "1", "green tea")
    first, second = await vectors.of_query("tea", 0), await vectors.of_query("tea", 0)
    assert first == second
    assert embedder.queries == 1
    for number in range(100):
        await vectors.of_query(f"query {number}", 0)
    await vectors.of_query("tea", 0)
    assert embedder.queries == 102  # the cache is small: the first query has left it


async def test_without_an_embedder_nothing_is_embedded_and_nothing_is_wrong(table: MemoryTable) -> None:
    vectors = Vectors(table, None)
    assert await stored(table, vectors, "1", "green tea") == ""
    assert (await vectors.of_query("tea", 0)).problem == ""
    assert await vectors.embed_pending() == 0
    assert await table.fingerprint() is None


async def test_a_store_made_without_an_embedder_takes_the_vectors_of_the_first_one(table: MemoryTable) -> None:
    await stored(table, Vectors(table, None), "1", "green tea")
    embedder = HashingEmbedder(16)
    assert await Vectors(table, embedder).embed_pending() == 1
    assert await table.fingerprint() == await embedder.fingerprint()


def test_provider_errors_are_one_family() -> None:
    assert issubclass(ProviderUnavailableError, ProviderError)


async def test_two_models_started_at_once_leave_vectors_of_one(table: MemoryTable, tmp_path: Path) -> None:
    second = await MemoryTable.open(table.folder)
    one, other = Vectors(table, HashingEmbedder(16)), Vectors(second, HashingEmbedder(32))
    embedded_one, embedded_other = await one.of_documents(["a"]), await other.of_documents(["b"])
    async with table.writing():
        assert (await one.admit(embedded_one)).problem == ""
    async with second.writing():
        assert "can't be mixed" in (await other.admit(embedded_other)).problem
    second.close()


async def test_a_server_with_another_model_embeds_nothing_it_can_not_store(table: MemoryTable) -> None:
    await stored(table, Vectors(table, HashingEmbedder(16)), "1", "green tea")
    await stored(table, Vectors(table, None), "2", "black tea")
    embedder = MoodyEmbedder(HashingEmbedder(32))
    assert await Vectors(table, embedder).embed_pending() == 0
    assert embedder.documents == 0


async def test_a_text_that_the_model_refuses_keeps_no_other_waiting(table: MemoryTable) -> None:
    without = Vectors(table, None)
    for number in range(5):
        await stored(table, without, str(number), "refused" if number == 2 else f"fact {number}")
    assert await Vectors(table, MoodyEmbedder(HashingEmbedder())).embed_pending() == 4
    assert (await table.upkeep.stats()).pending_embeddings == 1


async def test_an_embedder_that_is_down_is_not_asked_again_by_every_call(table: MemoryTable) -> None:
    embedder = MoodyEmbedder(HashingEmbedder())
    vectors = Vectors(table, embedder)
    await stored(table, vectors, "1", "green tea")
    asked = embedder.checks
    embedder.works = False
    for number in range(3):
        assert (await vectors.of_query("tea", 0)).problem == "the embedder is down"
        assert await stored(table, vectors, f"late {number}", "black tea") == "the embedder is down"
    assert embedder.checks == asked + 1
    embedder.works = True
    assert await vectors.embed_pending() == 3  # maintenance asks all the same, and ends the rest
    assert (await vectors.of_query("tea", 0)).problem == ""


async def test_once_nothing_is_pending_only_what_is_new_is_looked_at(table: MemoryTable) -> None:
    class Counted(MemoryTable):
        finds = 0

        async def find(self, *arguments: Any, **options: Any) -> list[Memory]:
            self.finds += 1
            return await super().find(*arguments, **options)

    counted = Counted(table.handle)
    vectors = Vectors(counted, HashingEmbedder())
    assert await vectors.embed_pending() == 0
    looked = counted.finds
    assert await vectors.embed_pending() == 0
    embedded = (await HashingEmbedder().embed_documents(["has one"]))[0]
    async with table.writing():
        await table.adopt(await HashingEmbedder().fingerprint())
    await table.insert([memory("m1", "has one", vector=embedded)])
    assert await vectors.embed_pending() == 0
    assert counted.finds == looked
    await table.insert([memory("m2", "has none")])
    assert await vectors.embed_pending() == 1
    assert await vectors.embed_pending() == 0
