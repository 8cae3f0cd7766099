"""The clock that is passed in wherever time matters, so that tests can turn it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present, aware and in UTC."""
    return datetime.now(UTC)
