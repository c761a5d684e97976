from __future__ import annotations

import json
from fractions import Fraction
from math import log

import numpy as np
import pytest

from app.model.interactions import UserItems
from app.model.weighting import WEIGHTINGS, Weighting, WeightingName
from tests.builders import random_plays, user_items_of

# Two users, three items; median of the plays 2, so t = plays / 2:
#   u0: i0 t=1/2, i1 t=1      L=3/2
#   u1: i1 t=1,   i2 t=3      L=4      mean L = 11/4
PLAYS = [[1, 2, 0], [0, 2, 6]]
T = [Fraction(1, 2), Fraction(1), Fraction(1), Fraction(3)]


def test_raw_weights_are_the_plays() -> None:
    user_items = user_items_of(PLAYS)
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    assert weighting.weigh(user_items).tolist() == [1, 2, 2, 6]
    assert weighting.mean_weight == 1.0


def test_binary_weights_are_one_however_many_plays() -> None:
    weighting = Weighting.fit(user_items_of(PLAYS), WeightingName.BINARY)
    other = user_items_of(np.array([[3, 0, 1e30], [0, 0, 0]]))
    assert weighting.weigh(user_items_of(PLAYS)).tolist() == [1, 1, 1, 1]
    assert weighting.weigh(other).tolist() == [1, 1]
    assert weighting.weigh(other).dtype == np.float32
    assert weighting.mean_weight == 1.0


def test_linear_weights_are_plays_in_medians_over_their_mean() -> None:
    user_items = user_items_of(PLAYS)
    weighting = Weighting.fit(user_items, WeightingName.LINEAR)
    mean = sum(T) / 4  # 11/8
    assert weighting.median_plays == 2
    assert weighting.mean_weight == float(mean)
    assert weighting.weigh(user_items).tolist() == [float(np.float32(t / mean)) for t in T]


def test_log_weights_are_the_logarithm_over_their_mean() -> None:
    user_items = user_items_of(PLAYS)
    undivided = [log(1 + float(t)) for t in T]
    expected = np.array(undivided) / (sum(undivided) / 4)
    weights = Weighting.fit(user_items, WeightingName.LOG).weigh(user_items)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_bm25_weights_are_those_worked_by_hand() -> None:
    user_items = user_items_of(PLAYS)
    k1, b = Fraction(3, 2), Fraction(1, 4)
    weighting = Weighting.fit(user_items, WeightingName.BM25, k1=float(k1), b=float(b))
    # idf = log(1 + (N - n + 1/2) / (n + 1/2)): n = 1 gives log 2, n = 2 gives log(6/5).
    one, two = log(2), log(6 / 5)
    np.testing.assert_allclose(weighting.idf, [one, two, one], rtol=1e-6)
    mean_length = Fraction(11, 4)
    assert weighting.mean_length == float(mean_length)
    norms = [k1 * (1 - b + b * length / mean_length) for length in (Fraction(3, 2), Fraction(4))]
    saturated = [
        float(t * (k1 + 1) / (t + norm))
        for t, norm in zip(T, [norms[0], norms[0], norms[1], norms[1]], strict=True)
    ]
    undivided = np.array(saturated) * [one, two, two, one]
    weights = weighting.weigh(user_items)
    np.testing.assert_allclose(weights, undivided / undivided.mean(), rtol=1e-6)


def test_bm25_without_normalisation_and_with_bare_pairs_is_the_idf_alone() -> None:
    user_items = user_items_of([[1, 1, 0], [0, 1, 1], [0, 1, 0]])
    weighting = Weighting.fit(user_items, WeightingName.BM25, k1=1.0, b=0.0)
    idf = weighting.idf.astype(np.float64)[user_items.indices]
    np.testing.assert_allclose(weighting.weigh(user_items), idf / idf.mean(), rtol=1e-6)


def test_idf_stays_above_zero_for_an_item_that_everyone_has() -> None:
    user_items = user_items_of(np.ones((1000, 2)))
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    np.testing.assert_allclose(weighting.idf, log(1 + 0.5 / 1000.5), rtol=1e-6)
    assert (weighting.weigh(user_items) > 0).all()


