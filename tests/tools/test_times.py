from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidRequestError
from tests.builders import NOW
from tools.times import bound, moment, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("2026-05-08", datetime(2026, 5, 8, tzinfo=UTC)),
        ("2026-05-08T14:30:00Z", datetime(2026, 5, 8, 14, 30, tzinfo=UTC)),
        ("2026-05-08T14:30:00+02:00", datetime(2026, 5, 8, 12, 30, tzinfo=UTC)),
        (" 2026-05-08 14:30 ", datetime(2026, 5, 8, 14, 30, tzinfo=UTC)),
        ("20260508", datetime(2026, 5, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_iso_date_or_time(text: str, expected: datetime | None) -> None:
    assert moment("occurred_at", text) == expected


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2 W", timedelta(weeks=2)),
        ("3mo", timedelta(days=90)),
        ("1y", timedelta(days=365)),
    ],
)
def test_an_age_counts_back_from_now(text: str, age: timedelta) -> None:
    assert bound("since", text, NOW) == NOW - age


def test_the_end_of_a_range_includes_its_day() -> None:
    assert bound("until", "2026-05-08", NOW, end=True) == datetime(2026, 5, 9, tzinfo=UTC)
    assert bound("until", "2026-05-08T10:00:00Z", NOW, end=True) == datetime(2026, 5, 8, 10, tzinfo=UTC)


@given(st.text(max_size=30))
def test_any_text_is_a_date_or_refused_in_words(text: str) -> None:
    try:
        bound("since", text, NOW, end=True)
        moment("since", text)
    except InvalidRequestError as error:
        assert "since is" in str(error)


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)))
def test_what_is_written_can_be_read_again(at: datetime) -> None:
    assert moment("at", written(at)) == at.replace(microsecond=0)
