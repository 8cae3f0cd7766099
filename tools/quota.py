"""How much one user may store, where whoever runs the server has set a limit."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import InvalidRequestError
from store.filters import all_of, current, equals
from store.models import Memory

if TYPE_CHECKING:
    from store.table import MemoryTable

REMEMBERED_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user may have; 0 for any amount.

    Attributes:
        memories: Memories that are current and not deleted.
        bytes: UTF-8 bytes of content and metadata, of all versions: what they take on the disk.
    """

    memories: int = 0
    bytes: int = 0


NO_QUOTA = Quota()


class QuotaKeeper:
    """Refuses what would go beyond a quota."""

    def __init__(self, table: "MemoryTable", quota: Quota) -> None:
        self._table = table
        self._quota = quota
        self._counted: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def admit(self, new: Sequence[Memory], *, more: int) -> None:
        """Return if these versions, of one user, may be stored. Call it under `writing()`.

        Args:
            new: The versions.
            more: By how many memories the user has more then.

        Raises:
            InvalidRequestError: They may not; nothing was stored.
        """
        if not new:
            return
        user, quota = new[0].user_id, self._quota
        if quota.memories and more:
            mine = all_of(current(), "deleted_at IS NULL", equals("user_id", user))
            have = await self._table.count(mine)
            if have + more > quota.memories:
                raise InvalidRequestError(
                    f"You have {have:,} memories of the {quota.memories:,} that you may have here; this would add "
                    f"{more}. Nothing was stored. Delete some that are outdated (delete_memory), or update one instead."
                )
        if quota.bytes:
            have, more_bytes = await self._bytes(user), sum(map(_size, new))
            if have + more_bytes > quota.bytes:
                raise InvalidRequestError(
                    f"Your memories, earlier versions included, take {have:,} bytes of the {quota.bytes:,} that they "
                    f"may take here; this would add {more_bytes:,}. Nothing was stored. Whoever runs this server can "
                    "erase some for good (souvenir purge) or raise the limit."
                )

    async def _bytes(self, user: str) -> int:
        """Return the bytes of a user's texts; of what was counted before, only the commits since then are read."""
        version, counted = self._counted.pop(user, (-1, 0))
        version, total = await self._table.bytes_since(version, counted, equals("user_id", user))
        self._counted[user] = version, total
        if len(self._counted) > REMEMBERED_USERS:
            self._counted.popitem(last=False)
        return total


def _size(memory: Memory) -> int:
    return len(memory.content.encode()) + len(json.dumps(memory.metadata, ensure_ascii=False).encode())
