"""The measures that a report shows, with what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from training.numbers import count, number, percent


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure.

    Attributes:
        label: what it is called, ``{k}`` for the cut-off.
        write: writes a value.
        best: which end is best, ``max`` or ``min``.
        means: in plain words, ``{k}`` for the cut-off.
    """

    label: str
    write: Callable[[float], str]
    best: Callable[[list[float]], float]
    means: str


MEASURES: Final[Mapping[str, Measure]] = {
    "precision": Measure(
        "Precision@{k}",
        number,
        max,
        "How much of a list is right: hits among the first {k} artists, divided by {k}. A listener "
        "with fewer than {k} hidden artists cannot reach 1.",
    ),
    "recall": Measure(
        "Recall@{k}",
        number,
        max,
        "How much of what was hidden is found: hits among the first {k} artists, divided by the "
        "listener's hidden artists.",
    ),
    "ndcg": Measure(
        "NDCG@{k}",
        number,
        max,
        "Like precision, but a hit counts more the higher it stands (1 / log2(rank + 1)), divided "
        "by what the best possible list would get. 1 is perfect, 0 is no hit.",
    ),
    "map": Measure(
        "MAP@{k}",
        number,
        max,
        "Mean average precision: the precision at the rank of each hit, summed and divided by the "
        "hits that were possible.",
    ),
    "mrr": Measure(
        "MRR@{k}",
        number,
        max,
        "Mean reciprocal rank: 1 / rank of the first hit, 0 without one.",
    ),
    "hit_rate": Measure(
        "Hit rate@{k}",
        number,
        max,
        "Share of listeners who find at least one hidden artist among the first {k}.",
    ),
    "coverage_items": Measure(
        "Artists shown",
        count,
        max,
        "How many different artists stand in anybody's list of {k}.",
    ),
    "coverage": Measure(
        "Coverage",
        percent,
        max,
        "The same as a share of the artists that have a listener in training.",
    ),
    "novelty": Measure(
        "Novelty, bits",
        number,
        max,
        "How little known the recommended artists are: the mean of -log2(listeners / users). One "
        "bit more means artists with half as many listeners.",
    ),
    "gini": Measure(
        "Gini",
        number,
        min,
        "How unevenly the places in the lists are shared out: 0 if every artist is shown equally "
        "often, near 1 if one artist takes all places.",
    ),
}
