"""How sure a difference is: bootstrap over users, and the paired t-test."""

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

# Counts of one block of resamples are about so many, unless that were too few rows for BLAS.
_COUNTS_PER_BLOCK: Final = 2**20
_LEAST_ROWS: Final = 16


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Resamples of users, the same for everything that is asked of them.

    So differences between models are paired, and intervals repeat exactly.

    Attributes:
        n_users: users to draw from; each resample draws as many, with replacement.
        seed: of the draws.
    """

    n_users: int
    seed: int = 0

    def sums(
        self, values: NDArray[np.float64], positions: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Sums values over the users of each resample.

        Args:
            values: shape (n_rows, n_columns), one row a user.
            positions: shape (n_rows,), which of the ``n_users`` each row belongs to; unique.

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
        """Returns how often each user is drawn, shape (rows, n_users)."""
        rng = np.random.default_rng([self.seed, start])
        counts = np.empty((rows, self.n_users))
        for row in counts:
            drawn = rng.integers(self.n_users, size=self.n_users, dtype=np.int32)
            row[:] = np.bincount(drawn, minlength=self.n_users)
        return counts


def ratios(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Divides arrays of one shape; NaN where there is nothing to divide by."""
    quotients = np.full(numerators.shape, np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


def mean_over_folds(by_fold: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Averages arrays of one shape over those folds that are not NaN; NaN where all are."""
    stacked = np.stack(by_fold)
    present = ~np.isnan(stacked)
    totals = np.where(present, stacked, 0.0).sum(axis=0)
    return ratios(totals, present.sum(axis=0, dtype=np.float64))


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the percentile interval of a resampled figure.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Args:
        resampled: shape (RESAMPLES,), NaN where a resample lacks the figure.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled[~np.isnan(resampled)], [tail, 1 - tail])
    return float(low), float(high)


def paired_t_test(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Returns the two-sided p-value of the paired t-test over users.

    Smucker, Allan and Carterette (A Comparison of Statistical Significance Tests for Information
    Retrieval Evaluation, 2007) found it to agree with the randomisation test.

    Args:
        first: shape (n_users,), figures of users.
        second: the same users' figures with another model.

    Returns:
        The p-value; 1 for a single user, who can tell nothing, and for equal figures; 0 where
        all users differ by the same amount.
    """
    differences = first - second
    mean = float(differences.mean())
    if len(differences) < 2 or not differences.any():
        return 1.0
    error = float(differences.std(ddof=1)) / sqrt(len(differences))
    if error <= abs(mean) * np.finfo(np.float64).eps:
        return 0.0
    return float(2 * stdtr(len(differences) - 1, -abs(mean) / error))
