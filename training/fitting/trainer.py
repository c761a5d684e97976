"""The trainer contract: from a confidence matrix to item factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.fitting.hyperparameters import Parameters

# Called with the number of finished iterations and the present item factors, which the next
# iteration overwrites; returns True to end the training.
Watch: TypeAlias = Callable[[int, NDArray[np.float32]], bool]


class Trainer(Protocol):
    """Factorises a confidence matrix.

    A trainer returns only item factors. Users of every trainer are solved against them by the
    fold-in of the service, so that a user who is folded in gets the vector of training.
    """

    def train(
        self,
        confidence: sparse.csr_matrix[np.float32],
        parameters: Parameters,
        *,
        watch: Watch | None = None,
    ) -> NDArray[np.float32]:
        """Trains until all iterations have run or ``watch`` ends it.

        Args:
            confidence: c_ui of the pairs, n_users x n_items; missing pairs have c = 1 and no
                preference. It is not changed.
            parameters: factors, iterations, seed and the resolved regularization are used here.
            watch: called after each iteration.

        Returns:
            float32, C-contiguous, shape (n_items, factors). The same input gives the same factors.
            Factors after n iterations do not depend on why training ended there.

        Raises:
            TrainingError: training diverged.
        """
        ...
