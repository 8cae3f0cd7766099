"""How often somebody may do something."""

import time
from collections import OrderedDict

REMEMBERED_CALLERS = 10_000


class Allowance:
    """How many calls each user has left: as many as a minute brings, which come back evenly.

    Args:
        a_minute: How many; 0 for any number.
    """

    def __init__(self, a_minute: int) -> None:
        self.a_minute = a_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, user: str, now: float | None = None) -> float:
        """Return 0 and count a call; or in how many seconds there will be one left, at least 1."""
        if not self.a_minute:
            return 0.0
        now = time.monotonic() if now is None else now
        left, at = self._left.pop(user, (float(self.a_minute), now))
        left = min(float(self.a_minute), left + (now - at) * self.a_minute / 60)
        self._left[user] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else max(1.0, (1 - left) * 60 / self.a_minute)
