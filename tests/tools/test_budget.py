import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.budget import ENTRY_TOKENS, Shortened, fit, tokens

texts = st.lists(st.text(max_size=200) | st.text("ab ", min_size=1_000, max_size=4_000), max_size=8)


@given(texts)
def test_texts_together_stay_within_the_budget(given_texts: list[str]) -> None:
    fitted = fit(given_texts, 1_000)
    minimum = 25 * len(given_texts)  # each keeps a few words, and the marks of the cut
    assert sum(tokens(one.text) for one in fitted) <= max(1_000 - ENTRY_TOKENS * len(fitted), 0) + minimum


@given(st.lists(st.text(max_size=50), max_size=5))
def test_short_texts_stay_whole(given_texts: list[str]) -> None:
    assert fit(given_texts, 2_000) == [Shortened(text) for text in given_texts]


def test_what_short_texts_leave_goes_to_the_long_ones() -> None:
    short, long = fit(["short", "word " * 500], 500)
    assert not short.shortened
    assert tokens(long.text) > 300


def test_a_window_shows_what_matched_and_where_it_was_cut() -> None:
    text = "a " * 2_000 + "needle" + " z" * 2_000
    [shown] = fit([text], 200, query="Where is the NEEDLE?")
    assert shown.shortened
    assert "needle" in shown.text
    assert shown.text.startswith("…")
    assert shown.text.endswith("…")
    assert tokens(shown.text) <= 160


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("What does the doctor say of hiking?", "hiked up to the hut"),
        ("What is the doctor called?", "Doctor Weber"),
        ("山の天気", "山の天気は晴れ"),
    ],
)
def test_the_window_is_where_the_words_that_tell_something_are(query: str, seen: str) -> None:
    filler = "the what is of a does " * 150
    text = f"{filler}we hiked up to the hut {filler} Doctor Weber {filler} 山の天気は晴れ {filler}"
    [shown] = fit([text], 200, query=query)
    assert seen in shown.text


def test_the_window_shows_most_of_the_words_at_once() -> None:
    text = "tea " + "x " * 2_000 + "green tea from Kyoto " + "y " * 2_000
    [shown] = fit([text], 200, query="green tea from Kyoto")
    assert "green tea from Kyoto" in shown.text


def test_other_scripts_cost_a_token_a_character() -> None:
    assert tokens("word" * 10) == 10
    assert tokens("住在北京") == 4
