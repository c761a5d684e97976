"""Alternating least squares, by implicit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.errors import TrainingError
from training.fitting.hyperparameters import Parameters
from training.fitting.trainer import Watch


class _EnoughError(Exception):
    """Ends implicit's loop from its callback; there is no other way."""


@dataclass(frozen=True, slots=True)
class ImplicitAls:
    """Hu, Koren and Volinsky 2008 by alternating least squares, in implicit's compiled code.

    Attributes:
        threads: number of threads, 0 for one for each core; it does not change the factors.
    """

    threads: int = 0

    def train(
        self,
        confidence: sparse.csr_matrix[np.float32],
        parameters: Parameters,
        *,
        watch: Watch | None = None,
    ) -> NDArray[np.float32]:
        """Trains; see ``Trainer.train``.

        Raises:
            TrainingError: training diverged.
        """
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 - takes a second to load
        from implicit.recommender_base import ModelFitError  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415

        def after_iteration(iteration: int, _seconds: float, _loss: float | None = None) -> None:
            if watch and watch(iteration + 1, als.item_factors):
                raise _EnoughError

        # BLAS threads would compete with those of implicit.
        with threadpool_limits(limits=1, user_api="blas"):
            # Always a new object: one that is fitted again on another shape ends in NaN.
            als = AlternatingLeastSquares(
                factors=parameters.factors,
                regularization=parameters.regularization,
                alpha=1.0,
                iterations=parameters.iterations,
                random_state=parameters.seed,
                num_threads=self.threads,
            )
            try:
                with suppress(_EnoughError):
                    als.fit(confidence, show_progress=False, callback=after_iteration)
            except ModelFitError as error:
                raise TrainingError(
                    f"training diverged: factors became NaN (alpha={parameters.alpha}, "
                    f"regularization={parameters.regularization}); try a smaller alpha"
                ) from error
        return np.ascontiguousarray(als.item_factors, dtype=np.float32)
