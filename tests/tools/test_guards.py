import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidRequestError
from tools import guards


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_content_is_kept_to_the_letter_but_for_white_space_around_it(text: str) -> None:
    if text.strip():
        assert guards.content(text) == text.strip()


@pytest.mark.parametrize("text", ["x", "x" * 32_000, "nul \x00 inside", "🧠" * 32_000])
def test_content_up_to_the_limit_is_accepted(text: str) -> None:
    assert guards.content(text) == text


@pytest.mark.parametrize(
    "other",
    ["USER LIKES TEA", "User likes tea.", "  User \n likes\ttea ", "User\u00a0likes tea"],
)
def test_case_white_space_width_and_a_full_stop_make_no_other_fact(other: str) -> None:
    assert guards.content_hash(other) == guards.content_hash("User likes tea")


@pytest.mark.parametrize(
    "other", ["User likes teas", "User does not like tea", "User likes tea?", "Userlikes tea", "User likes te\u00aa"]
)
def test_any_other_difference_makes_another_fact(other: str) -> None:
    assert guards.content_hash(other) != guards.content_hash("User likes tea")


def test_tags_are_trimmed_and_counted_once() -> None:
    assert guards.tags([" a ", "b", "a"]) == ("a", "b")
    assert len(guards.tags([str(number) for number in range(32)])) == 32


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_fraction_is_between_0_and_1(value: float) -> None:
    with pytest.raises(InvalidRequestError, match="goes from 0 to 1"):
        guards.fraction("importance", value)


@pytest.mark.parametrize("values", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}])
def test_metadata_that_is_no_json_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match="metadata"):
        guards.metadata(values)


def test_metadata_nested_beyond_twenty_levels_is_refused() -> None:
    nested: dict[str, object] = {}
    for _ in range(21):
        nested = {"a": nested}
    with pytest.raises(InvalidRequestError, match="metadata"):
        guards.metadata(nested)


def test_an_unknown_type_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(InvalidRequestError, match="type is 'facts'; valid are fact, preference"):
        guards.types(["facts"])
