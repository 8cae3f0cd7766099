import math
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from store.ranking import (
    GRAIN,
    Candidate,
    Ranked,
    closeness,
    coarse,
    coverage,
    in_order,
    lent,
    own_score,
    weigh,
)

cosines = st.none() | st.floats(-1, 1)
scores = st.floats(0, 1)
counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), max_size=6)
all_words = dict.fromkeys("abcdef", 1.0)


def candidate(
    row_id: str = "1",
    cosine: float | None = None,
    words: Mapping[str, int] | None = None,
    *,
    length: int = 20,
    updated_at: int = 0,
) -> Candidate:
    return Candidate(row_id, "", updated_at, cosine, words or {}, length)


@given(cosines, counts, st.integers(0, 10_000))
def test_a_score_is_between_0_and_1(cosine: float | None, words: dict[str, int], length: int) -> None:
    ranked = own_score(candidate("1", cosine, words, length=length), all_words)
    assert 0 <= ranked.score <= 1
    assert 0 <= ranked.meaning <= 1
    assert 0 <= ranked.words <= 1


@given(st.floats(-1, 1), st.floats(0, 2))
def test_a_closer_meaning_never_lowers_a_score(cosine: float, more: float) -> None:
    assert closeness(min(1.0, cosine + more)) >= closeness(cosine)


@given(counts, st.sampled_from("abcdef"))
def test_one_more_of_a_word_never_lowers_a_score(words: dict[str, int], word: str) -> None:
    more = words | {word: words.get(word, 0) + 1}
    assert coverage(candidate(words=more), all_words) >= coverage(candidate(words=words), all_words)


@given(counts)
def test_a_longer_text_with_the_same_words_says_less(words: dict[str, int]) -> None:
    short, long = candidate(words=words, length=10), candidate(words=words, length=200)
    assert coverage(long, all_words) <= coverage(short, all_words)


def test_all_the_words_cover_a_question_and_none_do_not() -> None:
    assert own_score(candidate(words=dict.fromkeys("abcdef", 1)), all_words).words == 1
    assert own_score(candidate(words={}), all_words).words == 0
    assert own_score(candidate(words={}), {}).words == 0


def test_a_rare_word_weighs_more_than_a_common_one_and_an_unknown_one_most() -> None:
    weights = weigh({"common": 50, "rare": 1, "unknown": 0}, 60)
    assert 0 < weights["common"] < weights["rare"] < weights["unknown"]


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_word_weights_are_numbers_whatever_the_counts(one: int, other: int) -> None:
    [weight] = weigh({"a": min(one, other)}, max(one, other)).values()
    assert math.isfinite(weight)
    assert weight > 0


def test_words_that_occur_nowhere_keep_a_score_low() -> None:
    weights = weigh({"tea": 1, "zxqv": 0, "blorf": 0}, 1_000)
    assert own_score(candidate(words={"tea": 1}), weights).words < 0.5


@given(scores, st.none() | scores, st.none() | scores)
def test_lending_keeps_a_score_between_0_and_1(own: float, one: float | None, two: float | None) -> None:
    assert 0 <= lent(own, one, two) <= 1


@given(scores, scores, scores)
def test_a_strong_neighbour_lifts_and_a_weak_one_lowers(own: float, strong: float, weak: float) -> None:
    strong, weak = max(strong, weak), min(strong, weak)
    assert lent(own, strong, strong) >= lent(own, weak, weak)


@given(scores)
def test_a_memory_outside_a_conversation_keeps_its_rank_among_such(own: float) -> None:
    assert lent(own, None, None) <= own
    assert lent(own, None, None) >= 0.85 * own


@given(scores)
def test_a_score_is_told_in_steps(score: float) -> None:
    assert abs(coarse(score) - score) <= GRAIN / 2 + 1e-9
    assert coarse(coarse(score)) == coarse(score)


def test_the_best_comes_first_and_of_equal_ones_the_newer() -> None:
    ranked = [
        Ranked(candidate("older", updated_at=1), 0.5, 0, 0),
        Ranked(candidate("newer", updated_at=2), 0.5, 0, 0),
        Ranked(candidate("best"), 0.9, 0, 0),
    ]
    assert [one.candidate.row_id for one in in_order(ranked)] == ["best", "newer", "older"]
