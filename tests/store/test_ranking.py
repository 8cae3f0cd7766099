import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from store.ranking import (
    GRAIN,
    NOBODY,
    SILENT,
    Ageing,
    Floats,
    Ranking,
    Rows,
    closeness,
    coarse,
    coverage,
    lent,
    neighbours_of,
    nudged,
    own_scores,
    postings_of,
    rank,
    weigh,
    with_neighbours,
)

RANGE = (0.1, 0.8)
DAY = 24 * 60 * 60 * 1_000_000
WORDS = "abcdef"

cosines = st.just(math.nan) | st.floats(-1, 1)
scores = st.floats(0, 1)
texts = st.lists(st.sampled_from([*WORDS, "other"]), max_size=30)
all_weights = dict.fromkeys(WORDS, 1.0)


def covered(*rows: list[str], weights: dict[str, float] = all_weights) -> list[float]:
    return coverage(postings_of(rows, weights), np.array([len(row) for row in rows], np.int64), weights).tolist()


def one(value: float) -> Floats:
    return np.array([value])


def some_rows(count: int, **more: object) -> Rows:
    rows = Rows(
        row_ids=[f"{number:03}" for number in range(count)],
        updated_at=np.zeros(count, np.int64),
        dated_at=np.zeros(count, np.int64),
        importance=np.full(count, 0.5),
        pinned=np.zeros(count, np.bool_),
        in_conversation=np.zeros(count, np.bool_),
        around=np.full((4, count), NOBODY, np.int64),
    )
    return replace(rows, **more)  # pyright: ignore[reportArgumentType] - as the caller says


def ranked(cosine: list[float], rows: Rows | None = None, *, limit: int = 10, min_score: float = 0.0) -> Ranking:
    own = own_scores(np.array(cosine), np.zeros(len(cosine)), RANGE)
    everything = np.ones(len(cosine), np.bool_)
    return rank(own, rows or some_rows(len(cosine)), everything, limit=limit, min_score=min_score)


@given(st.lists(st.tuples(cosines, texts), max_size=8))
def test_a_score_is_between_0_and_1(rows: list[tuple[float, list[str]]]) -> None:
    own = own_scores(np.array([cosine for cosine, _ in rows]), np.array(covered(*(its for _, its in rows))), RANGE)
    for values in (own.score, own.meaning, own.words):
        assert ((values >= 0) & (values <= 1)).all()


@given(st.floats(-1, 1), st.floats(0, 2))
def test_a_closer_meaning_never_lowers_a_score(cosine: float, more: float) -> None:
    far, near = closeness(np.array([cosine, min(1.0, cosine + more)]), RANGE)
    assert near >= far


@given(texts, st.sampled_from(WORDS))
def test_one_more_of_a_word_in_place_of_another_never_lowers_a_score(words: list[str], word: str) -> None:
    less, more = covered([*words, "other"], [*words, word])
    assert more >= less


@given(texts)
def test_a_longer_text_with_the_same_words_says_less(words: list[str]) -> None:
    short, long = covered(words, [*words, *["other"] * 100])
    assert long <= short


def test_all_the_words_cover_a_question_and_none_do_not() -> None:
    everything, nothing = covered(list(WORDS), [])
    own = own_scores(np.array([math.nan, math.nan]), np.array([everything, nothing]), RANGE)
    assert own.words.tolist() == [1, 0]
    assert covered(["a"], weights={}) == [0]


def test_a_rare_word_weighs_more_than_a_common_one_and_an_unknown_one_most() -> None:
    weights = weigh({"common": 50, "rare": 1, "unknown": 0}, 60)
    assert 0 < weights["common"] < weights["rare"] < weights["unknown"]


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_word_weights_are_numbers_whatever_the_counts(count: int, rows: int) -> None:
    [weight] = weigh({"a": min(count, rows)}, max(count, rows)).values()
    assert math.isfinite(weight)
    assert weight > 0


def test_words_that_occur_nowhere_keep_a_score_low() -> None:
    weights = weigh({"tea": 1, "zxqv": 0, "blorf": 0}, 1_000)
    [score] = covered(["tea", *["other"] * 19], weights=weights)
    assert own_scores(one(math.nan), one(score), RANGE).words[0] < 0.5


@given(scores, cosines, cosines)
def test_lending_keeps_a_score_between_0_and_1(own: float, next_to: float, second: float) -> None:
    [score] = lent(one(own), abs(one(next_to)), abs(one(second)))
    assert 0 <= score <= 1


