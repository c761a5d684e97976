from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.builders import dense_of, interactions_of, random_plays
from training.data.interactions import Interactions, TimedPlays
from training.errors import NothingToMeasure, TimesMissing, TrainingError
from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.split import Fold, Split
from training.splitting.splits import SPLITS
from training.splitting.timed import GlobalTime, LeaveLastOut, Yambda

Record = tuple[int, int, int, int]
N_USERS, N_ITEMS = 4, 6

records_lists = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(1, 9),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=40,
)


def timed_interactions(rows: Sequence[Record]) -> Interactions:
    """Returns the interactions of (user, item, plays, time)."""
    table = np.array(rows, dtype=np.int64)
    users, items = table[:, 0].astype(np.int32), table[:, 1].astype(np.int32)
    plays = table[:, 2].astype(np.float32)
    timed = TimedPlays(users, items, plays, table[:, 3]).sorted(N_ITEMS)
    return interactions_of(np.zeros((N_USERS, N_ITEMS))).with_records(timed)


def records_in(interactions: Interactions) -> list[Record]:
    timed = interactions.timed
    assert timed is not None
    columns = (timed.user_indices, timed.item_indices, timed.plays, timed.timestamps)
    return sorted(zip(*(column.astype(int).tolist() for column in columns), strict=True))


def plays_by_pair(rows: Sequence[Record]) -> NDArray[np.float32]:
    table = np.zeros((N_USERS, N_ITEMS), dtype=np.float32)
    for user, item, plays, _ in rows:
        table[user, item] += plays
    return table


def only_fold(split: Split, interactions: Interactions) -> Fold:
    (fold,) = split.folds(interactions)
    return fold


