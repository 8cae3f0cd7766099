from hypothesis import given
from hypothesis import strategies as st

from store.ranking import Candidate, rank, score

cosines = st.none() | st.floats(-1, 1)
bm25s = st.floats(0, 100)
words = st.integers(1, 30)


@given(cosines, bm25s, words)
def test_a_score_is_between_0_and_1(cosine: float | None, bm25: float, count: int) -> None:
    assert 0 <= score(cosine, bm25, count) <= 1


@given(st.floats(-1, 1), st.floats(0, 1), bm25s, st.floats(0, 10), words)
def test_a_better_signal_never_lowers_a_score(
    cosine: float, more: float, bm25: float, extra: float, count: int
) -> None:
    assert score(min(1.0, cosine + more), bm25 + extra, count) >= score(cosine, bm25, count)


def candidate(row_id: str, cosine: float | None, bm25: float, updated_at: int = 0) -> Candidate:
    return Candidate(row_id, updated_at, cosine, bm25)


@given(st.lists(st.tuples(cosines, bm25s), max_size=8))
def test_a_score_does_not_depend_on_what_else_was_found(signals: list[tuple[float | None, float]]) -> None:
    candidates = [candidate(str(number), *pair) for number, pair in enumerate(signals)]
    together = {one.candidate: one.score for one in rank(candidates, "green tea")}
    alone = {one: rank([one], "green tea")[0].score for one in candidates}
    assert together == alone


def test_the_best_comes_first_and_of_equal_ones_the_newer() -> None:
    newer = candidate("newer", 0.5, 1.0, 1)
    ranked = rank([candidate("older", 0.5, 1.0), newer, candidate("best", 0.9, 5.0)], "tea")
    assert [one.candidate.row_id for one in ranked] == ["best", "newer", "older"]


def test_nothing_in_common_scores_nothing() -> None:
    assert score(0.0, 0.0, 1) == 0
    assert score(None, 0.0, 1) == 0