@given(scores, scores, scores)
def test_a_strong_neighbour_lifts_and_a_weak_one_lowers(own: float, strong: float, weak: float) -> None:
    strong, weak = max(strong, weak), min(strong, weak)
    assert lent(one(own), one(strong), one(strong))[0] >= lent(one(own), one(weak), one(weak))[0]


@given(scores)
def test_a_memory_outside_a_conversation_keeps_its_rank_among_such(own: float) -> None:
    [score] = with_neighbours(one(own), np.full((4, 1), NOBODY), np.array([0]))
    assert 0.85 * own <= score <= own


def test_neighbours_are_those_one_and_two_places_away() -> None:
    in_conversation = np.array([True, True, True, True, False, True])
    around = neighbours_of([[2, 0, SILENT, 1]], in_conversation)
    assert around.T.tolist() == [
        [2, SILENT, NOBODY, 1],
        [SILENT, NOBODY, 0, NOBODY],
        [NOBODY, 0, NOBODY, SILENT],
        [SILENT] * 4,  # in a conversation that was not looked up
        [NOBODY] * 4,
        [SILENT] * 4,
    ]


@given(scores)
def test_a_score_is_told_in_steps(score: float) -> None:
    [told] = coarse(one(score))
    assert abs(told - score) <= GRAIN / 2 + 1e-9
    assert coarse(one(told)) == told


def test_the_best_comes_first_and_of_equal_ones_the_newer_and_then_the_first_by_name() -> None:
    rows = some_rows(4, updated_at=np.array([1, 2, 0, 1]))
    assert [hit.row_id for hit in ranked([0.5, 0.5, 0.7, 0.5], rows).best] == ["002", "001", "000", "003"]


@given(st.lists(st.floats(-1, 1), max_size=30), st.integers(0, 12), scores)
def test_every_row_is_a_hit_or_left_out_or_beyond_the_limit(cosine: list[float], limit: int, least: float) -> None:
    all_hits = ranked(cosine, limit=len(cosine), min_score=least)
    assert len(all_hits.best) + all_hits.omitted == len(cosine)
    assert all(hit.score >= least for hit in all_hits.best)
    assert ranked(cosine, limit=limit, min_score=least) == Ranking(all_hits.best[:limit], all_hits.omitted)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.data())
def test_a_score_does_not_depend_on_what_else_was_found(cosine: list[float], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(cosine), min_size=1))
    scored = {hit.row_id: hit.score for hit in ranked(cosine, limit=99).best}
    alone = {hit.row_id: hit.score for hit in ranked(some, limit=99).best}
    assert [alone[f"{place:03}"] for place in range(len(some))] == [
        scored[f"{cosine.index(value):03}"] for value in some
    ]


@given(scores, scores, st.booleans(), st.booleans())
def test_importance_and_pinning_move_a_hit_by_a_little(own: float, importance: float, pinned: bool, far: bool) -> None:
    rows = some_rows(2, importance=np.array([importance, 0.5]), pinned=np.array([pinned, False]))
    better = own + (0.1 if far else 0.001)
    nudge, other = nudged(np.array([own, better]), rows, np.arange(2), None)
    assert abs(nudge - own) <= 2 * GRAIN + 1e-9
    assert other > nudge or not far or other == 1


def test_between_equals_the_important_and_the_pinned_come_first_and_what_is_unrelated_stays_so() -> None:
    rows = some_rows(4, importance=np.array([0.0, 0.5, 1.0, 0.5]), pinned=np.array([False, False, False, True]))
    scores = {hit.row_id: hit.score for hit in ranked([0.5] * 4, rows).best}
    assert scores["000"] < scores["001"] < scores["002"] == scores["003"]
    assert {hit.score for hit in ranked([0.0] * 4, rows).best} == {0}


def test_with_a_half_life_the_old_lose_a_share_and_the_pinned_nothing() -> None:
    rows = some_rows(4, dated_at=np.array([0, -30, -30_000, -30]) * DAY, pinned=np.array([False] * 3 + [True]))
    fresh, month, ancient, pinned = nudged(np.full(4, 0.5), rows, np.arange(4), Ageing(0, 30 * DAY))
    assert fresh == 0.5
    assert math.isclose(month, 0.5 * 0.85)
    assert math.isclose(ancient, 0.5 * 0.7)
    assert pinned > 0.5
