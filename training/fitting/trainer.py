"""The trainer contract: confidence in, factors out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.fitting.hyperparameters import Parameters

# Told of the number of finished iterations and the item factors as they stand, which the next
# iteration overwrites; ends the training by returning True.
Watch: TypeAlias = Callable[[int, NDArray[np.float32]], bool]


class Trainer(Protocol):
    """Factorises a confidence matrix.

    It gives the factors of items only: users are solved against them with the fold-in of the
    service, whatever made them, so that a user who is folded in gets the vector of training.
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
            confidence: c_ui of the pairs, n_users x n_items; a pair that is not there has c = 1
                and no preference. It is not changed.
            parameters: factors, iterations, seed and the resolved regularization are used here.
            watch: called after each iteration.

        Returns:
            float32, C-contiguous, shape (n_items, factors). The same for the same input; and after
            n iterations the same, whether n were asked for or ``watch`` ended it there.

        Raises:
            TrainingError: the numbers ran away.
        """
        ...
