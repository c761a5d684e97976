"""Measures of ranked lists, and the table of all measures; the functions are vectorised.

Means over users take ``hits``, bool, shape (n_users, k): whether the item at each rank is a test
item of the user; and ``n_test``, int, shape (n_users,): the number of test items of the user, at
least one. A list shorter than k is padded with False. Each returns float64, shape (n_users,).

A mean over places takes the listeners of each item and returns a value for each. A measure of
exposure takes ``counts``, int, shape (n_training_items,): the number of lists that each item is in,
zeros included.

A new measure is a function and a row of ``MEASURES``: evaluation, intervals, JSON, the table on the
terminal and the report take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.numbers import Form

Hits: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = NDArray[np.int64]
PerUser: TypeAlias = NDArray[np.float64]
PerItem: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """Properties of every measure.

    Attributes:
        name: in JSON and in the manifest.
        label: its name for people, without cut-off and unit.
        says: its meaning in plain words, with ``{k}`` for the cut-off.
        paper: its source; empty for common measures.
        unit: shown after the label; empty for none.
        form: form of a value in a table.
        form_in_words: form of a value in a sentence, None for the same.
        lower_is_better: whether the lowest value is the best.
        after: name of the measure that ``says`` refers to, so that this one is shown after it;
            empty for the order of the table.
    """

    name: str
    label: str
    says: str
    paper: str = ""
    unit: str = ""
    form: Form = Form.NUMBER
    form_in_words: Form | None = None
    lower_is_better: bool = False
    after: str = ""

    def title(self, k: int | str) -> str:
        """Returns the label with the unit, for instance ``Novelty, bits``."""
        del k
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def best(self, values: Sequence[float]) -> float:
        """Returns the best of some values, at least one."""
        return min(values) if self.lower_is_better else max(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverUsers(_Measure):
    """A mean over users.

    Attributes:
        of: returns the value of each user.
        gist: the meaning of its curve in a few words. A measure with a gist is drawn by length of
            the list, and its differences are tested; empty for neither.
    """

    of: Callable[[Hits, Counts], PerUser]
    gist: str = ""

    def title(self, k: int | str) -> str:
        """Returns the label with the cut-off, for instance ``Recall@10``."""
        return f"{self.label}@{k}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverPlaces(_Measure):
    """A mean over the places of all lists.

    Attributes:
        of: returns the value of each item from its training listeners and the number of training
            users.
    """

    of: Callable[[Counts, int], PerItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfExposure(_Measure):
    """A measure of how the places are shared among items; no mean, so it has no interval.

    Attributes:
        of: returns the measure from the number of lists that each training item is in.
    """

    of: Callable[[Counts], float]


Measure: TypeAlias = OverUsers | OverPlaces | OfExposure
Measures: TypeAlias = Mapping[str, Measure]


def precision(hits: Hits, n_test: Counts) -> PerUser:
    """Precision@k = hits / k."""
    del n_test
    return np.asarray(hits.mean(axis=1))


def recall(hits: Hits, n_test: Counts) -> PerUser:
    """Recall@k = hits / test items."""
    return np.asarray(hits.sum(axis=1) / n_test)


def ndcg(hits: Hits, n_test: Counts) -> PerUser:
    """NDCG@k with binary gain: DCG / DCG of a list that begins with min(k, test items) hits.

    DCG = sum over hits of 1 / log2(rank + 1) (Järvelin and Kekäläinen, Cumulated Gain-Based
    Evaluation of IR Techniques, 2002, in the variant that discounts every rank).
    """
    k = hits.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_test, k) - 1]
    # No matrix product: its rounding may depend on how BLAS divides the rows.
    return np.asarray((hits * discount).sum(axis=1) / ideal)


def average_precision(hits: Hits, n_test: Counts) -> PerUser:
    """AP@k = sum of precision at the rank of each hit / min(k, test items)."""
    k = hits.shape[1]
    precision_at_rank = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    return np.asarray((precision_at_rank * hits).sum(axis=1) / np.minimum(n_test, k))


def reciprocal_rank(hits: Hits, n_test: Counts) -> PerUser:
    """1 / rank of the first hit, 0 without one; its mean is the MRR."""
    del n_test
    first = hits.argmax(axis=1) + 1
    return np.asarray(hits.any(axis=1) / first)


def hit(hits: Hits, n_test: Counts) -> PerUser:
    """1 with any hit, else 0; its mean is the hit rate."""
    del n_test
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def surprise(listeners: Counts, n_users: int) -> PerUser:
    """Returns -log2(listeners / users) of each item, in bits; its mean over lists is the novelty.

    The self-information of an item (Zhou et al., Solving the Apparent Diversity-Accuracy Dilemma of
    Recommender Systems, 2010).

    Args:
        listeners: training users of each item; an item without any counts as having one.
        n_users: training users.
    """
    return np.asarray(-np.log2(np.maximum(listeners, 1) / n_users))


def distinct(counts: Counts) -> int:
    """Returns the number of items that are recommended at all."""
    return int((counts > 0).sum())


def coverage(counts: Counts) -> float:
    """Returns the share of the items that are recommended at all."""
    return distinct(counts) / len(counts)


def gini(counts: Counts) -> float:
    """Gini coefficient of the counts: 0 for equal counts, near 1 for one item in all places."""
    if counts.sum() == 0:
        return 0.0
    ascending = np.sort(counts).astype(np.float64)
    n = len(ascending)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * ascending).sum() / (n * ascending.sum()))


def table(*rows: Measure) -> Measures:
    """Returns measures by name.

    Raises:
        ValueError: two have the same name, or ``after`` names a missing measure.
    """
    measures = {row.name: row for row in rows}
    if len(measures) < len(rows):
        raise ValueError("two measures have the same name")
    lost = [row.name for row in rows if row.after and row.after not in measures]
    if lost:
        raise ValueError(f"'after' names a missing measure in: {', '.join(lost)}")
    return MappingProxyType(measures)


def shown(measures: Measures) -> list[Measure]:
    """Returns measures in the order in which people see them."""
    places = {name: place for place, name in enumerate(measures)}
    return sorted(
        measures.values(), key=lambda one: (places[one.after or one.name], one.after != "")
    )


def compared(measures: Measures) -> list[OverUsers]:
    """Returns the measures of the paired tests and of the curves by length of the list."""
    return [one for one in measures.values() if isinstance(one, OverUsers) and one.gist]


PRECISION: Final = OverUsers(
    name="precision",
    label="Precision",
    of=precision,
    says="How much of a list is right: hits among the first {k} artists, divided by {k}. A "
    "listener with fewer than {k} hidden artists cannot reach 1.",
    form_in_words=Form.SHARE,
    gist="Part of the list that is right",
)
RECALL: Final = OverUsers(
    name="recall",
    label="Recall",
    of=recall,
    says="How much of what was hidden is found: hits among the first {k} artists, divided by "
    "the listener's hidden artists.",
    form_in_words=Form.SHARE,
    gist="Part of the hidden artists that is found",
)
NDCG: Final = OverUsers(
    name="ndcg",
    label="NDCG",
    of=ndcg,
    says="Like precision, but a hit counts more the higher it stands (1 / log2(rank + 1)), "
    "divided by what the best possible list would get. 1 is perfect, 0 is no hit.",
    paper="Järvelin and Kekäläinen, 2002",
    gist="Quality of the order",
)

# In the order of the JSON.
MEASURES: Final = table(
    PRECISION,
    RECALL,
    NDCG,
    OverUsers(
        name="map",
        label="MAP",
        of=average_precision,
        says="Mean average precision: the precision at the rank of each hit, summed and divided by "
        "the hits that were possible.",
    ),
    OverUsers(
        name="mrr",
        label="MRR",
        of=reciprocal_rank,
        says="Mean reciprocal rank: 1 / rank of the first hit, 0 without one.",
    ),
    OverUsers(
        name="hit_rate",
        label="Hit rate",
        of=hit,
        says="Share of listeners who find at least one hidden artist among the first {k}.",
        form_in_words=Form.SHARE,
    ),
    OfExposure(
        name="coverage",
        label="Coverage",
        of=coverage,
        says="The same as a share of the artists that have a listener in training.",
        form=Form.SHARE,
        after="coverage_items",
    ),
    OfExposure(
        name="coverage_items",
        label="Artists shown",
        of=distinct,
        says="How many different artists stand in anybody's list of {k}.",
        form=Form.COUNT,
    ),
    OverPlaces(
        name="novelty",
        label="Novelty",
        of=surprise,
        says="How little known the recommended artists are: the mean of -log2(listeners / users). "
        "One bit more means artists with half as many listeners.",
        paper="Zhou et al., 2010",
        unit="bits",
    ),
    OfExposure(
        name="gini",
        label="Gini",
        of=gini,
        says="How unevenly the places in the lists are shared out: 0 if every artist is shown "
        "equally often, near 1 if one artist takes all places.",
        lower_is_better=True,
    ),
)
