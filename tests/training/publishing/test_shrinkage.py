from __future__ import annotations

import json

import pytest

from training.publishing.shrinkage import Shrinkage, shrinkage

BEFORE = {"name": "table", "users": 1000, "artists": 500, "pairs": 9001}


@pytest.mark.parametrize(
    ("now", "shrunk"),
    [
        ({"users": 499}, {"users": (1000, 499)}),
        ({"artists": 249}, {"artists": (500, 249)}),
        ({"pairs": 4500}, {"pairs": (9001, 4500)}),
        ({"users": 1, "pairs": 2}, {"users": (1000, 1), "pairs": (9001, 2)}),
    ],
)
def test_less_than_half_of_any_count_has_shrunk(
    now: dict[str, int], shrunk: dict[str, tuple[int, int]]
) -> None:
    assert shrinkage(BEFORE | now, BEFORE, "v") == Shrinkage("v", shrunk)


def test_exactly_half_is_not_less_than_half() -> None:
    now = {"users": 500, "artists": 250, "pairs": 4501}
    assert shrinkage(BEFORE | now, BEFORE, "v") is None


def test_growing_is_no_shrinking() -> None:
    now = {"users": 9000, "artists": 9000, "pairs": 90_000}
    assert shrinkage(BEFORE | now, BEFORE, "v") is None


def test_another_dataset_is_not_compared() -> None:
    assert shrinkage(BEFORE | {"name": "events", "users": 1}, BEFORE, "v") is None


def test_the_sample_has_any_size() -> None:
    sample = BEFORE | {"name": "synthetic"}
    assert shrinkage(sample | {"users": 1}, sample, "v") is None


def test_counts_that_a_manifest_lacks_are_not_compared() -> None:
    assert shrinkage({"name": "table", "users": 1}, {"name": "table", "pairs": 9}, "v") is None
    assert shrinkage({}, {}, "v") is None


def test_the_manifest_gives_it_back() -> None:
    shrunk = Shrinkage("v", {"users": (1000, 300), "pairs": (9000, 3000)})
    entry = json.loads(json.dumps(shrunk.to_manifest()))
    assert entry["counts"]["users"] == {"before": 1000, "now": 300, "share": 0.3}
    assert Shrinkage.from_manifest(entry) == shrunk


def test_it_says_what_shrank_from_what_to_what() -> None:
    shrunk = Shrinkage("v", {"users": (1000, 300), "pairs": (9000, 3000)})
    assert str(shrunk) == "300 instead of 1,000 users, 3,000 instead of 9,000 pairs"
