"""Alternating least squares, by implicit."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.interactions import UserItems
from app.weighting import Weighting, WeightingName
from training.errors import TrainingError

# Told of the number of finished iterations and the item factors as they stand, which the next
# iteration overwrites; ends the training by returning True.
Watch: TypeAlias = Callable[[int, NDArray[np.float32]], bool]


class _EnoughError(Exception):
    """Ends implicit's loop from its callback, the only way that it leaves."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hyperparameters of a model.

    The confidence of a pair is c_ui = 1 + alpha * weight_ui (Hu, Koren and Volinsky 2008,
    section 4). implicit 0.7.3 takes c_ui itself, so that is what it is given.

    Attributes:
        weighting: name of the weighting.
        k1, b: parameters of the weighting ``bm25``.
        factors: length of the vectors.
        regularization: added to the diagonal of every solve; or, where it is relative, its share
            of ``noise_scale``, so that data of any size are regularized alike.
        alpha: scale of the weights in the confidence.
        iterations: rounds of solving users, then items.
        seed: of the initial factors.
        regularization_is_relative: which of the two.
        half_life: days in which the weight of a play in its user's taste halves, counted back from
            the last record; None where nothing fades. Factors of items are made of whole weights:
            what tells artists apart does not age as tastes do.
        fold_in_share: share of the regularization with which users are solved at the end and
            folded in. The factors need much against chance; a user's vector, one row against
            factors that are known, needs less, above all that of a user whom they never saw.

    Raises:
        TrainingError: a value is out of range. Without regularization a user's system may have
            no solution.
    """

    weighting: WeightingName
    k1: float
    b: float
    factors: int
    regularization: float
    alpha: float
    iterations: int
    seed: int
    regularization_is_relative: bool = False
    fold_in_share: float = 1.0
    half_life: float | None = None

    @property
    def fold_in_regularization(self) -> float:
        """What a fold-in adds to the diagonal; of resolved parameters."""
        return self.fold_in_share * self.regularization

    def __post_init__(self) -> None:
        for name, least in (("factors", 1), ("iterations", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise TrainingError(f"{name} has to be at least {least}, not {getattr(self, name)}")
        for name in ("regularization", "alpha", "k1"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} has to be above 0, not {getattr(self, name)}")
        if self.half_life is not None and not 0 < self.half_life < math.inf:
            raise TrainingError(f"half_life has to be above 0 days, not {self.half_life}")
        if not 0 < self.fold_in_share <= 1:
            raise TrainingError(
                f"fold_in_share has to be above 0 and at most 1, not {self.fold_in_share}"
            )
        if not 0 <= self.b <= 1:
            raise TrainingError(f"b has to lie between 0 and 1, not {self.b}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the parameters for the manifest, with the convention of the confidence.

        Where the regularization is relative, publishing adds what it came to.
        """
        entry = asdict(self) | {"weighting": str(self.weighting)}
        is_relative = entry.pop("regularization_is_relative")
        return entry | {
            "regularization": None if is_relative else self.regularization,
            "relative_regularization": self.regularization if is_relative else None,
            "confidence": "1 + alpha * weight",
        }

    def resolve(self, confidence: sparse.csr_matrix[np.float32]) -> Parameters:
        """Returns the parameters with the regularization as what is added to the diagonal."""
        if not self.regularization_is_relative:
            return self
        absolute = self.regularization * noise_scale(confidence)
        return replace(self, regularization=absolute, regularization_is_relative=False)


def confidence_matrix(
    user_items: UserItems, weighting: Weighting, alpha: float
) -> sparse.csr_matrix[np.float32]:
    """Returns c_ui of every pair as a float32 CSR matrix, n_users x n_items.

    Raises:
        TrainingError: a value is too large for float32.
    """
    with np.errstate(over="ignore"):
        exact = 1.0 + alpha * weighting.weigh(user_items).astype(np.float64)
        confidence = exact.astype(np.float32)
    if not np.isfinite(confidence).all():
        raise TrainingError(f"the confidence exceeds float32 (alpha={alpha}); try a smaller alpha")
    # implicit indexes with int32; its loops take int64 offsets only where they are needed.
    indptr = user_items.indptr
    if user_items.nnz <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    return sparse.csr_matrix(
        (confidence, user_items.indices, indptr),
        shape=(user_items.n_users, user_items.n_items),
    )


def noise_scale(confidence: sparse.csr_matrix[np.float32]) -> float:
    """Returns about the largest singular value that the matrix would have if it were all noise.

    For m x n independent entries of deviation s that is s * (sqrt(m) + sqrt(n)) (Bai and Yin,
    Limit of the Smallest Eigenvalue of a Large Dimensional Sample Covariance Matrix, 1993): the
    norm of a row plus that of a column. Rows and columns differ here, so both norms are means,
    weighted by the squares: sqrt(sum r_u^4 / sum r_u^2) + sqrt(sum k_i^4 / sum k_i^2). A component
    below this scale is not told from chance, and shrinking by a share of it does the same to small
    and to large data.

    Args:
        confidence: c_ui, n_users x n_items.
    """
    squares = confidence.data.astype(np.float64) ** 2
    n_users, n_items = confidence.shape
    users = np.repeat(np.arange(n_users), np.diff(confidence.indptr))
    rows = np.bincount(users, weights=squares, minlength=n_users)
    columns = np.bincount(confidence.indices, weights=squares, minlength=n_items)
    return float(sum(np.sqrt((part @ part) / part.sum()) for part in (rows, columns)))


def fit_item_factors(
    confidence: sparse.csr_matrix[np.float32],
    parameters: Parameters,
    *,
    watch: Watch | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Factorises a confidence matrix.

    Args:
        confidence: c_ui, n_users x n_items, as of ``confidence_matrix``.
        parameters: factors, iterations, seed and the resolved regularization are used here.
        watch: called after each iteration.
        threads: 0 for one a core.

    Returns:
        float32, shape (n_items, factors). The same for the same input, whatever the threads; and
        after n iterations the same, whether n were asked for or ``watch`` ended it there.

    Raises:
        TrainingError: the numbers ran away.
    """
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 - takes a second to load
    from implicit.recommender_base import ModelFitError  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    def after_iteration(iteration: int, _seconds: float, _loss: float | None = None) -> None:
        if watch and watch(iteration + 1, als.item_factors):
            raise _EnoughError

    # BLAS threads fight with implicit's own.
    with threadpool_limits(limits=1, user_api="blas"):
        # Always a new object: a fitted one, refitted on another shape, ends in NaN.
        als = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            random_state=parameters.seed,
            num_threads=threads,
        )
        try:
            with suppress(_EnoughError):
                als.fit(confidence, show_progress=False, callback=after_iteration)
        except ModelFitError as error:
            raise TrainingError(
                f"the factors are no numbers any more (alpha={parameters.alpha}, "
                f"regularization={parameters.regularization}); try a smaller alpha"
            ) from error
    return np.ascontiguousarray(als.item_factors, dtype=np.float32)
