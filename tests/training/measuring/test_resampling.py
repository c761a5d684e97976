import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.measuring.resampling import (
    RESAMPLES,
    Bootstrap,
    interval,
    mean_over_folds,
    paired_t_test,
    ratios,
)


def test_each_resample_draws_as_many_users_as_there_are() -> None:
    sums = Bootstrap(37).sums(np.ones((37, 1)), np.arange(37))
    assert sums.shape == (RESAMPLES, 1)
    assert (sums == 37).all()
    one_user = Bootstrap(37).sums(np.eye(37), np.arange(37))
    # Each is drawn once on average, and misses a resample with (1 - 1/37)^37.
    assert one_user.mean() == pytest.approx(1)
    assert (one_user == 0).mean() == pytest.approx((36 / 37) ** 37, abs=0.01)


def test_values_are_summed_over_the_users_that_they_belong_to(rng: np.random.Generator) -> None:
    values = rng.random((5, 3))
    positions = np.array([8, 2, 9, 0, 4])
    counts = Bootstrap(10, seed=3).sums(np.eye(10), np.arange(10))
    expected = [
        sum(counts[row, place] * values[at] for at, place in enumerate(positions))
        for row in range(RESAMPLES)
    ]
    assert Bootstrap(10, seed=3).sums(values, positions) == pytest.approx(np.array(expected))


def test_resamples_repeat_with_the_seed_and_change_with_it() -> None:
    once, again, other = (
        Bootstrap(9, seed).sums(np.arange(9.0)[:, None], np.arange(9)) for seed in (1, 1, 2)
    )
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_blocks_of_resamples_differ() -> None:
    # More users than one block holds counts of; a seed that is used twice would show.
    n_users = 2**20 // 400
    sums = Bootstrap(n_users).sums(np.arange(float(n_users))[:, None], np.arange(n_users))
    assert len(np.unique(sums)) > 0.99 * RESAMPLES


def test_the_interval_of_a_mean_is_that_of_normal_theory(rng: np.random.Generator) -> None:
    values = rng.random(2000)
    means = Bootstrap(2000).sums(values[:, None], np.arange(2000))[:, 0] / 2000
    low, high = interval(means)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=half / 8)
    assert high == pytest.approx(values.mean() + half, abs=half / 8)


def test_resamples_without_the_figure_are_passed_over() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0, np.nan])) == (1, 1)


def test_ratios_and_their_means_know_what_is_missing() -> None:
    quotients = ratios(np.array([1.0, 3.0, 0.0]), np.array([2.0, 0.0, 0.0]))
    assert quotients == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    means = mean_over_folds([quotients, np.array([1.5, 7.0, np.nan])])
    assert means == pytest.approx([1, 7, np.nan], nan_ok=True)


@given(seed=st.integers(0, 2**32 - 1), n_users=st.integers(2, 50))
def test_p_values_equal_those_of_scipy(seed: int, n_users: int) -> None:
    first, second = np.random.default_rng(seed).random((2, n_users))
    expected = stats.ttest_rel(first, second).pvalue
    assert paired_t_test(first, second) == pytest.approx(float(expected), abs=1e-12)


def test_equal_figures_or_a_single_user_prove_nothing() -> None:
    values = np.array([0.1, 0.5, 0.5])
    assert paired_t_test(values, values) == 1
    assert paired_t_test(np.array([1.0]), np.array([0.0])) == 1


def test_the_same_difference_for_everyone_is_certain() -> None:
    assert paired_t_test(np.full(4, 0.3), np.full(4, 0.1)) == 0
