"""The use cases: what happens when somebody adds, searches, updates, deletes or lists. One way to do each thing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import anyio

from store import filters
from store.clock import Clock
from store.embedders.base import Embedder
from store.errors import InvalidRequestError, NotFoundError, OvertakenError, StoreError, is_conflict
from store.filters import Order, Selection, all_of, equals, one_of
from store.ids import IdSource
from store.models import Memory, Scope, Source, Vector
from store.reranker import Reranker
from store.search import DEFAULT_MIN_SCORE
from store.together import together
from store.vectors import Vectors
from tools import notes, paging, versions
from tools.adding import ATTEMPTS, Adding
from tools.keeping import Keeping
from tools.outcomes import (
    AddOutcome,
    Change,
    DeleteOutcome,
    Draft,
    Maintenance,
    Page,
    SearchOutcome,
    Stats,
    UpdateOutcome,
)
from tools.quota import NO_QUOTA, Quota, QuotaKeeper
from tools.recall import EVERYTHING, IMPORTANT_FIRST, SIMILAR_COUNT, Recall
from tools.times import written

if TYPE_CHECKING:
    from store.table import MemoryTable

T = TypeVar("T")

COMMITS_UNTIL_MAINTENANCE = 32
"""As many as are merged, see `store.upkeep.MANY_FRAGMENTS`."""


class Memories:
    """Every use case on one store. Safe for any number of tasks; other processes may use the same store.

    All methods raise `StoreError` when the store can't be read or written.
    """

    def __init__(
        self,
        table: "MemoryTable",
        embedder: Embedder | None,
        *,
        clock: Clock,
        new_id: IdSource,
        min_score: float = DEFAULT_MIN_SCORE,
        half_life_days: float = 0.0,
        reranker: Reranker | None = None,
        quota: Quota = NO_QUOTA,
    ) -> None:
        self._table = table
        self._quota = QuotaKeeper(table, quota)
        self._vectors = Vectors(table, embedder)
        self.keeping = Keeping(table, clock)
        self._embedder_name = embedder.name if embedder else "none"
        self._clock = clock
        self._commits = 0
        self._adding = Adding(table, self._vectors, self._quota, clock=clock, new_id=new_id, on_commit=self._committed)
        self._recall = Recall(
            table,
            self._vectors,
            clock,
            min_score=min_score,
            half_life_days=half_life_days,
            reranker=reranker,
            on_wanted=lambda: self.maintenance_due.set(),
        )
        self._last_maintenance = Maintenance()
        self.maintenance_due = anyio.Event()

    def close(self) -> None:
        """Release the store. Every acknowledged change is committed already."""
        self._table.close()

    # Adding

    async def add(self, drafts: Sequence[Draft], scope: Scope, source: Source) -> AddOutcome:
        """Store facts; one that is there already, in the same words and the same place, is left as it is."""
        embedded = await self._vectors.of_documents([draft.content for draft in drafts])
        comparable = await self._vectors.comparable(embedded)

        # Side by side: what is close to a statement does not decide whether it is stored.
        (similar, problem), (admitted, added) = await together(
            lambda: self._recall.neighbours(drafts, comparable, scope),
            lambda: self._adding.add(drafts, embedded, scope, source),
        )
        own = {one.memory.memory_id for one in added if one.event == "ADD"}
        return AddOutcome(
            tuple(
                replace(
                    one,
                    similar=tuple(hit for hit in hits if hit.memory.memory_id not in {*own, one.memory.memory_id})[
                        :SIMILAR_COUNT
                    ],
                )
                for one, hits in zip(added, similar, strict=True)
            ),
            (
                *notes.without_vector(admitted.problem),
                *notes.left_as_they_are(drafts, added),
                *notes.without_neighbours(problem),
            ),
        )

    # Searching

    async def search(
        self,
        query: str,
        scope: Scope,
        *,
        selection: Selection = EVERYTHING,
        as_of: datetime | None = None,
        limit: int = 10,
        min_score: float | None = None,
    ) -> SearchOutcome:
        """Return what is relevant to a question, best first, see `Recall.search`."""
        return await self._recall.search(
            query, scope, selection=selection, as_of=as_of, limit=limit, min_score=min_score
        )

    # Changing

    async def update(
        self, memory_id: str, change: Change, scope: Scope, source: Source, *, expected_version: int = 0
    ) -> UpdateOutcome:
        """Store the next version of a memory; the one before stays in its history.

        Args:
            memory_id: Which memory.
            change: What is to differ.
            scope: Whose memory.
            source: Who changes it.
            expected_version: The version that the change is based on; 0 for whatever is current.

        Raises:
            NotFoundError: The user has no such memory, or it is deleted.
            InvalidRequestError: The change asks for nothing.
            ConflictError: Another version than the expected one is current; the message has its text.
        """
        if change == Change():
            raise InvalidRequestError(
                "Nothing to update: pass what should differ (content, tags, ...), clear, or restore_version."
            )
        embedded = await self._vectors.of_documents([change.content] if change.content else [])

        def next_version(old: Memory) -> Memory:
            if old.deleted_at:
                raise NotFoundError(
                    f"{memory_id} is deleted. Bring it back first: update_memory with "
                    f"memory_id={memory_id!r} and restore_version={old.version - 1}."
                )
            if expected_version not in (0, old.version):
                raise notes.changed_meanwhile(old, expected_version)
            return versions.changed_version(old, change, source, self._clock())

        async def change_it() -> UpdateOutcome:
            admitted = await self._vectors.admit(embedded)
            outcome = await self._supersede(memory_id, scope, next_version, *admitted.vectors)
            return replace(outcome, notes=notes.without_vector(admitted.problem))

        return await self._reading_and_writing(change_it)

    async def restore(self, memory_id: str, version: int, scope: Scope, source: Source) -> UpdateOutcome:
        """Store what an earlier version said as the next version; undoes a deletion too.

        Raises:
            NotFoundError: The user has no such memory, or it has no such version to go back to.
        """

        async def bring_back() -> UpdateOutcome:
            history = await self.history(memory_id, scope, with_vectors=True)
            wanted = [one for one in history if one.version == version and not one.deleted_at]
            if not wanted:
                valid = ", ".join(str(one.version) for one in history if not one.deleted_at)
                raise NotFoundError(f"{memory_id} has no version {version} to restore; valid are {valid}.")
            return await self._supersede(
                memory_id,
                scope,
                lambda old: versions.restored_version(old, wanted[0], source, self._clock()),
            )

        return await self._reading_and_writing(bring_back)

    async def _reading_and_writing(self, change: Callable[[], Awaitable[T]]) -> T:
        """Do what reads and then writes, and begin anew if a writer was quicker whom no lock holds off."""
        for attempt in range(ATTEMPTS):
            try:
                async with self._table.writing():
                    return await change()
            except (OvertakenError, StoreError) as error:
                overtaken = isinstance(error, OvertakenError) or (self._table.is_shared and is_conflict(error))
                if attempt == ATTEMPTS - 1 or not overtaken:
                    raise
        raise AssertionError  # the last attempt returns or raises

    async def _supersede(
        self,
        memory_id: str,
        scope: Scope,
        next_version: Callable[[Memory], Memory],
        vector: Vector | None = None,
    ) -> UpdateOutcome:
        """Commit the next version, unless it says the same as the current one. Call it under the write lock."""
        mine = all_of(filters.current(), equals("memory_id", memory_id), filters.readable(scope))
        found = await self._table.find(mine, with_vectors=True)
        if not found:
            raise notes.unknown(memory_id)
        old = found[0]
        new = next_version(old)
        if new.vector is None:
            new = replace(new, vector=vector)
        changed = versions.differences(old, new)
        if not changed:
            await self._table.settle()
            return UpdateOutcome(old, ())
        await self._quota.admit([new], more=1 if old.deleted_at else 0)
        try:
            await self._table.supersede([(old, new)])
        except OvertakenError as error:
            if memory_id not in error.made:
                raise
        self._committed()
        return UpdateOutcome(new, changed)

    async def delete(
        self, memory_ids: Sequence[str], scope: Scope, source: Source, *, reason: str = ""
    ) -> DeleteOutcome:
        """Mark memories as deleted, all in one commit. `restore` brings each of them back.

        Raises:
            NotFoundError: The user has none of these memories.
        """
        wanted = list(dict.fromkeys(memory_ids))
        gone: dict[str, Memory] = {}

        async def delete_them() -> None:
            mine = all_of(filters.current(), "deleted_at IS NULL", filters.readable(scope))
            left = [one for one in wanted if one not in gone]
            found = await self._table.find(all_of(mine, one_of("memory_id", left)), with_vectors=True) if left else []
            if not found:
                return
            now = self._clock()
            changes = {old.memory_id: (old, versions.deleted_version(old, reason, source, now)) for old in found}
            try:
                await self._table.supersede(changes.values())
            except OvertakenError as error:
                gone.update({one: changes[one][1] for one in error.made})
                raise
            gone.update({one: new for one, (_, new) in changes.items()})
            self._committed()

        await self._reading_and_writing(delete_them)
        if not gone:
            raise notes.unknown(", ".join(wanted))
        return DeleteOutcome(tuple(gone.values()), tuple(one for one in wanted if one not in gone))

    # Reading

    async def page(
        self,
        scope: Scope,
        *,
        selection: Selection = EVERYTHING,
        sort: paging.Sort = "newest",
        limit: int = 20,
        cursor: str = "",
        include_deleted: bool = False,
    ) -> Page:
        """Return one page of the memories that match. `include_deleted` adds deleted and expired ones."""
        matching = all_of(
            all_of(filters.current(), filters.readable(scope))
            if include_deleted
            else filters.visible(scope, self._clock()),
            selection.predicate(),
        )
        rest = all_of(matching, paging.remainder(cursor, sort, scope.user_id))
        found, total = await together(
            lambda: self._table.find(rest, order=[paging.order_of(sort)], limit=limit + 1),
            lambda: self._table.count(matching),
        )
        shown = tuple(found[:limit])
        return Page(
            shown,
            total=total,
            next_cursor=paging.cursor_after(shown[-1], sort) if len(found) > limit else "",
        )

    async def history(
        self, memory_id: str, scope: Scope, *, limit: int | None = None, with_vectors: bool = False
    ) -> list[Memory]:
        """Return versions of one memory, newest first; the number of the first one says how many there are.

        Raises:
            NotFoundError: The user has no such memory.
        """
        found = await self._table.find(
            all_of(equals("memory_id", memory_id), filters.readable(scope)),
            order=[Order("version", descending=True)],
            limit=limit,
            with_vectors=with_vectors,
        )
        if not found:
            raise notes.unknown(memory_id)
        return found

    async def version_before(self, memory_id: str, scope: Scope) -> int:
        """Return the version that an undo brings back: the newest that is neither the current one nor a deletion.

        Raises:
            NotFoundError: The user has no such memory, or it never said anything else.
        """
        current, *earlier = await self.history(memory_id, scope)
        for one in earlier:
            if not one.deleted_at:
                return one.version
        raise NotFoundError(f"{memory_id} has only version {current.version}: there is nothing to go back to.")

    async def profile(self, scope: Scope, limit: int = 100) -> list[Memory]:
        """Return what is always worth knowing of a user: pinned memories first, then profile and preferences."""
        standing = filters.any_of("pinned", one_of("type", ("profile", "preference")))
        return await self._table.find(
            all_of(filters.visible(scope, self._clock()), standing),
            order=[Order("pinned", descending=True), *IMPORTANT_FIRST],
            limit=limit,
        )

    async def stats(self) -> Stats:
        """Return the state of the store, of all users."""
        return Stats(await self._table.upkeep.stats(), self._embedder_name, self._last_maintenance, self._table.address)

    # Maintenance, off the request path

    def _committed(self) -> None:
        self._commits += 1
        if self._commits >= COMMITS_UNTIL_MAINTENANCE:
            self.maintenance_due.set()

    async def maintain(self) -> Maintenance:
        """Embed what has no vector yet, and keep the table's files few and its indexes up to date.

        A failure is kept for `stats` and told in the result; the next maintenance tries again.
        """
        upkeep = self._table.upkeep
        commits, self._commits = self._commits, 0
        self.maintenance_due = anyio.Event()
        try:
            await self._recall.read_ahead()
            embedded = await self._vectors.embed_pending()
            # Whoever made them: many short sessions leave as many fragments as a long one.
            files = await upkeep.keep_up()
            self._last_maintenance = Maintenance(embedded, files)
            if files not in ("busy", "overtaken"):
                upkeep.note_success()
        except StoreError as error:
            self._commits += commits
            self._last_maintenance = Maintenance(problem=str(error))
            upkeep.note_failure(str(error), written(self._clock()))
        return self._last_maintenance
