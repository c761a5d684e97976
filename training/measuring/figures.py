"""Figures of compared models: means over users with intervals, paired tests, and bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.measuring.measures import MEASURES, Measures


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: the figure.
        low, high: bounds of the 95 % bootstrap interval over users; None for a figure that is no
            mean over users.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> list[float] | None:
        """Both bounds, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def __neg__(self) -> Estimate:
        """Returns the estimate of the opposite difference."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Estimate(-self.value, low, high)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same users.

    Attributes:
        first, second: names of the models.
        figure: name of the figure, at the main cut-off.
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
    """Users of like activity.

    Attributes:
        label: for people, such as ``23 to 48 artists``.
        users: how many.
        models: NDCG at the main cut-off by model.
    """

    label: str
    users: int
    models: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Returns the band with NDCG and its interval by model."""
        return {
            "label": self.label,
            "users": self.users,
            "ndcg": {name: estimate.value for name, estimate in self.models.items()},
            "intervals": {name: estimate.interval for name, estimate in self.models.items()},
        }


@dataclass(frozen=True, slots=True)
class ItemBand:
    """Items of like popularity.

    Attributes:
        label: for people, such as ``head: 61 listeners or more``.
        items: how many training items; in the band of those that training lacks, test items.
        test_share: share of the test pairs whose item is one of them.
        recall: by model, hits in the band / test pairs in the band; 0 where there are no such.
        exposure: by model, share of the lists' places that they take.
    """

    label: str
    items: int
    test_share: float
    recall: Mapping[str, float]
    exposure: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Returns the band with recall and exposure by model."""
        return {
            "label": self.label,
            "artists": self.items,
            "test_share": self.test_share,
            "recall": dict(self.recall),
            "exposure": dict(self.exposure),
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of the contenders.

    Attributes:
        split: how the test part was cut, for the manifest.
        k: the main cut-off.
        folds: how many train and test parts the figures are means over.
        users: users that were measured.
        users_with_test: users with a test item; more than ``users`` where these are a sample.
        models: by contender, then by cut-off, then by name of the measure.
        asked: by contender, how its lists were asked for, for the manifest.
        comparisons: paired tests between the contenders.
        user_bands: least active first.
        item_bands: most popular first.
        exposure: by contender, int64, shape (n_training_items,): how often each training item of
            the first fold stands in a list of length k there; by ascending item index.
        per_fold: for each fold by contender its measures at the main cut-off.
        measures: what was measured, by name.
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
        """Returns a figure of a contender, at k unless told."""
        return self.models[contender][self.k if cutoff is None else cutoff][figure].value

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as ``evaluate --json`` and the manifest give them.

        ``models`` holds plain numbers at k, ``at`` those at all cut-offs. Several folds add
        ``repeats``, the figures of each.
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
