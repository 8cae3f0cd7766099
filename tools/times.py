"""Dates as callers write them: ISO dates and times, and ages such as `7d`."""

import re
from datetime import UTC, datetime, timedelta

from store.errors import InvalidRequestError

_AGE = re.compile(r"(\d{1,6})\s*(h|d|w|mo|y)", re.IGNORECASE)
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "mo": 30.0, "y": 365.0}
_LONGEST = timedelta(days=36_500)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

FORMATS = "an ISO date or time (2026-05-08, 2026-05-08T14:30:00Z)"


def moment(field: str, text: str) -> datetime | None:
    """Return an ISO date or time in UTC, None for an empty text. Without an offset it counts as UTC.

    Raises:
        InvalidRequestError: It is no date.
    """
    if not text.strip():
        return None
    try:
        parsed = datetime.fromisoformat(text.strip())
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequestError(f"{field} is {text[:40]!r}, which is no date. Pass {FORMATS}.") from None


def bound(field: str, text: str, now: datetime, *, end: bool = False) -> datetime | None:
    """Return one end of a range of time: a date, or an age before now (`24h`, `7d`, `2w`, `3mo`, `1y`).

    With `end`, a date without a time includes that whole day.

    Raises:
        InvalidRequestError: It is neither, or lies before the year 1.
    """
    age = _AGE.fullmatch(text.strip())
    try:
        if age:
            return now - _length(age)
        parsed = moment(field, text)
        if parsed and end and _DATE.fullmatch(text.strip()):
            return parsed + timedelta(days=1)
    except InvalidRequestError:
        raise InvalidRequestError(
            f"{field} is {text[:40]!r}, which is no date. Pass {FORMATS} or an age such as 24h, 7d or 3mo."
        ) from None
    except OverflowError:
        raise InvalidRequestError(f"{field} is {text[:40]!r}, which lies too far from now.") from None
    return parsed


def lifetime(field: str, text: str) -> timedelta | None:
    """Return a length of time written like an age (`24h`, `90d`, `2w`, `3mo`, `1y`), None for an empty text.

    Raises:
        InvalidRequestError: It is none, or no time at all.
    """
    age = _AGE.fullmatch(text.strip())
    if not text.strip():
        return None
    length = _length(age) if age else timedelta()
    if not timedelta() < length <= _LONGEST:
        raise InvalidRequestError(
            f"{field} is {text[:40]!r}. Pass a length of time such as 24h, 90d or 1y, up to 100y."
        )
    return length


def _length(age: re.Match[str]) -> timedelta:
    return timedelta(days=int(age[1]) * _DAYS[age[2].lower()])


def written(at: datetime | None) -> str:
    """Return a time as results show it: ISO, to the second, in UTC; empty for None."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
