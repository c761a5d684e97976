"""Figures of compared models: values of measures with intervals, paired tests, and bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.measuring.measures import MEASURES, NDCG, Measures

# The strategies of contenders that are the recommender of the service with a model.
_SERVED: Final = frozenset({"auto", "als"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """The value of a measure with its interval.

    Attributes:
        value: the value.
        low, high: bounds of the 95 % bootstrap interval over users; None for a measure without an
            interval.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> list[float] | None:
        """Both bounds, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def __neg__(self) -> Estimate:
        """Returns the estimate with the opposite sign."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Estimate(-self.value, low, high)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two contenders on the same users.

    Attributes:
        first, second: names of the contenders.
        figure: name of the measure, at the main cut-off.
        difference: first minus second, with its bootstrap interval.
        p_value: of the paired t-test over users.
    """

    first: str
    second: str
    figure: str
    difference: Estimate
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as one flat object."""
        return {
            "first": self.first,
            "second": self.second,
            "figure": self.figure,
            "difference": self.difference.value,
            "interval": self.difference.interval,
            "p_value": self.p_value,
        }


@dataclass(frozen=True, slots=True)
class UserBand:
    """Users of similar activity.

    Attributes:
        label: the range in words, such as ``23 to 48 artists``.
        users: number of users.
        models: contender to its NDCG at the main cut-off.
    """

    label: str
    users: int
    models: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Returns the band with NDCG and its interval by contender."""
        return {
            "label": self.label,
            "users": self.users,
            "ndcg": {name: estimate.value for name, estimate in self.models.items()},
            "intervals": {name: estimate.interval for name, estimate in self.models.items()},
        }


@dataclass(frozen=True, slots=True)
class ItemBand:
    """Items of similar popularity.

    Attributes:
        label: the range in words, such as ``head: 61 listeners or more``.
        items: number of training items; in the band of items that are not in training, number of
            test items.
        test_share: share of the test pairs whose item is in the band.
        recall: contender to hits in the band / test pairs in the band, 0 without such test pairs.
        exposure: contender to the share of the places in its lists that the items take.
    """

    label: str
    items: int
    test_share: float
    recall: Mapping[str, float]
    exposure: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Returns the band with recall and exposure by contender."""
        return {
            "label": self.label,
            "artists": self.items,
            "test_share": self.test_share,
            "recall": dict(self.recall),
            "exposure": dict(self.exposure),
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """The measured values of the contenders.

    Attributes:
        split: the split, for the manifest.
        k: the main cut-off.
        folds: number of folds, over which the values are means.
        users: number of measured users.
        users_with_test: number of users with a test item; larger than ``users`` for a sample.
        models: contender to cut-off to name of the measure to its estimate.
        asked: contender to the options of its lists, for the manifest.
        comparisons: paired tests between the contenders.
        user_bands: least active first.
        item_bands: most popular first.
        exposure: contender to int64, shape (n_training_items,): number of lists of length k of the
            first fold that each of its training items is in, by ascending item index.
        per_fold: for each fold, contender to its measures at the main cut-off.
        measures: the measures, by name.
    """

    split: Mapping[str, Any]
    k: int
    folds: int
    users: int
    users_with_test: int
    models: Mapping[str, Mapping[int, Mapping[str, Estimate]]]
    asked: Mapping[str, Mapping[str, Any]]
    comparisons: Sequence[Comparison]
    user_bands: Sequence[UserBand]
    item_bands: Sequence[ItemBand]
    exposure: Mapping[str, NDArray[np.int64]]
    per_fold: Sequence[Mapping[str, Mapping[str, float]]] = ()
    measures: Measures = field(default_factory=lambda: MEASURES)

    def value(self, contender: str, figure: str, cutoff: int | None = None) -> float:
        """Returns the value of a measure of a contender, by default at k."""
        return self.models[contender][self.k if cutoff is None else cutoff][figure].value

    def ahead_of(self, subject: str) -> str | None:
        """Returns the contender with the highest NDCG above that of a contender, None for none.

        Lists of the same recommender, such as those of held-out users trained in, do not count.
        """
        ndcg = {
            name: by_cutoff[self.k][NDCG.name].value
            for name, by_cutoff in self.models.items()
            if NDCG.name in by_cutoff.get(self.k, {})
        }
        ahead = [
            name
            for name, value in ndcg.items()
            if self.asked.get(name, {}).get("strategy") not in _SERVED
            and value > ndcg.get(subject, float("inf"))
        ]
        return max(ahead, key=lambda name: ndcg[name], default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the figures for ``evaluate --json`` and the manifest.

        ``models`` has plain numbers at k, ``at`` those at all cut-offs. With several folds,
        ``repeats`` has the values of each.
        """
        at_k = {name: by_cutoff[self.k] for name, by_cutoff in self.models.items()}
        entry: dict[str, Any] = {
            "split": dict(self.split),
            "k": self.k,
            "folds": self.folds,
            "users": self.users,
            "users_with_test": self.users_with_test,
            "models": {name: _values(estimates) for name, estimates in at_k.items()},
            "asked": {name: dict(asked) for name, asked in self.asked.items()},
            "intervals": {name: _intervals(estimates) for name, estimates in at_k.items()},
            "at": {
                name: {str(cutoff): _values(estimates) for cutoff, estimates in by_cutoff.items()}
                for name, by_cutoff in self.models.items()
            },
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "bands": {
                "users": [band.to_json() for band in self.user_bands],
                "artists": [band.to_json() for band in self.item_bands],
            },
        }
        if self.folds > 1:
            entry["repeats"] = [
                {name: dict(figures) for name, figures in fold.items()} for fold in self.per_fold
            ]
        return entry


def _values(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    return {figure: estimate.value for figure, estimate in estimates.items()}


def _intervals(estimates: Mapping[str, Estimate]) -> dict[str, list[float]]:
    intervals = {figure: estimate.interval for figure, estimate in estimates.items()}
    return {figure: interval for figure, interval in intervals.items() if interval is not None}
