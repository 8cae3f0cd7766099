"""What concerns the whole store rather than single memories: export, import, purge, backups, another model."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store import filters
from store.clock import Clock
from store.embedders.base import Embedder
from store.errors import InvalidRequestError
from store.filters import Predicate, Selection, all_of, equals, one_of
from store.models import EVERYWHERE, Scope
from store.tables import Kept
from tools.outcomes import ImportOutcome, PurgeOutcome

if TYPE_CHECKING:
    from store.backup import About
    from store.table import MemoryTable


@dataclass(frozen=True, slots=True)
class ToPurge:
    """What a purge would erase: decided first, so that a person can be asked."""

    what: Predicate
    memories: int
    versions: int


class Keeping:
    """The use cases on a whole store. All methods raise `StoreError` when it can't be read or written."""

    def __init__(self, table: "MemoryTable", clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def export(self, user_id: str = "", *, vectors: bool = False) -> AsyncGenerator[str]:
        """Yield the lines of an export of one user's memories, of all users' if empty, see `transfer.exported`."""
        from tools import transfer

        return transfer.exported(self._table, equals("user_id", user_id) if user_id else "", vectors=vectors)

    def markdown(self, scope: Scope) -> AsyncGenerator[str]:
        """Yield what is current in a scope, for reading, see `transfer.markdown`."""
        from tools import transfer

        return transfer.markdown(self._table, filters.visible(scope, self._clock()))

    async def import_lines(self, lines: Iterable[str]) -> ImportOutcome:
        """Store what an export holds, see `transfer.imported`."""
        from tools import transfer

        return await transfer.imported(self._table, lines)

    async def to_purge(
        self,
        scope: Scope,
        *,
        memory_ids: Sequence[str] = (),
        selection: Selection | None = None,
        everything: bool = False,
    ) -> ToPurge:
        """Return what a purge of a user's memories would erase, with all of their versions.

        Args:
            scope: Whose; by a selection those of exactly this project, `*` for all.
            memory_ids: These memories.
            selection: Those that match now, deleted and expired ones too.
            everything: All of the user, wherever they belong.

        Raises:
            InvalidRequestError: Not exactly one of the three was asked for.
        """
        if sum((bool(memory_ids), selection is not None, everything)) != 1:
            raise InvalidRequestError("Name memories, or filters, or everything of a user: one of the three.")
        own = equals("user_id", scope.user_id)
        if everything:
            what = own
        elif memory_ids:
            what = all_of(own, one_of("memory_id", memory_ids))
        else:
            assert selection is not None
            place = "" if scope.project == EVERYWHERE else equals("project", scope.project)
            matching = all_of(filters.current(), own, place, selection.predicate())
            what = all_of(own, one_of("memory_id", sorted(await self._table.memory_ids(matching))))
        return ToPurge(what, len(await self._table.memory_ids(what)), await self._table.count(what))

    async def purge(self, decided: ToPurge) -> PurgeOutcome:
        """Erase for good, bytes included, see `store.erasure`. Backups elsewhere are named and stay."""
        from store import backup  # imports LanceDB, which takes more than a second
        from store.erasure import erase

        versions = await erase(self._table.handle, decided.what)
        left = tuple(str(path) for path in backup.made(self._table.folder))
        return PurgeOutcome(decided.memories, versions, left)

    async def backup(self, file: Path) -> "About":
        """Write the whole store to a new file, see `store.backup`."""
        from store import backup

        return await backup.create(self._table.handle, file)

    async def restore(self, source: str) -> int:
        """Make a backup file, or a kept state, the current state; return how many versions there are now."""
        from store import backup

        return await backup.restore(self._table.handle, source)

    def kept(self) -> Sequence[Kept]:
        """Return the earlier states that are kept, oldest first."""
        return self._table.upkeep.tables().kept

    async def drop(self, name: str) -> None:
        """Remove a kept state."""
        from store import backup

        await backup.drop(self._table.handle, name)

    async def reembed(self, embedder: Embedder, progress: Callable[[int, int], None]) -> int:
        """Move to another embedding model, see `store.reembedding`; return how many versions there are."""
        from store.reembedding import reembed

        return await reembed(self._table.handle, embedder, progress)

    async def repair(self) -> None:
        """Make all indexes anew, and compact."""
        await self._table.upkeep.repair()
