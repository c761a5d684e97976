"""Measures against fractions worked by hand."""

from math import log2

import numpy as np
import pytest

from training import metrics

# Two users, k = 4: the first has hits at ranks 1 and 3 of 3 test items, the second none of 6.
HITS = np.array([[True, False, True, False], [False, False, False, False]])
N_TEST = np.array([3, 6])


def test_precision_divides_by_k() -> None:
    assert metrics.precision(HITS, N_TEST).tolist() == [2 / 4, 0]


def test_recall_divides_by_the_test_items() -> None:
    assert metrics.recall(HITS, N_TEST).tolist() == [2 / 3, 0]


def test_ndcg_is_ideal_over_the_smaller_of_k_and_test_items() -> None:
    gain = 1 / log2(2) + 1 / log2(4)
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert metrics.ndcg(HITS, N_TEST) == pytest.approx([gain / ideal, 0])


def test_ndcg_of_four_hits_out_of_nine_test_items_is_one() -> None:
    assert metrics.ndcg(np.ones((1, 4), dtype=bool), np.array([9])) == pytest.approx([1])


def test_average_precision_sums_precision_at_the_hits() -> None:
    expected = (1 / 1 + 2 / 3) / 3
    assert metrics.average_precision(HITS, N_TEST) == pytest.approx([expected, 0])


def test_average_precision_divides_by_k_where_the_test_part_is_longer() -> None:
    one_hit_last = np.array([[False, False, False, True]])
    assert metrics.average_precision(one_hit_last, np.array([9])) == pytest.approx([1 / 4 / 4])


def test_reciprocal_rank_is_that_of_the_first_hit() -> None:
    hits = np.array([[False, True, True, False], [False] * 4])
    assert metrics.reciprocal_rank(hits, N_TEST).tolist() == [1 / 2, 0]


def test_hit_is_one_with_any_hit() -> None:
    assert metrics.hit(HITS, N_TEST).tolist() == [1, 0]


def test_novelty_is_the_mean_surprise_in_bits() -> None:
    # 8 users; items with 4, 1 and 0 listeners: 1 bit, 3 bits, and 3 bits as if it had one.
    listeners = np.array([4, 1, 0])
    assert metrics.novelty(np.array([0, 0, 1, 2]), listeners, 8) == (1 + 1 + 3 + 3) / 4


def test_novelty_of_no_list_is_zero() -> None:
    assert metrics.novelty(np.array([], dtype=int), np.array([1]), 1) == 0


def test_gini_is_zero_when_all_items_are_recommended_alike() -> None:
    assert metrics.gini(np.array([3, 3, 3])) == pytest.approx(0)


def test_gini_of_one_item_among_four_is_three_quarters() -> None:
    assert metrics.gini(np.array([0, 8, 0, 0])) == pytest.approx(3 / 4)


def test_gini_of_one_two_and_three_is_two_ninths() -> None:
    assert metrics.gini(np.array([3, 1, 2])) == pytest.approx(2 / 9)


def test_gini_without_recommendations_is_zero() -> None:
    assert metrics.gini(np.zeros(3, dtype=int)) == 0
