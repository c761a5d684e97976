import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import dense_of, interactions_of, random_plays
from training.errors import TrainingError
from training.split import RandomPerUser


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), fraction=st.floats(0.01, 0.99), min_items=st.integers(2, 9))
def test_every_pair_is_in_exactly_one_part_with_its_plays(
    seed: int, fraction: float, min_items: int
) -> None:
    plays = random_plays(np.random.default_rng(seed), n_users=12, n_items=20)
    interactions = interactions_of(plays)
    train, test = RandomPerUser(fraction, min_items, seed).split(interactions)
    assert np.array_equal(dense_of(train.user_items) + dense_of(test.user_items), plays)
    assert not np.any((dense_of(train.user_items) > 0) & (dense_of(test.user_items) > 0))
    lengths = (plays > 0).sum(axis=1)
    wanted = np.where(lengths < min_items, 0, np.maximum(1, (fraction * lengths).astype(int)))
    assert test.user_items.row_lengths().tolist() == wanted.tolist()
    assert np.all(train.user_items.row_lengths() > 0)


def test_same_seed_draws_the_same_pairs_and_another_seed_others() -> None:
    interactions = interactions_of(np.ones((20, 30)))
    first, again, other = (
        RandomPerUser(seed=seed).split(interactions)[1].user_items.indices for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_item_of_a_user_is_as_likely_to_be_held_out() -> None:
    interactions = interactions_of(np.ones((4000, 10)))
    _, test = RandomPerUser(0.2, seed=3).split(interactions)
    # 800 expected each, binomial deviation 25: a position that is favoured stands out.
    assert np.all(np.abs(test.user_items.listeners() - 800) < 125)


def test_users_with_few_items_stay_in_training_whole() -> None:
    train, test = RandomPerUser(min_items=3).split(interactions_of([[1, 1, 0, 0], [1, 1, 1, 0]]))
    assert test.user_items.row_lengths().tolist() == [0, 1]
    assert train.user_items.row_lengths().tolist() == [2, 2]


def test_too_short_histories_are_refused_with_the_longest_one() -> None:
    with pytest.raises(TrainingError, match=r"has the 5 artists.*longest\s+history has 2"):
        RandomPerUser().split(interactions_of(np.ones((3, 2))))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(TrainingError, match="between 0 and 1"):
        RandomPerUser(test_fraction=fraction)


def test_min_items_below_two_is_refused() -> None:
    with pytest.raises(TrainingError, match="2 or more"):
        RandomPerUser(min_items=1)
