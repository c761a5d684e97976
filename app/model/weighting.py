"""Confidence weighting: how much a pair of user and item counts in the factorisation.

Training weights its whole matrix and fold-in one row with the same object, which is saved with
the model. Except for ``raw`` the weightings are scale-free: plays count in medians of the training
plays, and weights are divided by their mean, so that the same ``alpha`` suits plays in seconds, in
albums, or all set to one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems

# The plays of a pair that was seen but whose plays were used up by skips: above zero, so that the
# pair stays in the matrix, and too few to have any weight.
USED_UP: Final = 1e-30


class WeightingName(StrEnum):
    """The known weightings; ``WEIGHTINGS`` says what each of them is."""

    RAW = "raw"
    BINARY = "binary"
    LINEAR = "linear"
    LOG = "log"
    BM25 = "bm25"


@dataclass(frozen=True, slots=True)
class Weighting:
    """A weighting with the statistics of the data that it was fitted on.

    Attributes:
        name: which one; see ``WEIGHTINGS``.
        k1, b: the parameters of ``bm25``; unused by the others.
        median_plays: median of the training plays.
        mean_length: mean of L_u over users with items.
        mean_weight: mean of the undivided weights over the training pairs; 1 where weights are not
            divided.
        idf: float32, shape (n_items,) where the weighting has one, else shape (0,).
    """

    name: WeightingName
    k1: float
    b: float
    median_plays: float
    mean_length: float
    mean_weight: float
    idf: NDArray[np.float32]

    @classmethod
    def fit(
        cls, user_items: UserItems, name: WeightingName, *, k1: float = 1.0, b: float = 0.5
    ) -> Self:
        """Takes the statistics of the training data.

        Args:
            user_items: raw plays, n_users x n_items, at least one pair.
            name: which weighting.
            k1: saturation of ``bm25``, in medians of the plays, above 0.
            b: length normalisation of ``bm25``, 0 (none) to 1 (full).

        Raises:
            ValueError: no pairs, or parameters out of range.
        """
        if user_items.nnz == 0:
            raise ValueError("there are no pairs to weight")
        if not (k1 > 0 and 0 <= b <= 1):
            raise ValueError(f"bm25 needs k1 above 0 and b from 0 to 1, not k1={k1}, b={b}")
        # Exact also where the sum of two plays exceeds float32.
        median_plays = float(np.median(user_items.plays.astype(np.float64)))
        lengths = _row_sums(user_items.plays.astype(np.float64) / median_plays, user_items.indptr)
        idf = np.zeros(0, dtype=np.float32)
        rule = WEIGHTINGS[name]
        if rule.has_idf:
            n_users = int(np.count_nonzero(user_items.row_lengths()))
            listeners = user_items.listeners()
            idf = np.log1p((n_users - listeners + 0.5) / (listeners + 0.5)).astype(np.float32)
        undivided = cls(
            name=name,
            k1=k1,
            b=b,
            median_plays=median_plays,
            mean_length=float(lengths[lengths > 0].mean()),
            mean_weight=1.0,
            idf=idf,
        )
        mean_weight = 1.0
        if rule.is_scale_free:
            mean_weight = float(undivided.weigh(user_items).mean(dtype=np.float64))
        return cls(
            **{field: getattr(undivided, field) for field in cls.__slots__}
            | {"mean_weight": mean_weight}
        )

    @classmethod
    def from_manifest(cls, entry: Mapping[str, object], idf: NDArray[np.float32]) -> Self:
        """Restores a weighting from the manifest's entry and its array."""
        numbers = {
            key: float(str(entry[key]))
            for key in ("k1", "b", "median_plays", "mean_length", "mean_weight")
        }
        return cls(name=WeightingName(str(entry["name"])), idf=idf, **numbers)

    def to_manifest(self) -> dict[str, object]:
        """Returns the manifest's entry: everything but the array."""
        entry = {field: getattr(self, field) for field in self.__slots__ if field != "idf"}
        return entry | {"name": str(self.name)}

    def weigh(self, user_items: UserItems) -> NDArray[np.float32]:
        """Weights pairs.

        Args:
            user_items: raw plays of any users over the items that the weighting was fitted on.

        Returns:
            float32, shape (nnz,), the weight of each pair; a row's weights depend on that row only.
        """
        return WEIGHTINGS[self.name].weigh(self, user_items)

    def in_medians(self, user_items: UserItems) -> NDArray[np.float64]:
        """Returns t of each pair: its plays in medians of the training plays, shape (nnz,)."""
        return user_items.plays.astype(np.float64) / self.median_plays

    def divided(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Returns weights divided by their mean over the training pairs, float32."""
        return (weights / self.mean_weight).astype(np.float32)


def is_used_up(plays: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Says whether plays only mark a pair that was seen; see ``USED_UP``."""
    return np.asarray(plays) < 2 * USED_UP  # sums in float32 are not exact


def _row_sums(values: NDArray[np.floating], indptr: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums each row, shape (n_rows,); a row's sum does not depend on its neighbours."""
    sums = np.zeros(len(indptr) - 1)
    filled = np.diff(indptr) > 0
    # reduceat gives an empty segment the value that follows it, so only filled rows take part.
    sums[filled] = (
        np.add.reduceat(values, indptr[:-1][filled], dtype=np.float64) if len(values) else 0.0
    )
    return sums


def _raw(_weighting: Weighting, user_items: UserItems) -> NDArray[np.float32]:
    return user_items.plays


def _binary(_weighting: Weighting, user_items: UserItems) -> NDArray[np.float32]:
    return (~is_used_up(user_items.plays.astype(np.float64))).astype(np.float32)


def _linear(weighting: Weighting, user_items: UserItems) -> NDArray[np.float32]:
    return weighting.divided(weighting.in_medians(user_items))


def _log(weighting: Weighting, user_items: UserItems) -> NDArray[np.float32]:
    return weighting.divided(np.log1p(weighting.in_medians(user_items)))


def _bm25(weighting: Weighting, user_items: UserItems) -> NDArray[np.float32]:
    """Weights by idf_i * t * (k1 + 1) / (t + k1 * (1 - b + b * L_u / mean L)).

    Users are the documents, items the terms, L_u is the sum of t over the user's row and
    idf_i = log(1 + (N - n_i + 0.5) / (n_i + 0.5)), which stays above zero for an item that nearly
    everyone plays. (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, equation
    3.15, with the plus one of Lucene.)
    """
    k1, b, frequency = weighting.k1, weighting.b, weighting.in_medians(user_items)
    length = _row_sums(frequency, user_items.indptr) / weighting.mean_length
    normalisation = k1 * (1 - b + b * length)
    return weighting.divided(
        weighting.idf[user_items.indices]
        * frequency
        * (k1 + 1)
        / (frequency + np.repeat(normalisation, user_items.row_lengths()))
    )


@dataclass(frozen=True, slots=True)
class WeightingRule:
    """The declaration of a weighting.

    Attributes:
        words: the weight in words, for people; a clause without a full stop.
        weigh: returns the weight of each pair, float32, shape (nnz,), from a fitted weighting and
            raw plays.
        is_scale_free: whether weights stay the same when plays are in another unit.
        has_idf: whether it uses the inverse document frequency of items.
    """

    words: str
    weigh: Callable[[Weighting, UserItems], NDArray[np.float32]]
    is_scale_free: bool = True
    has_idf: bool = False


# With t for plays in medians; all but raw and binary are divided by their mean.
WEIGHTINGS: Final[Mapping[WeightingName, WeightingRule]] = {
    WeightingName.RAW: WeightingRule("plays as they are", _raw, is_scale_free=False),
    WeightingName.BINARY: WeightingRule("1, however many plays", _binary),
    WeightingName.LINEAR: WeightingRule("t, plays in medians", _linear),
    WeightingName.LOG: WeightingRule("log(1 + t)", _log),
    WeightingName.BM25: WeightingRule(
        "t saturated, by length of the history and rarity of the artist",
        _bm25,
        has_idf=True,
    ),
}
if _missing := WeightingName.__members__.values() - WEIGHTINGS.keys():
    raise AssertionError(f"weightings without a rule: {', '.join(sorted(_missing))}")
