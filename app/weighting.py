"""Confidence weighting: how much a pair of user and item counts in the factorisation.

Training weights its whole matrix and fold-in one row with the same object, which is saved with
the model. Except for ``raw`` the weightings are scale-free: plays count in medians of the training
plays, and weights are divided by their mean, so that plays in seconds, in albums, or all set to
one ask for the same ``alpha``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.interactions import UserItems

# The plays of a pair that was seen, and whose preference skips have used up: enough to be there,
# and too few to weigh anything.
USED_UP: Final = 1e-30


class WeightingName(StrEnum):
    """The known weightings."""

    RAW = "raw"
    BINARY = "binary"
    LINEAR = "linear"
    LOG = "log"
    BM25 = "bm25"


@dataclass(frozen=True, slots=True)
class Weighting:
    """A weighting with the statistics of the data that it was fitted on.

    With t = plays / median plays, the weight before the division by the mean is

    - ``raw``: plays, undivided (the confidence of the reference study);
    - ``binary``: 1, however many plays, and 0 for plays that skips have used up;
    - ``linear``: t;
    - ``log``: log(1 + t);
    - ``bm25``: idf_i * t * (k1 + 1) / (t + k1 * (1 - b + b * L_u / mean L)), where users are the
      documents, items the terms, L_u is the sum of t over the user's row and
      idf_i = log(1 + (N - n_i + 0.5) / (n_i + 0.5)), which stays above zero for an item that
      nearly everyone plays. (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009,
      equation 3.15, with the plus one of Lucene.)

    Attributes:
        name: which of the five.
        k1, b: the parameters of ``bm25``; unused by the others.
        median_plays: median of the training plays.
        mean_length: mean of L_u over users with items.
        mean_weight: mean of the undivided weights over the training pairs.
        idf: float32, shape (n_items,) for ``bm25``, else shape (0,).
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
            raise ValueError(f"bm25 wants k1 above 0 and b from 0 to 1, not k1={k1}, b={b}")
        median_plays = float(np.median(user_items.plays))
        lengths = _row_sums(user_items.plays.astype(np.float64) / median_plays, user_items.indptr)
        idf = np.zeros(0, dtype=np.float32)
        if name is WeightingName.BM25:
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
        if name is not WeightingName.RAW:
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
        """Returns what the manifest keeps of it: everything but the array."""
        entry = {field: getattr(self, field) for field in self.__slots__ if field != "idf"}
        return entry | {"name": str(self.name)}

    def weigh(self, user_items: UserItems) -> NDArray[np.float32]:
        """Weights pairs.

        Args:
            user_items: raw plays of any users over the items that the weighting was fitted on.

        Returns:
            float32, shape (nnz,), the weight of each pair; a row's weights depend on that row only.
        """
        plays = user_items.plays.astype(np.float64)
        if self.name is WeightingName.RAW:
            return user_items.plays
        if self.name is WeightingName.BINARY:
            return (~is_used_up(plays)).astype(np.float32)
        term_frequency = plays / self.median_plays
        if self.name is WeightingName.LINEAR:
            weights = term_frequency
        elif self.name is WeightingName.LOG:
            weights = np.log1p(term_frequency)
        else:
            length = _row_sums(term_frequency, user_items.indptr) / self.mean_length
            normalisation = self.k1 * (1 - self.b + self.b * length)
            weights = (
                self.idf[user_items.indices]
                * term_frequency
                * (self.k1 + 1)
                / (term_frequency + np.repeat(normalisation, user_items.row_lengths()))
            )
        return (weights / self.mean_weight).astype(np.float32)


def is_used_up(plays: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Says of plays whether they only stand for a pair that was seen."""
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
