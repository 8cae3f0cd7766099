"""New memories on their way into the table: what many callers want stored at the same time goes in one commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from store.clock import Clock
from store.errors import InvalidRequestError, StoreError, is_conflict
from store.filters import all_of, any_of, live, live_in, one_of
from store.ids import IdSource
from store.models import Memory, Scope, Source
from store.vectors import Embedded, Vectors
from tools import versions
from tools.guards import content_hash
from tools.outcomes import Added, Draft
from tools.quota import QuotaKeeper

if TYPE_CHECKING:
    from store.table import MemoryTable

MOST_AT_ONCE = 64
"""Calls whose statements go into one commit, each of up to a hundred statements."""

ATTEMPTS = 20
"""Of a commit that other servers are quicker with, each time."""


@dataclass(slots=True)
class _Call:
    """What one call wants stored, and what came of it."""

    drafts: Sequence[Draft]
    embedded: Embedded
    scope: Scope
    source: Source
    added: list[Added] = field(default_factory=list[Added])
    done: bool = False
    error: BaseException | None = None

    @property
    def hashes(self) -> set[str]:
        return {content_hash(draft.content) for draft in self.drafts}


class Adding:
    """Stores what is new, and recognises what is there already.

    A commit takes as long with one memory as with a hundred, and only one is made at a time: while one is being made,
    other calls queue up, and the next commit takes them all (benchmarks/load.py).

    Args:
        table: Where to.
        vectors: Sees to it that the table holds vectors of one model only.
        quota: Refuses what is too much.
        clock: The present time.
        new_id: Makes ids.
        on_commit: Called after each commit.
    """

    def __init__(
        self,
        table: "MemoryTable",
        vectors: Vectors,
        quota: QuotaKeeper,
        *,
        clock: Clock,
        new_id: IdSource,
        on_commit: Callable[[], None],
    ) -> None:
        self._table = table
        self._vectors = vectors
        self._quota = quota
        self._clock = clock
        self._new_id = new_id
        self._on_commit = on_commit
        self._waiting: list[_Call] = []
        self._turn = anyio.Lock()

    async def add(
        self, drafts: Sequence[Draft], embedded: Embedded, scope: Scope, source: Source
    ) -> tuple[Embedded, list[Added]]:
        """Store statements with their vectors; return the vectors that went in, and what came of each statement.

        Raises:
            InvalidRequestError: It is more than the user may store.
            StoreError: Nothing was acknowledged.
        """
        call = _Call(drafts, embedded, scope, source)
        self._waiting.append(call)
        try:
            async with self._turn:
                if not call.done:
                    async with self._table.writing():  # what is inside is not cancelled
                        await self._store_those_waiting()
        finally:
            if call in self._waiting:  # cancelled before its turn
                self._waiting.remove(call)
        if call.error:
            raise call.error
        return call.embedded, call.added

    async def _store_those_waiting(self) -> None:
        """Store what waits, in the order it came. Call it under `writing()`."""
        calls, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        try:
            try:
                await self._store_again_if_overtaken(calls)
            except StoreError:
                if len(calls) == 1:
                    raise
                # It may be for what one of them wants stored; the others must not suffer for it.
                for call in calls:
                    try:
                        await self._store_again_if_overtaken([call])
                    except StoreError as error:
                        call.error = error
        except BaseException as error:
            for call in calls:
                call.error = call.error or error
            raise
        finally:
            for call in calls:
                call.done = True

    async def _store_again_if_overtaken(self, calls: Sequence[_Call]) -> None:
        """Store what calls want; on a shared store a commit gives way to others, and is made again then."""
        for attempt in range(ATTEMPTS):
            try:
                await self._store(calls)
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not (self._table.is_shared and is_conflict(error)):
                    raise
            else:
                return

    async def _store(self, calls: Sequence[_Call]) -> None:
        for call in calls:
            call.added, call.error = [], None
        ids = [[self._new_id() for _ in call.drafts] for call in calls]
        hashes = set[str]().union(*(call.hashes for call in calls))
        # Most often neither is there: one question for both, and for all calls.
        taken = any_of(one_of("content_hash", hashes), one_of("memory_id", [one for some in ids for one in some]))
        some_are_there = bool(await self._table.count(taken))
        fresh: list[Memory] = []
        for call, own_ids in zip(calls, ids, strict=True):
            call.embedded = await self._vectors.admit(call.embedded)
            known = [memory for memory in fresh if versions.is_in(memory, call.scope)]
            if some_are_there:
                known += await self._known(call)
                own_ids = await self._unused_ids(len(call.drafts))
            new = self._new_of(call, own_ids, known)
            mine = [memory for memory in fresh if memory.user_id == call.scope.user_id]
            try:
                await self._quota.admit([*mine, *new], more=len(mine) + len(new))
            except InvalidRequestError as error:  # this call's, and no other's
                call.error, call.added = error, []
                continue
            fresh += new
        if fresh:
            await self._table.insert(fresh)
            self._on_commit()
            if self._table.is_shared:
                await self._withdraw_repeated(calls, fresh)
        else:
            await self._table.settle()  # "it is there already" is a promise too

    async def _withdraw_repeated(self, calls: Sequence[_Call], fresh: Sequence[Memory]) -> None:
        """Take back what another server stored with an earlier commit, which no lock kept from doing so meanwhile.

        Of two servers that store the same statement at the same time, exactly one comes second, and sees both.
        """
        hashes = {memory.content_hash for memory in fresh}
        alike = await self._table.with_commits(all_of(live(self._clock()), one_of("content_hash", hashes)))
        own = {memory.row_id for memory in fresh}
        commit = min((number for number, memory in alike if memory.row_id in own), default=0)
        earlier = [memory for number, memory in alike if number < commit]
        instead: dict[str, Memory] = {}
        for call in calls:
            known = [memory for memory in earlier if versions.is_in(memory, call.scope)]
            for draft, added in zip(call.drafts, call.added, strict=False):
                same = next((memory for memory in known if versions.says_the_same(memory, draft)), None)
                if same is not None and added.event == "ADD":
                    instead[added.memory.row_id] = same
        for call in calls:
            call.added = [
                Added("NONE", instead[one.memory.row_id]) if one.memory.row_id in instead else one for one in call.added
            ]
        if instead:
            await self._table.withdraw(list(instead))

    async def _known(self, call: _Call) -> list[Memory]:
        now = self._clock()
        alike = await self._table.find(all_of(live_in(call.scope, now), one_of("content_hash", call.hashes)))
        return [memory for memory in alike if memory.run_id == call.scope.run_id]

    def _new_of(self, call: _Call, ids: Sequence[str], known: list[Memory]) -> list[Memory]:
        """Note what comes of each statement of a call, and return the memories that are new."""
        now, known, new = self._clock(), list(known), list[Memory]()
        for draft, vector, memory_id in zip(call.drafts, call.embedded.vectors, ids, strict=True):
            same = next((memory for memory in known if versions.says_the_same(memory, draft)), None)
            if same is None:
                same = versions.first_version(
                    draft, call.scope, call.source, memory_id=memory_id, now=now, vector=vector
                )
                known.append(same)
                new.append(same)
                call.added.append(Added("ADD", same))
            else:
                call.added.append(Added("NONE", same))
        return new

    async def _unused_ids(self, count: int) -> list[str]:
        """Return ids that no other process has used in this millisecond. Call it under the write lock."""
        while True:
            ids = [self._new_id() for _ in range(count)]
            if not await self._table.count(one_of("memory_id", ids)):
                return ids
