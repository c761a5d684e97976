"""Small made-up studies; nothing in them was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.builders import user_items_of
from training.measuring.convergence import Convergence
from training.measuring.figures import Comparison, Estimate, Figures, ItemBand, UserBand
from training.measuring.measures import MEASURES, OverUsers
from training.study import DiscoveryPoint, Listed, Listener, Study
from training.tuning.trials import Search, Trial

MODELS: Final = ("als", "popularity")
CREATED_AT: Final = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)

PLAYS: Final = (
    (9, 3, 0, 0, 1),
    (0, 40, 2, 0, 0),
    (5, 1, 1, 0, 300),
    (0, 8, 0, 0, 0),
)
EXPOSURE: Final[Mapping[str, Sequence[int]]] = {
    "als": (6, 3, 2, 1, 0),
    "popularity": (6, 6, 0, 0, 0),
}


def small_study(
    *,
    name: str = "hetrec-lastfm-2k",
    preset: str = "default",
    models: Sequence[str] = MODELS,
    convergence: Convergence | None = None,
    discovery: Sequence[DiscoveryPoint] = (),
    listeners: Sequence[Listener] = (),
    search: Search | None = None,
    **figures: Any,
) -> Study:
    """Returns a study with only what every study has, changed as given.

    Args:
        name: of the dataset.
        preset: its name.
        models: the contenders.
        convergence: as in ``Study``.
        discovery: as in ``Study``.
        listeners: as in ``Study``.
        search: as in ``Study``.
        figures: as in ``small_figures``.
    """
    return Study(
        dataset={
            "name": name,
            "sources": {"plays.tsv": {"sha256": "0" * 64, "bytes": 100}},
            "rows_read": 12_345,
            "rows_dropped": {"plays below one": 45},
            "rows_noted": {},
            "filters": [{"name": "records read", "records": 12_300, "users": 4, "items": 5}],
        },
        user_items=user_items_of(PLAYS),
        preset=preset,
        parameters={"weighting": "bm25", "factors": 64, "regularization": None, "alpha": 6.5},
        created_at=CREATED_AT,
        code_version="0.1.0",
        figures=small_figures(models, **figures),
        convergence=convergence,
        discovery=discovery,
        listeners=listeners,
        search=search,
    )


def full_study(**changes: Any) -> Study:
    """Returns a study with every part that a study can have, changed as given."""
    parts: dict[str, Any] = {
        "convergence": Convergence(
            k=10, users=40, ndcg=[0.1, 0.19, 0.2, 0.199], best=3, patience=2
        ),
        "discovery": [dial(0, 0.2, 100), dial(0.5, 0.195, 150), dial(1, 0.1, 400)],
        "listeners": [small_listener()],
        "search": small_search(),
        "user_bands": [
            UserBand("1 to 9 artists", 30, {"als": Estimate(0.1), "popularity": Estimate(0.08)}),
            UserBand("10 to 99 artists", 20, {"als": Estimate(0.3), "popularity": Estimate(0.1)}),
        ],
        "item_bands": [
            ItemBand("head: 3 listeners or more", 1, 0.5, by_model(0.4, 0.3), by_model(0.7, 1)),
            ItemBand("tail: 1 to 2 listeners", 3, 0.5, by_model(0.1, 0), by_model(0.3, 0)),
        ],
    }
    return small_study(**(parts | changes))


def small_figures(
    models: Sequence[str] = MODELS, *, cutoffs: Sequence[int] = (5, 10), **changes: Any
) -> Figures:
    """Returns figures in which the first model is the best, changed as given."""
    parts: dict[str, Any] = {
        "split": {"name": "random per user", "test_fraction": 0.2, "seed": 0},
        "k": 10,
        "folds": 1,
        "users": 50,
        "users_with_test": 50,
        "models": {
            name: {k: estimates(0.2 / place, items=100 // place) for k in cutoffs}
            for place, name in enumerate(models, start=1)
        },
        "asked": {},
        "comparisons": [
            Comparison(models[0], name, "ndcg", Estimate(0.1, 0.08, 0.12), 1e-9)
            for name in models[1:]
        ],
        "user_bands": [],
        "item_bands": [],
        "exposure": {name: exposure(*EXPOSURE[name]) for name in models if name in EXPOSURE},
    }
    return Figures(**(parts | changes))


def estimates(value: float, *, items: float = 100) -> dict[str, Estimate]:
    """Returns every measure: means over users with intervals of a tenth, and the others."""
    others = {"coverage": items / 1000, "coverage_items": items, "novelty": 3.5, "gini": 0.97}
    return {
        name: Estimate(value, 0.9 * value, 1.1 * value)
        if isinstance(measure, OverUsers)
        else Estimate(others.get(name, value))
        for name, measure in MEASURES.items()
    }


def small_search(n_trials: int = 3, **changes: Any) -> Search:
    """Returns a search whose last trial is best and whose second one was given up."""
    tried = [
        Trial(
            number=number,
            parameters={"weighting": ("bm25", "log")[number % 2], "factors": 32 * (number + 1)},
            ndcg=0.2 + number / 1000,
            curve=[0.1, 0.2 + number / 1000],
            pruned=number == 1,
            seconds=2.0,
        )
        for number in range(n_trials)
    ]
    parts: dict[str, Any] = {
        "trials": tried,
        "best": n_trials - 1,
        "k": 10,
        "users": 40,
        "space": {"weighting": "bm25, log", "factors": "32 to 512, by logarithm"},
    }
    return Search(**(parts | changes))


def small_listener(*names: str) -> Listener:
    """Returns a listener who plays the first name and is recommended all; the last is a hit."""
    names = names or ("The Doors", "Tom Waits")
    listed = [Listed(name, name == names[-1]) for name in names]
    return Listener(
        plays=[(names[0], 1234.0)],
        artists=12,
        hidden=[names[-1]],
        lists={"als": listed, "popularity": listed[:1]},
    )


def dial(discovery: float, ndcg: float, items: int) -> DiscoveryPoint:
    """Returns a point of the discovery curve."""
    return DiscoveryPoint(
        discovery=discovery,
        ndcg=ndcg,
        precision=ndcg,
        coverage=items / 1000,
        coverage_items=items,
        novelty=3 + discovery,
        gini=0.9 - discovery / 10,
    )


def by_model(als: float, popularity: float) -> dict[str, float]:
    """Returns a value for each of the two models."""
    return {"als": als, "popularity": popularity}


def exposure(*places: int) -> NDArray[np.int64]:
    """Returns how often each artist is shown."""
    return np.array(places, dtype=np.int64)
