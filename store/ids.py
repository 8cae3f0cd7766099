"""Memory ids: short, opaque, ordered by the time they were made."""

import secrets
import threading
import time
from collections.abc import Callable

IdSource = Callable[[], str]

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o or u, so that an id survives being read aloud or retyped."""

LENGTH = 12
_RANDOM_BITS = 19
_EPOCH_MS = 1_704_067_200_000  # 2024-01-01; 41 bits of milliseconds last until 2093


class TimeOrderedIds:
    """Ids of 41 bits of milliseconds and 19 random bits, in 12 characters.

    Strictly increasing within a process, also when the clock steps back. Two processes collide once in 524,288
    pairs made within the same millisecond, so whoever inserts checks for that under the write lock.
    """

    def __init__(self, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        """Return the next id."""
        with self._lock:
            fresh = ((self._clock_ms() - _EPOCH_MS) << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
            self._last = max(fresh, self._last + 1)
            return _encode(self._last)


def _encode(number: int) -> str:
    digits: list[str] = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
