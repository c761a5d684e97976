"""Intervals and tests: the bootstrap over users, and the paired t-test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from training.threads import in_threads

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95

# Approximate counts in one block of resamples, and the fewest rows that are efficient in BLAS.
_COUNTS_PER_BLOCK: Final = 2**20
_LEAST_ROWS: Final = 16


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Resamples of users, the same for all values.

    So differences between contenders are paired, and intervals are reproducible.

    Attributes:
        n_users: number of users; each resample draws that many with replacement.
        seed: of the draws.
    """

    n_users: int
    seed: int = 0

    def sums(
        self, values: NDArray[np.float64], positions: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Sums values over the users of each resample.

        Args:
            values: shape (n_rows, n_columns), one row for each user.
            positions: shape (n_rows,), the user of each row, 0 to n_users - 1; unique.

        Returns:
            float64, shape (RESAMPLES, n_columns).
        """
        sums = np.empty((RESAMPLES, values.shape[1]))
        rows = int(np.clip(_COUNTS_PER_BLOCK // self.n_users, _LEAST_ROWS, RESAMPLES))

        def fill(start: int) -> None:
            counts = self._counts(start, min(rows, RESAMPLES - start))
            sums[start : start + len(counts)] = counts[:, positions] @ values

        in_threads(fill, range(0, RESAMPLES, rows))
        return sums

    def _counts(self, start: int, rows: int) -> NDArray[np.float64]:
        """Returns the number of times that each user is drawn, shape (rows, n_users)."""
        rng = np.random.default_rng([self.seed, start])
        counts = np.empty((rows, self.n_users))
        for row in counts:
            drawn = rng.integers(self.n_users, size=self.n_users, dtype=np.int32)
            row[:] = np.bincount(drawn, minlength=self.n_users)
        return counts


def ratios(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Divides arrays of one shape; NaN where the denominator is 0."""
    quotients = np.full(numerators.shape, np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


def mean_over_folds(by_fold: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Returns the means of arrays of one shape without NaN; NaN where all values are NaN."""
    stacked = np.stack(by_fold)
    present = ~np.isnan(stacked)
    totals = np.where(present, stacked, 0.0).sum(axis=0)
    return ratios(totals, present.sum(axis=0, dtype=np.float64))


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the percentile interval of a resampled value.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Args:
        resampled: shape (RESAMPLES,), NaN where a resample has no value.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled[~np.isnan(resampled)], [tail, 1 - tail])
    return float(low), float(high)


def paired_t_test(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Returns the two-sided p-value of the paired t-test over users.

    Smucker, Allan and Carterette (A Comparison of Statistical Significance Tests for Information
    Retrieval Evaluation, 2007) found it to agree with the randomisation test.

    Args:
        first: shape (n_users,), values of users.
        second: shape (n_users,), values of the same users with another contender.

    Returns:
        The p-value; 1 for a single user, who proves nothing, and for equal values; 0 if all users
        differ by the same amount.
    """
    differences = first - second
    mean = float(differences.mean())
    if len(differences) < 2 or not differences.any():
        return 1.0
    error = float(differences.std(ddof=1)) / sqrt(len(differences))
    if error <= abs(mean) * np.finfo(np.float64).eps:
        return 0.0
    return float(2 * stdtr(len(differences) - 1, -abs(mean) / error))
