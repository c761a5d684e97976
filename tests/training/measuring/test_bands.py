import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.measuring.bands import activity_bands, even_ranges, popularity_bands


def test_users_are_cut_into_quarters_by_activity() -> None:
    bands = activity_bands(np.array([8, 1, 2, 7, 3, 5, 4, 6]))
    assert [band.label for band in bands] == [
        "1 to 2 artists",
        "3 to 4 artists",
        "5 to 6 artists",
        "7 to 8 artists",
    ]
    assert bands[0].members.tolist() == [False, True, True, False, False, False, False, False]


def test_users_with_the_same_count_are_never_parted() -> None:
    bands = activity_bands(np.array([1, 4, 4, 4, 4, 4, 4, 9]))
    assert [(band.label, int(band.members.sum())) for band in bands] == [
        ("1 artist", 1),
        ("4 artists", 6),
        ("9 artists", 1),
    ]


def test_users_without_artists_are_a_band_of_their_own() -> None:
    bands = activity_bands(np.array([0, 3, 0]))
    assert [(band.label, band.members.tolist()) for band in bands] == [
        ("no artists", [True, False, True]),
        ("3 artists", [False, True, False]),
    ]


def test_head_middle_and_tail_hold_a_third_of_the_pairs_each() -> None:
    # 1,200 + 2 * 600 + 12 * 100 pairs.
    listeners = np.array([1200, 600, 600] + [100] * 11 + [99, 1, 0])
    bands = popularity_bands(listeners)
    assert [band.label for band in bands] == [
        "head: 1,200 listeners",
        "middle: 600 listeners",
        "tail: 1 to 100 listeners",
    ]
    assert [int(listeners[band.members].sum()) for band in bands] == [1200, 1200, 1200]


def test_the_label_of_a_wide_head_is_open() -> None:
    # 40 pairs: 16 of at most 2 listeners, 7 of 7, 17 above.
    bands = popularity_bands(np.array([9, 8, 7, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]))
    assert [band.label for band in bands] == [
        "head: 8 listeners or more",
        "middle: 7 listeners",
        "tail: 1 to 2 listeners",
    ]


def test_two_bands_are_head_and_tail_and_one_is_all() -> None:
    assert [band.label for band in popularity_bands(np.array([90, 1]))] == [
        "head: 90 listeners",
        "tail: 1 listener",
    ]
    assert [band.label for band in popularity_bands(np.array([2, 2, 0]))] == ["all: 2 listeners"]


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=60).map(np.array),
    parts=st.integers(1, 6),
)
def test_ranges_cover_each_count_once(counts: np.ndarray, parts: int) -> None:
    ranges = even_ranges(counts, counts.astype(np.float64), parts)
    assert 1 <= len(ranges) <= parts
    within = [(low <= counts) & (counts <= high) for low, high in ranges]
    assert (np.sum(within, axis=0) == 1).all()
    assert all(members.any() for members in within)
    assert ranges == sorted(ranges)
