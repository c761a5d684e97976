import json
from dataclasses import replace

import numpy as np
import pytest

from training.measuring.figures import Comparison, Estimate, Figures, ItemBand, UserBand


def estimates(precision: float) -> dict[str, Estimate]:
    return {
        "precision": Estimate(precision, precision - 0.125, precision + 0.125),
        "coverage_items": Estimate(7),
    }


@pytest.fixture
def figures() -> Figures:
    """Two models at two cut-offs, all values made up."""
    return Figures(
        split={"name": "random per user", "seed": 0},
        k=10,
        folds=1,
        users=90,
        users_with_test=100,
        models={
            "popularity": {5: estimates(0.25), 10: estimates(0.125)},
            "als": {5: estimates(0.75), 10: estimates(0.5)},
        },
        asked={"popularity": {"strategy": "popularity"}, "als": {"strategy": "auto"}},
        comparisons=[
            Comparison("als", "popularity", "precision", Estimate(0.375, 0.25, 0.5), 0.0625)
        ],
        user_bands=[UserBand("1 to 22 artists", 90, {"als": Estimate(0.5, 0.25, 0.75)})],
        item_bands=[ItemBand("head: 9 listeners", 1, 0.5, {"als": 0.25}, {"als": 0.125})],
        exposure={"popularity": np.array([90, 0]), "als": np.array([40, 50])},
    )


def test_value_is_at_k_unless_told(figures: Figures) -> None:
    assert figures.value("als", "precision") == 0.5
    assert figures.value("als", "precision", 5) == 0.75


def test_an_estimate_has_an_interval_or_none() -> None:
    assert Estimate(1, 0.5, 2).interval == [0.5, 2]
    assert Estimate(1).interval is None


def test_json_holds_plain_numbers_at_k_and_beside_them_the_rest(figures: Figures) -> None:
    entry = json.loads(json.dumps(figures.to_json(), allow_nan=False))
    assert entry == {
        "split": {"name": "random per user", "seed": 0},
        "k": 10,
        "folds": 1,
        "users": 90,
        "users_with_test": 100,
        "models": {
            "popularity": {"precision": 0.125, "coverage_items": 7},
            "als": {"precision": 0.5, "coverage_items": 7},
        },
        "asked": {"popularity": {"strategy": "popularity"}, "als": {"strategy": "auto"}},
        "intervals": {
            "popularity": {"precision": [0, 0.25]},
            "als": {"precision": [0.375, 0.625]},
        },
        "at": {
            "popularity": {
                "5": {"precision": 0.25, "coverage_items": 7},
                "10": {"precision": 0.125, "coverage_items": 7},
            },
            "als": {
                "5": {"precision": 0.75, "coverage_items": 7},
                "10": {"precision": 0.5, "coverage_items": 7},
            },
        },
        "comparisons": [
            {
                "first": "als",
                "second": "popularity",
                "figure": "precision",
                "difference": 0.375,
                "interval": [0.25, 0.5],
                "p_value": 0.0625,
            }
        ],
        "bands": {
            "users": [
                {
                    "label": "1 to 22 artists",
                    "users": 90,
                    "ndcg": {"als": 0.5},
                    "intervals": {"als": [0.25, 0.75]},
                }
            ],
            "artists": [
                {
                    "label": "head: 9 listeners",
                    "artists": 1,
                    "test_share": 0.5,
                    "recall": {"als": 0.25},
                    "exposure": {"als": 0.125},
                }
            ],
        },
    }


def test_json_of_several_folds_holds_each(figures: Figures) -> None:
    per_fold = [{"als": {"precision": 0.25}}, {"als": {"precision": 0.75}}]
    entry = replace(figures, folds=2, per_fold=per_fold).to_json()
    assert entry["folds"] == 2
    assert entry["repeats"] == per_fold
