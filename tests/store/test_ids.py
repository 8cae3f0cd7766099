from hypothesis import given
from hypothesis import strategies as st

from store.ids import ALPHABET, LENGTH, TimeOrderedIds

MAY_2026 = 1_778_000_000_000


def test_an_id_is_twelve_characters_of_the_alphabet() -> None:
    made = TimeOrderedIds()()
    assert len(made) == LENGTH == 12
    assert set(made) <= set(ALPHABET)


@given(st.lists(st.integers(min_value=MAY_2026, max_value=MAY_2026 + 10**11), min_size=2, max_size=50))
def test_ids_increase_whatever_the_clock_does(readings: list[int]) -> None:
    clock = iter(readings)
    ids = TimeOrderedIds(lambda: next(clock))
    made = [ids() for _ in readings]
    assert made == sorted(set(made))


def test_ids_of_two_processes_in_different_milliseconds_are_in_order() -> None:
    earlier, later = TimeOrderedIds(lambda: MAY_2026), TimeOrderedIds(lambda: MAY_2026 + 1)
    assert earlier() < later()
