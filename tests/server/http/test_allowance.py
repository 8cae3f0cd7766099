"""How often a user may call."""

from hypothesis import given
from hypothesis import strategies as st

from server.http import allowance as module
from server.http.allowance import Allowance


def test_as_many_calls_as_a_minute_brings_and_they_come_back_evenly() -> None:
    allowance = Allowance(6)
    assert [allowance.wait("alice", 100.0) for _ in range(6)] == [0.0] * 6
    assert allowance.wait("alice", 100.0) == 10.0
    assert allowance.wait("bob", 100.0) == 0.0
    assert allowance.wait("alice", 109.5) == 1.0
    assert allowance.wait("alice", 110.0) == 0.0
    assert allowance.wait("alice", 110.0) > 0
    assert [allowance.wait("alice", 1_000.0) > 0 for _ in range(7)] == [False] * 6 + [True]


def test_no_quota_is_no_limit() -> None:
    assert not any(Allowance(0).wait("alice", 1.0) for _ in range(1_000))


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 50))
def test_never_more_than_twice_a_minutes_calls_in_a_minute(pauses: list[float], a_minute: int) -> None:
    allowance, now = Allowance(a_minute), 0.0
    passed: list[float] = []
    for pause in pauses:
        now += pause
        wait = allowance.wait("alice", now)
        if not wait:
            passed.append(now)
        assert wait == 0 or wait >= 1
    for start in passed:
        assert sum(start <= one < start + 60 for one in passed) <= 2 * a_minute


def test_only_so_many_callers_are_remembered() -> None:
    allowance = Allowance(1)
    for number in range(module.REMEMBERED_CALLERS + 100):
        allowance.wait(f"user {number}", 1.0)
    assert len(allowance._left)  # pyright: ignore[reportPrivateUsage] == module.REMEMBERED_CALLERS
