"""Measures against fractions worked by hand, and against trec_eval."""

from math import log2

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.measuring import measures

# Two users, k = 4: the first has hits at ranks 1 and 3 of 3 test items, the second none of 6.
HITS = np.array([[True, False, True, False], [False, False, False, False]])
N_TEST = np.array([3, 6])


def test_precision_divides_by_k() -> None:
    assert measures.precision(HITS, N_TEST).tolist() == [2 / 4, 0]


def test_recall_divides_by_the_test_items() -> None:
    assert measures.recall(HITS, N_TEST).tolist() == [2 / 3, 0]


def test_ndcg_is_ideal_over_the_smaller_of_k_and_test_items() -> None:
    gain = 1 / log2(2) + 1 / log2(4)
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert measures.ndcg(HITS, N_TEST) == pytest.approx([gain / ideal, 0])


def test_ndcg_of_four_hits_out_of_nine_test_items_is_one() -> None:
    assert measures.ndcg(np.ones((1, 4), dtype=bool), np.array([9])) == pytest.approx([1])


def test_average_precision_sums_precision_at_the_hits() -> None:
    expected = (1 / 1 + 2 / 3) / 3
    assert measures.average_precision(HITS, N_TEST) == pytest.approx([expected, 0])


def test_average_precision_divides_by_k_where_the_test_part_is_longer() -> None:
    one_hit_last = np.array([[False, False, False, True]])
    assert measures.average_precision(one_hit_last, np.array([9])) == pytest.approx([1 / 4 / 4])


def test_reciprocal_rank_is_that_of_the_first_hit() -> None:
    hits = np.array([[False, True, True, False], [False] * 4])
    assert measures.reciprocal_rank(hits, N_TEST).tolist() == [1 / 2, 0]


def test_hit_is_one_with_any_hit() -> None:
    assert measures.hit(HITS, N_TEST).tolist() == [1, 0]


def test_surprise_is_in_bits_and_an_item_without_listeners_counts_as_having_one() -> None:
    assert measures.surprise(np.array([4, 1, 0]), 8).tolist() == [1, 3, 3]


def test_gini_is_zero_when_all_items_are_recommended_alike() -> None:
    assert measures.gini(np.array([3, 3, 3])) == pytest.approx(0)


def test_gini_of_one_item_among_four_is_three_quarters() -> None:
    assert measures.gini(np.array([0, 8, 0, 0])) == pytest.approx(3 / 4)


def test_gini_of_one_two_and_three_is_two_ninths() -> None:
    assert measures.gini(np.array([3, 1, 2])) == pytest.approx(2 / 9)


def test_gini_without_recommendations_is_zero() -> None:
    assert measures.gini(np.zeros(3, dtype=int)) == 0


def trec_eval(
    lists: list[list[int]], wanted: list[set[int]], k: int
) -> dict[str, NDArray[np.float64]]:
    """Returns what trec_eval says of each user, by its own names of measures."""
    relevant = {f"u{user}": {f"i{item}": 1 for item in items} for user, items in enumerate(wanted)}
    # Its order is by score; and it knows no cut-off of the reciprocal rank but the list's end.
    ranked = {
        f"u{user}": {f"i{item}": float(k - rank) for rank, item in enumerate(items[:k])}
        for user, items in enumerate(lists)
    }
    names = {f"{name}.{k}" for name in ("P", "recall", "ndcg_cut", "map_cut", "success")}
    judged = pytrec_eval.RelevanceEvaluator(relevant, names | {"recip_rank"}).evaluate(ranked)
    measures = [*(name.replace(".", "_") for name in names), "recip_rank"]
    return {
        name.removesuffix(f"_{k}"): np.array([judged[user][name] for user in relevant])
        for name in measures
    }


@given(seed=st.integers(0, 2**32 - 1), k=st.sampled_from([1, 2, 5, 10, 20]))
def test_measures_agree_with_trec_eval(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n_items = 40
    wanted = [set(rng.permutation(n_items)[: rng.integers(1, 30)].tolist()) for _ in range(8)]
    # Some lists are shorter than k.
    lists = [rng.permutation(n_items)[: rng.integers(1, 25)].tolist() for _ in wanted]
    hits = np.zeros((len(lists), k), dtype=bool)
    for user, items in enumerate(lists):
        hits[user, : len(items)] = [item in wanted[user] for item in items[:k]]
    n_test = np.array([len(items) for items in wanted])
    expected = trec_eval(lists, wanted, k)
    assert measures.precision(hits, n_test) == pytest.approx(expected["P"])
    assert measures.recall(hits, n_test) == pytest.approx(expected["recall"])
    assert measures.ndcg(hits, n_test) == pytest.approx(expected["ndcg_cut"])
    assert measures.reciprocal_rank(hits, n_test) == pytest.approx(expected["recip_rank"])
    assert measures.hit(hits, n_test) == pytest.approx(expected["success"])
    # trec_eval divides by all test items, also where a list of k cannot hold them.
    out_of = n_test / np.minimum(n_test, k)
    assert measures.average_precision(hits, n_test) == pytest.approx(expected["map_cut"] * out_of)
