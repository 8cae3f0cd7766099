"""Vectors of one model only: between the embedder and the table, and what happens when either has none to give."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from store import filters
from store.embedders.base import Embedder
from store.errors import ProviderError, ProviderOutputError, StoreError, is_conflict
from store.filters import after, one_of
from store.models import Fingerprint, Memory, Vector

if TYPE_CHECKING:
    from store.table import MemoryTable

_CACHED_QUERIES = 64
_PENDING_BATCH = 64
_MOST_NEW = 1_000

REST_SECONDS = 30.0
"""How long an embedder that is down is not asked by calls, each of which would wait for its time limit; maintenance
asks it all the same, and a success ends the rest."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What came of embedding some texts.

    Attributes:
        vectors: One for each text, None where there is none to store or to search with.
        problem: Why there is none, empty if all is well or full text alone was chosen.
        fingerprint: Which model made the vectors.
        refused: The embedder works, but takes one of these texts for what it can't embed.
    """

    vectors: tuple[Vector | None, ...]
    problem: str = ""
    fingerprint: Fingerprint | None = None
    refused: bool = False

    def without_vectors(self, problem: str = "") -> "Embedded":
        """Return the same texts without vectors, and why."""
        return Embedded((None,) * len(self.vectors), problem)


ATTEMPTS = 10
"""Of fixing whose vectors a table holds, while other servers do so too."""


class Vectors:
    """Embeds for one table and never mixes two models in it.

    An embedder that fails, or that is another than the table's, costs the vectors and nothing else: memories are
    stored and found by full text, and what has no vector gets one later (`embed_pending`).
    """

    def __init__(self, table: "MemoryTable", embedder: Embedder | None) -> None:
        self._table = table
        self._embedder = embedder
        self._queries: OrderedDict[str, Vector] = OrderedDict()
        self._stored: Fingerprint | None = None
        self._stored_at = -1
        self._none_pending_at: int | None = None
        self._rest_until = 0.0
        self._last_problem = ""

    async def of_query(self, text: str, version: int) -> Embedded:
        """Return the vector to search this table by, as of the table's newest commit."""
        if self._embedder is None:
            return Embedded((None,))
        if self._rests():
            return Embedded((None,), self._last_problem)
        try:
            if version != self._stored_at:
                self._stored, self._stored_at = await self._table.fingerprint(), version
            stored = self._stored
            if stored is None:  # no vector in the table yet: nothing to compare with
                return Embedded((None,))
            own = await self._embedder.fingerprint()
            if own != stored:
                return Embedded((None,), _mismatch(own, stored))
            return Embedded((await self._cached(text),), fingerprint=own)
        except ProviderError as error:
            self._rest(error)
            return Embedded((None,), str(error))

    async def of_documents(self, texts: Sequence[str]) -> Embedded:
        """Return vectors to store. Whether this table may take them is for `admit` to say."""
        nothing = Embedded((None,) * len(texts))
        if self._embedder is None or not texts:
            return nothing
        if self._rests():
            return nothing.without_vectors(self._last_problem)
        return await self._embedded(self._embedder, texts)

    async def _embedded(self, embedder: Embedder, texts: Sequence[str]) -> Embedded:
        nothing = Embedded((None,) * len(texts))
        try:
            own = await embedder.fingerprint()
            vectors = await embedder.embed_documents(texts)
        except ProviderOutputError as error:
            return replace(nothing, problem=str(error), refused=True)
        except ProviderError as error:
            self._rest(error)
            return nothing.without_vectors(str(error))
        self._rest_until = 0.0
        return Embedded(tuple(vectors), fingerprint=own)

    async def comparable(self, embedded: Embedded) -> Embedded:
        """Return the vectors if the table's own can be compared with them."""
        same = embedded.fingerprint is not None and embedded.fingerprint == await self._table.fingerprint()
        return embedded if same else embedded.without_vectors()

    async def admit(self, embedded: Embedded) -> Embedded:
        """Return the vectors if they may go into the table. Call it under `writing()`.

        The first ever settle whose vectors the table holds; later ones of another model are left out.
        """
        if embedded.fingerprint is None:
            return embedded
        stored = await self._table.fingerprint() or await self._adopted(embedded.fingerprint)
        if stored != embedded.fingerprint:
            return embedded.without_vectors(_mismatch(embedded.fingerprint, stored))
        return embedded

    async def _adopted(self, own: Fingerprint) -> Fingerprint:
        """Settle that the table holds vectors of this model, or of that of another server which was quicker."""
        for attempt in range(ATTEMPTS):
            try:
                await self._table.adopt(own)
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not (self._table.is_shared and is_conflict(error)):
                    raise
                await anyio.sleep(0.05 * attempt)
            else:
                break
        return await self._table.fingerprint() or own

    async def embed_pending(self) -> int:
        """Give vectors to live memories that have none, one batch after the other.

        Returns:
            How many were embedded. It stops without an error where the embedder fails or does not fit, and passes
            over what the embedder refuses.
        """
        done = 0
        last = ""
        version = await self._table.version()
        if await self._nothing_new_is_pending(version):
            return 0
        while pending := await self._table.find(filters.all_of(_PENDING, after(last)), limit=_PENDING_BATCH):
            # Asked before each batch: to embed what then can't be stored costs money with some providers.
            embedder = await self._fitting()
            if embedder is None:
                break
            embedded = await self._embedded(embedder, [memory.content for memory in pending])
            if embedded.fingerprint is None and not embedded.refused:
                break
            if embedded.refused and len(pending) > 1:
                for memory in pending:  # one text that the model does not take must not keep the others waiting
                    done += await self._store([memory], await self._embedded(embedder, [memory.content]))
            else:
                done += await self._store(pending, embedded)
            last = pending[-1].row_id
        if not last and not pending:
            self._none_pending_at = version
        return done

    async def _nothing_new_is_pending(self, version: int) -> bool:
        """Whether all rows have vectors, by what came since they all had: a look at a million takes a second."""
        if self._none_pending_at is None:
            return False
        if version != self._none_pending_at:
            new = await self._table.changed_since(self._none_pending_at, _PENDING, _MOST_NEW)
            if new is None or len(new.visible):
                return False
            self._none_pending_at = version
        return True

    async def _fitting(self) -> Embedder | None:
        """Return the embedder if it works and the table may take its vectors."""
        if self._embedder is None:
            return None
        try:
            fits = await self._table.fingerprint() in (None, await self._embedder.fingerprint())
        except ProviderError:
            return None
        return self._embedder if fits else None

    def _rest(self, problem: ProviderError) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        self._last_problem = str(problem)

    def _rests(self) -> bool:
        return time.monotonic() < self._rest_until

    async def _store(self, pending: Sequence[Memory], embedded: Embedded) -> int:
        if embedded.fingerprint is None:
            return 0
        async with self._table.writing():
            admitted = await self.admit(embedded)
            vectors = {
                memory.row_id: vector
                for memory, vector in zip(pending, admitted.vectors, strict=True)
                if vector is not None
            }
            # Read again: another process may have changed or embedded some of them meanwhile.
            still = await self._table.find(filters.all_of(_PENDING, one_of("row_id", vectors)))
            if still:
                await self._table.set_vectors([replace(memory, vector=vectors[memory.row_id]) for memory in still])
            return len(still)

    async def _cached(self, text: str) -> Vector:
        assert self._embedder is not None
        if text in self._queries:
            self._queries.move_to_end(text)
        else:
            self._queries[text] = await self._embedder.embed_query(text)
            if len(self._queries) > _CACHED_QUERIES:
                self._queries.popitem(last=False)
        return self._queries[text]


_PENDING = filters.all_of(filters.current(), "deleted_at IS NULL", "vector IS NULL")


def _mismatch(own: Fingerprint, stored: Fingerprint) -> str:
    return (
        f"This store's vectors were made by {stored}, this server is set to {own}, and vectors of two models can't "
        "be mixed. Set SOUVENIR_EMBEDDER back to the model of the store to search by meaning again, or move the store "
        "to the other one: souvenir reembed --embedder ..."
    )