def test_users_without_items_count_neither_as_documents_nor_in_the_mean_length() -> None:
    filled = Weighting.fit(user_items_of(PLAYS), WeightingName.BM25)
    padded = Weighting.fit(
        user_items_of([[0, 0, 0], *PLAYS, [0, 0, 0], [0, 0, 0]]), WeightingName.BM25
    )
    assert padded.to_manifest() == filled.to_manifest()
    assert padded.idf.tolist() == filled.idf.tolist()


@pytest.mark.parametrize("name", [name for name, rule in WEIGHTINGS.items() if rule.is_scale_free])
@pytest.mark.parametrize("factor", [100.0, 0.01, 3.7, 2.0**40])
def test_weights_do_not_depend_on_the_unit_of_plays(
    rng: np.random.Generator, name: WeightingName, factor: float
) -> None:
    plays = random_plays(rng)
    one, other = user_items_of(plays), user_items_of(plays * np.float32(factor))
    weights = Weighting.fit(one, name).weigh(one)
    np.testing.assert_allclose(Weighting.fit(other, name).weigh(other), weights, rtol=1e-5)
    assert weights.mean(dtype=np.float64) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("name", list(WeightingName))
def test_a_row_weighs_bit_for_bit_the_same_alone_and_among_others(
    rng: np.random.Generator, name: WeightingName
) -> None:
    plays = random_plays(rng, n_users=14, n_items=20_000, density=0.5)
    plays[3] = plays[11] = 0.0
    user_items = user_items_of(plays)
    weighting = Weighting.fit(user_items, name)
    together = np.split(weighting.weigh(user_items), user_items.indptr[1:-1])
    for row, weights in zip(plays, together, strict=True):
        assert weighting.weigh(user_items_of(row[None])).tolist() == weights.tolist()


@pytest.mark.parametrize("name", list(WeightingName))
def test_the_manifest_restores_a_weighting_exactly(
    rng: np.random.Generator, name: WeightingName
) -> None:
    user_items = user_items_of(random_plays(rng) / 3)
    weighting = Weighting.fit(user_items, name, k1=0.1 + 0.2, b=1 / 3)
    entry = json.loads(json.dumps(weighting.to_manifest()))
    restored = Weighting.from_manifest(entry, weighting.idf)
    assert restored.to_manifest() == weighting.to_manifest()
    assert restored.name is name
    assert restored.weigh(user_items).tobytes() == weighting.weigh(user_items).tobytes()


def test_only_weightings_with_an_idf_hold_an_array() -> None:
    user_items = user_items_of(PLAYS)
    lengths = {name: len(Weighting.fit(user_items, name).idf) for name in WeightingName}
    assert lengths == {name: 3 * rule.has_idf for name, rule in WEIGHTINGS.items()}
    assert lengths[WeightingName.BM25] == 3


def test_weighing_nothing_gives_nothing() -> None:
    weighting = Weighting.fit(user_items_of(PLAYS), WeightingName.BM25)
    nobody = UserItems(
        np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32), 3
    )
    assert weighting.weigh(nobody).tolist() == []
    assert weighting.weigh(user_items_of(np.zeros((4, 3)))).tolist() == []


def test_a_weighting_needs_pairs() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        Weighting.fit(user_items_of(np.zeros((2, 2))), WeightingName.LOG)


@pytest.mark.parametrize(
    ("k1", "b"), [(0.0, 0.5), (-1.0, 0.5), (1.0, -0.1), (1.0, 1.1), (float("nan"), 0.5)]
)
def test_parameters_out_of_range_are_refused_with_their_values(k1: float, b: float) -> None:
    with pytest.raises(ValueError, match=rf"not k1={k1}, b={b}"):
        Weighting.fit(user_items_of(PLAYS), WeightingName.BM25, k1=k1, b=b)


def test_plays_of_any_size_give_finite_weights() -> None:
    # Was wrong: dividing in float32 overflowed where the largest play met a tiny median.
    user_items = user_items_of([[1e-38, 2e-38, 3e38], [1e-38, 0, 2e-38]])
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    assert np.isfinite(weighting.mean_length)
    assert np.isfinite(weighting.weigh(user_items)).all()