def test_a_random_split_is_one_fold_of_its_two_parts() -> None:
    interactions = interactions_of(np.ones((20, 30)))
    split = RandomPerUser(seed=1)
    fold, (train, test) = only_fold(split, interactions), split.split(interactions)
    assert fold.train.user_items.indices.tolist() == train.user_items.indices.tolist()
    assert fold.test.user_items.indices.tolist() == test.user_items.indices.tolist()
    assert fold.given is None


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), fraction=st.floats(0.01, 0.99), min_items=st.integers(2, 9))
def test_every_pair_is_in_exactly_one_part_with_its_plays(
    seed: int, fraction: float, min_items: int
) -> None:
    plays = random_plays(np.random.default_rng(seed), n_users=12, n_items=20)
    lengths = (plays > 0).sum(axis=1)
    assume(lengths.max() >= min_items)  # or the split is refused
    interactions = interactions_of(plays)
    train, test = RandomPerUser(fraction, min_items, seed).split(interactions)
    assert np.array_equal(dense_of(train.user_items) + dense_of(test.user_items), plays)
    assert not np.any((dense_of(train.user_items) > 0) & (dense_of(test.user_items) > 0))
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


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n_folds=st.integers(2, 12))
def test_k_folds_part_the_pairs_exactly(seed: int, n_folds: int) -> None:
    plays = random_plays(np.random.default_rng(seed), n_users=6, n_items=10)
    folds = list(KFold(n_folds, seed).folds(interactions_of(plays)))
    assert len(folds) == n_folds
    tested = [dense_of(fold.test.user_items) for fold in folds]
    assert np.array_equal(sum(tested), plays)
    assert np.array_equal(sum(table > 0 for table in tested), plays > 0)
    for fold, table in zip(folds, tested, strict=True):
        assert np.array_equal(dense_of(fold.train.user_items), plays - table)
    sizes = [fold.test.user_items.nnz for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_every_pair_is_as_likely_to_be_in_the_first_fold() -> None:
    interactions = interactions_of(np.ones((10, 10)))
    counts = np.zeros((10, 10))
    for seed in range(1000):
        fold = next(KFold(5, seed).folds(interactions))
        counts += dense_of(fold.test.user_items)
    # 200 expected each, binomial deviation 12.6; the worst of 100 pairs lies within 4 of those.
    assert np.all(np.abs(counts - 200) < 55)


def test_a_user_may_be_whole_in_the_test_part_of_a_k_fold() -> None:
    folds = list(KFold(2).folds(interactions_of([[1, 0], [0, 1]])))
    for fold in folds:
        lengths = fold.train.user_items.row_lengths() + fold.test.user_items.row_lengths()
        assert lengths.tolist() == [1, 1]
        assert sorted(fold.test.user_items.row_lengths().tolist()) == [0, 1]


def test_more_folds_than_pairs_are_refused() -> None:
    with pytest.raises(TrainingError, match="5 folds cannot be made of 4 pairs"):
        next(KFold(5).folds(interactions_of(np.ones((2, 2)))))


def test_fewer_than_two_folds_are_refused() -> None:
    with pytest.raises(TrainingError, match="n_folds has to be 2 or more, not 1"):
        KFold(1)


def test_global_time_parts_records_by_hand() -> None:
    interactions = timed_interactions(
        [
            (0, 0, 3, 10),
            (0, 0, 5, 90),  # known before, so its later plays are in neither part
            (0, 1, 2, 50),  # discovered at that very second
            (0, 1, 4, 70),
            (1, 2, 7, 49),
            (2, 3, 1, 80),  # a user who begins later
        ]
    )
    fold = only_fold(GlobalTime(at=50), interactions)
    assert records_in(fold.train) == [(0, 0, 3, 10), (1, 2, 7, 49)]
    assert records_in(fold.test) == [(0, 1, 2, 50), (0, 1, 4, 70), (2, 3, 1, 80)]
    assert fold.train.user_items.plays.tolist() == [3, 7]
    assert fold.test.user_items.plays.tolist() == [6, 1]


@pytest.mark.parametrize(
    ("fraction", "discovered"), [(0.1, [9]), (0.3, [7, 8, 9]), (0.35, [7, 8, 9]), (0.01, [9])]
)
def test_global_time_is_chosen_by_the_share_of_records(
    fraction: float, discovered: list[int]
) -> None:
    rows = [(n % 4, n // 4, 1, n) for n in range(10)]
    fold = only_fold(GlobalTime(fraction), timed_interactions(rows))
    assert sorted(time for *_, time in records_in(fold.test)) == discovered


def test_records_of_the_same_second_are_not_parted() -> None:
    rows = [(0, 0, 1, 1), (0, 1, 1, 2), (0, 2, 1, 2), (1, 3, 1, 2)]
    fold = only_fold(GlobalTime(0.25), timed_interactions(rows))
    assert records_in(fold.train) == [(0, 0, 1, 1)]


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(rows=records_lists, at=st.integers(0, 12))
def test_nothing_after_the_point_in_time_is_trained_on(rows: list[Record], at: int) -> None:
    interactions = timed_interactions(rows)
    before = [row for row in rows if row[3] < at]
    known = {row[:2] for row in before}
    discovered = [row for row in rows if row[:2] not in known]
    assume(before and discovered)
    fold = only_fold(GlobalTime(at=at), interactions)
    assert records_in(fold.train) == sorted(before)
    assert records_in(fold.test) == sorted(discovered)
    assert np.array_equal(dense_of(fold.train.user_items), plays_by_pair(before))
    assert np.array_equal(dense_of(fold.test.user_items), plays_by_pair(discovered))


@pytest.mark.parametrize(
    ("rows", "split", "message"),
    [
        ([(0, 0, 1, 7), (0, 1, 1, 7)], GlobalTime(), "of one time, 1970-01-01T00:00:07Z"),
        ([(0, 0, 1, 7), (0, 1, 1, 9)], GlobalTime(at=7), "before 1970-01-01T00:00:07Z.*to.*:09Z"),
        ([(0, 0, 1, 7), (0, 1, 1, 9)], GlobalTime(at=10), "at or after 1970-01-01T00:00:10Z"),
        ([(0, 0, 1, 7), (0, 0, 1, 9)], GlobalTime(at=8), "for the first time.*an earlier time"),
        ([(0, 0, 1, 7), (1, 1, 1, 7)], LeaveLastOut(), "has the 2 artists"),
        ([(0, 0, 1, 7), (0, 1, 1, 9)], Yambda(), "no record lies before 1969-12-30T23:30:09Z"),
        ([(0, 0, 1, 7), (0, 1, 1, 9)], Yambda(at=9**6), "at or after 1970-01-07T03:37:21Z"),
        ([(0, 0, 1, 0), (1, 1, 1, 9**6)], Yambda(), "no user of before plays an artist for the"),
    ],
)
def test_a_time_that_leaves_one_side_empty_is_refused(
    rows: list[Record], split: Split, message: str
) -> None:
    with pytest.raises(NothingToMeasure, match=message):
        only_fold(split, timed_interactions(rows))


def test_a_time_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(TrainingError, match="seconds since 1970, not 1000"):
        GlobalTime(at=10**30)
    with pytest.raises(TrainingError, match="seconds since 1970, not 1000"):
        Yambda(at=10**30)


@pytest.mark.parametrize("split", [GlobalTime(), LeaveLastOut(), Yambda()])
def test_without_times_it_asks_for_a_dataset_that_has_them(split: Split) -> None:
    with pytest.raises(
        TimesMissing, match=r"needs the time of each record.*; take a dataset with times or"
    ):
        next(split.folds(interactions_of(np.ones((3, 3)))))


def test_the_last_day_by_hand() -> None:
    day, minutes = 24 * 3600, 60
    interactions = timed_interactions(
        [
            (0, 0, 1, 0),
            (0, 0, 2, 9 * day + 7),  # known before
            (0, 1, 3, 9 * day),  # the very second at which the test part begins
            (0, 2, 4, 9 * day - 20 * minutes),  # in the gap
            (0, 3, 5, 9 * day - 10 * minutes),  # in the gap, and again on the last day
            (0, 3, 6, 10 * day),
            (1, 4, 7, 9 * day - 30 * minutes - 1),
            (1, 4, 8, 9 * day - 30 * minutes),  # the very second at which the gap begins
            (2, 5, 9, 10 * day),  # a user who begins on the last day
        ]
    )
    for split in (Yambda(), Yambda(at=9 * day)):
        fold = only_fold(split, interactions)
        assert records_in(fold.train) == [(0, 0, 1, 0), (1, 4, 7, 9 * day - 30 * minutes - 1)]
        assert records_in(fold.test) == [(0, 1, 3, 9 * day), (0, 3, 6, 10 * day)]
        assert fold.test.user_items.plays.tolist() == [3, 6]


def test_the_boundaries_of_the_published_split() -> None:
    # The listens of Yambda reach from 0 to 26,000,000.
    times = [0, 25_911_799, 25_911_800, 25_913_599, 25_913_600, 26_000_000]
    rows = [(0, item, 1, time) for item, time in enumerate(times)]
    fold = only_fold(Yambda(), timed_interactions(rows))
    assert [time for *_, time in records_in(fold.train)] == times[:2]
    assert [time for *_, time in records_in(fold.test)] == times[4:]


def test_leave_last_out_by_hand() -> None:
    interactions = timed_interactions(
        [
            (0, 0, 1, 10),
            (0, 0, 1, 60),  # after the last discovery: the future
            (0, 1, 2, 40),
            (0, 1, 5, 70),
            (0, 3, 1, 20),
            (0, 3, 4, 40),  # at that very second, but known before
            (1, 2, 1, 99),  # one artist only
            (2, 4, 1, 5),
            (2, 5, 1, 5),  # discovered together: the higher index
        ]
    )
    fold = only_fold(LeaveLastOut(), interactions)
    assert records_in(fold.test) == [(0, 1, 2, 40), (0, 1, 5, 70), (2, 5, 1, 5)]
    assert records_in(fold.train) == [
        (0, 0, 1, 10),
        (0, 3, 1, 20),
        (0, 3, 4, 40),
        (1, 2, 1, 99),
        (2, 4, 1, 5),
    ]


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(rows=records_lists, min_items=st.integers(2, 4))
def test_the_last_discovery_is_left_out_without_any_future(
    rows: list[Record], min_items: int
) -> None:
    first: dict[int, dict[int, int]] = defaultdict(dict)
    for user, item, _, time in rows:
        first[user][item] = min(time, first[user].get(item, time))
    last = {
        user: max((time, item) for item, time in items.items())
        for user, items in first.items()
        if len(items) >= min_items
    }
    assume(last)
    fold = only_fold(LeaveLastOut(min_items), timed_interactions(rows))
    tested = [row for row in rows if row[0] in last and row[1] == last[row[0]][1]]
    trained = [
        row
        for row in rows
        if row[0] not in last or (row[3] <= last[row[0]][0] and row[1] != last[row[0]][1])
    ]
    assert records_in(fold.test) == sorted(tested)
    assert records_in(fold.train) == sorted(trained)
    assert fold.test.user_items.row_lengths().max() == 1


def test_held_out_users_are_given_part_of_their_history() -> None:
    interactions = interactions_of(np.ones((10, 10)))
    fold = only_fold(HeldOutUsers(0.3, 0.8), interactions)
    assert fold.given is not None
    held_out = fold.test.user_items.row_lengths() > 0
    assert held_out.sum() == 3
    assert fold.train.user_items.row_lengths().tolist() == np.where(held_out, 0, 10).tolist()
    assert fold.given.user_items.row_lengths().tolist() == np.where(held_out, 8, 0).tolist()
    assert fold.test.user_items.row_lengths().tolist() == np.where(held_out, 2, 0).tolist()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    user_fraction=st.floats(0.01, 0.9),
    given_fraction=st.floats(0.01, 0.99),
    min_items=st.integers(2, 5),
)
def test_each_user_is_either_in_training_whole_or_held_out(
    seed: int, user_fraction: float, given_fraction: float, min_items: int
) -> None:
    plays = random_plays(np.random.default_rng(seed), n_users=12, n_items=20)
    split = HeldOutUsers(user_fraction, given_fraction, min_items, seed)
    fold = only_fold(split, interactions_of(plays))
    assert fold.given is not None
    train, test, told = (dense_of(part.user_items) for part in (fold.train, fold.test, fold.given))
    assert np.array_equal(train + test + told, plays)
    assert not np.any((train > 0) & ((test > 0) | (told > 0)))
    assert not np.any((test > 0) & (told > 0))
    held_out = np.any(test > 0, axis=1)
    lengths = (plays > 0).sum(axis=1)
    assert np.array_equal(np.any(train > 0, axis=1), ~held_out)
    assert held_out.sum() == max(1, int(user_fraction * (lengths >= min_items).sum() + 1e-9))
    assert np.all(lengths[held_out] >= min_items)
    wanted = np.maximum(1, ((1 - given_fraction) * lengths + 1e-9).astype(int))
    assert np.sum(test > 0, axis=1)[held_out].tolist() == wanted[held_out].tolist()
    assert np.all(np.any(told > 0, axis=1)[held_out])


def test_holding_out_the_only_user_is_refused() -> None:
    with pytest.raises(NothingToMeasure, match="only user with a history is held out"):
        only_fold(HeldOutUsers(), interactions_of([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]))


def test_holding_out_users_of_short_histories_is_refused() -> None:
    with pytest.raises(NothingToMeasure, match="no user has the 5 artists"):
        only_fold(HeldOutUsers(), interactions_of(np.ones((3, 4))))


@pytest.mark.parametrize("fraction", [0.0, 1.0, float("nan")])
def test_a_share_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(TrainingError, match="user_fraction has to lie between 0 and 1"):
        HeldOutUsers(user_fraction=fraction)
    with pytest.raises(TrainingError, match="given_fraction has to lie between 0 and 1"):
        HeldOutUsers(given_fraction=fraction)
    with pytest.raises(TrainingError, match="test_fraction has to lie between 0 and 1"):
        GlobalTime(test_fraction=fraction)


@pytest.mark.parametrize("kind", [KFold, HeldOutUsers])
def test_the_seed_decides_who_and_what_is_tested(kind: type[KFold | HeldOutUsers]) -> None:
    interactions = interactions_of(np.ones((20, 30)))
    first, again, other = (
        dense_of(next(kind(seed=seed).folds(interactions)).test.user_items) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("split", "validation"),
    [
        (RandomPerUser(0.3, 5, 7), RandomPerUser(0.3, 3, 107)),
        (KFold(10, 7), RandomPerUser(0.2, 3, 107)),
        (HeldOutUsers(0.3, 0.5, 5, 7), RandomPerUser(0.2, 3, 107)),
        (GlobalTime(0.1, at=7), GlobalTime(0.1)),
        (Yambda(at=7), Yambda()),
        (LeaveLastOut(2), LeaveLastOut(2)),
        (LeaveLastOut(9), LeaveLastOut(3)),
    ],
)
def test_a_validation_part_is_cut_in_the_same_manner(split: Split, validation: Split) -> None:
    assert split.validation() == validation


@pytest.mark.parametrize("name", SPLITS)
def test_a_validation_part_holds_nothing_of_the_test_part(
    name: str, rng: np.random.Generator
) -> None:
    rows = [
        (user, item, 1 + item, 300 * (200 * item + int(rng.integers(500))))
        for user in range(N_USERS)
        for item in range(N_ITEMS)
        for _ in range(2)
    ]
    interactions = timed_interactions(rows)
    split = SPLITS[name]()
    fold = next(split.folds(interactions))
    inner = next(split.validation().folds(fold.train))
    tables = [dense_of(part.user_items) > 0 for part in (fold.test, inner.train, inner.test)]
    assert all(table.any() for table in tables)
    assert not np.any(sum(table.astype(int) for table in tables) > 1)
    assert np.all(dense_of(inner.train.user_items) <= dense_of(fold.train.user_items))
    for part in (fold.train, inner.train):
        # What a half-life goes by.
        assert part.timed is not None
        summed = part.timed.sum(n_users=N_USERS, n_items=N_ITEMS)
        np.testing.assert_array_equal(dense_of(summed), dense_of(part.user_items))


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("random", {"name": "random per user", "test_fraction": 0.2, "min_items": 5, "seed": 0}),
        ("k-fold", {"name": "k-fold", "n_folds": 5, "seed": 0}),
        ("global-time", {"name": "global time", "test_fraction": 0.2, "at": None}),
        ("leave-last-out", {"name": "leave last out", "min_items": 2}),
        ("yambda", {"name": "yambda", "at": None, "test_days": 1, "gap_minutes": 30}),
        (
            "held-out-users",
            {
                "name": "held-out users",
                "user_fraction": 0.2,
                "given_fraction": 0.8,
                "min_items": 5,
                "seed": 0,
            },
        ),
    ],
)
def test_the_manifest_names_a_split_with_its_parameters(
    name: str, manifest: dict[str, object]
) -> None:
    split = SPLITS[name]()
    assert split.to_manifest() == manifest
    assert split.n_folds == manifest.get("n_folds", 1)
